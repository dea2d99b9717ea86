"""The compiled loop over headers against a plain walk over the same pieces."""

import numpy as np
import pytest

from gsigpu.backends.compiled_headers import ANY, QUIET, Patterns, Piece
from gsigpu.dicom.reading.elements import energy_notes

RNG = np.random.default_rng(19)
START = 4


def walked(pattern, head, n_wanted):
    """[where the last run ends, offset and length of each wanted value], or None: what the loop is to do, said again."""
    places, at = [0] * (1 + 2 * n_wanted), START
    for run, n_length, role in pattern:
        if head[at : at + len(run)] != run:
            return None
        at += len(run)
        if not n_length:
            break
        if at + n_length > len(head):
            return None
        length = int.from_bytes(head[at : at + n_length], "little")
        at += n_length
        if at + length > len(head):
            return None
        if role == QUIET and energy_notes([("a", head[at : at + length])]):
            return None
        if role >= 0:
            places[1 + 2 * role : 3 + 2 * role] = at, length
        at += length
    places[0] = at
    return places


def run_of(n):
    return RNG.integers(97, 100, n).astype(np.uint8).tobytes()


def some_pattern(n_wanted):
    roles = [*RNG.permutation(n_wanted).tolist(), ANY, QUIET, QUIET]
    RNG.shuffle(roles)
    pieces = [Piece(run_of(RNG.integers(0, 9)), int(RNG.choice([2, 4])), role) for role in roles]
    return [*pieces, Piece(run_of(3), 0, ANY)]


def some_value():
    kind = RNG.integers(6)
    if kind < 2:
        return run_of(RNG.integers(0, 40))
    return [b"70 keV", b"x" * 60 + b"KEV ", b"x" * 62 + b"kEv", b"\xfe\xff\x00\xe0kev"][kind - 2]


def header_of(pattern):
    parts = [b"\0" * START]
    for run, n_length, _ in pattern:
        value = some_value() if n_length else b"pixels"
        parts += [run, len(value).to_bytes(n_length, "little") if n_length else b"", value]
    return b"".join(parts)


@pytest.mark.parametrize("n_wanted", [0, 3])
def test_what_fits_is_what_a_walk_says(loop, n_wanted):
    """Whole headers, headers that are cut off anywhere, and with a byte that is another."""
    n_bytes, n_fitting = 512, 0
    for _ in range(40):
        patterns = [some_pattern(n_wanted) for _ in range(RNG.integers(1, 5))]
        heads = np.full((60, n_bytes), 0xFF, np.uint8)
        n_read, texts = np.zeros(60, np.int64), []
        for i in range(60):
            text = bytearray(header_of(patterns[RNG.integers(len(patterns))]))
            if i % 3 == 1:
                text = text[: RNG.integers(0, len(text) + 1)]
            elif i % 3 == 2:
                text[RNG.integers(len(text))] = RNG.choice([0, 97, 107, 255])
            n_read[i] = len(text)
            heads[i, : len(text)] = np.frombuffer(bytes(text), np.uint8)
            texts.append(bytes(text))
        n_read[7], texts[7] = -1, b""
        which, places = Patterns(patterns, n_wanted, loop).fitting(heads, n_read, START)
        for text, pattern, place in zip(texts, which, places, strict=True):
            expected = [walked(pieces, text, n_wanted) for pieces in patterns]
            if pattern < 0:
                assert len(text) < START or expected == [None] * len(patterns)
            else:
                assert place == expected[pattern]
                n_fitting += 1
    assert n_fitting > 600


def test_a_length_beyond_all_bounds_does_not_fit(loop):
    """An undefined length is the greatest of four bytes."""
    patterns = Patterns([[Piece(b"a", 4, ANY), Piece(b"", 0, ANY)]], 0, loop)
    for length in (b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\4\0\0\0", b"\3\0\0\0"):
        head = np.frombuffer(b"\0" * START + b"a" + length + b"xyz", np.uint8)[None]
        which, _ = patterns.fitting(head, np.array([head.size]), START)
        assert which == [0 if length == b"\3\0\0\0" else -1]
