"""Monoenergetic images in NIfTI, NRRD or MetaImage files, whose energies the user names, as a study.

Such a file holds HU and where it lies, and nothing of who or when. Each is read whole, checked as masks are
(length, checksum, one position), and kept as int16: whole HU as they are, decimals in steps of a power of two
that holds the file's range (0.0625 HU for a CT's 4096 HU), which is told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256
from math import ceil, log2
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.caution import Caution
from gsigpu.dicom.model import Evidence, PixelFormat, Plane, Series, SeriesKind, Study
from gsigpu.dicom.reading.elements import EXPLICIT_VR_LITTLE_ENDIAN
from gsigpu.dicom.reading.planes import NO_TISSUE_HU
from gsigpu.dicom.study.patterns import load_patterns, phase_meant
from gsigpu.errors import GridMismatch, MaskError, PixelDataError, SettingsError
from gsigpu.masks.integrity import whole_content
from gsigpu.masks.positions import doubt
from gsigpu.masks.stored_volume import read_volume
from gsigpu.masks.volume_headers import VOLUME_SUFFIXES, read_volume_header
from gsigpu.volume import VolumeGeometry

# int16 values that stand for HU; the one below them says that there is no value.
_LOWEST, _HIGHEST = -32767, 32767
_NO_VALUE = -32768
# Beyond this no CT number lies: the file holds something else than HU.
_LARGEST_HU = 200_000.0
_BLOCK = 1 << 22
_AGAIN = "copy or export the image again"


def read_volumes(
    files: Mapping[float, Path | str],
    *,
    phase: str = "",
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Study:
    """A study of monoenergetic images in files of volumes.

    files : keV -> a NIfTI-1, NRRD or MetaImage file of HU; all on one grid
    phase : of all of them; a word that means one of the known phases is that phase
    The images stay in memory as int16, two bytes a voxel and energy.
    Raises SettingsError for a file of another kind, PixelDataError for one that is damaged, does not say where it lies, or
    holds no HU, GridMismatch for one that lies elsewhere than the first.
    """
    if not files:
        raise SettingsError("no images", remedy="name them with --nifti 70=FILE")
    patterns = load_patterns().phase_patterns
    phase = phase_meant(phase, patterns) or phase
    series: list[Series] = []
    cautions: list[Caution] = []
    for done, (energy_kev, file) in enumerate(sorted(files.items())):
        progress(done, len(files))
        member, told = _series(Path(file), float(energy_kev), phase)
        cautions += told
        if series and not _lie_alike(member.geometry, series[0].geometry):
            raise GridMismatch(
                f"lies on another grid than {series[0].planes[0].path.name}",
                where=file,
                remedy="resample the images to one grid, or name those of one reconstruction",
            )
        series.append(member)
    return Study(
        root=series[0].planes[0].path.parent,
        series=tuple(series),
        warnings=tuple(cautions),
        phase_patterns=patterns,
    )


def is_of_volumes(study: Study) -> bool:
    """Whether a study was read from files that are not DICOM."""
    return any(not series.evidence.sop_class_uid for series in study.series)


def _lie_alike(grid: VolumeGeometry | None, other: VolumeGeometry | None) -> bool:
    return grid is not None and other is not None and grid.same_grid(other)


def _series(path: Path, energy_kev: float, phase: str) -> tuple[Series, list[Caution]]:
    values, grid, digest = _read(path)
    stored, slope, intercept, step = _as_int16(values)
    cautions = []
    if step:
        text = f"{path.name}: decimal HU are kept in steps of {step:g} HU"
        cautions.append(Caution("rounded-values", text))
    finite = values[np.isfinite(values)]
    if finite.size and finite.min() >= 0:
        text = (
            f"{path.name}: no value is below 0, so there is no air and no fat: if these are stored values and not HU,"
            " iodine, water and VNC are wrong"
        )
        cautions.append(Caution("no-negative-values", text))
    evidence = Evidence(
        sop_class_uid="",
        modality="CT",
        study_uid="",
        series_uid=digest,
        frame_of_reference_uid="",
        series_description=path.name,
    )
    planes = tuple(
        _plane(path, z, stored[z], evidence, grid, slope=slope, intercept=intercept)
        for z in range(len(stored))
    )
    return Series(
        key=digest,
        kind=SeriesKind.VMI,
        energy_kev=energy_kev,
        phase=phase,
        geometry=grid,
        planes=planes,
        evidence_used=(f"{energy_kev:g} keV: named by the user",),
    ), cautions


def _plane(
    path: Path,
    z: int,
    values: NDArray[np.int16],
    evidence: Evidence,
    grid: VolumeGeometry,
    *,
    slope: float,
    intercept: float,
) -> Plane:
    rows, columns = values.shape
    highest = min(int(np.floor((NO_TISSUE_HU - intercept) / slope)), _HIGHEST)
    return Plane(
        file_name=str(path),
        evidence=evidence,
        format=PixelFormat(EXPLICIT_VR_LITTLE_ENDIAN, rows, columns, 16, 16, 15, signed=True),
        sop_instance_uid=evidence.series_uid,
        position_mm=grid.position_mm(z, 0, 0),
        orientation=(*grid.row_direction, *grid.column_direction),
        pixel_spacing_mm=(grid.spacing_mm[1], grid.spacing_mm[2]),
        slice_thickness_mm=None,
        slope=slope,
        intercept=intercept,
        padding=(_NO_VALUE, max(highest, _NO_VALUE)),
        pixel_offset=0,
        pixel_length=2 * values.size,
        frame=z,
        values=values,
    )


def _read(path: Path) -> tuple[NDArray[Any], VolumeGeometry, str]:
    """(z, y, x) values as the file has them, the grid, and a digest of the file."""
    if not path.name.lower().endswith(VOLUME_SUFFIXES):
        raise SettingsError(
            f"{path} is no NIfTI, NRRD or MetaImage file",
            remedy=f"name a file that ends in {', '.join(VOLUME_SUFFIXES)}",
        )
    if not path.is_file():
        raise PixelDataError("is not there", where=path, remedy="correct the file's name")
    try:
        header = read_volume_header(path)
        volume = read_volume(path, content=whole_content(path, header))
        why, _ = doubt(header, volume.grid, volume.grid)
    except MaskError as error:
        # What is wrong with a volume of labels is wrong with one of HU.
        remedy = error.remedy.replace("the mask", "the image").replace("a volume of labels", "a volume of HU")  # fmt: skip
        raise PixelDataError(error.what, where=path, remedy=remedy or _AGAIN) from error
    if why:
        raise PixelDataError(
            why, where=path, remedy="save it again with one position, e.g. as NRRD from 3D Slicer"
        )
    values = volume.values
    if values.ndim != 3 or values.dtype.kind not in "iuf":
        raise PixelDataError(
            "has several values per voxel", where=path, remedy="save one volume of HU"
        )
    finite = values[np.isfinite(values)]
    if not finite.size or max(abs(float(finite.min())), abs(float(finite.max()))) > _LARGEST_HU:
        raise PixelDataError(
            "holds no HU", where=path, remedy="name a monoenergetic image, in HU as float or int16"
        )
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return values, volume.grid, f"sha256:{digest.hexdigest()[:32]}"


def _as_int16(values: NDArray[Any]) -> tuple[NDArray[np.int16], float, float, float]:
    """Stored values, slope and intercept, HU = slope * stored + intercept; and the step if values were rounded to it.

    >>> _as_int16(np.float32([[[-1000, 0.5, np.nan]]]))[:3]
    (array([[[-16000,      8, -32768]]], dtype=int16), 0.0625, 0.0)
    """
    is_valid = np.isfinite(values)
    low, high = float(values[is_valid].min()), float(values[is_valid].max())
    intercept, slope = 0.0, 1.0
    is_whole = values.dtype.kind in "iu" or bool((values[is_valid] % 1 == 0).all())
    largest = max(high, -low)
    if largest > _HIGHEST:
        intercept = float(round((low + high) / 2))
        largest = max(high - intercept, intercept - low)
    if largest > _HIGHEST or not is_whole:
        # No finer than 2**-4: CT numbers carry noise of some HU, and int16 then holds +-2047 HU.
        slope = max(2.0 ** ceil(log2(largest / _HIGHEST)), 2.0**-4) if largest else 1.0
    stored = np.full(values.shape, _NO_VALUE, np.int16)
    scaled = (values[is_valid].astype(np.float64) - intercept) / slope
    rounded = np.rint(scaled)
    stored[is_valid] = rounded.astype(np.int16)
    return stored, slope, intercept, 0.0 if np.array_equal(scaled, rounded) else slope
