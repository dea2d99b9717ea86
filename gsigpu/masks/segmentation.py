"""DICOM SEG: binary, fractional and label map; segments may overlap."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gsigpu.errors import MaskError
from gsigpu.masks.layers import Layer, Owner, require_owner
from gsigpu.masks.placement import LabelVolume, cropped
from gsigpu.volume import VolumeGeometry

# A voxel of a fractional segment is inside from half its full value, as highdicom and 3D Slicer take it.
_FRACTION_INSIDE = 0.5


def read_segmentation(path: Path, geometry: VolumeGeometry, owner: Owner) -> list[Layer]:
    """One layer per segment of a DICOM SEG.

    Raises MaskError if it cannot be read or its slices make no volume, and what `require_owner` raises.
    """
    import highdicom

    try:
        seg = highdicom.seg.segread(path)
    except Exception as error:  # highdicom raises many types on what is no SEG
        raise MaskError(
            f"cannot be read as DICOM SEG ({error})",
            where=path,
            remedy="export the segmentation again",
        ) from error
    frame_uid = str(seg.get("FrameOfReferenceUID", "") or "")
    require_owner(seg, _series_referred(seg), {frame_uid} - {""}, geometry, owner)
    try:
        return list(_layers(seg))
    except (ValueError, RuntimeError) as error:
        raise MaskError(
            f"makes no volume ({error})", where=path, remedy="export the segmentation again"
        ) from error


def _layers(seg: Any) -> Iterator[Layer]:
    """Segments that may overlap one by one, so that never more than one is whole in memory."""
    from highdicom.seg import SegmentationTypeValues

    names = {
        int(number): str(seg.get_segment_description(number).segment_label)
        for number in seg.segment_numbers
        if number != 0  # the background of a label map
    }
    if seg.segmentation_type == SegmentationTypeValues.LABELMAP:
        yield Layer(_label_volume(seg.get_volume(combine_segments=True)), names)
        return
    fractional = seg.segmentation_type == SegmentationTypeValues.FRACTIONAL
    least = _FRACTION_INSIDE * int(seg.MaximumFractionalValue) if fractional else 1
    for number, name in names.items():
        volume = seg.get_volume(segment_numbers=[number], rescale_fractional=False)
        segment = _label_volume(volume, channel=0, least=least)
        yield Layer(LabelVolume(segment.labels * number, segment.geometry), {number: name})


def _label_volume(volume: Any, channel: int | None = None, least: float = 1) -> LabelVolume:
    """Labels as stored, or 1 where a channel is at least so much."""
    if volume is None:
        raise ValueError("slices that are not parallel or not evenly spaced")
    # highdicom's index is (slice, row, column); ours is (x, y, z).
    affine = np.eye(4)
    affine[:3] = volume.affine[:3][:, [2, 1, 0, 3]]
    array = volume.array if channel is None else volume.array[..., channel] >= least
    return cropped(array, VolumeGeometry.from_affine(affine, array.shape))


def _series_referred(seg: Any) -> set[str]:
    items = seg.get("ReferencedSeriesSequence", None) or []
    return {str(item.get("SeriesInstanceUID", "")) for item in items} - {""}
