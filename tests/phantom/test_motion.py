"""Phases that moved: the images and masks follow the field that is told."""

import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

import gsigpu
from gsigpu.phantom.motion import Motion
from gsigpu.phantom.phantom_settings import PhantomSettings
from gsigpu.phantom.truth import plan_phantom

SETTINGS = PhantomSettings(
    shape=(36, 40, 40), spacing_mm=(5.0, 6.0, 6.0), energies_kev=(70.0,), n_lesions=2, diameter_mm=(24.0, 30.0),
    noise_hu=0.0, motion_mm=(12.0, 3.0), extras=(),
)  # fmt: skip


def resampled_by_simpleitk(values, truth):
    """What lies at p + u(p) of `values`, by SimpleITK's displacement field on the phantom's grid."""
    grid = truth.geometry
    z, y, x = np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij")
    points = [
        origin + mm * index
        for origin, mm, index in zip(grid.origin_mm, grid.spacing_mm[::-1], (x, y, z), strict=True)
    ]
    there = Motion(*truth.settings.motion_mm).at_rest(*points)
    field = SimpleITK.GetImageFromArray(
        np.stack([t - p for t, p in zip(there, points, strict=True)], axis=-1), isVector=True
    )
    image = SimpleITK.GetImageFromArray(values.astype(np.float32))
    for made in (field, image):
        made.SetOrigin(grid.origin_mm)
        made.SetSpacing(grid.spacing_mm[::-1])
    field = SimpleITK.Cast(field, SimpleITK.sitkVectorFloat64)
    moved = SimpleITK.Resample(
        image, SimpleITK.DisplacementFieldTransform(field), SimpleITK.sitkLinear, float("nan")
    )
    return SimpleITK.GetArrayFromImage(moved)


def test_a_moved_phase_is_the_other_pulled_through_the_field():
    truth = plan_phantom(SETTINGS)
    at_rest, moved = truth.composition(), truth.composition("AP")
    assert set(at_rest.iodine) == {"PVP"}
    assert set(moved.iodine) == {"AP"}
    expected = resampled_by_simpleitk(at_rest.water, truth)
    inside = ~np.isnan(expected)
    # Interpolation blurs borders; the two are otherwise one. Without the field they differ by five times as much.
    difference = np.abs(moved.water - expected)[inside].mean()
    assert difference < 0.35 * np.abs(moved.water - at_rest.water)[inside].mean()
    soft = inside & (np.abs(expected - 1045.0) < 12.0) & (np.abs(moved.water - 1045.0) < 12.0)
    assert np.median(np.abs(moved.water - expected)[soft]) < 1.0


def test_the_masks_of_a_moved_phase(tmp_path):
    truth = gsigpu.write_phantom(tmp_path / "study", SETTINGS)
    told = json.loads((tmp_path / "study/truth.json").read_text("utf-8"))
    assert told["phase_at_rest"] == "PVP"
    moved = np.asarray(nib.load(truth.lesion_mask_of("AP")).dataobj).T
    assert truth.lesion_mask_of("PVP") == truth.lesion_mask
    spacing = np.array(SETTINGS.spacing_mm)
    for lesion in truth.lesions:
        centre = truth.geometry.position_mm(*np.argwhere(moved == lesion.label).mean(axis=0))
        told_centre = told["moved_centres_mm"]["AP"][str(lesion.label)]
        np.testing.assert_allclose(centre, told_centre, atol=1.5)  # of voxels of 5 and 6 mm
        assert 8.0 < np.linalg.norm(np.subtract(told_centre, lesion.centre_mm)) < 15.0
        volume_ml = (moved == lesion.label).sum() * spacing.prod() / 1000.0
        assert volume_ml == pytest.approx(lesion.volume_ml, rel=0.15)


def test_a_phantom_at_rest_is_as_before(tmp_path):
    still = replace(SETTINGS, motion_mm=(0.0, 0.0), shape=(4, 24, 24), n_lesions=0)
    truth = gsigpu.write_phantom(tmp_path / "study", still)
    assert truth.lesion_mask_of("AP") == truth.lesion_mask
    assert set(truth.composition().iodine) == {"AP", "PVP"}
    assert not (tmp_path / "study/masks/AP").exists()


@pytest.mark.parametrize("motion", [(-1.0, 0.0), (50.0, 0.0), (0.0, 11.0), (float("nan"), 0.0)])
def test_a_motion_that_folds_tissue_is_refused(motion):
    with pytest.raises(gsigpu.SettingsError, match="motion of"):
        replace(SETTINGS, motion_mm=motion)


def test_nothing_folds_at_the_largest_motion():
    motion = Motion(40.0, 10.0)
    step = 0.01
    points = [p.ravel() for p in np.meshgrid(*[np.linspace(-150, 150, 12)] * 3)]
    columns = []
    for axis in range(3):
        ahead = [p + step * (i == axis) for i, p in enumerate(points)]
        columns.append((np.array(motion.at_rest(*ahead)) - motion.at_rest(*points)) / step)
    assert np.linalg.det(np.moveaxis(np.array(columns), -1, 0)).min() > 0.4
