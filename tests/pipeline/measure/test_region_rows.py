"""Every lesion has a row per region that was asked for, or one that says why not; surroundings hold no air."""

from dataclasses import replace

import nibabel
import numpy as np
import pytest
from typer.testing import CliRunner

from gsigpu.choices import LESION_REGIONS
from gsigpu.cli.app import app
from gsigpu.dicom.reading.hu_planes import read_planes
from gsigpu.dicom.reading.pixels import PlaneReader
from gsigpu.dicom.study.read_study import read_study
from gsigpu.errors import NoValidVoxels, SettingsError
from gsigpu.masks.roles import parse_roles
from gsigpu.phantom import PhantomSettings, write_phantom
from gsigpu.pipeline.measure.given_masks import MaskFiles
from gsigpu.pipeline.measure.measure_study import measure_study
from gsigpu.pipeline.measure.measurement import MeasureSettings
from gsigpu.pipeline.measure.measurement_rows import CaseLabels
from gsigpu.regions.region_layout import RegionSettings
from gsigpu.regions.shells import parse_rim
from gsigpu.tables.measurement_table import read_table

SETTINGS = PhantomSettings(
    shape=(16, 96, 120),
    spacing_mm=(5.0, 3.0, 3.0),
    n_lesions=1,
    diameter_mm=(24.0, 28.0),
    energies_kev=(60.0, 70.0, 100.0),
    phases=("PVP",),
    extras=(),
    noise_hu=8.0,
)


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return write_phantom(tmp_path_factory.mktemp("study") / "phantom", SETTINGS)


@pytest.fixture(scope="module")
def study(truth):
    return read_study(truth.dicom_folder)


def labelled(truth, path, *boxes):
    """A mask on the study's grid: box k, as slices, is label k."""
    labels = np.zeros(truth.geometry.shape, np.uint8)
    for label, box in enumerate(boxes, start=1):
        labels[box] = label
    nibabel.save(nibabel.Nifti1Image(labels.T, truth.geometry.affine_ras), path)
    return path


LARGE = np.s_[6:10, 44:52, 56:64]
SMALL = np.s_[4:5, 44:45, 56:57]  # a voxel: all rim of 3 mm
OUTSIDE = np.s_[6:8, 0:3, 0:3]  # of the reconstruction circle


def measured(study, mask, *regions, **more):
    settings = MeasureSettings(
        regions=RegionSettings(regions=regions, rim=parse_rim("3mm"), **more)
    )
    return measure_study(study, MaskFiles((mask,)), settings=settings)


@pytest.mark.parametrize("regions", [(name,) for name in LESION_REGIONS] + [("core", "rim"), ("rim", "profile"), ("core", "perilesional"), LESION_REGIONS])  # fmt: skip
def test_every_lesion_has_a_row_per_region(truth, study, tmp_path, regions):
    mask = labelled(truth, tmp_path / "m.nii.gz", LARGE, SMALL)
    measurement = measured(study, mask, *regions)
    for lesion in ("1", "2"):
        for region in regions:
            rows = [
                row for row in measurement.rows if (row.lesion_id, row.region) == (lesion, region)
            ]
            assert rows, (lesion, region)
            if (lesion, region) == ("2", "core"):
                assert all(row.parameter == "" and row.n_voxels == 0 for row in rows)
                assert any(
                    "core-empty" in row.flags or row.flags == "no-valid-voxels" for row in rows
                )
            else:
                assert any(row.n_valid and row.statistic == "mean" for row in rows)
    # A lesion of which nothing is measured has failed; one that lacks a region has not.
    assert [failure.lesion_id for failure in measurement.failures] == (["2"] if regions == ("core",) else [])  # fmt: skip


@pytest.mark.parametrize(
    "regions", [("core", "rim"), ("rim",), ("perilesional", "core"), ("profile",)]
)
def test_a_lesion_without_values_fails_without_the_lesion_region_too(
    truth, study, tmp_path, regions
):
    both = labelled(truth, tmp_path / "both.nii.gz", LARGE, OUTSIDE)
    measurement = measured(study, both, *regions)
    assert [failure.lesion_id for failure in measurement.failures] == ["2"]
    assert any(row.flags == "no-valid-voxels" for row in measurement.rows if row.lesion_id == "2")
    alone = labelled(truth, tmp_path / "alone.nii.gz", OUTSIDE)
    with pytest.raises(NoValidVoxels, match="none of its"):
        measured(study, alone, *regions)


def test_regions_that_no_mask_gives_are_an_error_or_told(truth, study, tmp_path):
    mask = labelled(truth, tmp_path / "m.nii.gz", LARGE)
    with pytest.raises(SettingsError, match="--liver-mask"):
        measured(study, mask, "parenchyma", "aorta")
    told = measured(study, mask, "core", "parenchyma", "aorta").warnings
    assert any("no parenchyma is measured" in warning for warning in told)
    assert any("no aorta is measured" in warning for warning in told)
    everything = measure_study(study, MaskFiles((mask,))).warnings
    assert not any("parenchyma" in warning for warning in everything)


def test_exit_code_where_a_lesion_has_none_of_the_regions(truth, tmp_path):
    mask = labelled(truth, tmp_path / "m.nii.gz", LARGE, SMALL)
    words = [
        "measure",
        truth.dicom_folder,
        "--mask",
        mask,
        "-o",
        tmp_path / "t.csv",
        "--rim",
        "3mm",
    ]
    result = CliRunner().invoke(app, [*map(str, words), "--regions", "core"])
    assert result.exit_code == 1
    assert "lesion 2: has no core" in result.output
    assert set(read_table(tmp_path / "t.csv").lesion_id) == {"1", "2"}
    result = CliRunner().invoke(app, [*map(str, words), "--overwrite", "--regions", "core,rim"])
    assert result.exit_code == 0, result.output


def surface_box(study):
    """A lesion against the surface of the body: the first tissue from the front, in the middle of the study."""
    plane = next(series for series in study.series if series.energy_kev == 70.0).planes[8]
    hu = read_planes(PlaneReader(), [plane])[0][:, 60]
    first = int(np.argmax(hu > -200.0))
    return np.s_[7:10, first : first + 4, 58:62]


def test_air_around_a_lesion_is_left_out_and_told_without_a_liver_mask(truth, study, tmp_path):
    mask = labelled(truth, tmp_path / "m.nii.gz", surface_box(study))
    measurement = measured(study, mask, "lesion", "perilesional", "profile")
    outward = [
        row
        for row in measurement.rows
        if row.statistic in ("mean", "min")
        and (row.region == "perilesional" or row.distance_mm > 0)
    ]
    assert outward
    assert all("no-liver-mask" in row.flags.split(";") for row in outward)
    assert any("air-left-out" in row.flags.split(";") for row in outward)
    lowest = [
        row.value for row in outward if row.parameter == "ct_value" and row.statistic == "min"
    ]
    assert min(lowest) > -300.0
    inside = [row for row in measurement.rows if row.region == "lesion" or row.distance_mm < 0]
    assert not any("no-liver-mask" in row.flags for row in inside)
    for region in measurement.layout.regions:
        of_region = [row for row in outward if row.region == region.region == "perilesional"]
        assert all(row.n_voxels == region.mask.n_voxels for row in of_region)


def test_shells_of_the_profile_stay_in_the_liver(truth, study, tmp_path):
    mask = labelled(truth, tmp_path / "m.nii.gz", LARGE)
    liver = labelled(truth, tmp_path / "liver.nii.gz", np.s_[5:11, 40:54, 50:70])
    measurement = measure_study(study, MaskFiles((mask,), liver=liver))
    painted = np.zeros(truth.geometry.shape, bool)
    for region in measurement.layout.regions:
        if region.region == "profile":
            painted[region.mask.box] |= region.mask.voxels
            assert "no-liver-mask" not in region.flags
    inside = np.zeros_like(painted)
    inside[5:11, 40:54, 50:70] = True
    assert painted[LARGE].all()
    assert (painted & ~inside).sum() == 0
    assert painted.sum() > 256


def test_a_region_of_interest_on_a_slice_is_told_to_be_one(truth, study, tmp_path):
    z, y, x = np.indices(truth.geometry.shape)
    disc = (z == 8) & (((y - 48) * 3.0) ** 2 + ((x - 60) * 3.0) ** 2 <= 12.0**2)
    mask = labelled(truth, tmp_path / "m.nii.gz", disc)
    measurement = measured(study, mask, "lesion", "rim", "core", "perilesional", "profile")
    rows = [row for row in measurement.rows if row.lesion_id == "1"]
    assert all("2d-roi" in row.flags.split(";") for row in rows)
    (thickness,) = [row for row in rows if row.parameter == "rim_thickness"]
    assert thickness.value == 3.0
    assert "within each slice" in thickness.definition
    shells = [region.mask for region in measurement.layout.regions]
    assert all(mask.origin[0] == 8 and mask.voxels.shape[0] == 1 for mask in shells)
    forced = measured(study, mask, "lesion", "rim", rim_dimensions="3d")
    assert not any("2d-roi" in row.flags for row in forced.rows)


def test_reprs_are_short_and_without_identity(tmp_path):
    truth = write_phantom(
        tmp_path / "phantom", replace(SETTINGS, patient_id="IDENT-4711", patient_name="Doe^Jane")
    )
    files = MaskFiles(
        (truth.lesion_mask,), liver=truth.liver_mask, roles=parse_roles({}, {"1": "Doe S4"})
    )
    labels = CaseLabels("case-0815", "IDENT-4711", "lung", "Dr. Roe")
    measurement = measure_study(read_study(truth.dicom_folder), files, labels=labels)
    assert repr(measurement).startswith("Measurement(1 lesion, parenchyma, phase PVP, ")
    page = measurement._repr_html_()
    assert "<th>iodine core</th>" in page
    assert "mg/mL" in page
    parts = (
        measurement,
        measurement.labels,
        measurement.layout,
        measurement.rows[0],
    )
    for text in (page, *map(repr, parts), repr(measurement.layout.regions[0])):
        assert len(text) < 1000
        for secret in ("4711", "0815", "Doe", "Roe", str(tmp_path)):
            assert secret not in text
