"""What the parts of `gpu.py` share: weights, stored values, programs in memory, and times by CUDA events."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gsigpu.maps.plan import MapPlan, fold_rescale, plan_maps
from gsigpu.maps.registry import define_all
from gsigpu.pipeline.map.program import MapProgram, compile_program

# Name: maps and energies. The second is what `map` makes of a whole study.
CASES = {
    "K = 1, E = 2": (["lambda-hu"], (60.0, 100.0)),
    "K = 4, E = 11": (
        ["lambda-hu", "iodine", "vnc", "mono-55"],
        tuple(float(kev) for kev in range(40, 141, 10)),
    ),
}
PADDED = -2000  # what the synthetic values hold outside the reconstruction


@dataclass(frozen=True)
class Sizes:
    """How much is computed.

    plane : rows and columns
    kernel_bytes : in and out of a launch, at least; several times the L2 cache if that is more
    crossover_slices : of eleven energies, per run
    study_slices, study_rounds : of the studies of files; one round more is not counted, unless it is the only one
    voxels : of the largest region
    lesions : each a box of a tenth of the plane
    decoded_frames, damaged_frames : of each transfer syntax, for decoding on the card
    limit_s : sections that have not begun by then are left out
    """

    plane: int = 512
    kernel_bytes: int = 1 << 30
    repeats: int = 15
    crossover_slices: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    study_slices: int = 60
    study_rounds: int = 3
    voxels: int = 2_000_000
    lesions: int = 10
    decoded_frames: int = 200
    damaged_frames: int = 100
    limit_s: float = 480.0


QUICK = Sizes(
    plane=24,
    kernel_bytes=1 << 16,
    repeats=1,
    crossover_slices=(1, 2),
    study_slices=2,
    study_rounds=0,
    voxels=2000,
    lesions=1,
    decoded_frames=4,
    damaged_frames=5,
)


class WrongResults(Exception):
    """A section's lines, in which something is not right."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("wrong results")
        self.lines = lines


def plan_of(case: str) -> MapPlan:
    """The plan of a case."""
    names, energies = CASES[case]
    return plan_maps(define_all(names), energies)


def weights_of(plan: MapPlan, dtype: Any, n_slices: int) -> tuple[Any, Any]:
    """(S, K, E) and (S, K) for stored values with slope 1 and intercept -1024."""
    ones = np.ones((1, len(plan.energies_kev)))
    steps = plan.steps if dtype is np.int16 else 1.0
    weights, offsets = fold_rescale(plan.linear, ones, -1024 * ones, steps)
    return np.repeat(weights, n_slices, axis=0), np.repeat(offsets, n_slices, axis=0)


def stored_values(n_slices: int, n_energies: int, n_voxels: int, seed: int = 0) -> Any:
    """(S, E, N) int16: tissue, near equal at all energies, with noise; one voxel in 97 is padded."""
    rng = np.random.default_rng(seed)
    tissue = rng.integers(0, 1500, n_voxels, dtype=np.int16)
    stored = tissue + rng.integers(-100, 100, (n_slices, n_energies, n_voxels), dtype=np.int16)
    stored[..., ::97] = PADDED
    return stored


def padding_of(n_slices: int, n_energies: int) -> Any:
    """(S, E, 2) int16."""
    return np.tile(np.int16([PADDED, PADDED]), (n_slices, n_energies, 1))


def program_of(plan: MapPlan, n_slices: int, plane: int, dtype: Any) -> MapProgram:
    """A run over a stack in memory."""
    ones = np.ones((n_slices, len(plan.energies_kev)))
    padding = [[(PADDED, PADDED)] * len(plan.energies_kev)] * n_slices
    return compile_program(
        plan,
        (plane, plane),
        np.dtype(dtype),
        slopes=ones,
        intercepts=-1024 * ones,
        padding=padding,
    )


class InMemory:
    """Source and sink of a stack in memory; planes are kept where asked."""

    def __init__(self, stored: Any, *, keeps: bool = False) -> None:
        """`stored` : (Z, E, rows, columns) int16; slices come round again"""
        self.stored, self.keeps = stored, keeps
        self.planes: dict[int, list[Any]] = {}

    def read(self, z: int, out: Any) -> None:
        """Slice z."""
        out[...] = self.stored[z % len(self.stored)]

    def write(self, z: int, planes: Sequence[Any]) -> None:
        """The planes of slice z."""
        if self.keeps:
            self.planes[z] = [np.array(plane) for plane in planes]


def event_ms(
    repeats: int, *works: Callable[[], object], ahead: Callable[[], object]
) -> list[float]:
    """Milliseconds of each piece of work on the current stream: medians of rounds in which they take turns.

    ahead : work that keeps the card busy while the host queues what is timed, so that no launch is waited for
    Three rounds are not counted: compilation, and clocks that have yet to rise.
    """
    import cupy

    taken: list[list[float]] = [[] for _ in works]
    for round_ in range(repeats + 3):
        for times, work in zip(taken, works, strict=True):
            begin, end = cupy.cuda.Event(), cupy.cuda.Event()
            for _ in range(3):
                ahead()
            begin.record()
            work()
            end.record()
            end.synchronize()
            if round_ >= 3:
                times.append(cupy.cuda.get_elapsed_time(begin, end))
    return [statistics.median(times) for times in taken]
