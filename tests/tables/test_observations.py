"""Reading and refusing tables of observations."""

import numpy as np
import pandas as pd
import pytest

from gsigpu.errors import InputError
from gsigpu.tables.observations import MINIMAL, Choice, TableProblems, read_observations
from tests.support.cohort_tables import measurement_table

TWO = {"groups": ("colorectal", "lung"), "patients": (4, 3)}


@pytest.fixture(scope="module")
def table():
    return measurement_table(**TWO, phases=("AP", "PVP"))


@pytest.fixture
def minimal(table):
    means = table[(table["statistic"] == "mean") & (table["region"] != "profile")]
    return means[means["parameter"].isin(["iodine", "lambda_hu"])][list(MINIMAL)].reset_index(
        drop=True
    )


def problems_of(tmp_path, table, **choice):
    path = tmp_path / "table.csv"
    table.to_csv(path, index=False)
    with pytest.raises(TableProblems) as caught:
        read_observations(path, Choice(**choice))
    assert str(path) in str(caught.value)
    return caught.value.problems


def test_the_means_of_a_measurement_table(table, tmp_path):
    path = tmp_path / "measurements.csv"
    table.to_csv(path, index=False)
    observations = read_observations(path)
    assert observations.groups == TWO["groups"]
    assert observations.phases == ("AP", "PVP")
    assert observations.regions == ("core", "rim", "lesion")
    assert observations.parameters == ("ct_value", "iodine", "lambda_hu")
    assert observations.units["lambda_hu"] == "HU/keV"
    lesions = table.drop_duplicates(["patient_id", "lesion_id"])
    assert observations.flow.analysed == {
        group: (of_group["patient_id"].nunique(), len(of_group))
        for group, of_group in lesions.groupby("group", sort=False)
    }
    expected = table.query("parameter == 'iodine' and region == 'rim' and phase == 'AP'")
    got = observations.table.query("parameter == 'iodine' and region == 'rim' and phase == 'AP'")
    assert sorted(got["value"]) == sorted(expected["value"])
    assert set(observations.curves["energy_kev"]) == set(range(40, 150, 10))
    assert set(observations.profiles["parameter"]) == {"lambda_hu", "iodine"}
    diameters = table.query("parameter == 'longest_axial_diameter' and phase == 'AP'")
    assert sorted(observations.sizes["diameter_mm"]) == sorted(diameters["value"])


def test_csv_parquet_and_partitions_hold_the_same(table, tmp_path):
    table.to_csv(tmp_path / "table.csv", index=False)
    table.to_parquet(tmp_path / "table.parquet", index=False)
    run = tmp_path / "run"
    for phase, of_phase in table.groupby("phase"):
        folder = run / "measurements" / f"phase={phase}"
        folder.mkdir(parents=True)
        of_phase.drop(columns="phase").to_parquet(folder / "part-0.parquet", index=False)
    (run / "exclusions.csv").write_text(
        "case_id,lesion_id,rule,reason\nc1,2,max-diameter,31 mm\nc2,1,max-diameter,40 mm\n"
    )
    (run / "failures.csv").write_text("case_id,stage,reason\nc9,scan,no stack\n")
    first, second, third = (
        read_observations(tmp_path / name, Choice(phases=("AP", "PVP")))
        for name in ("table.csv", "table.parquet", "run")
    )
    pd.testing.assert_frame_equal(first.table, second.table)
    pd.testing.assert_frame_equal(first.table, third.table)
    assert third.flow.excluded["max-diameter"].reason == "31 mm"
    assert third.flow.cases_failed == {"scan": 1}
    assert first.flow.excluded is None


def test_order_of_rows_does_not_matter(table, tmp_path):
    table.to_csv(tmp_path / "first.csv", index=False)
    table.sample(frac=1, random_state=3).to_csv(tmp_path / "second.csv", index=False)
    choice = Choice(groups=TWO["groups"], phases=("AP", "PVP"))
    first, second = (
        read_observations(tmp_path / f"{name}.csv", choice) for name in ("first", "second")
    )
    pd.testing.assert_frame_equal(first.table, second.table)
    pd.testing.assert_frame_equal(first.curves, second.curves)


def test_a_minimal_table_with_semicolons_and_quotes(minimal, tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes(b"\xef\xbb\xbf" + minimal.to_csv(index=False, sep=";", quoting=1).encode())
    assert len(read_observations(path).table) == len(minimal)


def test_missing_values_are_kept_and_counted(minimal, tmp_path):
    minimal.loc[0, "value"] = np.nan
    minimal.to_csv(tmp_path / "t.csv", index=False, na_rep="nan")
    observations = read_observations(tmp_path / "t.csv")
    assert observations.table["value"].isna().sum() == 1


def test_all_problems_at_once(minimal, tmp_path):
    bad = minimal.astype({"value": object}).assign(unit="mg/mL", definition="")
    bad.loc[1, "value"] = "1,5"
    bad.loc[2, "unit"] = "HU"
    bad.loc[3, "group"] = ""
    bad.loc[4, "group"] = "Lung"
    bad.loc[bad["parameter"] == "lambda_hu", "definition"] = "/ 60"
    bad.loc[bad.index[bad["parameter"] == "lambda_hu"][-1], "definition"] = "/ 40"
    bad = pd.concat([bad, bad.iloc[[9]]], ignore_index=True)
    problems = problems_of(tmp_path, bad, groups=("colorectal", "lung", "brest"), reader="R7")
    text = "\n".join(problems)
    for expected in (
        "'1,5' is no number, which has a decimal comma, row 3",
        "has several units: ",
        "group is empty in row 5",
        "no group 'brest' in the table: it has Lung, colorectal, lung",
        "unknown group 'Lung': name it in --groups, or add --drop-other-groups",
        "is in several groups: ",
        "lambda_hu has several definitions: ",
        "is there 2 times, rows 11, ",
        "no reader 'R7'",
    ):
        assert expected in text, (expected, text)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda t: t.drop(columns=["group", "value"]), ["no column group", "no column value"]),
        (lambda t: t.iloc[:0], ["no row of a mean"]),
        (lambda t: t[t["group"] == "lung"], ["one group only (lung), two are needed for a comparison"]),
        (
            lambda t: t.assign(value=np.nan),
            ["no value at all in the phases, regions and parameters requested"],
        ),
    ],
)  # fmt: skip
def test_one_problem(minimal, tmp_path, change, expected):
    assert problems_of(tmp_path, change(minimal)) == expected


def test_a_lesion_and_a_patient_in_two_groups(minimal, tmp_path):
    minimal.loc[minimal.index[minimal["lesion_id"] == "1"][0], "group"] = "lung"
    text = "\n".join(problems_of(tmp_path, minimal))
    assert "lesion co000 1 is in several groups: lung (row 2), colorectal" in text


def test_other_groups_are_dropped_only_when_asked(tmp_path):
    table = measurement_table(
        groups=("a", "b", "c"), patients=(3, 3, 3), curves=False, profiles=False
    )
    table.to_csv(tmp_path / "t.csv", index=False)
    choice = Choice(groups=("b", "a"), drop_other_groups=True)
    observations = read_observations(tmp_path / "t.csv", choice)
    assert observations.groups == ("b", "a")
    assert set(observations.flow.other_groups) == {"c"}


def test_several_readers_are_averaged_or_one_is_taken(tmp_path):
    table = measurement_table(**TWO, readers=("A", "B"), curves=False, profiles=False)
    table.to_csv(tmp_path / "t.csv", index=False)
    key = ["patient_id", "lesion_id", "phase", "region", "parameter"]
    means = table[table["statistic"] == "mean"].groupby(key)["value"].mean()
    observations = read_observations(tmp_path / "t.csv")
    np.testing.assert_allclose(
        observations.table.set_index(key)["value"].sort_index(), means.sort_index()
    )
    assert set(observations.table["reader"]) == {"mean"}
    assert "mean over them" in observations.warnings[0]
    assert len(observations.by_reader) == 2 * len(observations.table)
    alone = read_observations(tmp_path / "t.csv", Choice(reader="B"))
    assert set(alone.table["reader"]) == {"B"}
    assert len(alone.by_reader) == len(observations.by_reader)


def test_failed_and_flagged_lesions_are_counted(table, tmp_path):
    lesion = table[(table["patient_id"] == "co000") & (table["lesion_id"] == "1")].index
    failed = table.loc[lesion].iloc[[0]].assign(
        parameter="", statistic="", region="lesion", flags="failed:empty-mask", value=np.nan
    )  # fmt: skip
    changed = table.drop(lesion).assign(flags="few-voxels")
    changed = pd.concat([changed, failed])
    changed.to_csv(tmp_path / "t.csv", index=False)
    flow = read_observations(tmp_path / "t.csv").flow
    assert flow.failed == {"empty-mask": 1}
    assert flow.without_value == 1
    assert flow.flagged == {"few-voxels": flow.n_lesions - 1}


def test_patients_with_sex_and_age_from_a_list(minimal, tmp_path):
    minimal.to_csv(tmp_path / "t.csv", index=False)
    names = minimal["patient_id"].unique()
    listed = pd.DataFrame({"patient_id": names, "sex": "female", "age": "045Y", "study": "x"})
    listed.to_csv(tmp_path / "manifest.csv", index=False)
    observations = read_observations(tmp_path / "t.csv", patients=tmp_path / "manifest.csv")
    assert set(observations.patients["sex"]) == {"F"}
    assert set(observations.patients["age"]) == {45.0}
    assert observations.patients["n_lesions"].sum() == observations.flow.n_lesions


def test_a_column_twice(tmp_path):
    (tmp_path / "t.csv").write_text("group,value,group\na,1,b\n")
    with pytest.raises(InputError, match="has column group twice"):
        read_observations(tmp_path / "t.csv")


def test_rows_are_numbered_over_batches(minimal, tmp_path, monkeypatch):
    monkeypatch.setattr("gsigpu.tables.raw_table._READ_BYTES", 700)
    bad = minimal.astype({"value": object})
    bad.loc[len(bad) - 1, "value"] = "x"
    assert problems_of(tmp_path, bad) == [f"value 'x' is no number, row {len(bad) + 1}"]


@pytest.mark.parametrize("content", [b"", b"\x00\x01\x02\xff\xfe", b"a,b\n1,2,3\n"])
def test_a_file_that_is_no_table(tmp_path, content):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(InputError):
        read_observations(path)


def test_a_folder_without_a_table(tmp_path):
    with pytest.raises(InputError, match="holds no measurements"):
        read_observations(tmp_path)
    with pytest.raises(InputError, match="no such table"):
        read_observations(tmp_path / "nothing.csv")


def test_a_reader_who_read_a_part_only_is_not_averaged(tmp_path):
    """Reader B reads .6 higher and read lung only: averaged, the groups would differ by .3."""
    table = measurement_table(**TWO, readers=("A", "B"), curves=False, profiles=False)
    lung_only = table[(table["reader"] == "A") | (table["group"] == "lung")]
    lung_only.to_csv(tmp_path / "t.csv", index=False)
    observations = read_observations(tmp_path / "t.csv")
    assert set(observations.table["reader"]) == {"A"}
    assert observations.table["value"].notna().all()
    assert "tests take A, who measured all" in observations.warnings[0]
    counts = observations.readings.set_index(["reader", "group"])["n_lesions"]
    assert ("B", "colorectal") not in counts.index


def test_a_reader_of_one_phase_only_takes_nothing_from_the_other(tmp_path):
    table = measurement_table(**TWO, readers=("A", "B"), curves=False, profiles=False)
    table = table[(table["reader"] == "A") | (table["phase"] == "AP")]
    table.to_csv(tmp_path / "t.csv", index=False)
    observations = read_observations(tmp_path / "t.csv")
    assert set(observations.table["reader"]) == {"A"}
    assert observations.table["value"].notna().all()


def test_readers_who_read_different_lesions_ask_for_one(tmp_path):
    table = measurement_table(**TWO, readers=("A", "B"), curves=False, profiles=False)
    by_group = table[(table["reader"] == "A") == (table["group"] == "lung")]
    (problem,) = problems_of(tmp_path, by_group)
    assert "readers measured different lesions" in problem
    assert "--reader" in problem
    assert len(read_observations(tmp_path / "table.csv", Choice(reader="A", groups=())).table)


def test_a_lesion_that_one_reader_left_out_falls_out_of_the_mean_and_is_told(tmp_path):
    table = measurement_table(**TWO, readers=("A", "B"), curves=False, profiles=False)
    first = (
        (table["reader"] == "B") & (table["patient_id"] == "co000") & (table["lesion_id"] == "1")
    )
    table[~first].to_csv(tmp_path / "t.csv", index=False)
    observations = read_observations(tmp_path / "t.csv")
    mine = observations.table.query("patient_id == 'co000' and lesion_id == '1'")
    assert mine["value"].isna().all()
    assert observations.table.drop(mine.index)["value"].notna().all()
    n = observations.flow.n_lesions
    assert f"left out of the mean: 1 of {n}" in observations.warnings[1]
    assert observations.flow.without_value == 1
    counts = observations.readings.set_index(["reader", "group"])["n_lesions"]
    assert counts["A", "colorectal"] == counts["B", "colorectal"] + 1


def test_parenchyma_is_no_lesion(table, tmp_path):
    core = table[(table["region"] == "core") & (table["statistic"] == "mean")]
    liver = core.drop_duplicates(["patient_id", "phase", "parameter"])
    liver = liver.assign(region="parenchyma", lesion_id="")
    pd.concat([table, liver]).to_csv(tmp_path / "t.csv", index=False)
    lesions = read_observations(tmp_path / "t.csv")
    both = read_observations(tmp_path / "t.csv", Choice(regions=("core", "rim", "parenchyma")))
    assert both.flow.analysed == lesions.flow.analysed
    assert both.flow.n_lesions == lesions.flow.n_lesions
    assert both.patients["n_lesions"].tolist() == lesions.patients["n_lesions"].tolist()


def test_flags_are_counted_in_rows_of_the_tests(table, tmp_path):
    """Shells of the profile have few voxels as a rule, and are not tested."""
    shells = table["region"] == "profile"
    table.assign(flags=np.where(shells, "few-voxels", "")).to_csv(tmp_path / "t.csv", index=False)
    assert read_observations(tmp_path / "t.csv").flow.flagged == {}


def test_exclusions_are_counted_in_patients_and_lesions(table, tmp_path):
    """One patient in two phases is one patient; one lesion of two readers one lesion."""
    table.to_csv(tmp_path / "measurements.csv", index=False)
    pd.DataFrame(
        {
            "case_id": ["c1", "c1", "c2", "c2"],
            "lesion_id": ["", "", "1", "1"],
            "rule": ["confirmed-only"] * 2 + ["max-diameter"] * 2,
            "reason": ["not confirmed"] * 2 + ["31 mm"] * 2,
            "patient_id": ["p1", "p1", "p2", "p2"],
        }
    ).to_csv(tmp_path / "exclusions.csv", index=False)
    excluded = read_observations(tmp_path / "measurements.csv").flow.excluded
    assert excluded["confirmed-only"][:2] == (1, 0)
    assert excluded["max-diameter"][:2] == (1, 1)


@pytest.mark.parametrize("name", ["group", "phase", "patient_id", "region", "parameter"])
def test_labels_that_differ_by_case_are_refused(minimal, tmp_path, name):
    label = str(minimal[name].iloc[0])
    minimal.loc[minimal.index[-1], name] = label.swapcase()
    assert any(
        f"{name} is spelled in several ways" in text for text in problems_of(tmp_path, minimal)
    )


def test_labels_that_differ_by_blanks_are_refused_or_one(tmp_path):
    readers = ("Dr Smith", "dr  smith")
    table = measurement_table(**TWO, readers=readers, curves=False, profiles=False)
    assert any("reader is spelled in several ways" in text for text in problems_of(tmp_path, table))
    one_reader = measurement_table(**TWO, readers=("A",), curves=False, profiles=False)
    blank_around = one_reader["patient_id"] == "co000"
    one_reader.loc[blank_around, "reader"] = " A "
    one_reader.to_csv(tmp_path / "t.csv", index=False)
    assert read_observations(tmp_path / "t.csv").readers == ("A",)


@pytest.mark.parametrize("sentinel", [-999, -9999.0, 99999])
def test_numbers_that_stand_for_missing_values_are_refused(minimal, tmp_path, sentinel):
    minimal.loc[3, "value"] = sentinel
    problems = problems_of(tmp_path, minimal)
    assert any(
        f"value {sentinel:g} in row" in text and "leave the cell empty" in text for text in problems
    )
