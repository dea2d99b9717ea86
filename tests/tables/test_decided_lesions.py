"""Lesions that were rejected or are to be redrawn are taken out of a table, and counted."""

import pytest

from gsigpu.errors import InputError
from gsigpu.tables.observations import read_observations
from tests.support.cohort_tables import measurement_table

REJECTED = ("rejected", "motion")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    table = measurement_table(
        groups=("lung", "breast"), patients=(3, 3), readers=("A",), curves=False, profiles=False
    )
    table.to_csv(folder / "measurements.csv", index=False)
    return folder, table[table["lesion_id"] != ""]


def test_only_the_decided_phase_is_left_out_and_the_lesion_is_counted_once(run):
    folder, table = run
    first = table.iloc[0]
    decision = (first["case_id"], first["lesion_id"], "PVP", "A", *REJECTED)
    before = read_observations(folder)
    after = read_observations(folder, decisions=(decision,))
    of_lesion = (before.table["patient_id"] == first["patient_id"]) & (
        before.table["lesion_id"] == first["lesion_id"]
    )
    expected = before.table[~(of_lesion & (before.table["phase"] == "PVP"))]
    assert after.table["value"].tolist() == expected["value"].tolist()
    assert after.flow.decided == {"rejected": (1, 1, "motion")}
    assert after.flow.n_lesions == before.flow.n_lesions
    assert before.flow.decided == {}


def test_what_the_run_left_out_itself_is_passed_over(run, tmp_path):
    folder, table = run
    (tmp_path / "measurements.csv").write_bytes((folder / "measurements.csv").read_bytes())
    listed = f"case_id,lesion_id,rule,reason\n{table.iloc[0]['case_id']},77,max-diameter,31 mm\n"
    (tmp_path / "exclusions.csv").write_text(listed)
    decision = (table.iloc[0]["case_id"], "77", "PVP", "A", *REJECTED)
    assert read_observations(tmp_path, decisions=(decision,)).flow.decided == {}


def test_a_decision_on_what_is_not_there_is_an_error(run):
    with pytest.raises(InputError, match="lesion 1 of C99 PVP A, which is not in the table"):
        read_observations(run[0], decisions=(("C99", "1", "PVP", "A", *REJECTED),))


def test_a_table_without_cases_cannot_be_decided_on(run, tmp_path):
    run[1].drop(columns="case_id").to_csv(tmp_path / "table.csv", index=False)
    with pytest.raises(InputError, match="no column case_id"):
        read_observations(tmp_path / "table.csv", decisions=(("C1", "1", "PVP", "A", *REJECTED),))
