"""Files of figures."""

import io
import re
import zlib

from fontTools.subset import Options
from fontTools.ttLib import TTFont

from gsigpu.report.figure_style import Drawing, house_style, new_figure, save


def embedded_fonts(pdf):
    """TrueType programs of a PDF: streams whose content begins as one."""
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.S)
    contents = [zlib.decompress(s) for s in streams if s[:1] == b"x"]
    return [TTFont(io.BytesIO(content)) for content in contents if content[:4] == b"\0\1\0\0"]


def test_a_pdf_holds_letters_without_the_rules_of_setting_them(tmp_path):
    before = list(Options().drop_tables)
    with house_style():
        figure = new_figure(2.0, 1.0)
        figure.text(0.1, 0.5, "λHU fi 1.5 mg/mL")
        save(Drawing(name="a", title="a", caption="", figure=figure), tmp_path, kinds=("pdf",))
    fonts = embedded_fonts((tmp_path / "a.pdf").read_bytes())
    assert fonts
    for font in fonts:
        assert "glyf" in font
        assert not {"GSUB", "GPOS", "GDEF"} & set(font.keys())
    assert Options().drop_tables == before
