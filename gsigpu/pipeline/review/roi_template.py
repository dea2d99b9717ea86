"""What the page needs to save a region of interest as a DICOM Segmentation.

The page cannot run Python. It gets a Segmentation of one voxel on the first slice as DICOM JSON, made by the
same writer as all others, and changes in it what a region changes: the frame's place, the image it was
drawn on, the voxels, the label, and the identifiers.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pydicom

from gsigpu.dicom.model import Series, SpectralStack
from gsigpu.dicom.writing.seg import Segment, write_segmentation
from gsigpu.maps.definitions import Code, nearest
from gsigpu.regions.region_mask import RegionMask

# The energy that a reader looks at, and that regions refer to.
_READING_KEV = 70.0
_ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")
_LESION = Code("52988006", "SCT", "Lesion")
_LIVER = Code("10200004", "SCT", "Liver")


def reading_series(stack: SpectralStack) -> Series:
    """The series of a stack that a reader looks at: 70 keV, or the nearest energy."""
    return min(stack.series, key=lambda series: abs((series.energy_kev or 0.0) - _READING_KEV))


def reading_note(stack: SpectralStack) -> list[str]:
    """What to know of the series that saved regions refer to, where it is not the usual one."""
    kev = reading_series(stack).energy_kev or 0.0
    if nearest((kev,), _READING_KEV) is not None:
        return []
    return [
        f"saved regions of interest refer to the series at {kev:g} keV: the stack has none at {_READING_KEV:g} keV"
    ]


def roi_template(stack: SpectralStack) -> dict[str, Any] | None:
    """A Segmentation of one frame as DICOM JSON, and the images of all slices.

    Returns None where the images are frames of multi-frame files, which the page does not refer to.
    """
    series = reading_series(stack)
    if series.evidence.n_frames > 1 or any(plane.position_mm is None for plane in series.planes):
        return None
    mask = RegionMask(name="roi", label=1, origin=(0, 0, 0), voxels=np.ones((1, 1, 1), dtype=bool))
    with tempfile.TemporaryDirectory(prefix="gsigpu-") as folder:
        path = Path(folder) / "roi.dcm"
        segment = Segment(label="roi", mask=mask, category=_ABNORMAL, kind=_LESION, anatomy=_LIVER)
        write_segmentation(path, [segment], series, stack.geometry)
        dataset = pydicom.dcmread(path)
    dataset.PixelData = b""
    return {
        "dataset": dataset.to_json_dict(),
        "sopClass": str(dataset.SOPClassUID),
        "implementation": str(dataset.file_meta.ImplementationClassUID),
        "instances": [plane.sop_instance_uid for plane in series.planes],
        "positions": [
            [f"{value:.6f}".rstrip("0").rstrip(".") for value in plane.position_mm or ()]
            for plane in series.planes
        ],
    }
