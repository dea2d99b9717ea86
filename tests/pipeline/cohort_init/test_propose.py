"""A manifest proposed from a tree: what is not sure stays empty, with the candidates in a note."""

import shutil
from dataclasses import replace

import pytest
from pydicom import dcmread
from typer.testing import CliRunner

from gsigpu.cli.app import app
from gsigpu.phantom import write_phantom
from gsigpu.pipeline.cohort_init.propose import propose_manifest
from tests.support.cohort import TINY


def study(folder, patient_id, **settings):
    """A study's DICOM folder, without its masks; `date` is that of the examination."""
    date = settings.pop("date", "")
    truth = write_phantom(folder, replace(TINY, patient_id=patient_id, **settings))
    for path in (truth.dicom_folder).rglob("*") if date else ():
        if path.is_file():
            header = dcmread(path)
            header.StudyDate = date
            header.save_as(path)
    masks = folder.parent / f"{folder.name} masks"
    (folder / "masks").rename(masks)
    return masks


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("tree")
    for number, (patient, time) in enumerate(
        [("P001", "baseline"), ("P001", "followup"), ("P002", "baseline")]
    ):
        folder = root / "dicom" / patient / time
        masks = study(folder, patient, seed=number)
        (root / "masks").mkdir(exist_ok=True)
        (masks / "lesions.nii.gz").rename(root / "masks" / f"{patient}_{time}.nii.gz")
        shutil.rmtree(masks)
    (root / "masks" / "P002_baseline.nii.gz").unlink()
    return root


def by_study(root):
    proposal = propose_manifest(root)
    return {
        row["study"].removeprefix(f"{root}/"): row["mask"].removeprefix(f"{root}/")
        for row in proposal.rows
    }, "\n".join(proposal.notes)


def test_no_mask_of_another_patient(tree):
    rows, notes = by_study(tree)
    assert rows == {
        "dicom/P001/baseline/dicom": "masks/P001_baseline.nii.gz",
        "dicom/P001/followup/dicom": "masks/P001_followup.nii.gz",
        "dicom/P002/baseline/dicom": "",
    }
    assert "P002/baseline/dicom, phase PVP: no mask of lesions found" in notes


def test_candidates_are_told(tree):
    mask = tree / "masks/P001_lesions.nii.gz"
    shutil.copy(tree / "masks/P001_baseline.nii.gz", mask)
    other = tree / "masks/P001_baseline.nii.gz"
    aside = other.rename(tree / "aside.nii.gz")
    rows, notes = by_study(tree)
    assert rows["dicom/P001/baseline/dicom"] == ""
    assert "candidates whose names do not say for sure: P001_lesions.nii.gz" in notes
    aside.rename(other)
    mask.unlink()


def test_dicom_masks_by_reference_and_never_our_own(tree):
    """Wherever a SEG lies, and whatever it is called."""
    words = [
        "measure", tree / "dicom/P001/followup/dicom", "--mask", tree / "masks/P001_followup.nii.gz",
        "-o", tree / "masks/P002_baseline.csv", "--dicom",
    ]  # fmt: skip
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    rows, _ = by_study(tree)
    assert rows["dicom/P002/baseline/dicom"] == ""
    assert rows["dicom/P001/followup/dicom"] == "masks/P001_followup.nii.gz"  # not the SEG of it
    seg = tree / "masks/P002_baseline.seg.dcm"
    header = dcmread(seg)
    header.Manufacturer = header.ManufacturerModelName = "Slicer"
    header.save_as(seg)
    (tree / "masks/P001_followup.nii.gz").rename(tree / "aside.nii.gz")
    rows, _ = by_study(tree)
    assert rows["dicom/P002/baseline/dicom"] == ""
    assert rows["dicom/P001/followup/dicom"] == "masks/P002_baseline.seg.dcm"
    (tree / "aside.nii.gz").rename(tree / "masks/P001_followup.nii.gz")
    for path in (tree / "masks").glob("P002_baseline*"):
        path.unlink()


def test_phases_in_studies_of_their_own_are_one_case(tmp_path):
    for number, phase in enumerate(("AP", "PVP")):
        study(tmp_path / phase, "P1", phases=(phase,), seed=number, date="20240501")
    study(tmp_path / "later", "P1", phases=("PVP",), seed=7, date="20240801")
    rows = propose_manifest(tmp_path).rows
    assert {(row["case_id"], row["phase"], row["study"].split("/")[-2]) for row in rows} == {
        ("P1-1", "AP", "AP"), ("P1-1", "PVP", "PVP"), ("P1-2", "PVP", "later"),
    }  # fmt: skip


def test_everybody_is_anonymous_and_folders_are_groups(tmp_path):
    for number, name in enumerate(("lung/a1", "lung/a2", "breast/b1", "breast/b2")):
        study(tmp_path / name, "ANONYMOUS", seed=number)
    proposal = propose_manifest(tmp_path)
    notes = "\n".join(proposal.notes)
    assert "4 studies have the Patient ID 'ANONYMOUS'" in notes
    assert "folders that may be groups, with their patients: breast" in notes
    assert {row["group"] for row in proposal.rows} == {""}
    grouped = propose_manifest(tmp_path, groups_from_folders=True).rows
    assert {row["group"] for row in grouped} == {"lung", "breast"}
