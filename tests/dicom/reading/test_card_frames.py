"""Frames decoded on a card by nvImageCodec: on a stand-in with its interface, and held to the CPU's values."""

import re
import sys
from concurrent.futures import ThreadPoolExecutor

import imagecodecs
import numpy as np
import pytest

from gsigpu.backends import device
from gsigpu.dicom.model import PixelFormat
from gsigpu.dicom.reading import card_frames, codecs
from gsigpu.dicom.reading import transfer_syntaxes as syntaxes
from gsigpu.errors import PixelDataError, SettingsError, TruncatedPixelData
from tests.support import nvimgcodec_stand_in

SHAPE = (17, 24)
RNG = np.random.default_rng(5)


def jpeg_2000(image, bits, **options):
    return imagecodecs.jpeg2k_encode(
        image, level=0, codecformat="j2k", bitspersample=bits, reversible=True, mct=False, **options
    )


def values(low, high, dtype):
    image = RNG.integers(low, high, SHAPE).astype(dtype)
    image[0, :2] = low, high - 1
    return image


# Name: transfer syntax, image, frame, bits stored, signed.
FRAMES = {
    "JPEG 2000, 16 bits with sign": (syntaxes.JPEG_2000_LOSSLESS, image := values(-32768, 32768, np.int16), jpeg_2000(image, 16), 16, True),
    "JPEG 2000, 12 bits with sign": (syntaxes.JPEG_2000_LOSSLESS, image := values(-2048, 2048, np.int16), jpeg_2000(image, 12), 12, True),
    "JPEG 2000, 12 bits": (syntaxes.JPEG_2000_LOSSLESS, image := values(0, 4096, np.uint16), jpeg_2000(image, 12), 12, False),
    "JPEG 2000, 8 bits": (syntaxes.JPEG_2000_LOSSLESS, image := values(0, 256, np.uint8), jpeg_2000(image, 8), 8, False),
    "HTJ2K, 16 bits with sign": (syntaxes.HTJ2K_LOSSLESS, image := values(-1024, 3000, np.int16), imagecodecs.htj2k_encode(image, reversible=True), 16, True),
    "HTJ2K RPCL, 16 bits": (syntaxes.HTJ2K_LOSSLESS_RPCL, image := values(0, 65536, np.uint16), imagecodecs.htj2k_encode(image, reversible=True), 16, False),
    "JPEG Lossless, 12 bits": (syntaxes.JPEG_LOSSLESS_SV1, image := values(0, 4096, np.uint16), imagecodecs.ljpeg_encode(image, bitspersample=12), 12, False),
    "JPEG Lossless, 16 bits": (syntaxes.JPEG_LOSSLESS, image := values(0, 65536, np.uint16), imagecodecs.ljpeg_encode(image, bitspersample=16), 16, False),
}  # fmt: skip


def decode(name, frame=None, syntax=None):
    uid, _, encoded, bits, is_signed = FRAMES[name]
    image = PixelFormat(
        syntax or uid,
        *SHAPE,
        bits_allocated=8 if bits <= 8 else 16,
        bits_stored=bits,
        high_bit=bits - 1,
        signed=is_signed,
    )
    out = np.full(SHAPE, -7, np.int16)
    return codecs.decode_frame(encoded if frame is None else frame, image, out), out


@pytest.mark.parametrize("name", FRAMES)
def test_values_are_those_that_were_encoded_and_those_of_the_cpu(monkeypatch, name):
    on_cpu, _ = decode(name)
    decoders = []
    nvimgcodec_stand_in.install(monkeypatch, decoders=decoders)
    on_card, out = decode(name)
    image = FRAMES[name][1]
    assert on_card.dtype == image.dtype
    np.testing.assert_array_equal(on_card, image)
    np.testing.assert_array_equal(
        on_card, on_cpu.view(on_card.dtype)
    )  # the CPU's may have another sign
    if image.itemsize == 2:
        assert np.shares_memory(on_card, out)
    assert [decoder.n_decoded for decoder in decoders] == [1]
    assert {backend.backend_kind.name for backend in decoders[0].backends} == {
        "GPU_ONLY", "HW_GPU_ONLY", "HYBRID_CPU_GPU",
    }  # fmt: skip
    assert card_frames.notes() == []


TOLD = {
    "none": "nvImageCodec cannot decode it",
    "raises": "nvImageCodec failed (RuntimeError: CUDA Runtime failure: '#2')",
    "scaled to 16 bits": "nvImageCodec gave values beyond 12 bits",
    "sign is lost": "nvImageCodec's result is 17 x 24 x 1 uint16 of 12 bits, the frame's own header says 17 x 24 x 1 int16 of 12 bits",
    "another precision": "nvImageCodec's result is 17 x 24 x 1 int16 of 16 bits, the frame's own header says 17 x 24 x 1 int16 of 12 bits",
    "8 bits": "nvImageCodec's result is 17 x 24 x 1 uint8 of 12 bits",
    "transposed": "nvImageCodec's result is 24 x 17 x 1 int16",
    "three channels": "nvImageCodec's result is 17 x 24 x 3 int16",
    "float": "nvImageCodec's result is 17 x 24 x 1 float32",
    "no decoder": "nvImageCodec gives no decoder (RuntimeError: CUDA Runtime failure: '#35')",
}


@pytest.mark.parametrize("fault", TOLD)
def test_what_is_not_as_the_header_says_is_decoded_on_the_cpu_and_told(monkeypatch, fault):
    assert set(TOLD) == {*nvimgcodec_stand_in.FAULTS, "no decoder"}
    nvimgcodec_stand_in.install(monkeypatch, fault=fault)
    name = "JPEG 2000, 12 bits with sign"
    for _ in range(2):
        decoded, _ = decode(name)
        np.testing.assert_array_equal(decoded, FRAMES[name][1])
    (note,) = card_frames.notes()
    assert note.startswith("GSIGPU_DECODER=gpu: 2 frames were decoded on the CPU: ")
    assert TOLD[fault] in note
    assert card_frames.notes() == []


def test_without_a_card_or_the_package_the_cpu_decodes_and_the_reason_is_told(monkeypatch):
    name = "JPEG Lossless, 12 bits"
    nvimgcodec_stand_in.install(monkeypatch)
    monkeypatch.setattr(device, "why_no_gpu", lambda: "this machine has no NVIDIA driver")
    np.testing.assert_array_equal(decode(name)[0], FRAMES[name][1])
    assert card_frames.notes() == [
        "GSIGPU_DECODER=gpu: 1 frame was decoded on the CPU: no usable GPU: this machine has no NVIDIA driver"
    ]
    nvimgcodec_stand_in.install(monkeypatch)
    monkeypatch.setitem(sys.modules, "nvidia", None)
    np.testing.assert_array_equal(decode(name)[0], FRAMES[name][1])
    (note,) = card_frames.notes()
    assert "nvImageCodec cannot be imported (" in note
    assert "pip install 'gsigpu[nvimgcodec]'" in note


def test_damage_that_the_cpu_tells_is_told_on_a_card_too(monkeypatch):
    """Cut off: before the card sees it. JPEG Lossless with bytes that are not the image's: after."""
    decoders = []
    nvimgcodec_stand_in.install(monkeypatch, decoders=decoders)
    for name in ("JPEG 2000, 12 bits", "JPEG Lossless, 12 bits"):
        with pytest.raises(TruncatedPixelData):
            decode(name, FRAMES[name][2][:-9])
    assert decoders == []
    _, image, _, _, _ = FRAMES["JPEG Lossless, 12 bits"]
    other = imagecodecs.ljpeg_encode(image[:-1], bitspersample=12)
    with pytest.raises(PixelDataError):
        decode("JPEG Lossless, 12 bits", other)


def test_lossy_frames_and_other_codecs_never_go_there(monkeypatch):
    nvimgcodec_stand_in.install(monkeypatch, decoders=(decoders := []))
    decode("JPEG 2000, 12 bits", syntax=syntaxes.JPEG_2000)
    decode("HTJ2K, 16 bits with sign", syntax=syntaxes.HTJ2K)
    assert decoders == []


def test_it_is_off_unless_asked_for_and_wrong_words_are_an_error(monkeypatch):
    nvimgcodec_stand_in.install(monkeypatch, decoders=(decoders := []))
    for word in ("", "cpu"):
        monkeypatch.setenv(card_frames.VARIABLE, word)
        decode("JPEG 2000, 12 bits")
    assert decoders == []
    monkeypatch.setenv(card_frames.VARIABLE, "card")
    with pytest.raises(
        SettingsError, match="GSIGPU_DECODER=card is no decoder; set it to cpu or gpu"
    ):
        decode("JPEG 2000, 12 bits")


def test_each_thread_has_a_decoder_of_its_own(monkeypatch):
    nvimgcodec_stand_in.install(monkeypatch, decoders=(decoders := []))
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(decode, ["JPEG 2000, 12 bits"] * 30))
    assert 1 <= len(decoders) <= 3
    assert sum(decoder.n_decoded for decoder in decoders) == 30
    assert card_frames.notes() == []


def test_the_stand_in_has_the_interface_of_the_real_package(monkeypatch):
    """nvImageCodec reads headers without a card; what it tells of each frame, and the names that are used."""
    monkeypatch.setenv("PYNVIMGCODEC_VERBOSITY", "0")
    real = pytest.importorskip("nvidia.nvimgcodec", reason="pip install 'gsigpu[nvimgcodec]'")
    stand_in = nvimgcodec_stand_in.module()
    for _, _, encoded, _, _ in FRAMES.values():
        streams = [library.CodeStream(encoded) for library in (real, stand_in)]
        told = [
            (stream.codec_name, stream.height, stream.width, stream.num_channels, stream.precision, np.dtype(stream.dtype))
            for stream in streams
        ]  # fmt: skip
        assert told[0] == told[1]
    for library in (real, stand_in):
        with pytest.raises(RuntimeError, match="Failed to get image info"):
            library.CodeStream(b"junk" * 10).height  # noqa: B018
    for name, keywords in {
        "DecodeParams": ("apply_exif_orientation", "color_spec", "allow_any_depth"),
        "Decoder": ("max_num_cpu_threads", "backends"),
    }.items():
        signature = getattr(real, name).__init__.__doc__
        assert all(re.search(rf"\b{keyword}: ", signature) for keyword in keywords)
    assert {"HW_GPU_ONLY", "GPU_ONLY", "HYBRID_CPU_GPU"} <= set(dir(real.BackendKind))
    assert "UNCHANGED" in dir(real.ColorSpec)
    assert {"cpu", "height", "width", "num_channels", "precision", "dtype"} <= set(dir(real.Image))
    assert "None if the image cannot be decoded" in real.Decoder.decode.__doc__
