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

from gsigpu.dicom.model import SpectralStack
from gsigpu.dicom.writing.seg import Segment, write_segmentation
from gsigpu.maps.definitions import Code
from gsigpu.pipeline.reading_series import reading_series
from gsigpu.regions.region_mask import RegionMask

_ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")
_LESION = Code("52988006", "SCT", "Lesion")
_LIVER = Code("10200004", "SCT", "Liver")


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
