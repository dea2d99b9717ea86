"""What a dry run tells is what the run then does."""

import json

import pytest
from typer.testing import CliRunner

import gsigpu
from gsigpu.cli.app import app

SETTINGS = gsigpu.PhantomSettings(
    shape=(6, 64, 80), spacing_mm=(20.0, 4.4, 4.4), n_lesions=1, diameter_mm=(28.0, 30.0),
    energies_kev=(60.0, 70.0, 100.0), extras=(),
)  # fmt: skip


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return gsigpu.write_phantom(tmp_path_factory.mktemp("study") / "phantom", SETTINGS)


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def told(*words):
    done = run(*words, "--dry-run", "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)["phases"]


@pytest.mark.parametrize("output_format", ["ct", "nifti", "nii.gz"])
def test_map(truth, tmp_path, output_format):
    command = ["map", truth.dicom_folder, "-o", tmp_path / "maps", "--phase", "PVP", "--maps", "lambda-hu",
               "--format", output_format]  # fmt: skip
    (plan,) = told(*command)
    assert list(tmp_path.iterdir()) == []
    assert plan["energies_kev"] == [60.0, 100.0]
    assert plan["n_planes"] == 12
    assert plan["read_bytes"] == 12 * 64 * 80 * 2
    done = run(*command, "--json")
    assert plan["written"] == list(json.loads(done.stdout)["maps"].values())
    folder = tmp_path / "maps"
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert 0.3 < size / plan["written_bytes"] < 1.5
    refused = run(*command, "--dry-run")
    assert "is there already; choose another output, or add --overwrite" in str(refused.exception)
    assert run(*command, "--dry-run", "--overwrite").exit_code == 0


def test_measure(truth, tmp_path):
    command = ["measure", truth.dicom_folder, "--mask", truth.lesion_mask, "--phase", "all", "--any-mask-phase",
               "-o", tmp_path / "m.csv", "--regions", "lesion", "--wide"]  # fmt: skip
    plans = told(*command)
    assert list(tmp_path.iterdir()) == []
    done = run(*command, "--json")
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    assert [plan["phase"] for plan in plans] == ["AP", "PVP"]
    for plan, phase in zip(plans, printed["phases"], strict=True):
        assert plan["n_planes"] == 3 * phase["n_slices_read"]
        assert sorted(plan["written"]) == sorted(printed["files"])


def test_for_a_person(truth, tmp_path):
    done = run("map", truth.dicom_folder, "-o", tmp_path / "maps", "--phase", "AP", "--dry-run")
    lines = done.stdout.splitlines()
    assert lines[0] == "phase  AP: 60, 70, 100 keV"
    assert lines[-1] == "nothing was done (--dry-run)"
    assert max(map(len, lines[:2])) <= 80
