"""Names in figures: every letter is drawn where a font has it, in files that hold the font, and told where none has."""

import warnings

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gsigpu import figure_fonts
from gsigpu.errors import GsigpuWarning
from gsigpu.report.figure_style import Drawing, house_style, new_figure, save

# Letters of scripts that no installed font has: Sogdian and Vithkuqi.
ONE_FONT_HAS, NO_FONT_HAS = "\U00010f30", "\U00010570"


@pytest.fixture
def font(tmp_path, monkeypatch):
    """A font of one letter, a black square, that was installed after matplotlib made its list."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, 900), (900, 900), (900, 0)):
        pen.lineTo(corner)
    pen.closePath()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", "square"])
    builder.setupCharacterMap({ord(ONE_FONT_HAS): "square"})
    builder.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "square": pen.glyph()})
    builder.setupHorizontalMetrics({".notdef": (500, 0), "square": (1000, 0)})
    builder.setupHorizontalHeader(ascent=900, descent=-100)
    builder.setupNameTable({"familyName": "Square", "styleName": "Regular", "psName": "Square"})
    builder.setupOS2(sTypoAscender=900, usWinAscent=900)
    builder.setupPost()
    path = tmp_path / "Square.ttf"
    builder.save(path)
    manager = font_manager.fontManager
    before = list(manager.ttflist)
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [str(path)])
    figure_fonts._files.cache_clear()
    figure_fonts._told.clear()
    yield path
    manager.ttflist[:] = before
    figure_fonts._files.cache_clear()
    figure_fonts._told.clear()


def figure_with(text):
    with house_style():
        figure = new_figure(2.0, 1.0)
        axes = figure.subplots()
        axes.set_xticks([0, 1], [text, "b"])
        axes.set_title(text)
    return figure


def test_a_letter_that_the_house_font_lacks_is_drawn_in_one_that_has_it(font, tmp_path):
    with house_style(), warnings.catch_warnings():
        warnings.simplefilter("error")
        save(Drawing("f", "t", "", figure_with(f"a {ONE_FONT_HAS}")), tmp_path)
    assert b"Square" in (tmp_path / "f.pdf").read_bytes()
    assert "'DejaVu Sans', Square" in (tmp_path / "f.svg").read_text("utf-8").replace(
        "'Square'", "Square"
    )


def test_the_picture_shows_it(font):
    figure = Figure(figsize=(1, 1), dpi=100)
    canvas = FigureCanvasAgg(figure)
    figure.text(0.1, 0.1, ONE_FONT_HAS, fontsize=50)
    with figure_fonts.fonts_for(figure):
        canvas.draw()
    dark = np.asarray(canvas.buffer_rgba())[..., 0] < 128
    # A square of 0.9 em: 50 points are 69 pixels at 100 dpi. A box for a missing letter is hollow.
    assert dark.sum() == pytest.approx((0.9 * 50 / 72 * 100) ** 2, rel=0.05)


def test_a_letter_that_no_font_has_is_told_once(font, tmp_path):
    drawing = Drawing("f", "t", "", figure_with(NO_FONT_HAS))
    with house_style():
        with pytest.warns(
            GsigpuWarning, match=f"no installed font has {NO_FONT_HAS}, .*install"
        ) as told:
            save(drawing, tmp_path)
        assert len(told) == 1
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            save(drawing, tmp_path)


def test_other_figures_are_the_same_whatever_is_installed(font, tmp_path):
    with house_style():
        save(Drawing("f", "t", "", figure_with("λHU ± £ Å")), tmp_path)
    assert "'DejaVu Sans'" in (tmp_path / "f.svg").read_text("utf-8")
    assert "Square" not in (tmp_path / "f.svg").read_text("utf-8")
