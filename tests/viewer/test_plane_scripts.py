"""A plane comes out of its script as a browser reads it: byte for byte, whatever the bytes are."""

import json
import re
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gsigpu.viewer.plane_scripts import slice_script

ESCAPES = {rb"\\": b"\\", rb"\"": b'"', rb"\n": b"\n", rb"\r": b"\r"}


def unquoted(text):
    """The bytes of a script's quoted text, as JavaScript reads it."""

    def meaning(match):
        escape = match[0]
        return bytes([int(escape[2:], 16)]) if escape[1:2] == b"x" else ESCAPES[escape]

    return re.sub(rb"\\(x[0-9a-f]{2}|.)", meaning, text, flags=re.DOTALL)


def read_script(script):
    match = re.fullmatch(rb'gsigpuSlice\("([^"]*)",(\{.*?\}),"(.*)"\);\n', script, re.DOTALL)
    assert match
    text = match[3]
    assert b"\n" not in text
    assert b"\r" not in text
    assert b"\0" not in text
    head, data = json.loads(match[2]), unquoted(text)
    planes, at = [], 0
    for length, size in zip(head["lengths"], head["bytes"], strict=True):
        flat = np.frombuffer(zlib.decompress(data[at : at + length]), np.uint8)
        at += length
        if size == 2:
            low, high = flat.reshape(2, -1).astype(np.uint16)
            flat = (low | (high << 8)).astype(np.uint16).view(np.int16)
        planes.append(flat.reshape(head["shape"]))
    assert at == len(data)
    return match[1].decode(), head["origin"], planes


@given(
    arrays(np.int16, st.tuples(st.integers(1, 9), st.integers(1, 9))),
    st.tuples(st.integers(0, 511), st.integers(0, 511)),
)
def test_planes_come_back(plane, origin):
    bits = (plane & 0xFF).astype(np.uint8)
    key, where, planes = read_script(slice_script("p0/12", [plane, bits], origin))
    assert key == "p0/12"
    assert where == list(origin)
    np.testing.assert_array_equal(planes[0], plane)
    np.testing.assert_array_equal(planes[1], bits)


def test_a_slice_without_voxels_is_a_script_too():
    assert read_script(slice_script("p0/0", [], (0, 0))) == ("p0/0", [0, 0], [])


@pytest.mark.parametrize("value", [0x22, 0x5C, 0x0A, 0x0D, 0x00, 0x1A])
def test_bytes_that_would_break_a_text_are_escaped(value, monkeypatch):
    monkeypatch.setattr("gsigpu.viewer.plane_scripts.packed", lambda plane: plane.tobytes())
    script = slice_script("p0/1", [np.full((1, 3), value, np.uint8)], (0, 0))
    text = script.rpartition(b'},"')[2].removesuffix(b'");\n')
    assert unquoted(text) == bytes([value] * 3)
    assert text != bytes([value] * 3)
