"""Registration of two phases: rigid, then bent by a B-spline, with SimpleITK.

What is compared. Iodine differs between phases, and with it the look of vessels, liver and lesions; water does not.
The images are therefore virtual non-contrast images, on which the same tissue has the same value in any phase, and
the metric is their mean squared difference. Mattes mutual information of the 70 keV images was measured beside it:
errors twice as large at the same time (design/021).

Same input, same result: samples lie on a regular grid, and the work is cut into the same number of parts on every
machine, so that sums are added in one order.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.errors import GeometryError
from gsigpu.image_volume import ImageVolume
from gsigpu.regions.region_mask import RegionMask
from gsigpu.registration.images import displacement, image_of, sitk
from gsigpu.volume import Vector

# How far from a liver the images are looked at, and voxels count for the bending: what moves into it, and borders to hold on
# to. With 10 mm, lesions of 10 mm near the border lay 1.1 mm off (design/021).
LIVER_BORDER_MM = 25.0
# Voxels of the images that are compared; smaller ones add time and noise.
_WORKING_MM = 2.0
# Between the control points of the B-spline: breathing bends the liver on a scale of some centimetres, and narrower
# meshes followed the noise (design/021).
_MESH_MM = 60.0
_N_SAMPLES = 30_000
_N_ITERATIONS = 30
# HU: from fat to enhanced tissue; air and bone would outweigh what lies between.
_WINDOW_HU = (-150.0, 250.0)
_AIR_HU = -1000.0
_N_PARTS = 4  # of the work, on any number of cores
_FEWEST_VOXELS = 4  # along each axis, that there is anything to register


@dataclass(frozen=True)
class Registration:
    """Where the tissue of one phase lies in the other.

    fixed, moving : the images that were compared (SimpleITK, float32 HU), on their working grids
    rigid : the first step (SimpleITK, from points of the fixed phase to points of the moving one)
    transform : both steps
    """

    fixed: Any
    moving: Any
    rigid: Any
    transform: Any

    def point(self, fixed_mm: Vector) -> Vector:
        """Where the tissue at a point of the fixed phase lies in the moving phase, LPS mm."""
        x, y, z = self.transform.TransformPoint(fixed_mm)
        return (x, y, z)

    @cached_property
    def reach_mm(self) -> float:
        """The longest way of any point of the working grid, mm."""
        ways = sitk.GetArrayFromImage(displacement(self.transform, self.fixed))
        return float(np.sqrt((ways**2).sum(axis=-1).max()))


def register(
    fixed: ImageVolume,
    moving: ImageVolume,
    region: RegionMask,
    *,
    border_mm: float = LIVER_BORDER_MM,
) -> Registration:
    """Registers the moving phase to the fixed one in and around a region.

    fixed, moving : virtual non-contrast images, HU; of one frame of reference, on any grids
    region : of interest, on the grid of `moving`: the liver
    border_mm : how far around it voxels count
    Returns the transform from points of `fixed` to points of `moving`.
    Raises GeometryError where the region and its surroundings do not lie in both.

    Tested on phantoms that a known field moved and bent.
    """
    box = _box_mm(moving, region, border_mm)
    still = _working_image(fixed, box)
    other = _working_image(moving, box)
    mask = _working_mask(moving, region, other, border_mm)
    rigid = sitk.Euler3DTransform()
    rigid.SetCenter(still.TransformContinuousIndexToPhysicalPoint([n / 2 for n in still.GetSize()]))
    first = _method()
    first.SetMetricSamplingPercentagePerLevel([_share(still, shrink) for shrink in (4, 2, 1)], 1)
    first.SetShrinkFactorsPerLevel([4, 2, 1])
    first.SetSmoothingSigmasPerLevel([2, 1, 0])
    first.SetOptimizerAsRegularStepGradientDescent(
        learningRate=2.0, minStep=0.01, numberOfIterations=80, relaxationFactor=0.6
    )
    first.SetOptimizerScalesFromPhysicalShift()
    first.SetInitialTransform(rigid, inPlace=True)
    first.Execute(still, other)

    size_mm = [n * mm for n, mm in zip(still.GetSize(), still.GetSpacing(), strict=True)]
    bent = sitk.BSplineTransformInitializer(
        still, [max(1, round(mm / _MESH_MM)) for mm in size_mm], 3
    )
    second = _method()
    counting = sitk.Resample(mask, still, rigid, sitk.sitkNearestNeighbor, 0)
    inside = float(sitk.GetArrayViewFromImage(counting).mean())
    second.SetMetricFixedMask(counting)
    second.SetMetricSamplingPercentagePerLevel(
        [_share(still, shrink, inside=inside) for shrink in (2, 1)], 1
    )
    second.SetShrinkFactorsPerLevel([2, 1])
    second.SetSmoothingSigmasPerLevel([1, 0])
    second.SetMovingInitialTransform(rigid)
    second.SetInitialTransform(bent, inPlace=True)
    second.SetOptimizerAsLBFGSB(
        gradientConvergenceTolerance=1e-6,
        numberOfIterations=_N_ITERATIONS,
        maximumNumberOfFunctionEvaluations=2 * _N_ITERATIONS,
        costFunctionConvergenceFactor=1e7,
    )
    second.Execute(still, other)
    return Registration(
        fixed=still,
        moving=other,
        rigid=rigid,
        transform=sitk.CompositeTransform([rigid, bent]),
    )


def _method() -> Any:
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(_N_PARTS)
    method.SetMetricAsMeanSquares()
    method.SetInterpolator(sitk.sitkLinear)
    method.SetMetricSamplingStrategy(method.REGULAR)
    return method


def _share(image: Any, shrink: int, *, inside: float = 1.0) -> float:
    """The share of an image's voxels, shrunk so many times, that makes up the samples.

    inside : the share of voxels that count; samples elsewhere are thrown away
    """
    n = inside * float(np.prod([max(1, size // shrink) for size in image.GetSize()]))
    return min(1.0, _N_SAMPLES / max(n, 1.0))


def _box_mm(
    volume: ImageVolume, region: RegionMask, border_mm: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest LPS mm of a region and its border."""
    corners = np.array(
        [
            volume.geometry.position_mm(z, y, x)
            for z in (region.box[0].start, region.box[0].stop - 1)
            for y in (region.box[1].start, region.box[1].stop - 1)
            for x in (region.box[2].start, region.box[2].stop - 1)
        ]
    )
    return corners.min(axis=0) - border_mm, corners.max(axis=0) + border_mm


def _working_image(
    volume: ImageVolume, box_mm: tuple[NDArray[np.float64], NDArray[np.float64]]
) -> Any:
    """The part of a volume in a box, smoothed to working voxels."""
    low, high = _indices(volume, box_mm)
    if min(high - low) < _FEWEST_VOXELS:
        raise GeometryError(
            "the two phases do not show the same part of the body",
            remedy="leave --register out, and give a mask of this phase",
        )
    z, y, x = (slice(a, b) for a, b in zip(low, high, strict=True))
    values = np.clip(np.nan_to_num(volume.array[z, y, x], nan=_AIR_HU), *_WINDOW_HU)
    return _coarser(image_of(values.astype(np.float32), volume.geometry, _vector(low)))


def _indices(
    volume: ImageVolume, box_mm: tuple[NDArray[np.float64], NDArray[np.float64]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(z, y, x) indices of a box in a volume's grid, from and to, cut at its borders."""
    low, high = box_mm
    corners = np.array(
        [
            [x, y, z, 1.0]
            for x in (low[0], high[0])
            for y in (low[1], high[1])
            for z in (low[2], high[2])
        ]
    )
    indices = (corners @ volume.geometry.inverse_affine_lps.T)[:, 2::-1]
    first = np.clip(np.floor(indices.min(axis=0)), 0, volume.geometry.shape)
    last = np.clip(np.ceil(indices.max(axis=0)) + 1, 0, volume.geometry.shape)
    return first.astype(np.int64), last.astype(np.int64)


def _vector(index: NDArray[np.int64]) -> Vector:
    z, y, x = (float(i) for i in index)
    return z, y, x


def _coarser(image: Any) -> Any:
    """The image in working voxels, where its own are smaller."""
    spacing = image.GetSpacing()
    size = [
        max(1, round(n * mm / max(_WORKING_MM, mm)))
        for n, mm in zip(image.GetSize(), spacing, strict=True)
    ]
    wider = [n * mm / m for n, mm, m in zip(image.GetSize(), spacing, size, strict=True)]
    origin = image.TransformContinuousIndexToPhysicalPoint(
        [0.5 * (w / mm - 1.0) for w, mm in zip(wider, spacing, strict=True)]
    )
    if all(w <= 1.2 * mm for w, mm in zip(wider, spacing, strict=True)):
        smoothed = image
    else:  # against aliasing; hardly where the voxels stay
        sigmas = [
            0.4 * w if w > 1.2 * mm else 1e-3 * mm for w, mm in zip(wider, spacing, strict=True)
        ]
        smoothed = sitk.SmoothingRecursiveGaussian(image, sigmas)
    return sitk.Resample(
        smoothed, size, sitk.Transform(), sitk.sitkLinear, origin, wider,
        image.GetDirection(), _AIR_HU, sitk.sitkFloat32,
    )  # fmt: skip


def _working_mask(volume: ImageVolume, region: RegionMask, working: Any, border_mm: float) -> Any:
    """The region and its border on the working grid, uint8."""
    placed = image_of(
        region.voxels.astype(np.uint8), volume.geometry, _vector(np.array(region.origin))
    )
    mask = sitk.Resample(placed, working, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    radius = [max(1, round(border_mm / mm)) for mm in working.GetSpacing()]
    return sitk.BinaryDilate(mask, radius, sitk.sitkBall)
