"""Part of `gpu.py`: every function of the backends on the card, against float64 NumPy."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from gpu_programs import InMemory, Sizes, WrongResults, plan_of, program_of, stored_values

from gsigpu.backends import DISTANCE_UNIT_MM, cpu
from gsigpu.maps.plan import plan_maps
from gsigpu.maps.registry import define_all

# What was checked, the worst that was seen, what it may be.
Check = tuple[str, float, float]
EPS = 2.0**-24  # half a unit in the last place of float32


def linear_maps(sizes: Sizes) -> Iterator[Check]:
    """float32: in units of the bound that float32 sums have; int16: in steps from the exact value."""
    from gsigpu.backends import gpu

    rng = np.random.default_rng(1)
    for n_energies, n_maps in ((2, 1), (11, 4), (3, 9)):
        for n_voxels in (13, sizes.plane**2):
            stored = stored_values(2, n_energies, n_voxels, seed=n_energies)
            weights = rng.normal(size=(2, n_maps, n_energies)).astype(np.float32)
            offsets = rng.normal(0, 500, (2, n_maps)).astype(np.float32)
            padding = np.tile(np.int16([-2000, -1990]), (2, n_energies, 1))
            for dtype in (np.float32, np.int16):
                for with_padding in (False, True):
                    ranges = padding if with_padding else None
                    yield (
                        (
                            f"linear_maps, K = {n_maps}, E = {n_energies}, N = {n_voxels}, {np.dtype(dtype).name}"
                            f"{', padding' if with_padding else ''}"
                        ),
                        *_linear_maps_error(gpu, stored, weights, offsets, ranges, dtype),
                    )


def _linear_maps_error(
    gpu: Any, stored: Any, weights: Any, offsets: Any, padding: Any, dtype: Any
) -> tuple[float, float]:
    import cupy

    out = cupy.empty((len(stored), weights.shape[1], stored.shape[2]), dtype)
    n_clipped = gpu.linear_maps(cupy.asarray(stored), weights, offsets, out, padding=padding).get()
    result = out.get().astype(float)
    exact = weights.astype(float) @ stored.astype(float) + offsets[..., None].astype(float)
    scale = np.abs(weights.astype(float)) @ np.abs(stored.astype(float)) + np.abs(
        offsets[..., None]
    )
    bound = (stored.shape[1] + 2) * EPS * scale
    padded = np.zeros(exact.shape, bool)
    if padding is not None:
        low, high = padding[..., :1], padding[..., 1:]
        padded |= ((stored >= low) & (stored <= high)).any(axis=1)[:, None]
    missing = np.isnan(result) if dtype == np.float32 else result == -32768
    if not np.array_equal(missing, padded):
        return float(np.count_nonzero(missing != padded)), 0.0
    if dtype == np.float32:
        return float((np.abs(result - exact) / bound)[~padded].max()), 1.0
    near = np.abs(np.abs(exact) - 32767.5) <= bound
    n_expected = ((np.abs(exact) >= 32767.5) & ~padded).sum(axis=(0, 2))
    if (np.abs(n_clipped - n_expected) > (near & ~padded).sum(axis=(0, 2))).any():
        return float(np.abs(n_clipped - n_expected).max()), 0.0
    error = np.abs(result - np.clip(exact, -32767, 32767))
    return float((error - bound)[~padded].max()), 0.5


def gather_voxels(sizes: Sizes) -> Iterator[Check]:
    """Voxels that are not those of NumPy's indexing: of planes among others, and of rows that begin in a plane's middle."""
    import cupy

    from gsigpu.backends import gpu

    rng = np.random.default_rng(5)
    n = sizes.plane**2
    planes = stored_values(3, 2, n, seed=6)
    sizes_of_slices = (n // 3, 0, n)
    chosen = [np.sort(rng.choice(n, size, replace=False)) for size in sizes_of_slices]
    starts = np.concatenate([[0], np.cumsum(sizes_of_slices)]).astype(np.int64)
    indices = np.concatenate(chosen)
    there = cupy.asarray(planes), cupy.asarray(starts), cupy.asarray(indices.astype(np.int32))
    out = cupy.zeros(len(indices), np.int16)
    gpu.gather_voxels(there[0][:, 1], *there[1:], out)
    expected = np.concatenate([planes[s, 1][of_slice] for s, of_slice in enumerate(chosen)])
    yield "gather_voxels: other voxels", float(np.count_nonzero(out.get() != expected)), 0.0
    end, first = int(starts[1]), int(chosen[0][0])
    rows = cupy.asarray(planes[:1, 1, first:])
    gpu.gather_voxels(rows, there[1][:2], there[2], out, origin=first)
    n_wrong = np.count_nonzero(out.get()[:end] != expected[:end])
    yield "gather_voxels: other voxels of rows", float(n_wrong), 0.0


def _segments(sizes: Sizes) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(2)
    starts = np.int64([0, 1, 1, 40, sizes.voxels // 10, sizes.voxels // 2])
    values = rng.normal(50, 20, (2, int(starts[-1]))).astype(np.float32)
    values[0, ::31] = np.nan
    low, width = (np.full((2, len(starts) - 1), number) for number in (-150.0, 400.0))
    return values, starts, (low, width)


def sort_segments(sizes: Sizes) -> Iterator[Check]:
    """Values in another place."""
    import cupy

    from gsigpu.backends import gpu

    values, starts, _ = _segments(sizes)
    ordered = gpu.sort_segments(cupy.asarray(values), starts).get()
    n_wrong = 0
    for first, end in itertools.pairwise(starts):
        expected = np.sort(values[:, first:end], axis=1)
        n_wrong += np.count_nonzero(
            ~(
                (ordered[:, first:end] == expected)
                | np.isnan(expected) & np.isnan(ordered[:, first:end])
            )
        )
    yield "sort_segments: values in another place", float(n_wrong), 0.0


def segment_moments(sizes: Sizes) -> Iterator[Check]:
    """Relative to the sum of magnitudes."""
    import cupy

    from gsigpu.backends import gpu

    values, starts, _ = _segments(sizes)
    centres = np.full((2, len(starts) - 1), 50.0)
    sums = gpu.segment_moments(cupy.asarray(values), starts, centres, order=4)
    worst = 0.0
    for s, (first, end) in enumerate(itertools.pairwise(starts)):
        for p, row in enumerate(values[:, first:end].astype(float)):
            valid = row[~np.isnan(row)] - 50.0
            for power in range(5):
                scale = np.sum(np.abs(valid) ** power) or 1.0
                worst = max(worst, abs(sums[p, s, power] - np.sum(valid**power)) / scale)
    yield "segment_moments: relative to the sum of magnitudes", float(worst), 1e-12


def segment_histograms(sizes: Sizes) -> Iterator[Check]:
    """Counts that differ from those of the NumPy twin, which is held to NumPy's own in the tests."""
    import cupy

    from gsigpu.backends import gpu

    values, starts, (low, width) = _segments(sizes)
    counts = gpu.segment_histograms(cupy.asarray(values), starts, low, width, 32)
    expected = cpu.segment_histograms(values, starts, low, width, 32)
    yield "segment_histograms: counts that differ", float(np.abs(counts - expected).sum()), 0.0


def distance_transform(sizes: Sizes) -> Iterator[Check]:
    """Distances that are not SciPy's to the bit, in boxes as around lesions: thin, thick and plane by plane."""
    import cupy

    from gsigpu.backends import gpu

    rng = np.random.default_rng(6)
    side = min(sizes.plane, 96)
    mask = rng.random((12, side, side + 3)) < 1.0 - 20.0 / side**2
    units = (655360, 183501, 183501)  # about 2.5, 0.7 and 0.7 mm
    spacing_mm = tuple(n * DISTANCE_UNIT_MM for n in units)
    n_other = 0
    for of_axes in (spacing_mm, spacing_mm[1:]):
        ours = gpu.distance_transform(cupy.asarray(mask), of_axes).get()
        n_other += np.count_nonzero(ours != cpu.distance_transform(mask, of_axes))
    yield "distance_transform: distances that are others than SciPy's", float(n_other), 0.0


def nonlinear_maps(sizes: Sizes) -> Iterator[Check]:
    """Zeff, residual, sigma and the quantising, from the same float32 rows; of the greatest value."""
    import cupy

    from gsigpu.maps.local_noise import local_noise_sd, measure_grain
    from gsigpu.maps.quantise import quantise

    rng = np.random.default_rng(3)
    energies = (40.0, 60.0, 80.0, 100.0)
    plane = max(sizes.plane, 64)
    hu = np.stack([rng.normal(60 + 1000 / kev, 9, (plane, plane)) for kev in energies])
    plan = plan_maps(define_all(["zeff", "residual"]), energies)
    rows = np.einsum("ke,eyx->kyx", plan.nonlinear.weights, hu)
    rows = (rows + plan.nonlinear.offsets[:, None, None]).astype(np.float32)
    for step in plan.nonlinear_steps:
        part = rows[step.first : step.last]
        exact = step.combine(part.astype(float))
        error = np.abs(step.combine(cupy.asarray(part)).get() - exact).max()
        yield step.definition.name, float(error / np.abs(exact).max()), 2e-4
    grain = measure_grain(rng.normal(size=(3, 160, 160)))
    noisy = hu[1].astype(np.float32)
    exact = local_noise_sd(noisy.astype(float), grain)
    error = np.abs(local_noise_sd(cupy.asarray(noisy), grain).get() - exact).max()
    yield "sigma (local noise)", float(error / exact.max()), 1e-4
    values = rng.normal(0, 2000, 5000).astype(np.float32)
    stored, n_clipped = quantise(values, 0.1)
    on_card, n_on_card = quantise(cupy.asarray(values), 0.1)
    yield "quantise: values that differ", float((on_card.get() != stored).sum()), 0.0
    yield "quantise: counts that differ", float(abs(int(n_on_card) - int(n_clipped))), 0.0


def whole_flow(sizes: Sizes) -> Iterator[Check]:
    """The streamed run against the one on the CPU: steps of the integer, and how many voxels per million."""
    from gsigpu.pipeline.map.stream import run_on_cpu
    from gsigpu.pipeline.map.stream_gpu import run_on_gpu

    n_slices = 9
    plan = plan_of("K = 4, E = 11")
    stored = stored_values(n_slices, 11, sizes.plane**2).reshape(n_slices, 11, sizes.plane, -1)
    program = program_of(plan, n_slices, sizes.plane, np.int16)
    on_card, on_cpu = InMemory(stored, keeps=True), InMemory(stored, keeps=True)
    run_on_gpu(program, on_card, on_card, chunk_slices=2)
    run_on_cpu(program, on_cpu, on_cpu)
    steps = [
        np.abs(ours.astype(int) - other)
        for z in range(n_slices)
        for ours, other in zip(on_card.planes[z], on_cpu.planes[z], strict=True)
    ]
    yield "map, streamed: steps from the CPU's", float(max(step.max() for step in steps)), 1.0
    share = np.mean([np.count_nonzero(step) / step.size for step in steps])
    yield "map, streamed: voxels per million that differ", float(1e6 * share), 1000.0


# Every function of gsigpu.backends.Backend by its name (a test holds that), and what is made of them.
CHECKS: dict[str, Callable[[Sizes], Iterator[Check]]] = {
    "linear_maps": linear_maps,
    "gather_voxels": gather_voxels,
    "sort_segments": sort_segments,
    "segment_moments": segment_moments,
    "segment_histograms": segment_histograms,
    "distance_transform": distance_transform,
    "nonlinear maps": nonlinear_maps,
    "the whole flow": whole_flow,
}


def lines(sizes: Sizes) -> list[str]:
    """A table. Raises WrongResults with it where a bound is not kept."""
    checks = [check for part in CHECKS.values() for check in part(sizes)]
    wrong = [name for name, worst, bound in checks if not worst <= bound]
    table = ["| against float64 NumPy | worst | bound | |", "|---|---:|---:|---|"]
    table += [
        f"| {name} | {worst:.3g} | {bound:g} | {'**wrong**' if name in wrong else 'ok'} |"
        for name, worst, bound in checks
    ]
    table += [
        "",
        (
            "float32 maps: in units of (E + 2) 2⁻²⁴ Σ|w x|, which float32 sums keep. int16 maps: steps from the exact value,"
            " beyond that bound."
        ),
    ]
    if wrong:
        raise WrongResults([*table, "", f"**{len(wrong)} of {len(checks)} wrong.**"])
    return table
