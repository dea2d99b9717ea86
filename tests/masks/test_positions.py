"""A position that a file does not prove is taken only where that is asked for."""

from dataclasses import replace

import nibabel
import numpy as np
import pytest
import SimpleITK

from gsigpu.errors import UnclearPosition, WrongPhase
from gsigpu.masks import read_masks
from gsigpu.masks.layers import Owner
from gsigpu.masks.positions import PositionChoice, same_voxels
from gsigpu.volume import VolumeGeometry
from tests.masks.test_read_masks import GRID, chiral, itk_image, on_grid, reoriented, write

AXIAL = VolumeGeometry((5, 12, 17), (1.0, 1.0, 1.25), (-8.0, -6.0, 0.0))


def nifti(path, *, sform=None, qform=None, labels=None, spacing_mm=None):
    """A NIfTI with each position or none, RAS mm."""
    labels = chiral() if labels is None else labels
    image = nibabel.Nifti1Image(labels.T, None)
    if spacing_mm is not None:
        image.header.set_zooms(spacing_mm)
    image.header.set_sform(sform, code=0 if sform is None else 1)
    image.header.set_qform(qform, code=0 if qform is None else 1)
    nibabel.save(image, path)
    return path


def shifted(affine, mm):
    moved = affine.copy()
    moved[:3, 3] += mm
    return moved


@pytest.mark.parametrize("shift_mm", [(12.0, 0.0, 0.0), (0.0, 0.0, 2.0), (0.5, 0.5, 0.0)])
def test_two_positions_that_disagree_are_asked_for(tmp_path, shift_mm):
    """SimpleITK takes the sform, nibabel too, other programs the qform."""
    right = GRID.affine_ras
    path = nifti(tmp_path / "m.nii.gz", sform=shifted(right, shift_mm), qform=right)
    distance = np.linalg.norm(shift_mm)
    with pytest.raises(UnclearPosition, match=rf"up to {distance:.1f} mm apart") as told:
        read_masks(path, GRID)
    assert (
        told.value.remedy == "say which it is with --mask-position sform or --mask-position qform"
    )
    by_qform = read_masks(path, GRID, position=PositionChoice.QFORM)
    np.testing.assert_array_equal(on_grid(by_qform), chiral())
    assert by_qform.is_positioned_by_choice
    assert "its qform says" in by_qform.warnings[0]
    twin = nifti(tmp_path / "twin.nii.gz", sform=right, qform=shifted(right, shift_mm))
    by_sform = read_masks(twin, GRID, position=PositionChoice.SFORM)
    np.testing.assert_array_equal(on_grid(by_sform), chiral())
    with pytest.raises(UnclearPosition):
        read_masks(path, GRID, position=PositionChoice.FILE)


def test_a_size_of_voxels_that_disagrees_with_the_sform_is_asked_for(tmp_path):
    """SimpleITK takes the size from pixdim, nibabel from the sform."""
    path = nifti(tmp_path / "m.nii.gz", sform=GRID.affine_ras, spacing_mm=(1.0, 1.0, 1.0))
    with pytest.raises(UnclearPosition, match=r"says voxels of 1 x 1 x 1 mm \(pixdim\)"):
        read_masks(path, GRID)
    by_sform = read_masks(path, GRID, position=PositionChoice.SFORM)
    np.testing.assert_array_equal(on_grid(by_sform), chiral())


def test_two_positions_that_agree_are_one(tmp_path):
    path = nifti(tmp_path / "m.nii.gz", sform=GRID.affine_ras, qform=GRID.affine_ras)
    mask_set = read_masks(path, GRID)
    np.testing.assert_array_equal(on_grid(mask_set), chiral())
    assert not mask_set.is_positioned_by_choice
    assert mask_set.warnings == ()


@pytest.mark.parametrize("name", ["m.nii.gz", "m.mha", "m.nrrd", "spaced.mha"])
def test_the_place_that_programs_start_with_is_doubtful(tmp_path, name):
    """An identity affine, or an image made from an array whose geometry nobody copied."""
    if name == "m.nii.gz":
        nibabel.save(nibabel.Nifti1Image(chiral().T, np.eye(4)), tmp_path / name)
    else:
        image = SimpleITK.GetImageFromArray(chiral())
        if name == "spaced.mha":
            image.SetSpacing(AXIAL.spacing_mm[::-1])
        SimpleITK.WriteImage(image, str(tmp_path / name))
    with pytest.raises(
        UnclearPosition, match="lies at the origin along the patient's axes"
    ) as told:
        read_masks(tmp_path / name, AXIAL)
    assert "--mask-position file" in told.value.remedy
    # Voxel by voxel alone where it has the series' spacing too.
    assert ("--mask-position index" in told.value.remedy) is (name == "spaced.mha")
    assert read_masks(tmp_path / name, AXIAL, position=PositionChoice.FILE).is_positioned_by_choice
    if name == "spaced.mha":
        by_index = read_masks(tmp_path / name, AXIAL, position=PositionChoice.INDEX)
        np.testing.assert_array_equal(on_grid(by_index, AXIAL), chiral())


def test_a_study_that_lies_there_itself_is_no_doubt(tmp_path):
    grid = replace(AXIAL, origin_mm=(0.0, 0.0, 0.0))
    write(tmp_path / "m.nii.gz", chiral(), grid)
    assert not read_masks(tmp_path / "m.nii.gz", grid).is_positioned_by_choice


@pytest.mark.parametrize("change", ["none", "shape", "spacing"])
def test_a_mask_without_a_position_is_taken_by_index_alone_and_only_where_it_fits(tmp_path, change):
    labels = chiral()[:, :, :-1] if change == "shape" else chiral()
    spacing_mm = (1.25, 1.0, 0.9) if change == "spacing" else AXIAL.spacing_mm[::-1]
    path = nifti(tmp_path / "m.nii.gz", labels=labels, spacing_mm=spacing_mm)
    with pytest.raises(UnclearPosition, match="does not say where in the patient it lies") as told:
        read_masks(path, AXIAL)
    if change == "none":
        assert told.value.remedy == "say which it is with --mask-position index"
        by_index = read_masks(path, AXIAL, position=PositionChoice.INDEX)
        np.testing.assert_array_equal(on_grid(by_index, AXIAL), chiral())
        assert "voxel by voxel" in by_index.warnings[0]
    else:
        assert "save it with the position of the series" in told.value.remedy
        with pytest.raises(UnclearPosition):
            read_masks(path, AXIAL, position=PositionChoice.INDEX)


def test_an_nrrd_or_a_metaimage_that_leaves_out_its_position_has_none(tmp_path):
    for name, keys in (
        ("m.nrrd", (b"space origin",)),
        ("m.mha", (b"Offset",)),
        ("n.mha", (b"TransformMatrix",)),
    ):
        path = tmp_path / name
        SimpleITK.WriteImage(itk_image(chiral(), GRID), str(path))
        lines = path.read_bytes().split(b"\n", 20)
        kept = [line for line in lines if not line.startswith(keys)]
        assert len(kept) == len(lines) - 1
        path.write_bytes(b"\n".join(kept))
        with pytest.raises(UnclearPosition, match="does not say where"):
            read_masks(path, GRID)


@pytest.mark.parametrize("flips", [(), (0,), (1, 2)])
def test_a_mask_on_the_grid_of_another_phase_is_refused_unless_any_is_accepted(tmp_path, flips):
    """Its voxels are those of the arterial images, whichever way round, and not of the portal ones."""
    arterial = replace(GRID, origin_mm=GRID.position_mm(0.4, 3.3, 0))
    owner = Owner(
        phase="PVP",
        phase_of_series={"1.1": "AP", "1.2": "PVP"},
        grid_of_series={"1.1": arterial, "1.2": GRID},
    )
    path = tmp_path / "m.nrrd"
    write(path, *reoriented(chiral(), arterial, flips, (0, 1, 2)))
    with pytest.raises(
        WrongPhase,
        match=r"lies on the grid of phase AP, and phase PVP is measured on another; use --phase AP, or",
    ):
        read_masks(path, GRID, owner=owner)
    assert read_masks(path, GRID, owner=replace(owner, any_phase=True)).masks
    assert read_masks(path, arterial, owner=replace(owner, phase="AP")).masks
    # Both phases on one grid: nothing tells on which the mask was drawn.
    shared = replace(owner, grid_of_series={"1.1": GRID, "1.2": GRID})
    write(tmp_path / "own.nrrd", chiral(), GRID)
    assert read_masks(tmp_path / "own.nrrd", GRID, owner=shared).masks


def test_the_same_voxels_whichever_way_round():
    for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0)):
        _, turned = reoriented(chiral(), GRID, (0, 2), order)
        assert same_voxels(turned, GRID)
    assert not same_voxels(replace(GRID, origin_mm=GRID.position_mm(0, 0, 0.3)), GRID)
    assert not same_voxels(replace(GRID, shape=(5, 12, 16)), GRID)
