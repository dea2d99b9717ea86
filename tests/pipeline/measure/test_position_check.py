"""A doubtful position is asked about with what there would be under the mask."""

from dataclasses import replace

import nibabel
import numpy as np
import pytest

from gsigpu.dicom.model import SeriesKind
from gsigpu.dicom.study.read_study import read_study
from gsigpu.dicom.study.stack import select_stack
from gsigpu.errors import UnclearPosition
from gsigpu.masks.positions import PositionChoice
from gsigpu.pipeline.measure.given_masks import MaskFiles
from gsigpu.pipeline.measure.measure_study import measure_study
from gsigpu.pipeline.measure.measurement import MeasureSettings
from gsigpu.pipeline.measure.study_masks import collect_masks
from gsigpu.regions.region_layout import RegionSettings
from tests.support.dicom_files import ct_dataset, save

SHAPE = (8, 40, 50)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A body of 50 HU on the left half of the images, air on the right."""
    folder = tmp_path_factory.mktemp("body")
    plane = np.full(SHAPE[1:], -1000, np.int16)
    plane[:, 25:] = 50
    for kev in (60, 100):
        for z in range(SHAPE[0]):
            save(
                ct_dataset(
                    plane,
                    position_mm=(-60.0, -30.0, 5.0 * z),
                    instance_number=z + 1,
                    series=f"{kev}",
                    SeriesDescription=f"Mono {kev} keV",
                    PixelSpacing=[2.0, 2.0],
                ),
                folder / f"{kev}-{z}.dcm",
            )
    return read_study(folder)


def test_the_question_shows_overlap_with_body_and_liver(study, tmp_path):
    stack = select_stack(study)
    labels = np.zeros(SHAPE, np.uint8)
    labels[3:5, 10:20, 26:36] = 1
    right = stack.geometry.affine_ras
    image = nibabel.Nifti1Image(labels.T, None)
    moved = right.copy()
    moved[0, 3] += 40.0  # 20 voxels to the patient's right, in the air
    image.header.set_sform(moved, code=2)
    image.header.set_qform(right, code=1)
    nibabel.save(image, tmp_path / "m.nii.gz")
    liver = np.zeros(SHAPE, np.uint8)
    liver[2:6, 5:30, 25:31] = 1
    nibabel.save(nibabel.Nifti1Image(liver.T, right), tmp_path / "liver.nii.gz")
    files = MaskFiles((tmp_path / "m.nii.gz",), liver=tmp_path / "liver.nii.gz")
    with pytest.raises(UnclearPosition) as told:
        collect_masks(files, study, stack)
    text = str(told.value)
    assert "40.0 mm apart" in text
    assert "by sform 0 % lies in the body and 0 % in the liver" in text
    assert "by qform 100 % lies in the body and 50 % in the liver" in text
    assert text.endswith("say which it is with --mask-position sform or --mask-position qform")
    chosen = collect_masks(
        MaskFiles((tmp_path / "m.nii.gz",), position=PositionChoice.QFORM), study, stack
    )
    assert chosen.masks.lesions[0].mask.origin == (3, 10, 26)
    assert any("as --mask-position says" in text for text in chosen.warnings)


def measured(study, tmp_path, name, box, **settings):
    labels = np.zeros(SHAPE, np.uint8)
    labels[box] = 1
    affine = select_stack(study).geometry.affine_ras
    nibabel.save(nibabel.Nifti1Image(labels.T, affine), tmp_path / name)
    regions = RegionSettings(**settings) if settings else RegionSettings()
    return measure_study(
        study, MaskFiles((tmp_path / name,)), settings=MeasureSettings(regions=regions)
    )


@pytest.mark.parametrize(
    ("columns", "regions", "told"),
    [
        (slice(5, 15), ("lesion",), ["lesion 1: 100% of its voxels are air or lung; check where its mask lies"]),
        (slice(14, 30), ("core",), ["lesion 1: 71% of its voxels are air or lung; check where its mask lies"]),
        (slice(24, 34), ("lesion", "rim"), []),
        (slice(30, 40), ("lesion", "perilesional"), []),
    ],
)  # fmt: skip
def test_a_lesion_that_is_mostly_air_is_told(study, tmp_path, columns, regions, told):
    box = (slice(2, 6), slice(10, 30), columns)
    measurement = measured(study, tmp_path, "m.nii.gz", box, regions=regions)
    assert [text for text in measurement.warnings if "air" in text] == told


@pytest.mark.parametrize(
    ("name", "told"),
    [("lesions_AP.nii.gz", True), ("case1-arterial-2.nii.gz", True), ("lesions_PVP.nii.gz", False), ("map_1.nii.gz", False), ("delayed.nii.gz", False), ("lesions.nii.gz", False)],
)  # fmt: skip
def test_a_name_of_another_phase_of_the_study_is_told(studied, tmp_path, name, told):
    """Not of a phase that the study does not hold, where nobody can mean it; a series may have none."""
    folder, geometry, _ = studied
    study = read_study(folder)
    unphased = replace(study.series[0], kind=SeriesKind.OTHER, phase="")
    study = replace(study, series=(*study.series, unphased))
    labels = np.zeros(geometry["PVP"].shape, np.uint8)
    labels[2:5, 20:26, 20:26] = 1
    nibabel.save(nibabel.Nifti1Image(labels.T, geometry["PVP"].affine_ras), tmp_path / name)
    settings = MeasureSettings(regions=RegionSettings(regions=("lesion",)))
    measurement = measure_study(
        study, MaskFiles((tmp_path / name,)), settings=settings, phase="PVP"
    )
    warnings = [text for text in measurement.warnings if "its name says" in text]
    assert [": its name says AP, and phase PVP" in text for text in warnings] == [True] * told
