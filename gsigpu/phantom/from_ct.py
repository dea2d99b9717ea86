"""A spectral study made of a real single-energy CT, whose anatomy, noise and headers it keeps.

Each voxel of CT number HU₀, taken to be of the effective energy E₀, is split into water and iodine:

    inside a region    c as given, so that its truth is known
    elsewhere          c = max(HU₀ - soft tissue, 0) / r(E₀): what is brighter is contrast, or bone
    everywhere         ρw = 1000 + HU₀ - c r(E₀)

so that the monoenergetic image at E₀ is the real image, and all others follow as
HU(E) = ρw + c r(E) - 1000. The noise of the scan goes into ρw; it is equal at all energies.

HU₀ was rounded when it was stored. Rounding HU₀ + c (r(E) - r(E₀)) once more would shift a region of
one c by the same fraction everywhere, so that averaging does not help; a uniform random number in
place of the lost fraction makes it average out, and leaves the image at E₀ what it was.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray
from pydicom import DataElement, dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from gsigpu.dicom.reading.headers import scan_headers
from gsigpu.dicom.reading.hu_planes import read_planes
from gsigpu.dicom.reading.pixels import PlaneReader
from gsigpu.dicom.writing.encoding import encode_frame
from gsigpu.errors import (
    GridMismatch,
    InputError,
    NonUniformSpacing,
    SettingsError,
    UnsupportedPixelData,
)
from gsigpu.output.staging import staged_folder
from gsigpu.phantom.dicom_files import FileTemplate, phantom_uid
from gsigpu.phantom.painting import Composition, Plane
from gsigpu.phantom.phantom_settings import GSI_ENERGIES_KEV
from gsigpu.phantom.truth import TRUTH_FILE, expected
from gsigpu.physics import iodine_hu_per_mg_per_ml
from gsigpu.volume import Vector, VolumeGeometry

PHASE = "PVP"
_LEAST_HU, _MOST_HU = -1024.0, 3071.0  # 12 bits, as scanners clip
_SPACING_TOLERANCE_MM = 0.01  # positions are written to 0.001 mm or finer
_PADDING = -2000  # where the CT names none
_MOST_LOST = 0.499  # of a step: rounding leads back to the stored value even in float32
# What differs between the energies of a slice.
_CHANGING = ("SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription")
# Not of the new study: links to the old one, and group lengths, which no longer hold.
_DROPPED = (
    "ReferencedStudySequence", "ReferencedImageSequence", "ReferencedPerformedProcedureStepSequence",
    "SourceImageSequence",
)  # fmt: skip


@dataclass(frozen=True)
class IodineRegion:
    """Where iodine is known.

    mask : (z, y, x) bool on the grid of the CT, slices ascending along the slice normal
    iodine_mg_per_ml : c of all its voxels
    """

    name: str
    mask: NDArray[np.bool_] = field(repr=False)
    iodine_mg_per_ml: float


@dataclass(frozen=True)
class CtTruth:
    """What is known of a spectral study made of a CT.

    composition : ρw and c of every voxel, NaN where the CT holds padding
    """

    folder: Path = field(repr=False)
    geometry: VolumeGeometry
    composition: Composition
    regions: tuple[IodineRegion, ...]
    effective_kev: float

    @property
    def dicom_folder(self) -> Path:
        """The monoenergetic series."""
        return self.folder / "dicom"


@dataclass(frozen=True)
class _Ct:
    headers: tuple[Dataset, ...] = field(repr=False)
    hu: NDArray[np.float32] = field(repr=False)
    geometry: VolumeGeometry
    padding: NDArray[np.bool_] = field(repr=False)
    steps: NDArray[np.float32] = field(repr=False)  # (z, 1, 1) HU per stored step


def write_spectral_from_ct(
    ct_files: Sequence[Path] | Path,
    out: Path,
    *,
    regions: Sequence[IodineRegion] = (),
    energies_kev: Sequence[float] = GSI_ENERGIES_KEV,
    effective_kev: float = 70.0,
    soft_tissue_hu: float = 60.0,
    patient_id: str = "GSIGPU-CT-PHANTOM",
    patient_name: str = "Phantom^From CT",
    overwrite: bool = False,
) -> CtTruth:
    """Write monoenergetic series with the headers of a real CT series.

    ct_files : classic CT images of one series, or the folder they lie in
    out : gets `dicom/`, `truth/` (water and iodine as NIfTI), `truth.json`
    regions : later ones win where they overlap
    effective_kev : E₀; the series of this energy holds the real pixels
    soft_tissue_hu : outside all regions, brighter voxels hold iodine
    Raises InputError where the files are no CT series, GridMismatch where slices or masks differ in
    size, NonUniformSpacing, OutputError if `out` holds something.
    """
    ct = _read_ct(ct_files)
    for region in regions:
        if region.mask.shape != ct.geometry.shape:
            raise GridMismatch(
                f"mask {region.name!r} has shape {region.mask.shape}, the CT {ct.geometry.shape}",
                remedy="give masks on the grid of the CT",
            )
    if not energies_kev:
        raise SettingsError("no energies", remedy="give one or more in keV")
    composition = _split(ct, regions, effective_kev, soft_tissue_hu)
    n_bytes = 2 * ct.hu.size * len(energies_kev)
    with staged_folder(
        Path(out), overwrite=overwrite, command="phantom --anatomy", n_bytes=n_bytes
    ) as folder:
        truth = CtTruth(
            folder=folder,
            geometry=ct.geometry,
            composition=composition,
            regions=tuple(regions),
            effective_kev=effective_kev,
        )
        for index, header in enumerate(ct.headers):
            _write_slice(ct, index, header, truth, energies_kev, (patient_id, patient_name))
        _write_truth(truth, energies_kev)
    return CtTruth(
        folder=Path(out),
        geometry=ct.geometry,
        composition=composition,
        regions=tuple(regions),
        effective_kev=effective_kev,
    )


def disc_mask(geometry: VolumeGeometry, centre_mm: Vector, radius_mm: float) -> NDArray[np.bool_]:
    """(z, y, x) True where a voxel's centre lies within `radius_mm` of the axis through `centre_mm`.

    The axis is along z of the grid: a disc of the same place in every slice.
    """
    _, n_y, n_x = geometry.shape
    index = geometry.inverse_affine_lps @ (*centre_mm, 1.0)
    y = (np.arange(n_y)[:, None] - index[1]) * geometry.spacing_mm[1]
    x = (np.arange(n_x)[None, :] - index[0]) * geometry.spacing_mm[2]
    return np.broadcast_to(np.hypot(y, x) <= radius_mm, geometry.shape)


def _read_ct(ct_files: Sequence[Path] | Path) -> _Ct:
    headers, geometry = _ordered(_ct_images(ct_files), ct_files)
    hu = np.stack([_hu(ds) for ds in headers])
    slopes = np.array([float(ds.RescaleSlope) for ds in headers], np.float32)[:, None, None]
    return _Ct(
        headers=tuple(headers),
        hu=hu,
        geometry=geometry,
        padding=np.isnan(hu),
        steps=slopes,
    )


def _hu(ds: Dataset) -> NDArray[np.float32]:
    """(y, x), NaN where there is no value."""
    path = Path(ds.filename)
    scan = scan_headers(path)
    if len(scan.planes) != 1:
        reason = scan.skipped[0].reason if scan.skipped else f"{len(scan.planes)} frames"
        raise UnsupportedPixelData(reason, where=path, remedy="give classic CT images")
    hu: NDArray[np.float32] = read_planes(PlaneReader(), scan.planes)[0]
    return hu


def _padding_value(header: Dataset) -> int:
    """What stands for "no data" in the signed 16 bits that are written."""
    value = header.get("PixelPaddingValue")
    if value is None:
        return _PADDING
    signed = (int(value) & 0xFFFF) ^ 0x8000
    return signed - 0x8000


def _ct_images(ct_files: Sequence[Path] | Path) -> list[Dataset]:
    """The CT images among the files, all of one series."""
    paths = sorted(Path(ct_files).iterdir()) if isinstance(ct_files, Path) else list(ct_files)
    headers: list[Dataset] = []
    for path in paths:
        try:
            ds = dcmread(path)
        except InvalidDicomError:
            continue
        if ds.get("Modality") == "CT" and "ImagePositionPatient" in ds and "PixelData" in ds:
            headers.append(ds)
    if not headers:
        raise InputError(
            "no CT image among the files", where=ct_files, remedy="name the slices of one CT series"
        )
    if len({ds.SeriesInstanceUID for ds in headers}) > 1:
        raise InputError(
            "the files are of more than one CT series", where=ct_files, remedy="name one series"
        )
    return headers


def _ordered(headers: list[Dataset], where: object) -> tuple[list[Dataset], VolumeGeometry]:
    """The slices along their normal, and the grid that they make."""
    row, column = np.reshape(headers[0].ImageOrientationPatient, (2, 3)).astype(float)
    normal = np.cross(row, column)
    headers = sorted(
        headers, key=lambda ds: float(normal @ np.array(ds.ImagePositionPatient, float))
    )
    if len({(ds.Rows, ds.Columns, *ds.PixelSpacing) for ds in headers}) > 1:
        raise GridMismatch(
            "slices differ in size or pixel spacing", where=where, remedy="name one series"
        )
    heights = [float(normal @ np.array(ds.ImagePositionPatient, float)) for ds in headers]
    steps = np.diff(heights) if len(heights) > 1 else np.array([float(headers[0].SliceThickness)])
    if np.ptp(steps) > _SPACING_TOLERANCE_MM:
        raise NonUniformSpacing(
            f"slice distances between {steps.min():g} and {steps.max():g} mm",
            where=where,
            remedy="name all slices of one series",
        )
    x, y, z = (float(v) for v in headers[0].ImagePositionPatient)
    geometry = VolumeGeometry(
        shape=(len(headers), int(headers[0].Rows), int(headers[0].Columns)),
        spacing_mm=(
            float(steps.mean()),
            float(headers[0].PixelSpacing[0]),
            float(headers[0].PixelSpacing[1]),
        ),
        origin_mm=(x, y, z),
        row_direction=_vector(row),
        column_direction=_vector(column),
        slice_direction=_vector(normal),
        frame_of_reference_uid=phantom_uid(headers[0].FrameOfReferenceUID, "spectral"),
    )
    return headers, geometry


def _vector(values: NDArray[np.float64]) -> Vector:
    x, y, z = (float(value) for value in values)
    return (x, y, z)


def _split(
    ct: _Ct, regions: Sequence[IodineRegion], effective_kev: float, soft_tissue_hu: float
) -> Composition:
    r_0 = np.float32(iodine_hu_per_mg_per_ml([effective_kev])[0])
    rng = np.random.default_rng(0)
    lost = rng.uniform(-_MOST_LOST, _MOST_LOST, ct.hu.shape)
    hu = (ct.hu + lost * ct.steps).astype(np.float32)
    iodine: Plane = np.maximum(hu - np.float32(soft_tissue_hu), np.float32(0.0)) / r_0
    for region in regions:
        iodine[region.mask] = region.iodine_mg_per_ml
    water: Plane = np.float32(1000.0) + hu - r_0 * iodine
    water[ct.padding] = iodine[ct.padding] = np.nan
    return Composition(water, np.zeros((1, 1, 1), np.float32), {PHASE: iodine})


def _write_slice(
    ct: _Ct,
    index: int,
    header: Dataset,
    truth: CtTruth,
    energies_kev: Sequence[float],
    patient: tuple[str, str],
) -> None:
    """One slice at all energies; its real header is encoded once."""
    study_uid = phantom_uid(header.StudyInstanceUID, "spectral")
    slope, intercept = float(header.RescaleSlope), float(header.RescaleIntercept)
    padding = _padding_value(header)
    template = FileTemplate(
        _spectral_header(header, truth, study_uid, patient),
        "explicit",
        changing=_CHANGING,
        n_pixel_bytes=2 * math.prod(ct.padding.shape[1:]),
    )
    single = Composition(
        truth.composition.water[index],
        np.zeros((1, 1), np.float32),
        {PHASE: truth.composition.iodine[PHASE][index]},
    )
    for number, kev in enumerate(energies_kev, start=301):
        hu = np.clip(single.hu(PHASE, kev), _LEAST_HU, _MOST_HU)
        stored = np.where(ct.padding[index], padding, np.rint((hu - intercept) / slope))
        series_uid = phantom_uid(study_uid, "series", number)
        changes = {
            "SOPInstanceUID": phantom_uid(series_uid, index),
            "SeriesInstanceUID": series_uid,
            "SeriesNumber": str(number),
            "SeriesDescription": f"{PHASE} Mono {kev:g} keV",
        }
        frame = encode_frame(stored.astype(np.int16), "explicit")
        path = truth.dicom_folder / f"SER{number:05d}" / f"IMG{index + 1:05d}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(template.file_parts(changes, [frame])))


def _spectral_header(
    header: Dataset, truth: CtTruth, study_uid: str, patient: tuple[str, str]
) -> Dataset:
    """The real header, of another study and of nobody."""
    ds = Dataset()
    for element in header:
        group_length = element.tag.element == 0
        if not group_length and element.keyword not in _DROPPED and element.tag.group < 0x7FE0:
            ds[element.tag] = copy.deepcopy(element)
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    ds.StudyInstanceUID = study_uid
    ds.FrameOfReferenceUID = truth.geometry.frame_of_reference_uid
    ds.PatientID, ds.PatientName = patient
    ds.AccessionNumber = ""
    ds.BodyPartExamined = ds.get("BodyPartExamined") or "ABDOMEN"
    ds.StudyDescription = "Spectral phantom made of a CT"
    ds.PixelRepresentation = 1
    ds["PixelPaddingValue"] = DataElement("PixelPaddingValue", "SS", _padding_value(header))
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit = 15
    ds.DerivationDescription = (
        "Synthetic monoenergetic image: each voxel of a single-energy CT split into water and "
        f"iodine, effective energy {truth.effective_kev:g} keV; not for diagnosis"
    )
    return ds


def _write_truth(truth: CtTruth, energies_kev: Sequence[float]) -> None:
    folder = truth.folder / "truth"
    folder.mkdir()
    volumes = {"water": truth.composition.water, "iodine": truth.composition.iodine[PHASE]}
    for name, volume in volumes.items():
        image: Any = nibabel.Nifti1Image(volume.T, truth.geometry.affine_ras)  # type: ignore[no-untyped-call]  # nibabel has few types
        (folder / f"{name}.nii").write_bytes(image.to_bytes())
    regions = {
        region.name: {
            "n_voxels": int(region.mask.sum()),
            **expected(
                float(np.nanmean(truth.composition.water[region.mask])),
                region.iodine_mg_per_ml,
                tuple(energies_kev),
            ),
        }
        for region in truth.regions
    }
    record = {
        "format": "gsigpu-ct-phantom-1",
        "effective_kev": truth.effective_kev,
        "regions": regions,
    }
    text = json.dumps(record, indent=1) + "\n"
    (truth.folder / TRUTH_FILE).write_text(text, encoding="utf-8")
