"""Finds the kept elements (elements.KEPT_ELEMENTS) of a header without building a dataset.

A study has thousands of headers, and this program needs some forty values of each. The walk goes
from element to element by their lengths and keeps the bytes of those it needs. It understands
what nearly all CT files are, explicit and implicit VR little endian; it gives up wherever anything
is not as it expects, and the caller hands that file to pydicom.

The headers of a series are nearly the same bytes. Once walked, a header becomes a `_Template`: runs
of bytes, and between them the elements seen to vary. A later header that has the same runs, element
boundary on element boundary, has the same elements: the walk depends on nothing but those bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple, TypeVar

from gsigpu.dicom.reading.elements import (
    ENERGY_SEQUENCES,
    IMPLICIT_VR_LITTLE_ENDIAN,
    KEPT_ELEMENTS,
    PER_PLANE,
    PIXEL_DATA,
    SOP_CLASS,
    Elements,
    energy_notes,
    private_names,
)
from gsigpu.dicom.reading.walkable_syntaxes import is_walkable

_PREAMBLE = 132
SMALLEST_READ = 16 * 1024
_LARGEST_HEADER = 4 * 1024 * 1024
_KEPT_TEMPLATES = 8
_UNDEFINED = 0xFFFFFFFF
_LONG_VRS = frozenset(b"OB OW OF OD OL OV UN SQ UT UC UR SV UV".split())
_SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
_PIXEL_VRS = (b"OB", b"OW")
_EXPLICIT = struct.Struct("<HH2sH").unpack_from
_IMPLICIT = struct.Struct("<HHL").unpack_from
_LONG = struct.Struct("<L").unpack_from
_SHORT = struct.Struct("<H").unpack_from
_ITEM, _ITEM_END, _SEQUENCE_END = 0xE000, 0xE00D, 0xE0DD
_TRANSFER_SYNTAX = 0x00020010
T = TypeVar("T")


class _Odd(Exception):
    """The header is not what the walk expects."""


class _NeedMore(Exception):
    """The header goes on beyond the bytes at hand."""


class _Span(NamedTuple):
    """Where an element lies: it starts at its tag; Pixel Data ends where its value begins."""

    tag: int
    start: int
    value: int
    end: int


class Header(NamedTuple):
    """All elements of a header, file meta information included, up to Pixel Data."""

    buffer: bytes
    syntax: str
    spans: list[_Span]
    pixel_length: int


class HeaderWalker:
    """Walks the headers of many files, remembering what they have in common."""

    def __init__(self, sop_class_uid: str) -> None:
        """Keep the elements of images of `sop_class_uid`; of any other file, only its class."""
        self._sop_class = sop_class_uid.encode("ascii")
        self._templates: list[_Template] = []  # the last one that fitted in front
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
        if buffer[128:_PREAMBLE] != b"DICM":
            return None
        while True:
            try:
                return look(buffer)
            except _NeedMore:
                if len(buffer) < size or size >= _LARGEST_HEADER:
                    return None
                size *= 4
                self._read_size = size  # its neighbours will be as long
                buffer += file.read(size - len(buffer))
            except (_Odd, RecursionError):
                return None

    def read_start(self, start: bytes) -> Elements | None:
        """As `read`, of the first bytes of a file; None also where they end before Pixel Data."""
        if start[128:_PREAMBLE] != b"DICM":
            return None
        try:
            return self._elements(start)
        except (_NeedMore, _Odd, RecursionError):
            return None

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

    def _template_for(self, header: Header) -> _Template:
        layout = _layout(header)
        for place, known in enumerate(self._templates):
            if known.layout == layout:
                del self._templates[place]
                template = known.widened(header)
                break
        else:
            template = _Template(layout, header, frozenset())
        self._templates.insert(0, template)
        del self._templates[_KEPT_TEMPLATES:]
        return template

    def _walk(self, buffer: bytes) -> Header:
        """Every element up to Pixel Data, or up to a SOP class of no interest."""
        syntax, spans = _file_meta(buffer)
        if not is_walkable(syntax):
            raise _Odd
        explicit = syntax != IMPLICIT_VR_LITTLE_ENDIAN
        position, end, last_tag, n_meta = spans[-1].end, len(buffer), -1, len(spans)
        while position + 12 <= end:
            start = position
            group, element, vr, length = _EXPLICIT(buffer, start)
            tag = group << 16 | element
            if tag <= last_tag:
                raise _Odd  # elements ascend
            last_tag = tag
            value = start + 8
            if not explicit:
                if len(spans) == n_meta and (vr in _LONG_VRS or vr in _SHORT_VRS):
                    raise _Odd  # the file is explicit, whatever its transfer syntax claims
                length = _LONG(buffer, start + 4)[0]
            elif vr in _LONG_VRS:
                length = _LONG(buffer, value)[0]
                value += 4
            elif vr not in _SHORT_VRS:
                raise _Odd
            if tag == PIXEL_DATA:
                if (vr in _PIXEL_VRS) != explicit:
                    raise _Odd
                spans.append(_Span(tag=tag, start=start, value=value, end=value))
                return Header(
                    buffer=buffer,
                    syntax=syntax,
                    spans=spans,
                    pixel_length=-1 if length == _UNDEFINED else length,
                )
            if length == _UNDEFINED:
                if tag in KEPT_ELEMENTS and tag not in ENERGY_SEQUENCES:
                    raise _Odd
                position = _after_sequence(buffer, value, explicit=explicit and vr != b"UN")
            else:
                position = value + length
            spans.append(_Span(tag=tag, start=start, value=value, end=position))
            if tag == SOP_CLASS and buffer[value:position].rstrip(b"\0 ") != self._sop_class:
                if position > end:
                    raise _NeedMore
                return Header(buffer=buffer, syntax=syntax, spans=spans, pixel_length=0)
        raise _NeedMore


def _layout(header: Header) -> tuple[object, ...]:
    """What headers must share to share a template.

    All tags in order; the transfer syntax and the private creators, which say how elements are to
    be read; and how Pixel Data begins.
    """
    return (
        tuple([span.tag for span in header.spans]),
        tuple(
            header.buffer[span.start : span.end]
            for span in header.spans
            if _says_how_to_read(span.tag)
        ),
        header.pixel_length,
    )


def _says_how_to_read(tag: int) -> bool:
    private_creator = tag >> 16 & 1 and 0x10 <= tag & 0xFFFF <= 0xFF
    return tag in (_TRANSFER_SYNTAX, PIXEL_DATA) or bool(private_creator)


class _Piece(NamedTuple):
    """Bytes that must be there, then an element of which only the tag and VR are known.

    run : ends behind the tag and VR of the element; the last one ends where the value of Pixel
        Data begins
    length_of : reads the element's length at the end of `run`
    n_length : bytes of that length; 0 in the last piece
    tag : of the element
    name : of a private element, for a person; else ""
    """

    run: bytes
    length_of: Any
    n_length: int
    tag: int
    name: str = ""


class _Template:
    """The bytes that headers of one layout share.

    varying : indices of the elements seen with different bytes
    """

    def __init__(self, layout: tuple[object, ...], header: Header, varying: frozenset[int]) -> None:
        self.layout = layout
        self._header = header
        self._varying = varying
        self._explicit = header.syntax != IMPLICIT_VR_LITTLE_ENDIAN
        buffer, spans = header.buffer, header.spans
        constant = [span for i, span in enumerate(spans) if i not in varying]
        self._values = {
            span.tag: buffer[span.value : span.end]
            for span in constant
            if span.tag in KEPT_ELEMENTS
        }
        private = {span.tag: buffer[span.value : span.end] for span in spans if span.tag >> 16 & 1}
        names = private_names(private)
        self._private = energy_notes(
            (names[span.tag], private[span.tag]) for span in constant if span.tag in names
        )
        self._series_tags = tuple(
            spans[i].tag
            for i in sorted(varying)
            if spans[i].tag in KEPT_ELEMENTS and spans[i].tag not in PER_PLANE
        )
        self._pieces = self._cut(buffer, [spans[i] for i in sorted(varying)], names)

    def _cut(
        self, buffer: bytes, varying: Sequence[_Span], names: Mapping[int, str]
    ) -> tuple[_Piece, ...]:
        pieces, start = [], _PREAMBLE
        for span in varying:
            short = span.value - span.start == 8 and (self._explicit or span.tag >> 16 == 2)
            n_length, length_of = (2, _SHORT) if short else (4, _LONG)
            run = buffer[start : span.value - n_length]
            pieces.append(
                _Piece(
                    run=run,
                    length_of=length_of,
                    n_length=n_length,
                    tag=span.tag,
                    name=names.get(span.tag, ""),
                )
            )
            start = span.end
        return (
            *pieces,
            _Piece(
                run=buffer[start : self._header.spans[-1].end],
                length_of=None,
                n_length=0,
                tag=PIXEL_DATA,
            ),
        )

    def widened(self, header: Header) -> _Template:
        """The template that fits `header` too, which has the same layout."""
        mine = self._header
        different = (
            i
            for i, (span, other) in enumerate(zip(mine.spans, header.spans, strict=True))
            if mine.buffer[span.start : span.end] != header.buffer[other.start : other.end]
        )
        return _Template(self.layout, header, self._varying | set(different))

    def elements(self, buffer: bytes) -> Elements | None:
        """The kept elements, if the header in `buffer` fits."""
        position, end = _PREAMBLE, len(buffer)
        values, private = self._values.copy(), self._private
        for run, length_of, n_length, tag, name in self._pieces:
            if not buffer.startswith(run, position):
                return None
            position += len(run)
            if not n_length:
                break
            value = position + n_length
            if value > end:
                return None
            length = length_of(buffer, position)[0]
            if length == _UNDEFINED and n_length == 4:
                explicit = self._explicit and buffer[value - 8 : value - 6] != b"UN"
                position = _after_sequence(buffer, value, explicit=explicit)
            else:
                position = value + length
            if tag in KEPT_ELEMENTS:
                if position > end:
                    return None
                values[tag] = buffer[value:position]
            elif name:
                private = energy_notes([(name, buffer[value:position])], private)
        return Elements(
            values=values,
            transfer_syntax_uid=self._header.syntax,
            private=private,
            pixel_offset=position,
            pixel_length=self._header.pixel_length,
            common_key=(self, private, *map(values.get, self._series_tags)),
        )


def _file_meta(buffer: bytes) -> tuple[str, list[_Span]]:
    """Transfer syntax and elements of group 2, which is always explicit VR little endian."""
    syntax, spans = b"", list[_Span]()
    position = _PREAMBLE
    while True:
        if position + 12 > len(buffer):
            raise _NeedMore
        group, element, vr, length = _EXPLICIT(buffer, position)
        if group != 2:
            if not spans:
                raise _Odd
            return syntax.rstrip(b"\0 ").decode("ascii", "replace"), spans
        start, value = position, position + 8
        if vr in _LONG_VRS:
            length = _LONG(buffer, value)[0]
            value += 4
        elif vr not in _SHORT_VRS:
            raise _Odd
        position = value + length
        spans.append(_Span(tag=group << 16 | element, start=start, value=value, end=position))
        if spans[-1].tag == _TRANSFER_SYNTAX:
            syntax = buffer[value:position]


def _after_sequence(buffer: bytes, position: int, *, explicit: bool) -> int:
    """Position behind the Sequence Delimitation Item that ends the sequence open at `position`."""
    end = len(buffer)
    while position + 8 <= end:
        group, element, length = _IMPLICIT(buffer, position)
        if group != 0xFFFE:
            raise _Odd
        position += 8
        if element == _SEQUENCE_END:
            return position
        if element != _ITEM:
            raise _Odd
        position = (
            _after_item(buffer, position, explicit=explicit)
            if length == _UNDEFINED
            else position + length
        )
    raise _NeedMore


def _after_item(buffer: bytes, position: int, *, explicit: bool) -> int:
    """Position behind the Item Delimitation Item that ends the item open at `position`."""
    end = len(buffer)
    while position + 12 <= end:
        group, element, length = _IMPLICIT(buffer, position)
        start = position + 8
        if group == 0xFFFE:
            if element != _ITEM_END:
                raise _Odd
            return start
        undefined_explicit = explicit
        if explicit:
            vr = buffer[position + 4 : position + 6]
            if vr in _LONG_VRS:
                length = _LONG(buffer, position + 8)[0]
                start = position + 12
                undefined_explicit = vr != b"UN"
            elif vr in _SHORT_VRS:
                length = _EXPLICIT(buffer, position)[3]
            else:
                raise _Odd
        if length == _UNDEFINED:
            position = _after_sequence(buffer, start, explicit=undefined_explicit)
        else:
            position = start + length
    # An item may end within the last 12 bytes at hand; the header never does.
    raise _NeedMore
