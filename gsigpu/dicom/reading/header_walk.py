"""Finds the kept elements (elements.KEPT_ELEMENTS) of a header without building a dataset.

A study has thousands of headers, and this program needs some forty values of each. The walk goes
from element to element by their lengths and keeps the bytes of those it needs. It understands
what nearly all CT files are, explicit and implicit VR little endian; it gives up wherever anything
is not as it expects, and the caller hands that file to pydicom. A header like one that was walked
is not walked again (gsigpu.dicom.reading.header_template).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import BinaryIO, TypeVar

from gsigpu.dicom.reading.elements import (
    ENERGY_SEQUENCES,
    IMPLICIT_VR_LITTLE_ENDIAN,
    KEPT_ELEMENTS,
    PIXEL_DATA,
    SOP_CLASS,
    Elements,
)
from gsigpu.dicom.reading.header_template import (
    MAGIC,
    PREAMBLE,
    TRANSFER_SYNTAX,
    Header,
    HeaderTemplate,
    Likeness,
    Span,
    layout_of,
)
from gsigpu.dicom.reading.sequence_ends import (
    LONG_VRS,
    SHORT_VRS,
    UNDEFINED,
    NeedMore,
    Odd,
    after_sequence,
)
from gsigpu.dicom.reading.walkable_syntaxes import is_walkable

SMALLEST_READ = 16 * 1024
_LARGEST_HEADER = 4 * 1024 * 1024
_KEPT_TEMPLATES = 8
_PIXEL_VRS = (b"OB", b"OW")
_EXPLICIT = struct.Struct("<HH2sH").unpack_from
_LONG = struct.Struct("<L").unpack_from
T = TypeVar("T")


class HeaderWalker:
    """Walks the headers of many files, remembering what they have in common."""

    def __init__(self, sop_class_uid: str) -> None:
        """Keep the elements of images of `sop_class_uid`; of any other file, only its class."""
        self._sop_class = sop_class_uid.encode("ascii")
        self._templates: list[HeaderTemplate] = []  # the last one that fitted in front
        self._read_size = SMALLEST_READ

    def read(self, file: BinaryIO) -> Elements | None:
        """The kept elements of an open DICOM file, up to Pixel Data.

        Of a file of another SOP class the result may hold no more than that.
        Returns None where the file is not plain little endian DICOM with a preamble.
        """
        return self._grown(file, self._elements)

    def header(self, file: BinaryIO) -> Header | None:
        """All elements of a header; None where `read` would say so, and of a file of another SOP class."""
        header = self._grown(file, self._walk)
        return header if header is not None and header.spans[-1].tag == PIXEL_DATA else None

    def _grown(self, file: BinaryIO, look: Callable[[bytes], T]) -> T | None:
        """What the first bytes of a file say, as many as it takes; None where it is not plain DICOM with a preamble."""
        size = self._read_size
        buffer = file.read(size)
        if buffer[MAGIC:PREAMBLE] != b"DICM":
            return None
        while True:
            try:
                return look(buffer)
            except NeedMore:
                if len(buffer) < size or size >= _LARGEST_HEADER:
                    return None
                size *= 4
                self._read_size = size  # its neighbours will be as long
                buffer += file.read(size - len(buffer))
            except (Odd, RecursionError):
                return None

    def read_start(self, start: bytes) -> Elements | None:
        """As `read`, of the first bytes of a file; None also where they end before Pixel Data."""
        if start[MAGIC:PREAMBLE] != b"DICM":
            return None
        try:
            return self._elements(start)
        except (NeedMore, Odd, RecursionError):
            return None

    def likeness(self, start: bytes, value_tags: Sequence[int]) -> Likeness:
        """What a header must have in common with one that `read_start` read last, so that what is kept of it is the same.

        value_tags : tags of elements that may differ, of which the values are asked
        """
        return self._templates[0].likeness(start, value_tags)

    def _elements(self, buffer: bytes) -> Elements | None:
        for place, template in enumerate(self._templates):
            elements = template.elements(buffer)
            if elements is not None:
                if place:
                    self._templates.insert(0, self._templates.pop(place))
                return elements
        header = self._walk(buffer)
        if header.spans[-1].tag == SOP_CLASS:
            span = header.spans[-1]
            return Elements({SOP_CLASS: buffer[span.value : span.end]}, header.syntax)
        template = self._template_for(header)
        return template.elements(buffer)

    def _template_for(self, header: Header) -> HeaderTemplate:
        layout = layout_of(header)
        for place, known in enumerate(self._templates):
            if known.layout == layout:
                del self._templates[place]
                template = known.widened(header)
                break
        else:
            template = HeaderTemplate(layout, header, frozenset())
        self._templates.insert(0, template)
        del self._templates[_KEPT_TEMPLATES:]
        return template

    def _walk(self, buffer: bytes) -> Header:
        """Every element up to Pixel Data, or up to a SOP class of no interest."""
        syntax, spans = _file_meta(buffer)
        if not is_walkable(syntax):
            raise Odd
        explicit = syntax != IMPLICIT_VR_LITTLE_ENDIAN
        position, end, last_tag, n_meta = spans[-1].end, len(buffer), -1, len(spans)
        while position + 12 <= end:
            start = position
            group, element, vr, length = _EXPLICIT(buffer, start)
            tag = group << 16 | element
            if tag <= last_tag:
                raise Odd  # elements ascend
            last_tag = tag
            value = start + 8
            if not explicit:
                if len(spans) == n_meta and (vr in LONG_VRS or vr in SHORT_VRS):
                    raise Odd  # the file is explicit, whatever its transfer syntax claims
                length = _LONG(buffer, start + 4)[0]
            elif vr in LONG_VRS:
                length = _LONG(buffer, value)[0]
                value += 4
            elif vr not in SHORT_VRS:
                raise Odd
            if tag == PIXEL_DATA:
                if (vr in _PIXEL_VRS) != explicit:
                    raise Odd
                spans.append(Span(tag=tag, start=start, value=value, end=value))
                return Header(
                    buffer=buffer,
                    syntax=syntax,
                    spans=spans,
                    pixel_length=-1 if length == UNDEFINED else length,
                )
            if length == UNDEFINED:
                if tag in KEPT_ELEMENTS and tag not in ENERGY_SEQUENCES:
                    raise Odd
                position = after_sequence(buffer, value, explicit=explicit and vr != b"UN")
            else:
                position = value + length
            spans.append(Span(tag=tag, start=start, value=value, end=position))
            if tag == SOP_CLASS and buffer[value:position].rstrip(b"\0 ") != self._sop_class:
                if position > end:
                    raise NeedMore
                return Header(buffer=buffer, syntax=syntax, spans=spans, pixel_length=0)
        raise NeedMore


def _file_meta(buffer: bytes) -> tuple[str, list[Span]]:
    """Transfer syntax and elements of group 2, which is always explicit VR little endian."""
    syntax, spans = b"", list[Span]()
    position = PREAMBLE
    while True:
        if position + 12 > len(buffer):
            raise NeedMore
        group, element, vr, length = _EXPLICIT(buffer, position)
        if group != 2:
            if not spans:
                raise Odd
            return syntax.rstrip(b"\0 ").decode("ascii", "replace"), spans
        start, value = position, position + 8
        if vr in LONG_VRS:
            length = _LONG(buffer, value)[0]
            value += 4
        elif vr not in SHORT_VRS:
            raise Odd
        position = value + length
        spans.append(Span(tag=group << 16 | element, start=start, value=value, end=position))
        if spans[-1].tag == TRANSFER_SYNTAX:
            syntax = buffer[value:position]
