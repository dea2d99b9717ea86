"""All the files that a mask is read from, and what they hold: what is hashed is what is read."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gsigpu.archives.open_archives import is_in_archive
from gsigpu.errors import InputError, MaskError
from gsigpu.masks.gzip_member import length_told, unpacked
from gsigpu.masks.label_names import names_file
from gsigpu.masks.volume_headers import (
    GZIP_MAGIC,
    VOLUME_SUFFIXES,
    VolumeHeader,
    read_volume_header,
)
from gsigpu.plug_ins import MASK_READERS, plug_in_names

_BLOCK = 2**22
_PAGE = 4096


def is_volume(path: Path) -> bool:
    """Whether a file is a label volume by the end of its name."""
    return path.name.lower().endswith(VOLUME_SUFFIXES)


def no_mask_file(path: Path) -> InputError:
    """Of a mask that is not there, or lies where masks are not read."""
    if is_in_archive(path):
        return InputError(
            "lies in an archive, from which only images are read",
            where=path,
            remedy="unpack it beside the archive, and name it there",
        )
    return InputError("no such mask file", where=path, remedy="check the path")


def file_stem(path: Path) -> str:
    """The name of a mask file without what says its format.

    >>> file_stem(Path("met_4.seg.nrrd")), file_stem(Path("liver.nii.gz")), file_stem(Path("SEG0001"))
    ('met_4', 'liver', 'SEG0001')
    """
    added = [f".{suffix.lower()}" for suffix in plug_in_names(MASK_READERS)]
    for suffix in (*VOLUME_SUFFIXES, ".dcm", *added):
        if path.name.lower().endswith(suffix):
            stem = path.name[: -len(suffix)]
            return stem[:-4] if stem.lower().endswith(".seg") else stem
    return path.name


def files_of(path: Path) -> tuple[Path, ...]:
    """The file, the files of voxels that its header names, and the one that names its labels.

    A header that cannot be read names none: reading the mask tells what is wrong with it.
    """
    return files_and_header(path)[0]


def files_and_header(path: Path) -> tuple[tuple[Path, ...], VolumeHeader | None]:
    """`files_of`, and the header of a label volume that they were found by; None where it cannot be read."""
    if not is_volume(path):
        return (path,), None
    header: VolumeHeader | None = None
    with contextlib.suppress(MaskError, OSError):
        header = read_volume_header(path)
    beside = names_file(path)
    named = [
        *(() if header is None else header.data_files),
        *(() if beside is None else (beside,)),
    ]
    return tuple(dict.fromkeys([path, *named])), header


def content_digest(path: Path, files: Sequence[Path] = ()) -> str:
    """SHA-256 of all that a mask is read from; of the file's bytes alone where it is but one.

    files : what `files_of` said, if it was asked
    Raises OSError if one of them cannot be read.
    """
    digests = [_digest(part) for part in files or files_of(path)]
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def unpacked_digest(path: Path) -> str:
    """Of a file's bytes, of one that gzip packed of those in it: however well it is packed, it is the same mask.

    SHA-256 of the pages that are not all 0 and of where they are, for most of a mask is.
    Raises OSError or zlib.error if it cannot be read or unpacked.
    """
    with path.open("rb") as file:
        is_packed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    digest, n_bytes = hashlib.sha256(), 0
    for block in _unpacked_blocks(path, is_packed=is_packed):
        _add_pages(digest, block, n_bytes // _PAGE)
        n_bytes += len(block)
    digest.update(n_bytes.to_bytes(8, "little"))
    return digest.hexdigest()


def _unpacked_blocks(path: Path, *, is_packed: bool) -> Iterator[memoryview]:
    """The content in blocks of one length, but for the last."""
    if is_packed:
        packed = path.read_bytes()
        if (whole := unpacked(packed, length_told(packed))) is not None:
            yield from (whole[i : i + _BLOCK].data for i in range(0, whole.size, _BLOCK))
            return
    with gzip.open(path) if is_packed else path.open("rb") as content:
        while block := content.read(_BLOCK):
            yield memoryview(block)


def _add_pages(digest: Any, block: memoryview, n_before: int) -> None:
    """Adds the pages of a block that are not all 0, their numbers before them, and what is less than a page.

    n_before : pages before the block
    """
    n_whole = len(block) // _PAGE * _PAGE
    pages = np.frombuffer(block[:n_whole], np.uint64).reshape(-1, _PAGE // 8)
    filled = np.flatnonzero(pages.max(axis=1, initial=0))
    digest.update((n_before + filled).astype("<i8"))
    digest.update(pages[filled])
    digest.update(block[n_whole:])


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
