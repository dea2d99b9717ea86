"""A run remembers what it was begun with, and takes something else only when that is said by name."""

import json
import shutil

import pandas as pd
import pytest

from gsigpu.errors import InputError, SettingsError
from gsigpu.pipeline.cohort_run.checks import CohortOptions
from gsigpu.pipeline.cohort_run.cohort_task import CohortSettings
from gsigpu.pipeline.cohort_run.inclusion_rules import InclusionRules
from gsigpu.pipeline.cohort_run.run_cohort import run_cohort
from gsigpu.pipeline.measure.measurement import MeasureSettings
from gsigpu.pipeline.measure.parameters import ParameterSettings
from gsigpu.regions.region_layout import RegionSettings
from gsigpu.regions.shells import parse_rim
from gsigpu.tables.measurement_table import read_table

SETTINGS = CohortSettings(
    MeasureSettings(
        ParameterSettings(slopes=("60-100", "paper"), ct_value="70"),
        RegionSettings(regions=("lesion", "rim", "core"), rim=parse_rim("2mm")),
    )
)
RULES = InclusionRules(max_diameter_mm=26.0)
CHANGE = CohortOptions(workers=1, change_settings=True)


@pytest.fixture(scope="module")
def cohort(make_cohort):
    return make_cohort(2)


def test_later_calls_go_on_with_what_was_recorded(cohort, inline, tmp_path):
    out = tmp_path / "out"
    first = run_cohort(cohort.manifest, out, settings=SETTINGS, rules=RULES)
    assert first.tables.exclusions["max-diameter"] == 2
    table = (out / "measurements.csv").read_bytes()
    for options in (CohortOptions(), CohortOptions(retry_failed=True)):
        again = run_cohort(cohort.manifest, out, options=options)
        assert (again.n_done, again.n_skipped) == (0, 2)
        assert again.tables.exclusions == first.tables.exclusions
        assert not again.tables.is_new
        assert (out / "measurements.csv").read_bytes() == table
    calls = json.loads((out / "run.json").read_text())["calls"]
    assert [call["result"]["n_done"] for call in calls] == [2, 0, 0]


def test_a_difference_is_shown_and_asked_for(cohort, inline, tmp_path):
    out = tmp_path / "out"
    run_cohort(cohort.manifest, out, settings=SETTINGS, rules=RULES)
    with pytest.raises(SettingsError) as refused:
        run_cohort(cohort.manifest, out, rules=InclusionRules(max_diameter_mm=40.0))
    assert "rules.max_diameter_mm 40 (recorded: 26)" in str(refused.value)
    assert "--change-settings" in refused.value.remedy
    # Only what is named changes.
    slopes = CohortSettings(MeasureSettings(ParameterSettings(slopes=("70-100",))))
    named = {"measure.parameters.slopes"}
    with pytest.raises(SettingsError, match=r"slopes 70-100 \(recorded: 60-100,paper\)"):
        run_cohort(cohort.manifest, out, settings=slopes, named=named)
    with pytest.raises(SettingsError, match="leave out --retry-failed"):
        run_cohort(
            cohort.manifest, out, settings=slopes, named=named,
            options=CohortOptions(retry_failed=True, change_settings=True),
        )  # fmt: skip
    assert len(pd.read_csv(out / "exclusions.csv")) == 2  # refused calls changed nothing
    changed = run_cohort(cohort.manifest, out, settings=slopes, named=named, options=CHANGE)
    assert changed.n_done == 2
    assert set(read_table(out / "measurements.csv").region) <= {"", "lesion", "rim", "core"}
    assert changed.tables.exclusions["max-diameter"] == 2
    calls = json.loads((out / "run.json").read_text())["calls"]
    assert len(calls) == 2  # those that did something
    assert calls[1]["changed_settings"] == [
        "measure.parameters.slopes 70-100 (recorded: 60-100,paper)"
    ]


def test_patterns_are_kept_with_the_run(cohort, inline, tmp_path):
    out, patterns = tmp_path / "out", tmp_path / "mine.toml"
    patterns.write_text("")
    run_cohort(cohort.manifest, out, settings=CohortSettings(patterns=patterns))
    patterns.unlink()
    assert run_cohort(cohort.manifest, out).n_skipped == 2


@pytest.mark.parametrize("content", ["", "{", "[]", '{"settings": 1}'])
def test_a_damaged_record_is_replaced_by_its_copy(cohort, inline, tmp_path, content):
    out = tmp_path / "out"
    run_cohort(cohort.manifest, out, settings=SETTINGS, rules=RULES)
    (out / "run.json").write_text(content)
    result = run_cohort(cohort.manifest, out)
    assert (result.n_skipped, result.tables.exclusions["max-diameter"]) == (2, 2)
    assert "run.json was damaged" in result.damaged[0]
    (out / "run.json").write_text(content)
    (out / "run.copy.json").write_text(content)
    for _ in range(2):
        with pytest.raises(InputError, match="--change-settings"):
            run_cohort(cohort.manifest, out)
    again = run_cohort(cohort.manifest, out, settings=SETTINGS, rules=RULES, options=CHANGE)
    assert again.n_skipped == 2


def test_what_a_row_is_called_is_not_measured(cohort, inline, tmp_path):
    """Patient, group, case, reader and further columns change without a measurement."""
    out, rows = tmp_path / "out", cohort.rows
    run_cohort(cohort.manifest, out)
    cohort.rows = [
        {**row, "group": "new", "reader": "Z", "case_id": f"x{row['case_id']}"} for row in rows
    ]
    cohort.write()
    lines = cohort.manifest.read_text().splitlines()
    kernels = ["kernel", "soft", "lung, sharp"]
    cohort.manifest.write_text(
        "\n".join(f'{line},"{kernel}"' for line, kernel in zip(lines, kernels, strict=True))
    )
    result = run_cohort(cohort.manifest, out, options=CohortOptions(by_content=True))
    assert (result.n_done, result.n_skipped) == (0, 2)
    table = read_table(out / "measurements.csv")
    assert set(table.case_id) == {"xC01", "xC02"}
    assert (set(table.reader), set(table.group)) == ({"Z"}, {"new"})
    assert set(zip(table.case_id, table.kernel, strict=True)) == {
        ("xC01", "soft"), ("xC02", "lung, sharp"),
    }  # fmt: skip
    assert set(pd.read_parquet(out / "measurements").kernel) == {"soft", "lung, sharp"}
    assert run_cohort(cohort.manifest, out).n_skipped == 2
    shutil.rmtree(out / "cases/xC01~PVP~Z")
    result = run_cohort(cohort.manifest, out, options=CohortOptions(prune=True))
    assert (result.n_done, result.n_skipped) == (0, 2)  # taken up before they are removed
    pruned = result.pruned
    assert pruned == ("C01~PVP~A", "C02~PVP~A")
    assert not list(out.glob("cases/C0*"))
    cohort.rows = rows
    cohort.write()
