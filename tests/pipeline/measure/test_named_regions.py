"""Regions that a user names, with and without lesions."""

import json

import nibabel
import numpy as np
import pytest
from typer.testing import CliRunner

import gsigpu
from gsigpu.cli.app import app
from gsigpu.tables.measurement_table import read_table

SETTINGS = gsigpu.PhantomSettings(
    shape=(8, 64, 80), spacing_mm=(15.0, 4.4, 4.4), n_lesions=1, diameter_mm=(28.0, 30.0),
    energies_kev=(60.0, 100.0), phases=("AP",), noise_hu=0.0, texture_mg_per_ml=0.0, extras=(),
)  # fmt: skip
# What is printed, with ways out that tests below take.
LINES = [
    "--region 'spleen' names no region and file; write --region spleen=FILE",
    "a region cannot be called 'aorta': the name is taken or empty; write another name",
    "regions of --region have no code for SEG and SR; leave --dicom out, or --region",
]


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return gsigpu.write_phantom(tmp_path_factory.mktemp("study") / "phantom", SETTINGS)


def run(truth, out, *words):
    command = ["measure", truth.dicom_folder, "-o", out, "--ct-value", "60", "--no-curve", *words]
    return CliRunner().invoke(app, [str(word) for word in command])


def test_an_organ_without_a_lesion(truth, tmp_path):
    done = run(truth, tmp_path / "m.csv", "--region", f"whole liver={truth.liver_mask}", "--json")
    assert done.exit_code == 0, done.output
    table = read_table(tmp_path / "m.csv")
    assert set(table.region) == {"whole liver"}
    assert set(table.lesion_id) == {""}
    mask = np.asarray(nibabel.load(truth.liver_mask).dataobj).T > 0
    iodine = truth.composition().iodine["AP"][mask]
    (mean,) = table[(table.parameter == "iodine") & (table.statistic == "mean")].value
    assert mean == pytest.approx(iodine.mean(), abs=0.02)
    assert int(table.n_voxels.max()) == mask.sum()
    (record,) = json.loads((tmp_path / "m.json").read_text("utf-8"))["region_masks"]
    assert record["region"] == "whole liver"
    assert len(record["sha256"]) == 64


def test_beside_lesions_and_of_several_labels_together(truth, tmp_path):
    grid = nibabel.load(truth.liver_mask)
    labels = np.zeros(grid.shape, np.uint8)
    labels[5:9, 5:9, 2:4], labels[20:24, 20:24, 2:4] = 1, 2
    nibabel.save(nibabel.Nifti1Image(labels, grid.affine), tmp_path / "box.nii.gz")
    files = gsigpu.MaskFiles(str(truth.lesion_mask), regions=(("box", tmp_path / "box.nii.gz"),))
    settings = gsigpu.MeasureSettings(
        gsigpu.ParameterSettings(ct_value="60", curve=False),
        gsigpu.RegionSettings(regions=("lesion",)),
    )
    table = gsigpu.measure(truth.dicom_folder, files, settings=settings).table
    assert set(table.region) == {"lesion", "box"}
    assert set(table[table.region == "box"].n_voxels) == {64}


def test_what_cannot_be_a_region(truth, tmp_path):
    out = tmp_path / "m.csv"
    assert str(run(truth, out, "--region", "spleen").exception) == LINES[0]
    named = f"aorta={truth.aorta_mask}"
    assert str(run(truth, out, "--region", named).exception) == LINES[1]
    spleen = f"spleen={truth.aorta_mask}"
    assert str(run(truth, out, "--region", spleen, "--dicom").exception) == LINES[2]
    assert list(tmp_path.iterdir()) == []
    assert run(truth, out, "--region", spleen).exit_code == 0


def test_without_any_mask(truth, tmp_path):
    told = str(run(truth, tmp_path / "m.csv").exception)
    assert told == "no mask of lesions; name one with --mask"
