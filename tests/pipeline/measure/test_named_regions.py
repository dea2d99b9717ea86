"""Regions that a user names, with and without lesions."""

import json
import subprocess

import highdicom
import nibabel
import numpy as np
import pytest
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from typer.testing import CliRunner

import gsigpu
from gsigpu.cli.app import app
from gsigpu.pipeline.measure.region_codes import _ORGANS, CODING, coding_of
from gsigpu.tables.measurement_table import read_table

SETTINGS = gsigpu.PhantomSettings(
    shape=(8, 64, 80), spacing_mm=(15.0, 4.4, 4.4), n_lesions=1, diameter_mm=(28.0, 30.0),
    energies_kev=(60.0, 100.0), phases=("AP",), noise_hu=0.0, texture_mg_per_ml=0.0, extras=(),
)  # fmt: skip
# What is printed, with ways out that tests below take.
LINES = [
    "--region 'spleen' names no region and file; write --region spleen=FILE",
    "a region cannot be called 'aorta': the name is taken or empty; write another name",
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
    assert list(tmp_path.iterdir()) == []
    assert run(truth, out, "--region", f"spleen={truth.aorta_mask}").exit_code == 0


NAMES = (
    "Left_kidney",
    "spleen",
    "Größe 肝 a\\b",
    "a name that is much longer than what a label may hold, " + 30 * "x",
)


@pytest.fixture(scope="module")
def written(truth, tmp_path_factory):
    """SEG, SR and presentation state of regions with names alone."""
    out = tmp_path_factory.mktemp("dicom") / "m.csv"
    words = [word for name in NAMES for word in ("--region", f"{name}={truth.aorta_mask}")]
    done = run(truth, out, *words, "--dicom")
    assert done.exit_code == 0, done.output
    return out.parent


def test_named_regions_in_dicom_say_what_they_are(written):
    """Read by highdicom: an organ has its code, another name a code of this program whose meaning is the name."""
    seg = highdicom.seg.segread(written / "m.seg.dcm")
    left, spleen, unknown, long = (seg.get_segment_description(number) for number in (1, 2, 3, 4))
    assert left.segmented_property_type == codes.SCT.Kidney
    (side,) = left.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence
    assert (side.CodeValue, side.CodingSchemeDesignator) == (codes.SCT.Left.value, "SCT")
    assert spleen.segmented_property_type == codes.SCT.Spleen
    assert spleen.segmented_property_category == codes.SCT.AnatomicalStructure
    assert unknown.segmented_property_category == codes.SCT.SpatialAndRelationalConcept
    assert unknown.segmented_property_type.scheme_designator == "99GSIGPU"
    assert unknown.segmented_property_type.meaning == "Größe 肝 a/b"
    assert not hasattr(unknown, "AnatomicRegionSequence")
    assert long.segmented_property_type != unknown.segmented_property_type
    counts = seg.get_volume().array.sum(axis=(0, 1, 2))
    assert set(counts) == {counts[0]} != {0}
    report = highdicom.sr.srread(written / "m.sr.dcm")
    groups = report.content.get_volumetric_roi_measurement_groups()
    assert [group.finding_type for group in groups[:2]] == [codes.SCT.Kidney, codes.SCT.Spleen]
    assert groups[0].tracking_identifier == "Left_kidney"
    table = read_table(written / "m.csv")
    mean = table[(table.region == "spleen") & (table.parameter == "iodine") & (table.statistic == "mean")].value.item()  # fmt: skip
    values = [float(item.value) for item in groups[1].get_measurements()]
    assert any(value == pytest.approx(mean, rel=1e-6) for value in values)


@pytest.mark.tools
@pytest.mark.parametrize("kind", ["seg", "sr", "pr"])
def test_named_regions_in_dicom_follow_the_standard(written, kind):
    done = subprocess.run(
        ["dciodvfy", "-new", written / f"m.{kind}.dcm"], capture_output=True, text=True, check=False
    )
    assert not [line for line in done.stderr.splitlines() if line.startswith("Error")], done.stderr


def test_codes_of_organs_are_those_of_the_standard():
    """Against pydicom's dictionary of PS3.16."""
    known = {
        (code.value, code.meaning)
        for word in dir(codes.SCT)
        if isinstance(code := getattr(codes.SCT, word), Code)
    }
    assert {(value, meaning) for value, meaning, _ in _ORGANS} <= known
    categories = {getattr(codes.cid7150, word).value for word in codes.cid7150.dir()}
    used = [*CODING.values(), coding_of("spleen"), coding_of("another")]
    assert {coding.category.value for coding in used} <= categories


def test_without_any_mask(truth, tmp_path):
    told = str(run(truth, tmp_path / "m.csv").exception)
    assert told == "no mask of lesions; name one with --mask"
