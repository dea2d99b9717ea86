"""`gsigpu measure` as a user runs it."""

import json

import nibabel
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from gsigpu.cli.app import app
from gsigpu.phantom import PhantomSettings, write_phantom
from gsigpu.tables.measurement_table import read_table
from tests.support.warm_program import fresh, warm

SMALL = PhantomSettings(
    shape=(12, 64, 80),
    spacing_mm=(10.0, 4.4, 4.4),
    n_lesions=2,
    diameter_mm=(28.0, 30.0),
    energies_kev=(60.0, 70.0, 100.0),
    extras=("iodine",),
)


def run(*words):
    return warm("measure", *words)


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return write_phantom(tmp_path_factory.mktemp("study") / "phantom", SMALL)


def test_measures_and_says_what_it_did(truth, tmp_path):
    done = fresh(
        "measure",
        truth.dicom_folder, "--mask", truth.lesion_mask, "--liver-mask", truth.liver_mask,
        "--phase", "PVP", "--slope", "paper,60-100", "-o", tmp_path / "t.csv", "--wide", "--plot",
        "--case", "c-7", "--group", "lung", "--reader", "A", "--name", "2=second",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "2 lesions, liver" in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {
        "t.csv", "t.json", "t.wide.csv", "t.profile.png",
    }  # fmt: skip
    table = read_table(tmp_path / "t.csv")
    assert set(table.case_id) == {"c-7"}
    assert set(table.group) == {"lung"}
    assert set(table.reader) == {"A"}
    assert set(table.lesion_id) == {"1", "second", ""}
    both = table[(table.region == "core") & (table.statistic == "mean")].set_index(
        ["lesion_id", "parameter"]
    )
    ratio = both.value["1", "lambda_hu[60-100]"] / both.value["1", "lambda_hu"]
    assert ratio == pytest.approx(1.5, rel=1e-4)  # 60 keV over 40 keV


def test_json(truth, tmp_path):
    done = run(
        truth.dicom_folder, "--mask", truth.lesion_mask, "--phase", "AP", "--json",
        "-o", tmp_path / "t.parquet",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert printed["phase"] == "AP"
    assert printed["lesions"] == ["1", "2"]
    assert printed["n_rows"] == len(read_table(tmp_path / "t.parquet"))


def test_a_failure_beside_success_is_exit_code_1_and_one_line(truth, tmp_path):
    elsewhere = tmp_path / "elsewhere.nii.gz"
    affine = truth.geometry.affine_ras
    affine[:3, 3] += 1000.0
    labels = np.zeros(SMALL.shape[::-1], np.uint8)
    labels[10:20, 10:20, 2:4] = 9
    nibabel.save(nibabel.Nifti1Image(labels, affine), elsewhere)
    done = run(
        truth.dicom_folder, "--mask", truth.lesion_mask, "--mask", elsewhere, "--phase", "PVP",
        "-o", tmp_path / "out" / "t.csv",
    )  # fmt: skip
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("gsigpu: error: ")]
    assert len(errors) == 1
    assert errors[0].startswith(f"gsigpu: error: {elsewhere}: ")
    table = read_table(tmp_path / "out" / "t.csv")
    assert table[table.parameter == ""]["flags"].tolist() == ["failed:outside-study"]
    assert len(table) > 100


def test_a_taken_output_is_refused_before_anything_is_read(tmp_path):
    (tmp_path / "t.wide.csv").write_text("mine")
    words = [tmp_path / "no-study", "--mask", "m.nii", "-o", tmp_path / "t.csv"]
    assert "t.wide.csv: is there already" in run(*words, "--wide").stderr
    assert "no-study" in run(*words).stderr
    assert (tmp_path / "t.wide.csv").read_text() == "mine"


def test_roles_by_file_and_by_option(truth, tmp_path):
    (tmp_path / "roles.yaml").write_text("lesion: [1]\nnames: {1: S4a}\n")
    done = run(
        truth.dicom_folder, "--mask", truth.lesion_mask, "--phase", "PVP",
        "--roles", tmp_path / "roles.yaml", "--role", "2=normal", "-o", tmp_path / "t.csv",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    table = read_table(tmp_path / "t.csv")
    assert set(table.lesion_id) == {"S4a", ""}
    assert "parenchyma" in set(table.region)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--rim", "thick"], "unknown rim 'thick'"),
        (["--role", "2"], "'2' is not LABEL=VALUE"),
        (["--role", "2=tumour"], "unknown role 'tumour'"),
        (["--perilesional", "near"], "is no range"),
        (["--perilesional", "5-2"], "perilesional range"),
        (["--slope", "100-60"], "does not rise"),
        (["--regions", "edge"], "unknown region 'edge'"),
        (["--ct-value", "bone"], "unknown CT value"),
        (["--regions", "core", "--plot"], "add profile to --regions"),
        (["-o", "t.xlsx"], ".csv or .parquet"),
        (["--rim-dimensions", "4d"], "--rim-dimensions auto, 2d, 3d"),
    ],
)
def test_bad_options_are_one_line_and_nothing_is_written(truth, tmp_path, words, message):
    out = [] if "-o" in words else ["-o", tmp_path / "t.csv"]
    done = run(truth.dicom_folder, "--mask", truth.lesion_mask, "--phase", "PVP", *out, *words)
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert message in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "option", "parameter"),
    [
        ("measure", "--slope", "slope"),
        ("measure", "--maps", "maps"),
        ("measure", "--regions", "regions"),
        ("measure", "--energies", "energies"),
        ("measure", "--series", "series"),
        ("map", "--maps", "maps"),
        ("map", "--energies", "energies"),
        ("map", "--series", "series"),
        ("run", "--slope", "slope"),
        ("run", "--parameters", "parameters"),
        ("run", "--regions", "regions"),
        ("run", "--maps", "maps"),
    ],
)
def test_commas_and_repeats_are_the_same(command, option, parameter):
    commands = typer.main.get_command(app).commands
    parser = commands["cohort"].commands[command] if command == "run" else commands[command]
    given = {"measure": ["DIR", "-o", "t.csv"], "map": ["DIR", "-o", "out"], "run": ["m.csv", "-o", "out"]}  # fmt: skip
    for words in (["a,b,c"], ["a", "b", "c"], ["a", "b,c"], [" a , b", "a", "c"]):
        told = [part for word in words for part in (option, word)]
        context = parser.make_context(command, [*given[command], *told])
        assert context.params[parameter] == ["a", "b", "c"]


def in_process(command, *words):
    return CliRunner().invoke(
        app, [command, *map(str, words), "--phase", "AP", "--slope", "60-100"]
    )


def test_map_with_a_mask_writes_the_table_that_measure_writes(truth, tmp_path):
    masks = ("--mask", truth.lesion_mask, "--liver-mask", truth.liver_mask)
    apart = in_process("measure", truth.dicom_folder, *masks, "-o", tmp_path / "t.csv")
    done = in_process("map", truth.dicom_folder, *masks, "-o", tmp_path / "out", "--json")
    assert (apart.exit_code, done.exit_code) == (0, 0), done.output
    record = json.loads(done.stdout)
    assert record["measurement"]["files"][0] == str(tmp_path / "out" / "measurements.csv")
    assert record["measurement"]["backend"] == record["backend"] == "cpu"
    table = (tmp_path / "out" / "measurements.csv").read_bytes()
    assert table == (tmp_path / "t.csv").read_bytes()
    shown = in_process("map", truth.dicom_folder, *masks, "-o", tmp_path / "again")
    assert "λHU core" in shown.stdout
    assert "lambda-hu" in shown.stdout


def test_map_with_masks_of_organs_alone_is_an_error(truth, tmp_path):
    done = in_process(
        "map", truth.dicom_folder, "--liver-mask", truth.liver_mask, "-o", tmp_path / "o"
    )
    assert done.exit_code != 0
    assert "no mask of lesions" in str(done.exception)
    assert not (tmp_path / "o").exists()


def test_says_which_energy_its_dicom_refers_to(truth, tmp_path):
    words = [
        "measure", truth.dicom_folder, "--mask", truth.lesion_mask, "--phase", "PVP", "--ct-value", "80",
        "--no-curve", "-o", tmp_path / "t.csv", "--dicom", "--json",
    ]  # fmt: skip
    done = CliRunner().invoke(app, list(map(str, words)))
    assert done.exit_code == 0, done.output
    line = "refer to the series at 70 keV: the stack has none at 80 keV"
    assert line in done.stderr
    assert any(line in warning for warning in json.loads(done.stdout)["warnings"])
