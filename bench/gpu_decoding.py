"""Part of `gpu.py`: frames decoded on the card by nvImageCodec, where it is installed: right, quick, and is damage told?"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import imagecodecs
import numpy as np
from common import N_CORES, ct_like, on_all_cores
from gpu_programs import Sizes, WrongResults

from gsigpu.dicom.model import PixelFormat
from gsigpu.dicom.reading import card_frames
from gsigpu.dicom.reading import transfer_syntaxes as syntaxes
from gsigpu.dicom.reading.codecs import decode_frame

ENCODERS: dict[str, Callable[[Any], bytes]] = {
    syntaxes.JPEG_LOSSLESS_SV1: lambda image: imagecodecs.ljpeg_encode(
        image.view(np.uint16), bitspersample=16
    ),
    syntaxes.JPEG_2000_LOSSLESS: lambda image: imagecodecs.jpeg2k_encode(
        image, level=0, codecformat="j2k", bitspersample=16, reversible=True, mct=False
    ),
    syntaxes.HTJ2K_LOSSLESS: lambda image: imagecodecs.htj2k_encode(image, reversible=True),
}


def lines(sizes: Sizes) -> list[str]:
    """A table; a line where the package is missing. Raises WrongResults where pixels are others."""
    if not is_installed():
        return ["Left out: nvImageCodec is not installed (pip install 'gsigpu[nvimgcodec]')."]
    table = [
        "| | frames/s CPU | frames/s card | decoded on the card | damaged: told by the CPU | told by the card | other pixels |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    wrong, notes = [], []
    for uid, encode in ENCODERS.items():
        name = syntaxes.COMPRESSED_SYNTAXES[uid].name
        image = ct_like(sizes.plane, sizes.plane)
        frame = encode(image)
        frames = [frame] * sizes.decoded_frames
        on_cpu, _ = _timed(uid, frames, image, "cpu")
        on_card, n_others = _timed(uid, frames, image, "gpu")
        told = card_frames.notes()
        n_left = sum(int(line.split(": ")[1].split()[0]) for line in told)
        notes += told
        if n_others:
            wrong.append(name)
        table.append(
            f"| {name} | {on_cpu:,.0f} | {on_card:,.0f} | {100 * (1 - n_left / (2 * len(frames) + 1)):.0f} %"
            f" | {' | '.join(map(str, _damaged(uid, frame, sizes)))} |"
        )
    text = [
        *table,
        "",
        (
            f"{sizes.plane} x {sizes.plane}, {N_CORES} threads, frame by frame, to the host and back. Damaged:"
            f" {sizes.damaged_frames} frames with a changed byte among the coded data; other pixels: both decode it, and differ."
        ),
        *[f"- {note}" for note in dict.fromkeys(notes)],
    ]
    if wrong:
        raise WrongResults([*text, "", f"**Other pixels on the card: {'; '.join(wrong)}.**"])
    return text


def is_installed() -> bool:
    """Whether the package is there; it is not imported."""
    try:
        return importlib.util.find_spec("nvidia.nvimgcodec") is not None
    except ModuleNotFoundError:  # nothing of NVIDIA's is
        return False


@contextmanager
def decoder(name: str) -> Iterator[None]:
    """GSIGPU_DECODER for a while."""
    before = os.environ.get(card_frames.VARIABLE)
    os.environ[card_frames.VARIABLE] = name
    try:
        yield
    finally:
        if before is None:
            del os.environ[card_frames.VARIABLE]
        else:
            os.environ[card_frames.VARIABLE] = before


def _format(uid: str, size: int) -> PixelFormat:
    return PixelFormat(uid, size, size, bits_allocated=16, bits_stored=16, high_bit=15, signed=True)


def _timed(uid: str, frames: list[bytes], image: Any, name: str) -> tuple[float, int]:
    """(frames per second, how many pixels are not those of the image); one pass is not counted."""
    out = np.empty((len(frames), *image.shape), np.int16)
    pixels = _format(uid, len(image))
    with decoder(name):
        for _ in range(2):
            begun = perf_counter()
            on_all_cores(lambda i: decode_frame(frames[i], pixels, out[i]), len(frames))
            seconds = perf_counter() - begun
        last = decode_frame(frames[-1], pixels, out[-1]).view(np.int16)
    return len(frames) / seconds, int(np.count_nonzero(last != image))


def _damaged(uid: str, frame: bytes, sizes: Sizes) -> tuple[int, int, int]:
    """(told by the CPU, by the card, decoded by both to other pixels) of frames with a changed byte."""
    rng = np.random.default_rng(6)
    pixels = _format(uid, sizes.plane)
    told = {"cpu": 0, "gpu": 0}
    n_others = 0
    for _ in range(sizes.damaged_frames):
        damaged = bytearray(frame)
        at = int(rng.integers(len(frame) // 3, len(frame) - 2))
        damaged[at] ^= int(rng.integers(1, 256))
        results = []
        for name in told:
            with decoder(name):
                try:
                    out = np.zeros((sizes.plane, sizes.plane), np.int16)
                    results.append(decode_frame(bytes(damaged), pixels, out).view(np.int16).copy())
                except Exception:  # noqa: BLE001  # each codec has its errors
                    told[name] += 1
        n_others += len(results) == 2 and not np.array_equal(*results)
    # What the card refuses goes to the CPU, which then tells or decodes: only what the card decodes counts as its own.
    card_frames.notes()
    return told["cpu"], told["gpu"], n_others
