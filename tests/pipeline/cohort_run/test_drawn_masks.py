"""Rows without a mask, which a program draws: marked in tables, gallery and records, and never of two versions in one run."""

import csv
import json
import subprocess
import sys

import nibabel
import numpy as np
import pandas as pd
import psutil
import pytest

import gsigpu
from gsigpu.automatic_masks import totalsegmentator
from gsigpu.errors import InputError, SettingsError
from gsigpu.pipeline.cohort_run import child_process
from tests.pipeline.measure.test_automatic_regions import FLAG, SETTINGS
from tests.support.automatic import put_on_path, written_masks

MEASURED = gsigpu.MeasureSettings(gsigpu.ParameterSettings(curve=False))
DRAWN = gsigpu.CohortSettings(measure=MEASURED, segment="totalsegmentator", review=True)


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return gsigpu.write_phantom(tmp_path_factory.mktemp("drawn") / "study", SETTINGS)


@pytest.fixture
def stand_in(monkeypatch, tmp_path, truth):
    (tmp_path / "program").mkdir()
    masks = written_masks(tmp_path / "masks", truth)
    return put_on_path(monkeypatch, tmp_path / "program", masks)


def edited_mask(path, truth):
    """The phantom's lesions without one voxel each."""
    image = nibabel.load(truth.lesion_mask)
    labels = np.asarray(image.dataobj).copy()
    for label in (1, 2):
        labels[tuple(np.argwhere(labels == label)[0])] = 0
    nibabel.save(nibabel.Nifti1Image(labels, image.affine), path)
    return path


def manifest(folder, truth, rows):
    path = folder / "manifest.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["case_id", "patient_id", "group", "phase", "study", "mask"])
        for case, phase, mask in rows:
            writer.writerow([case, "p", "lung", phase, truth.dicom_folder, mask])
    return path


def test_an_empty_cell_is_drawn_and_a_mask_that_is_given_stays(truth, stand_in, tmp_path, inline):
    edited = edited_mask(tmp_path / "edited.nii.gz", truth)
    rows = [("c", "AP", ""), ("c", "PVP", ""), ("d", "PVP", edited)]
    path = manifest(tmp_path, truth, rows)
    result = gsigpu.cohort_run(path, tmp_path / "out", settings=DRAWN)
    assert result.is_complete, result
    table = pd.read_csv(tmp_path / "out" / "measurements.csv", dtype=str, keep_default_na=False)
    of_lesions = table[(table.region == "lesion") & (table.parameter == "iodine")]
    ids = of_lesions.groupby(["case_id", "phase"]).lesion_id.unique().map(sorted)
    assert ids["c", "AP"] == ["auto-AP-01", "auto-AP-02"]
    assert ids["c", "PVP"] == ["auto-PVP-01", "auto-PVP-02"]
    assert ids["d", "PVP"] == ["1", "2"]
    is_marked = of_lesions["flags"].str.split(";").map(lambda told: FLAG in told)
    assert list(is_marked == (of_lesions.case_id == "c")) == [True] * len(is_marked)
    # What is divided by the aorta's iodine rests on a mask of the program in every row.
    ratios = table[table.parameter == "nic"]["flags"]
    assert len(ratios)
    assert all(FLAG in told for told in ratios)
    (parenchyma,) = set(table[table.region == "parenchyma"]["flags"])
    assert parenchyma == FLAG
    records = [
        json.loads(file.read_text("utf-8"))
        for file in (tmp_path / "out" / "cases").glob("c~*/*.json")
    ]
    assert {
        mask["version"] for record in records for mask in record.get("automatic_masks", ())
    } == {"2.18.0"}
    cards = "".join(
        file.read_text("utf-8") for file in (tmp_path / "out" / "cases").glob("c~*/*.cards/*.json")
    )
    assert FLAG in cards
    # Two phases and two cases of one study: lesions twice, the rest once for each phase.
    assert len(stand_in.calls) == 6
    assert gsigpu.cohort_run(path, tmp_path / "out").n_done == 0


def test_no_lesion_leaves_a_row_with_its_liver(truth, stand_in, tmp_path, inline):
    (stand_in.masks / "liver_lesions.nii.gz").unlink()
    path = manifest(tmp_path, truth, [("c", "PVP", "")])
    result = gsigpu.cohort_run(path, tmp_path / "out", settings=DRAWN)
    assert result.is_complete, result
    table = pd.read_csv(tmp_path / "out" / "measurements.csv", dtype=str, keep_default_na=False)
    assert set(table.region) == {"parenchyma", "aorta"}
    told = (tmp_path / "out" / "warnings.csv").read_text("utf-8")
    assert "found no liver_lesions in the images of PVP at 70 keV" in told


def test_versions_are_not_mixed(truth, stand_in, tmp_path, inline, monkeypatch):
    path = manifest(tmp_path, truth, [("c", "PVP", truth.lesion_mask)])
    with pytest.raises(InputError, match="mask is empty"):
        gsigpu.cohort_run(manifest(tmp_path, truth, [("c", "PVP", "")]), tmp_path / "none")
    path = manifest(tmp_path, truth, [("c", "PVP", "")])
    assert gsigpu.cohort_run(path, tmp_path / "out", settings=DRAWN).is_complete
    monkeypatch.setenv("STAND_IN_VERSION", "2.19.0")
    totalsegmentator._version.cache_clear()
    with pytest.raises(
        SettingsError, match=r"begun with TotalSegmentator 2\.18\.0, and 2\.19\.0 is"
    ):
        gsigpu.cohort_run(path, tmp_path / "out")
    changed = gsigpu.CohortOptions(change_settings=True)
    assert gsigpu.cohort_run(path, tmp_path / "out", options=changed).n_done == 1
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(totalsegmentator.sys, "executable", str(tmp_path / "python"))
    assert gsigpu.cohort_run(path, tmp_path / "out").is_complete  # nothing is left to draw
    totalsegmentator._version.cache_clear()


def test_with_a_worker_ends_the_program_that_it_started():
    """Else a row that was stopped for its time would leave it running."""
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'print(1, flush=True); import time; time.sleep(99)'])"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as worker:
        assert worker.stdout.readline() == b"1\n"  # it runs
        (program,) = psutil.Process(worker.pid).children()
        child_process.kill_with_programs(worker)
        worker.wait()
        psutil.wait_procs([program], timeout=30)
        assert not program.is_running() or program.status() == psutil.STATUS_ZOMBIE
