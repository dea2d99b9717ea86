"""NIfTI files as nibabel reads them here, against SimpleITK's own reading."""

import nibabel
import numpy as np
import pytest
import SimpleITK

from gsigpu.errors import MaskError
from gsigpu.masks.stored_volume import read_grid, read_volume, sitk_grid

LABELS = np.arange(2 * 3 * 4).reshape(2, 3, 4) % 5
TILT = np.array([[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])


def affine(axes=TILT, spacing=(0.7, 0.9, 2.5), origin=(-31.5, 12.25, 700.0)):
    matrix = np.eye(4)
    matrix[:3, :3] = axes * spacing
    matrix[:3, 3] = origin
    return matrix


def saved(
    path, values=LABELS, *, dtype="uint8", sform=None, qform=None, unit="mm", order="<", **fields
):
    image = nibabel.Nifti1Image(values.astype(dtype), None, nibabel.Nifti1Header(endianness=order))
    image.header.set_data_dtype(np.dtype(dtype).newbyteorder(order))
    if qform is not None:
        image.set_qform(qform, code=1)
    if sform is not None:
        image.set_sform(sform, code=2)
        if qform is None:
            image.header["pixdim"][1:4] = np.linalg.norm(sform[:3, :3], axis=0)
    image.header.set_xyzt_units(unit)
    for name, value in fields.items():
        image.header[name] = value
    nibabel.save(image, path)
    return path


CASES = {
    "sform": {"sform": affine()},
    "qform": {"qform": affine()},
    "both": {"sform": affine(), "qform": affine()},
    "left-handed": {"sform": affine(TILT @ np.diag([1, 1, -1])), "qform": affine(TILT @ np.diag([1, 1, -1]))},
    "neither": {},
    "metres": {"qform": affine(spacing=(0.0007, 0.0009, 0.0025), origin=(0.1, -0.2, 0.7)), "unit": "meter"},
    "micrometres": {"qform": affine(spacing=(700, 900, 2500), origin=(1e5, -2e5, 7e5)), "unit": "micron"},
    "big-endian": {"sform": affine(), "dtype": "int16", "order": ">"},
    "float": {"sform": affine(), "dtype": "float32"},
    "four dimensions": {"sform": affine(), "values": LABELS[..., None]},
    "five dimensions": {"sform": affine(), "values": LABELS[..., None, None]},
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".NII.GZ"])
def test_a_nifti_is_what_simpleitk_has_of_it(tmp_path, name, suffix):
    path = saved(tmp_path / f"mask{suffix}", **CASES[name])
    image = SimpleITK.ReadImage(str(path), imageIO="NiftiImageIO")
    while image.GetDimension() > 3:
        image = image[..., 0]
    volume = read_volume(path)
    assert np.array_equal(volume.values, SimpleITK.GetArrayFromImage(image))
    grid = sitk_grid(image)
    assert volume.grid.shape == grid.shape
    if name != "neither":  # then the place is asked for
        np.testing.assert_allclose(volume.grid.affine_lps, grid.affine_lps, atol=2e-4 * grid.spacing_mm[0])  # fmt: skip
    assert read_grid(path) == volume.grid


def test_values_have_their_slope(tmp_path):
    path = saved(tmp_path / "map.nii", sform=affine(), dtype="int16", scl_slope=0.5, scl_inter=-1)
    expected = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
    assert np.array_equal(read_volume(path).values, expected)
    assert expected.dtype.kind == "f"


@pytest.mark.parametrize(
    ("values", "n_components"), [(np.zeros((2, 3, 4, 1, 3)), 3), (np.zeros((2, 3, 4, 5)), 1)]
)
def test_several_values_per_voxel_are_told_from_several_volumes(tmp_path, values, n_components):
    intent = 1007 if n_components > 1 else 0
    path = saved(tmp_path / "mask.nii", values, sform=affine(), dtype="float32", intent_code=intent)
    volume = read_volume(path, all_volumes=True)
    assert volume.values.shape == (4, 3, 2, values.shape[-1])
    assert volume.n_components == n_components
    if n_components == 1:
        with pytest.raises(MaskError, match="has 4 dimensions"):
            read_volume(path)
        assert SimpleITK.ReadImage(str(path)).GetDimension() == 4
    else:
        assert SimpleITK.ReadImage(str(path)).GetNumberOfComponentsPerPixel() == 3


def test_axes_that_are_not_at_right_angles_are_refused(tmp_path):
    skewed = affine(np.array([[1, 0.3, 0], [0, 0.9, 0], [0, 0, 1.0]]))
    path = saved(tmp_path / "mask.nii", sform=skewed)
    with pytest.raises(MaskError, match="right angles"):
        read_volume(path)
    with pytest.raises(RuntimeError, match="orthonormal"):
        SimpleITK.ReadImage(str(path))
