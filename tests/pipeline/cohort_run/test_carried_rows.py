"""A mask that was drawn on one phase serves the rows of both."""

import csv
import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

import gsigpu
from gsigpu.registration import register as registering
from tests.support.true_motion import true_registration

SETTINGS = gsigpu.PhantomSettings(
    shape=(30, 56, 72), spacing_mm=(5.0, 4.2, 4.2), energies_kev=(60.0, 70.0, 100.0), n_lesions=2,
    diameter_mm=(24.0, 30.0), motion_mm=(10.0, 2.0), extras=(), seed=3,
)  # fmt: skip
MEASURED = gsigpu.MeasureSettings(
    gsigpu.ParameterSettings(curve=False), gsigpu.RegionSettings(regions=("lesion",))
)
CARRIED = gsigpu.CohortSettings(measure=MEASURED, register=True)


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    return gsigpu.write_phantom(tmp_path_factory.mktemp("moved") / "study", SETTINGS)


def manifest(folder, phantom, *, mask_phase, phases=("AP", "PVP")):
    path = folder / "manifest.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["case_id", "patient_id", "group", "phase", "study", "mask", "liver_mask", "mask_phase"]
        )
        for phase in phases:
            writer.writerow(
                ["c", "p", "lung", phase, phantom.dicom_folder, phantom.lesion_mask, phantom.liver_mask,
                 mask_phase]
            )  # fmt: skip
    return path


def test_one_mask_for_the_rows_of_both_phases(phantom, tmp_path, inline, monkeypatch):
    monkeypatch.setattr(registering, "register", true_registration(SETTINGS.motion_mm))
    result = gsigpu.cohort_run(
        manifest(tmp_path, phantom, mask_phase="PVP"),
        tmp_path / "out",
        settings=replace(CARRIED, pictures=True),
    )
    assert result.is_complete
    pictures = {path.parent.name: path for path in tmp_path.glob("out/cases/*/*.registration.png")}
    assert list(pictures) == ["c~AP"]  # on PVP nothing was carried
    assert pictures["c~AP"].stat().st_size > 10_000
    table = pd.read_csv(tmp_path / "out" / "measurements.csv", dtype={"lesion_id": str})
    shifts = table[table.parameter == "carried_shift"]
    assert sorted(shifts.lesion_id) == ["1", "2"]
    assert set(shifts.phase) == {"AP"}  # on PVP the masks lie as they were drawn
    there = np.asarray(nib.load(phantom.lesion_mask_of("AP")).dataobj).T
    truth = gsigpu.measure(
        phantom.dicom_folder, (there, nib.load(phantom.lesion_mask).affine), phase="AP", settings=MEASURED
    )  # fmt: skip
    for lesion in ("1", "2"):
        means = [
            float(of[(of.phase == "AP") & (of.lesion_id == lesion) & (of.parameter == "iodine")
                     & (of.statistic == "mean")].value.iloc[0])
            for of in (table, truth.table)
        ]  # fmt: skip
        assert means[0] == pytest.approx(means[1], abs=0.15)
    records = [json.loads(path.read_text("utf-8")) for path in tmp_path.glob("out/cases/*/*.json")]
    told = {
        record["phase"]: (record["mask_phase"], len(record["carried"]))
        for record in records
        if "mask_phase" in record
    }
    assert told["AP"] == ("PVP", 2)
    assert told["PVP"][1] == 0
    warnings = pd.read_csv(tmp_path / "out" / "warnings.csv", keep_default_na=False)
    doubts = warnings[warnings.kind == "registration"]
    assert set(doubts.phase) <= {"AP"}


def test_masks_of_another_phase_are_not_taken_as_they_lie(phantom, tmp_path, inline):
    at = manifest(tmp_path, phantom, mask_phase="PVP", phases=("AP",))
    settings = gsigpu.CohortSettings(measure=MEASURED)
    result = gsigpu.cohort_run(at, tmp_path / "out", settings=settings)
    assert not result.is_complete
    (reason,) = pd.read_csv(tmp_path / "out" / "failures.csv").reason
    assert reason == (
        "the masks are of phase PVP, and phase AP is measured; add --register to carry them over"
    )  # and the test above does


def test_a_phase_of_the_masks_must_be_named(phantom, tmp_path, inline):
    at = manifest(tmp_path, phantom, mask_phase="", phases=("AP",))
    with pytest.raises(gsigpu.SettingsError) as told:
        gsigpu.cohort_run(at, tmp_path / "out", settings=CARRIED)
    assert str(told.value) == (
        "--register, and nothing says which phase the masks were drawn on;"
        " name it with --mask-phase, or in the manifest's column mask_phase"
    )


def test_rows_of_one_case_and_pair_register_once(phantom, tmp_path, inline, monkeypatch):
    """Two readers drew the lesions of a case, whose liver is one; a third row has another liver."""
    calls, of_field = [], true_registration(SETTINGS.motion_mm)

    def counted(*arguments, **settings):
        calls.append(arguments)
        return of_field(*arguments, **settings)

    monkeypatch.setattr(registering, "register", counted)
    image = nib.load(phantom.lesion_mask)
    labels = np.asarray(image.dataobj).copy()
    labels[tuple(np.argwhere(labels == 1)[0])] = 0
    nib.save(nib.Nifti1Image(labels, image.affine), tmp_path / "second.nii.gz")
    liver = nib.load(phantom.liver_mask)
    smaller = np.asarray(liver.dataobj).copy()
    smaller[tuple(np.argwhere(smaller > 0)[0])] = 0
    nib.save(nib.Nifti1Image(smaller, liver.affine), tmp_path / "liver.nii.gz")
    path = tmp_path / "manifest.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["case_id", "patient_id", "group", "phase", "study", "mask", "liver_mask", "mask_phase", "reader"]
        )  # fmt: skip
        for reader, mask, of_liver in (
            ("A", phantom.lesion_mask, phantom.liver_mask),
            ("B", tmp_path / "second.nii.gz", phantom.liver_mask),
            ("C", tmp_path / "second.nii.gz", tmp_path / "liver.nii.gz"),
        ):
            writer.writerow(["c", "p", "lung", "AP", phantom.dicom_folder, mask, of_liver, "PVP", reader])  # fmt: skip
    result = gsigpu.cohort_run(path, tmp_path / "out", settings=CARRIED)
    assert result.is_complete
    assert len(calls) == 2
    table = pd.read_csv(tmp_path / "out" / "measurements.csv", dtype={"lesion_id": str})
    assert set(table[table.parameter == "carried_shift"].reader) == {"A", "B", "C"}
