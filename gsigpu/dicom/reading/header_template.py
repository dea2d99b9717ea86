"""What headers of one layout share, so that a later one need not be walked again.

The headers of a series are nearly the same bytes. Once walked (gsigpu.dicom.reading.header_walk), a header becomes a
`HeaderTemplate`: runs of bytes, and between them the elements seen to vary. A later header that has the same runs, element
boundary on element boundary, has the same elements: the walk depends on nothing but those bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gsigpu.backends.compiled_headers import ANY, QUIET, Piece
from gsigpu.dicom.reading.elements import (
    IMPLICIT_VR_LITTLE_ENDIAN,
    KEPT_ELEMENTS,
    PER_PLANE,
    PIXEL_DATA,
    Elements,
    energy_notes,
    private_names,
)
from gsigpu.dicom.reading.sequence_ends import UNDEFINED, after_sequence

MAGIC, PREAMBLE = 128, 132  # where the letters DICM are, and the end of them
TRANSFER_SYNTAX = 0x00020010
_LONG = struct.Struct("<L").unpack_from
_SHORT = struct.Struct("<H").unpack_from


class Span(NamedTuple):
    """Where an element lies: it starts at its tag; Pixel Data ends where its value begins."""

    tag: int
    start: int
    value: int
    end: int


class Header(NamedTuple):
    """All elements of a header, file meta information included, up to Pixel Data."""

    buffer: bytes
    syntax: str
    spans: list[Span]
    pixel_length: int


def layout_of(header: Header) -> tuple[object, ...]:
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
    return tag in (TRANSFER_SYNTAX, PIXEL_DATA) or bool(private_creator)


class Likeness(NamedTuple):
    """What headers have that differ by `PER_PLANE` elements alone, as far as they are kept.

    pieces : the bytes that they share, and between them the elements that may differ, from `MAGIC` on
    constant : place among the elements whose values are asked, and value, of those that are the same in all
    pixel_length : of all
    """

    pieces: tuple[Piece, ...]
    constant: tuple[tuple[int, bytes], ...]
    pixel_length: int


class _TemplatePiece(NamedTuple):
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


class HeaderTemplate:
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
        self, buffer: bytes, varying: Sequence[Span], names: Mapping[int, str]
    ) -> tuple[_TemplatePiece, ...]:
        pieces, start = [], PREAMBLE
        for span in varying:
            short = span.value - span.start == 8 and (self._explicit or span.tag >> 16 == 2)
            n_length, length_of = (2, _SHORT) if short else (4, _LONG)
            run = buffer[start : span.value - n_length]
            pieces.append(
                _TemplatePiece(
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
            _TemplatePiece(
                run=buffer[start : self._header.spans[-1].end],
                length_of=None,
                n_length=0,
                tag=PIXEL_DATA,
            ),
        )

    def widened(self, header: Header) -> HeaderTemplate:
        """The template that fits `header` too, which has the same layout."""
        mine = self._header
        different = (
            i
            for i, (span, other) in enumerate(zip(mine.spans, header.spans, strict=True))
            if mine.buffer[span.start : span.end] != header.buffer[other.start : other.end]
        )
        return HeaderTemplate(self.layout, header, self._varying | set(different))

    def elements(self, buffer: bytes) -> Elements | None:
        """The kept elements, if the header in `buffer` fits."""
        position, end = PREAMBLE, len(buffer)
        values, private = self._values.copy(), self._private
        for piece in self._pieces:
            if not buffer.startswith(piece.run, position):
                return None
            position += len(piece.run)
            if not piece.n_length:
                break
            value = position + piece.n_length
            if value > end:
                return None
            position = self._after_value(buffer, value, piece)
            if piece.tag in KEPT_ELEMENTS:
                if position > end:
                    return None
                values[piece.tag] = buffer[value:position]
            elif piece.name:
                private = energy_notes([(piece.name, buffer[value:position])], private)
        return Elements(
            values=values,
            transfer_syntax_uid=self._header.syntax,
            private=private,
            pixel_offset=position,
            pixel_length=self._header.pixel_length,
            common_key=(self, private, *map(values.get, self._series_tags)),
        )

    def likeness(self, buffer: bytes, value_tags: Sequence[int]) -> Likeness:
        """What a header must have in common with that in `buffer`, which fits, so that both have one `common_key`.

        value_tags : tags of elements that may differ, of which the values are asked
        """
        pieces, position, begin = list[Piece](), PREAMBLE, MAGIC
        constant = [
            (place, self._values[tag])
            for place, tag in enumerate(value_tags)
            if tag in self._values
        ]
        for piece in self._pieces:
            position += len(piece.run)
            if not piece.n_length:
                break
            value, n_run = position + piece.n_length, position - begin
            position = self._after_value(buffer, value, piece)
            role = _role(piece, buffer[value:position], value_tags)
            if role is not None and not self._is_undefined(buffer, value, piece):
                run = buffer[begin : begin + n_run]
                pieces.append(Piece(run=run, n_length=piece.n_length, role=role))
                begin = position
            elif piece.tag in value_tags:
                constant.append((value_tags.index(piece.tag), buffer[value:position]))
        pieces.append(Piece(run=buffer[begin:position], n_length=0, role=ANY))
        return Likeness(
            pieces=tuple(pieces),
            constant=tuple(constant),
            pixel_length=self._header.pixel_length,
        )

    def _after_value(self, buffer: bytes, value: int, piece: _TemplatePiece) -> int:
        """Where the value of a varying element ends that begins at `value`."""
        if self._is_undefined(buffer, value, piece):
            explicit = self._explicit and buffer[value - 8 : value - 6] != b"UN"
            return after_sequence(buffer, value, explicit=explicit)
        return value + int(piece.length_of(buffer, value - piece.n_length)[0])

    @staticmethod
    def _is_undefined(buffer: bytes, value: int, piece: _TemplatePiece) -> bool:
        return piece.n_length == 4 and piece.length_of(buffer, value - 4)[0] == UNDEFINED


def _role(piece: _TemplatePiece, value: bytes, value_tags: Sequence[int]) -> int | None:
    """Of a varying element; None where its value belongs to what headers share."""
    if piece.tag in value_tags:
        return value_tags.index(piece.tag)
    if piece.tag in KEPT_ELEMENTS:
        return ANY if piece.tag in PER_PLANE else None
    if not piece.name:
        return ANY
    return None if energy_notes([(piece.name, value)]) else QUIET
