"""The letters that PDF figures hold, cut from their font once and not once a figure.

Matplotlib cuts the letters of each figure out of its font, a tenth of a second for each face: as long as it takes to draw
the figure. All figures of a report are set in two faces and take their letters from the same few, so that these are cut
once and every figure holds them, some kilobytes more. A figure with other characters has a cut of its own, so what a
file holds never depends on which figure was saved before.

Rules of ligatures and kerning are left out: Matplotlib has placed the letters by then, and to cut the rules takes three
quarters of the time that a font takes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import Any

_LAYOUT_TABLES = (
    "GDEF",
    "GPOS",
    "GSUB",
)  # of OpenType: classes, positions and substitutions of letters
# What figures of a report say: signs of units and intervals and the five ligatures of f, which Matplotlib may put into a
# font of their own; then these with all of ASCII. The first that has all characters of a font is taken.
_SIGNS = (*map(ord, "λ−–’·×±²"), *range(0xFB00, 0xFB05))
_SHARED = (_SIGNS, (*_SIGNS, *range(0x20, 0x7F)))
_MOST_CUTS = 16


@dataclass(frozen=True, slots=True)
class CutFont:
    """A font file with some of its glyphs, in the form in which Matplotlib takes one.

    content : of the file
    glyph_index_map : glyph of the whole font -> glyph of this one
    """

    content: bytes
    glyph_index_map: dict[int, int]

    @property
    def font(self) -> CutFont:
        """Matplotlib asks for fontTools' font in order to save it."""
        return self

    def save(self, file: BytesIO, **_: object) -> None:
        """Writes the content, as fontTools' font does."""
        file.write(self.content)


@contextmanager
def fonts_cut_once() -> Iterator[None]:
    """PDF files that are saved inside hold cuts that all figures share.

    Matplotlib offers no way to hand it a font that is cut; where it no longer asks for one by these names, it cuts for
    each figure as before.
    """
    from matplotlib.backends import _backend_pdf_ps

    original = getattr(_backend_pdf_ps, "get_glyphs_subset", None)
    if original is None or not hasattr(_backend_pdf_ps, "SubsetResults"):
        with _without_layout():
            yield
        return

    def shared(fontfile: Any, glyphs: Collection[int]) -> AbstractContextManager[CutFont]:
        needed = frozenset(glyphs)
        fitting = (common for common in _shared_glyphs(fontfile) if needed <= common)
        return nullcontext(_cut(original, fontfile, next(fitting, needed)))

    _backend_pdf_ps.get_glyphs_subset = shared  # type: ignore[assignment]  # of what it gives, as much as is asked for
    try:
        yield
    finally:
        _backend_pdf_ps.get_glyphs_subset = original


@lru_cache(_MOST_CUTS)
def _shared_glyphs(fontfile: Any) -> tuple[frozenset[int], ...]:
    """Glyphs of the characters that all figures share, the fewest first; 0 stands for one that the font lacks."""
    from matplotlib.font_manager import get_font

    font = get_font(fontfile)
    return tuple(frozenset({0, *map(font.get_char_index, characters)}) for characters in _SHARED)


@lru_cache(_MOST_CUTS)
def _cut(original: Callable[..., Any], fontfile: Any, glyphs: frozenset[int]) -> CutFont:
    """By Matplotlib's own function."""
    content = BytesIO()
    with _without_layout(), original(fontfile, set(glyphs)) as cut:
        cut.font.save(content, reorderTables=False)
        return CutFont(content.getvalue(), dict(cut.glyph_index_map))


@contextmanager
def _without_layout() -> Iterator[None]:
    """Cuts without rules of letters.

    fontTools offers no other way to reach the options that Matplotlib makes; where it has changed, the rules come along.
    """
    from fontTools.subset import Options

    dropped = getattr(Options, "_drop_tables_default", None)
    if dropped is None:
        yield
        return
    Options._drop_tables_default = [*dropped, *_LAYOUT_TABLES]
    try:
        yield
    finally:
        Options._drop_tables_default = dropped
