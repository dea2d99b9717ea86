"""Whether a mask file is whole: its length, and every checksum that its format has.

A file that was cut off or altered must not become a mask with fewer voxels. SimpleITK and pydicom read on
where they can, so the proof comes first:

    .nii .nrrd .nhdr .mha .mhd    exactly as many bytes as the header says, where raw; these have no checksum
    gzip                          CRC-32 and length of every member, nothing but padding behind the last
    zlib (MetaImage)              Adler-32, nothing behind it
    bzip2                         CRC of every block
    text, hex                     as many values as the header says
    DICOM                         every element ends inside its parent, the last at the file's end; a SEG's
                                  pixel data are as long as its frames, a contour has as many points as it says

A NIfTI in gzip is unpacked once: `whole_content` proves it and gives what is read then.

What no checksum covers (a flipped bit in raw voxels, in a text header's position, in DICOM) cannot be seen.
"""

from __future__ import annotations

import bz2
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from gsigpu.masks.gzip_member import unpacked
from gsigpu.masks.volume_headers import VolumeHeader, damaged

_BLOCK = 2**20
_GZIP, _ZLIB_OR_GZIP = 31, 47  # wbits of zlib; MetaImage's readers take both


def whole_content(path: Path, header: VolumeHeader) -> NDArray[np.uint8] | None:
    """The bytes of a volume's file unpacked and proved, where a reader can take them; None where it reads by itself.

    They are those of a NIfTI that is one gzip member of at most `gzip_member.MOST_BYTES`, header and voxels.
    Raises DamagedMask unless each data file holds just the voxels that the header says.
    """
    if _is_packed_nifti(path, header):
        content = unpacked(path.read_bytes(), header.offset + header.n_values * header.value_bytes)
        if content is not None:
            return content
    require_whole_volume(path, header)
    return None


def require_whole_volume(path: Path, header: VolumeHeader) -> None:
    """Raises DamagedMask unless each data file holds just the voxels that the header says."""
    n_files = len(header.data_files)
    for data_file in header.data_files:
        if not data_file.is_file():
            raise damaged(path, f"its file of voxels {data_file.name} is missing")
    expected = header.n_values * (header.value_bytes if _is_binary(header) else 1)
    if expected % n_files:
        raise damaged(path, f"its voxels do not fill {n_files} files")
    for data_file in header.data_files:
        n_found = _decoded_length(path, data_file, header, expected // n_files)
        if n_found != expected // n_files:
            unit = "bytes" if _is_binary(header) else "values"
            where = "it" if data_file == path else data_file.name
            raise damaged(
                path, f"{where} holds {n_found} {unit} of voxels, not {expected // n_files}"
            )


def _is_binary(header: VolumeHeader) -> bool:
    return header.encoding not in ("text", "hex")


def _is_packed_nifti(path: Path, header: VolumeHeader) -> bool:
    return header.encoding == "gzip" and path.name.lower().endswith((".nii", ".nii.gz"))


def _decoded_length(path: Path, data_file: Path, header: VolumeHeader, expected: int) -> int:
    """Bytes of voxels in a data file, or values where they are text.

    expected : that makes them whole
    Raises DamagedMask if a checksum is wrong or the stream breaks off.
    """
    offset = header.offset
    if header.encoding == "raw":
        share = header.n_values * header.value_bytes // len(header.data_files)
        size = data_file.stat().st_size
        return min(size, share) if offset < 0 else size - offset
    with data_file.open("rb") as file:
        try:
            if _is_packed_nifti(data_file, header):
                return sum(map(len, _expanded(file, _GZIP))) - offset  # the header is inside
            file.seek(max(offset, 0))
            if header.encoding == "gzip":
                if unpacked(file.read(), expected) is not None:
                    return expected
                file.seek(max(offset, 0))
                return sum(map(len, _expanded(file, _GZIP)))
            if header.encoding == "zlib":
                return sum(map(len, _expanded(file, _ZLIB_OR_GZIP)))
            rest = file.read()
            if header.encoding == "bzip2":
                return len(bz2.decompress(rest))
            if header.encoding == "hex":
                return len(bytes.fromhex(rest.decode("ascii"))) // header.value_bytes
            return len(rest.split())
        except (zlib.error, OSError, ValueError, EOFError) as error:
            reason = " ".join(str(error).split())
            if data_file != path:
                reason = f"{data_file.name}: {reason}"
            raise damaged(path, reason) from error


def _expanded(file: BinaryIO, wbits: int) -> Iterator[bytes]:
    """Blocks of a compressed stream; of gzip's members one after the other, as gzip itself reads them.

    Raises ValueError if it breaks off, or something else is behind it; zlib.error if a checksum is wrong.
    """
    rest = b""
    while True:
        stream = zlib.decompressobj(wbits=wbits)
        while not stream.eof:
            block = rest or file.read(_BLOCK)
            if not block:
                raise ValueError("its compressed data break off")
            yield stream.decompress(block, _BLOCK)
            rest = stream.unconsumed_tail
        rest = stream.unused_data or file.read(_BLOCK)
        if not rest.strip(b"\0"):
            if file.read().strip(b"\0"):
                raise ValueError("something else follows its compressed data")
            return
        if wbits != _GZIP or not rest.startswith(b"\x1f"):
            raise ValueError("something else follows its compressed data")
