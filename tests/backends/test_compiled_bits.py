"""The compiled loops of JPEG frames against their NumPy twins: the same number of bits, and of bytes."""

import numpy as np
import pytest

from gsigpu.backends import compiled_bits
from gsigpu.dicom.reading.coded_length import in_numpy
from gsigpu.dicom.reading.frame_headers import n_coded_in_numpy

RNG = np.random.default_rng(81)


@pytest.mark.parametrize("selection", range(1, 8))
@pytest.mark.parametrize(
    "shape",
    [(1, 1), (1, 9), (9, 1), (2, 2), (5, 32), (5, 33), (5, 34), (130, 67), (3, 2100)],
    ids=str,
)
def test_bits_are_those_of_numpy(loop, selection, shape):
    """Any samples, also where differences wrap; lengths that tell every category from its neighbours."""
    lengths = RNG.integers(0, 256, 17).astype(np.uint8)
    image = RNG.integers(0, 65536, shape).astype(np.uint16)
    for first in (128, 1 << 15):
        expected = in_numpy(image, lengths, selection, first)
        assert compiled_bits.run(loop, image, lengths, selection, first) == expected


@pytest.mark.parametrize("amplitude", [0, 1, 15, 16, 255, 256, 4095, 4096, 32767])
def test_bits_of_any_noise_are_those_of_numpy(loop, amplitude):
    """Without a difference of 32,768, which the tables of AVX2 do not hold; each amplitude begins another category."""
    lengths = RNG.integers(0, 256, 17).astype(np.uint8)
    image = RNG.integers(0, amplitude, (9, 81), endpoint=True).astype(np.uint16)
    assert compiled_bits.run(loop, image, lengths, 1, 0) == in_numpy(image, lengths, 1, 0)


def test_a_part_of_an_image_is_taken_as_it_lies(loop):
    lengths = RNG.integers(0, 33, 17).astype(np.uint8)
    part = RNG.integers(0, 4096, (20, 30)).astype(np.uint16)[3:17, 5:25]
    assert compiled_bits.run(loop, part, lengths, 6, 2048) == in_numpy(part, lengths, 6, 2048)


def test_what_it_does_not_take_goes_to_numpy(loop):
    lengths, image = np.zeros(17, np.uint8), np.zeros((4, 8), np.uint16)
    assert compiled_bits.run(loop, image[:, ::2], lengths, 1, 0) is None
    assert compiled_bits.run(loop, image, lengths, 8, 0) is None


def test_bytes_are_those_of_numpy(loop):
    """Frames of few kinds of bytes, so that marks, stuffed zeros, fill bytes and ends meet everywhere, or nowhere."""
    for size in (0, 1, 2, 3, 15, 16, 17, 18, 33, 300, 9000):
        for kinds in ([0xFF, 0], [0xFF, 0xD9, 7], [0, 0xFF, 0xFF, 1], range(256)):
            frame = RNG.choice(np.array(kinds, np.uint8), size).tobytes()
            for start in {0, size // 3}:
                for whole in (frame, frame + b"\xff\xd9", frame + b"\xff\xff\xd9 \xff\xd9"):
                    expected = n_coded_in_numpy(whole, start)
                    assert compiled_bits.run_bytes(loop, whole, start) == expected, (whole, start)


def test_thousands_of_stuffed_zeros_are_counted(loop):
    frame = b"\xff\0" * 40_000 + b"\xff\xd9"
    assert compiled_bits.run_bytes(loop, frame, 0) == n_coded_in_numpy(frame, 0) == 40_000
