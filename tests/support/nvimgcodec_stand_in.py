"""nvImageCodec's documented Python interface, as far as gsigpu uses it, without a card.

Names, keywords and types are those of nvImageCodec 0.9 (`tests/dicom/reading/test_card_frames.py` holds them to the real
package where it is installed). Stricter than it: a decoder is for the thread that made it, images on the card
are no NumPy arrays, and `fault` makes it give what a frame's header does not say.
"""

from __future__ import annotations

import enum
import struct
import threading
from importlib.machinery import ModuleSpec
from types import ModuleType

import imagecodecs
import numpy as np

from gsigpu.dicom.reading.frame_headers import check_jpeg_2000

BackendKind = enum.Enum("BackendKind", "GPU_ONLY CPU_ONLY HYBRID_CPU_GPU HW_GPU_ONLY")
ColorSpec = enum.Enum("ColorSpec", "UNKNOWN SRGB GRAY UNCHANGED")


class Backend:
    def __init__(self, backend_kind, load_hint=1.0, load_hint_policy=None):
        assert isinstance(backend_kind, BackendKind)
        self.backend_kind = backend_kind


class DecodeParams:
    def __init__(
        self, apply_exif_orientation=True, color_spec=ColorSpec.SRGB, allow_any_depth=False
    ):
        assert isinstance(color_spec, ColorSpec)
        self.color_spec, self.allow_any_depth = color_spec, allow_any_depth


class CodeStream:
    """What is told of a frame is read from its header, by code that is not the tested one for JPEG."""

    def __init__(self, encoded, /):
        if not isinstance(encoded, bytes):
            raise TypeError("incompatible constructor arguments")
        self._encoded = encoded

    def __getattr__(self, name):  # the header is read when it is asked for, as there
        if name.startswith("_"):
            raise AttributeError(name)
        self._read(self._encoded)
        return self.__dict__[name]

    def _read(self, encoded):
        if encoded[:2] == b"\xff\xd8":
            self.codec_name = "jpeg"
            at = encoded.index(b"\xff\xc3") + 4
            self.precision, self.height, self.width, self.num_channels = struct.unpack_from(
                ">BHHB", encoded, at
            )
            self.dtype = np.dtype(np.uint8 if self.precision <= 8 else np.uint16)
        elif encoded[:4] == b"\xff\x4f\xff\x51":
            self.codec_name, self.num_channels = "jpeg2k", 1
            right, bottom, left, top = struct.unpack_from(">4L", encoded, 8)
            self.height, self.width = bottom - top, right - left
            self.precision, is_signed = check_jpeg_2000(encoded, self.height, self.width)
            size = 1 if self.precision <= 8 else 2
            self.dtype = np.dtype(f"{'i' if is_signed else 'u'}{size}")
        else:
            raise RuntimeError("Failed to get image info")


class Image:
    """Memory of the library; on the host it has `__array_interface__`, on the card `__cuda_array_interface__`."""

    def __init__(self, array, precision, *, is_on_card):
        self._array, self.precision, self._is_on_card = array, precision, is_on_card
        self.height, self.width, self.num_channels = array.shape
        self.shape, self.dtype = array.shape, array.dtype

    def __getattr__(self, name):
        if name == "__array_interface__" and not self._is_on_card:
            return self._array.__array_interface__
        raise AttributeError(name)

    def __array__(self, *args, **options):
        if self._is_on_card:
            raise TypeError("an image on the card is no array of the host")
        return np.array(self._array)

    def cpu(self):
        return (
            Image(self._array.copy(), self.precision, is_on_card=False)
            if self._is_on_card
            else self
        )


def _values(stream):
    if stream.codec_name == "jpeg":
        return imagecodecs.jpeg8_decode(stream._encoded)
    return imagecodecs.jpeg2k_decode(stream._encoded)


FAULTS = {
    "none": lambda values, stream: None,
    "raises": None,
    "scaled to 16 bits": lambda values, stream: (
        values << (16 - stream.precision),
        stream.precision,
    ),
    "sign is lost": lambda values, stream: (values.view(f"u{values.itemsize}"), stream.precision),
    "another precision": lambda values, stream: (values, 16),
    "8 bits": lambda values, stream: ((values >> 4).astype(np.uint8), stream.precision),
    "transposed": lambda values, stream: (values.swapaxes(0, 1), stream.precision),
    "three channels": lambda values, stream: (np.repeat(values, 3, axis=2), stream.precision),
    "float": lambda values, stream: (values.astype(np.float32), stream.precision),
}


def module(fault=None, decoders=None):
    """The module `nvidia.nvimgcodec`, with a fault in what it gives; `decoders` takes those that are made."""

    class Decoder:
        def __init__(self, device_id=-1, max_num_cpu_threads=0, backends=None, options=""):
            assert all(isinstance(backend, Backend) for backend in backends or ())
            if fault == "no decoder":
                raise RuntimeError("CUDA Runtime failure: '#35'")
            self.thread, self.backends, self.n_decoded = threading.get_ident(), backends, 0
            if decoders is not None:
                decoders.append(self)

        def decode(self, src, *, image=None, params=None, cuda_stream=0):
            assert threading.get_ident() == self.thread, "a decoder is for the thread that made it"
            if not isinstance(src, CodeStream):
                raise TypeError("incompatible function arguments")
            assert params.allow_any_depth, "values would be scaled to 8 bits"
            assert params.color_spec is ColorSpec.UNCHANGED
            self.n_decoded += 1
            if fault == "raises":
                raise RuntimeError("CUDA Runtime failure: '#2'\nat device_utils.h:32")
            try:
                values = np.ascontiguousarray(_values(src))[..., None]
            except Exception:  # noqa: BLE001  # what cannot be decoded is None
                return None
            given = FAULTS[fault](values, src) if fault in FAULTS else (values, src.precision)
            return None if given is None else Image(*given, is_on_card=True)

    stand_in = ModuleType("nvidia.nvimgcodec")
    stand_in.__dict__.update(
        Backend=Backend,
        BackendKind=BackendKind,
        CodeStream=CodeStream,
        ColorSpec=ColorSpec,
        DecodeParams=DecodeParams,
        Decoder=Decoder,
    )
    return stand_in


def install(monkeypatch, fault=None, decoders=None):
    """Puts it in the place of the package, with a usable card, and asks for it."""
    import sys

    from gsigpu.backends import device
    from gsigpu.dicom.reading import card_frames

    library = module(fault, decoders)
    package = ModuleType("nvidia")
    package.nvimgcodec = library
    for stand_in in (package, library):
        stand_in.__spec__ = ModuleSpec(stand_in.__name__, None)
    monkeypatch.setitem(sys.modules, "nvidia", package)
    monkeypatch.setitem(sys.modules, "nvidia.nvimgcodec", library)
    monkeypatch.setattr(device, "why_no_gpu", lambda: None)
    monkeypatch.setattr(card_frames, "_cards", card_frames._Cards())
    monkeypatch.setenv(card_frames.VARIABLE, "gpu")
    return library
