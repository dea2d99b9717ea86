"""The frame of a file of one frame is read in few steps: the same bytes, and the same errors, as by the general way."""

import io
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import RLELossless

from gsigpu.backends import compiled, compiled_files
from gsigpu.dicom.reading import coded_planes
from gsigpu.dicom.reading.fragments import index_frames, read_only_frame
from gsigpu.dicom.reading.headers import scan_headers
from gsigpu.dicom.reading.pixels import PlaneReader
from gsigpu.errors import FileChanged, GsigpuError, PixelDataError
from gsigpu.file_state import FileState
from tests.backends.test_compiled import UBSAN, built
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


@pytest.fixture(scope="module", params=["plain", "ubsan"])
def loop(request):
    library = built(UBSAN if request.param == "ubsan" else ["-O2"])
    return compiled.Loop(library, compiled.sets_of(library)[-1])


def by_loop(loop, monkeypatch, contents, path, before=33):
    """Frames of files behind `before` bytes, as far as the compiled loop delivers them."""
    monkeypatch.setattr(compiled_files, "choose_loop", lambda: (loop, ""))
    paths, expected = [], []
    for at, data in enumerate(contents):
        file = path.with_suffix(f".{at}")
        file.write_bytes(bytes(before) + data)
        state = FileState.of(file)
        paths.append(bytes(file))
        expected += state.size, state.mtime_ns, state.inode, before
    room = np.full(sum(map(len, contents)), 0xEE, np.uint8)
    return [bytes(frame) for frame in compiled_files.read_frames(paths, expected, room)]


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_loop_delivers_no_other_frame(loop, monkeypatch, tmp_path, name):
    """Of any layout, cut anywhere or with a changed byte: the frame of the general way, or none."""
    layout = LAYOUTS[name]
    damaged = [layout[:n] for n in range(len(layout) + 1)]
    for at in {*range(min(len(layout), 40)), *range(len(layout) - 16, len(layout))}:
        for value in (0, 1, 4, 8, 0xDD, 0xFF):
            damaged.append(layout[:at] + bytes([value]) + layout[at + 1 :])
    for data in damaged:
        frames = by_loop(loop, monkeypatch, [data], tmp_path / "a")
        assert not frames or frames == [told(by_index, data, 33)]
    plain = ("no table", "a table", "more behind it", "an empty fragment")
    assert (by_loop(loop, monkeypatch, [layout], tmp_path / "a") != []) is (name in plain)


def test_the_loop_stops_at_the_first_file_that_is_not_plain(loop, monkeypatch, tmp_path):
    whole, other = LAYOUTS["no table"], LAYOUTS["two fragments"]
    for n in range(4):
        contents = [whole] * n + [other] + [whole] * 2
        assert by_loop(loop, monkeypatch, contents, tmp_path / "a") == [FRAME] * n


def test_the_loop_reads_no_more_than_there_is_room(loop, monkeypatch, tmp_path):
    monkeypatch.setattr(compiled_files, "choose_loop", lambda: (loop, ""))
    file = tmp_path / "a"
    file.write_bytes(LAYOUTS["no table"])
    state = FileState.of(file)
    expected = [state.size, state.mtime_ns, state.inode, 0] * 2
    for n_room in (0, state.size - 1, state.size, 2 * state.size - 1, 2 * state.size):
        room = np.full(n_room + 1, 0xEE, np.uint8)
        frames = compiled_files.read_frames([bytes(file)] * 2, expected, room[:-1])
        assert len(frames) == n_room // state.size
        assert room[-1] == 0xEE


def test_a_length_beyond_the_file_takes_no_memory():
    """A damaged length of 4 GiB; what would be taken for it is never n_together of the file."""

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


@pytest.mark.parametrize("way", ["loop", "no loop"])
@pytest.mark.parametrize("plain", [(), (0,), (3, 4, 9), range(0, 19, 2)], ids=str)
def test_planes_that_are_read_ahead_are_those_read_one_by_one(tmp_path, monkeypatch, plain, way):
    if way == "no loop":
        monkeypatch.setattr(compiled_files, "choose_loop", lambda: (None, ""))
    series(tmp_path, plain=plain)
    planes = scan_headers(tmp_path).planes
    together, one_by_one = read(planes), np.zeros_like(IMAGES)
    for plane, target in zip(planes, one_by_one, strict=True):
        PlaneReader().read_plane(plane, target)
    np.testing.assert_array_equal(together, IMAGES)
    np.testing.assert_array_equal(one_by_one, IMAGES)


def test_threads_read_ahead_beside_each_other(tmp_path):
    """Each has its own room; what one reads is not what another decodes."""
    series(tmp_path)
    planes = scan_headers(tmp_path).planes
    with ThreadPoolExecutor(4) as pool:
        turns = [planes[n:] + planes[:n] for n in range(19)] * 4
        for n, result in enumerate(pool.map(read, turns)):
            np.testing.assert_array_equal(result, np.roll(IMAGES, -(n % 19), axis=0))


def test_a_file_that_is_far_longer_than_its_image_is_read_by_itself(tmp_path, monkeypatch):
    """What lies behind the frame is not read along with it."""
    for path in series(tmp_path)[3:]:
        with path.open("ab") as file:
            file.write(b"\xfc\xff\xfc\xffOB\0\0\0\0\1\0" + bytes(2**16))
    n_together = []
    together = coded_planes.read_frames
    monkeypatch.setattr(
        coded_planes, "read_frames", lambda *a: n_together.append(len(a[0])) or together(*a)
    )
    np.testing.assert_array_equal(read(scan_headers(tmp_path).planes), IMAGES)
    assert n_together == [3]


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
