"""DICOM SEG: binary, fractional and label map; segments may overlap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gsigpu.errors import InputError
from gsigpu.masks.layers import Layer, Owner, require_owner
from gsigpu.masks.placement import LabelVolume
from gsigpu.volume import VolumeGeometry

_FRACTION_INSIDE = 0.5


def read_segmentation(path: Path, geometry: VolumeGeometry, owner: Owner) -> list[Layer]:
    """One layer per segment of a DICOM SEG.

    Raises InputError if it cannot be read or its slices make no volume, and what `require_owner` raises.
    """
    import highdicom

    try:
        seg = highdicom.seg.segread(path)
    except Exception as error:  # highdicom raises many types on what is no SEG
        raise InputError(
            f"cannot be read as DICOM SEG ({error})",
            where=path,
            remedy="export the segmentation again",
        ) from error
    frame_uid = str(seg.get("FrameOfReferenceUID", "") or "")
    require_owner(seg, _series_referred(seg), {frame_uid} - {""}, geometry, owner)
    fractional = seg.segmentation_type == highdicom.seg.SegmentationTypeValues.FRACTIONAL
    try:
        volume = seg.get_volume(combine_segments=False, rescale_fractional=fractional)
    except (ValueError, RuntimeError) as error:
        raise InputError(
            f"makes no volume ({error})", where=path, remedy="export the segmentation again"
        ) from error
    if volume is None:
        raise InputError(
            "has slices that make no volume", where=path, remedy="export the segmentation again"
        )
    # highdicom's index is (slice, row, column); ours is (x, y, z).
    affine = np.eye(4)
    affine[:3] = volume.affine[:3][:, [2, 1, 0, 3]]
    layers = []
    for channel, number in enumerate(seg.segment_numbers):
        if number == 0:  # the background of a label map
            continue
        inside = volume.array[..., channel] >= (_FRACTION_INSIDE if fractional else 1)
        name = str(seg.get_segment_description(number).segment_label)
        labels = inside.astype(np.int32) * int(number)
        layers.append(Layer(LabelVolume(labels, affine), {int(number): name}))
    return layers


def _series_referred(seg: Any) -> set[str]:
    items = seg.get("ReferencedSeriesSequence", None) or []
    return {str(item.get("SeriesInstanceUID", "")) for item in items} - {""}
