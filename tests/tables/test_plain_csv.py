"""Lists written without a data frame are those that pandas writes."""

import pandas as pd

from gsigpu.tables.plain_csv import write_rows

COLUMNS = ("case_id", "line", "reason")
CELLS = (
    "",
    "a",
    "a,b",
    'say "no"',
    "two\nlines",
    "back\rwards",
    " blank ",
    "山田 µ",
    "007",
    "-",
    "'",
    None,
)


def test_bytes_are_those_of_pandas(tmp_path):
    rows = [
        {"reason": cell, "case_id": other, "line": i}
        for i, cell in enumerate(CELLS)
        for other in CELLS
    ]
    write_rows(tmp_path / "ours.csv", COLUMNS, rows)
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    table.to_csv(tmp_path / "theirs.csv", index=False, lineterminator="\n")
    assert (tmp_path / "ours.csv").read_bytes() == (tmp_path / "theirs.csv").read_bytes()


def test_an_empty_list_is_its_header(tmp_path):
    write_rows(tmp_path / "list.csv", COLUMNS, [])
    assert (tmp_path / "list.csv").read_bytes() == b"case_id,line,reason\n"


def test_what_is_absent_is_blank_and_what_nobody_asked_for_is_left_out(tmp_path):
    write_rows(tmp_path / "list.csv", COLUMNS, [{"line": 3, "of a later version": "x"}])
    assert (tmp_path / "list.csv").read_text() == "case_id,line,reason\n,3,\n"
