"""`gsigpu cohort stats` as a program."""

import json

import pandas as pd
import pytest

from gsigpu.errors import SettingsError
from gsigpu.pipeline.cohort_stats.declared_beforehand import parse_directions
from tests.support.cohort_tables import measurement_table
from tests.support.pages import shown
from tests.support.warm_program import fresh, warm


def gsigpu(*arguments, folder=None):
    return warm(*arguments, cwd=folder)


@pytest.fixture(scope="module")
def table():
    return measurement_table(
        groups=("lung", "breast"), patients=(6, 5), phases=("PVP",), curves=False, profiles=False
    )


def test_stats(table, tmp_path):
    table.to_csv(tmp_path / "t.csv", index=False)
    done = fresh(
        "cohort", "stats", tmp_path / "t.csv", "-o", tmp_path / "out", "--parameters", "iodine",
        "--regions", "rim", "--replicates", 100, "--direction", "iodine=breast>lung", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["groups"]["lung"]["patients"] == 6
    assert told["parameters"] == ["iodine"]
    assert {row["test"] for row in told["omnibus"]} == {"anova", "mixed", "welch", "kruskal"}
    assert (tmp_path / "out" / "report.html").is_file()
    assert "direction" not in done.stderr


def test_a_bad_table_is_refused_with_every_problem(table, tmp_path):
    bad = pd.concat([table, table.iloc[:1]]).drop(columns="flags").astype({"value": object})
    bad.loc[4, "value"] = "n/v"
    bad.to_csv(tmp_path / "t.csv", index=False)
    done = gsigpu(
        "cohort", "stats", tmp_path / "t.csv", "-o", tmp_path / "out", "--groups", "lung,breas"
    )
    assert done.returncode == 1
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert all(line.startswith(f"gsigpu: error: {tmp_path / 't.csv'}: ") for line in lines)
    assert len(lines) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


def test_directions():
    whole, of_pairs = parse_directions(
        ["iodine=lower", "lambda_hu[60-100]=breast > lung > gastric"]
    )
    assert whole == {"iodine": "lower"}
    assert set(of_pairs) == {
        ("lambda_hu[60-100]", "breast", "lung"),
        ("lambda_hu[60-100]", "breast", "gastric"),
        ("lambda_hu[60-100]", "lung", "gastric"),
    }
    together = ["iodine=lower,lambda_hu[60-100]=breast > lung > gastric"]
    assert parse_directions(together) == (whole, of_pairs)
    assert parse_directions(["iodine=lung, small cell>breast"]) == (
        {},
        {("iodine", "lung, small cell", "breast"): "higher"},
    )
    for text in ("iodine", "iodine=", "=higher", "iodine=up", "iodine=lower,iodine=higher"):
        with pytest.raises(SettingsError, match="--direction"):
            parse_directions([text])


def test_the_pages_show_how_a_table_is_refused(tmp_path):
    refused = shown(r"<!-- refused -->\n```\n(.*?)```")
    (tmp_path / "table.csv").write_text(
        "patient_id,lesion_id,group,phase,region,parameter,value,definition\n"
        "P1,1,lung,AP,rim,iodine,2.1,\n"
        'P1,2,lung,AP,rim,iodine,"1,9",\n'
        "P1,1,lung,AP,rim,lambda_hu,0.9,/ 60\n"
        "P2,1,breast,AP,rim,lambda_hu,1.9,/ 40\n"
    )
    done = gsigpu(
        "cohort", "stats", "table.csv", "-o", "out", "--groups", "lung,brest", folder=tmp_path
    )
    assert done.stderr == refused


@pytest.mark.parametrize(
    "texts",
    [["iodine=a>b>a"], ["iodine=a>"], ["iodine=>"], ["iodine=a>b", "iodine=b>a"]],
)
def test_directions_that_contradict_themselves_are_refused(texts):
    with pytest.raises(SettingsError, match="--direction"):
        parse_directions(texts)
