"""The sheets of a workbook are what openpyxl writes and reads, value by value."""

import zipfile

import numpy as np
import openpyxl
import pandas as pd
import pytest

from gsigpu.report import workbook
from gsigpu.report.table_cells import Cell, Table

ODD = pd.DataFrame(
    {
        "a": [True, None, "=1+1", "  pre\n", "<&>\r\t", "a\x01b\ud800", "η² 肝", ""],
        "b": [1, 2, 3, 4, 5, 6, 7, 8],
        "c": [np.nan, np.inf, -np.inf, 1e-300, 1 / 3, 2.0**70, -0.0, np.float32(0.1)],
        "d": ["#N/A", "1.5", "TRUE", np.float64(2.5), np.int64(7), np.nan, 3, "x"],
    }
)


def _written(path, **sheets):
    workbook.write_workbook(path, **sheets)
    return openpyxl.load_workbook(path)


def test_odd_values_come_back(tmp_path):
    sheet = _written(tmp_path / "a.xlsx", frames={"odd": ODD})["odd"]
    columns = [[cell.value for cell in column[1:]] for column in sheet.iter_cols()]
    assert columns[0] == [True, None, "=1+1", "  pre\n", "<&>\r\t", "ab", "η² 肝", None]
    assert columns[1] == list(range(1, 9))
    assert columns[2][:3] == [None, "inf", "-inf"]
    assert columns[2][3:] == pytest.approx([1e-300, 1 / 3, 2.0**70, 0, np.float32(0.1)], rel=1e-15)
    assert columns[3] == ["#N/A", "1.5", "TRUE", 2.5, 7, None, 3, "x"]
    # A text that opens with = is no formula.
    assert [cell.data_type for cell in sheet["A"]][3] == "s"
    assert all(cell.font.bold for cell in sheet[1])
    assert not sheet["B2"].font.bold


def test_sheets_are_those_of_openpyxl_to_the_byte(tmp_path):
    """Rows written cell by cell with openpyxl's own objects."""
    frame = ODD.iloc[:, :3].drop(index=5).replace({np.inf: 1.0, -np.inf: 2.0})
    path = tmp_path / "a.xlsx"
    workbook.write_workbook(path, {"odd": frame})
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("odd")
    for i, line in enumerate([list(frame.columns), *frame.itertuples(index=False)]):
        cells = []
        for value in line:
            plain = None if isinstance(value, float) and np.isnan(value) else value
            cell = openpyxl.cell.WriteOnlyCell(sheet, plain)
            if isinstance(plain, str):
                cell.data_type = "s"
            if i == 0:
                cell.font = openpyxl.styles.Font(bold=True)
            cells.append(cell)
        sheet.append(cells)
    book.save(tmp_path / "b.xlsx")
    rows = []
    for name in ("a.xlsx", "b.xlsx"):
        with zipfile.ZipFile(tmp_path / name) as archive:
            xml = archive.read("xl/worksheets/sheet1.xml")
        rows.append(xml[xml.index(b"<sheetData") : xml.index(b"</sheetData>")])
    assert rows[0] == rows[1]


def test_numbers_of_tables_keep_how_they_are_shown(tmp_path):
    table = Table(
        name="t",
        caption="",
        header=((Cell("group"), Cell("n"), Cell("mean")),),
        rows=(
            (
                Cell("lung"),
                Cell("3", values=(3,)),
                Cell("1.25", values=(1.25,), number_format="0.00"),
            ),
        ),
        notes=("a note",),
    )
    sheet = _written(tmp_path / "a.xlsx", frames={}, tables=[table])["t"]
    assert [[cell.value for cell in row] for row in sheet.iter_rows()][1][2] == 1.25
    assert sheet["C2"].number_format == "0.00"
    with zipfile.ZipFile(tmp_path / "a.xlsx") as archive:
        # A number that is shown as any other needs no style.
        assert b'<c r="B2" t="n"><v>3</v></c>' in archive.read("xl/worksheets/sheet1.xml")
    assert sheet["A1"].font.bold
    assert sheet.freeze_panes == "A2"


def test_a_frame_of_too_many_rows_names_its_file(tmp_path, monkeypatch):
    monkeypatch.setattr(workbook, "MOST_ROWS", 7)
    frames = {"long": ODD, "short": ODD.iloc[:7]}
    book = _written(tmp_path / "a.xlsx", frames=frames)
    assert book["long"]["A1"].value == "8 rows are more than a sheet shows: see long.csv"
    assert book["long"].max_row == 1
    assert book["short"].max_row == 8


def test_rows_beyond_a_block_follow(tmp_path, monkeypatch):
    monkeypatch.setattr(workbook, "_ROWS_AT_ONCE", 3)
    sheet = _written(tmp_path / "a.xlsx", frames={"odd": ODD})["odd"]
    assert [cell.value for cell in sheet["B"][1:]] == list(range(1, 9))
