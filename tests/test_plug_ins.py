"""A package that adds a map, a statistic and a reader of masks; it is installed as pip leaves it, in a folder of its own."""

import json
import sys

import nibabel
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import gsigpu
from gsigpu.cli.app import app
from gsigpu.errors import GsigpuError

CODE = """
from dataclasses import replace

import numpy as np

from gsigpu import LabelImage, RegionStatistic
from gsigpu.maps.registry import define

HALF = replace(define("water"), name="half-water", parameter="half_water")
TRIMMED = RegionStatistic("trimmed", lambda v: np.sort(v)[1:-1].mean(), "mean without the extremes")
COUNT = RegionStatistic("above-0", lambda v: float((v > 0).mean()), "share of voxels above 0", unit="1")
BROKEN = RegionStatistic("broken", lambda v: 1 / 0, "nothing")
OTHER = "no statistic"


def broken_map():
    raise KeyError("no tables")


def read(path):
    with np.load(path) as file:
        return LabelImage(file["labels"], file["affine"], {1: "Met 1", 2: "Liver"})


def read_badly(path):
    raise ValueError("not today")


def read_text(path):
    return "text"


def read_thin(path):
    return LabelImage(np.zeros((2, 2)), np.eye(4))


def read_minus(path):
    return LabelImage(np.full((2, 2, 2), -1), np.eye(4))


def read_flat(path):
    return LabelImage(np.ones((2, 2, 2), int), np.zeros((4, 4)))
"""
ENTRY_POINTS = """[gsigpu.maps]
half-water = spectral_extras:HALF
broken-map = spectral_extras:broken_map
lost-map = spectral_extras:NOWHERE

[gsigpu.statistics]
trimmed = spectral_extras:TRIMMED
above-0 = spectral_extras:COUNT
broken = spectral_extras:BROKEN
other = spectral_extras:OTHER

[gsigpu.mask_readers]
npz = spectral_extras:read
bad = spectral_extras:read_badly
text = spectral_extras:read_text
thin = spectral_extras:read_thin
minus = spectral_extras:read_minus
flat = spectral_extras:read_flat
"""


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    small = gsigpu.PhantomSettings(
        shape=(6, 64, 80), spacing_mm=(20.0, 4.4, 4.4), n_lesions=1, diameter_mm=(28.0, 30.0),
        energies_kev=(60.0, 70.0, 100.0), phases=("PVP",), extras=(),
    )  # fmt: skip
    return gsigpu.write_phantom(tmp_path_factory.mktemp("study") / "phantom", small)


@pytest.fixture
def package(tmp_path, monkeypatch):
    place = tmp_path / "site"
    info = place / "spectral_extras-2.5.dist-info"
    info.mkdir(parents=True)
    (place / "spectral_extras.py").write_text(CODE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: spectral-extras\nVersion: 2.5\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(str(place))
    yield "spectral-extras"
    sys.modules.pop("spectral_extras", None)


@pytest.fixture
def masks(truth, tmp_path):
    """The phantom's lesion and liver in a format of the package."""
    lesions, liver = nibabel.load(truth.lesion_mask), nibabel.load(truth.liver_mask)
    labels = np.where(np.asarray(lesions.dataobj) > 0, 1, 2 * (np.asarray(liver.dataobj) > 0))
    path = tmp_path / "drawn.npz"
    np.savez(path, labels=labels.transpose(2, 1, 0).astype(np.uint8), affine=lesions.affine)
    return path


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_a_map_a_statistic_and_a_reader_are_used_and_told(package, truth, masks, tmp_path):
    del package
    out = tmp_path / "m.csv"
    done = run("measure", truth.dicom_folder, "--mask", masks, "-o", out, "--maps", "iodine,half-water",
               "--statistics", "trimmed,above-0")  # fmt: skip
    assert done.exit_code == 0, done.exception or done.output
    table = pd.read_csv(out)
    assert set(table.lesion_id.dropna()) == {"Met 1"}
    assert "parenchyma" in set(table.region)  # the liver of the file is the liver
    mean = table.query("region == 'core' and statistic == 'mean'").set_index("parameter").value
    trimmed = table.query("region == 'core' and statistic == 'trimmed'").set_index("parameter")
    assert set(trimmed.index) == {"lambda_hu", "iodine", "half_water", "ct_value"}
    assert trimmed.loc["iodine", "unit"] == "mg/mL"
    assert trimmed.loc["iodine", "definition"].startswith(
        "mean without the extremes, of c of the water-iodine fit"
    )
    assert trimmed.value["ct_value"] == pytest.approx(mean["ct_value"], rel=0.02)
    assert trimmed.value["ct_value"] != mean["ct_value"]
    share = table.query("region == 'core' and statistic == 'above-0' and parameter == 'ct_value'")
    assert (share.unit.astype(str) == "1").all()
    assert (share.value == 1.0).all()
    used = json.loads(out.with_suffix(".json").read_text())["plug_ins"]
    assert {(entry["group"], entry["name"]) for entry in used} == {
        ("gsigpu.maps", "half-water"), ("gsigpu.statistics", "trimmed"),
        ("gsigpu.statistics", "above-0"), ("gsigpu.mask_readers", "npz"),
    }  # fmt: skip
    assert {(entry["package"], entry["version"]) for entry in used} == {("spectral-extras", "2.5")}
    gsigpu.map(truth.dicom_folder, tmp_path / "maps", maps=["half-water"], output_format="nifti")
    told = json.loads((tmp_path / "maps" / "provenance.json").read_text())["plug_ins"]
    assert [(entry["name"], entry["version"]) for entry in told] == [("half-water", "2.5")]


def test_a_reader_gives_what_the_same_mask_gives_as_nifti(package, truth, masks, tmp_path):
    del package
    image = nibabel.load(truth.lesion_mask)
    with np.load(masks) as file:
        labels = file["labels"].transpose(2, 1, 0)
    nibabel.save(nibabel.Nifti1Image(labels, image.affine), tmp_path / "same.nii")
    roles = gsigpu.MaskFiles(tmp_path / "same.nii", liver=tmp_path / "liver.nii")
    nibabel.save(
        nibabel.Nifti1Image((labels > 1).astype(np.uint8), image.affine), tmp_path / "liver.nii"
    )
    nibabel.save(
        nibabel.Nifti1Image((labels == 1).astype(np.uint8), image.affine), tmp_path / "same.nii"
    )
    tables = [
        gsigpu.measure(truth.dicom_folder, files).table.query("region == 'lesion'").value
        for files in (masks, roles)
    ]
    np.testing.assert_array_equal(*tables)


# What is printed: words -> the line. Each is told by a package that is there, and is gone without the words that name it.
LINES = {
    "--maps broken-map": "'broken-map', which a package adds to gsigpu.maps, failed (KeyError: 'no tables');"
    " leave it out, or repair its package",
    "--maps lost-map": "'lost-map' of spectral-extras cannot be imported (module 'spectral_extras' has no attribute"
    " 'NOWHERE'); repair the package, or remove it: pip uninstall spectral-extras",
    "--statistics broken": "'broken', which a package adds to gsigpu.statistics, failed (ZeroDivisionError: division by"
    " zero); leave it out, or repair its package",
    "--statistics other": "the package that adds the statistic 'other' gives 'no statistic'; let it give a"
    " RegionStatistic whose name is 'other'",
    "--statistics nobody": "no installed package adds the statistic 'nobody' (there is above-0, broken, other, trimmed);"
    " leave it out of --statistics, or install its package",
    "--statistics mean": "the statistic 'mean' is measured anyway; leave it out of --statistics",
    "--mask drawn.bad": "drawn.bad: 'bad', which a package adds to gsigpu.mask_readers, failed (ValueError: not today);"
    " leave it out, or repair its package",
    "--mask drawn.text": "drawn.text: the reader of .text gives str, and no LabelImage; repair its package, or save the"
    " mask as NIfTI",
    "--mask drawn.thin": "drawn.thin: holds no (z, y, x) labels: float64 of shape (2, 2); save a volume of labels",
    "--mask drawn.minus": "drawn.minus: has labels outside 0-65535; save a volume of labels",
    "--mask drawn.flat": "drawn.flat: lies nowhere (affine [[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0,"
    " 0.0], [0.0, 0.0, 0.0, 0.0]] makes no grid); write a (4, 4) affine to RAS mm",
}


@pytest.mark.parametrize(("words", "line"), LINES.items(), ids=list(LINES))
def test_what_fails_is_named_and_nothing_is_written(
    package, truth, masks, tmp_path, monkeypatch, words, line
):
    del package
    monkeypatch.chdir(tmp_path)
    option, value = words.split()
    if option == "--mask":
        (tmp_path / value).write_bytes(b"x")
    mask = [] if option == "--mask" else ["--mask", masks]
    done = run("measure", truth.dicom_folder, *mask, "-o", "m.csv", option, value)
    assert isinstance(done.exception, GsigpuError)
    assert str(done.exception) == line
    assert not (tmp_path / "m.csv").exists()


def test_without_the_package_nothing_of_it_is_known(truth, masks, tmp_path):
    done = run("measure", truth.dicom_folder, "--mask", masks, "-o", tmp_path / "m.csv")
    assert "is no mask that can be read" in str(done.exception)
