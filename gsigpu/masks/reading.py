"""Masks from DICOM SEG, NIfTI, NRRD (also 3D Slicer's .seg.nrrd) and MetaImage.

Every format ends as `RegionMask`s on the grid of the study: overlapping segments stay apart, names
are kept. What cannot belong to the study is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from gsigpu.errors import GridMismatch, InputError
from gsigpu.masks.placement import LabelVolume, Placed, place
from gsigpu.regions.mask import RegionMask
from gsigpu.volume import VolumeGeometry

_VOLUME_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".mha", ".mhd")
_FRACTION_INSIDE = 0.5


@dataclass(frozen=True, slots=True)
class MaskSet:
    """The regions of a file on the grid of a study, in the order of their labels.

    warnings : what was resampled, and by how much volumes changed
    """

    masks: tuple[RegionMask, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Layer:
    """Labels that do not overlap, and their names."""

    volume: LabelVolume
    names: dict[int, str]


def read_masks(path: Path | str, geometry: VolumeGeometry) -> MaskSet:
    """The regions of a mask file on a study's grid.

    geometry : of the study
    Raises InputError if the file is missing, empty, not of a known format or not of labels, and
    GridMismatch if it has another frame of reference or does not meet the study.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(
            "no such mask file", where=path, remedy="name a SEG, NIfTI, NRRD or MetaImage file"
        )
    masks: list[RegionMask] = []
    warnings: list[str] = []
    for layer in _layers(path, geometry):
        placed = place(layer.volume, geometry)
        if placed.outside_share == 1.0:
            raise GridMismatch(
                "does not meet the study anywhere",
                where=path,
                remedy="use a mask that was drawn on this study",
            )
        found = _regions(placed.labels, layer.names)
        masks += found
        warnings += _warnings(path, layer, placed, found, geometry)
    if not masks:
        raise InputError("holds no region", where=path, remedy="draw one on this study")
    return MaskSet(tuple(sorted(masks, key=lambda one: one.label)), tuple(warnings))


def _regions(labels: NDArray[np.integer], names: dict[int, str]) -> list[RegionMask]:
    """One region per label, by one pass over the volume."""
    found = []
    for label, box in enumerate(find_objects(labels), start=1):
        if box is not None:
            origin = (box[0].start, box[1].start, box[2].start)
            found.append(
                RegionMask(names.get(label, f"label {label}"), label, origin, labels[box] == label)
            )
    return found


def _warnings(
    path: Path, layer: _Layer, placed: Placed, found: list[RegionMask], geometry: VolumeGeometry
) -> Iterator[str]:
    if placed.outside_share > 0.0:
        yield f"{path}: {100 * placed.outside_share:.1f} % of the mask lies outside the study and is left out"
    if placed.is_exact:
        return
    before_ml = np.bincount(layer.volume.labels.ravel()) * (
        abs(np.linalg.det(layer.volume.affine_lps[:3, :3])) / 1000.0
    )
    for one in found:
        after_ml = one.n_voxels * geometry.voxel_volume_ml
        change = 100.0 * (after_ml / before_ml[one.label] - 1.0)
        yield (
            f"{path}: {one.name} was resampled to the study's grid, nearest label;"
            f" its volume changed by {change:+.1f} % to {after_ml:.2f} mL"
        )
    lost = set(np.flatnonzero(before_ml[1:]) + 1) - {one.label for one in found}
    for label in sorted(lost):
        yield f"{path}: {layer.names.get(int(label), f'label {label}')} vanished when resampled to the study's grid"


def _layers(path: Path, geometry: VolumeGeometry) -> list[_Layer]:
    name = path.name.lower()
    if name.endswith(_VOLUME_SUFFIXES):
        return _volume_layers(path)
    with path.open("rb") as file:
        is_dicom = file.read(132)[128:] == b"DICM"
    if is_dicom:
        return _segmentation_layers(path, geometry)
    raise InputError(
        "is no mask that can be read",
        where=path,
        remedy="use DICOM SEG, .nii, .nii.gz, .nrrd, .seg.nrrd, .mha or .mhd",
    )


def _volume_layers(path: Path) -> list[_Layer]:
    import SimpleITK

    try:
        image: Any = SimpleITK.ReadImage(str(path))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise InputError(
            f"cannot be read ({reason})", where=path, remedy="save the mask again"
        ) from error
    if image.GetDimension() != 3:
        raise InputError(
            f"has {image.GetDimension()} dimensions", where=path, remedy="save a volume of labels"
        )
    values = SimpleITK.GetArrayFromImage(image)  # a copy: views of images die with them
    channels = values[..., None] if values.ndim == 3 else values
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    names = _slicer_names(image)
    return [
        _Layer(LabelVolume(_as_labels(channels[..., layer], path), affine), names.get(layer, {}))
        for layer in range(channels.shape[-1])
    ]


def _slicer_names(image: Any) -> dict[int, dict[int, str]]:
    """Layer -> label -> name, of a 3D Slicer segmentation; empty for any other file."""
    keys = set(image.GetMetaDataKeys())
    names: dict[int, dict[int, str]] = {}
    number = 0
    while f"Segment{number}_Name" in keys:

        def value(what: str, prefix: str = f"Segment{number}_") -> str:
            return str(image.GetMetaData(prefix + what)) if prefix + what in keys else ""

        layer, label = int(value("Layer") or 0), int(value("LabelValue") or number + 1)
        names.setdefault(layer, {})[label] = value("Name")
        number += 1
    return names


def _as_labels(values: NDArray[np.generic], path: Path) -> NDArray[np.integer]:
    """Whole, non-negative numbers, whatever type they are stored as."""
    labels = np.asarray(values)
    if labels.dtype.kind == "f" and not np.array_equal(labels, np.rint(labels)):
        raise InputError(
            "holds values that are no labels",
            where=path,
            remedy="save a label map, not an image",
        )
    if labels.size and (labels.min() < 0 or labels.max() > 65535):
        raise InputError(
            "holds labels outside 0-65535", where=path, remedy="number the regions from 1"
        )
    return labels.astype(np.int32)


def _segmentation_layers(path: Path, geometry: VolumeGeometry) -> list[_Layer]:
    """One layer per segment of a DICOM SEG, since segments may overlap."""
    import highdicom

    try:
        seg = highdicom.seg.segread(path)
    except Exception as error:  # highdicom raises many types on what is no SEG
        raise InputError(
            f"cannot be read as DICOM SEG ({error})",
            where=path,
            remedy="export the segmentation again",
        ) from error
    frame_uid = str(seg.get("FrameOfReferenceUID", ""))
    if (
        frame_uid
        and geometry.frame_of_reference_uid
        and frame_uid != geometry.frame_of_reference_uid
    ):
        raise GridMismatch(
            "has another frame of reference than the study",
            where=path,
            remedy="use a SEG that was drawn on this study",
        )
    fractional = seg.segmentation_type == highdicom.seg.SegmentationTypeValues.FRACTIONAL
    volume = seg.get_volume(combine_segments=False, rescale_fractional=fractional)
    if volume is None:
        raise InputError(
            "has slices that make no volume", where=path, remedy="export the segmentation again"
        )
    # highdicom's index is (slice, row, column); ours is (x, y, z).
    affine = np.eye(4)
    affine[:3] = volume.affine[:3][:, [2, 1, 0, 3]]
    layers = []
    for channel, number in enumerate(seg.segment_numbers):
        inside = volume.array[..., channel] >= (_FRACTION_INSIDE if fractional else 1)
        name = str(seg.get_segment_description(number).segment_label)
        labels = inside.astype(np.int32) * int(number)
        layers.append(_Layer(LabelVolume(labels, affine), {int(number): name}))
    return layers
