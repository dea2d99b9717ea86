"""Several contours on one slice: joined, cut out, or one drawn twice."""

import subprocess

import numpy as np
import pytest
import SimpleITK

from gsigpu.dicom.study.read_study import read_study
from gsigpu.dicom.study.stack import select_stack
from gsigpu.masks import read_masks
from gsigpu.masks.contours import filled
from gsigpu.volume import VolumeGeometry
from tests.masks.test_read_masks import on_grid
from tests.support.dicom_files import ct_dataset, save
from tests.support.rtstruct import drawn_on_slice, structure_set

SHAPE = (64, 64)  # rt-utils takes rows for columns where they differ
AXIAL = VolumeGeometry((6, *SHAPE), (2.5, 0.8, 0.8), (-30.0, -20.0, 40.0))


def square(low, high, *, columns=None):
    """(row, column) vertices between pixel centres."""
    first, last = columns or (low, high)
    return np.array([[low, first], [low, last], [high, last], [high, first]], float) - 0.5


def pixels(*boxes):
    mask = np.zeros(SHAPE, bool)
    for low, high in boxes:
        mask[low:high, low:high] = True
    return mask


def test_contours_nest():
    """Outer, hole, island in the hole, whatever their order."""
    outlines = [square(5, 45), square(15, 35), square(20, 30)]
    expected = pixels((5, 45)) & ~pixels((15, 35)) | pixels((20, 30))
    for order in ([0, 1, 2], [2, 1, 0], [1, 0, 2]):
        inside = filled([outlines[index] for index in order], SHAPE, is_xor=False)
        np.testing.assert_array_equal(inside, expected)


def test_contours_that_overlap_or_touch_are_joined():
    np.testing.assert_array_equal(
        filled([square(5, 30), square(20, 45)], SHAPE, is_xor=False), pixels((5, 30), (20, 45))
    )
    touching = [square(5, 20, columns=(5, 20)), square(5, 20, columns=(20, 30))]
    assert filled(touching, SHAPE, is_xor=False).sum() == 15 * 25
    # Both beside each other inside a third, which has then two holes.
    ring = filled([square(2, 50), *touching], SHAPE, is_xor=False)
    assert ring.sum() == 48 * 48 - 15 * 25


def test_a_contour_that_sticks_out_by_less_than_a_pixel_is_no_hole():
    outer = square(5, 45)
    across = np.array([[10, 30], [10, 44.8], [20, 44.8], [20, 30]], float)
    np.testing.assert_array_equal(filled([outer, across], SHAPE, is_xor=False), pixels((5, 45)))


def test_a_doubled_contour_is_one():
    """Also drawn the other way round, or from another vertex; a doubled hole is one hole."""
    outer, inner = square(5, 45), square(15, 35)
    for twin in (outer.copy(), outer[::-1], np.roll(outer, 1, axis=0)):
        np.testing.assert_array_equal(filled([outer, twin], SHAPE, is_xor=False), pixels((5, 45)))
    ring = pixels((5, 45)) & ~pixels((15, 35))
    np.testing.assert_array_equal(filled([outer, inner, inner], SHAPE, is_xor=False), ring)
    # A wall thinner than a pixel fills the same pixels, and is none.
    thin = square(5, 45) * 0.99 + 0.245
    assert not filled([outer, thin], SHAPE, is_xor=False).any()


def test_xor_is_even_odd_of_all():
    outer = square(5, 45)
    assert not filled([outer, outer], SHAPE, is_xor=True).any()
    np.testing.assert_array_equal(
        filled([square(5, 30), square(20, 45)], SHAPE, is_xor=True),
        pixels((5, 30)) ^ pixels((20, 45)),
    )


def blob(rng, centre, radius):
    """A smooth outline, as a hand draws it: (n, 2) rows and columns."""
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    size = radius * (1 + 0.15 * np.sin(3 * angle + rng.uniform(0, 6)) + 0.1 * np.cos(2 * angle))
    return np.asarray(centre) + size[:, None] * np.column_stack([np.sin(angle), np.cos(angle)])


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A CT, and a structure set on it with the images that each contour was drawn on."""
    folder = tmp_path_factory.mktemp("oracle")
    datasets = []
    for z in range(AXIAL.shape[0]):
        ds = ct_dataset(
            np.zeros(SHAPE, np.int16),
            position_mm=AXIAL.position_mm(z, 0, 0),
            instance_number=z + 1,
            PixelSpacing=list(AXIAL.spacing_mm[1:]),
        )
        ds.SliceThickness = AXIAL.spacing_mm[0]
        save(ds, folder / "ct" / f"{z}.dcm")
        datasets.append(ds)
    geometry = select_stack(read_study(folder / "ct")).geometry
    rng = np.random.default_rng(11)
    outer = [blob(rng, (28, 33), 18 - z) for z in range(1, 5)]
    rois = {
        1: ("alone", [drawn_on_slice(outline, z, geometry) for z, outline in enumerate(outer, start=1)]),
        2: (
            "ring",
            [
                drawn_on_slice(outline, z, geometry)
                for z in range(1, 5)
                for outline in (outer[z - 1], blob(rng, (28, 33), 6))
            ],
        ),
        3: ("two", [drawn_on_slice(blob(rng, at, 7), z, geometry) for z in (1, 2) for at in ((15, 15), (40, 50))]),
    }  # fmt: skip
    ds = structure_set(rois, frame_uid=geometry.frame_of_reference_uid,
                       series_uids=[str(datasets[0].SeriesInstanceUID)])  # fmt: skip
    ds.RTROIObservationsSequence = []
    ds.StudyInstanceUID = datasets[0].StudyInstanceUID
    _complete(ds, datasets, geometry)
    path = save(ds, folder / "structures.dcm")
    mask_set = read_masks(path, geometry)
    return folder, path, {mask.name: mask for mask in mask_set.masks}, geometry, datasets


def _complete(ds, datasets, geometry):
    """What rt-utils asks for beside the contours: the images that they were drawn on."""
    from pydicom.dataset import Dataset

    def reference(image):
        item = Dataset()
        item.ReferencedSOPClassUID = image.SOPClassUID
        item.ReferencedSOPInstanceUID = image.SOPInstanceUID
        return item

    frame = ds.ReferencedFrameOfReferenceSequence[0]
    series = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
    series.ContourImageSequence = [reference(image) for image in datasets]
    for structure in ds.ROIContourSequence:
        for contour in structure.ContourSequence:
            z = round(
                (float(contour.ContourData[2]) - geometry.origin_mm[2]) / geometry.spacing_mm[0]
            )
            contour.ContourImageSequence = [reference(datasets[z])]


def whole(mask, geometry):
    volume = np.zeros(geometry.shape, bool)
    volume[mask.box] = mask.voxels
    return volume


@pytest.mark.tools
def test_filling_agrees_with_plastimatch(drawn, tmp_path):
    """Voxel by voxel but for centres on the outline. It joins nested contours, so rings are left to rt-utils."""
    folder, path, masks, geometry, _ = drawn
    done = subprocess.run(
        ["plastimatch", "convert", "--input", path, "--referenced-ct", folder / "ct",
         "--output-prefix", tmp_path / "out", "--prefix-format", "nrrd"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("alone", "two"):
        image = SimpleITK.ReadImage(str(tmp_path / "out" / f"{name}.nrrd"))
        expected = SimpleITK.GetArrayFromImage(image).astype(bool)
        differing = np.count_nonzero(expected ^ whole(masks[name], geometry))
        assert differing <= 0.01 * expected.sum()


def test_filling_agrees_with_rt_utils(drawn):
    """It fills with OpenCV, which counts pixels that an outline touches as inside: the inside of both is the same."""
    rt_utils = pytest.importorskip("rt_utils")
    from scipy.ndimage import binary_erosion

    folder, path, masks, geometry, _ = drawn
    theirs = rt_utils.RTStructBuilder.create_from(
        dicom_series_path=str(folder / "ct"), rt_struct_path=str(path)
    )
    for name in ("alone", "ring", "two"):
        expected = theirs.get_roi_mask_by_name(name).transpose(2, 0, 1)
        painted = whole(masks[name], geometry)
        thin = np.ones((1, 3, 3), bool)
        for first, second in ((expected, painted), (painted, expected)):
            inner = binary_erosion(first, thin)
            assert inner.any()
            assert not (inner & ~second).any()
            outside = binary_erosion(~first, thin, border_value=1)
            assert not (outside & second).any()


def test_the_oracles_structures_are_on_their_slices(drawn):
    _, path, _, geometry, _ = drawn
    labels = on_grid(read_masks(path, geometry), geometry)
    assert np.flatnonzero(labels.any(axis=(1, 2))).tolist() == [1, 2, 3, 4]
