"""Masks of every format on the grid of a study.

DICOM SEG, RT Structure Set, NIfTI, NRRD (also 3D Slicer's .seg.nrrd) and MetaImage end as
`RegionMask`s: overlapping segments stay apart, names are kept. A file that cannot belong to the study is
refused; a region of a file that cannot be used is told, and the others are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from gsigpu.errors import EmptyMask, GeometryError, MaskError, OutsideStudy
from gsigpu.masks.layers import Layer, Owner, with_file
from gsigpu.masks.placement import Placed, place
from gsigpu.masks.rtstruct import read_structures
from gsigpu.masks.segmentation import read_segmentation
from gsigpu.masks.volume_masks import VOLUME_SUFFIXES, read_volume_masks
from gsigpu.regions.region_mask import RegionMask
from gsigpu.volume import VolumeGeometry

_RT_STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.481.3"
_SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")


@dataclass(frozen=True, slots=True)
class MaskProblem:
    """A region that is in a file and cannot be used."""

    name: str
    label: int
    error: MaskError


@dataclass(frozen=True, slots=True)
class MaskSet:
    """The regions of a file on the grid of a study, in the order of their labels.

    problems : regions that cannot be used, and why
    warnings : what was resampled, and by how much volumes changed
    """

    masks: tuple[RegionMask, ...]
    problems: tuple[MaskProblem, ...]
    warnings: tuple[str, ...]


def read_masks(
    path: Path | str, geometry: VolumeGeometry, *, owner: Owner | None = None
) -> MaskSet:
    """The regions of a mask file on a study's grid.

    geometry : of the study
    owner : whom a DICOM mask must belong to
    Raises MaskError if the file is missing, empty, not of a known format or not of labels; GridMismatch
    if it has another frame of reference; WrongPatient and WrongPhase; OutsideStudy if nothing in it
    overlaps the study.
    """
    path = Path(path)
    if not path.is_file():
        raise MaskError(
            "no such mask file",
            where=path,
            remedy="name a SEG, RTSTRUCT, NIfTI, NRRD or MetaImage file",
        )
    try:
        layers, warnings = _layers(path, geometry, owner or Owner())
    except (MaskError, GeometryError) as error:
        raise with_file(error, path) from error
    masks: list[RegionMask] = []
    problems: list[MaskProblem] = []
    for layer in layers:
        placed = place(layer.volume, geometry)
        regions = _regions(placed, layer.names)
        n_voxels = np.bincount(layer.volume.labels.ravel())
        masks += regions
        problems += _problems(path, layer, n_voxels, {region.label for region in regions})
        warnings += _warnings(path, layer, n_voxels, placed, regions, geometry)
    if not masks:
        if not problems:
            raise EmptyMask("holds no region", where=path, remedy="draw one on this study")
        if all(isinstance(problem.error, OutsideStudy) for problem in problems):
            raise OutsideStudy(
                "no slices of the mask overlap the study",
                where=path,
                remedy="use a mask that was drawn on this study",
            )
    return MaskSet(
        tuple(sorted(masks, key=lambda mask: mask.label)), tuple(problems), tuple(warnings)
    )


def _layers(path: Path, geometry: VolumeGeometry, owner: Owner) -> tuple[list[Layer], list[str]]:
    if path.name.lower().endswith(VOLUME_SUFFIXES):
        return read_volume_masks(path), []
    if not _is_dicom(path):
        raise MaskError(
            "is no mask that can be read",
            where=path,
            remedy="use DICOM SEG, RTSTRUCT, .nii, .nii.gz, .nrrd, .seg.nrrd, .mha or .mhd",
        )
    from pydicom import dcmread

    header = dcmread(path, stop_before_pixels=True)
    if header.get("SOPClassUID") == _RT_STRUCTURE_SET:
        return read_structures(path, header, geometry, owner)
    return read_segmentation(path, geometry, owner), []


def masks_in(folder: Path) -> list[Path]:
    """The mask files of a folder, by name; what else is in it is left out.

    Raises MaskError if there is none.
    """
    paths = [path for path in sorted(folder.iterdir()) if _is_mask(path)]
    if not paths:
        raise MaskError(
            "holds no mask file", where=folder, remedy="name a folder of SEG, NIfTI or NRRD files"
        )
    return paths


def _is_mask(path: Path) -> bool:
    if not path.is_file() or path.name.startswith("."):
        return False
    if path.name.lower().endswith(VOLUME_SUFFIXES):
        return True
    if not _is_dicom(path):
        return False
    from pydicom import dcmread

    header = dcmread(path, specific_tags=["SOPClassUID"], stop_before_pixels=True)
    return header.get("SOPClassUID") in (_RT_STRUCTURE_SET, *_SEGMENTATIONS)


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def file_stem(path: Path) -> str:
    """The name of a mask file without what says its format.

    >>> file_stem(Path("met_4.seg.nrrd")), file_stem(Path("liver.nii.gz")), file_stem(Path("SEG0001"))
    ('met_4', 'liver', 'SEG0001')
    """
    for suffix in (".seg.nrrd", *VOLUME_SUFFIXES, ".dcm"):
        if path.name.lower().endswith(suffix):
            return path.name[: -len(suffix)]
    return path.name


def _regions(placed: Placed, names: Mapping[int, str]) -> list[RegionMask]:
    """One region per label, by one pass over the labels."""
    if placed.labels.size == 0:
        return []
    regions = []
    for label, box in enumerate(find_objects(placed.labels), start=1):
        if box is not None:
            z, y, x = (o + side.start for o, side in zip(placed.origin, box, strict=True))
            voxels = placed.labels[box] == label
            regions.append(RegionMask(_name(names, label), label, (z, y, x), voxels))
    return regions


def _name(names: Mapping[int, str], label: int) -> str:
    known = names.get(label, "")
    return known or f"label {label}"


def _problems(
    path: Path, layer: Layer, n_voxels: NDArray[np.integer], placed_labels: set[int]
) -> Iterator[MaskProblem]:
    """Regions that are in the file and not on the study's grid, or are named and have no voxels."""
    there = set(np.flatnonzero(n_voxels).tolist()) - {0}
    for label in sorted((there | set(layer.names)) - placed_labels):
        name = _name(layer.names, label)
        error: MaskError = (
            OutsideStudy(f"{name} {layer.refused}", where=path, remedy="draw it on this study")
            if layer.refused
            else OutsideStudy(
                f"{name} lies outside the study, or between its voxels",
                where=path,
                remedy="draw it on this study",
            )
            if label in there
            else EmptyMask(f"{name} is empty", where=path, remedy="draw it, or delete it")
        )
        yield MaskProblem(name, label, error)


def _warnings(
    path: Path,
    layer: Layer,
    n_voxels: NDArray[np.integer],
    placed: Placed,
    regions: list[RegionMask],
    geometry: VolumeGeometry,
) -> Iterator[str]:
    if 0.0 < placed.outside_share < 1.0:
        yield f"{path}: {100 * placed.outside_share:.1f} % of the mask lies outside the study and is left out"
    if placed.is_exact:
        return
    for region in regions:
        before_ml = n_voxels[region.label] * layer.volume.geometry.voxel_volume_ml
        after_ml = region.n_voxels * geometry.voxel_volume_ml
        change = round(100.0 * (after_ml / before_ml - 1.0), 1) + 0.0  # no -0.0
        yield (
            f"{path}: {region.name} was resampled to the study's grid, nearest label;"
            f" its volume changed by {change:+.1f} % to {after_ml:.2f} mL"
        )
