"""Maps in colour over the anatomical image, as Secondary Capture, for viewers that know nothing else.

One single-frame RGB object per slice. Secondary Capture has no geometry of its own; the slice's
position, orientation and spacing are written nevertheless, as a standard extension, so that viewers
can sort and cross-reference. The colour bar is a strip to the right of the image: nothing of the
anatomy is covered, and the geometry holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from pydicom.uid import SecondaryCaptureImageStorage

from gsigpu.dicom.model import SpectralStack
from gsigpu.dicom.writing.derived import derive
from gsigpu.dicom.writing.overlay import bar_columns, colour_bar, overlay
from gsigpu.dicom.writing.slice_files import SliceFiles
from gsigpu.maps.definitions import HU, Code, Energies, LinearRows, MapDefinition
from gsigpu.volume_files import file_name

_ANATOMY_KEV = 70.0


def _nearest_to_anatomy(available: Energies) -> Energies:
    return (min(available, key=lambda kev: abs(kev - _ANATOMY_KEV)),)


def _as_it_is(_energies: Energies) -> LinearRows:
    return LinearRows(np.ones((1, 1)), np.zeros(1))


# The image below the colours, as one more plane for the stream to deliver.
ANATOMY = MapDefinition(
    name="anatomy",
    parameter="anatomy",
    title="Anatomical image",
    formula=f"the monoenergetic image nearest {_ANATOMY_KEV:g} keV",
    unit=HU,
    quantity=Code("112031", "DCM", "Attenuation Coefficient"),
    rescale_type="HU",
    step=1.0,
    window=(60.0, 400.0),
    colormap="gray",
    energies_for=_nearest_to_anatomy,
    rows=_as_it_is,
)


class OverlaySink:
    """Writes each map as a series of RGB Secondary Captures.

    names : map name -> its folder inside the output folder
    """

    dtype: np.dtype[Any] = np.dtype(np.float32)

    def __init__(
        self,
        folder: Path,
        definitions: Sequence[MapDefinition],
        stack: SpectralStack,
    ) -> None:
        """Prepares the headers and the colour bar of each map, and a folder for each.

        definitions : the maps, and ANATOMY last
        """
        *self._maps, anatomy = definitions
        assert anatomy is ANATOMY
        self.names = {one.name: file_name(one.name) for one in self._maps}
        _, rows, columns = stack.geometry.shape
        n_bar = bar_columns(columns)
        self._bars = [colour_bar(one, rows=rows, columns=n_bar) for one in self._maps]
        self._files = [
            SliceFiles(
                folder / self.names[one.definition.name],
                one,
                partial(_describe, columns + n_bar),
                n_pixel_bytes=rows * (columns + n_bar) * 3,
                pixel_vr="OB",
            )
            for one in derive(
                self._maps,
                stack,
                sop_class_uid=SecondaryCaptureImageStorage,
                beside=(ANATOMY,),
            )
        ]

    def write(self, z: int, planes: Sequence[NDArray[Any]]) -> None:
        """Planes of slice z, (rows, columns) float32, one per map, then the anatomical image in HU."""
        *maps, anatomy_hu = planes
        for one, files, bar, plane in zip(self._maps, self._files, self._bars, maps, strict=True):
            picture = overlay(anatomy_hu, plane, one, anatomy_window=ANATOMY.window)
            pixels: Any = np.ascontiguousarray(np.concatenate([picture, bar], axis=1))
            files.write(z, memoryview(pixels).cast("B"))

    def __enter__(self) -> OverlaySink:
        """Nothing to do."""
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Nothing to do: every file is complete when it is written."""


def _describe(columns: int, ds: FileDataset) -> None:
    """The General Image, SC Equipment and Image Pixel modules."""
    ds.ImageType = ["DERIVED", "SECONDARY"]
    cosines = [float(value) for value in ds.ImageOrientationPatient]
    ds.PatientOrientation = [patient_letters(cosines[:3]), patient_letters(cosines[3:])]
    ds.ConversionType = "WSD"
    if "BurnedInAnnotation" not in ds:
        ds.BurnedInAnnotation = "NO"  # the colour bar identifies nobody
    ds.Columns = columns
    ds.SamplesPerPixel = 3
    ds.PhotometricInterpretation = "RGB"
    ds.PlanarConfiguration = 0
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit = 7
    ds.PixelRepresentation = 0


def patient_letters(direction: Sequence[float]) -> str:
    """Where a direction points, largest component first, as Patient Orientation has it.

    direction : unit vector, LPS

    >>> patient_letters([1.0, 0.0, 0.0]), patient_letters([0.0, 0.6, -0.8])
    ('L', 'FP')
    """
    letters = ("RL", "AP", "FH")
    ordered = sorted(range(3), key=lambda axis: -abs(direction[axis]))
    return "".join(
        letters[axis][int(direction[axis] > 0)] for axis in ordered if abs(direction[axis]) > 1e-3
    )
