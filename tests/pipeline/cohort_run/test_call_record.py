"""Calls that begin at the same moment: each moment at which another can come is made to happen."""

import errno
import json

import pytest

from gsigpu.errors import InputError, OutputError, SettingsError
from gsigpu.pipeline.cohort_run import call_record, cohort_plan, row_files, run_record
from gsigpu.pipeline.cohort_run.call_record import RecordedMeanwhile, record_call
from gsigpu.pipeline.cohort_run.checks import CohortOptions
from gsigpu.pipeline.cohort_run.cohort_plan import plan_cohort
from gsigpu.pipeline.cohort_run.cohort_task import CohortSettings
from gsigpu.pipeline.cohort_run.inclusion_rules import InclusionRules
from gsigpu.pipeline.cohort_run.run_cohort import run_cohort
from gsigpu.pipeline.cohort_run.run_lock import locked
from gsigpu.pipeline.cohort_run.run_token import take_over

RULES = InclusionRules(max_diameter_mm=26.0)


@pytest.fixture(scope="module")
def cohort(make_cohort):
    return make_cohort(2)


def planned(cohort, out, number, **more):
    return plan_cohort(cohort.manifest, out, options=CohortOptions(shard=(number, 2)), **more)


def begun(plan):
    """All that a call writes before it measures."""
    plan.out.mkdir(exist_ok=True)
    with locked(plan.out, plan.part):
        plan, _ = record_call(plan)
        take_over(plan.out, plan.part)
    return plan


@pytest.fixture
def with_patterns(tmp_path):
    (tmp_path / "mine.toml").write_text("")
    return CohortSettings(patterns=tmp_path / "mine.toml")


def test_a_folder_is_that_of_a_run_at_every_moment_of_its_beginning(
    cohort, inline, with_patterns, tmp_path, monkeypatch
):
    out, put = tmp_path / "out", row_files.put
    plan = planned(cohort, out, 1, settings=with_patterns, rules=RULES)
    seen = []

    def look():
        other = planned(cohort, out, 2)
        seen.append(other.recorded is not None)
        if other.recorded is not None:
            assert other.rules == RULES
            assert other.settings.patterns.read_text() == ""

    def watched(path, write, **more):
        def written(partial):
            write(partial)
            look()

        look()
        put(path, written, **more)
        look()

    for module in (row_files, run_record):
        monkeypatch.setattr(module, "put", watched)
    begun(plan)
    assert len(seen) == 3 * 4  # patterns, record, copy, token
    assert seen == sorted(seen)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_call_that_begins_while_another_plans(cohort, inline, tmp_path, monkeypatch, moment):
    """The record is looked for once: another shard's whole beginning lies before or after that."""
    out, read = tmp_path / "out", run_record.read_record
    out.mkdir()
    first = planned(cohort, out, 1, rules=RULES)
    calls = []

    def read_meanwhile(folder):
        if moment == "before" and not calls:
            calls.append(begun(first))
        record = read(folder)
        if moment == "after" and not calls:
            calls.append(begun(first))
        return record

    monkeypatch.setattr(cohort_plan, "read_record", read_meanwhile)
    result = run_cohort(cohort.manifest, out, options=CohortOptions(shard=(2, 2)))
    assert (result.n_rows, result.n_done) == (1, 1)
    recorded = json.loads((out / "run.json").read_text())
    assert recorded["rules"]["max_diameter_mm"] == 26.0
    assert [call["call"] for call in recorded["calls"]] == ["shard 1-of-2", "shard 2-of-2"]


def test_a_call_is_asked_again_by_what_another_recorded_meanwhile(
    cohort, inline, tmp_path, monkeypatch
):
    key = tmp_path / "key"
    key.write_text("0" * 64)
    read = run_record.read_record
    other_rules = InclusionRules(max_diameter_mm=40.0)
    for name, request, refusal in (
        ("rules", {"rules": other_rules}, "rules.max_diameter_mm 40 .recorded: 26"),
        ("names", {"pseudonymise": key}, "other names for its patients"),
    ):
        out = tmp_path / name
        out.mkdir()
        first = [planned(cohort, out, 1, rules=RULES)]

        def nothing_yet(folder, first=first):
            record = read(folder)
            if first:
                begun(first.pop())
            return record

        monkeypatch.setattr(cohort_plan, "read_record", nothing_yet)
        with pytest.raises((SettingsError, OutputError), match=refusal):
            run_cohort(cohort.manifest, out, options=CohortOptions(shard=(2, 2)), **request)
        assert read(out)[0].rules == RULES


def test_the_first_record_has_one_writer_where_there_are_no_locks(
    cohort, inline, tmp_path, monkeypatch
):
    def no_locks(*_):
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr("fcntl.flock", no_locks)
    out = tmp_path / "out"
    out.mkdir()
    first = planned(cohort, out, 1, rules=RULES)
    second = planned(cohort, out, 2, rules=InclusionRules(max_diameter_mm=40.0))

    def read_meanwhile(folder):
        record = run_record.read_record(folder)
        monkeypatch.setattr(call_record, "read_record", run_record.read_record)
        begun(first)
        return record

    monkeypatch.setattr(call_record, "read_record", read_meanwhile)
    with pytest.raises(RecordedMeanwhile):
        record_call(second)
    assert run_record.read_record(out)[0].rules == RULES


def test_what_is_no_run_stays_none(cohort, inline, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("")
    with pytest.raises(OutputError, match="holds something else"):
        planned(cohort, out, 1)
    (out / "notes.txt").unlink()
    begun(planned(cohort, out, 1))
    for name in ("run.json", "run.copy.json"):
        (out / name).unlink()
    with pytest.raises(InputError, match="record of the run's settings is gone"):
        planned(cohort, out, 2)
