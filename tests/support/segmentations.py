"""DICOM SEG for tests, written by highdicom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import highdicom
import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes


def segment(number: int, label: str) -> highdicom.seg.SegmentDescription:
    """A lesion drawn by hand."""
    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=label,
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Lesion,
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.MANUAL,
    )


def segmentation(
    source_images: Sequence[Dataset], pixels: np.ndarray, kind: str, names: Mapping[int, str]
) -> highdicom.seg.Segmentation:
    """A SEG of one type: BINARY, FRACTIONAL or LABELMAP.

    pixels : (z, y, x, segment), or (z, y, x) labels
    names : segment number -> label
    """
    return highdicom.seg.Segmentation(
        source_images=source_images,
        pixel_array=pixels,
        segmentation_type=kind,
        segment_descriptions=[segment(number, name) for number, name in names.items()],
        series_instance_uid=highdicom.UID(),
        series_number=9,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="m",
        manufacturer_model_name="m",
        software_versions="1",
        device_serial_number="1",
    )
