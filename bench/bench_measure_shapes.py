"""How right are rim, core and diameters on thick slices, and of regions of interest on one or two slices?

Analytic lesions, supersampled: a core, a rim and liver around them, each voxel the mean of what it holds. The mask has
the voxels whose centres are in the lesion, or those of one or two slices through its middle. No noise: what is left
is voxels and partial volume. `in space` is what `--rim-dimensions 3d` gives.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from common import arguments, report

from gsigpu.regions.boundary import signed_distance_mm
from gsigpu.regions.region_mask import RegionMask, region_mask
from gsigpu.regions.shells import lesion_regions
from gsigpu.regions.size import feret_diameter_mm, longest_axial_diameter_mm

PIXEL_MM = 0.7
SLICES_MM = (0.625, 1.25, 2.5, 5.0)
DIAMETERS_MM = (10.0, 15.0, 20.0, 30.0)
CORE, RIM, LIVER = 0.9, 1.7, 2.2  # iodine, mg/mL, as in the phantom's colorectal metastases
_IN_PLANE_PARTS = 3


@dataclass(frozen=True)
class Shape:
    """Half axes in parts of the radius, (z, y, x), and a name; a cylinder has flat ends at its height."""

    name: str
    half_axes: tuple[float, float, float]
    is_cylinder: bool = False

    def depth_mm(self, radius_mm: float, z: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Depth below the surface; of an ellipsoid to first order, which is exact on its surface."""
        a, b, c = (radius_mm * part for part in self.half_axes)
        if self.is_cylinder:
            return np.minimum(a - np.abs(z), b - np.hypot(y, x))
        reduced = np.sqrt((z / a) ** 2 + (y / b) ** 2 + (x / c) ** 2)
        slope = np.sqrt((z / a**2) ** 2 + (y / b**2) ** 2 + (x / c**2) ** 2)
        return (1.0 - reduced) * reduced / np.maximum(slope, 1e-9)


SPHERE = Shape("sphere", (1.0, 1.0, 1.0))
SHAPES = (
    SPHERE,
    Shape("ellipsoid 1 : 0.8 : 0.7", (0.8, 1.0, 0.7)),
    Shape("cylinder", (1.0, 1.0, 1.0), True),
)


def rim_mm(diameter_mm: float) -> float:
    """Of the lesion: 3 mm, at most half the radius."""
    return min(3.0, diameter_mm / 4.0)


def axes_mm(
    spacing_mm: tuple[float, float, float], reach_mm: float, shift: np.ndarray
) -> list[np.ndarray]:
    """Voxel centres of each axis, the lesion's centre at 0."""
    counts = (int(reach_mm / size) + 2 for size in spacing_mm)
    return [
        (np.arange(-n, n + 1) + s) * size
        for n, s, size in zip(counts, shift, spacing_mm, strict=True)
    ]


def voxel_means(
    shape: Shape, diameter_mm: float, axes: list[np.ndarray], spacing_mm: tuple[float, float, float]
) -> np.ndarray:
    """Iodine of each voxel: the mean over its parts."""
    n_parts = (max(round(spacing_mm[0] / 0.25), 3), _IN_PLANE_PARTS, _IN_PLANE_PARTS)
    offsets = [
        ((np.arange(n) + 0.5) / n - 0.5) * size for n, size in zip(n_parts, spacing_mm, strict=True)
    ]
    total = np.zeros([len(axis) for axis in axes])
    for dz in offsets[0]:
        for dy in offsets[1]:
            for dx in offsets[2]:
                z, y, x = np.meshgrid(axes[0] + dz, axes[1] + dy, axes[2] + dx, indexing="ij")
                depth = shape.depth_mm(diameter_mm / 2.0, z, y, x)
                total += np.where(
                    depth > rim_mm(diameter_mm), CORE, np.where(depth > 0.0, RIM, LIVER)
                )
    return total / np.prod(n_parts)


def roi(mask: np.ndarray, n_slices: int) -> RegionMask:
    """The slices of a mask next to its middle."""
    planes = np.flatnonzero(mask.any(axis=(1, 2)))
    first = max(planes[len(planes) // 2] - (n_slices - 1), planes[0])
    kept = np.zeros_like(mask)
    kept[first : first + n_slices] = mask[first : first + n_slices]
    return region_mask("a", 1, kept)


def mean_of(values: np.ndarray, region: RegionMask | None) -> float:
    """NaN of a region that is not there."""
    return float(values[region.box][region.voxels].mean()) if region is not None else float("nan")


def regional(
    values: np.ndarray, mask: RegionMask, spacing_mm: tuple[float, float, float], rule: str
) -> list[float]:
    """Errors of core and rim."""
    regions = lesion_regions(mask, spacing_mm, values.shape, dimensions=rule).regions
    return [mean_of(values, regions.get("core")) - CORE, mean_of(values, regions.get("rim")) - RIM]


def shown(errors: list[list[float]]) -> str:
    """Core / rim; `none` where a place in ten or more leaves the region empty."""
    cells = []
    for of_region in np.array(errors).T:
        missing = np.isnan(of_region).mean()
        cells.append(
            "none"
            if missing > 0.1
            else f"{np.nanmean(of_region):+.2f} ± {np.nanstd(of_region):.2f}"
        )
    return " / ".join(cells)


def region_table(diameters_mm: tuple[float, ...], n_places: int) -> list[str]:
    """Core and rim of whole lesions, and of one and two slices through their middle."""
    lines = [
        "| slices, mm | diameter, mm | whole lesion | one slice | two slices | one slice, in space | two slices, in space |",
        "|---:|---:|:---:|:---:|:---:|:---:|:---:|",
    ]
    for slice_mm in SLICES_MM:
        spacing_mm = (slice_mm, PIXEL_MM, PIXEL_MM)
        for diameter_mm in diameters_mm:
            rng = np.random.default_rng(1)
            columns: list[list[list[float]]] = [[] for _ in range(5)]
            for _ in range(n_places):
                axes = axes_mm(spacing_mm, diameter_mm / 2.0, rng.uniform(-0.5, 0.5, 3))
                values = voxel_means(SPHERE, diameter_mm, axes, spacing_mm)
                mask = SPHERE.depth_mm(diameter_mm / 2.0, *np.meshgrid(*axes, indexing="ij")) >= 0.0
                whole, single, two = region_mask("a", 1, mask), roi(mask, 1), roi(mask, 2)
                for column, (region, rule) in enumerate(((whole, "auto"), (single, "auto"), (two, "auto"), (single, "3d"), (two, "3d"))):  # fmt: skip
                    columns[column].append(regional(values, region, spacing_mm, rule))
            lines.append(
                f"| {slice_mm:g} | {diameter_mm:g} | {' | '.join(shown(column) for column in columns)} |"
            )
    return lines


def geometry_table(n_places: int) -> list[str]:
    """Depth and diameters."""
    lines = [
        "| shape | diameter, mm | slices, mm | depth | depth at the poles | SD of a voxel's depth | longest axial diameter | Feret diameter |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for shape in SHAPES:
        for diameter_mm in (10.0, 20.0):
            for slice_mm in SLICES_MM:
                spacing_mm = (slice_mm, PIXEL_MM, PIXEL_MM)
                rng = np.random.default_rng(2)
                depths, polar, axial, feret = [], [], [], []
                true_axial = diameter_mm * max(shape.half_axes[1:])
                true_feret = (
                    float(np.hypot(diameter_mm, diameter_mm))
                    if shape.is_cylinder
                    else diameter_mm * max(shape.half_axes)
                )
                for _ in range(n_places):
                    axes = axes_mm(spacing_mm, diameter_mm / 2.0, rng.uniform(-0.5, 0.5, 3))
                    z, y, x = np.meshgrid(*axes, indexing="ij")
                    true = shape.depth_mm(diameter_mm / 2.0, z, y, x)
                    mask = true >= 0.0
                    error = -signed_distance_mm(mask, spacing_mm) - true
                    near = mask & (true < 2.0)
                    depths.append(error[near])
                    polar.append(error[near & (np.abs(z) > np.hypot(y, x))])
                    region = region_mask("a", 1, mask)
                    axial.append(longest_axial_diameter_mm(region, spacing_mm) - true_axial)
                    feret.append(feret_diameter_mm(region, spacing_mm) - true_feret)
                everywhere = np.concatenate(depths)
                lines.append(
                    f"| {shape.name} | {diameter_mm:g} | {slice_mm:g} | {everywhere.mean():+.2f} | {np.concatenate(polar).mean():+.2f}"
                    f" | {everywhere.std():.2f} | {np.mean(axial):+.2f} ± {np.std(axial):.2f} | {np.mean(feret):+.2f} ± {np.std(feret):.2f} |"
                )
    return lines


def main() -> None:
    """Runs it."""
    options = arguments(__doc__ or "", places=20)
    diameters_mm = DIAMETERS_MM
    if options.quick:
        options.places, diameters_mm = 2, (10.0,)
    lines = [
        (
            f"Pixels of {PIXEL_MM:g} mm, {options.places} places of the centre between voxels. Iodine, mg/mL: core {CORE:g}, rim {RIM:g}"
            f" (3 mm, at most half the radius), around it {LIVER:g}. Core / rim: bias ± SD over places; rim by `auto`."
        ),
        "",
        *region_table(diameters_mm, options.places),
        "",
        (
            "Geometry, mm: measured less true, of voxels less than 2 mm below the surface. Poles: where it faces the slices more than"
            " the pixels."
        ),
        "",
        *geometry_table(options.places),
    ]
    report("measure_shapes", lines, save=options.save)


if __name__ == "__main__":
    main()
