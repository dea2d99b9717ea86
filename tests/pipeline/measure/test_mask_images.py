"""Masks in memory measure as the files do that hold the same."""

import nibabel
import numpy as np
import pytest
import SimpleITK

import gsigpu
from gsigpu.errors import GridMismatch, MaskError
from gsigpu.image_volume import ImageVolume


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    settings = gsigpu.PhantomSettings(
        shape=(16, 48, 64), spacing_mm=(5.0, 6.0, 6.0), n_lesions=1, diameter_mm=(28.0, 30.0),
        phases=("PVP",), extras=(),
    )  # fmt: skip
    return gsigpu.write_phantom(tmp_path_factory.mktemp("study") / "phantom", settings)


@pytest.fixture(scope="module")
def study(truth):
    return gsigpu.scan(truth.dicom_folder)


@pytest.fixture(scope="module")
def from_file(study, truth):
    return means(gsigpu.measure(study, truth.lesion_mask))


def means(measurement):
    table = measurement.table
    return table[table.statistic == "mean"].drop(columns=["flags"]).reset_index(drop=True)


def forms(path):
    image = nibabel.load(path)
    labels = np.asarray(image.dataobj)
    yield str(path)
    yield [path]
    yield gsigpu.MaskFiles((path,))
    yield SimpleITK.ReadImage(str(path))
    yield image
    yield labels.transpose(2, 1, 0), image.affine
    yield labels.transpose(2, 1, 0).astype(np.int64), image.affine
    yield (labels.transpose(2, 1, 0) > 0), image.affine


@pytest.mark.parametrize("form", range(8))
def test_every_form_of_a_mask_measures_the_same(study, truth, from_file, form):
    mask = list(forms(truth.lesion_mask))[form]
    measured = means(gsigpu.measure(study, mask))
    assert len(measured) == len(from_file)
    np.testing.assert_array_equal(measured["value"], from_file["value"])
    np.testing.assert_array_equal(measured["n_voxels"], from_file["n_voxels"])


def test_a_map_in_memory_is_cut_into_a_mask_at_its_place(study):
    iodine = gsigpu.map(study, maps=["iodine"], backend="cpu")["iodine"]
    inside = np.zeros(iodine.array.shape, bool)
    inside[6:10, 20:24, 24:28] = True
    box = ImageVolume(inside.astype(np.float32), geometry=iodine.geometry, name="box")
    table = means(gsigpu.measure(study, box))
    mean = table[(table.parameter == "iodine") & (table.region == "lesion")]["value"].item()
    assert mean == pytest.approx(float(iodine.array[inside].mean()), rel=1e-4)


def test_what_is_no_mask_is_refused(study):
    with pytest.raises(MaskError, match="dict is no mask; give MaskFiles"):
        gsigpu.measure(study, {})
    with pytest.raises(GridMismatch, match="is no volume"):
        gsigpu.measure(study, (np.zeros((3, 4), int), np.eye(4)))
