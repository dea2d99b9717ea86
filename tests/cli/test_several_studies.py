"""`map` of several studies: each is what a call for it alone gives, and a failure keeps to itself."""

import io
import json
import sys
from pathlib import Path

import nibabel
import pytest
from typer.testing import CliRunner

import gsigpu
from gsigpu.cli.app import app
from gsigpu.cli.several_studies import named_studies
from gsigpu.errors import GsigpuError, SettingsError
from gsigpu.phantom import PhantomSettings, write_phantom

REQUEST = ("--maps", "lambda-hu", "--format", "nifti", "--backend", "cpu")


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    """Two studies, and a folder that is none."""
    folder = tmp_path_factory.mktemp("several")
    for number in (1, 2):
        settings = PhantomSettings(
            shape=(6, 40, 48), spacing_mm=(8.0, 5.0, 5.0), n_lesions=1, diameter_mm=(26.0, 30.0),
            phases=("PVP",), energies_kev=(60.0, 100.0), extras=(), seed=number,
        )  # fmt: skip
        write_phantom(folder / f"made{number}", settings).dicom_folder.rename(folder / f"P{number}")
    (folder / "P3").mkdir()
    return folder


def run(*words):
    """In this process: exit code, output, and what is told on the way or at the end."""
    done = CliRunner().invoke(app, [str(word) for word in words])
    told = done.stderr + (str(done.exception) if isinstance(done.exception, GsigpuError) else "")
    return done.exit_code, done.stdout, told


def map_bytes(folder):
    return (folder / "lambda-hu.nii").read_bytes()


def test_each_study_goes_to_its_folder_and_a_failure_keeps_to_itself(studies, tmp_path):
    names = [studies / name for name in ("P1", "P3", "P2")]
    code, output, errors = run("map", *names, *REQUEST, "-o", tmp_path / "maps")
    assert code == 1
    assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == ["P1", "P2"]
    assert "gsigpu: error: P3: " in errors
    for name in ("P1", "P2"):
        assert run("map", studies / name, *REQUEST, "-o", tmp_path / name)[0] == 0
        assert map_bytes(tmp_path / "maps" / name) == map_bytes(tmp_path / name)
        assert f"{name}\n" in output


def test_a_list_from_standard_input_and_json(studies, tmp_path, monkeypatch):
    listed = f"{studies / 'P1'}\n\n{studies / 'P2'}\r\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO(listed))
    names = named_studies([Path("-")])
    assert names == [studies / "P1", studies / "P2"]
    code, output, errors = run("map", *names, *REQUEST, "--json", "-o", tmp_path / "maps")
    assert code == 0, errors
    record = json.loads(output)
    assert list(record["studies"]) == ["P1", "P2"]
    assert record["failures"] == []
    assert record["studies"]["P2"]["out"] == str(tmp_path / "maps" / "P2")


def test_what_cannot_be_is_told(studies, tmp_path, monkeypatch):
    other = tmp_path / "sub" / "P1"
    other.mkdir(parents=True)
    first = studies / "P1"
    for words, line in (
        ((first, other), f"would both go to {tmp_path / 'm' / 'P1'}; compute them in two calls, with another -o"),
        ((first, studies / "P2", "--mask", "m.nii"), "several are given; measure them with gsigpu cohort run"),
        (("-", "-"), "- is there twice; name standard input once"),
    ):  # fmt: skip
        code, _, errors = run("map", *words, *REQUEST, "-o", tmp_path / "m")
        assert code != 0
        assert line in errors
    assert not (tmp_path / "m").exists()
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    with pytest.raises(SettingsError, match="standard input lists no study; write one name a line"):
        named_studies([Path("-")])


def test_scan_of_several_studies_is_what_a_scan_of_each_is(studies, monkeypatch):
    names = [studies / name for name in ("P1", "P2")]
    alone = [json.loads(run("scan", name, "--json")[1]) for name in names]
    code, output, _ = run("scan", *names, "--json")
    assert code == 0
    assert list(json.loads(output)["studies"].values()) == alone
    code, output, errors = run("scan", *names, studies / "P3")
    assert code == 1
    assert output.startswith("P1\nseries  kind")
    assert output.count("Mono 100 keV") == 2
    assert "gsigpu: error: P3: " in errors
    code, _, errors = run("scan", *names, "--report", studies / "r.json")
    assert (code, (studies / "r.json").exists()) == (1, False)
    assert "a report is of one study, and several are given; leave --report out" in errors


def test_studies_of_one_name_are_called_by_their_paths(studies, tmp_path):
    (tmp_path / "P1").symlink_to(studies / "P2")
    code, output, _ = run("scan", studies / "P1", tmp_path / "P1", "--json")
    assert code == 0
    assert len(json.loads(output)["studies"]) == 2


def test_measure_says_what_takes_several(studies, tmp_path):
    code, _, errors = run(
        "measure", studies / "P1", studies / "P2", "--mask", "m.nii", "-o", tmp_path / "m.csv"
    )
    assert code == 1
    assert (
        "2 studies are given, and masks are those of one; write a manifest with gsigpu cohort init"
        in errors
    )


def test_scan_takes_images_in_volumes(studies, tmp_path):
    study = gsigpu.scan(studies / "P1")
    for kev in (60, 100):
        nibabel.save(study.volume(kev).to_nibabel(), tmp_path / f"vmi_{kev}.nii.gz")
    code, output, errors = run("scan", "--nifti", tmp_path / "vmi_{kev}.nii.gz", "--json")
    assert code == 0, errors
    series = json.loads(output)["series"]
    assert [member["energy_kev"] for member in series] == [60.0, 100.0]
    assert all(member["kind"] == "vmi" for member in series)
