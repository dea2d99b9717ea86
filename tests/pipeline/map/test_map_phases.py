"""Maps of all phases: a folder for each, all of them or none."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

import gsigpu
from gsigpu.cli.app import app
from gsigpu.pipeline.map import map_phases

SETTINGS = gsigpu.PhantomSettings(
    shape=(4, 64, 80), spacing_mm=(30.0, 4.4, 4.4), n_lesions=1, diameter_mm=(29.0, 30.0),
    energies_kev=(60.0, 100.0), extras=(),
)  # fmt: skip


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return gsigpu.write_phantom(tmp_path_factory.mktemp("study") / "phantom", SETTINGS)


def run(truth, out, *words, phase="all"):
    command = ["map", truth.dicom_folder, "-o", out, "--phase", phase, "--maps", "iodine", "--format", "nifti", *words]  # fmt: skip
    return CliRunner().invoke(app, [str(word) for word in command])


def test_each_folder_is_what_the_phase_alone_gives(truth, tmp_path):
    done = run(truth, tmp_path / "maps", "--mask", truth.lesion_mask, "--any-mask-phase", "--json")
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    assert [record["phase"] for record in printed["phases"]] == ["AP", "PVP"]
    for record in printed["phases"]:
        alone = tmp_path / f"alone-{record['phase']}"
        done = run(truth, alone, "--mask", truth.lesion_mask, phase=record["phase"])
        assert done.exit_code == 0, done.output
        folder = tmp_path / "maps" / record["phase"]
        names = {path.name for path in folder.iterdir()}
        assert names == {path.name for path in alone.iterdir()}
        assert record["maps"]["iodine"] == str(folder / "iodine.nii")
        assert record["measurement"]["files"][0] == str(folder / "measurements.csv")
        for name in ("iodine.nii", "measurements.csv"):
            assert (folder / name).read_bytes() == (alone / name).read_bytes()


@pytest.mark.parametrize(("phase", "name"), [("PVP", "PVP"), ("", "phase")])
def test_the_only_phase_of_a_study_keeps_its_name_or_needs_none(truth, tmp_path, phase, name):
    study = gsigpu.scan(truth.dicom_folder)
    of_one = [replace(series, phase=phase) for series in study.series if series.phase == "PVP"]
    study = replace(study, series=tuple(of_one))
    masks = gsigpu.MaskFiles((truth.lesion_mask,), any_phase=True)
    gsigpu.map_phases(study, tmp_path / "maps", maps=["lambda-hu"], output_format="nifti")
    assert [path.name for path in (tmp_path / "maps").iterdir() if path.is_dir()] == [name]
    measured = gsigpu.measure_phases(study, masks)
    assert [measurement.stack.phase for measurement in measured.phases] == [phase]
    page = gsigpu.review(study, tmp_path / "page", masks=masks)
    assert page.n_lesions == 1


def test_a_phase_that_fails_leaves_nothing(truth, tmp_path, monkeypatch):
    whole = map_phases.map_study

    def failing(study, out, *, phase, **options):
        if phase == "PVP":
            raise gsigpu.PixelDataError("cannot be decoded", remedy="export it again")
        return whole(study, out, phase=phase, **options)

    monkeypatch.setattr(map_phases, "map_study", failing)
    done = run(truth, tmp_path / "maps")
    assert "cannot be decoded" in str(done.exception)
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_output_is_replaced_when_asked(truth, tmp_path):
    assert run(truth, tmp_path / "maps", phase="AP").exit_code == 0
    told = run(truth, tmp_path / "maps")
    assert "is there already; choose another output, or add --overwrite" in str(told.exception)
    assert run(truth, tmp_path / "maps", "--overwrite").exit_code == 0
    assert {path.name for path in (tmp_path / "maps").iterdir() if path.is_dir()} == {"AP", "PVP"}
