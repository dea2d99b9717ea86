"""What the disk would not give is tried again; what is wrong with an input is not."""

import errno
import io
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from gsigpu.dicom.model import Skipped
from gsigpu.dicom.reading import pixels
from gsigpu.errors import MaskError
from gsigpu.pipeline.cohort_run import case, row_measurement
from gsigpu.pipeline.cohort_run.failure_kinds import kind_of
from gsigpu.pipeline.cohort_run.run_cohort import CohortOptions, run_cohort
from gsigpu.pipeline.measure.collected_masks import Failure
from gsigpu.tables.measurement_table import read_table


@pytest.fixture
def flaky(monkeypatch):
    """Reading one slice of a case fails so many times: case folder -> times left."""
    monkeypatch.setattr(case, "_WAITS_S", (0.0, 0.0))
    left, first_slices = {}, {}
    native = pixels._read_native

    def read(plane, out, rows):
        first = first_slices.setdefault(plane.path.parent.parent, plane.path)
        for folder, n in left.items():
            if n and folder in plane.path.parts and plane.path == first:
                left[folder] -= 1
                raise OSError(errno.EIO, "Input/output error")
        return native(plane, out, rows)

    monkeypatch.setattr(pixels, "_read_native", read)
    # As on such a disk: what the loop could not read is asked for again, by what tells of it.
    monkeypatch.setattr(pixels, "read_voxels_first", lambda *_: 0)
    return left


def test_it_is_tried_again_now(make_cohort, inline, flaky, tmp_path):
    cohort = make_cohort(1)
    flaky["C01"] = 2
    result = run_cohort(cohort.manifest, tmp_path / "out")
    assert flaky["C01"] == 0, "the slice was not read"
    assert (result.n_done, result.n_failed, result.tables.n_failed_lesions) == (1, 0, 0)


def test_and_at_the_next_run(make_cohort, inline, flaky, tmp_path):
    cohort, out = make_cohort(2), tmp_path / "out"
    reference = run_cohort(cohort.manifest, tmp_path / "reference")
    flaky["C01"] = 10**6
    result = run_cohort(cohort.manifest, out)
    failures = pd.read_csv(out / "failures.csv", keep_default_na=False)
    assert set(failures.case_id) == {"C01"}
    assert set(failures.kind) == {"passing"}
    assert not result.is_complete
    again = run_cohort(cohort.manifest, out)
    assert not again.is_complete  # still there
    flaky["C01"] = 0
    repaired = run_cohort(cohort.manifest, out)
    assert (repaired.n_done, repaired.n_skipped) == (1, 1)
    assert repaired.is_complete
    assert repaired.tables.n_values == reference.tables.n_values
    assert (out / "measurements.csv").read_bytes() == (
        tmp_path / "reference/measurements.csv"
    ).read_bytes()


def test_an_error_in_the_middle_of_a_mask_says_which(make_cohort, inline, monkeypatch, tmp_path):
    """An error of reading names no file, as one of opening does."""
    monkeypatch.setattr(case, "_WAITS_S", (0.0, 0.0))
    cohort, out, real = make_cohort(1), tmp_path / "out", Path.open

    class Torn(io.BytesIO):
        def read(self, *_):
            raise OSError(errno.EIO, "Input/output error")

    def opened(path, *more, **named):
        return Torn() if path.name == "liver.nii.gz" else real(path, *more, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", opened)
        assert run_cohort(cohort.manifest, out).n_failed == 1
    failures = pd.read_csv(out / "failures.csv")
    assert failures.reason[0].startswith("liver_mask: cannot be read (Input/output error)")
    assert failures.kind.tolist() == ["passing"]
    assert run_cohort(cohort.manifest, out).n_done == 1


def test_a_header_that_could_not_be_read_is_no_missing_slice(
    make_cohort, inline, monkeypatch, tmp_path
):
    monkeypatch.setattr(case, "_WAITS_S", (0.0, 0.0))
    cohort, out = make_cohort(1), tmp_path / "out"
    real = case.read_study
    n_left = [10]

    def read_study(folder, **named):
        study = real(folder, **named)
        if not n_left[0]:
            return study
        n_left[0] -= 1
        lost = Skipped(study.root / "x", "cannot be read (Input/output error)", damaged=True)
        return replace(study, skipped=(*study.skipped, lost))

    monkeypatch.setattr(case, "read_study", read_study)
    assert run_cohort(cohort.manifest, out).n_failed == 1
    assert pd.read_csv(out / "failures.csv").kind.tolist() == ["passing"]
    n_left[0] = 1
    assert run_cohort(cohort.manifest, out).n_done == 1


def test_a_wrong_input_is_not_tried_again(make_cohort, inline, monkeypatch, tmp_path):
    cohort, out = make_cohort(1), tmp_path / "out"
    real, calls = row_measurement.measure_study, []

    def measure_study(*arguments, **named):
        calls.append(1)
        if len(calls) == 1:
            raise MaskError("is wrong", remedy="mend it")
        return real(*arguments, **named)

    monkeypatch.setattr(row_measurement, "measure_study", measure_study)
    assert run_cohort(cohort.manifest, out).n_failed == 1
    assert pd.read_csv(out / "failures.csv").kind.tolist() == ["input"]
    assert run_cohort(cohort.manifest, out).n_failed == 1
    assert len(calls) == 1
    retried = run_cohort(cohort.manifest, out, options=CohortOptions(retry_failed=True))
    assert retried.n_done == 1


def test_retry_takes_up_rows_with_lesions_that_failed(make_cohort, inline, monkeypatch, tmp_path):
    cohort, out = make_cohort(2), tmp_path / "out"
    real, broken = row_measurement.measure_study, [True]

    def measure_study(*arguments, labels, **named):
        measurement = real(*arguments, labels=labels, **named)
        if not broken[0] or labels.case_id != "C01":
            return measurement
        failure = Failure("1", 5, MaskError("is wrong", remedy="mend it"))
        rows = tuple(row for row in measurement.rows if row.lesion_id != "1")
        return replace(measurement, rows=rows, failures=(failure,))

    monkeypatch.setattr(row_measurement, "measure_study", measure_study)
    first = run_cohort(cohort.manifest, out)
    assert (first.n_done, first.tables.n_failed_lesions) == (2, 1)
    broken[0] = False
    assert (
        run_cohort(cohort.manifest, out).n_skipped == 2
    )  # an input's fault stays until it is asked for
    retried = run_cohort(cohort.manifest, out, options=CohortOptions(retry_failed=True))
    assert (retried.n_done, retried.n_skipped, retried.tables.n_failed_lesions) == (1, 1, 0)
    assert set(read_table(out / "measurements.csv").query("case_id == 'C01'").lesion_id) == {
        "", "1", "2",
    }  # fmt: skip


def test_kinds():
    passing = MaskError("cannot be read", remedy="")
    passing.__cause__ = OSError(errno.ESTALE, "Stale file handle")
    assert kind_of(passing) == "passing"
    assert kind_of(MaskError("empty", remedy="")) == "input"
    assert kind_of(OSError(errno.EACCES, "Permission denied")) == "input"
    assert kind_of(KeyError("x")) == "program"
    assert kind_of(MemoryError()) == "passing"
