"""Decoders against encoders and decoders nobody here wrote; damaged frames are never passed on."""

import subprocess
from importlib.machinery import PathFinder

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydicom import dcmread
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID, RLELossless

from gsigpu.dicom.model import PixelFormat
from gsigpu.dicom.reading import codecs, coded_length
from gsigpu.dicom.reading import transfer_syntaxes as syntaxes
from gsigpu.dicom.reading.headers import scan_headers
from gsigpu.dicom.reading.pixels import PlaneReader
from gsigpu.errors import PixelDataError, TruncatedPixelData, UnsupportedPixelData
from tests.support.dicom_files import ct_dataset, save

SHAPE = (17, 24)
SMOOTH = np.cumsum(np.random.default_rng(3).integers(-5, 6, SHAPE), axis=1).astype(np.int16)


def rle(image):
    ds = ct_dataset(image)
    ds.compress(RLELossless)
    return next(generate_frames(ds.PixelData, number_of_frames=1))


def jpeg_2000(image, **options):
    return imagecodecs.jpeg2k_encode(image, codecformat="j2k", mct=False, **options)


LOSSLESS = {
    syntaxes.RLE_LOSSLESS: rle,
    syntaxes.JPEG_LOSSLESS: lambda image: imagecodecs.ljpeg_encode(
        image.view(np.uint16), bitspersample=16
    ),
    syntaxes.JPEG_LS_LOSSLESS: lambda image: imagecodecs.jpegls_encode(image.view(np.uint16)),
    syntaxes.JPEG_2000_LOSSLESS: lambda image: jpeg_2000(image, level=0, reversible=True),
    syntaxes.HTJ2K_LOSSLESS: lambda image: imagecodecs.htj2k_encode(image, reversible=True),
}
LOSSY = {
    syntaxes.JPEG_LS_NEAR_LOSSLESS: lambda image: imagecodecs.jpegls_encode(
        image.view(np.uint16), level=3
    ),
    syntaxes.JPEG_2000: lambda image: jpeg_2000(image, level=40, reversible=False),
    syntaxes.HTJ2K: lambda image: imagecodecs.htj2k_encode(image, level=0.001, reversible=False),
}


def decoded(uid, frame, shape=SHAPE):
    image = PixelFormat(uid, *shape, bits_allocated=16, bits_stored=16, high_bit=15, signed=True)
    out = np.full(shape, -7, np.int16)
    return codecs.decode_frame(frame, image, out), out


def file_of(frame, uid, path, image=SMOOTH):
    ds = ct_dataset(image)
    ds.PixelData = encapsulate([frame])
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    ds.file_meta.TransferSyntaxUID = uid
    return save(ds, path)


def read(folder):
    planes = scan_headers(folder).planes
    out = np.full((len(planes), *SHAPE), -7, np.int16)
    PlaneReader().read(planes, out)
    return out


@settings(max_examples=25, deadline=None)
@given(st.data())
@pytest.mark.parametrize("uid", LOSSLESS)
def test_any_image_comes_back_in_the_buffer(uid, data):
    sides = st.integers(12, 24)  # liblj92 refuses streams of a few bytes
    image = data.draw(arrays(np.int16, st.tuples(sides, sides)))
    values, out = decoded(uid, LOSSLESS[uid](image), image.shape)
    assert values is out
    np.testing.assert_array_equal(out, image)


@pytest.mark.parametrize("uid", LOSSY)
def test_lossy_frames_agree_with_pydicom(tmp_path, uid):
    path = file_of(LOSSY[uid](SMOOTH), uid, tmp_path / "a")
    theirs = pixel_array(dcmread(path), raw=True)
    np.testing.assert_array_equal(read(tmp_path)[0], theirs)
    assert 0 < np.abs(theirs.astype(int) - SMOOTH).max() < 40


@pytest.mark.tools
@pytest.mark.parametrize(
    "command",
    [
        "dcmcjpeg +e1",
        *(f"dcmcjpeg +el +sv {predictor}" for predictor in range(1, 8)),
        "dcmcjpeg +el +sv 4 +pt 2",
        "dcmcjpeg +e1 +pt 1",
        "dcmcjpls",
        "dcmcjpls +fs 1",
        "dcmcrle",
    ],
)
def test_files_that_dcmtk_compressed(tmp_path, command):
    """Equal to what dcmtk itself decodes, and to pydicom's decoders; exact unless told to be lossy."""
    plain, packed, unpacked = (tmp_path / name for name in ("plain", "in/packed", "unpacked"))
    packed.parent.mkdir()
    save(ct_dataset(SMOOTH), plain)
    words = command.split()
    subprocess.run([*words, plain, packed], check=True, capture_output=True)
    out = read(packed.parent)[0]
    np.testing.assert_array_equal(out, pixel_array(dcmread(packed), raw=True))
    unpack = {"dcmcjpeg": "dcmdjpeg", "dcmcjpls": "dcmdjpls", "dcmcrle": "dcmdrle"}[words[0]]
    subprocess.run([unpack, packed, unpacked], check=True, capture_output=True)
    np.testing.assert_array_equal(out, dcmread(unpacked).pixel_array)
    if "+pt" not in words:
        np.testing.assert_array_equal(out, SMOOTH)


@pytest.mark.parametrize("uid", [*LOSSLESS, *LOSSY])
@pytest.mark.parametrize("kept", [0.98, 0.7, 0.2, 0.01])
def test_frames_cut_off_inside_a_whole_file_are_refused(tmp_path, uid, kept):
    frame = (LOSSLESS | LOSSY)[uid](SMOOTH)
    file_of(frame[: int(len(frame) * kept)], uid, tmp_path / "slice-4")
    with pytest.raises(PixelDataError, match="slice-4"):
        read(tmp_path)


@pytest.mark.parametrize("n_lost", [3, 20, 200])
@pytest.mark.parametrize("uid", [uid for uid in LOSSLESS if uid != syntaxes.RLE_LOSSLESS])
def test_bytes_lost_inside_a_frame_are_missed(tmp_path, uid, n_lost):
    """The end marker is there, and pydicom's decoders of JPEG Lossless fill up what is not."""
    frame = bytearray(LOSSLESS[uid](SMOOTH))
    del frame[len(frame) // 2 : len(frame) // 2 + n_lost]
    file_of(bytes(frame[:-2]) + b"\xff\xd9", uid, tmp_path / "slice-4")
    with pytest.raises(PixelDataError, match="slice-4"):
        read(tmp_path)


@settings(max_examples=40, deadline=None)
@given(st.data())
@pytest.mark.parametrize("predictor", range(1, 8))
def test_the_length_of_any_image_is_that_of_its_code(predictor, data):
    """dcmtk's predictors, and images of any noise: see the formula of T.81 H.1.2."""
    image = data.draw(arrays(np.uint16, st.tuples(st.integers(2, 70), st.integers(2, 19))))
    wide = image.astype(np.int64)
    left, above, corner = wide[1:, :-1], wide[:-1, 1:], wide[:-1, :-1]
    expected = {
        1: left, 2: above, 3: corner, 4: left + above - corner, 5: left + ((above - corner) >> 1),
        6: above + ((left - corner) >> 1), 7: (left + above) >> 1,
    }[predictor]  # fmt: skip
    differences = np.concatenate(
        [
            (wide[1:, 1:] - expected).ravel(),
            wide[0, 1:] - wide[0, :-1],
            wide[1:, 0] - wide[:-1, 0],
            [wide[0, 0] - 0x8000],
        ]
    )
    signed = (differences + 0x8000) % 0x10000 - 0x8000
    lengths = np.random.default_rng(17).permutation(256)[:17].astype(np.uint8)
    n_bits = coded_length._bits_of(lengths, predictor, 16, image)
    assert n_bits == sum(int(lengths[abs(int(value)).bit_length()]) for value in signed)


def test_a_damaged_high_throughput_frame_is_refused(tmp_path):
    frame = bytearray(LOSSLESS[syntaxes.HTJ2K_LOSSLESS](SMOOTH))
    del frame[len(frame) // 2 : -2]  # the end marker stays
    file_of(bytes(frame), syntaxes.HTJ2K_LOSSLESS, tmp_path / "slice-4")
    with pytest.raises(PixelDataError, match=r"slice-4: .*(cannot be decoded|are cut off)"):
        read(tmp_path)


@pytest.mark.parametrize("uid", LOSSLESS)
@pytest.mark.parametrize("shape", [(16, 24), (18, 24), (24, 17)])
def test_frames_of_another_size_than_the_header_says_are_refused(tmp_path, uid, shape):
    other = np.resize(SMOOTH, shape)
    file_of(LOSSLESS[uid](other), uid, tmp_path / "slice-8")
    if uid == syntaxes.RLE_LOSSLESS and other.size == SMOOTH.size:
        np.testing.assert_array_equal(read(tmp_path)[0].ravel(), other.ravel())  # has no size
    else:
        with pytest.raises(PixelDataError, match="slice-8"):
            read(tmp_path)


@pytest.mark.parametrize("n_padding", [1, 2, 9])
@pytest.mark.parametrize("uid", LOSSLESS)
def test_padding_behind_a_frame_does_no_harm(uid, n_padding):
    _, out = decoded(uid, LOSSLESS[uid](SMOOTH) + bytes(n_padding))
    np.testing.assert_array_equal(out, SMOOTH)


@pytest.mark.parametrize(
    "padding", [b"\xff", b"\xff\0", b"\xff\xff\xff", b"\0\xff", b"made by", bytes(70)]
)
@pytest.mark.parametrize("uid", [*LOSSLESS, *LOSSY])
def test_whatever_pads_a_frame_is_read_as_pydicom_reads_it(tmp_path, uid, padding):
    """NEMA's compressed CT reference images end FF D9 FF."""
    if uid == syntaxes.RLE_LOSSLESS:
        pytest.skip("has no end marker; padding is zeros")
    path = file_of((LOSSLESS | LOSSY)[uid](SMOOTH) + padding, uid, tmp_path / "a")
    np.testing.assert_array_equal(read(tmp_path)[0], pixel_array(dcmread(path), raw=True))


@pytest.mark.parametrize("uid", LOSSLESS)
def test_an_end_marker_in_a_comment_is_no_end(tmp_path, uid):
    if uid == syntaxes.RLE_LOSSLESS:
        pytest.skip("has no comments")
    frame = LOSSLESS[uid](SMOOTH)
    comment = b"\xff\xd9 is an end marker"
    if uid in (syntaxes.JPEG_LOSSLESS, syntaxes.JPEG_LS_LOSSLESS):
        head, code = frame[:2], b"\xff\xfe"
    else:  # SIZ must follow the start
        length = 4 + int.from_bytes(frame[4:6], "big")
        head, code, comment = frame[:length], b"\xff\x64", b"\0\1" + comment
    segment = code + (len(comment) + 2).to_bytes(2, "big") + comment
    whole = head + segment + frame[len(head) :]
    file_of(whole, uid, tmp_path / "in" / "a")
    np.testing.assert_array_equal(read(tmp_path / "in")[0], SMOOTH)
    file_of(whole[: -len(frame) // 4], uid, tmp_path / "in" / "a")
    with pytest.raises(PixelDataError):
        read(tmp_path / "in")


def test_frames_of_eight_bits_in_a_header_of_sixteen(tmp_path):
    image = np.random.default_rng(1).integers(0, 256, SHAPE).astype(np.uint8)
    frame = imagecodecs.jpegls_encode(image)
    file_of(frame, syntaxes.JPEG_LS_LOSSLESS, tmp_path / "a")
    np.testing.assert_array_equal(read(tmp_path)[0], image)


def test_restart_markers_are_left_to_another_decoder():
    frame = LOSSLESS[syntaxes.JPEG_LOSSLESS](SMOOTH)
    restart = b"\xff\xdd\x00\x04\x00\x18"
    with pytest.raises(UnsupportedPixelData, match="restart"):
        decoded(syntaxes.JPEG_LOSSLESS, frame[:2] + restart + frame[2:])


def test_a_missing_codec_is_left_to_another_decoder(monkeypatch):
    def missing(*args, **options):
        raise ImportError("could not import name 'jpegls_decode'")

    frame = LOSSLESS[syntaxes.JPEG_LS_LOSSLESS](SMOOTH)
    monkeypatch.setattr(imagecodecs, "jpegls_decode", missing)
    with pytest.raises(UnsupportedPixelData, match="jpegls_decode"):
        decoded(syntaxes.JPEG_LS_LOSSLESS, frame)


def test_a_missing_end_marker_is_told_as_such():
    frame = LOSSLESS[syntaxes.JPEG_LOSSLESS](SMOOTH)
    with pytest.raises(TruncatedPixelData, match="end marker"):
        decoded(syntaxes.JPEG_LOSSLESS, frame[:-2])


def test_every_codec_listed_is_there():
    known = syntaxes.COMPRESSED_SYNTAXES
    assert {UID(uid).name: True for uid in known} == {
        syntax.name: getattr(imagecodecs, syntax.codec).available for syntax in known.values()
    }
    told = syntaxes.available_codecs()
    assert set(told.values()) == {f"imagecodecs {imagecodecs.__version__}"}
    assert set(LOSSLESS) | set(LOSSY) <= set(codecs.CODECS) == set(known)


def test_a_codec_without_its_compiled_module_is_not_told_as_there(monkeypatch):
    """As imagecodecs is when it was built without a library."""
    find_spec = PathFinder.find_spec
    monkeypatch.setattr(
        syntaxes.PathFinder,
        "find_spec",
        lambda name, path: None if name == "_jpegls" else find_spec(name, path),
    )
    told = syntaxes.available_codecs()
    assert told["JPEG-LS Lossless Image Compression"] == "pydicom's plugins, if any"
    assert told["RLE Lossless"].startswith("imagecodecs")


@pytest.mark.parametrize("uid", LOSSLESS)
def test_a_frame_in_the_memory_of_others_is_read_as_one_of_its_own(uid):
    """Whole, cut anywhere near an end, or with a changed byte: the same values, or the same words of the same error."""

    def told(frame):
        try:
            return decoded(uid, frame)[0].tolist()
        except Exception as error:  # noqa: BLE001  imagecodecs has a type per codec
            return type(error), str(error)

    frame = LOSSLESS[uid](SMOOTH)
    rng = np.random.default_rng(8)
    frames = [frame, *(frame[:n] for n in (0, 1, 3, 20, 60, len(frame) - 1, len(frame) - 2))]
    for at in rng.integers(0, min(90, len(frame)), 60):
        frames.append(frame[:at] + bytes([rng.integers(256)]) + frame[at + 1 :])
    for data in frames:
        room = memoryview(bytearray(b"\x77" * 5 + data + b"\x77" * 9))
        assert told(room[5 : 5 + len(data)]) == told(data)
