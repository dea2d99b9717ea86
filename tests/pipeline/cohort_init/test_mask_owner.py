"""A mask is proposed for the study that its name speaks of, and for no other."""

from pathlib import Path

import pytest

from gsigpu.pipeline.cohort_init import mask_owner
from gsigpu.pipeline.cohort_init.mask_owner import MaskOwners, NamedStudy

ROOT = Path("/tree")


def owners(*studies):
    """Of (patient, folder) pairs; a study's key is its folder."""
    return MaskOwners(
        [
            NamedStudy(
                key=folder,
                patient=patient,
                folders=tuple(folder.split("/")),
                patient_names=(patient,),
            )
            for patient, folder in studies
        ]
    )


TIMEPOINTS = owners(
    ("P001", "dicom/P001/baseline"),
    ("P001", "dicom/P001/followup"),
    ("P002", "dicom/P002/baseline"),
    ("P002", "dicom/P002/followup"),
    ("P003", "dicom/P003/baseline"),
)
NUMBERS = owners(("ID-7", "1/dicom"), ("ID-8", "2/dicom"), ("ID-9", "12/dicom"))


@pytest.mark.parametrize(
    ("mask", "study"),
    [
        ("masks/P001_baseline_lesions.nii.gz", "dicom/P001/baseline"),
        ("masks/P002-followup-liver.nii.gz", "dicom/P002/followup"),
        ("masks/P002/followup.nrrd", "dicom/P002/followup"),
        ("masks/p001/Baseline lesions.nii.gz", "dicom/P001/baseline"),
        ("masks/P003_lesions.nii.gz", "dicom/P003/baseline"),
        ("masks/P003_followup_lesions.nii.gz", ""),  # of an examination that is not there
        ("masks/P001_lesions.nii.gz", ""),  # of which of the two?
        ("masks/baseline_lesions.nii.gz", ""),  # of whom?
        ("masks/P0011_baseline_lesions.nii.gz", ""),  # a part of a part names nobody
        ("masks/P001_P002_baseline.nii.gz", ""),  # of two
        ("masks/P001_baseline_followup.nii.gz", ""),
    ],
)
def test_patient_and_examination(mask, study):
    assert TIMEPOINTS.owner(ROOT / mask, ROOT).study == study


@pytest.mark.parametrize(
    ("mask", "study"),
    [
        ("masks/patient_1_lesion_2.nii.gz", "1/dicom"),
        ("masks/patient_2_lesion_1.nii.gz", "2/dicom"),
        ("masks/2.nii.gz", "2/dicom"),
        ("masks/2/lesion_1.nii.gz", "2/dicom"),
        ("masks/ID-9_lesions.nii.gz", "12/dicom"),
        ("masks/1_2.nii.gz", ""),
        ("masks/lesions.nii.gz", ""),
    ],
)
def test_numbers(mask, study):
    assert NUMBERS.owner(ROOT / mask, ROOT).study == study


def test_a_mask_beside_a_study_that_names_another_is_not_used():
    study = NamedStudy("dicom/P002/baseline", "P002", ("dicom", "P002", "baseline"), ("P002",))
    place = ROOT / "dicom/P002/baseline/masks"
    assert TIMEPOINTS.contradicts(place / "P001_baseline.nii.gz", ROOT, study)
    assert TIMEPOINTS.contradicts(ROOT / "dicom/P002/masks/followup.nii.gz", ROOT, study)
    assert not TIMEPOINTS.contradicts(place / "lesions.nii.gz", ROOT, study)
    assert not TIMEPOINTS.contradicts(place / "P002_lesions.nii.gz", ROOT, study)


@pytest.mark.parametrize("n_patients", [10, 500])
def test_a_mask_costs_the_same_among_many_patients(n_patients, monkeypatch):
    """Looked up by its parts: labels are compared with the names they may stand in, and with no others."""
    many = owners(*[(f"P{i:04d}", f"dicom/P{i:04d}/ct") for i in range(n_patients)])
    compared = []
    real = mask_owner._strength
    monkeypatch.setattr(
        mask_owner, "_strength", lambda *pair: compared.append(pair[0]) or real(*pair)
    )
    for i in (0, n_patients - 1):
        name = ROOT / f"masks/P{i:04d}_lesions.nii.gz"
        assert many.owner(name, ROOT).study == f"dicom/P{i:04d}/ct"
        assert not many.contradicts(name, ROOT, NamedStudy(f"dicom/P{i:04d}/ct", f"P{i:04d}", ()))
    assert len(compared) == 4
