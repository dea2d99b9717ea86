"""A synthetic cohort: studies of patients with metastases of several primaries, and their manifest.

Uptake varies twice: a patient's factor is shared by all lesions, a lesion's own is drawn beside it, so
that lesions of one patient are alike, as they are in a clinic and as no test of independent lesions
allows for. Like every number of the phantom these are chosen, and no clinical fact.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from gsigpu.choices import PRIMARIES
from gsigpu.errors import SettingsError
from gsigpu.output.staging import staged_folder
from gsigpu.phantom.lesions import Lesion
from gsigpu.phantom.mask_files import mask_writers
from gsigpu.phantom.phantom_settings import PhantomSettings
from gsigpu.phantom.truth import PhantomTruth, expected, plan_phantom
from gsigpu.phantom.write_phantom import Progress, write_phantom

MANIFEST_FILE = "manifest.csv"
_TRUTH_FILE = "truth.csv"
_SECOND_MASK = "masks/lesions-reader-B.nii.gz"
# A second reader's outline: SD of its centre (mm), and relative SD of its semi-axes.
_READER_SHIFT_MM = 0.5
_READER_SCALE = 0.05
_N_DRAWS = 20
_COLUMNS = (
    "case_id", "patient_id", "group", "phase", "study", "mask", "reader", "liver_mask",
    "vessel_mask", "aorta_mask", "sex", "age", "confirmed",
)  # fmt: skip

# 72 mm of the liver in 24 slices, all energies, nothing else: a second to write. Noise of each energy's
# own is a tenth of the noise and half of that time.
_SMALL_STUDY = PhantomSettings(
    shape=(24, 128, 160),
    spacing_mm=(3.0, 1.6, 1.6),
    diameter_mm=(10.0, 31.0),
    noise_hu=10.0,
    noise_independent=0.0,
    extras=(),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomCohortSettings:
    """A synthetic cohort; the same settings give the same bytes.

    n_patients : of each primary, in the order of PRIMARIES. The default keeps the proportions of the
        source study (41, 21, 35, 31, 12) at less than a third of its size
    n_lesions : (least, most) per patient
    patient_variation : relative SD, between patients of one primary, of the iodine of all lesions
    second_reader_every : every how manieth patient a second reader outlined too; 0 for none
    n_unconfirmed : patients of the first primary without proof by pathology
    study : every study; its primary, seed, patient and number of lesions are set per patient
    seed : of everything random
    """

    n_patients: tuple[int, ...] = (11, 6, 9, 8, 5)
    n_lesions: tuple[int, int] = (1, 4)
    patient_variation: float = 0.3
    second_reader_every: int = 4
    n_unconfirmed: int = 1
    study: PhantomSettings = field(default_factory=lambda: _SMALL_STUDY)
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise SettingsError for what makes no sense."""
        if len(self.n_patients) != len(PRIMARIES) or min(self.n_patients) < 0:
            raise SettingsError(
                f"{','.join(map(str, self.n_patients))} is no number of patients for each of"
                f" {', '.join(PRIMARIES)}",
                remedy="write 11,6,9,8,5",
            )
        if not 1 <= self.n_lesions[0] <= self.n_lesions[1]:
            raise SettingsError(
                f"{self.n_lesions[0]} to {self.n_lesions[1]} lesions per patient make no cohort",
                remedy="give 1 or more, the smaller number first",
            )


@dataclass(frozen=True, slots=True, repr=False)
class PhantomCohort:
    """A cohort on disk: `manifest.csv` beside `studies/`, and the truth of each."""

    folder: Path
    truths: tuple[PhantomTruth, ...]

    @property
    def manifest(self) -> Path:
        """What `gsigpu cohort run` takes."""
        return self.folder / MANIFEST_FILE

    def __repr__(self) -> str:
        """Without paths."""
        return f"<PhantomCohort: {len(self.truths)} studies>"


@dataclass(frozen=True, slots=True)
class _Patient:
    case_id: str
    patient_id: str
    sex: str
    age: int
    confirmed: bool
    second_reader: bool
    truth: PhantomTruth


def write_phantom_cohort(
    out: Path | str,
    settings: PhantomCohortSettings | None = None,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> PhantomCohort:
    """Write a synthetic cohort.

    out : gets `manifest.csv`, `truth.csv` (true iodine and λHU of every core and rim, in the columns
        of the measurement table) and `studies/CASE/` as `write_phantom` leaves it
    overwrite : replace a cohort that is there; anything else is never replaced
    progress : called with (patients done, patients in all)
    Raises OutputError if `out` holds something, SettingsError if lesions do not fit.
    """
    out = Path(out)
    settings = settings or PhantomCohortSettings()
    patients = list(_patients(settings))
    n_bytes = sum(
        2 * math.prod(study.shape) * len(study.energies_kev) * len(study.phases)
        for study in (patient.truth.settings for patient in patients)
    )
    with staged_folder(
        out, overwrite=overwrite, command="phantom --cohort", n_bytes=n_bytes
    ) as folder:
        for n_done, patient in enumerate(patients, start=1):
            place = folder / "studies" / patient.case_id
            write_phantom(place, patient.truth.settings, lesions=patient.truth.lesions)
            if patient.second_reader:
                _write_second_mask(place, patient.truth)
            if progress is not None:
                progress(n_done, len(patients))
        _write_csv(
            folder / MANIFEST_FILE,
            _COLUMNS,
            (row for patient in patients for row in _rows(patient)),
        )
        _write_csv(
            folder / _TRUTH_FILE,
            ("patient_id", "lesion_id", "group", "phase", "region", "parameter", "value", "unit"),
            (row for patient in patients for row in _true_values(patient)),
        )
    return PhantomCohort(
        out,
        tuple(
            replace(patient.truth, folder=out / "studies" / patient.case_id) for patient in patients
        ),
    )


def _patients(settings: PhantomCohortSettings) -> Iterator[_Patient]:
    n_all = 0
    for primary, n_of_primary in zip(PRIMARIES, settings.n_patients, strict=True):
        for n_of_group in range(n_of_primary):
            n_all += 1
            rng = np.random.default_rng((settings.seed, n_all))
            least, most = settings.n_lesions
            patient_id = f"P{n_all:03d}"
            study = replace(
                settings.study,
                primary=primary,
                seed=settings.seed * 100_000 + n_all,
                n_lesions=int(rng.integers(least, most + 1)),
                patient_id=patient_id,
                patient_name=f"Phantom^{patient_id}",
            )
            uptake = math.exp(rng.normal(0.0, math.log1p(settings.patient_variation)))
            yield _Patient(
                case_id=f"C{n_all:03d}",
                patient_id=patient_id,
                sex="M" if rng.random() < 0.6 else "F",
                age=int(np.clip(rng.normal(59.0, 10.0), 25.0, 88.0)),
                confirmed=not (primary == PRIMARIES[0] and n_of_group < settings.n_unconfirmed),
                second_reader=settings.second_reader_every > 0
                and n_all % settings.second_reader_every == 0,
                truth=_planned(study, uptake),
            )


def _planned(study: PhantomSettings, uptake: float) -> PhantomTruth:
    """Lesions with a patient's uptake; drawn again where they do not fit into the grid."""
    for n_draw in range(_N_DRAWS):
        try:
            truth = plan_phantom(replace(study, seed=study.seed + n_draw * 10_000_000))
        except SettingsError:
            if n_draw == _N_DRAWS - 1:
                raise
            continue
        return replace(truth, lesions=tuple(_scaled(lesion, uptake) for lesion in truth.lesions))
    raise AssertionError("the last draw raises")


def _scaled(lesion: Lesion, uptake: float) -> Lesion:
    return replace(
        lesion,
        core_iodine_mg_per_ml={p: uptake * c for p, c in lesion.core_iodine_mg_per_ml.items()},
        rim_iodine_mg_per_ml={p: uptake * c for p, c in lesion.rim_iodine_mg_per_ml.items()},
    )


def _write_second_mask(place: Path, truth: PhantomTruth) -> None:
    """The lesions as somebody else would have outlined them."""
    rng = np.random.default_rng((truth.settings.seed, 4))
    lesions = []
    for lesion in truth.lesions:
        x, y, z = (
            a + float(b)
            for a, b in zip(lesion.centre_mm, rng.normal(0.0, _READER_SHIFT_MM, 3), strict=True)
        )
        scale = math.exp(rng.normal(0.0, _READER_SCALE))
        a, b, c = (scale * radius for radius in lesion.radii_mm)
        lesions.append(replace(lesion, centre_mm=(x, y, z), radii_mm=(a, b, c)))
    painter = replace(truth, lesions=tuple(lesions)).painter()
    with mask_writers({"lesions": place / _SECOND_MASK}, truth.geometry) as write_mask:
        for z_index in range(truth.geometry.shape[0]):
            write_mask["lesions"](painter.lesion_labels(z_index))


def _rows(patient: _Patient) -> Iterator[tuple[object, ...]]:
    """Of the manifest: a row per phase and reader."""
    place = f"studies/{patient.case_id}"
    masks = [("A", f"{place}/masks/lesions.nii.gz")]
    if patient.second_reader:
        masks.append(("B", f"{place}/{_SECOND_MASK}"))
    for reader, mask in masks:
        for phase in patient.truth.settings.phases:
            yield (
                patient.case_id,
                patient.patient_id,
                patient.truth.settings.primary,
                phase,
                f"{place}/dicom",
                mask,
                reader,
                f"{place}/masks/liver.nii.gz",
                f"{place}/masks/vessels.nii.gz",
                f"{place}/masks/aorta.nii.gz",
                patient.sex,
                patient.age,
                "yes" if patient.confirmed else "no",
            )


def _true_values(patient: _Patient) -> Iterator[tuple[object, ...]]:
    study = patient.truth.settings
    for lesion in patient.truth.lesions:
        for region, water, iodine in (
            ("core", lesion.core_water_mg_per_ml, lesion.core_iodine_mg_per_ml),
            ("rim", lesion.rim_water_mg_per_ml, lesion.rim_iodine_mg_per_ml),
        ):
            for phase in study.phases:
                known = expected(water, iodine[phase], study.energies_kev)
                values = (
                    ("iodine", known["iodine_mg_per_ml"], "mg/mL"),
                    ("lambda_hu", known["lambda_hu"]["paper"], "HU/keV"),
                )
                for parameter, value, unit in values:
                    yield (
                        patient.patient_id,
                        lesion.label,
                        study.primary,
                        phase,
                        region,
                        parameter,
                        value,
                        unit,
                    )


def _write_csv(path: Path, columns: tuple[str, ...], rows: Iterator[tuple[object, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
