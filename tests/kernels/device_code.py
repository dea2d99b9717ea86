"""CUDA sources compiled for a card by NVRTC, which needs no card."""

from __future__ import annotations

import os

import pytest
from cupy_backends.cuda.libs import nvrtc

from gsigpu.backends.kernel_source import kernel_source

ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)
# Compiled and read instruction by instruction in test_disassembly.py.
READ_ARCHITECTURES = (80, 90, 100, 120)


def unavailable(why):
    """A tool is missing: a skipped test, or a failure where tools are required."""
    if os.environ.get("GSIGPU_REQUIRE_TOOLS") == "1":
        pytest.fail(why)
    return pytest.skip(why)


def cubin(name, architecture, options):
    """The device code of `kernels/NAME.cu`."""
    try:
        program = nvrtc.createProgram(kernel_source(name), f"{name}.cu", (), ())
    except (ImportError, OSError, RuntimeError) as error:
        unavailable(f"NVRTC cannot be loaded (pip install nvidia-cuda-nvrtc): {error}")
    if architecture not in nvrtc.getSupportedArchs():
        pytest.fail(f"this NVRTC does not know sm_{architecture}")
    try:
        nvrtc.compileProgram(program, (f"-arch=sm_{architecture}", "-std=c++17", *options))
        return nvrtc.getCUBIN(program) + b"\0"  # CuPy takes the last byte for a string's end
    finally:
        nvrtc.destroyProgram(program)
