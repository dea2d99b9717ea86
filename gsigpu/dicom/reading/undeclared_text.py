"""Text whose character set a file does not declare, or declares as Latin-1 while it is not.

Exports that drop Specific Character Set, or write ISO_IR 100 over Chinese bytes, are common. UTF-8
is recognised by its form. Chinese (GB2312, in GB18030) is recognised by runs of high bytes of even
length, each pair in the range of Chinese characters; the letters with accents of European languages
stand singly or between plain letters.
"""

from __future__ import annotations

import re

# Two bytes of Chinese may be UTF-8 by their form; then they are letters that no scanner's language has.
_ALPHABETS = re.compile(
    "[\0-\x7f\u00a0-\u017f\u0370-\u03ff\u0400-\u04ff\u2000-\u22ff\u3000-\u30ff\u3400-\u9fff\uac00-\ud7af\uff00-\uffef]*"
)
_HIGH_RUN = re.compile(rb"[\x80-\xff]+")
# GB2312: rows 1-9 are signs, 16-87 characters; the second byte is A1-FE.
_GB_PAIRS = re.compile(rb"(?:[\xa1-\xa9\xb0-\xf7][\xa1-\xfe])+")
# Two accented letters in a row occur in European words ("Größe"); four do not.
_CERTAIN_GB_BYTES = 4


def decode_undeclared(raw: bytes, *, says_latin: bool) -> str:
    """Text of bytes of unknown encoding; Latin-1 where nothing else fits.

    says_latin : the file declares Latin-1; then two accented letters in a row are believed

    >>> decode_undeclared("平扫 70 keV".encode("gb18030"), says_latin=False)
    '平扫 70 keV'
    >>> decode_undeclared("Leber venös, Größe".encode("latin-1"), says_latin=False)
    'Leber venös, Größe'
    """
    utf_8 = _decoded(raw, "utf-8")
    if utf_8 is not None and _ALPHABETS.fullmatch(utf_8):
        return utf_8
    if _looks_chinese(raw, says_latin=says_latin):
        chinese = _decoded(raw, "gb18030")
        if chinese is not None:
            return chinese
    return utf_8 or raw.decode("latin-1")


def _decoded(raw: bytes, encoding: str) -> str | None:
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError:
        return None


def _looks_chinese(raw: bytes, *, says_latin: bool) -> bool:
    runs = list(_HIGH_RUN.finditer(raw))
    if not runs or not all(_GB_PAIRS.fullmatch(run[0]) for run in runs):
        return False
    if any(len(run[0]) >= _CERTAIN_GB_BYTES for run in runs):
        return True
    return not says_latin and not any(_within_a_word(raw, run) for run in runs)


def _within_a_word(raw: bytes, run: re.Match[bytes]) -> bool:
    """Plain letters on both sides."""
    before, after = raw[run.start() - 1 : run.start()] if run.start() else b"", raw[run.end() :][:1]
    return before.isalpha() and after.isalpha()
