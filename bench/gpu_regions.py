"""Part of `gpu.py`: voxels of regions, distances, regions and statistics of their voxels, on the card and on the CPU."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
from gpu_programs import Sizes, WrongResults

from gsigpu.backends import DISTANCE_UNIT_MM, backend_for, on_host
from gsigpu.regions.boundary import Dimensions, signed_distance_mm
from gsigpu.regions.region_layout import Lesion, RegionSettings, StudyMasks, lay_out
from gsigpu.regions.region_mask import RegionMask
from gsigpu.regions.segment_statistics import Segments, statistics_of_segments

_N_PARAMETERS = 5
_N_PLANES = 11  # energies of a slice
_SPACING = (2.5, 0.8, 0.8)


def lines(sizes: Sizes) -> list[str]:
    """A table. Raises WrongResults where the card's results are others."""
    import cupy

    rows, wrong = [], []
    for name, build, same in (
        (f"voxels of an organ out of {_N_PLANES} planes, which lie where they are taken", _gathering, _same_voxels),
        (f"voxels of an organ out of {_N_PLANES} planes to the card: taken on the CPU, or rows up and taken there", _bringing, _same_voxels),
        (f"statistics of {sizes.voxels:,} voxels and ten parts, {_N_PARAMETERS} maps", _statistics, _same_numbers),
        (f"distances in the boxes of {sizes.lesions} lesions (kernel alone)", _distances, _same_distances),
        (f"core, rim and shells of {sizes.lesions} lesions, liver and vessels", _regions, _same_regions),
    ):  # fmt: skip
        on_cpu, on_gpu = build(np.asarray, sizes), build(cupy.asarray, sizes)
        if not same(on_cpu(), on_gpu()):
            wrong.append(name)
        taken: tuple[list[float], list[float]] = ([], [])
        for _ in range(min(sizes.repeats, 5)):
            for times, work in zip(taken, (on_cpu, on_gpu), strict=True):
                begun = perf_counter()
                work()
                cupy.cuda.Device().synchronize()
                times.append(perf_counter() - begun)
        cpu_s, gpu_s = map(statistics.median, taken)
        rows.append(f"| {name} | {1e3 * cpu_s:.1f} | {1e3 * gpu_s:.1f} | {gpu_s / cpu_s:.2f} |")
    table = [
        "| | CPU ms | GPU ms | GPU / CPU |",
        "|---|---:|---:|---:|",
        *rows,
        "",
        (
            "Values and masks lie where they are used, but for regions: as in a measurement, their masks are the host's, each box goes to"
            " the card, and its distances come back. One core on the CPU, as in a row of a cohort."
        ),
    ]
    if wrong:
        raise WrongResults([*table, "", f"**Other results on the card: {'; '.join(wrong)}.**"])
    return table


def _organ(sizes: Sizes) -> tuple[Any, Any]:
    """Planes of a slice, and indices of the voxels of an ellipse half as wide as it."""
    y, x = np.indices((sizes.plane, sizes.plane)) / sizes.plane - 0.5
    planes = np.random.default_rng(7).integers(-1000, 2000, (_N_PLANES, sizes.plane**2))
    return planes.astype(np.int16), np.flatnonzero((y / 0.3) ** 2 + (x / 0.25) ** 2 <= 1)


def _gathering(place: Callable[[Any], Any], sizes: Sizes) -> Callable[[], Any]:
    planes, indices = _organ(sizes)
    starts, there = place(np.int64([0, indices.size])), place(planes)
    at = place(indices.astype(np.int32 if place is not np.asarray else np.intp))
    out = place(np.zeros((_N_PLANES, indices.size), np.int16))

    def work() -> Any:
        for plane, row in zip(there, out, strict=True):
            backend_for(out).gather_voxels(plane.reshape(1, -1), starts, at, row)
        return out

    return work


def _bringing(place: Callable[[Any], Any], sizes: Sizes) -> Callable[[], Any]:
    """Both end on the card."""
    import cupy

    if place is np.asarray:
        taken = _gathering(place, sizes)
        return lambda: cupy.asarray(taken())
    planes, indices = _organ(sizes)
    first = int(indices[0]) // sizes.plane * sizes.plane
    end = (int(indices[-1]) // sizes.plane + 1) * sizes.plane
    starts, at = cupy.asarray(np.int64([0, indices.size])), cupy.asarray(indices.astype(np.int32))
    out = cupy.zeros((_N_PLANES, indices.size), np.int16)

    def work() -> Any:
        for plane, row in zip(planes, out, strict=True):
            rows = cupy.asarray(plane[first:end]).reshape(1, -1)
            backend_for(out).gather_voxels(rows, starts, at, row, origin=first)
        return out

    return work


def _same_voxels(expected: Any, other: Any) -> bool:
    return np.array_equal(on_host(expected), other.get())


def _statistics(place: Callable[[Any], Any], sizes: Sizes) -> Callable[[], Any]:
    rng = np.random.default_rng(4)
    values = rng.normal(60, 20, (_N_PARAMETERS, sizes.voxels)).astype(np.float32)
    ends = np.linspace(sizes.voxels // 20, sizes.voxels // 10, 10, dtype=np.int64)
    voxels = [np.arange(end - end // 4, end) for end in ends]
    voxels.append(np.arange(sizes.voxels))
    starts = np.concatenate([[0], np.cumsum([array.size for array in voxels])]).astype(np.int64)
    segments = Segments(place(np.concatenate(voxels)), starts)
    placed = place(values)
    return lambda: statistics_of_segments(placed, segments)


def _same_numbers(expected: Any, other: Any) -> bool:
    return all(
        np.allclose(expected[name], other[name], rtol=1e-6, atol=1e-6, equal_nan=True)
        for name in expected
    )


def _ball(sizes: Sizes) -> Any:
    """(z, y, x) bool, an ellipsoid a tenth of the plane wide."""
    size = _size(sizes)
    z, y, x = np.indices((max(size // 3, 3), size, size))
    centre = (len(z) // 2, size // 2, size // 2)
    return sum(((axis - middle) / max(middle, 1)) ** 2 for axis, middle in zip((z, y, x), centre, strict=True)) <= 1  # fmt: skip


def _size(sizes: Sizes) -> int:
    return min(max(sizes.plane // 10, 8), 40)


def _distances(place: Callable[[Any], Any], sizes: Sizes) -> Callable[[], Any]:
    box = place(np.pad(_ball(sizes), ((5, 5), (14, 14), (14, 14))))
    spacing_mm = tuple(round(size / DISTANCE_UNIT_MM) * DISTANCE_UNIT_MM for size in _SPACING)

    def work() -> Any:
        for _ in range(sizes.lesions):
            backend = backend_for(box)
            inside = backend.distance_transform(box, spacing_mm)
            outside = backend.distance_transform(~box, spacing_mm)
        return outside - inside

    return work


def _same_distances(expected: Any, other: Any) -> bool:
    return np.array_equal(expected, other.get())


def _regions(place: Callable[[Any], Any], sizes: Sizes) -> Callable[[], Any]:
    size = _size(sizes)
    grid = (max(size, 12), 6 * size, 6 * size)
    lesions = tuple(
        Lesion(str(i), RegionMask(str(i), i, (1, size * (i // 5 * 2 + 1), size * (i % 5)), _ball(sizes)))
        for i in range(sizes.lesions)
    )  # fmt: skip
    liver = RegionMask("liver", 1, (0, 0, 0), np.ones(grid, bool))
    vessels = RegionMask("vessels", 1, (0, 0, 0), np.ones((grid[0], 2, grid[2]), bool))
    masks = StudyMasks(lesions, liver=liver, vessels=vessels, aorta=None)

    def signed(voxels: Any, spacing_mm: Any, *, dimensions: Dimensions = "3d") -> Any:
        return on_host(signed_distance_mm(place(voxels), spacing_mm, dimensions=dimensions))

    return lambda: lay_out(masks, _SPACING, grid, RegionSettings(), signed=signed)


def _same_regions(expected: Any, other: Any) -> bool:
    return len(expected.regions) == len(other.regions) and all(
        ours.region == theirs.region
        and ours.mask.origin == theirs.mask.origin
        and np.array_equal(ours.mask.voxels, theirs.mask.voxels)
        for ours, theirs in zip(expected.regions, other.regions, strict=True)
    )
