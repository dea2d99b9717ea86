"""Maps in colour over the anatomical image, as Secondary Capture, for viewers that know nothing else.

One single-frame RGB object per slice. Secondary Capture has no geometry; the slice's
position, orientation and spacing are written nevertheless, as a standard extension, so that viewers
can sort and cross-reference. The colour bar is a strip to the right of the image: nothing of the
anatomy is covered, and the geometry holds.
"""

from __future__ import annotations

import threading
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
from gsigpu.dicom.writing.series_files import SeriesFiles
from gsigpu.dicom.writing.slice_files import SliceFiles
from gsigpu.map_files import file_name
from gsigpu.maps.definitions import HU, Code, Energies, LinearRows, MapDefinition
from gsigpu.volume import patient_letters

_ANATOMY_KEV = 70.0


def _nearest_to_anatomy(available: Energies) -> Energies:
    return (min(available, key=lambda kev: abs(kev - _ANATOMY_KEV)),)


def _unchanged(_energies: Energies) -> LinearRows:
    return LinearRows(np.ones((1, 1)), np.zeros(1))


# The image below the colours, as a further plane for the stream to deliver.
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
    rows=_unchanged,
)


class OverlayFiles(SeriesFiles):
    """Writes each map as a series of RGB Secondary Captures."""

    def __init__(
        self, folder: Path, definitions: Sequence[MapDefinition], stack: SpectralStack
    ) -> None:
        """Makes the headers, the colour bar and the folder of each map.

        definitions : the maps, and ANATOMY last
        """
        *self._maps, anatomy = definitions
        assert anatomy is ANATOMY
        _, rows, columns = stack.geometry.shape
        self._shape, self._of_thread = (rows, columns), threading.local()
        n_bar = bar_columns(columns)
        self._bars = [colour_bar(definition, rows=rows, columns=n_bar) for definition in self._maps]
        series = derive(
            self._maps, stack, sop_class_uid=SecondaryCaptureImageStorage, beside=(ANATOMY,)
        )
        writers = [
            SliceFiles(
                folder / file_name(derived.definition.name),
                derived,
                partial(_describe, columns + n_bar),
                n_pixel_bytes=rows * (columns + n_bar) * 3,
                pixel_vr="OB",
            )
            for derived in series
        ]
        super().__init__(self._maps, writers)

    def write(self, z: int, planes: Sequence[NDArray[Any]]) -> None:
        """Planes of slice z, (rows, columns) float32, one per map, then the anatomical image in HU."""
        *maps, anatomy_hu = planes
        columns = anatomy_hu.shape[1]
        pictures = self._pictures()
        for definition, picture, plane in zip(self._maps, pictures, maps, strict=True):
            overlay(
                anatomy_hu,
                plane,
                definition,
                anatomy_window=ANATOMY.window,
                out=picture[:, :columns],
            )
        super().write(z, pictures)

    def _pictures(self) -> list[NDArray[np.uint8]]:
        """A picture per map of this thread, with the bar in its place; pages of memory are made once."""
        if not hasattr(self._of_thread, "pictures"):
            rows, columns = self._shape
            pictures = [np.empty((rows, columns + bar.shape[1], 3), np.uint8) for bar in self._bars]
            for picture, bar in zip(pictures, self._bars, strict=True):
                picture[:, columns:] = bar
            self._of_thread.pictures = pictures
        made: list[NDArray[np.uint8]] = self._of_thread.pictures
        return made


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
