"""Damaged slices are told as such, and no file can stop, fill or kill the program that looks at it."""

import resource
import struct
import time
import tracemalloc

import imagecodecs
import numpy as np
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import (
    BasicTextSRStorage,
    DeflatedExplicitVRLittleEndian,
    JPEGLosslessSV1,
    RLELossless,
)

from gsigpu.dicom.reading import bounded_file, isolated
from gsigpu.dicom.reading.headers import scan_headers
from gsigpu.dicom.reading.pixels import PlaneReader
from gsigpu.dicom.reading.siblings import name_pattern
from gsigpu.dicom.writing.identity import identity_of
from gsigpu.errors import MaskError, PixelDataError
from gsigpu.masks.read_masks import masks_in
from tests.support.dicom_files import ct_dataset, save
from tests.support.enhanced import enhanced_ct

PIXELS = np.arange(64 * 64, dtype=np.int16).reshape(64, 64)
SHAPE = PIXELS.shape
NAMES = {
    "numbers": "IM-0001-{:04d}.dcm",
    "no suffix": "IMG{:05d}",
    "UIDs": "1.2.840.113619.2.{:d}",
    "hashes": "{:08X}",
    "GUIDs": "0a1b2c3d-1234-5678-9abc-{:012x}.dcm",
}


def study(folder, pattern="IM{:04d}.dcm", n=6):
    return [
        save(
            ct_dataset(PIXELS, position_mm=(0, 0, z), instance_number=z + 1),
            folder / pattern.format(0xABC0 + z),
        )
        for z in range(n)
    ]


def zero_filled(path):
    path.write_bytes(bytes(path.stat().st_size))


def cut(n_bytes):
    def change(path):
        path.write_bytes(path.read_bytes()[:n_bytes])

    return change


CHANGES = {"zeros": zero_filled} | {
    f"cut to {n}": cut(n) for n in (1, 8, 100, 131, 132, 140, 200, 339)
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("change", CHANGES)
def test_the_last_slice_damaged_is_told(tmp_path, name, change):
    *_, last = study(tmp_path, NAMES[name])
    CHANGES[change](last)
    scan = scan_headers(tmp_path)
    assert len(scan.planes) == 5
    (skipped,) = scan.skipped
    assert (skipped.path, skipped.damaged) == (last, True)


def test_a_zero_filled_slice_is_known_by_its_size_too(tmp_path):
    *_, last = study(tmp_path)
    zero_filled(last)
    last.rename(tmp_path / "recovered")
    (skipped,) = scan_headers(tmp_path).skipped
    assert skipped.reason == "holds no DICOM header but has the size of the images beside it"
    assert skipped.damaged


def test_meta_information_that_says_ct_is_enough(tmp_path):
    """Whatever the file is called: its header is zeros behind group 2."""
    path = save(ct_dataset(PIXELS), tmp_path / "a")
    data = path.read_bytes()
    end = 144 + struct.unpack_from("<L", data, 140)[0]
    path.write_bytes(data[:end] + bytes(len(data) - end))
    (skipped,) = scan_headers(tmp_path).skipped
    assert skipped.damaged


def test_strangers_among_the_images_are_not_damaged(tmp_path):
    study(tmp_path)
    for name in ("README.md", "notes.txt", "IM0001.json", "viewer.exe", "DICOMDIR", "index"):
        (tmp_path / name).write_bytes(b"something else " * 40)
    report = ct_dataset(PIXELS, SOPClassUID=BasicTextSRStorage)
    report.file_meta.MediaStorageSOPClassUID = BasicTextSRStorage
    data = save(report, tmp_path / "report").read_bytes()
    (tmp_path / "report").write_bytes(data[: 200 + len(data) // 50])
    scan = scan_headers(tmp_path)
    assert len(scan.skipped) == 7
    assert not any(skipped.damaged for skipped in scan.skipped)


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("IM1.dcm", "IM22.dcm", True),
        ("1.2.3.dcm", "1.2.44.dcm", True),
        ("1.2.3", "1.2.3.4", False),
        ("IM1.dcm", "IM1.json", False),
        ("IM1", "notes", False),
    ],
)
def test_names_of_one_pattern(first, second, same):
    assert (name_pattern(first) == name_pattern(second)) is same


def sparse(path, size, start=b""):
    with path.open("wb") as file:
        file.write(start)
        file.truncate(size)


def head(tag, vr, length):
    return struct.pack("<HH2s2xL", tag >> 16, tag & 0xFFFF, vr, length)


UNBOUNDED = {
    "zeros": b"",
    "zeros behind a preamble": bytes(128) + b"DICM",
    "zeros behind a first element": b"\x08\0\5\0CS\2\0AB",
    "zeros in a sequence": head(0x00081140, b"SQ", 0xFFFFFFFF),
    "zeros behind meta information": bytes(128) + b"DICM\2\0\x10\0UI\x14\x001.2.840.10008.1.2.1\0",
    "one endless element": head(0x00091010, b"OB", 0xFFFFFFF0)[:4] + b"OB\0\0\xf0\xff\xff\xff",
    "a long element": b"\x08\0\5\0CS\2\0AB" + head(0x00091010, b"OB", 1_400_000_000),
}


@pytest.mark.parametrize("start", UNBOUNDED)
def test_a_huge_stray_file_costs_little(tmp_path, start):
    """1.5 GB, sparse: no such file may take the time, or the memory, of its size."""
    study(tmp_path, n=2)
    sparse(tmp_path / "stray", 1_500_000_000, UNBOUNDED[start])
    before = time.monotonic()
    tracemalloc.start()
    scan = scan_headers(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert time.monotonic() - before < 5.0
    assert peak < 2 * bounded_file.MOST_HEADER_BYTES
    assert len(scan.planes) == 2
    assert [skipped.path.name for skipped in scan.skipped] == ["stray"]


@pytest.mark.parametrize("start", [start for start in UNBOUNDED.values() if b"DICM" in start])
def test_nor_does_it_where_masks_identities_and_studies_are_looked_for(tmp_path, start):
    sparse(tmp_path / "stray", 1_500_000_000, start)
    before = time.monotonic()
    assert identity_of([tmp_path / "stray"]) == []
    with pytest.raises(MaskError, match="holds no mask file"):
        masks_in(tmp_path)
    with pytest.raises(bounded_file.NoHeader):
        bounded_file.read_header(tmp_path / "stray")
    assert time.monotonic() - before < 5.0


def test_noise_costs_little(tmp_path):
    noise = np.random.default_rng(0).bytes(30_000_000)
    for name, start in UNBOUNDED.items():
        (tmp_path / name).write_bytes(start + noise)
    before = time.monotonic()
    assert scan_headers(tmp_path).planes == ()
    assert time.monotonic() - before < 10.0


def test_a_deflated_file_that_inflates_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(bounded_file, "MOST_INFLATED_BYTES", 1_000_000)
    ds = ct_dataset(np.zeros((1024, 1024), np.int16))
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    path = save(ds, tmp_path / "a")
    assert path.stat().st_size < 10_000
    (skipped,) = scan_headers(tmp_path).skipped
    assert skipped.reason == "it inflates to more than 1,000,000 bytes"


def test_links_that_lead_in_circles(tmp_path):
    study(tmp_path, n=2)
    (tmp_path / "self").symlink_to("self")
    (tmp_path / "there").symlink_to("back")
    (tmp_path / "back").symlink_to("there")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "up").symlink_to("..")
    scan = scan_headers(tmp_path)
    assert len(scan.planes) == 2
    assert {skipped.path.name: skipped.damaged for skipped in scan.skipped} == {
        "self": True, "there": True, "back": True,
    }  # fmt: skip


def jpeg_lossless():
    return bytes(imagecodecs.ljpeg_encode(PIXELS.view(np.uint16), bitspersample=16))


def file_of(frame, path, syntax=JPEGLosslessSV1):
    ds = ct_dataset(PIXELS)
    ds.PixelData = encapsulate([frame])
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    ds.file_meta.TransferSyntaxUID = syntax
    return save(ds, path)


def read(folder):
    planes = scan_headers(folder).planes
    out = np.zeros((len(planes), *SHAPE), np.int16)
    PlaneReader().read(planes, out)
    return out[0]


def test_every_byte_of_a_jpeg_lossless_header_damaged(tmp_path):
    """liblj92 dies of some of these."""
    frame = jpeg_lossless()
    n_header = frame.index(b"\xff\xda") + 12
    path = file_of(frame, tmp_path / "a")
    data = bytearray(path.read_bytes())
    start = bytes(data).index(frame)
    (plane,) = scan_headers(tmp_path).planes
    n_refused = 0
    for i in range(n_header):
        for value in (0x00, 0x7F, 0xFF, data[start + i] ^ 1):
            damaged = data.copy()
            damaged[start + i] = value
            path.write_bytes(damaged)
            (plane,) = scan_headers(tmp_path).planes
            try:
                PlaneReader().read_plane(plane, np.zeros(SHAPE, np.int16))
            except PixelDataError:
                n_refused += 1
    assert n_refused > n_header


def test_a_header_that_claims_a_huge_image_is_not_believed(tmp_path):
    frame = jpeg_lossless()
    at = frame.index(b"\xff\xc3") + 5
    file_of(frame[:at] + b"\xff\xff\xff\xff" + frame[at + 4 :], tmp_path / "slice-9")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(PixelDataError, match=r"slice-9: .*decodes to 65535 x 65535"):
        read(tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


def test_a_decoder_that_dies_takes_one_frame_with_it(tmp_path, monkeypatch):
    """The child is a program that ends at once, as one does that a frame has killed."""
    frame = jpeg_lossless()
    restart = frame[:2] + b"\xff\xdd\x00\x04\x00\x40" + frame[2:]  # left to pydicom's plugins
    file_of(restart, tmp_path / "slice-9")
    start = isolated._start
    monkeypatch.setattr(isolated.sys, "executable", "/bin/false")
    isolated._child().close()
    with pytest.raises(PixelDataError, match=r"slice-9: .* of frame 1 crash their decoder"):
        read(tmp_path)
    monkeypatch.undo()
    assert isolated._start is start
    assert read(tmp_path).shape == SHAPE  # by a decoder that lives


def test_a_decoder_that_does_not_end_is_ended(tmp_path, monkeypatch):
    file_of(jpeg_lossless()[:2] + b"\xff\xdd\x00\x04\x00\x40" + jpeg_lossless()[2:], tmp_path / "a")
    monkeypatch.setattr(isolated, "_TIMEOUT_S", 0.01)
    isolated._child().close()
    with pytest.raises(PixelDataError, match=r"crash their decoder \(0.01 s\)"):
        read(tmp_path)
    isolated._child().close()


def test_deflated_data_that_are_none(tmp_path):
    ds = ct_dataset(PIXELS)
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    path = save(ds, tmp_path / "a")
    data = bytearray(path.read_bytes())
    data[500:520] = bytes(20)
    path.write_bytes(data)
    (skipped,) = scan_headers(tmp_path).skipped
    assert skipped.damaged


def test_a_number_of_frames_with_something_beside_it(tmp_path):
    """pydicom reads `2` and a no-break space as 2: so many frames there are (found by the fuzz)."""
    volume = np.stack([PIXELS, PIXELS + 1])
    ds = enhanced_ct(volume, z_mm=range(2))
    ds.compress(RLELossless, generate_instance_uid=False)
    path = save(ds, tmp_path / "a")
    data = path.read_bytes()
    element = b"\x28\0\x08\0IS\x02\0"
    path.write_bytes(data.replace(element + b"2 ", element + b"2\xa0"))
    planes = scan_headers(tmp_path).planes
    out = np.zeros((2, *SHAPE), np.int16)
    PlaneReader().read(planes, out)
    np.testing.assert_array_equal(out, volume)


@pytest.mark.parametrize("text", ["x", "1_0", "1.5"])
def test_numbers_that_are_none(tmp_path, text):
    path = save(ct_dataset(PIXELS, NumberOfFrames="1"), tmp_path / "a")
    element = b"\x28\0\x08\0IS"
    data = path.read_bytes()
    value = text.encode() + b" " * (len(text) % 2)
    changed = data.replace(
        element + b"\x02\x001 ", element + len(value).to_bytes(2, "little") + value
    )
    assert changed != data
    path.write_bytes(changed)
    (skipped,) = scan_headers(tmp_path).skipped
    assert skipped.damaged
    assert "Number of Frames is no number" in skipped.reason
