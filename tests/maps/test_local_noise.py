"""One standard deviation of noise: right at every grain, or no value."""

from dataclasses import replace

import nibabel
import numpy as np
import pytest
from scipy.ndimage import binary_erosion, gaussian_filter

from gsigpu.dicom.study.read_study import read_study
from gsigpu.maps.local_noise import grain_of_plane, local_noise_sd, measure_grain
from gsigpu.phantom import PhantomSettings, write_phantom
from gsigpu.phantom.noise import correlated_fields
from gsigpu.pipeline.map.map_study import map_study

GRAINS = (0.0, 0.5, 0.9, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0)
ANATOMY = PhantomSettings(
    shape=(6, 384, 384),
    spacing_mm=(20.0, 1.0, 1.0),
    noise_hu=0.0,
    n_lesions=2,
    phases=("PVP",),
    energies_kev=(60.0, 70.0, 100.0),
    extras=(),
)


def grainy(grain, shape, n, seed):
    """(n, y, x) noise of SD 1: white, filtered by a Gaussian of `grain` pixels."""
    rng = np.random.default_rng(seed)
    fields = [gaussian_filter(rng.normal(size=shape), grain, mode="wrap") for _ in range(n)]
    return np.stack([field / field.std() for field in fields]).astype(np.float32)


def sd_of(plane):
    return local_noise_sd(plane, grain_of_plane(plane))


def test_noise_of_a_plane_with_edges_and_gradient():
    y, x = np.mgrid[:200, :260]
    anatomy = 0.05 * x + 100.0 * ((x - 130) ** 2 + (y - 100) ** 2 < 60**2)
    for sd in (2.0, 15.0):
        plane = (anatomy + sd * grainy(0.9, (200, 260), 1, 7)[0]).astype(np.float32)
        estimate = sd_of(plane)
        assert estimate.shape == plane.shape
        assert np.median(estimate) == pytest.approx(sd, rel=0.08)


def test_noise_follows_its_place_and_missing_values_stay_missing():
    plane = grainy(0.9, (192, 192), 1, 8)[0]
    plane[:, 96:] *= 4.0
    plane[:20] = np.nan
    sd = sd_of(plane.astype(np.float32))
    assert np.isnan(sd[:20]).all()
    assert not np.isnan(sd[20:]).any()
    assert np.median(sd[40:, :50]) == pytest.approx(1.0, rel=0.12)
    assert np.median(sd[40:, 140:]) == pytest.approx(4.0, rel=0.12)


def test_tiny_and_empty_planes():
    assert np.isnan(sd_of(np.full((5, 9), 1.0, np.float32))).all()
    assert np.isnan(sd_of(np.full((40, 40), np.nan, np.float32))).all()


@pytest.mark.parametrize("size", [512, 320])
@pytest.mark.parametrize("grain", GRAINS)
def test_the_lag_follows_the_grain(grain, size):
    """Gaussian grains of 0 to 4 pixels: the median of the map is within 8 % of the truth."""
    planes = 3.0 * grainy(grain, (size, size), 5, 11)
    measured = measure_grain(planes)
    assert measured.grain_pixels == pytest.approx(grain, abs=0.35)
    sd = np.stack([local_noise_sd(plane, measured) for plane in planes])
    assert np.median(sd) == pytest.approx(3.0, rel=0.08)


@pytest.mark.parametrize("peak_per_mm", [0.6, 0.3, 0.15, 0.06])
def test_noise_of_filtered_back_projection(peak_per_mm):
    """Its autocorrelation swings below zero, as no Gaussian's does."""
    rng = np.random.default_rng(3)
    planes = correlated_fields(5, (400, 400), (0.75, 0.75), peak_per_mm, rng)
    measured = measure_grain(planes)
    assert np.median(local_noise_sd(planes[0], measured)) == pytest.approx(1.0, rel=0.08)


@pytest.mark.parametrize("grain", [6.0, 9.0, 15.0])
def test_a_grain_that_is_too_coarse_has_no_value(grain):
    planes = grainy(grain, (512, 512), 3, 5)
    assert measure_grain(planes) is None
    assert np.isnan(local_noise_sd(planes[0], None)).all()


def test_too_little_tissue_has_no_value():
    planes = grainy(1.0, (256, 256), 2, 5)
    usable = np.zeros(planes.shape, bool)
    usable[:, 100:164, 100:164] = True
    assert measure_grain(planes, usable) is None


@pytest.fixture(scope="module")
def anatomy(tmp_path_factory):
    """A study without noise, its iodine map, and the inside of its liver."""
    folder = tmp_path_factory.mktemp("anatomy")
    truth = write_phantom(folder / "p", ANATOMY)
    result = map_study(
        truth.dicom_folder, folder / "maps", maps=["iodine", "mono-70"], output_format="nifti"
    )
    iodine, hu = (
        np.asarray(nibabel.load(result.folders[name]).dataobj).T.astype(np.float32)
        for name in ("iodine", "mono-70")
    )
    liver = np.asarray(nibabel.load(truth.liver_mask).dataobj).T > 0
    inner = np.stack([binary_erosion(mask, iterations=8) for mask in liver])
    return iodine, (hu > -200) & (hu < 300), inner


@pytest.mark.parametrize("grain", GRAINS)
def test_in_the_liver_of_a_phantom(anatomy, grain):
    """Vessels and edges of organs count as noise to some part: 0.9 to 1.2 of the truth."""
    iodine, soft_tissue, liver = anatomy
    planes = iodine + 0.5 * grainy(grain, iodine.shape[1:], len(iodine), 4)
    measured = measure_grain(planes, soft_tissue)
    sd = np.stack([local_noise_sd(plane, measured) for plane in planes])
    assert 0.9 < np.median(sd[liver]) / 0.5 < 1.2


def test_a_run_measures_the_stack_and_says_so(tmp_path):
    truth = write_phantom(
        tmp_path / "p", replace(ANATOMY, noise_hu=12.0, shape=(3, 320, 320), n_lesions=0)
    )
    result = map_study(truth.dicom_folder, tmp_path / "maps", maps=["sigma-iodine", "iodine"])
    (sigma, _) = result.definitions
    assert "at a lag of" in sigma.formula
    assert result.warnings == ()
    series = read_study(result.folders["sigma-iodine"]).series[0]
    assert series.planes  # one lag for all slices: the series has one definition
    assert "at a lag of" in (result.out / "provenance.json").read_text()


def test_a_run_that_cannot_tell_warns(tmp_path):
    truth = write_phantom(
        tmp_path / "p",
        replace(ANATOMY, shape=(2, 48, 64), spacing_mm=(20.0, 6.0, 6.0), n_lesions=0),
    )
    result = map_study(
        truth.dicom_folder, tmp_path / "maps", maps=["sigma-lambda-hu"], output_format="nifti"
    )
    assert any("sigma-lambda-hu" in text and "cannot be told" in text for text in result.warnings)
    volume = nibabel.load(result.folders["sigma-lambda-hu"])
    assert np.isnan(np.asarray(volume.dataobj)).all()
