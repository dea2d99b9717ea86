"""Maps: stored values in memory to maps in memory, against a copy of the same bytes and naive NumPy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from common import N_CORES, arguments, interleaved, on_all_cores, ratio_table, report
from threadpoolctl import threadpool_limits

from gsigpu.backends import cpu
from gsigpu.maps.plan import fold_rescale, plan_maps
from gsigpu.maps.registry import define_all

CASES = {
    "K = 1, E = 2 (λHU 60-100)": (["lambda-hu"], (60.0, 100.0)),
    "K = 4, E = 11 (λHU, iodine, VNC, mono-55)": (
        ["lambda-hu", "iodine", "vnc", "mono-55"],
        tuple(float(kev) for kev in range(40, 141, 10)),
    ),
}


def weights_of(
    names: list[str], energies: tuple[float, ...], dtype: type
) -> tuple[np.ndarray, np.ndarray]:
    """(1, K, E) and (1, K) for stored values with slope 1 and intercept -1024."""
    plan = plan_maps(define_all(names), energies)
    ones = np.ones((1, len(energies)))
    return fold_rescale(plan.linear, ones, -1024 * ones, plan.steps if dtype is np.int16 else 1.0)


def naive(
    names: list[str], energies: tuple[float, ...], stored: np.ndarray
) -> Callable[[], object]:
    """Float64 HU, then a tensordot, for one slab of (Z, E, N)."""
    plan = plan_maps(define_all(names), energies)

    def run() -> object:
        hu = stored.astype(np.float64) * 1.0 - 1024.0
        if len(names) == 1:
            return (hu[:, 0] - hu[:, 1]) / 60
        return (
            np.tensordot(plan.linear.weights, hu, axes=(1, 1)) + plan.linear.offsets[:, None, None]
        )

    return run


def on_cpu(name: str, n_slices: int, size: int, repeats: int) -> list[str]:
    """One table."""
    names, energies = CASES[name]
    rng = np.random.default_rng(0)
    # Near equal at all energies, as tissue is: fully random values would all clip.
    tissue = rng.integers(0, 1500, size * size, dtype=np.int16)
    stored = tissue + rng.integers(
        -100, 100, (n_slices, len(energies), size * size), dtype=np.int16
    )
    outs = {
        dtype: np.zeros((n_slices, len(names), size * size), dtype)
        for dtype in (np.int16, np.float32)
    }
    copied = np.zeros_like(stored)

    def copy_bytes() -> None:
        """Reads all stored values and writes as many bytes as the int16 maps have."""

        def copy_slice(z: int) -> None:
            np.copyto(copied[z, : len(names)], stored[z, : len(names)])
            for e in range(len(names), len(energies)):
                np.copyto(copied[0, e], stored[z, e])

        on_all_cores(copy_slice, n_slices)

    def ours(dtype: type) -> Callable[[], None]:
        weights, offsets = weights_of(names, energies, dtype)
        out = outs[dtype]
        return lambda: on_all_cores(
            lambda z: cpu.linear_maps(stored[z : z + 1], weights, offsets, out[z : z + 1]), n_slices
        )

    with threadpool_limits(1, user_api="blas"):
        seconds = interleaved(
            repeats,
            memory_copy=copy_bytes,
            gsigpu_int16=ours(np.int16),
            gsigpu_float32=ours(np.float32),
            naive_float64=naive(names, energies, stored),
        )
    return [f"## {name}", "", *ratio_table(seconds, "slices", n_slices, "memory_copy"), ""]


def main() -> None:
    """Runs it."""
    options = arguments(__doc__ or "", slices=100, size=512)
    if options.quick:
        options.slices, options.size, options.repeats = 2, 64, 1
    lines = [f"{options.slices} slices of {options.size} x {options.size}, {N_CORES} threads.", ""]
    for name in CASES:
        lines += on_cpu(name, options.slices, options.size, options.repeats)
    lines.append(
        "`memory copy`: as many bytes read as there are stored values, as many written as in int16 maps or more."
    )
    report("maps", lines, save=options.save)


if __name__ == "__main__":
    main()
