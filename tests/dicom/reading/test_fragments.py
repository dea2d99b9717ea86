"""The frame of a file of one frame is read in few steps: the same bytes, and the same errors, as by the general way."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import RLELossless

from gsigpu.dicom.reading.fragments import index_frames, read_only_frame
from gsigpu.dicom.reading.headers import scan_headers
from gsigpu.dicom.reading.pixels import PlaneReader
from gsigpu.errors import FileChanged, GsigpuError, PixelDataError
from tests.support.dicom_files import ct_dataset, save

FRAME = bytes(range(200)) * 2
ITEM, END = b"\xfe\xff\0\xe0", b"\xfe\xff\xdd\xe0\0\0\0\0"
RNG = np.random.default_rng(6)


def item(value):
    return ITEM + struct.pack("<L", len(value)) + value


LAYOUTS = {
    "no table": item(b"") + item(FRAME) + END,
    "a table": encapsulate([FRAME]) + END,
    "two fragments": item(b"") + item(FRAME[:6]) + item(FRAME[6:]) + END,
    "two fragments and a table": encapsulate([FRAME], fragments_per_frame=2) + END,
    "more behind it": item(b"") + item(FRAME) + END + b"\xfc\xff\xfc\xffOB\0\0\2\0\0\0\0\0",
    "an empty fragment": item(b"") + item(b"") + END,
    "a table alone": item(b"") + END,
    "no items": END,
    "a table of an odd length": item(bytes(6)) + item(FRAME) + END,
    "a fragment that reaches beyond": item(b"") + ITEM + b"\xf0\xff\xff\xff" + FRAME + END,
    "another tag": b"\xfe\xff\1\xe0" + item(FRAME) + END,
    "another second tag": item(b"") + b"\xfe\xff\1\xe0" + item(FRAME)[4:] + END,
}


def told(read, data, before):
    """What a way of reading makes of the bytes: the frame, or its error."""
    file, path = io.BytesIO(bytes(before) + data), Path("slice-3")
    try:
        return read(file, path, before)
    except GsigpuError as error:
        return type(error), str(error)


def by_index(file, path, offset):
    return index_frames(file, path, offset, 1).read(file, 0)


@pytest.mark.parametrize("name", LAYOUTS)
def test_any_layout_cut_anywhere_is_read_as_by_the_general_way(name):
    for n in range(len(LAYOUTS[name]) + 1):
        for before in (0, 33):
            data = LAYOUTS[name][:n]
            assert told(read_only_frame, data, before) == told(by_index, data, before), n


@pytest.mark.parametrize("name", LAYOUTS)
def test_any_layout_with_a_changed_byte_is_read_as_by_the_general_way(name):
    for at in {
        *range(min(len(LAYOUTS[name]), 40)),
        *range(len(LAYOUTS[name]) - 16, len(LAYOUTS[name])),
    }:
        for value in (0, 1, 4, 8, 0xDD, 0xFF):
            data = bytearray(LAYOUTS[name])
            data[at] = value
            assert told(read_only_frame, bytes(data), 7) == told(by_index, bytes(data), 7), at


def test_a_length_beyond_the_file_takes_no_memory():
    """A damaged length of 4 GiB; what would be taken for it is never asked of the file."""

    class Watched(io.BytesIO):
        most = 0

        def read(self, size=-1):
            Watched.most = max(Watched.most, size)
            return super().read(size)

    with pytest.raises(PixelDataError, match="break off"):
        read_only_frame(Watched(LAYOUTS["a fragment that reaches beyond"]), Path("a"), 0)
    assert Watched.most < 1000


IMAGES = RNG.integers(-1000, 3000, (19, 12, 15)).astype(np.int16)


def series(folder, *, plain=()):
    """19 files in the order of their names, more than are read ahead, compressed but for those at `plain`."""
    paths = []
    for z, image in enumerate(IMAGES):
        ds = ct_dataset(image, position_mm=(0, 0, float(z)), instance_number=z + 1)
        if z not in plain:
            ds.compress(RLELossless, generate_instance_uid=False)
        paths.append(save(ds, folder / f"slice-{z:02}"))
    return paths


def read(planes):
    out = np.full((len(planes), *IMAGES[0].shape), -7, np.int16)
    PlaneReader().read(planes, out)
    return out


@pytest.mark.parametrize("plain", [(), (0,), (3, 4, 9), range(0, 19, 2)], ids=str)
def test_planes_that_are_read_ahead_are_those_read_one_by_one(tmp_path, plain):
    series(tmp_path, plain=plain)
    planes = scan_headers(tmp_path).planes
    together, one_by_one = read(planes), np.zeros_like(IMAGES)
    for plane, target in zip(planes, one_by_one, strict=True):
        PlaneReader().read_plane(plane, target)
    np.testing.assert_array_equal(together, IMAGES)
    np.testing.assert_array_equal(one_by_one, IMAGES)


@pytest.mark.parametrize("damage", ["missing", "cut", "changed"])
@pytest.mark.parametrize("at", [0, 5, 11, 12, 18])
def test_the_first_file_that_is_damaged_is_the_one_told(tmp_path, at, damage):
    """Though files behind it, damaged too, were opened before it was decoded; planes in front of it are delivered."""
    paths = series(tmp_path)
    planes = scan_headers(tmp_path).planes
    for path in paths[at:]:
        if damage == "missing":
            path.unlink()
        elif damage == "changed":
            path.write_bytes(path.read_bytes() + b"\0")
    if damage == "cut":
        for path in paths[at:]:
            path.write_bytes(path.read_bytes()[:-20])
        planes = scan_headers(tmp_path).planes
    out = np.full_like(IMAGES, -7)
    with pytest.raises(
        FileChanged if damage == "changed" else PixelDataError, match=paths[at].name
    ):
        PlaneReader().read(planes, out)
    np.testing.assert_array_equal(out[:at], IMAGES[:at])
