"""Compressed frames decoded on a CUDA card by nvImageCodec, where GSIGPU_DECODER=gpu asks for it.

Prepared by its documented interface (nvImageCodec 0.9: `CodeStream`, `Decoder.decode`, `Image.cpu`) and not yet run on a
card, so it is off unless asked for, and no gain is claimed. Lossless transfer syntaxes alone: two decoders of lossy frames
round differently.

A frame counts only if its size, one channel, bit depth, sign and type are those that its own header says, before decoding and
after, and if no value is beyond the bit depth: a decoder that scales 12 bits to 16, or takes signed values for
unsigned ones, is caught. Whatever goes otherwise, the frame is decoded on the CPU, as without this module, and the reason is
counted: `notes` tells them.

What is not known is whether nvImageCodec tells of every damaged code-block, as OpenJPEG does. Frames that are cut off are found
before (`frame_headers`); JPEG Lossless is held to its coded length after (`coded_length`).
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gsigpu.caution import Caution
from gsigpu.dicom.reading.frame_headers import Encoded
from gsigpu.errors import SettingsError

VARIABLE = "GSIGPU_DECODER"
_CHOICES = ("cpu", "gpu")


class Samples(NamedTuple):
    """What a frame's own header says of its samples."""

    bits: int
    is_signed: bool

    @property
    def dtype(self) -> np.dtype[Any]:
        """The least integer type that holds them, which decoders give.

        >>> Samples(12, True).dtype
        dtype('int16')
        """
        return np.dtype(f"{'i' if self.is_signed else 'u'}{1 if self.bits <= 8 else 2}")

    @property
    def bounds(self) -> tuple[int, int]:
        """The least and the greatest value.

        >>> Samples(12, True).bounds, Samples(16, False).bounds
        ((-2048, 2047), (0, 65535))
        """
        if self.is_signed:
            return -(1 << self.bits - 1), (1 << self.bits - 1) - 1
        return 0, (1 << self.bits) - 1


class NotOnCard(Exception):
    """Why a frame has to be decoded on the CPU."""


class _Cards:
    """Reasons of this process, and a decoder for each of its threads: none is said to be safe between threads."""

    def __init__(self) -> None:
        self.reasons: Counter[str] = Counter()
        self.lock = threading.Lock()
        self.of_thread = threading.local()
        self.unusable: str | None = None


_cards = _Cards()


def is_chosen() -> bool:
    """Whether GSIGPU_DECODER asks for the card.

    Raises SettingsError for a value that is neither cpu nor gpu.
    """
    choice = os.environ.get(VARIABLE, "") or "cpu"
    if choice not in _CHOICES:
        raise SettingsError(f"{VARIABLE}={choice} is no decoder", remedy="set it to cpu or gpu")
    return choice == "gpu"


def notes() -> list[Caution]:
    """Lines for the user: how many frames the card did not decode since the last call, and why."""
    with _cards.lock:
        reasons, _cards.reasons = _cards.reasons, Counter()
    return [
        Caution(
            "backend",
            f"{VARIABLE}=gpu: {n} frame{'s were' if n > 1 else ' was'} decoded on the CPU: {reason}",
        )
        for reason, n in reasons.items()
    ]


def decoded(
    encoded: Encoded, shape: tuple[int, int], samples: Samples, out: NDArray[np.int16]
) -> NDArray[Any] | None:
    """Stored values of a frame that is known to be whole.

    shape : (rows, columns), samples : both as the frame's own header says
    out : (rows, columns) int16, C-contiguous, to decode into
    Returns `out` as the samples' type where that has 16 bits, else another array; None where the card is not asked for, or
    cannot do it.
    """
    if not is_chosen():
        return None
    try:
        array = _by_card(encoded, shape, samples)
    except NotOnCard as reason:
        with _cards.lock:
            _cards.reasons[str(reason)] += 1
        return None
    if array.dtype.itemsize != out.dtype.itemsize:
        return array.copy()
    target = out.view(array.dtype)
    np.copyto(target, array)
    return target


def _by_card(encoded: Encoded, shape: tuple[int, int], samples: Samples) -> NDArray[Any]:
    """(rows, columns) of the samples' type, memory of the library's image. Raises NotOnCard."""
    try:
        array = _by_library(encoded, shape, samples)
    except NotOnCard:
        raise
    except Exception as error:  # RuntimeError and ValueError, CUDA's errors among them
        raise NotOnCard(f"nvImageCodec failed ({_first_line(error)})") from error
    if array.shape != (*shape, 1) or array.dtype != samples.dtype:
        raise NotOnCard(f"nvImageCodec gave {array.shape} {array.dtype}")
    low, high = samples.bounds
    if samples.bits not in (8, 16) and (array.min() < low or array.max() > high):
        raise NotOnCard(f"nvImageCodec gave values beyond {samples.bits} bits")
    return array[..., 0]


def _by_library(encoded: Encoded, shape: tuple[int, int], samples: Samples) -> NDArray[Any]:
    """(rows, columns, channels), whatever it is. Raises NotOnCard, and what the library raises."""
    library, decoder = _decoder()
    stream = library.CodeStream(bytes(encoded))  # its header is read when it is asked for
    _require("header", stream, shape, samples)
    params = library.DecodeParams(
        apply_exif_orientation=False,
        color_spec=library.ColorSpec.UNCHANGED,
        allow_any_depth=True,
    )
    image = decoder.decode(stream, params=params)
    if image is None:
        raise NotOnCard("nvImageCodec cannot decode it")
    _require("result", image, shape, samples)
    on_host = image.cpu()
    if on_host is None:
        raise NotOnCard("nvImageCodec cannot copy it back")
    return np.asarray(on_host)


def _require(what: str, thing: Any, shape: tuple[int, int], samples: Samples) -> None:
    """That a code stream, or an image, is what the frame's header says."""
    told = (thing.height, thing.width, thing.num_channels, thing.precision, np.dtype(thing.dtype))
    expected = (*shape, 1, samples.bits, samples.dtype)
    if told != expected:
        raise NotOnCard(
            f"nvImageCodec's {what} is {_described(*told)}, the frame's own header says {_described(*expected)}"
        )


def _described(rows: int, columns: int, n_channels: int, bits: int, dtype: np.dtype[Any]) -> str:
    return f"{rows} x {columns} x {n_channels} {dtype} of {bits} bits"


def _decoder() -> tuple[Any, Any]:
    """The library, and this thread's decoder. Raises NotOnCard, from then on for every frame."""
    if _cards.unusable is not None:
        raise NotOnCard(_cards.unusable)
    known = getattr(_cards.of_thread, "decoder", None)
    if known is None:
        try:
            known = _cards.of_thread.decoder = _new_decoder()
        except NotOnCard as reason:
            _cards.unusable = str(reason)
            raise
    library, decoder = known
    return library, decoder


def _new_decoder() -> tuple[Any, Any]:
    from gsigpu.backends import device

    if reason := device.why_no_gpu():
        raise NotOnCard(f"no usable GPU: {reason}")
    # It would write a line for each frame that it cannot decode; those are counted and told here.
    os.environ.setdefault("PYNVIMGCODEC_VERBOSITY", "0")
    try:
        from nvidia import nvimgcodec
    except Exception as error:  # a library for another CUDA fails in many ways
        raise NotOnCard(
            f"nvImageCodec cannot be imported ({_first_line(error)}); pip install 'gsigpu[nvimgcodec]'"
        ) from error
    kinds = nvimgcodec.BackendKind
    # Its decoders on the CPU are left out: gsigpu's own are proven there.
    backends = [
        nvimgcodec.Backend(kind)
        for kind in (kinds.HW_GPU_ONLY, kinds.GPU_ONLY, kinds.HYBRID_CPU_GPU)
    ]
    try:
        return nvimgcodec, nvimgcodec.Decoder(max_num_cpu_threads=1, backends=backends)
    except Exception as error:  # as above
        raise NotOnCard(f"nvImageCodec gives no decoder ({_first_line(error)})") from error


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or ['no message'])[0]}"
