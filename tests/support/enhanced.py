"""An Enhanced CT object, by pydicom alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import EnhancedCTImageStorage

from tests.support.dicom_files import ct_dataset


def _item(**values: object) -> list[Dataset]:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return [item]


def enhanced_ct(
    volume: np.ndarray,
    *,
    z_mm: Sequence[float],
    energies_kev: Sequence[float] | None = None,
    slopes: Sequence[float] | None = None,
    **attributes: object,
) -> FileDataset:
    """(frames, rows, columns) as one multi-frame file; geometry and energy in functional groups."""
    ds = ct_dataset(volume[0], **attributes)
    for keyword in (
        "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness",
        "RescaleSlope", "RescaleIntercept", "RescaleType", "KVP", "InstanceNumber",
    ):  # fmt: skip
        delattr(ds, keyword)
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    ds.InstanceNumber = 1
    ds.NumberOfFrames = len(volume)
    ds.PixelData = volume.tobytes()
    shared = Dataset()
    shared.PixelMeasuresSequence = _item(PixelSpacing=[0.8, 0.8], SliceThickness="2.5")
    shared.PlaneOrientationSequence = _item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    shared.CTImageFrameTypeSequence = _item(FrameType=["DERIVED", "PRIMARY", "VOLUME", "VMI"])
    ds.SharedFunctionalGroupsSequence = [shared]
    ds.PerFrameFunctionalGroupsSequence = []
    for frame, z in enumerate(z_mm):
        groups = Dataset()
        groups.PlanePositionSequence = _item(ImagePositionPatient=[-10, -20, z])
        groups.PixelValueTransformationSequence = _item(
            RescaleSlope=slopes[frame] if slopes else 1, RescaleIntercept=0, RescaleType="HU"
        )
        groups.FrameContentSequence = _item(StackID="1", InStackPositionNumber=frame + 1)
        if energies_kev is not None:
            groups.MultienergyCTCharacteristicsSequence = _item(
                MonoenergeticEnergyEquivalent=float(energies_kev[frame])
            )
        ds.PerFrameFunctionalGroupsSequence.append(groups)
    return ds
