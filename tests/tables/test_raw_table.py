"""Files of `cohort stats` that cannot be read: one line, which file, what to do."""

import pytest

from gsigpu.errors import InputError
from gsigpu.tables.cutoff_table import read_cutoffs
from gsigpu.tables.observations import read_observations
from gsigpu.tables.plan_file import read_plan
from gsigpu.tables.review_decisions import read_decisions

COLUMNS = "patient_id,lesion_id,group,phase,region,parameter,value"


@pytest.fixture
def folder(tmp_path):
    """A file of each kind that is no table, list or plan."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").write_text("")
    (tmp_path / "utf-16").write_text(COLUMNS, encoding="utf-16")
    (tmp_path / "other").write_text("x,y\n1,2\n")
    (tmp_path / "table.csv").write_text(f"{COLUMNS}\na,1,g,AP,core,iodine,2\n")
    return tmp_path


def read_patients(path):
    folder = next(parent for parent in path.parents if parent.is_dir())
    read_observations(folder / "table.csv", patients=path)


NAMES = ("absent", "folder", "empty", "utf-16", "other", "table.csv/x")
READERS = (read_plan, read_cutoffs, read_decisions, read_patients)


# What is wrong with columns of the table itself is told together (`TableProblems`).
@pytest.mark.parametrize(
    ("read", "name"),
    [
        *((read, name) for read in READERS for name in NAMES),
        *((read_observations, name) for name in NAMES if name != "other"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line_with_a_remedy(read, name, folder):
    path = folder / name
    with pytest.raises(InputError) as caught:
        read(path)
    words = str(caught.value)
    assert caught.value.where == str(path)
    assert caught.value.remedy
    assert "Errno" not in words
    assert "\n" not in words
    if name == "absent":
        assert caught.value.remedy == "check the path"
