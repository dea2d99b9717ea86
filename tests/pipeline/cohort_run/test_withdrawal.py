"""Who withdraws is gone: no byte of the run's folder names the row, shows its lesions or holds its values."""

import json

import pytest

from gsigpu.errors import OutputError
from gsigpu.pipeline.cohort_run import prune as pruning
from gsigpu.pipeline.cohort_run.checks import CohortOptions
from gsigpu.pipeline.cohort_run.cohort_plan import plan_cohort
from gsigpu.pipeline.cohort_run.cohort_task import CohortSettings
from gsigpu.pipeline.cohort_run.run_cohort import run_cohort
from tests.pipeline.cohort_run.test_privacy import found_in
from tests.support.cohort import name_mask

PRUNE = CohortOptions(prune=True)


@pytest.fixture
def withdrawn(make_cohort, inline, tmp_path):
    """A run, and its manifest without a patient, a case and a reader; the patient's row failed."""
    cohort, out = make_cohort(4), tmp_path / "out"
    first, mask = cohort.rows[0], "C01/masks/other.nii.gz"
    (cohort.folder / mask).write_bytes((cohort.folder / first["mask"]).read_bytes())
    name_mask(cohort.folder / mask, "other")
    cohort.rows.append({**first, "reader": "Withdrawnreader", "mask": mask})
    cohort.rows[2] |= {"patient_id": "Withdrawnpatient", "group": "Withdrawngroup"}
    cohort.rows[3]["case_id"] = "WithdrawncaseC04"
    (cohort.folder / "C03/masks/lesions.nii.gz").write_bytes(b"no mask")
    cohort.write()
    settings = CohortSettings(pictures=True, review=True)
    assert run_cohort(cohort.manifest, out, settings=settings).n_failed == 1
    # What a part that was killed told last.
    running = {"row": "WithdrawncaseC04", "stage": "measure", "seconds": 1.0}
    (out / "status-1-of-2.json").write_text(json.dumps({"running": [running]}))
    return cohort, out


def names(out):
    return {word for _, word in found_in(out, "", ["Withdrawn", "C03"])}


def test_nothing_is_left_of_rows_that_left(withdrawn, monkeypatch):
    cohort, out = withdrawn
    # A result that was damaged, which the log tells.
    (damaged,) = out.glob("cases/WithdrawncaseC04*/*.study")
    damaged.write_bytes(b"")
    run_cohort(cohort.manifest, out)
    cohort.rows = cohort.rows[:2]
    cohort.write()
    run_cohort(cohort.manifest, out)
    assert names(out)  # without being asked, nothing goes
    assert plan_cohort(cohort.manifest, out, options=PRUNE).n_pruned == 3

    with monkeypatch.context() as patch:
        patch.setattr(pruning, "remove", lambda paths: None)
        with pytest.raises(OutputError, match="results of 3 rows"):
            run_cohort(cohort.manifest, out, options=PRUNE)
    result = run_cohort(cohort.manifest, out, options=PRUNE)
    assert (len(result.pruned), result.n_skipped) == (3, 2)
    assert not names(out)
    assert (out / "review/index.html").exists()
    assert len(list(out.glob("cases/*/*.png"))) == 2

    # A gallery that is not made any more shows nobody.
    change = CohortOptions(change_settings=True, prune=True)
    plain = CohortSettings(pictures=True)
    run_cohort(cohort.manifest, out, settings=plain, options=change, named=["review"])
    assert not (out / "review").exists()
