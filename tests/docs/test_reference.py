"""The reference names every column, statistic and setting that a file has; CONTRIBUTING names what exists."""

import re
import sys

import pytest

from gsigpu.pipeline.cohort_run.cohort_tables import FAILURE_COLUMNS
from gsigpu.pipeline.cohort_run.inclusion_rules import COLUMNS as EXCLUSION_COLUMNS
from gsigpu.pipeline.cohort_run.row_warnings import COLUMNS as WARNING_COLUMNS
from gsigpu.tables.manifest import OPTIONAL, REQUIRED
from gsigpu.tables.measurement_table import COLUMNS, TABLE_STATISTICS
from tests.support.places import ROOT

REFERENCE = ROOT / "docs" / "reference"


def coded(page):
    """Every word of a page's `code`."""
    text = page.read_text("utf-8")
    return {word for code in re.findall(r"`([^`]+)`", text) for word in re.split(r"[,\s]+", code)}


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("measurement-table.md", (*COLUMNS, *TABLE_STATISTICS)),
        (
            "cohort-files.md",
            (*REQUIRED, *OPTIONAL, *FAILURE_COLUMNS, *EXCLUSION_COLUMNS, *WARNING_COLUMNS),
        ),
    ],
)
def test_every_column_is_on_its_page(page, names):
    assert set(names) - coded(REFERENCE / page) == set()


def test_every_column_of_the_results_has_a_meaning(monkeypatch):
    """Else: say it in docs/extensions/result_columns.py."""
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "extensions"))
    import result_columns

    frames = result_columns.frame_columns()
    assert len(frames) > 10
    unexplained = {
        f"{name}: {column}"
        for name, columns in frames.items()
        for column in columns
        if not result_columns.meaning(column)
    }
    assert unexplained == set()
    assert result_columns.meaning("no_such_thing") == ""
    sys.modules.pop("result_columns")


def test_what_contributing_names_exists():
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    paths = re.findall(r"`((?:gsigpu|tests|docs|bench)/[\w./-]+)", text)
    assert len(paths) > 12
    for path in paths:
        assert "NAME" in path or (ROOT / path.rstrip(".")).exists(), path
    for path, name in re.findall(r"(tests/[\w/]+\.py)::(\w+)", text):
        assert f"def {name}(" in (ROOT / path).read_text("utf-8")
