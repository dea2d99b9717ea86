"""The compiled loop of JPEG Lossless' coded length against its NumPy twin: the same number of bits."""

import numpy as np
import pytest

from gsigpu.backends import compiled, compiled_bits
from gsigpu.dicom.reading.coded_length import in_numpy
from tests.backends.test_compiled import UBSAN, built

RNG = np.random.default_rng(81)


@pytest.fixture(scope="module", params=["plain", "ubsan"])
def loop(request):
    library = built(UBSAN if request.param == "ubsan" else ["-O2"])
    return compiled.Loop(library, compiled.sets_of(library)[0])


@pytest.mark.parametrize("selection", range(1, 8))
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2), (130, 67), (3, 2100)], ids=str)
def test_bits_are_those_of_numpy(loop, selection, shape):
    """Any samples, also where differences wrap; lengths that tell every category from its neighbours."""
    lengths = RNG.integers(0, 256, 17).astype(np.uint8)
    image = RNG.integers(0, 65536, shape).astype(np.uint16)
    for first in (128, 1 << 15):
        expected = in_numpy(image, lengths, selection, first)
        assert compiled_bits.run(loop, image, lengths, selection, first) == expected


def test_a_part_of_an_image_is_taken_as_it_lies(loop):
    lengths = RNG.integers(0, 33, 17).astype(np.uint8)
    part = RNG.integers(0, 4096, (20, 30)).astype(np.uint16)[3:17, 5:25]
    assert compiled_bits.run(loop, part, lengths, 6, 2048) == in_numpy(part, lengths, 6, 2048)


def test_what_it_does_not_take_goes_to_numpy(loop):
    lengths, image = np.zeros(17, np.uint8), np.zeros((4, 8), np.uint16)
    assert compiled_bits.run(loop, image[:, ::2], lengths, 1, 0) is None
    assert compiled_bits.run(loop, image, lengths, 8, 0) is None
