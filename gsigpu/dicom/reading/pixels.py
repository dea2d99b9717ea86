"""Pixel data into preallocated int16 buffers.

What a plane delivers is defined in gsigpu.dicom.model: int16, whatever the file stores. The bytes of
an uncompressed plane go straight from the file into the caller's buffer; compressed frames are
decoded by imagecodecs from their fragments, once their headers are checked; all else is pydicom's, and
where that may call a native decoder, in a child process, since damaged data can crash one.

A file is read only in the state in which its header was read (gsigpu.file_state).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from io import FileIO
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from gsigpu.dicom.model import PixelFormat, Plane
from gsigpu.dicom.reading.codecs import decode_frame
from gsigpu.dicom.reading.coded_planes import frames_ahead, is_coded
from gsigpu.dicom.reading.elements import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    uid_name,
)
from gsigpu.dicom.reading.fragments import FrameIndex, index_frames, read_only_frame
from gsigpu.dicom.reading.frame_headers import Encoded
from gsigpu.dicom.reading.isolated import DecoderCrashed, stored_values, stored_values_isolated
from gsigpu.dicom.reading.plain_planes import (
    GREY,
    NATIVE,
    read_first,
    read_voxels_first,
    rows_of,
)
from gsigpu.errors import (
    FileChanged,
    PixelDataError,
    TruncatedPixelData,
    UnsupportedPixelData,
)
from gsigpu.file_state import FileState, open_unchanged

_UNCOMPRESSED = (*NATIVE, EXPLICIT_VR_BIG_ENDIAN, DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN)
# Offset tables of multi-frame files; a stack of eleven energies has eleven such files open at a time.
_KEPT_INDICES = 64


class PlaneReader:
    """Reads planes into buffers; safe to share between threads.

    The only state is where the frames of multi-frame compressed files lie.
    """

    def __init__(self) -> None:
        self._indices: OrderedDict[tuple[str, FileState | None], FrameIndex] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, planes: Sequence[Plane], out: NDArray[np.int16]) -> None:
        """Stored values of `planes`, as the model delivers them.

        planes : n planes of the same rows and columns
        out : (n, rows, columns) int16, C-contiguous, overwritten
        Raises TruncatedPixelData, UnsupportedPixelData or PixelDataError, naming the file; FileChanged
        if it is not the file whose header was read.
        """
        n_read = self._read_first(planes, out)
        rest = planes[n_read:]
        for plane, target, frame in zip(rest, out[n_read:], frames_ahead(rest), strict=True):
            self._read_plane(plane, target, encoded=frame)

    def read_voxels(
        self,
        planes: Sequence[Plane],
        shape: tuple[int, int],
        indices: NDArray[np.int64],
        out: NDArray[np.int16],
    ) -> None:
        """Stored values of some voxels of `planes`; of uncompressed ones no more than their rows is read.

        shape : rows and columns that all of the n planes must have
        indices : (m,) of voxels in a plane, ascending; at least one
        out : (n, m) int16, each row contiguous, overwritten
        Raises as `read` does.
        """
        n_read = read_voxels_first(planes, shape, indices, out)
        for plane, target in zip(planes[:n_read], out, strict=False):
            _unpack_plane(target.view(np.uint16), plane, target)
        rest = planes[n_read:]
        if not rest:
            return
        whole, rows = np.empty(shape, np.int16), rows_of(indices, shape[1])
        for plane, target, frame in zip(rest, out[n_read:], frames_ahead(rest), strict=True):
            self._read_plane(plane, whole, rows=rows, encoded=frame)
            np.take(whole, indices, out=target, mode="clip")  # unbuffered; all lie within

    @staticmethod
    def _read_first(planes: Sequence[Plane], out: NDArray[np.int16]) -> int:
        """How many of the first planes the compiled loop delivered; where it stops, `read_plane` tells why."""
        n_read = read_first(planes, out) if len(planes) > 1 else 0
        for plane, target in zip(planes[:n_read], out, strict=False):
            _unpack_plane(target.view(np.uint16), plane, target)
        return n_read

    def read_plane(
        self, plane: Plane, out: NDArray[np.int16], *, rows: slice | None = None
    ) -> None:
        """One plane into `out`, (rows, columns) int16, C-contiguous.

        rows : from one to another, that are needed; the others may be left as they are. What is wrong with a file is
            an error as it is where all are needed.
        """
        self._read_plane(plane, out, rows=rows)

    def _read_plane(
        self,
        plane: Plane,
        out: NDArray[np.int16],
        *,
        rows: slice | None = None,
        encoded: Encoded | None = None,
    ) -> None:
        """`encoded` : the plane's compressed frame, if it was read ahead."""
        image = plane.format
        _check_format(plane)
        if out.shape != (image.rows, image.columns):
            raise PixelDataError(
                f"{image.rows} x {image.columns} pixels do not fit where"
                f" {' x '.join(map(str, out.shape))} were expected",
                where=plane.path,
                remedy="read planes of one size at a time",
            )
        if plane.values is not None:
            out[...] = plane.values
            return
        try:
            if _is_plain(plane):
                _read_native(plane, out, rows)
            elif is_coded(plane):
                _deliver(self._decode(plane, out, encoded), plane, out)
            else:
                _deliver(_with_pydicom(plane), plane, out)
        except OSError as error:
            raise unreadable(plane, error) from error

    def _decode(
        self, plane: Plane, out: NDArray[np.int16], encoded: Encoded | None
    ) -> NDArray[Any]:
        if encoded is None:
            with open_unchanged(plane.path, plane.state) as file:
                encoded = self._encoded(plane, file)
        if not encoded:
            raise _truncated(plane, 0)
        try:
            return decode_frame(encoded, plane.format, out)
        except UnsupportedPixelData:
            return _with_pydicom(plane)
        except TruncatedPixelData as error:
            raise TruncatedPixelData(
                f"compressed data of frame {plane.frame + 1} are cut off ({error})",
                where=plane.path,
                remedy=_AGAIN,
            ) from error
        except Exception as error:  # imagecodecs raises a type per codec
            raise PixelDataError(
                f"{uid_name(plane.format.transfer_syntax_uid)} data of frame {plane.frame + 1} cannot be decoded ({error})",
                where=plane.path,
                remedy=_AGAIN,
            ) from error

    def _encoded(self, plane: Plane, file: FileIO) -> bytes:
        if plane.evidence.n_frames == 1:
            return read_only_frame(file, plane.path, plane.pixel_offset)
        return self._index(plane, file).read(file, plane.frame)

    def _index(self, plane: Plane, file: FileIO) -> FrameIndex:
        key = plane.file_name, plane.state
        with self._lock:
            known = self._indices.get(key)
            if known is None:
                known = index_frames(file, plane.path, plane.pixel_offset, plane.evidence.n_frames)
                self._indices[key] = known
                if len(self._indices) > _KEPT_INDICES:
                    self._indices.popitem(last=False)
            return known


_AGAIN = "export or transfer the file again"
# Delivered in place of odd padding; a plane that has such counts it as padding.
_NO_DATA = np.int16(-32768)


def _check_format(plane: Plane) -> None:
    """Raises where the header's claims make no single-channel image of 8 or 16 bits."""
    image = plane.format
    if image.samples_per_pixel != 1:
        raise UnsupportedPixelData(
            f"{image.samples_per_pixel} samples per pixel",
            where=plane.path,
            remedy="a CT image has one",
        )
    if image.photometric not in GREY:
        raise UnsupportedPixelData(
            f"Photometric Interpretation {image.photometric[:16]!r}",
            where=plane.path,
            remedy="the values of a CT image are MONOCHROME2",
        )
    if image.bits_allocated not in (8, 16):
        raise UnsupportedPixelData(
            f"{image.bits_allocated} bits allocated",
            where=plane.path,
            remedy="CT images allocate 8 or 16",
        )
    if not 0 < image.bits_stored <= image.high_bit + 1 <= image.bits_allocated:
        raise UnsupportedPixelData(
            f"{image.bits_stored} bits stored up to bit {image.high_bit} of {image.bits_allocated}"
            " is no layout",
            where=plane.path,
            remedy="convert the file with a program that writes correct headers",
        )
    # Deflated files keep their pixel data where no offset reaches.
    deflated = image.transfer_syntax_uid == DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN
    if plane.pixel_offset < 0 and not deflated:
        raise TruncatedPixelData("has no pixel data", where=plane.path, remedy=_AGAIN)


def unreadable(plane: Plane, error: OSError) -> PixelDataError:
    """What is told of a file that was scanned and can no longer be read."""
    return PixelDataError(
        f"cannot be read ({error.strerror or error})", where=plane.path, remedy="check the disk"
    )


def _is_plain(plane: Plane) -> bool:
    return (
        plane.format.transfer_syntax_uid in NATIVE
        and plane.format.bits_allocated == 16
        and plane.pixel_length >= 0
    )


def _read_native(plane: Plane, out: NDArray[np.int16], rows: slice | None) -> None:
    """An uncompressed plane, or some of its rows."""
    image, state = plane.format, plane.state
    if plane.pixel_length < image.n_bytes:
        raise _truncated(plane, plane.pixel_length)
    if state and plane.pixel_offset + plane.pixel_length > state.size:
        raise TruncatedPixelData(
            f"the file ends after {state.size - plane.pixel_offset}"
            f" of {plane.pixel_length} bytes of pixel data",
            where=plane.path,
            remedy=_AGAIN,
        )
    if state is None or rows is None or (plane.odd_padding and plane.odd_padding.only_if_in_corner):
        rows = slice(0, image.rows)  # without a state, only reading shows that all are there
    part = out[rows]
    target = memoryview(cast("Any", part)).cast("B")
    n_before = rows.start * (image.n_bytes // image.rows)
    with open_unchanged(plane.path, state) as file:
        file.seek(plane.pixel_offset + n_before)
        n_read = _read_fully(file, target)
    if n_read < len(target):
        raise _truncated(plane, n_before + n_read)
    _unpack_plane(part.view(np.uint16), plane, part)


def _read_fully(file: Any, target: memoryview) -> int:
    """Bytes read; fewer than `target` holds only where the file ends."""
    n_read = 0
    while n_read < len(target):
        n_now = file.readinto(target[n_read:])
        if not n_now:
            break
        n_read += n_now
    return n_read


def _truncated(plane: Plane, n_bytes: int) -> TruncatedPixelData:
    image = plane.format
    return TruncatedPixelData(
        f"pixel data end after {max(n_bytes, 0)} of {image.n_bytes} bytes"
        f" ({image.rows} x {image.columns}, {image.bits_allocated} bits)",
        where=plane.path,
        remedy=_AGAIN,
    )


def _with_pydicom(plane: Plane) -> NDArray[Any]:
    """Stored values of the frame by pydicom's readers and decoders."""
    frame = plane.frame if plane.evidence.n_frames > 1 else None
    syntax = plane.format.transfer_syntax_uid
    try:
        if syntax in _UNCOMPRESSED:
            with open_unchanged(plane.path, plane.state) as file:
                return stored_values(file, syntax, frame)
        return stored_values_isolated(plane.path, plane.state, syntax, frame)
    except (FileChanged, PixelDataError):
        raise
    except DecoderCrashed as error:
        raise PixelDataError(
            f"{uid_name(syntax)} data of frame {plane.frame + 1} crash their decoder ({error})",
            where=plane.path,
            remedy=_AGAIN,
        ) from error
    except Exception as error:  # pydicom and its plugins raise anything
        raise _as_ours(error, plane) from error


def _as_ours(error: Exception, plane: Plane) -> PixelDataError:
    """What went wrong inside pydicom, which tells by its words alone."""
    words = str(error)
    tried = "exceptions were raised" in words  # by decoders that are there
    if isinstance(error, NotImplementedError | RuntimeError) and not tried:
        return UnsupportedPixelData(
            f"no decoder for {uid_name(plane.format.transfer_syntax_uid)} ({words})",
            where=plane.path,
            remedy="convert the files to an uncompressed transfer syntax, e.g. with dcmdjpeg or gdcmconv --raw",
        )
    if "number of bytes" in words or "expected amount" in words:
        return TruncatedPixelData(words, where=plane.path, remedy=_AGAIN)
    return PixelDataError(f"cannot be decoded ({words})", where=plane.path, remedy=_AGAIN)


def _deliver(decoded: NDArray[Any], plane: Plane, out: NDArray[np.int16]) -> None:
    """Decoded values of whatever integer type into the int16 buffer, where they may be already."""
    image = plane.format
    if decoded.shape != out.shape:
        raise PixelDataError(
            f"decodes to {' x '.join(map(str, decoded.shape))} pixels, the header says {image.rows} x {image.columns}",
            where=plane.path,
            remedy=_AGAIN,
        )
    if decoded.dtype.kind not in "iu" or decoded.dtype.itemsize > 2:
        raise UnsupportedPixelData(
            f"decodes to {decoded.dtype}", where=plane.path, remedy="CT images have 16 bits at most"
        )
    if decoded.dtype.itemsize == 2:
        native = decoded.astype(decoded.dtype.newbyteorder("="), copy=False)
        _unpack_plane(native.view(np.uint16), plane, out)
    else:
        _unpack_plane(decoded.astype(np.int16).view(np.uint16), plane, out)


def _unpack_plane(words: NDArray[np.uint16], plane: Plane, out: NDArray[np.int16]) -> None:
    """Words of the file, which may lie in `out`, into the values that the model delivers."""
    odd = plane.odd_padding
    if odd is None:
        _unpack(words, plane.format, out)
        return
    is_padding = np.zeros(out.shape, np.bool_)
    if odd.words is not None:
        is_padding |= (words >= odd.words[0]) & (words <= odd.words[1])
    _unpack(words, plane.format, out)
    if odd.values is not None:
        has_value = (out >= odd.values[0]) & (out <= odd.values[1])
        if (
            not odd.only_if_in_corner
            or has_value[:: out.shape[0] - 1 or 1, :: out.shape[1] - 1 or 1].any()
        ):
            is_padding |= has_value
    out[is_padding] = _NO_DATA


def _unpack(stored: NDArray[np.uint16], image: PixelFormat, out: NDArray[np.int16]) -> None:
    """Only the bits below High Bit count, with sign; full unsigned values are shifted to fit int16.

    Bits above are overlays or dirt (PS3.5 8.1.1), so they are shifted out rather than trusted.
    """
    if image.bias:
        np.bitwise_xor(stored, np.uint16(0x8000), out=out.view(np.uint16))
        return
    if image.bits_stored == 16:
        if not np.may_share_memory(stored, out):
            np.copyto(out, stored.view(np.int16))
        return
    np.left_shift(stored, np.uint16(15 - image.high_bit), out=out.view(np.uint16))
    shift = 16 - image.bits_stored
    if image.signed:
        np.right_shift(out, np.int16(shift), out=out)
    else:
        np.right_shift(out.view(np.uint16), np.uint16(shift), out=out.view(np.uint16))
