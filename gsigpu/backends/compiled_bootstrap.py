"""The compiled loop of the patient bootstrap (kernels/patient_bootstrap.cpp), where it was built.

Its NumPy twin is `gsigpu.cohort_statistics.roc.bootstrap`, which says what is computed: the same draws from the same
seed, the same counts.
"""

from __future__ import annotations

import ctypes
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gsigpu.backends.compiled import Loop, choose_loop

# Columns of `Counted.counts`; BootstrapCounts in the source.
FIELDS = ("area", "best", "following", "n_true_at_best", "n_false_at_best", "n_true", "n_false")


class Drawing(NamedTuple):
    """Whose lesions are drawn, and what is counted.

    of_bin (n,), groups (n,), patients (n,) : int codes of each lesion
    strata (patients,) : codes from 0; patients are drawn within one
    pairs : (positive group, negative group, whether positives are expected below)
    """

    of_bin: NDArray[np.intp]
    groups: NDArray[np.intp]
    patients: NDArray[np.intp]
    strata: NDArray[np.intp]
    pairs: list[tuple[int, int, bool]]
    n_bins: int
    n_grid: int
    n_replicates: int
    chunk: int


class Counted(NamedTuple):
    """counts (pairs, replicates, 7) int64 of FIELDS; curves (pairs, replicates, n_grid) float32."""

    counts: NDArray[np.int64]
    curves: NDArray[np.float32]


class _Sample(ctypes.Structure):
    """BootstrapSample in the source."""

    _fields_ = [
        *(
            (name, ctypes.c_int64)
            for name in (
                "n_groups", "n_bins", "n_patients", "n_strata", "n_lesions", "n_pairs", "n_grid",
                "n_replicates", "chunk",
            )
        ),
        *(
            (name, ctypes.c_void_p)
            for name in (
                "stratum_start", "lesion_patient", "end_of_bin", "pairs",
            )
        ),
    ]  # fmt: skip


class _Pcg64(ctypes.Structure):
    """Pcg64 in the source."""

    _fields_ = [
        *(
            (name, ctypes.c_uint64)
            for name in ("state_low", "state_high", "increment_low", "increment_high")
        ),
        ("has_half", ctypes.c_uint32),
        ("half", ctypes.c_uint32),
    ]


_LOW = 2**64 - 1
_LINE = 64  # bytes of a line of the cache


def replicates(drawing: Drawing, rng: np.random.Generator) -> Counted | None:
    """All replicates of all pairs; None where no library was built, or GSIGPU_CPU_LOOP says `numpy`."""
    loop, _ = choose_loop()
    return None if loop is None else run(loop, drawing, rng)


def run(loop: Loop, drawing: Drawing, rng: np.random.Generator) -> Counted:
    """As `replicates`, by a given library."""
    n_points, n_patients = drawing.n_bins + 1, drawing.strata.size
    n_groups, n_pairs = int(drawing.groups.max()) + 1, len(drawing.pairs)
    sizes = np.bincount(drawing.strata)
    in_order_of_strata = np.empty(n_patients, np.intp)
    in_order_of_strata[np.argsort(drawing.strata, kind="stable")] = np.arange(n_patients)
    place = drawing.groups * n_points + drawing.of_bin + 1
    tables = {
        "stratum_start": np.concatenate([[0], np.cumsum(sizes[sizes > 0])]),
        "lesion_patient": in_order_of_strata[drawing.patients][np.argsort(place, kind="stable")],
        "end_of_bin": np.cumsum(np.bincount(place, minlength=n_groups * n_points)),
        "pairs": np.array(drawing.pairs, np.int32),
    }
    tables = {name: np.ascontiguousarray(table, np.int32) for name, table in tables.items()}
    counts = np.empty((n_pairs, drawing.n_replicates, len(FIELDS)), np.int64)
    curves = np.empty((n_pairs, drawing.n_replicates, drawing.n_grid), np.float32)
    sample = _Sample(
        n_groups=n_groups,
        n_bins=drawing.n_bins,
        n_patients=n_patients,
        n_strata=tables["stratum_start"].size - 1,
        n_lesions=drawing.patients.size,
        n_pairs=n_pairs,
        n_grid=drawing.n_grid,
        n_replicates=drawing.n_replicates,
        chunk=drawing.chunk,
        **{name: table.ctypes.data for name, table in tables.items()},
    )
    memory = _memory(loop, sample)
    outputs = [array.ctypes.data for array in (memory, counts, curves)]
    if not _by_pcg64(loop, sample, outputs, rng.bit_generator):
        _by_function(loop, sample, outputs, rng.bit_generator)
    return Counted(counts, curves)


def _memory(loop: Loop, sample: _Sample) -> NDArray[np.uint8]:
    """What a call needs beside its results, from the beginning of a line of the cache."""
    n_bytes = loop.functions.gsigpu_patient_bootstrap_memory
    n_bytes.argtypes = [ctypes.c_void_p]
    n_bytes.restype = ctypes.c_int64
    room = np.empty(n_bytes(ctypes.addressof(sample)) + _LINE, np.uint8)
    return room[-room.ctypes.data % _LINE :]


def _by_pcg64(
    loop: Loop, sample: _Sample, outputs: list[int], generator: np.random.BitGenerator
) -> bool:
    """Draws by NumPy's default generator, written out in the loop; False where it is another one, and nothing was done."""
    if type(generator) is not np.random.PCG64:
        return False
    function = loop.functions.gsigpu_patient_bootstrap_pcg64
    function.argtypes = [ctypes.c_int, *[ctypes.c_void_p] * 5]
    function.restype = ctypes.c_int
    with generator.lock:
        state = generator.state
        number, increment = state["state"]["state"], state["state"]["inc"]
        pcg = _Pcg64(
            number & _LOW, number >> 64, increment & _LOW, increment >> 64,
            state["has_uint32"], state["uinteger"],
        )  # fmt: skip
        if not function(loop.number, ctypes.addressof(sample), ctypes.addressof(pcg), *outputs):
            return False
        generator.state = {
            **state,
            "state": {"state": pcg.state_low | pcg.state_high << 64, "inc": increment},
            "has_uint32": pcg.has_half,
            "uinteger": pcg.half,
        }
    return True


def _by_function(
    loop: Loop, sample: _Sample, outputs: list[int], generator: np.random.BitGenerator
) -> None:
    """Draws by any generator, through NumPy's interface in C."""
    interface = generator.ctypes
    function = loop.functions.gsigpu_patient_bootstrap
    function.argtypes = [ctypes.c_int, *[ctypes.c_void_p] * 6]
    function.restype = None
    with generator.lock:
        function(
            loop.number,
            ctypes.addressof(sample),
            ctypes.cast(interface.next_uint32, ctypes.c_void_p),
            interface.state_address,
            *outputs,
        )
