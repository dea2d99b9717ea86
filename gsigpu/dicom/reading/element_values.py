"""Values of elements from their raw bytes: numbers, texts, and what a damaged one is read as, which is nothing."""

from __future__ import annotations

import math

from gsigpu.dicom.quiet import quiet
from gsigpu.dicom.reading.undeclared_text import decode_undeclared

_TEXT_DELIMITERS = {ord("\\"), ord("^"), ord("=")}
# How pydicom calls ISO_IR 100, and the default repertoire, which is ASCII alone.
_LATIN, _ASCII_ALONE = ["latin_1"], ["iso8859"]
# What nearly all files declare, and what pydicom makes of it.
_ENCODINGS = {"ISO_IR 6": _ASCII_ALONE, "ISO_IR 100": _LATIN, "ISO_IR 192": ["UTF8"]}

# What a float holds exactly, as all others go through one.
_PLAIN_DIGITS = 15


def ascii_text(raw: bytes | None) -> str:
    """Text that can be nothing but ASCII, as UIDs and codes are; "" where absent."""
    return raw.strip(b"\0 ").decode("ascii", "replace") if raw else ""


def numbers_of(raw: bytes | None) -> tuple[float, ...]:
    """Decimal strings; () where absent or not numbers."""
    if not raw or b"_" in raw:  # which Python takes for part of a number
        return ()
    try:
        # NULs may pad a value, but a value that begins with one is damaged.
        numbers = tuple(map(float, raw.rstrip(b"\0 ").split(b"\\")))
    except ValueError:
        return ()
    return numbers if all(map(math.isfinite, numbers)) else ()


def number_of(raw: bytes | None) -> float | None:
    """The first of decimal strings; None where absent or not numbers."""
    numbers = numbers_of(raw)
    return numbers[0] if numbers else None


def integer(raw: bytes | None) -> int | None:
    """An integer string; None where absent or no whole number."""
    if raw and len(raw) <= _PLAIN_DIGITS and (digits := raw.rstrip(b" ")).isdigit():
        return int(digits)  # as nearly all are
    number = number_of(raw)
    return int(number) if number is not None and number.is_integer() else None


def short_of(raw: bytes | None, *, signed: bool = False) -> int | None:
    """The first of binary numbers of 16 bits; None where absent or cut off."""
    return int.from_bytes(raw[:2], "little", signed=signed) if raw and len(raw) >= 2 else None


def encodings_of(raw: bytes | None) -> list[str]:
    """Python encodings of a Specific Character Set; none where it is absent or unknown."""
    if not raw or not raw.strip(b"\0 "):
        return []
    declared = ascii_text(raw)
    if declared in _ENCODINGS:
        return _ENCODINGS[declared]
    from pydicom.charset import convert_encodings

    try:
        with quiet():
            return list(convert_encodings(declared.split("\\")))
    except (LookupError, ValueError):
        return []


def text_of(raw: bytes | None, encodings: list[str]) -> str:
    """Text of a character set: what `encodings_of` gives; "" where absent."""
    if not raw:
        return ""
    if raw.isascii() and b"\x1b" not in raw:
        return raw.decode("ascii").strip("\0 \r\n")
    if not encodings or encodings in (_LATIN, _ASCII_ALONE):
        return decode_undeclared(raw, says_latin=encodings == _LATIN).strip("\0 \r\n")
    from pydicom.charset import decode_bytes

    try:
        with quiet():
            text = str(decode_bytes(raw, encodings, _TEXT_DELIMITERS))
    except (LookupError, ValueError):  # a damaged Specific Character Set can name any Python codec
        text = raw.decode("latin-1")
    return text.strip("\0 \r\n")
