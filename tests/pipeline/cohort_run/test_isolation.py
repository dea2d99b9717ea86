"""A broken case fails alone, with its reason; `retry_failed` takes up just the failed ones."""

import nibabel
import numpy as np
import pandas as pd
import pytest

from gsigpu.pipeline.cohort_run.run_cohort import CohortOptions, run_cohort
from gsigpu.tables.measurement_table import read_table

TIMEOUT_S = 8.0
# Case -> words of its reason, and the stage it failed in.
BROKEN = {
    "C02": ("pixel data", "measure"),
    "C03": ("energ", "measure"),
    "C04": ("holds no region", "measure"),
    "C05": ("crashed (SIGSEGV)", "measure"),
    "C06": ("out of memory", "measure"),
    "C07": ("used more than 0.5 GiB", "measure"),
    "C08": ("took longer than 8 s", "measure"),
    "C09": ("killed (SIGKILL)", "measure"),
}
FAULTS = {
    "C05": "codec crash",
    "C06": "memory error",
    "C07": "too much memory",
    "C08": "hang",
    "C09": "killed",
}
GOOD = {"C01", "C10"}
OPTIONS = {"workers": 2, "timeout_s": TIMEOUT_S, "memory_limit": 2**29}


@pytest.fixture
def broken(make_cohort, template):
    cohort = make_cohort(10)
    whole = cohort.slices("C02")
    for path in whole:  # whichever of them are read
        path.write_bytes(path.read_bytes()[:-2000])
    for path in cohort.slices("C03"):
        if b"Mono 100 keV" in path.read_bytes():
            path.unlink()
    empty = cohort.folder / "C04/masks/lesions.nii.gz"
    shape = template.settings.shape[::-1]
    nibabel.save(
        nibabel.Nifti1Image(np.zeros(shape, np.uint8), template.geometry.affine_ras), empty
    )
    return cohort


def test_each_fails_alone_and_can_be_tried_again(broken, faults, tmp_path):
    out = tmp_path / "out"
    faults.set(FAULTS)
    result = run_cohort(broken.manifest, out, options=CohortOptions(**OPTIONS))
    assert (result.n_done, result.n_failed) == (2, 8)
    assert not result.is_complete
    failures = pd.read_csv(out / "failures.csv").set_index("case_id")
    assert list(failures.columns[:2]) == ["stage", "reason"]
    assert set(failures.index) == set(BROKEN)
    for case_id, (words, stage) in BROKEN.items():
        assert words in failures.reason[case_id], case_id
        log = (out / failures.log[case_id]).read_text("utf-8")
        assert failures.reason[case_id] in log
        assert case_id in log
        if case_id in FAULTS:
            assert failures.stage[case_id] == stage
    assert "decoder says goodbye" in (out / failures.log["C05"]).read_text("utf-8")
    assert set(read_table(out / "measurements.csv").case_id) == GOOD

    # Failures are known, and not tried again unasked.
    again = run_cohort(broken.manifest, out, options=CohortOptions(**OPTIONS))
    assert (again.n_done, again.n_skipped, again.n_failed) == (0, 2, 8)
    pd.testing.assert_frame_equal(pd.read_csv(out / "failures.csv").set_index("case_id"), failures)

    faults.set({})
    retried = run_cohort(broken.manifest, out, options=CohortOptions(**OPTIONS, retry_failed=True))
    assert (retried.n_done, retried.n_skipped, retried.n_failed) == (5, 2, 3)
    assert set(pd.read_csv(out / "failures.csv").case_id) == {"C02", "C03", "C04"}
    assert set(read_table(out / "measurements.csv").case_id) == GOOD | set(FAULTS)


def test_retry_leaves_what_was_never_tried(make_cohort, faults, tmp_path):
    cohort, out = make_cohort(3), tmp_path / "out"
    faults.set({"C01": "memory error"})
    rows = cohort.rows
    cohort.rows = rows[:1]
    cohort.write()
    assert run_cohort(cohort.manifest, out, options=CohortOptions(workers=1)).n_failed == 1
    cohort.rows = rows
    cohort.write()
    faults.set({})
    options = CohortOptions(workers=1, retry_failed=True)
    result = run_cohort(cohort.manifest, out, options=options)
    assert (result.n_done, result.n_left) == (1, 2)
    assert set(read_table(out / "measurements.csv").case_id) == {"C01"}


def test_the_other_rows_of_a_study_go_on(make_cohort, faults, tmp_path):
    """Also one whose worker was ended from outside: that row is tried once more."""
    cohort, out = make_cohort(1), tmp_path / "out"
    cohort.rows = [{**cohort.rows[0], "reader": reader} for reader in "ABCD"]
    cohort.write()
    faults.set({"C01 B": "codec crash", "C01 C": "killed once"})
    result = run_cohort(cohort.manifest, out, options=CohortOptions(workers=1))
    assert (result.n_done, result.n_failed) == (3, 1)
    assert (tmp_path / "faults.json.killed").exists()
    assert pd.read_csv(out / "failures.csv").reader.tolist() == ["B"]
    assert set(read_table(out / "measurements.csv").reader) == {"A", "C", "D"}
