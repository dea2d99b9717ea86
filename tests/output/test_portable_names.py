"""What stands in DICOM or a manifest becomes a file name that every system takes."""

from pathlib import Path, PureWindowsPath
from warnings import catch_warnings, simplefilter

import pytest

from gsigpu.map_files import file_name
from gsigpu.output.portable_names import portable_name
from gsigpu.pipeline.choose_stack import phase_word
from gsigpu.pipeline.cohort_run.row_files import row_name
from gsigpu.report.table_cells import file_stem
from gsigpu.tables.manifest import ManifestRow

TEXTS = (
    "CON", "con", "Aux.x", "nul.nii.gz", "COM1", "lpt9.", "COM¹", "late.", "late ", "a:b", "what?", "a*b", 'say "x"', "<x>", "a|b",
    "..", ".hidden", "a/b\\c", "x" * 300, "tab\tx", "\x01", "λ", "肝", "CONIN$", "PRN ", "C1",
)  # fmt: skip
FORBIDDEN = set('<>:"/\\|?*') | {chr(code) for code in range(32)}


def row(case_id, phase="PVP", reader=""):
    return ManifestRow(2, case_id, "p", "lung", phase, Path(), (), reader=reader)


NAMES = {
    "row": lambda text: row_name(row(text)),
    "row of a reader": lambda text: row_name(row("C1", reader=text)),
    "row of a phase": lambda text: row_name(row("C1", phase=text)),
    "phase": phase_word,
    "map": lambda text: file_name(f"{text}[40-100]"),
    "map by its name": file_name,
    "figure": lambda text: file_stem("roc", text),
    "figure by its name": file_stem,
}


@pytest.mark.parametrize("make", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_no_system_forbids_it(make, text):
    name = make(text)
    assert FORBIDDEN.isdisjoint(name)
    assert not name.endswith((".", " "))
    with catch_warnings():
        simplefilter("ignore", DeprecationWarning)
        assert not PureWindowsPath(name).is_reserved()


def test_pathlib_knows_the_devices_that_are_known_here():
    for name in ("con", "PRN", "aux.txt", "NUL", "com3", "LPT1.x"):
        assert PureWindowsPath(name).is_reserved()
        assert not PureWindowsPath(portable_name(name)).is_reserved()
    assert [portable_name(name) for name in ("lesions", "CONTRAST", "com")] == ["lesions", "CONTRAST", "com"]  # fmt: skip


def test_rows_that_differ_have_names_that_differ():
    names = [row_name(row(text)) for text in (*TEXTS, "%43ON", "late%2E", "CON.1", "%43ON.1")]
    assert len(set(names)) == len(names)
