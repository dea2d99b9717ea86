"""NIfTI and NRRD, read back by SimpleITK and nibabel."""

import gzip
from concurrent.futures import ThreadPoolExecutor

import nibabel
import numpy as np
import pytest
import SimpleITK

from gsigpu.maps.registry import define_all
from gsigpu.volume import VolumeGeometry
from gsigpu.volume_files import volume_sink
from tests.support.stacks import OBLIQUE_COLUMN, OBLIQUE_ROW

DEFINITIONS = define_all(["lambda-hu[fit:40-100]", "iodine"])
GRIDS = {
    "axial": VolumeGeometry((5, 16, 25), (2.5, 0.7, 0.9), (-101.5, -87.25, 13.0)),
    "oblique": VolumeGeometry(
        (5, 16, 25),
        (1.25, 0.7, 0.9),
        (-101.5, -87.25, 13.0),
        tuple(OBLIQUE_ROW),
        tuple(OBLIQUE_COLUMN),
        tuple(np.cross(OBLIQUE_ROW, OBLIQUE_COLUMN)),
    ),
}


@pytest.fixture(params=GRIDS)
def grid(request):
    return GRIDS[request.param]


@pytest.fixture(params=[".nii", ".nii.gz", ".nrrd"])
def suffix(request):
    return request.param


def write(folder, grid, suffix, maps):
    with (
        volume_sink(folder, DEFINITIONS, grid, suffix=suffix) as sink,
        ThreadPoolExecutor(3) as pool,
    ):
        list(pool.map(lambda z: sink.write(z, [values[z] for values in maps]), [3, 0, 4, 2, 1]))
        return [folder / sink.names[definition.name] for definition in DEFINITIONS]


def some_maps(grid):
    maps = np.random.default_rng(1).normal(size=(2, *grid.shape)).astype(np.float32)
    maps[0, :, 0, :4] = np.nan
    return maps


def test_simpleitk_reads_the_same_volume(tmp_path, grid, suffix):
    maps = some_maps(grid)
    for path, values in zip(write(tmp_path, grid, suffix, maps), maps, strict=True):
        image = SimpleITK.ReadImage(str(path))
        # ITK's NIfTI library turns NaN into 0 as it reads; nibabel shows below that they are there.
        expected = np.nan_to_num(values) if suffix != ".nrrd" else values
        np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(image), expected)
        for index in ((0, 0, 0), (24, 0, 0), (0, 15, 0), (24, 15, 4)):
            point = image.TransformIndexToPhysicalPoint(index)
            # NIfTI keeps its affine in float32.
            np.testing.assert_allclose(point, grid.position_mm(*index[::-1]), atol=1e-4)


def test_nibabel_reads_values_affine_and_window(tmp_path, grid):
    maps = some_maps(grid)
    image = nibabel.load(write(tmp_path, grid, ".nii", maps)[0])
    np.testing.assert_array_equal(np.asarray(image.dataobj), maps[0].T)
    np.testing.assert_allclose(image.affine, grid.affine_ras, atol=1e-4)
    np.testing.assert_allclose(image.get_qform(), grid.affine_ras, atol=1e-4)
    assert image.header.get_xyzt_units()[0] == "mm"
    centre, width = DEFINITIONS[0].window
    window = (centre - width / 2, centre + width / 2)
    assert (image.header["cal_min"], image.header["cal_max"]) == window
    assert image.header["descrip"].item() == b"Lambda HU (fit:40-100) HU/keV"


def test_nrrd_says_unit_and_formula(tmp_path, grid):
    image = SimpleITK.ReadImage(str(write(tmp_path, grid, ".nrrd", some_maps(grid))[1]))
    assert image.GetMetaData("unit") == "mg/mL"
    assert image.GetMetaData("formula") == DEFINITIONS[1].formula


def test_what_is_compressed_is_the_plain_file_and_the_same_each_time(tmp_path):
    grid, maps = GRIDS["axial"], some_maps(GRIDS["axial"])
    for name in ("plain", "packed", "again"):
        (tmp_path / name).mkdir()
    plain = write(tmp_path / "plain", grid, ".nii", maps)
    packed = write(tmp_path / "packed", grid, ".nii.gz", maps)
    again = write(tmp_path / "again", grid, ".nii.gz", maps)
    for before, path, other in zip(plain, packed, again, strict=True):
        assert gzip.decompress(path.read_bytes()) == before.read_bytes()
        assert path.read_bytes() == other.read_bytes()
    assert {path.name for path in (tmp_path / "packed").iterdir()} == {p.name for p in packed}
