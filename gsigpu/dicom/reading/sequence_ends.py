"""Where a sequence of undefined length ends, and what a walk over a header stops at."""

from __future__ import annotations

import struct

UNDEFINED = 0xFFFFFFFF
LONG_VRS = frozenset(b"OB OW OF OD OL OV UN SQ UT UC UR SV UV".split())
SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
_EXPLICIT = struct.Struct("<HH2sH").unpack_from
_IMPLICIT = struct.Struct("<HHL").unpack_from
_LONG = struct.Struct("<L").unpack_from
_ITEM, _ITEM_END, _SEQUENCE_END = 0xE000, 0xE00D, 0xE0DD


class Odd(Exception):
    """The header is not what the walk expects."""


class NeedMore(Exception):
    """The header goes on beyond the bytes at hand."""


def after_sequence(buffer: bytes, position: int, *, explicit: bool) -> int:
    """Position behind the Sequence Delimitation Item that ends the sequence open at `position`."""
    end = len(buffer)
    while position + 8 <= end:
        group, element, length = _IMPLICIT(buffer, position)
        if group != 0xFFFE:
            raise Odd
        position += 8
        if element == _SEQUENCE_END:
            return position
        if element != _ITEM:
            raise Odd
        position = (
            _after_item(buffer, position, explicit=explicit)
            if length == UNDEFINED
            else position + length
        )
    raise NeedMore


def _after_item(buffer: bytes, position: int, *, explicit: bool) -> int:
    """Position behind the Item Delimitation Item that ends the item open at `position`."""
    end = len(buffer)
    while position + 12 <= end:
        group, element, length = _IMPLICIT(buffer, position)
        start = position + 8
        if group == 0xFFFE:
            if element != _ITEM_END:
                raise Odd
            return start
        undefined_explicit = explicit
        if explicit:
            vr = buffer[position + 4 : position + 6]
            if vr in LONG_VRS:
                length = _LONG(buffer, position + 8)[0]
                start = position + 12
                undefined_explicit = vr != b"UN"
            elif vr in SHORT_VRS:
                length = _EXPLICIT(buffer, position)[3]
            else:
                raise Odd
        if length == UNDEFINED:
            position = after_sequence(buffer, start, explicit=undefined_explicit)
        else:
            position = start + length
    # An item may end within the last 12 bytes at hand; the header never does.
    raise NeedMore
