"""Lesions that were rejected or are to be redrawn are taken out of a table, and counted."""

import pytest

from gsigpu.errors import InputError
from gsigpu.tables.observations import Choice, read_observations
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


@pytest.fixture(scope="module")
def two_readers(tmp_path_factory):
    """Reader B reads .6 higher than A; a run's folder with its list of exclusions, and the table's lesions."""
    folder = tmp_path_factory.mktemp("readers")
    table = measurement_table(
        groups=("lung", "breast"), patients=(3, 3), readers=("A", "B"), curves=False, profiles=False
    )
    table.to_csv(folder / "measurements.csv", index=False)
    return folder, table[table["lesion_id"] != ""]


def test_a_lesion_that_one_reader_rejected_keeps_the_value_of_the_other(two_readers, tmp_path):
    """Three times the same: the decision at the statistics, by the run before, and the other reader alone."""
    folder, table = two_readers
    first = table[table["reader"] == "A"].iloc[0]
    place = (first["patient_id"], first["lesion_id"], "PVP")
    is_first = (
        (table["patient_id"] == place[0])
        & (table["lesion_id"] == place[1])
        & (table["phase"] == place[2])
    )
    decision = (first["case_id"], first["lesion_id"], "PVP", "A", *REJECTED)
    now = read_observations(folder, decisions=(decision,))
    without = table[~(is_first & (table["reader"] == "A"))]
    without.to_csv(tmp_path / "measurements.csv", index=False)
    head = "case_id,lesion_id,rule,reason,patient_id,group,phase,reader,line\n"
    listed = (
        f"{first['case_id']},{place[1]},review,rejected at review: motion,{place[0]},lung,PVP,A,2\n"
    )
    (tmp_path / "exclusions.csv").write_text(head + listed)
    (tmp_path / "run.json").write_text("{}")
    before = read_observations(tmp_path)
    assert now.table["value"].tolist() == before.table["value"].tolist()
    assert now.table["value"].notna().all()

    def values(observations, rows):
        keyed = observations.table if rows is None else rows
        mine = (keyed["patient_id"] == place[0]) & (keyed["lesion_id"] == place[1])
        return keyed[mine & (keyed["phase"] == place[2])].sort_values(["region", "parameter"])[
            "value"
        ]

    b_alone = read_observations(folder, Choice(reader="B"))
    assert values(now, None).tolist() == values(b_alone, None).tolist()
    both = read_observations(folder)
    n = len(values(both, None))
    changed = now.table["value"].to_numpy() != both.table["value"].to_numpy()
    assert 0 < changed.sum() <= n
    for observations in (now, before):
        assert observations.flow.without_value == 0
        (told,) = [text for text in observations.warnings if "rejected at review: 1" in text]
        assert "fewer readers" in told
    (left,) = now.flow.steps[0].left
    assert (left.reason, left.lesions, left.in_part) == ("rejected at review", 0, 1)


def test_a_lesion_that_every_reader_rejected_is_out(two_readers):
    folder, table = two_readers
    first = table.iloc[0]
    mine = table[
        (table["patient_id"] == first["patient_id"]) & (table["lesion_id"] == first["lesion_id"])
    ]
    rows = mine[["case_id", "lesion_id", "phase", "reader"]].drop_duplicates()
    decisions = tuple((*row, *REJECTED) for row in rows.itertuples(index=False, name=None))
    observations = read_observations(folder, decisions=decisions)
    kept = observations.table
    assert not (
        (kept["patient_id"] == first["patient_id"]) & (kept["lesion_id"] == first["lesion_id"])
    ).any()
    assert not [text for text in observations.warnings if "fewer readers" in text]
