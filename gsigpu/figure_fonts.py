"""Fonts for the names in figures: what the house's font cannot draw is drawn in one that can, or is told.

Figures are set in DejaVu Sans, which comes with matplotlib and has Latin, Greek, Cyrillic and Arabic letters, but no
Chinese, Japanese or Korean ones. Where a text has a character that it lacks, that text alone gets another family behind
it. Figures without such texts stay byte for byte what they were, whatever is installed.

matplotlib keeps a list of the fonts that were there when it was first used. Fonts installed since are looked for on the
disk, so that the remedy that is printed works.
"""

from __future__ import annotations

import logging
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from gsigpu.errors import GsigpuWarning

HOUSE_FONT = "DejaVu Sans"
# Families that hold the letters of many scripts in one even style, in the order in which they are taken; then any
# other font that has the characters, by name.
_PREFERRED = (
    "Noto Sans CJK SC", "Source Han Sans SC", "Source Han Sans CN", "Noto Sans SC", "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei", "Microsoft YaHei", "PingFang SC", "Hiragino Sans GB", "SimHei", "Noto Sans CJK JP",
    "Noto Sans CJK KR", "Yu Gothic", "Malgun Gothic", "Apple SD Gothic Neo", "Arial Unicode MS", "Noto Sans",
)  # fmt: skip
# Draws a box for whatever there is.
_NO_LETTERS = "Last Resort"
# More than a few characters do not help a reader of a warning.
_MOST_NAMED = 6
_told: set[str] = set()


@contextmanager
def fonts_for(figure: Any) -> Iterator[None]:
    """Gives every text of a figure the families that have its characters; laid out and saved inside.

    figure : of matplotlib, not laid out yet
    Warns (GsigpuWarning) of characters that no installed font has. Inside, matplotlib is silent about them and about
    the weights of fonts, and PDF files hold outlines as Type 3 where a font is not TrueType, since matplotlib declares
    those wrongly.
    """
    from matplotlib import rc_context

    logger = logging.getLogger("matplotlib.font_manager")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        missing, is_truetype = _provide(figure)
        settings = {} if is_truetype else {"pdf.fonttype": 3}
        with warnings.catch_warnings(), rc_context(settings):  # type: ignore[arg-type]  # a plain dict is one
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            yield
    finally:
        logger.setLevel(level)
    if missing and missing not in _told:  # once, and not for every figure of a report
        _told.add(missing)
        warnings.warn(_note(missing), GsigpuWarning, stacklevel=3)


def _provide(figure: Any) -> tuple[str, bool]:
    """The characters that no font has, and whether all fonts are TrueType."""
    from matplotlib.text import Text

    for axes in figure.axes:  # makes the labels of ticks
        axes.get_xticklabels()
        axes.get_yticklabels()
    missing: set[str] = set()
    is_truetype = True
    for artist in figure.findobj(Text):
        absent = _absent(artist.get_text(), _files()[HOUSE_FONT], is_house=True)
        if not absent:
            continue
        families, left = families_with(absent)
        missing |= left
        if families:
            artist.set_fontfamily([HOUSE_FONT, *families])
            is_truetype &= all(_is_truetype(_files()[name]) for name in families)
    return "".join(sorted(missing)), is_truetype


def _note(missing: str) -> str:
    named = " ".join(missing[:_MOST_NAMED]) + (" …" if len(missing) > _MOST_NAMED else "")
    return (
        f"figures: no installed font has {named}, and boxes stand for these characters;"
        " install a font that has them, as Noto Sans CJK for Chinese, Japanese and Korean, and run again"
    )


def families_with(characters: Iterable[str]) -> tuple[tuple[str, ...], set[str]]:
    """Families that together have the characters, from the preferred ones on, and the characters that none has."""
    left = set(characters)
    families: list[str] = []
    for name, path in _files().items():
        if not left:
            break
        known = left - _absent(left, path)
        if known:
            families.append(name)
            left -= known
    return tuple(families), left


def _absent(text: Iterable[str], path: str, *, is_house: bool = False) -> set[str]:
    """The characters to be drawn that a font lacks; control characters and spaces are not drawn."""
    drawn = {letter for letter in text if unicodedata.category(letter)[0] not in "CZ"}
    if is_house and all(letter.isascii() for letter in drawn):
        return set()  # without opening a file
    known = _characters(path)
    return {letter for letter in drawn if ord(letter) not in known}


@cache
def _files() -> Mapping[str, str]:
    """Family -> the file of its upright, regular face; preferred families first.

    Fonts that came after matplotlib made its list are added to it.
    """
    from matplotlib import font_manager

    manager = font_manager.fontManager
    listed = {entry.fname for entry in manager.ttflist}
    for path in sorted(font_manager.findSystemFonts()):
        if path not in listed:
            try:
                manager.addfont(path)
            except (OSError, RuntimeError):  # a bitmap font, or a broken file: not one to draw with
                continue
    faces = sorted(
        (entry for entry in manager.ttflist if not entry.name.startswith(_NO_LETTERS)),
        key=lambda entry: (entry.style != "normal", _off_regular(entry.weight), entry.fname),
    )
    files: dict[str, str] = {}
    for entry in faces:
        files.setdefault(entry.name, entry.fname)
    ranks = {name: rank for rank, name in enumerate((HOUSE_FONT, *_PREFERRED))}
    return dict(sorted(files.items(), key=lambda item: (ranks.get(item[0], len(ranks)), item[0])))


def _off_regular(weight: int | str) -> int:
    """How far a face is from regular weight, 400."""
    from matplotlib.font_manager import weight_dict

    return abs(weight_dict.get(weight, 400) - 400) if isinstance(weight, str) else abs(weight - 400)


@cache
def _characters(path: str) -> frozenset[int]:
    """Code points that a font file has a glyph for."""
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(path).get_charmap())


@cache
def _is_truetype(path: str) -> bool:
    """Whether the outlines are TrueType's; OpenType with other outlines opens with OTTO."""
    with Path(path).open("rb") as font:
        head = font.read(16)
        if head[:4] == b"ttcf":  # a collection: its first font tells
            font.seek(int.from_bytes(head[12:16], "big"))
            head = font.read(4)
    return head[:4] in (b"\x00\x01\x00\x00", b"true")
