"""Every transfer syntax delivers what pydicom delivers, as int16."""

import threading

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydicom import dcmread, dcmwrite
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from gsigpu.dicom.reading.headers import scan_headers
from gsigpu.dicom.reading.pixels import PlaneReader
from gsigpu.errors import PixelDataError, TruncatedPixelData, UnsupportedPixelData
from tests.support.dicom_files import ct_dataset, save
from tests.support.enhanced import enhanced_ct

RNG = np.random.default_rng(1)
SHAPE = (13, 18)


def delivered(folder):
    planes = scan_headers(folder).planes
    out = np.full((len(planes), planes[0].format.rows, planes[0].format.columns), -7, np.int16)
    PlaneReader().read(planes, out)
    return planes, out


def images(dtype, bits):
    info = np.iinfo(dtype)
    low, high = (0, 2**bits) if info.min == 0 else (-(2 ** (bits - 1)), 2 ** (bits - 1))
    return RNG.integers(low, high, SHAPE).astype(dtype)


ENCODERS = {
    JPEGLosslessSV1: lambda pixels, bits: imagecodecs.ljpeg_encode(
        pixels.view(np.uint16), bitspersample=bits
    ),
    JPEGLSLossless: lambda pixels, bits: imagecodecs.jpegls_encode(pixels.view(np.uint16)),
    JPEG2000Lossless: lambda pixels, bits: imagecodecs.jpeg2k_encode(
        pixels, level=0, codecformat="j2k", bitspersample=bits, reversible=True, mct=False
    ),
    HTJ2KLossless: lambda pixels, bits: imagecodecs.htj2k_encode(pixels, reversible=True),
}


def compressed(pixels, syntax, bits, **attributes):
    unsigned = pixels.view(np.uint16) & np.uint16(2**bits - 1) if bits < 16 else pixels
    source = unsigned.view(pixels.dtype) if syntax in (JPEGLosslessSV1, JPEGLSLossless) else pixels
    ds = ct_dataset(pixels, BitsStored=bits, HighBit=bits - 1, **attributes)
    if syntax == RLELossless:
        ds.compress(RLELossless)
        return ds
    ds.PixelData = encapsulate([ENCODERS[syntax](source, bits)])
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    ds.file_meta.TransferSyntaxUID = UID(syntax)
    return ds


def stored_to_hu(plane, out):
    return out * plane.slope + plane.intercept


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("dtype", [np.int16, np.uint16])
@pytest.mark.parametrize("syntax", [RLELossless, *ENCODERS])
def test_compressed_values_are_the_encoded_ones(tmp_path, syntax, dtype, bits):
    pixels = images(dtype, bits)
    save(compressed(pixels, syntax, bits), tmp_path / "a")
    (plane,), out = delivered(tmp_path)
    np.testing.assert_array_equal(stored_to_hu(plane, out[0]), pixels)


@pytest.mark.parametrize(
    "syntax", [RLELossless, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless, HTJ2KLossless]
)
def test_compressed_values_agree_with_pydicom(tmp_path, syntax):
    save(compressed(images(np.int16, 16), syntax, 16), tmp_path / "a")
    _, out = delivered(tmp_path)
    np.testing.assert_array_equal(out[0], pixel_array(dcmread(tmp_path / "a"), raw=True))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_uncompressed_values_agree_with_pydicom(tmp_path_factory, data):
    dtype = data.draw(st.sampled_from([np.int16, np.uint16]))
    bits = data.draw(st.integers(8, 16))
    low, high = (
        (0, 2**bits - 1) if dtype is np.uint16 else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    )
    shape = (data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9)))
    pixels = data.draw(arrays(dtype, shape, elements=st.integers(low, high)))
    folder = tmp_path_factory.mktemp("native")
    ds = ct_dataset(pixels, BitsStored=bits, HighBit=bits - 1)
    ds.file_meta.TransferSyntaxUID = data.draw(
        st.sampled_from(
            [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian]
        )
    )
    save(ds, folder / "a")
    (plane,), out = delivered(folder)
    expected = pixel_array(dcmread(folder / "a"), raw=True)
    np.testing.assert_array_equal(out[0].astype(int) + plane.format.bias, expected)
    np.testing.assert_array_equal(stored_to_hu(plane, out[0]), pixels)


@pytest.mark.parametrize("dtype", [np.int16, np.uint16])
def test_dirt_above_high_bit_does_not_count(tmp_path, dtype):
    """PS3.5 8.1.1: bits above High Bit, once used for overlays, are no part of the value."""
    pixels = images(dtype, 12)
    dirty = (
        pixels.view(np.uint16) & 0x0FFF | RNG.integers(0, 16, SHAPE).astype(np.uint16) << 12
    ).view(dtype)
    save(ct_dataset(dirty, BitsStored=12, HighBit=11), tmp_path / "a")
    _, out = delivered(tmp_path)
    np.testing.assert_array_equal(out[0], pixels)


def test_values_in_the_high_bits(tmp_path):
    """Bits Stored 12, High Bit 15: the value is the upper twelve bits."""
    pixels = images(np.int16, 12)
    save(ct_dataset(pixels << 4, BitsStored=12, HighBit=15), tmp_path / "a")
    _, out = delivered(tmp_path)
    np.testing.assert_array_equal(out[0], pixels)


@pytest.mark.parametrize(
    ("allocated", "stored", "high"), [(16, 17, 15), (16, 12, 10), (16, 12, 16), (32, 16, 15)]
)
def test_impossible_bit_layouts_are_refused(tmp_path, allocated, stored, high):
    ds = ct_dataset(images(np.int16, 12), BitsStored=stored, HighBit=high)
    ds.BitsAllocated = allocated
    save(ds, tmp_path / "slice-5")
    with pytest.raises(UnsupportedPixelData, match="slice-5"):
        delivered(tmp_path)


def test_big_endian(tmp_path):
    pixels = images(np.int16, 16)
    ds = ct_dataset(pixels)
    ds.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    ds.PixelData = pixels.astype(">i2").tobytes()
    ds["PixelData"].VR = "OW"
    dcmwrite(tmp_path / "a", ds, implicit_vr=False, little_endian=False, enforce_file_format=True)
    _, out = delivered(tmp_path)
    np.testing.assert_array_equal(out[0], pixels)


def test_one_slice_of_every_energy_into_one_buffer(tmp_path):
    """A worker owns one z and reads its planes into (E, rows, columns)."""
    volume = np.stack([images(np.int16, 16) for _ in range(3)])
    for energy, image in enumerate(volume):
        save(ct_dataset(image, series=str(energy)), tmp_path / str(energy))
    out = np.zeros((5, *SHAPE), np.int16)
    PlaneReader().read(scan_headers(tmp_path).planes, out[1:4])
    np.testing.assert_array_equal(out[1:4], volume)
    assert not out[0].any()
    assert not out[4].any()


@pytest.mark.parametrize("syntax", [None, JPEGLSLossless])
def test_a_buffer_of_another_size_is_refused(tmp_path, syntax):
    pixels = images(np.int16, 16)
    save(ct_dataset(pixels) if syntax is None else compressed(pixels, syntax, 16), tmp_path / "a")
    planes = scan_headers(tmp_path).planes
    for shape in ((14, 18), (12, 18), (18, 13)):
        with pytest.raises(PixelDataError, match="13 x 18 pixels do not fit"):
            PlaneReader().read(planes, np.zeros((1, *shape), np.int16))


def test_a_header_without_pixel_data_is_refused_when_read(tmp_path):
    save(ct_dataset(images(np.int16, 16), PixelData=None), tmp_path / "slice-9")
    with pytest.raises(TruncatedPixelData, match="slice-9: has no pixel data"):
        delivered(tmp_path)


def test_a_file_that_vanished_is_named(tmp_path):
    path = save(ct_dataset(images(np.int16, 16)), tmp_path / "slice-2")
    planes = scan_headers(tmp_path).planes
    path.unlink()
    with pytest.raises(PixelDataError, match="slice-2: cannot be read"):
        PlaneReader().read(planes, np.zeros((1, *SHAPE), np.int16))


def test_eight_bits_allocated(tmp_path):
    pixels = RNG.integers(0, 256, (6, 8)).astype(np.uint16)
    ds = ct_dataset(pixels, BitsAllocated=8, BitsStored=8, HighBit=7)
    ds.PixelData = pixels.astype(np.uint8).tobytes()
    save(ds, tmp_path / "a")
    _, out = delivered(tmp_path)
    np.testing.assert_array_equal(out[0], pixels)


@pytest.mark.parametrize("table", ["none", "basic", "split"])
def test_frames_of_a_compressed_multi_frame_file(tmp_path, table):
    volume = np.stack([images(np.int16, 16) for _ in range(5)])
    ds = enhanced_ct(volume, z_mm=range(5))
    frames = [imagecodecs.jpegls_encode(image.view(np.uint16)) for image in volume]
    ds.PixelData = encapsulate(
        frames, fragments_per_frame=3 if table == "split" else 1, has_bot=table != "none"
    )
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    ds.file_meta.TransferSyntaxUID = JPEGLSLossless
    save(ds, tmp_path / "a")
    _, out = delivered(tmp_path)
    np.testing.assert_array_equal(out, volume)


def test_extended_offset_table(tmp_path):
    volume = np.stack([images(np.int16, 16) for _ in range(3)])
    ds = enhanced_ct(volume, z_mm=range(3))
    frames = [imagecodecs.jpegls_encode(image.view(np.uint16)) for image in volume]
    ds.PixelData, ds.ExtendedOffsetTable, ds.ExtendedOffsetTableLengths = encapsulate_extended(
        frames
    )
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    ds.file_meta.TransferSyntaxUID = JPEGLSLossless
    save(ds, tmp_path / "a")
    _, out = delivered(tmp_path)
    np.testing.assert_array_equal(out, volume)


def test_fragments_that_no_table_assigns_are_refused(tmp_path):
    volume = np.stack([images(np.int16, 16) for _ in range(2)])
    ds = enhanced_ct(volume, z_mm=range(2))
    frames = [imagecodecs.jpegls_encode(image.view(np.uint16)) for image in volume]
    ds.PixelData = encapsulate(frames, fragments_per_frame=2, has_bot=False)
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    ds.file_meta.TransferSyntaxUID = JPEGLSLossless
    save(ds, tmp_path / "a")
    with pytest.raises(UnsupportedPixelData, match="4 fragments for 2 frames"):
        delivered(tmp_path)


@pytest.mark.parametrize("n_lost", [1, 100, 10_000])
@pytest.mark.parametrize("syntax", [None, RLELossless, JPEGLSLossless])
def test_truncated_files_are_refused_by_name(tmp_path, syntax, n_lost):
    pixels = images(np.int16, 16)
    ds = ct_dataset(pixels) if syntax is None else compressed(pixels, syntax, 16)
    path = save(ds, tmp_path / "slice-17")
    size = path.stat().st_size
    raw = path.read_bytes()
    header = raw.index(b"\xe0\x7f\x10\x00") + 12
    path.write_bytes(raw[: max(size - n_lost, header)])
    with pytest.raises(TruncatedPixelData, match="slice-17"):
        delivered(tmp_path)


def test_broken_codestream_is_refused_by_name(tmp_path):
    ds = compressed(images(np.int16, 16), JPEGLSLossless, 16)
    ds.PixelData = encapsulate([b"\xff\xd8\xff\xf7" + bytes(100) + b"\xff\xd9"])
    save(ds, tmp_path / "slice-3")
    with pytest.raises(PixelDataError, match=r"slice-3.*JPEG-LS Lossless.*export or transfer"):
        delivered(tmp_path)


def test_codestream_of_another_size_is_refused(tmp_path):
    ds = compressed(images(np.int16, 16), JPEGLSLossless, 16)
    ds.Rows += 1
    save(ds, tmp_path / "a")
    with pytest.raises(PixelDataError, match="13 x 18 pixels, the header says 14 x 18"):
        delivered(tmp_path)


def test_colour_is_refused(tmp_path):
    ds = ct_dataset(images(np.uint16, 16), SamplesPerPixel=3)
    save(ds, tmp_path / "a")
    with pytest.raises(UnsupportedPixelData, match="3 samples per pixel"):
        delivered(tmp_path)


def test_threads_share_a_reader(tmp_path):
    volume = np.stack([images(np.int16, 16) for _ in range(12)])
    for z, image in enumerate(volume):
        save(ct_dataset(image, instance_number=z), tmp_path / f"{z:02}")
    planes = scan_headers(tmp_path).planes
    reader, out = PlaneReader(), np.empty(volume.shape, np.int16)
    threads = [
        threading.Thread(target=reader.read, args=(planes[first::3], out[first::3]))
        for first in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(out, volume)
