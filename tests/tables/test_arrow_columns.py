"""Columns made of buffers are those that pyarrow makes of a data frame."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from gsigpu.pipeline.cohort_run.block_of_rows import SCHEMA
from gsigpu.pipeline.cohort_run.row_results import _table
from gsigpu.tables.arrow_columns import float_column, integer_column, text_column
from gsigpu.tables.measurement_table import frame
from tests.tables.test_measurement_table import ROW

NAN = float("nan")


@pytest.mark.parametrize("texts", [[], [""], ["a", "", "µ 山田 😀", 'a,\n"b"']])
def test_texts(texts):
    column = text_column(texts)
    column.validate(full=True)
    assert column.equals(pa.array(texts, pa.string()))


@pytest.mark.parametrize(
    "numbers", [[], [1.0], [NAN], [1.5, NAN, np.inf, -0.0, np.float64(2.5), 3] * 7, [NAN] * 9]
)
def test_numbers(numbers):
    column = float_column(numbers)
    column.validate(full=True)
    assert column.equals(pa.Array.from_pandas(pd.Series(numbers, dtype="float64")))
    assert column.null_count == int(np.isnan(np.array(numbers, float)).sum())


def test_counts():
    assert integer_column([2**40, 0, -1]).equals(pa.array([2**40, 0, -1], pa.int64()))


def test_the_table_of_a_row_is_that_of_its_data_frame():
    rows = [
        replace(ROW, lesion_id=str(i), value=value, distance_mm=value / 2, n_valid=i, flags="a;b")
        for i, value in enumerate((1.0, NAN, 1e300, -2.5))
    ]
    rows.append(replace(ROW, lesion_id="", region="µ", definition="山田 / β"))
    expected = pa.Table.from_pandas(frame(rows), schema=SCHEMA, preserve_index=False)
    table = _table(rows, {row.lesion_id: row.lesion_id for row in rows}, str)
    assert table.equals(expected.replace_schema_metadata(None))
    table.validate(full=True)


def test_words_of_headers_are_taken_out_of_definitions_and_ids():
    rows = [
        replace(ROW, lesion_id="Miller", definition="Miller / mean"),
        replace(ROW, parameter="iodine[vendor 1]", definition="Miller 1"),
        replace(ROW, parameter="ct_value", definition="conventional series Miller"),
    ]
    called = {"Miller": "(gone)", "1": "1"}
    table = _table(rows, called, lambda text: text.replace("Miller", "(gone)"))
    assert table["lesion_id"].to_pylist() == ["(gone)", "1", "1"]
    assert table["definition"].to_pylist() == [
        "Miller / mean", "(gone) 1", "conventional series (gone)",
    ]  # fmt: skip


def test_no_column_asks_for_pandas():
    code = (
        "import sys; from gsigpu.tables.arrow_columns import *;"
        "text_column(['a']), float_column([1.0]), integer_column([1]); assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
