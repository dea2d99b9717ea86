"""Where the standard output has a code page of Windows, the command does its work and says so."""

import io
import os
import sys

import pytest

from gsigpu.cli import print_what_the_stream_takes
from tests.support.warm_program import fresh


def test_help_goes_to_a_windows_pipe():
    old = {"PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"}
    done = fresh("--help", env={**os.environ, **old})
    assert done.returncode == 0, done.stderr
    assert "?HU" in done.stdout
    assert "λ" not in done.stdout


@pytest.mark.parametrize("encoding", ["cp1252", "cp437", "ascii", "utf-8"])
def test_what_has_no_code_becomes_a_question_mark(encoding, monkeypatch):
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    print_what_the_stream_takes()
    for stream in (sys.stdout, sys.stderr):
        stream.write("slope λHU, 表")
        stream.flush()
        told = stream.buffer.getvalue().decode(encoding)
        assert told.startswith("slope ")
        assert ("表" in told) == (encoding == "utf-8")
