"""`gsigpu.compute` on arrays, and maps in memory, against the maps that are written."""

import nibabel
import numpy as np
import pytest
import SimpleITK

import gsigpu
from gsigpu.errors import GridMismatch, MissingDependency, SettingsError, TooFewEnergies
from gsigpu.pipeline.choose_stack import choose_stack
from gsigpu.pipeline.stack_source import StackSource
from tests.support import host_cupy

MAPS = ["lambda-hu", "iodine", "zeff", "residual", "sigma-iodine"]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    settings = gsigpu.PhantomSettings(
        shape=(6, 48, 64), spacing_mm=(5.0, 6.0, 6.0), n_lesions=0, phases=("PVP",), extras=()
    )
    folder = tmp_path_factory.mktemp("study") / "phantom"
    return gsigpu.scan(gsigpu.write_phantom(folder, settings).dicom_folder)


@pytest.fixture(scope="module")
def written(study, tmp_path_factory):
    out = tmp_path_factory.mktemp("maps") / "maps"
    return gsigpu.map(study, out, maps=MAPS, output_format="nifti", backend="cpu")


@pytest.fixture(scope="module")
def volumes(study):
    return gsigpu.map(study, maps=MAPS, backend="cpu")


def test_maps_in_memory_are_those_that_are_written(written, volumes):
    assert list(volumes) == MAPS
    for name, volume in volumes.items():
        image = nibabel.load(written.folders[name])
        np.testing.assert_array_equal(volume.array, np.asarray(image.dataobj).transpose(2, 1, 0))
        np.testing.assert_allclose(volume.affine, image.affine, atol=1e-4)
    assert repr(volumes["iodine"]) == (
        "<ImageVolume: iodine, mg/mL; 6 x 48 x 64 voxels of 5 x 6 x 6 mm>"
    )


def test_arrays_give_what_the_study_gives_in_any_order_of_energies(study, volumes):
    stack = choose_stack(study).stack
    source = StackSource(stack)
    hu = np.stack([source.read_hu(z) for z in range(6)], axis=1)
    mixed = np.random.default_rng(2).permutation(len(stack.energies_kev))
    energies = [stack.energies_kev[k] for k in mixed]
    maps = gsigpu.compute(hu[mixed], energies, MAPS)
    for name, values in maps.items():
        np.testing.assert_allclose(values, volumes[name].array, rtol=2e-3, atol=2e-3, err_msg=name)
    alone = gsigpu.compute(hu[mixed], energies, "iodine")
    np.testing.assert_allclose(alone, maps["iodine"], atol=1e-6)


@pytest.mark.parametrize("shape", [(), (5,), (3, 5), (2, 3, 5)])
def test_any_number_of_axes_behind_the_energies(shape):
    rng = np.random.default_rng(0)
    hu = rng.integers(-50, 200, (4, *shape))
    whole = gsigpu.compute(hu.reshape(4, 1, 1, -1), [40, 60, 70, 100], ["iodine", "zeff"])
    for name, values in gsigpu.compute(hu, [40, 60, 70, 100], ["iodine", "zeff"]).items():
        assert values.shape == shape
        np.testing.assert_allclose(values.ravel(), whole[name].ravel(), rtol=1e-5)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(GridMismatch, match="is not 3 images"):
        gsigpu.compute(np.zeros((2, 4)), [40, 60, 70], "iodine")
    with pytest.raises(SettingsError, match="not all different"):
        gsigpu.compute(np.zeros((2, 4)), [40, 40], "iodine")
    with pytest.raises(SettingsError, match="no HU"):
        gsigpu.compute(np.zeros((2, 4), complex), [40, 60], "iodine")
    with pytest.raises(GridMismatch, match="map of the noise"):
        gsigpu.compute(np.zeros((4, 9)), [40, 60, 70, 100], "sigma-iodine")
    with pytest.raises(TooFewEnergies):
        gsigpu.compute(np.zeros((2, 4)), [40, 70], "lambda-hu")


def test_a_format_without_a_folder_is_refused(study):
    with pytest.raises(SettingsError, match="output_format is for maps that are written"):
        gsigpu.map(study, maps=["iodine"], output_format="nifti")


def test_other_libraries_see_each_voxel_at_its_place(volumes):
    volume = volumes["iodine"]
    z, y, x = 2, 5, 7
    at_mm = volume.geometry.position_mm(z, y, x)
    image = volume.to_sitk()
    assert image.TransformIndexToPhysicalPoint((x, y, z)) == pytest.approx(at_mm)
    assert image[x, y, z] == volume.array[z, y, x]
    assert isinstance(image, SimpleITK.Image)
    nifti = volume.to_nibabel()
    ras = nifti.affine @ [x, y, z, 1]
    assert ras[:3] == pytest.approx((-at_mm[0], -at_mm[1], at_mm[2]))
    assert nifti.get_fdata()[x, y, z] == pytest.approx(volume.array[z, y, x])
    labelled = volume.to_xarray()
    assert labelled.sel(z=10.0, y=30.0, x=42.0) == volume.array[z, y, x]
    assert labelled.attrs["units"] == "mg/mL"


def test_a_library_that_is_missing_is_named(volumes, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "xarray", None)
    with pytest.raises(MissingDependency, match=r"to_xarray\(\) needs xarray; install it"):
        volumes["iodine"].to_xarray()


@pytest.mark.parametrize("maps", ["iodine", "zeff", ["lambda-hu", "residual", "mono-52"]])
def test_arrays_of_a_card_come_back_as_such(monkeypatch, maps):
    """On the double of CuPy: the kind that came in, and the numbers that NumPy gives."""
    kevs = (60, 70, 100)
    hu = np.random.default_rng(1).normal(60, 20, (3, 2, 5, 6)).astype(np.float32)
    expected = gsigpu.compute(hu, kevs, maps)
    cupy = host_cupy.install(monkeypatch, delay_s=0)
    made = gsigpu.compute(cupy.asarray(hu), kevs, maps)
    pairs = [(made, expected)] if isinstance(maps, str) else [(made[m], expected[m]) for m in maps]
    for on_card, on_host in pairs:
        assert isinstance(on_card, cupy.ndarray)
        np.testing.assert_allclose(cupy.asnumpy(on_card), on_host, rtol=1e-5, atol=1e-4)
