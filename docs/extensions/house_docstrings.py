"""Docstrings in the house style, as reStructuredText for autodoc.

The house style is text that reads well in an editor: formulas indented by four, a line `name : what` for each
argument or field, and sentences that open with Returns or Raises. Formulas become literal blocks, argument
lines a list, and the sentences paragraphs of their own.
"""

from __future__ import annotations

import re
from itertools import pairwise

# "low_hu, high_hu : (z, y, x) float32, HU"
_ARGUMENT = re.compile(r"^(?P<names>[A-Za-z_]\w*(?:\[[^\]]*\])?(?:, \w+)*) : (?P<text>.+)$")
_SENTENCE = re.compile(r"^(?P<word>Returns|Raises|Yields)\b(?P<text>.*)$")
_CODE = re.compile(r"(``.+?``|`[^`]+`)")
_TREE = re.compile(r"[├└│]")


def _escaped(line: str) -> str:
    r"""Prose without what reStructuredText would take for markup, but for `code`.

    >>> _escaped("|AUC - θ| of `a*b`, 2*x and name_")
    '\\|AUC - θ\\| of `a*b`, 2\\*x and name\\_'
    """
    parts = _CODE.split(line)
    return "".join(
        part if place % 2 else re.sub(r"([*|\\])|(?<=\w)_(?!\w)", r"\\\g<0>", part)
        for place, part in enumerate(parts)
    )


def to_rst(lines: list[str]) -> list[str]:
    """The lines of a docstring as reStructuredText.

    >>> to_rst(["Slope.", "", "    a = b * c", "", "x : keV", "Returns it."])[:9]
    ['Slope.', '', '::', '', '    a = b * c', '', '* **x**: keV', '', '**Returns** it.']
    """
    out: list[str] = []
    kind = "blank"  # what the line before was

    def start(new: str) -> None:
        nonlocal kind
        if kind not in (new, "blank"):
            out.append("")
        kind = new

    for line in lines:
        stripped = line.strip()
        indent = len(line) - len(line.lstrip())
        argument, sentence = _ARGUMENT.match(line), _SENTENCE.match(line)
        if not stripped:
            if kind not in ("blank", "formula"):
                kind = "blank"
            out.append("")
        elif kind == "doctest" or stripped.startswith(">>>"):
            start("doctest")
            out.append(line)
        elif (_TREE.search(line) or (indent >= 4 and kind != "argument")) and kind != "list":
            if kind != "formula":
                start("formula")
                out.extend(["::", ""])
            out.append("    " + line if _TREE.search(line) else line)
        elif argument:
            start("argument")
            names = _escaped(argument["names"])
            out.append(f"* **{names}**: {_escaped(argument['text'])}")
        elif kind == "argument" and indent:
            out.append("  " + _escaped(stripped))
        elif sentence:
            if kind != "blank":
                out.append("")
            kind = "text"
            out.append(f"**{sentence['word']}**{_escaped(sentence['text'])}")
        elif re.match(r"[-*] ", stripped):
            start("list")
            out.append(stripped[:2] + _escaped(stripped[2:]))
        elif kind == "list" and indent:
            out.append("  " + _escaped(stripped))
        else:
            start("text")
            out.append(_escaped(stripped))
    # An empty line at most between two lines.
    return [*(line for line, after in pairwise([*out, "end"]) if line or after), ""]


def setup(app):
    def convert(_app, _what, _name, _object, _options, lines):
        lines[:] = to_rst(lines)

    app.connect("autodoc-process-docstring", convert)
    return {"parallel_read_safe": True}
