"""The same voxels from every format, whichever way round the file holds them."""

import shutil
from dataclasses import replace
from itertools import permutations

import nibabel
import numpy as np
import pytest
import SimpleITK

from gsigpu.dicom.study.read_study import read_study
from gsigpu.errors import GridMismatch, InputError, OutsideStudy
from gsigpu.masks import masks_in, read_masks
from gsigpu.masks.placement import LabelVolume, cropped, place
from gsigpu.volume import VolumeGeometry
from tests.support.places import DATA
from tests.support.segmentations import segmentation

REAL = DATA / "liver-ct"

# Oblique and anisotropic: row, column and normal are no axes of the patient.
A, B = np.radians(20), np.radians(35)
ROW = (np.cos(A), np.sin(A), 0.0)
COLUMN = (-np.sin(A) * np.cos(B), np.cos(A) * np.cos(B), np.sin(B))
NORMAL = tuple(np.cross(ROW, COLUMN))
GRID = VolumeGeometry(
    (5, 12, 17), (4.0, 0.9, 1.3), (-30.0, 12.0, 55.0), ROW, COLUMN, NORMAL, "1.2.9"
)


def chiral():
    """(z, y, x) labels that no flip or turn maps onto themselves: an L with a foot, and a dot."""
    labels = np.zeros(GRID.shape, np.uint8)
    labels[1:4, 2:9, 3] = 1
    labels[1, 8, 3:8] = 1
    labels[3, 2, 3:5] = 1
    labels[4, 10, 15] = 2
    return labels


def itk_image(labels, geometry):
    image = SimpleITK.GetImageFromArray(labels)
    image.SetSpacing(geometry.spacing_mm[::-1])
    image.SetOrigin(geometry.origin_mm)
    directions = np.column_stack(
        [geometry.row_direction, geometry.column_direction, geometry.slice_direction]
    )
    image.SetDirection(directions.ravel().tolist())
    return image


def write(path, labels, geometry):
    if path.name.endswith((".nii", ".nii.gz")):
        nibabel.save(nibabel.Nifti1Image(labels.T, geometry.affine_ras), path)
    else:
        SimpleITK.WriteImage(itk_image(labels, geometry), str(path))


def on_grid(mask_set, geometry=GRID):
    labels = np.zeros(geometry.shape, int)
    for mask in mask_set.masks:
        labels[mask.box][mask.voxels] = mask.label
    return labels


def on_whole_grid(placed, shape):
    """Placed labels on all of the study's grid."""
    labels = np.zeros(shape, int)
    z, y, x = (slice(o, o + n) for o, n in zip(placed.origin, placed.labels.shape, strict=True))
    labels[z, y, x] = placed.labels
    return labels


@pytest.mark.parametrize("suffix", ["nii", "nii.gz", "nrrd", "mha", "mhd"])
def test_oblique_chiral_mask_in_every_format(tmp_path, suffix):
    write(tmp_path / f"mask.{suffix}", chiral(), GRID)
    mask_set = read_masks(tmp_path / f"mask.{suffix}", GRID)
    np.testing.assert_array_equal(on_grid(mask_set), chiral())
    assert [mask.name for mask in mask_set.masks] == ["label 1", "label 2"]
    assert mask_set.warnings == ()


@pytest.mark.parametrize(
    ("space", "signs"),
    [
        ("left-posterior-superior", (1, 1, 1)),
        ("right-anterior-superior", (-1, -1, 1)),
        ("left-anterior-superior", (1, -1, 1)),
    ],
)
def test_an_nrrd_in_any_space_of_the_patient(tmp_path, space, signs):
    """Written by hand: 3D Slicer saves LPS, other programs RAS."""

    def vector(values):
        return f"({','.join(repr(float(value)) for value in np.array(values) * signs)})"

    x, y, z = (
        np.array(direction) * size
        for direction, size in zip((ROW, COLUMN, NORMAL), GRID.spacing_mm[::-1], strict=True)
    )
    header = (
        "NRRD0004\ntype: uint8\ndimension: 3\nencoding: raw\n"
        f"space: {space}\nsizes: {' '.join(map(str, GRID.shape[::-1]))}\n"
        f"space directions: {vector(x)} {vector(y)} {vector(z)}\n"
        f"space origin: {vector(GRID.origin_mm)}\n\n"
    )
    (tmp_path / "mask.nrrd").write_bytes(header.encode() + chiral().tobytes())
    mask_set = read_masks(tmp_path / "mask.nrrd", GRID)
    np.testing.assert_array_equal(on_grid(mask_set), chiral())
    assert mask_set.warnings == ()


def test_a_nifti_of_four_dimensions_with_one_volume(tmp_path):
    image = nibabel.Nifti1Image(chiral().T[..., None], GRID.affine_ras)
    nibabel.save(image, tmp_path / "mask.nii")
    np.testing.assert_array_equal(on_grid(read_masks(tmp_path / "mask.nii", GRID)), chiral())


def test_a_mask_that_does_not_say_where_it_lies_is_refused(tmp_path):
    """SimpleITK would put them at the scanner's origin, which may well be in the study."""
    nibabel.save(nibabel.Nifti1Image(chiral().T, None), tmp_path / "mask.nii.gz")
    header = "NRRD0004\ntype: uint8\ndimension: 3\nencoding: raw\nsizes: 17 12 5\n\n"
    (tmp_path / "mask.nrrd").write_bytes(header.encode() + chiral().tobytes())
    for name in ("mask.nii.gz", "mask.nrrd"):
        with pytest.raises(InputError, match=rf"{name}: does not say where in the patient"):
            read_masks(tmp_path / name, GRID)


def test_a_colour_image_is_no_mask(tmp_path):
    image = SimpleITK.Image([4, 4, 4], SimpleITK.sitkVectorUInt8, 3)
    SimpleITK.WriteImage(image, str(tmp_path / "rgb.nrrd"))
    with pytest.raises(InputError, match=r"rgb\.nrrd: has 3 values per voxel"):
        read_masks(tmp_path / "rgb.nrrd", GRID)


def test_the_masks_of_a_folder_are_those_that_can_be_one(tmp_path):
    for name in ("b.nii.gz", "a.seg.nrrd", ".hidden.nii"):
        write(tmp_path / name, chiral(), GRID)
    (tmp_path / "README.txt").write_text("drawn by A")
    (tmp_path / "more.nii").mkdir()
    shutil.copy(REAL / "01.dcm", tmp_path)
    shutil.copy(REAL / "liver.dcm", tmp_path / "SEG0001")
    assert [path.name for path in masks_in(tmp_path)] == ["SEG0001", "a.seg.nrrd", "b.nii.gz"]
    with pytest.raises(InputError, match=r"more\.nii: holds no mask file"):
        masks_in(tmp_path / "more.nii")


def reoriented(labels, geometry, flips, order):
    """The same labels in space with axes flipped and permuted in the file; order of (z, y, x)."""
    directions = {
        0: geometry.slice_direction,
        1: geometry.column_direction,
        2: geometry.row_direction,
    }
    origin = np.array(geometry.origin_mm)
    signs = {}
    for axis in range(3):
        signs[axis] = -1 if axis in flips else 1
        if axis in flips:
            labels = np.flip(labels, axis)
            extent = (geometry.shape[axis] - 1) * geometry.spacing_mm[axis]
            origin = origin + extent * np.array(directions[axis])
    labels = np.ascontiguousarray(labels.transpose(order))
    vectors = [tuple(signs[axis] * np.array(directions[axis])) for axis in order]
    return labels, VolumeGeometry(
        labels.shape,
        tuple(geometry.spacing_mm[axis] for axis in order),
        tuple(origin),
        row_direction=vectors[2],
        column_direction=vectors[1],
        slice_direction=vectors[0],
    )


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize("flips", [(), (0,), (2,), (0, 1, 2)])
def test_flipped_and_permuted_files_are_exact(tmp_path, flips, order):
    write(tmp_path / "mask.nrrd", *reoriented(chiral(), GRID, flips, order))
    mask_set = read_masks(tmp_path / "mask.nrrd", GRID)
    np.testing.assert_array_equal(on_grid(mask_set), chiral())
    assert mask_set.warnings == ()


def test_real_seg_and_nrrd_hold_the_same_liver():
    geometry = read_study(REAL).series[0].geometry
    seg, nrrd = (
        on_grid(read_masks(REAL / name, geometry), geometry)
        for name in ("liver.dcm", "liver_seg.nrrd")
    )
    np.testing.assert_array_equal(seg, nrrd)
    assert seg.sum() == 107098  # highdicom and SimpleITK count the same in the files
    assert read_masks(REAL / "liver.dcm", geometry).masks[0].name == "Liver"


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL"])
def test_overlapping_segments_of_a_seg_stay_apart(ct, tmp_path, kind):
    geometry, datasets = ct
    first = chiral() == 1
    second = np.zeros_like(first)
    second[2, 4:10, 2:6] = True
    assert (first & second).any()
    pixels = np.stack([first, second], axis=-1).astype(np.uint8)
    if kind == "FRACTIONAL":
        pixels = pixels.astype(np.float32) * 0.8
    seg = segmentation(datasets, pixels, kind, {1: "Tumour A", 2: "Tumour B"})
    seg.save_as(tmp_path / "seg.dcm")
    mask_set = read_masks(tmp_path / "seg.dcm", geometry)
    assert [mask.name for mask in mask_set.masks] == ["Tumour A", "Tumour B"]
    for mask, true in zip(mask_set.masks, (first, second), strict=True):
        whole = np.zeros(geometry.shape, bool)
        whole[mask.box] = mask.voxels
        np.testing.assert_array_equal(whole, true)


def test_slicer_segment_names(tmp_path):
    image = itk_image(chiral(), GRID)
    for number, name in enumerate(("core tumour", "satellite")):
        image.SetMetaData(f"Segment{number}_Name", name)
        image.SetMetaData(f"Segment{number}_LabelValue", str(number + 1))
        image.SetMetaData(f"Segment{number}_Layer", "0")
    SimpleITK.WriteImage(image, str(tmp_path / "a.seg.nrrd"))
    assert [mask.name for mask in read_masks(tmp_path / "a.seg.nrrd", GRID).masks] == [
        "core tumour",
        "satellite",
    ]


def test_overlapping_slicer_segments_are_layers(tmp_path):
    """3D Slicer numbers the labels of each layer anew."""
    first, second = (chiral() == 1).astype(np.uint8), np.zeros(GRID.shape, np.uint8)
    second[1:3, 2:6, 2:7] = 1
    assert (first & second).any()
    image = SimpleITK.Compose(itk_image(first, GRID), itk_image(second, GRID))
    for number, name in enumerate(("tumour", "satellite")):
        for key, value in (("Name", name), ("LabelValue", "1"), ("Layer", str(number))):
            image.SetMetaData(f"Segment{number}_{key}", value)
    SimpleITK.WriteImage(image, str(tmp_path / "a.seg.nrrd"))
    mask_set = read_masks(tmp_path / "a.seg.nrrd", GRID)
    assert [(mask.name, mask.label) for mask in mask_set.masks] == [("tumour", 1), ("satellite", 1)]
    for mask, true in zip(mask_set.masks, (first, second), strict=True):
        whole = np.zeros(GRID.shape, bool)
        whole[mask.box] = mask.voxels
        np.testing.assert_array_equal(whole, true)


def test_another_grid_is_resampled_and_told(tmp_path):
    fine = VolumeGeometry((20, 48, 68), (1.0, 0.225, 0.325), GRID.origin_mm, ROW, COLUMN, NORMAL)
    labels = np.zeros(fine.shape, np.uint8)
    labels[4:13, 10:40, 12:50] = 3
    write(tmp_path / "fine.nii.gz", labels, fine)
    mask_set = read_masks(tmp_path / "fine.nii.gz", GRID)
    (mask,) = mask_set.masks
    volume_ml = labels.astype(bool).sum() * fine.voxel_volume_ml
    assert mask.n_voxels * GRID.voxel_volume_ml == pytest.approx(volume_ml, rel=0.35)
    assert "resampled to the study's grid" in mask_set.warnings[0]
    assert "label 3" in mask_set.warnings[0]


def test_resampling_agrees_with_simpleitk():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 4, (9, 20, 22)).astype(np.int32)
    grid = VolumeGeometry(labels.shape, (2.0, 0.7, 0.8), (-28.0, 10.0, 53.0))
    placed = place(LabelVolume(labels, grid), GRID)
    assert not placed.is_exact
    reference = SimpleITK.Resample(
        itk_image(labels, grid),
        itk_image(np.zeros(GRID.shape, np.int32), GRID),
        SimpleITK.Transform(),
        SimpleITK.sitkNearestNeighbor,
        0,
    )
    expected = SimpleITK.GetArrayFromImage(reference)
    assert (
        on_whole_grid(placed, GRID.shape) != expected
    ).mean() < 0.01  # ties, and half a voxel at the rim


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_every_way_round_and_partly_outside_agrees_with_simpleitk(order):
    """All 48 ways a file can hold a grid; `Placed` is but the box, which may be cut by the study's edge."""
    rng = np.random.default_rng(2)
    labels = (rng.random(GRID.shape) < 0.1) * rng.integers(1, 4, GRID.shape)
    study = itk_image(np.zeros(GRID.shape, np.int32), GRID)
    for flips in [[axis for axis in range(3) if bits >> axis & 1] for bits in range(8)]:
        turned, grid = reoriented(labels, GRID, flips, order)
        moved = replace(grid, origin_mm=tuple(grid.origin_mm + np.array(GRID.position_mm(2, -3, 4)) - GRID.origin_mm))  # fmt: skip
        placed = place(cropped(turned, moved), GRID)
        reference = SimpleITK.Resample(
            itk_image(turned.astype(np.int32), moved),
            study,
            SimpleITK.Transform(),
            SimpleITK.sitkNearestNeighbor,
            0,
        )
        assert placed.is_exact
        np.testing.assert_array_equal(
            on_whole_grid(placed, GRID.shape), SimpleITK.GetArrayFromImage(reference)
        )
        np.testing.assert_array_equal(
            on_whole_grid(placed, GRID.shape)[2:, :-3, 4:], labels[:-2, 3:, :-4]
        )
        inside = np.count_nonzero(labels[:-2, 3:, :-4]) / np.count_nonzero(labels)
        assert placed.outside_share == pytest.approx(1.0 - inside)


def test_midway_between_two_slices_all_voxels_take_the_same():
    """On an oblique grid, rounding must not send some voxels of a slice up and others down."""
    rng = np.random.default_rng(0)
    labels = np.zeros((2, 12, 17), np.int32)
    labels[0, 2:6, 2:6] = labels[1, 6:10, 8:12] = 1
    for _ in range(30):
        origin_mm = tuple(rng.uniform(-300, 300, 3))
        study = VolumeGeometry((6, 12, 17), (1.25, 0.8, 0.8), origin_mm, ROW, COLUMN, NORMAL)
        every_second = study.affine_lps @ np.diag([1.0, 1.0, 2.0, 1.0])
        placed = place(
            LabelVolume(labels, VolumeGeometry.from_affine(every_second, labels.shape)), study
        )
        on_study = on_whole_grid(placed, study.shape)
        assert on_study.sum(axis=(1, 2)).tolist() == [16, 16, 16, 0, 0, 0]
        assert on_study[1, 8, 10] == 1  # the higher


def test_a_part_outside_is_told_and_no_overlap_is_refused(tmp_path):
    moved = VolumeGeometry(
        GRID.shape, GRID.spacing_mm, GRID.position_mm(0, 0, 5), ROW, COLUMN, NORMAL
    )
    labels = chiral()
    labels[0, 0, 16] = 1  # beyond the study's last column when moved by five
    write(tmp_path / "part.nrrd", labels, moved)
    mask_set = read_masks(tmp_path / "part.nrrd", GRID)
    assert "outside the study" in mask_set.warnings[0]
    far = VolumeGeometry(GRID.shape, GRID.spacing_mm, (900.0, 900.0, 900.0), ROW, COLUMN, NORMAL)
    write(tmp_path / "far.nrrd", chiral(), far)
    with pytest.raises(OutsideStudy, match="no slices of the mask overlap the study"):
        read_masks(tmp_path / "far.nrrd", GRID)


def test_seg_of_another_frame_of_reference_is_refused():
    with pytest.raises(GridMismatch, match="another frame of reference"):
        read_masks(REAL / "liver.dcm", GRID)


def test_what_is_no_mask_is_refused_by_name(tmp_path):
    write(tmp_path / "empty.nrrd", np.zeros(GRID.shape, np.uint8), GRID)
    write(tmp_path / "image.nrrd", np.full(GRID.shape, 0.5, np.float32), GRID)
    write(tmp_path / "negative.nrrd", np.full(GRID.shape, -1, np.int16), GRID)
    (tmp_path / "broken.nrrd").write_bytes(b"NRRD0004\nnothing")
    (tmp_path / "notes.txt").write_text("none")
    for name, message in (
        ("empty.nrrd", "holds no region"),
        ("image.nrrd", "no labels"),
        ("negative.nrrd", "outside 0-65535"),
        ("broken.nrrd", "cannot be read"),
        ("notes.txt", "is no mask"),
        ("absent.nii", "no such mask"),
    ):
        with pytest.raises(InputError, match=f"{name}.*{message}"):
            read_masks(tmp_path / name, GRID)
    with pytest.raises(InputError, match=r"01\.dcm.*DICOM SEG"):
        read_masks(REAL / "01.dcm", GRID)
