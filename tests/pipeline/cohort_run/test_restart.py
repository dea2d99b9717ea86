"""Kill -9 at any moment and run again: nothing twice, nothing half-written, only what changed is done anew."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from dataclasses import replace

import nibabel
import numpy as np
import pandas as pd
import psutil
import pyarrow.parquet as pq
import pytest

from gsigpu.errors import InputError, OutputError
from gsigpu.pipeline.cohort_run.cohort_task import CohortSettings
from gsigpu.pipeline.cohort_run.run_cohort import CohortOptions, run_cohort
from gsigpu.pipeline.measure.measurement import MeasureSettings
from gsigpu.pipeline.measure.parameters import ParameterSettings
from gsigpu.regions.region_layout import RegionSettings
from gsigpu.tables.measurement_table import read_table

ONE = CohortOptions(workers=1)
TWO = CohortOptions(workers=2)
RUNNER = """
import sys
from gsigpu.pipeline.cohort_run.run_cohort import CohortOptions, run_cohort
print("ready", flush=True)
run_cohort(sys.argv[1], sys.argv[2], options=CohortOptions(workers=2))
"""
LOOP_S = 12.0
LEAST_KILLS = 3


def tables(out):
    """Finished rows: file -> when it was written."""
    return {path: path.stat().st_mtime_ns for path in out.glob("cases/*/[!.]*.parquet")}


def killed_at(cohort, out, seconds):
    """Starts a run and kills it; returns once its workers are gone too."""
    with subprocess.Popen(
        [sys.executable, "-c", RUNNER, cohort.manifest, out], stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout.readline() == "ready\n"
        time.sleep(seconds)
        family = psutil.Process(run.pid).children(recursive=True)
        run.kill()
        run.wait()
    _, alive = psutil.wait_procs(family, timeout=20)
    assert not alive, "workers outlive their run"


def test_killed_at_random_moments(make_cohort, faults, tmp_path):
    cohort = make_cohort(6)
    faults.set({row["case_id"]: "slow 0.3" for row in cohort.rows})
    reference, out = tmp_path / "reference", tmp_path / "out"
    run_cohort(cohort.manifest, reference, options=TWO)
    seed = random.randrange(10**6)
    rng = random.Random(seed)
    known, n_kills = {}, 0
    deadline = time.monotonic() + LOOP_S
    while n_kills < LEAST_KILLS or (time.monotonic() < deadline and len(known) < 6):
        killed_at(cohort, out, rng.uniform(0.2, 3.0))
        n_kills += 1
        present = tables(out)
        assert known.items() <= present.items(), f"a finished case was done again (seed {seed})"
        for path in present:  # whole, with all that goes with it
            assert pq.read_table(path).num_rows > 100
            json.loads(path.with_suffix(".json").read_text("utf-8"))
        assert not list(out.glob("cases/*/*.failed.json")), f"seed {seed}"
        known = present
    result = run_cohort(cohort.manifest, out, options=TWO)
    assert result.n_skipped >= len(known)
    assert result.n_done + result.n_skipped == 6
    assert known.items() <= tables(out).items()
    assert (out / "measurements.csv").read_bytes() == (reference / "measurements.csv").read_bytes()
    left_over = [path for path in out.rglob(".*") if not path.name.startswith(".lock")]
    assert not left_over, f"seed {seed}"


@pytest.fixture(scope="module")
def finished(make_cohort, tmp_path_factory):
    cohort, out = make_cohort(3), tmp_path_factory.mktemp("runs") / "out"
    assert run_cohort(cohort.manifest, out, options=ONE).n_done == 3
    return cohort, out


@pytest.fixture
def copied(finished, tmp_path):
    """A finished run of its own; the studies are shared, so put back what you change."""
    shutil.copytree(finished[1], tmp_path / "out")
    return finished[0], tmp_path / "out"


def counts(cohort, out, **more):
    result = run_cohort(cohort.manifest, out, options=replace(ONE, change_settings=True), **more)
    return result.n_done, result.n_skipped, result.n_failed


def test_nothing_to_do_measures_nothing_and_writes_no_table(copied, faults):
    cohort, out = copied
    faults.set({row["case_id"]: "memory error" for row in cohort.rows})
    before = (out / "measurements.csv").stat().st_mtime_ns
    assert counts(cohort, out) == (0, 3, 0)
    assert (out / "measurements.csv").stat().st_mtime_ns == before


def test_a_row_that_leaves_the_manifest_leaves_the_tables(copied):
    cohort, out = copied
    rows = cohort.rows
    cohort.rows = rows[:2]
    cohort.write()
    assert counts(cohort, out) == (0, 2, 0)
    assert set(read_table(out / "measurements.csv").case_id) == {"C01", "C02"}
    cohort.rows = rows
    cohort.write()
    assert counts(cohort, out) == (0, 3, 0)
    assert set(read_table(out / "measurements.csv").case_id) == {"C01", "C02", "C03"}


def test_without_the_region_that_has_a_size(finished, tmp_path, inline):
    cohort, _ = finished
    settings = CohortSettings(MeasureSettings(regions=RegionSettings(regions=("core",))))
    result = run_cohort(cohort.manifest, tmp_path / "out", settings=settings, options=ONE)
    assert result.n_done == result.tables.n_rows == 3
    # Of three rows with two lesions each, two are of one patient: a lesion is a patient's, not a case's.
    assert sum(group.n_lesions for group in result.tables.groups) == 4
    assert result.tables.exclusions == {}


def test_by_content_a_copied_archive_is_the_same(finished, tmp_path, inline):
    cohort, _ = finished
    options = CohortOptions(workers=1, by_content=True)
    rows, cohort.rows = cohort.rows, cohort.rows[:1]
    cohort.write()
    run_cohort(cohort.manifest, tmp_path / "out", options=options)
    shutil.copytree(cohort.folder / "C01", cohort.folder / "C01 copied")
    cohort.rows = [{**cohort.rows[0], "study": "C01 copied/dicom"}]
    cohort.write()
    again = run_cohort(cohort.manifest, tmp_path / "out", options=options)
    assert (again.n_done, again.n_skipped) == (0, 1)
    cohort.rows = rows
    cohort.write()


def test_a_folder_of_masks_is_known_by_its_files(finished, tmp_path, inline):
    cohort, _ = finished
    rows, masks = cohort.rows, cohort.folder / "one by one"
    masks.mkdir()
    shutil.copy(cohort.folder / rows[0]["mask"], masks / "lesions.nii.gz")
    cohort.rows = [{**rows[0], "mask": masks.name}]
    cohort.write()
    assert counts(cohort, tmp_path / "out") == (1, 0, 0)
    assert counts(cohort, tmp_path / "out") == (0, 1, 0)
    shutil.copy(cohort.folder / rows[0]["liver_mask"], masks / "liver.nii.gz")
    assert counts(cohort, tmp_path / "out") == (1, 0, 0)
    cohort.rows = rows
    cohort.write()


def test_one_run_at_a_time_and_nothing_else_in_the_folder(copied, tmp_path):
    import fcntl

    cohort, out = copied
    with (out / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(OutputError, match="another run is at work"):
            counts(cohort, out)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.docx").touch()
    with pytest.raises(OutputError, match="holds something else"):
        counts(cohort, tmp_path / "other")
    with pytest.raises(InputError, match="lies in the study folder"):
        counts(cohort, cohort.folder / "C01" / "dicom" / "out")


def test_a_full_disk_is_told_before_the_start(finished, tmp_path, monkeypatch):
    monkeypatch.setattr("gsigpu.pipeline.cohort_run.disk_room.free_bytes", lambda _folder: 10**6)
    with pytest.raises(OutputError, match="the run will write about"):
        counts(finished[0], tmp_path / "out")


def test_what_changed_is_done_anew_and_nothing_else(copied, inline):
    """The last one here: it changes the studies that the others share."""
    cohort, out = copied
    (path, *_) = cohort.slices("C02")
    content, stat = path.read_bytes(), path.stat()
    path.write_bytes(content[:-2] + b"\x01\x02")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # same size, same date
    assert counts(cohort, out) == (1, 2, 0)
    assert len(tables(out)) == 3  # what was of the other content is gone

    mask = cohort.folder / "C03/masks/lesions.nii.gz"
    image = nibabel.load(mask)
    joined = np.minimum(np.asarray(image.dataobj), 1).astype(np.uint8)
    nibabel.save(nibabel.Nifti1Image(joined, image.affine), mask)
    cohort.rows[0]["reader"] = "B"
    cohort.write()
    assert counts(cohort, out) == (1, 2, 0)  # what a row is called is not measured
    assert set(read_table(out / "measurements.csv").query("case_id == 'C01'").reader) == {"B"}
    assert counts(cohort, out) == (0, 3, 0)

    settings = CohortSettings(MeasureSettings(ParameterSettings(slopes=("60-100",))))
    assert counts(cohort, out, settings=settings) == (3, 0, 0)
    cohort.rows[2]["slope"] = "60-70"
    cohort.write()
    assert counts(cohort, out, settings=settings) == (1, 2, 0)
    definitions = read_table(out / "measurements.csv").query("parameter == 'lambda_hu'")
    of_case = definitions.groupby("case_id").definition.first()
    assert "100 keV" in of_case["C01"]
    assert "100 keV" not in of_case["C03"]


def test_no_row_is_lost_where_a_worker_tells_nothing(make_cohort, inline, monkeypatch, tmp_path):
    """As one does that was stopped on its way; and after a pool has ended, another in the same process measures."""
    from gsigpu.pipeline.cohort_run import run_cohort as running
    from gsigpu.pipeline.cohort_run.child_process import CHILDREN

    cohort, out = make_cohort(2), tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(running, "run_isolated", lambda task, tell: [])
        result = run_cohort(cohort.manifest, out)
    assert (result.n_failed, result.is_complete) == (2, False)
    failures = pd.read_csv(out / "failures.csv")
    assert set(failures.kind) == {"passing"}
    assert set(failures.reason) == {"its worker was stopped before the row was done"}
    assert not CHILDREN.stopping
    assert run_cohort(cohort.manifest, out).n_done == 2
