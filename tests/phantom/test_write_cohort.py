"""Synthetic cohorts: the manifest leads to the studies, and lesions of one patient are alike."""

import csv
from dataclasses import replace

import nibabel
import numpy as np
import pytest

from gsigpu.choices import PRIMARIES
from gsigpu.errors import OutputError, SettingsError
from gsigpu.phantom import PhantomCohortSettings, write_phantom_cohort
from gsigpu.phantom.write_cohort import _patients

TINY = PhantomCohortSettings(
    n_patients=(2, 1, 1, 0, 0),
    second_reader_every=2,
    study=replace(
        PhantomCohortSettings().study,
        shape=(12, 40, 50),
        spacing_mm=(6.0, 5.0, 5.0),
        energies_kev=(60.0, 100.0),
    ),
)


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return write_phantom_cohort(tmp_path_factory.mktemp("cohort") / "c", TINY)


def test_the_manifest_names_files_that_are_there(cohort):
    rows = rows_of(cohort.manifest)
    for row in rows:
        for column in ("study", "mask", "liver_mask", "vessel_mask", "aorta_mask"):
            assert (cohort.folder / row[column]).exists()
    assert [row["group"] for row in rows if row["reader"] == "A" and row["phase"] == "AP"] == [
        "colorectal", "colorectal", "gastric", "pancreatic",
    ]  # fmt: skip
    assert {row["case_id"] for row in rows if row["reader"] == "B"} == {"C002", "C004"}
    assert [row["case_id"] for row in rows if row["confirmed"] == "no"] == ["C001", "C001"]


def test_the_truth_is_that_of_each_study(cohort):
    rows = rows_of(cohort.folder / "truth.csv")
    for truth, patient in zip(cohort.truths, ("P001", "P002", "P003", "P004"), strict=True):
        table = {
            (int(row["lesion_id"]), row["region"]): float(row["value"])
            for row in rows
            if row["patient_id"] == patient
            and row["parameter"] == "iodine"
            and row["phase"] == "PVP"
        }
        for lesion in truth.as_dict()["lesions"]:
            for region in ("core", "rim"):
                assert table[lesion["label"], region] == lesion[region]["PVP"]["iodine_mg_per_ml"]


def test_a_second_reader_outlines_the_same_lesions_otherwise(cohort):
    place = cohort.folder / "studies" / "C002" / "masks"
    first, second = (
        np.asarray(nibabel.load(place / name).dataobj)
        for name in ("lesions.nii.gz", "lesions-reader-B.nii.gz")
    )
    assert set(np.unique(first)) == set(np.unique(second))
    assert (first != second).any()
    overlap = 2 * ((first > 0) & (second > 0)).sum() / ((first > 0).sum() + (second > 0).sum())
    assert overlap > 0.6


def test_the_same_settings_give_the_same_bytes(cohort, tmp_path):
    again = write_phantom_cohort(tmp_path / "c", TINY)
    for path in sorted(file for file in cohort.folder.rglob("*") if file.is_file()):
        assert path.read_bytes() == (again.folder / path.relative_to(cohort.folder)).read_bytes()


def test_lesions_of_one_patient_are_alike():
    """Between-patient variance of log uptake as set: 0.3 between, 0.1 within."""
    settings = replace(TINY, n_patients=(60, 0, 0, 0, 0), n_lesions=(2, 2), n_unconfirmed=0)
    uptake = np.log(
        [
            [lesion.rim_iodine_mg_per_ml["PVP"] for lesion in patient.truth.lesions]
            for patient in _patients(settings)
        ]
    )
    within = uptake.var(axis=1, ddof=1).mean()
    between = uptake.mean(axis=1).var(ddof=1) - within / 2
    assert np.sqrt(within) == pytest.approx(np.log1p(0.1), rel=0.3)
    assert np.sqrt(between) == pytest.approx(np.log1p(0.3), rel=0.3)


def test_what_makes_no_cohort_is_refused(cohort, tmp_path):
    with pytest.raises(SettingsError, match=f"for each of {PRIMARIES[0]}"):
        PhantomCohortSettings(n_patients=(1, 2))
    with pytest.raises(SettingsError, match="make no cohort"):
        PhantomCohortSettings(n_lesions=(3, 2))
    with pytest.raises(OutputError, match="is there already"):
        write_phantom_cohort(cohort.folder, TINY)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(OutputError, match="was not written by gsigpu phantom"):
        write_phantom_cohort(tmp_path / "mine", TINY, overwrite=True)
