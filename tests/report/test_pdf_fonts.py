"""Letters of PDF figures are cut from their fonts once."""

import io
import re
import shutil
import subprocess
import zlib

import pytest
from fontTools.ttLib import TTFont

from gsigpu.report import pdf_fonts
from gsigpu.report.figure_style import Drawing, house_style, new_figure, save


def pdf_of(folder, name, text):
    """The bytes of a PDF figure that says `text`."""
    with house_style():
        figure = new_figure(3.0, 1.0)
        figure.text(0.1, 0.5, text)
        save(Drawing(name=name, title="a", caption="", figure=figure), folder, kinds=("pdf",))
    return (folder / f"{name}.pdf").read_bytes()


def fonts_of(pdf):
    """TrueType programs of a PDF."""
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.S)
    contents = [zlib.decompress(s) for s in streams if s[:1] == b"x"]
    return [content for content in contents if content[:4] == b"\0\1\0\0"]


def test_figures_of_usual_letters_hold_the_same_cut(tmp_path):
    pdf_fonts._cut.cache_clear()
    first = fonts_of(pdf_of(tmp_path, "first", "specificity 1 − .95"))
    second = fonts_of(pdf_of(tmp_path, "second", "iodine (mg/mL)"))
    assert set(second) < set(first)  # which has signs beside the letters
    assert pdf_fonts._cut.cache_info().misses == len(first) == 2


def test_a_file_does_not_depend_on_what_was_saved_before(tmp_path):
    alone = pdf_of(tmp_path, "a", "Łódź, Größe 5")
    pdf_fonts._cut.cache_clear()
    pdf_of(tmp_path, "b", "usual letters")
    assert pdf_of(tmp_path, "a", "Łódź, Größe 5") == alone
    assert {ord("Ł"), ord("ö")} <= {
        code
        for content in fonts_of(alone)
        for code in TTFont(io.BytesIO(content)).getBestCmap() or {}
    }


@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="poppler is not installed")
@pytest.mark.parametrize("text", ["1 − specificity, λHU 95%", "Łódź and Größe"])
def test_a_reader_of_pdf_finds_the_words(tmp_path, text):
    """Poppler maps the letters of the cut font back to the text."""
    pdf_of(tmp_path, "a", text)
    read = subprocess.run(
        ["pdftotext", str(tmp_path / "a.pdf"), "-"], capture_output=True, check=True, text=True
    )
    assert read.stdout.strip().replace("ﬁ", "fi") == text
