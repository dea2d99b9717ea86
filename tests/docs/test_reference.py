"""The reference names every column, statistic and setting that a file has; CONTRIBUTING names what exists."""

import ast
import re
import sys

import pytest

from gsigpu.automatic_masks import mask_cache
from gsigpu.pipeline.cohort_run.cohort_tables import FAILURE_COLUMNS
from gsigpu.pipeline.cohort_run.inclusion_rules import COLUMNS as EXCLUSION_COLUMNS
from gsigpu.pipeline.cohort_run.row_warnings import COLUMNS as WARNING_COLUMNS
from gsigpu.regions import flags
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


def test_every_environment_variable_is_on_its_page():
    text = "".join(path.read_text("utf-8") for path in (ROOT / "gsigpu").rglob("*.py"))
    read = set(re.findall(r'VARIABLE = "(GSIGPU_\w+)"', text)) | {mask_cache.PLACE}
    rows = re.findall(
        r"^\| `(GSIGPU_\w+)`", (REFERENCE / "command-line.md").read_text("utf-8"), re.M
    )
    assert set(rows) == read


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


def test_every_flag_is_explained_on_the_page():
    """Else: say it in gsigpu/regions/flags.py, and copy it to the page."""
    text = (REFERENCE / "measurement-table.md").read_text("utf-8")
    section = text.partition("## Flags")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `([^`]+)` \| (.+) \|$", section, re.MULTILINE))
    assert rows == flags.MEANINGS


def flag_texts(tree):
    """Texts that a module writes down where flags are made: `flags=("x",)`, `flags.append("x")`, `x_flags = ("x",)`."""
    for node in ast.walk(tree):
        values = []
        if isinstance(node, ast.Call):
            values += [word.value for word in node.keywords if word.arg == "flags"]
            called = node.func
            if isinstance(called, ast.Attribute) and called.attr in ("append", "extend"):
                target = called.value
                values += node.args if "flag" in getattr(target, "id", "") else []
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any("flag" in getattr(target, "id", "") for target in targets):
                values.append(node.value)
        for value in filter(None, values):
            for text in ast.walk(value):
                if isinstance(text, ast.Constant) and isinstance(text.value, str):
                    yield text.value


def test_flags_are_made_of_the_table_of_flags():
    """No module writes one down by itself, which no page would explain."""
    known = {flag for flag in flags.MEANINGS if "-" in flag}
    folders = ("regions", "pipeline/measure", "pipeline/review", "pipeline/cohort_run", "tables")
    n_modules = 0
    for path in (path for folder in folders for path in (ROOT / "gsigpu" / folder).glob("*.py")):
        if path.name == "flags.py":
            continue
        n_modules += 1
        tree = ast.parse(path.read_text("utf-8"))
        texts = [text for text in flag_texts(tree) if re.search(r"\w[-:]\w", text)]
        assert not texts, (path.name, texts)
        written = {
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and node.value in known
        }
        assert not written, path.name
    assert n_modules > 50
