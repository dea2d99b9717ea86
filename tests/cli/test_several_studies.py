"""Several studies in one call: each is what a call for it alone gives, and a failure keeps to itself."""

import io
import json
import sys
from pathlib import Path

import nibabel
import pandas as pd
import pytest
from typer.testing import CliRunner

import gsigpu
from gsigpu.cli.app import app
from gsigpu.cli.several_studies import given_studies
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
        truth = write_phantom(folder / f"made{number}", settings)
        truth.dicom_folder.rename(folder / f"P{number}")
        for path in truth.lesion_mask, truth.liver_mask:
            path.rename(folder / f"P{number}_{path.name}")
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
    given = given_studies([Path("-")])
    names = given.paths
    assert names == (studies / "P1", studies / "P2")
    assert given.are_several
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
        ((first, studies / "P2", "--mask", "m.nii"), "--mask m.nii is one file"),
        (("-", "-"), "- is there twice; name standard input once"),
    ):  # fmt: skip
        code, _, errors = run("map", *words, *REQUEST, "-o", tmp_path / "m")
        assert code != 0
        assert line in errors
    assert not (tmp_path / "m").exists()
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    with pytest.raises(SettingsError, match="standard input lists no study; write one name a line"):
        given_studies([Path("-")])


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
    assert "--report is for one study, and several are given; leave --report out" in errors


def test_studies_of_one_name_are_called_by_their_paths(studies, tmp_path):
    (tmp_path / "P1").symlink_to(studies / "P2")
    code, output, _ = run("scan", studies / "P1", tmp_path / "P1", "--json")
    assert code == 0
    assert len(json.loads(output)["studies"]) == 2


LESIONS = "{study}_lesions.nii.gz"
OF_SEVERAL = (
    "--mask m.nii.gz is one file, and several studies are given; write {study}, a study's path, or {name}, its name,"
    " where the paths differ, as in --mask '{study}/m.nii.gz'"
)
QUICK = ("--slope", "60-100", "--no-curve", "--ct-value", "60", "--backend", "cpu")


@pytest.fixture(scope="module")
def alone(studies, tmp_path_factory):
    """What a call for each study alone writes: its rows."""
    folder, tables = tmp_path_factory.mktemp("alone"), {}
    for name in ("P1", "P2"):
        mask, out = studies / f"{name}_lesions.nii.gz", folder / f"{name}.csv"
        assert run("measure", studies / name, "--mask", mask, *QUICK, "-o", out)[0] == 0
        tables[name] = pd.read_csv(out)
    return tables


def test_one_table_of_several_studies_holds_the_rows_of_each(studies, alone, tmp_path):
    (studies / "P3_lesions.nii.gz").write_bytes((studies / "P1_lesions.nii.gz").read_bytes())
    names, out = [studies / name for name in ("P1", "P3", "P2")], tmp_path / "all.csv"
    words = ("measure", *names, "--mask", LESIONS, *QUICK, "--wide", "-o", out)
    code, output, errors = run(*words)
    assert code == 1
    assert "gsigpu: error: P3: " in errors
    assert str(out) in output.rpartition("wrote    ")[2]
    pd.testing.assert_frame_equal(pd.read_csv(out), pd.concat(alone.values(), ignore_index=True))
    record = json.loads(out.with_suffix(".json").read_text("utf-8"))
    assert list(record["studies"]) == ["P1", "P2"]
    assert [failure["study"] for failure in record["failures"]] == ["P3"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "all.csv",
        "all.json",
        "all.wide.csv",
    ]
    assert "all.json: is there already" in run(*words)[2]
    code, output, _ = run(*words, "--overwrite", "--json")
    told = json.loads(output)
    assert (code, told["n_rows"], list(told["studies"])) == (1, len(pd.read_csv(out)), ["P1", "P2"])
    assert [line.partition(":")[0] for line in told["failures"]] == ["P3"]


def test_a_folder_holds_a_table_of_each_study(studies, alone, tmp_path):
    """And masks that lie by the studies' names."""
    mask = studies / "{name}_lesions.nii.gz"
    out = tmp_path / "tables"
    code, _, errors = run(
        "measure", studies / "P1", studies / "P2", "--mask", mask, *QUICK, "-o", out
    )
    assert code == 0, errors
    for name, rows in alone.items():
        pd.testing.assert_frame_equal(pd.read_csv(out / name / "measurements.csv"), rows)


def test_a_list_of_one_study_is_a_list(studies, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{studies / 'P1'}\n"))
    given = given_studies([Path("-")])
    assert given.are_several
    assert not given_studies([studies / "P1"]).are_several


def test_every_mask_of_a_study_goes_by_its_path_or_name(studies, tmp_path):
    """Lesions, organs and regions with a name; a study without its mask is named, and the others are measured."""
    names, out = [studies / "P1", studies / "P2"], tmp_path / "all.csv"
    (studies / "P2_liver.nii.gz").rename(studies / "away.nii.gz")
    code, _, errors = run(
        "measure", *names, "--mask", LESIONS, "--liver-mask", "{study}_liver.nii.gz",
        "--region", "whole={study}_liver.nii.gz", *QUICK, "-o", out,
    )  # fmt: skip
    (studies / "away.nii.gz").rename(studies / "P2_liver.nii.gz")
    assert code == 1
    assert f"P2: {studies / 'P2_liver.nii.gz'}: " in errors
    table = pd.read_csv(out)
    assert set(table.case_id) == {"P1"}
    assert {"whole", "parenchyma", "core"} <= set(table.region)


def test_what_is_said_of_one_mask_for_several_studies_can_be_done(studies, alone, tmp_path):
    names = [studies / name for name in alone]
    for name in names:
        mask = name.with_name(f"{name.name}_lesions.nii.gz")
        (name / "m.nii.gz").write_bytes(mask.read_bytes())
    out = tmp_path / "all.csv"
    assert OF_SEVERAL in run("measure", *names, "--mask", "m.nii.gz", *QUICK, "-o", out)[2]
    pattern = OF_SEVERAL.split("'")[-2]
    assert run("measure", *names, "--mask", pattern, *QUICK, "-o", out)[0] == 0
    for name in names:
        (name / "m.nii.gz").unlink()


def test_maps_and_pages_of_several_studies_take_masks(studies, alone, tmp_path):
    names = [studies / "P1", studies / "P2"]
    code, _, errors = run("map", *names, *REQUEST, "--mask", LESIONS, "-o", tmp_path / "maps")
    assert code == 0, errors
    tables = [pd.read_csv(tmp_path / "maps" / name / "measurements.csv") for name in alone]
    assert [set(table.lesion_id.dropna()) for table in tables] == [
        set(table.lesion_id.dropna()) for table in alone.values()
    ]
    code, output, errors = run("review", *names, "--mask", LESIONS, "--json", "-o", tmp_path / "r")
    assert code == 0, errors
    pages = {name: study["page"] for name, study in json.loads(output)["studies"].items()}
    assert pages == {name: str(tmp_path / "r" / name / "index.html") for name in alone}


def test_what_is_of_one_study_is_refused_for_several(studies, tmp_path):
    names = [studies / "P1", studies / "P2"]
    out = tmp_path / "all.csv"
    for words, line in (
        (("measure", *names, "--mask", LESIONS, "--case", "C", "-o", out), "--case is for one study, and several are given; leave --case out"),
        (("measure", *names, "--mask", LESIONS, "--patient", "C", "-o", out), "leave --patient out"),
        (("measure", *names, "--mask", LESIONS, "--dicom", "-o", out), f"--dicom makes files of each study, and {out} is one table; name a folder, -o OUT, for OUT/NAME of each study"),
        (("measure", *names, "--liver-mask", LESIONS, "-o", out), "no mask of lesions; name one with --mask"),
        (("measure", *names, "--nifti", "60=a.nii", "--mask", LESIONS, "-o", out), "--nifti is for one study, and several are given; leave --nifti out"),
        (("map", *names, "--nifti", "60=a.nii", "-o", out), "leave --nifti out"),
        (("review", *names, "--serve"), "--serve is for one study, and several are given; leave --serve out"),
        (("review", *names, "--case", "C", "-o", out), "leave --case out"),
        (("measure", *names, "--region", "a=b.nii", "-o", out), "--region a=b.nii is one file"),
    ):  # fmt: skip
        code, _, errors = run(*words)
        assert (code, out.exists()) == (1, False)
        assert line in errors


def test_scan_takes_images_in_volumes(studies, tmp_path):
    study = gsigpu.scan(studies / "P1")
    for kev in (60, 100):
        nibabel.save(study.volume(kev).to_nibabel(), tmp_path / f"vmi_{kev}.nii.gz")
    code, output, errors = run("scan", "--nifti", tmp_path / "vmi_{kev}.nii.gz", "--json")
    assert code == 0, errors
    series = json.loads(output)["series"]
    assert [member["energy_kev"] for member in series] == [60.0, 100.0]
    assert all(member["kind"] == "vmi" for member in series)
