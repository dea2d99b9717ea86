"""`gsigpu.scan`: what a folder holds, and its images as volumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from gsigpu.dicom.model import Study
from gsigpu.dicom.reading.hu_planes import read_volume
from gsigpu.dicom.study.read_study import read_study
from gsigpu.image_volume import ImageVolume
from gsigpu.pipeline.choose_stack import choose_stack
from gsigpu.vmi_volumes import read_volumes


@dataclass(frozen=True, slots=True, repr=False)
class ScannedStudy(Study):
    """A study whose images can be asked for; every function that takes a study takes it."""

    def volume(
        self, energy_kev: float, *, phase: str | None = None, series: Sequence[str] = ()
    ) -> ImageVolume:
        """The monoenergetic image at one energy, as the scanner wrote it.

        energy_kev : one that the study has; `gsigpu.map(study, maps=["mono-65"])` computes any between 40 and 140 keV
        phase, series : which stack, where the study holds several
        Returns float32 HU; NaN where the image has no value.
        Raises NoSpectralStack, AmbiguousStack, TooFewEnergies where no series has this energy, the problem of the
        series if it has one, PixelDataError for a file that cannot be decoded.

        Tested against SimpleITK's reading of the same series.
        """
        stack = choose_stack(self, phase=phase, series=series, energies_kev=[energy_kev]).stack
        image = stack.series[0]
        return ImageVolume(
            read_volume(image), geometry=stack.geometry, name=f"{image.energy_kev:g} keV", unit="HU"
        )


def scan(root: Path | str, **options: Any) -> ScannedStudy:
    """What a folder holds.

    root : a folder of DICOM files, its DICOMDIR, or a zip or tar of it
    options : those of `gsigpu.dicom.study.read_study.read_study`: energy_overrides, phase_overrides, kind_overrides,
        patterns, progress
    Raises InputError if the folder cannot be read, SettingsError if an override names no series.
    """
    return _scanned(read_study(root, **options))


def scan_volumes(files: Mapping[float, Path | str], *, phase: str = "") -> ScannedStudy:
    """A study of monoenergetic images in NIfTI, NRRD or MetaImage files.

    files : keV -> file; see `gsigpu.vmi_volumes.read_volumes`
    phase : of all of them
    """
    return _scanned(read_volumes(files, phase=phase))


def _scanned(study: Study) -> ScannedStudy:
    return ScannedStudy(**{field.name: getattr(study, field.name) for field in fields(Study)})
