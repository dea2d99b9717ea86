"""Maps of probabilities and --threshold: regions are those of NumPy's comparison, of whatever format and channel."""

import numpy as np
import pytest
import SimpleITK

from gsigpu.errors import EmptyMask, MaskError
from gsigpu.masks.read_masks import read_masks
from gsigpu.volume import VolumeGeometry

GRID = VolumeGeometry((5, 6, 7), (3.0, 1.5, 1.25), (-20.0, 4.0, 60.0))
RNG = np.random.default_rng(4)
PROBABILITIES = RNG.random((5, 6, 7)).astype(np.float32)


def itk(array, *, is_vector=False):
    image = SimpleITK.GetImageFromArray(array, isVector=is_vector)
    z_mm, y_mm, x_mm = GRID.spacing_mm
    image.SetSpacing((x_mm, y_mm, z_mm))
    image.SetOrigin(GRID.origin_mm)
    return image


def regions(mask_set):
    """Label -> (z, y, x) bool."""
    found_of = {}
    for mask in mask_set.masks:
        whole = np.zeros(GRID.shape, bool)
        whole[mask.box] = mask.voxels
        found_of[mask.label] = whole
    return found_of


@pytest.mark.parametrize("name", ["p.nii.gz", "p.nrrd", "p.mha"])
@pytest.mark.parametrize("threshold", [0.3, 0.75])
def test_a_voxel_is_inside_from_the_threshold_on(tmp_path, name, threshold):
    values = PROBABILITIES.copy()
    values[2, 3, 4] = np.float32(threshold)
    SimpleITK.WriteImage(itk(values), str(tmp_path / name))
    mask_set = read_masks(tmp_path / name, GRID, threshold=float(np.float32(threshold)))
    assert mask_set.is_of_probabilities
    (region,) = regions(mask_set).values()
    np.testing.assert_array_equal(region, values >= np.float32(threshold))
    with pytest.raises(MaskError, match=r"no labels.*--threshold 0\.5"):
        read_masks(tmp_path / name, GRID)


def test_each_channel_is_a_region_with_its_number(tmp_path):
    channels = RNG.random((3, 5, 6, 7)).astype(np.float32)
    images = [itk(channel) for channel in channels]
    SimpleITK.WriteImage(SimpleITK.JoinSeries(images), str(tmp_path / "4d.nii.gz"))
    vector = itk(np.moveaxis(channels, 0, -1).copy(), is_vector=True)
    SimpleITK.WriteImage(vector, str(tmp_path / "vector.nrrd"))
    for name in ("4d.nii.gz", "vector.nrrd"):
        read = regions(read_masks(tmp_path / name, GRID, threshold=0.6))
        assert list(read) == [1, 2, 3]
        for label, region in read.items():
            np.testing.assert_array_equal(region, channels[label - 1] >= 0.6)
        with pytest.raises(MaskError):
            read_masks(tmp_path / name, GRID)


def test_whole_numbers_stay_labels_and_other_units_are_thresholded(tmp_path):
    labels = RNG.integers(0, 4, GRID.shape).astype(np.uint8)
    for number, array in enumerate((labels, labels.astype(np.float32))):
        SimpleITK.WriteImage(itk(array), str(tmp_path / f"{number}.nrrd"))
        mask_set = read_masks(tmp_path / f"{number}.nrrd", GRID, threshold=0.5)
        assert not mask_set.is_of_probabilities
        for label, region in regions(mask_set).items():
            np.testing.assert_array_equal(region, labels == label)
    of_256 = (255 * PROBABILITIES).astype(np.uint8)
    SimpleITK.WriteImage(itk(of_256), str(tmp_path / "u8.nrrd"))
    (region,) = regions(read_masks(tmp_path / "u8.nrrd", GRID, threshold=128)).values()
    np.testing.assert_array_equal(region, of_256 >= 128)
    with pytest.raises(EmptyMask, match=r"no value reaches.*lower --threshold"):
        read_masks(tmp_path / "u8.nrrd", GRID, threshold=256)
