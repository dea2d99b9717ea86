"""All phases of a study in one table."""

import json

import pandas as pd
import pytest
from typer.testing import CliRunner

import gsigpu
from gsigpu.cli.app import app
from gsigpu.tables.measurement_table import read_table

SETTINGS = gsigpu.PhantomSettings(
    shape=(12, 64, 80), spacing_mm=(10.0, 4.4, 4.4), n_lesions=2, diameter_mm=(28.0, 30.0),
    energies_kev=(70.0, 100.0), phases=("AP", "PVP", "DP"), extras=(),
)  # fmt: skip

# What is printed, with ways out that tests below take.
LINES = [
    "--haematocrit is for a table of all phases; add --phase all, or leave it out",
    "haematocrit 42 is no share of the blood's volume; write --haematocrit 0.42",
]


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return gsigpu.write_phantom(tmp_path_factory.mktemp("study") / "phantom", SETTINGS)


def run(truth, out, *words, phase="all"):
    command = ["measure", truth.dicom_folder, "--mask", truth.lesion_mask, "--aorta-mask", truth.aorta_mask,
               "--phase", phase, "-o", out, "--regions", "lesion,aorta", "--slope", "70-100", "--no-curve", *words]  # fmt: skip
    return CliRunner().invoke(app, [str(word) for word in command])


@pytest.fixture(scope="module")
def written(truth, tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    done = run(truth, folder / "m.csv", "--wide", "--dicom", "--haematocrit", "0.4", "--json")
    assert done.exit_code == 0, done.output
    return folder, json.loads(done.stdout)


def test_the_rows_of_each_phase_are_those_that_it_gives_alone(truth, written, tmp_path):
    folder, printed = written
    table = read_table(folder / "m.csv")
    assert [entry["phase"] for entry in printed["phases"]] == ["AP", "PVP", "delayed"]
    assert printed["n_rows"] == len(table)
    assert run(truth, tmp_path / "alone.csv", phase="PVP").exit_code == 0
    alone = read_table(tmp_path / "alone.csv")
    of_phase = table[(table.phase == "PVP")].reset_index(drop=True)
    # what the folder is called is the case's name in both
    pd.testing.assert_frame_equal(of_phase, alone)


def test_what_two_phases_say_is_made_of_these_rows(truth, written):
    folder, _ = written
    table = read_table(folder / "m.csv")
    cells = {
        (row.phase, row.lesion_id, row.region, row.parameter): row.value
        for row in table[table.statistic == "mean"].itertuples()
    }
    iodine = {phase: cells[phase, "1", "lesion", "iodine"] for phase in ("AP", "PVP", "delayed")}
    assert cells["AP-PVP", "1", "lesion", "iodine_wash_in"] == iodine["PVP"] - iodine["AP"]
    assert cells["AP-PVP", "1", "lesion", "arterial_enhancement_fraction"] == pytest.approx(
        iodine["AP"] / iodine["PVP"]
    )
    assert cells["delayed", "1", "lesion", "extracellular_volume"] == pytest.approx(
        0.6 * iodine["delayed"] / cells["delayed", "", "aorta", "iodine"]
    )


def test_what_goes_with_the_table_is_of_each_phase(truth, written):
    folder, _ = written
    names = {path.name for path in folder.iterdir()}
    assert {"m.csv", "m.json", "m.wide.csv"} <= names
    for phase in ("AP", "PVP", "delayed"):
        assert {f"m.{phase}.seg.dcm", f"m.{phase}.sr.dcm"} <= names
    record = json.loads((folder / "m.json").read_text("utf-8"))
    assert sorted(record["files"]) == sorted(names)
    assert record["haematocrit"] == 0.4
    assert [entry["phase"] for entry in record["phases"]] == ["AP", "PVP", "delayed"]
    assert "AP-PVP" in set(read_table(folder / "m.wide.csv").phase)


def test_a_table_of_one_phase_in_its_place_takes_all_of_it_away(truth, written):
    folder, _ = written
    assert run(truth, folder / "m.csv", phase="AP").exit_code == 1
    assert (folder / "m.PVP.seg.dcm").exists()
    assert run(truth, folder / "m.csv", "--overwrite", phase="AP").exit_code == 0
    assert {path.name for path in folder.iterdir()} == {"m.csv", "m.json"}


def test_a_haematocrit_needs_all_phases(truth, tmp_path):
    done = run(truth, tmp_path / "m.csv", "--haematocrit", "0.4", phase="delayed")
    assert str(done.exception) == LINES[0]
    done = run(truth, tmp_path / "m.csv", "--haematocrit", "42")
    assert str(done.exception) == LINES[1]
    assert list(tmp_path.iterdir()) == []
    assert run(truth, tmp_path / "m.csv", "--haematocrit", "0.42").exit_code == 0
