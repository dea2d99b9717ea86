"""Texts of a header without pydicom, where it holds nothing that needs it.

What a header says of a person is read of every study. pydicom, which knows every character set, takes longer to import
than a study to measure; most such texts are plain letters in the place where they belong. Whatever else a file may
hold is left to pydicom by saying nothing here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from gsigpu.dicom.reading.elements import CHARACTER_SET, IMPLICIT_VR_LITTLE_ENDIAN
from gsigpu.dicom.reading.header_walk import HeaderWalker
from gsigpu.dicom.reading.sop_classes import CT_IMAGE_STORAGE
from gsigpu.file_state import open_input

# Character sets in which ASCII bytes are ASCII.
_LIKE_ASCII = frozenset((b"", b"ISO_IR 6", b"ISO_IR 100", b"ISO_IR 192"))
# Printable, and not the sign between the representations of a name.
_PLAIN = re.compile(rb"[ -<>-~]*")
_PREAMBLE_AND_PREFIX = 132


def is_dicom(path: Path) -> bool:
    """Whether a file has the preamble of DICOM, without which `read_header` reads nothing of it. Raises OSError."""
    with open_input(path) as file:
        return file.read(_PREAMBLE_AND_PREFIX)[128:] == b"DICM"


def plain_texts(path: Path, vr_by_tag: Mapping[int, str]) -> dict[int, list[str]] | None:
    """The values of text elements at the top of a CT file's header, by tag.

    vr_by_tag : of the elements
    Returns None where pydicom has to look: a file that is not plain, another VR, letters beyond ASCII, characters that
    change the meaning of others. Raises OSError.
    """
    with open_input(path) as file:
        header = HeaderWalker(CT_IMAGE_STORAGE).header(file)
    if header is None:
        return None
    explicit = header.syntax != IMPLICIT_VR_LITTLE_ENDIAN
    texts: dict[int, list[str]] = {}
    for tag, start, begin, end in header.spans:
        value = header.buffer[begin:end].rstrip(b"\0 ")
        if tag == CHARACTER_SET and value not in _LIKE_ASCII:
            return None
        if tag in vr_by_tag:
            vr = header.buffer[start + 4 : start + 6].decode("ascii") if explicit else ""
            if vr not in ("", vr_by_tag[tag]) or not _PLAIN.fullmatch(value):
                return None
            texts[tag] = [part.rstrip(" ") for part in value.decode("ascii").split("\\")]
    return texts
