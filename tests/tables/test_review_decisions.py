"""Decisions on lesions as the gallery saves them."""

import pytest

from gsigpu.errors import InputError
from gsigpu.tables.review_decisions import read_decisions

HEAD = "case_id,lesion_id,phase,reader,decision,reason\n"


def written(folder, text):
    path = folder / "decisions.csv"
    path.write_text(text, "utf-8")
    return path


def test_entries_in_the_order_of_the_file(tmp_path):
    path = written(tmp_path, HEAD + 'C2,1,PVP,A,redraw,"rim, too wide"\nC1,2-01,AP,,rejected,\n')
    assert read_decisions(path) == (
        ("C2", "1", "PVP", "A", "redraw", "rim, too wide"),
        ("C1", "2-01", "AP", "", "rejected", ""),
    )


def test_the_same_entry_twice_is_one(tmp_path):
    line = "C1,1,AP,A,rejected,motion\n"
    assert len(read_decisions(written(tmp_path, HEAD + line + line))) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("case_id,lesion_id\nC1,1\n", "has no column phase, reader, decision, reason"),
        (HEAD + "C1,1,AP,A,maybe,\n", "entry 1: decision 'maybe' is unknown"),
        (HEAD + ",1,AP,A,rejected,\n", "entry 1 names no case or no lesion"),
        (HEAD + "C1,1,AP,A,rejected,\nC1,1,AP,A,redraw,\n", "two decisions on lesion 1 of C1"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, text, expected):
    with pytest.raises(InputError, match=expected):
        read_decisions(written(tmp_path, text))
