"""The measurement table's ids are text, in every reader that is told by the file."""

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from gsigpu.tables.measurement_table import (
    MeasurementRow,
    flags_of_lesions,
    frame,
    ids_that_change_in_csv,
    read_table,
    write_table,
)
from tests.support.places import ROOT

ROW = MeasurementRow(
    case_id="c-1",
    patient_id="p-1",
    group="lung",
    reader="A",
    phase="PVP",
    lesion_id="1",
    region="core",
    parameter="iodine",
    statistic="mean",
    value=1.5,
    unit="mg/mL",
    definition="c",
    n_voxels=10,
    n_valid=10,
    flags="",
)
KEYS = ["case_id", "patient_id", "lesion_id"]


def table_of(*lesion_ids, **labels):
    rows = [replace(ROW, lesion_id=lesion_id, **labels) for lesion_id in lesion_ids]
    return frame([*rows, replace(ROW, lesion_id="", region="parenchyma")])


def test_ids_of_parts_are_text_in_csv_readers_that_guess(tmp_path):
    """2-01 and 2-10: pandas, DuckDB and pyarrow, with their defaults."""
    table = table_of("2-01", "2-10", "2-1")
    write_table(table, tmp_path / "t.csv")
    expected = ["2-01", "2-10", "2-1"]
    assert pd.read_csv(tmp_path / "t.csv").lesion_id.tolist()[:3] == expected
    assert pa.csv.read_csv(tmp_path / "t.csv")["lesion_id"].to_pylist()[:3] == expected
    query = f"SELECT lesion_id FROM read_csv('{tmp_path / 't.csv'}')"
    assert [row[0] for row in duckdb.sql(query).fetchall()][:3] == expected
    assert ids_that_change_in_csv(table) == []


@pytest.mark.parametrize(
    "ids", [("2-01", "2-10"), ("1", "2"), ("2.1", "2.10"), ("007", "7"), ("NA", "1e5")]
)
def test_ids_are_typed_in_parquet_and_read_as_text_by_ourselves(tmp_path, ids):
    table = table_of(*ids, patient_id="0042")
    for name in ("t.csv", "t.parquet"):
        write_table(table, tmp_path / name)
        back = read_table(tmp_path / name)
        assert back.lesion_id.tolist() == [*ids, ""]
        assert back.patient_id.tolist() == ["0042", "0042", "p-1"]
    schema = pa.parquet.read_schema(tmp_path / "t.parquet")
    for column in KEYS:
        assert schema.field(column).type in (pa.string(), pa.large_string())
    query = f"SELECT DISTINCT typeof(lesion_id), typeof(patient_id) FROM '{tmp_path / 't.parquet'}'"
    assert duckdb.sql(query).fetchall() == [("VARCHAR", "VARCHAR")]


def test_ids_that_a_guessing_reader_changes_are_known(tmp_path):
    ids = ("2.1", "2.10", "007", "1e5", "NA", "12", "0", "2-01", "met S4", "1234567890123456789")
    told = {
        text.split(" ", 1)[1]
        for text in ids_that_change_in_csv(table_of(*ids))
        if text.startswith("lesion_id")
    }
    changed = set()
    for text in ids:
        write_table(table_of(text, text), tmp_path / "t.csv")
        read = pd.read_csv(tmp_path / "t.csv").lesion_id.iloc[0]
        back = str(int(read)) if isinstance(read, float) and read.is_integer() else str(read)
        if back != text:
            changed.add(text)
    assert changed <= told
    assert told == {"2.1", "2.10", "007", "1e5", "NA", "1234567890123456789"}


def test_a_row_shows_no_identity():
    assert "p-1" not in repr(ROW)
    assert "c-1" not in repr(ROW)
    assert "core iodine mean = 1.5 mg/mL" in repr(ROW)


def test_a_row_per_lesion_has_the_flags_of_all_its_regions():
    rows = [
        replace(ROW, region="lesion", flags="touches-edge"),
        replace(ROW, region="rim", flags="touches-edge;thick-slices"),
        replace(ROW, region="core", flags="touches-edge;few-voxels;thick-slices"),
        replace(ROW, region="perilesional", flags="no-liver-mask"),
        replace(ROW, region="profile", flags="2d-roi"),
        replace(ROW, lesion_id="", region="aorta", flags="few-voxels"),
        replace(ROW, lesion_id="2", region="", flags="failed:empty-mask"),
        replace(ROW, lesion_id="3", region="lesion", flags=""),
    ]
    assert flags_of_lesions(rows) == {
        "1": [
            "touches-edge",
            "thick-slices (rim, core)",
            "few-voxels (core)",
            "no-liver-mask (perilesional)",
        ],
        "2": ["failed:empty-mask"],
        "3": [],
    }


PAGE = ROOT / "docs" / "reference" / "measurement-table.md"
# Each pair is one number to a reader that guesses.
CLASHES = [("2.1", "2.10"), ("1", "01"), ("1e1", "10"), ("007", "7")]


def snippet(language, start):
    """The code of the page that begins so."""
    text = PAGE.read_text("utf-8")
    blocks = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    return next(block.strip() for block in blocks if block.startswith(start))


@pytest.fixture
def clashing(tmp_path, monkeypatch):
    """Patients whose ids are pairwise equal as numbers, in study.csv of the working folder."""
    ids = [name for pair in CLASHES for name in pair]
    table = frame([replace(ROW, patient_id=name, case_id="NA") for name in ids])
    write_table(table, tmp_path / "study.csv")
    monkeypatch.chdir(tmp_path)
    return ids


def test_the_defaults_of_readers_do_lose_them(clashing):
    assert len(set(pd.read_csv("study.csv").patient_id)) < len(clashing)
    write_table(frame([replace(ROW, patient_id=name) for name in ("2.1", "2.10")]), Path("two.csv"))
    guessed = duckdb.sql("SELECT DISTINCT patient_id FROM read_csv('two.csv')").fetchall()
    assert guessed == [(2.1,)]


def test_what_the_page_says_reads_ids_as_text(clashing):
    by_pandas = eval(snippet("python", "pandas"), {"pandas": pd})
    assert by_pandas.patient_id.tolist() == clashing
    assert set(by_pandas.case_id) == {"NA"}
    by_duckdb = eval(snippet("python", "duckdb"), {"duckdb": duckdb}).df()
    assert by_duckdb.patient_id.tolist() == clashing
    # Joined with a table of the patients' own, each finds its own row.
    own_table = pd.DataFrame({"patient_id": clashing, "number": range(len(clashing))})
    joined = by_pandas.merge(own_table, on="patient_id", how="left")
    assert joined.number.tolist() == list(range(len(clashing)))


@pytest.mark.skipif(shutil.which("Rscript") is None, reason="needs R (Debian package r-base-core)")
def test_and_in_r(clashing):
    line = snippet("r", "read.csv")
    script = f"t <- {line}; cat(t$patient_id, sep='\\n'); cat('\\n', t$case_id[1], sep='')"
    done = subprocess.run(["Rscript", "-e", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [*clashing, "NA"]
