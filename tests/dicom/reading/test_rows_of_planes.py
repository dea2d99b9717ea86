"""Some rows or voxels of a plane are those of the whole plane, and no file that is refused whole passes for them."""

from dataclasses import replace

import numpy as np
import pytest
from pydicom.uid import JPEGLSLossless, RLELossless

from gsigpu.backends import compiled_files
from gsigpu.dicom.model import OddPadding
from gsigpu.dicom.reading.headers import scan_headers
from gsigpu.dicom.reading.pixels import PlaneReader
from gsigpu.errors import FileChanged, PixelDataError, TruncatedPixelData
from tests.dicom.reading.test_pixels import compressed, images
from tests.support.dicom_files import ct_dataset, save

ROWS = slice(4, 9)


def plane_of(folder, dataset):
    save(dataset, folder / "slice-17")
    (plane,) = scan_headers(folder).planes
    return plane


def read(plane, rows=None):
    out = np.full((plane.format.rows, plane.format.columns), -7, np.int16)
    PlaneReader().read_plane(plane, out, rows=rows)
    return out


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("dtype", [np.int16, np.uint16])
def test_rows_are_those_of_the_plane_and_no_others_are_read(tmp_path, dtype, bits):
    dataset = ct_dataset(images(dtype, bits), BitsStored=bits, HighBit=bits - 1)
    plane = plane_of(tmp_path, dataset)
    whole, part = read(plane), read(plane, ROWS)
    assert np.array_equal(part[ROWS], whole[ROWS])
    assert (np.delete(part, range(ROWS.start, ROWS.stop), axis=0) == -7).all()


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless])
def test_of_compressed_planes_all_is_there(tmp_path, syntax):
    plane = plane_of(tmp_path, compressed(images(np.int16, 16), syntax, 16))
    assert np.array_equal(read(plane, ROWS), read(plane))


def test_padding_that_the_corners_decide_is_told_by_the_whole_plane(tmp_path):
    pixels = images(np.int16, 12)
    pixels[0, 0] = pixels[6, 3] = 99
    plane = plane_of(tmp_path, ct_dataset(pixels))
    for only_if_in_corner in (False, True):
        odd = OddPadding(values=(99, 99), only_if_in_corner=only_if_in_corner)
        part = read(replace(plane, odd_padding=odd), ROWS)
        assert part[6, 3] == -32768
        assert np.array_equal(part[ROWS], read(replace(plane, odd_padding=odd))[ROWS])


@pytest.mark.parametrize("n_lost", [1, 100])
def test_a_file_that_ends_early_is_refused_behind_its_rows_too(tmp_path, n_lost):
    plane = plane_of(tmp_path, ct_dataset(images(np.int16, 16)))
    raw = plane.path.read_bytes()
    plane.path.write_bytes(raw[:-n_lost])
    with pytest.raises(TruncatedPixelData, match="slice-17"):
        read(scan_headers(tmp_path).planes[0], slice(0, 1))
    with pytest.raises(FileChanged):
        read(plane, slice(0, 1))
    with pytest.raises(TruncatedPixelData, match="slice-17"):  # where nothing is remembered of it
        read(replace(plane, state=None), slice(0, 1))


@pytest.fixture(params=["loop", "no loop"])
def way(request, monkeypatch):
    """How files are read: all of a slice at a time, or each by itself."""
    if request.param == "no loop":
        monkeypatch.setattr(compiled_files, "choose_loop", lambda: (None, ""))
    elif compiled_files.choose_loop()[0] is None:
        pytest.skip("no compiled loop was built")
    return request.param


# Single voxels, runs shorter and longer than what is copied at once, rows with none, the last voxel.
INDICES = {
    "one": [77],
    "the last": [511],
    "a run": list(range(70, 139)),
    "short runs": [5, 6, 7, *range(20, 28), 30, *range(33, 42), *range(100, 131), 200],
    "every other": list(range(3, 400, 2)),
    "all": list(range(512)),
}


def voxels_of(planes, indices):
    """Into columns of a larger array, beside which nothing is written."""
    indices = np.array(indices)
    out = np.full((len(planes), indices.size + 5), -7, np.int16)
    shape = planes[0].format.rows, planes[0].format.columns
    PlaneReader().read_voxels(planes, shape, indices, out[:, 2:-3])
    assert (np.delete(out, range(2, 2 + indices.size), axis=1) == -7).all()
    return out[:, 2:-3]


def planes_of(folder, n, make):
    for i in range(n):
        save(make(i), folder / f"slice-{i}")
    return sorted(scan_headers(folder).planes, key=lambda plane: plane.path.name)


def large_image(seed, dtype=np.int16, bits=12):
    """16 x 32, for which the indices are."""
    rng = np.random.default_rng(seed)
    low = -(2 ** (bits - 1)) if np.dtype(dtype).kind == "i" else 0
    return rng.integers(low, low + 2**bits, (16, 32)).astype(dtype)


@pytest.mark.parametrize("indices", INDICES)
@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("dtype", [np.int16, np.uint16])
def test_voxels_are_those_of_the_planes(tmp_path, way, dtype, bits, indices):
    planes = planes_of(
        tmp_path,
        3,
        lambda i: ct_dataset(large_image(i, dtype, bits), BitsStored=bits, HighBit=bits - 1),
    )
    whole = np.stack([read(plane).ravel() for plane in planes])
    expected = whole[:, INDICES[indices]]
    np.testing.assert_array_equal(voxels_of(planes, INDICES[indices]), expected)


def test_voxels_of_planes_of_several_kinds(tmp_path, way):
    """Compressed among plain ones; padding of bits above the highest, and such that the corners decide."""
    kinds = [None, RLELossless, None, None, JPEGLSLossless, None]
    planes = planes_of(
        tmp_path,
        len(kinds),
        lambda i: (
            compressed(large_image(i), kinds[i], 12) if kinds[i] else ct_dataset(large_image(i))
        ),
    )
    first = int(read(planes[2])[0, 0])
    planes[2] = replace(planes[2], odd_padding=OddPadding(values=(first, first), only_if_in_corner=True))  # fmt: skip
    planes[3] = replace(planes[3], odd_padding=OddPadding(values=(0, 99)))
    planes[5] = replace(planes[5], values=large_image(50))
    whole = np.stack([read(plane).ravel() for plane in planes])
    assert (whole[2:4] == -32768).any(axis=1).all()
    for indices in INDICES.values():
        np.testing.assert_array_equal(voxels_of(planes, indices), whole[:, indices])


@pytest.mark.parametrize("fault", ["shorter", "replaced", "gone"])
def test_voxels_of_a_file_that_is_wrong_name_it(tmp_path, way, fault):
    planes = planes_of(tmp_path, 3, lambda i: ct_dataset(large_image(i)))
    path = planes[1].path
    if fault == "gone":
        path.unlink()
    else:
        raw = path.read_bytes()
        path.unlink()
        path.write_bytes(raw[:-1] if fault == "shorter" else raw + b"\0\0")
    with pytest.raises(PixelDataError if fault == "gone" else FileChanged, match="slice-1"):
        voxels_of(planes, INDICES["a run"])


def test_voxels_of_a_file_that_ends_early(tmp_path, way):
    plane = plane_of(tmp_path, ct_dataset(large_image(1)))
    plane.path.write_bytes(plane.path.read_bytes()[:-1])
    with pytest.raises(TruncatedPixelData, match="slice-17"):
        voxels_of(scan_headers(tmp_path).planes, INDICES["one"])


def test_voxels_of_a_plane_of_another_size_are_refused(tmp_path, way):
    planes = planes_of(tmp_path, 3, lambda i: ct_dataset(large_image(i)[: 16 - i // 2]))
    with pytest.raises(PixelDataError, match=r"slice-2.*15 x 32 pixels do not fit where 16 x 32"):
        voxels_of(planes, INDICES["a run"])
    with pytest.raises(PixelDataError, match=r"slice-2.*15 x 32 pixels do not fit where 32 x 16"):
        PlaneReader().read_voxels(planes[2:], (32, 16), np.array([3]), np.empty((1, 1), np.int16))
