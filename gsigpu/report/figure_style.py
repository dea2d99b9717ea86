"""How figures look, and how they get into files and onto the page.

Colours of groups are after Okabe and Ito (Color Universal Design, 2008), the light ones darkened until each has a
contrast of 3:1 with the paper. They belong to groups alone: parameters, regions and readers have shades and line styles. On the page every colour below is a variable of the style sheet, so that a
figure follows the reader's light or dark scheme; in files it is as written here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gsigpu.figure_fonts import HOUSE_FONT, fonts_for
from gsigpu.report.pdf_fonts import fonts_cut_once

INK = "#1f2430"
FAINT = "#7d8592"
RULE = "#dde0e6"
PAPER = "#ffffff"
SERIES = ("#0072b2", "#d55e00", "#008f68", "#b9588f", "#b07d00", "#3d97cf", "#6b4fa0", "#7a7f87")
SHADES = ("#1f2430", "#5b6472", "#8b5a2b")
_VARIABLES = (
    {FAINT: "mid", RULE: "rule", PAPER: "paper"}
    | {colour: f"c{i}" for i, colour in enumerate(SERIES)}
    | {INK: "ink", SHADES[1]: "s1", SHADES[2]: "s2"}
)
LINES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (2, 1.5)), (0, (6, 2, 1.5, 2)))
# More marks than this are drawn as an image inside the SVG.
MOST_VECTOR_MARKS = 3000
_DPI = 150
KINDS = ("svg", "pdf", "png")
_RC = {
    "font.family": HOUSE_FONT,
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    # Where titles come to lie anyway, as no panel has ticks above it; not asked for at every drawing.
    "axes.titley": 1.0,
    "axes.labelsize": 9.0,
    "axes.edgecolor": FAINT,
    "axes.linewidth": 0.8,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "xtick.major.size": 3.0,
    "ytick.major.size": 3.0,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "svg.fonttype": "none",
    "svg.hashsalt": "gsigpu",
    "pdf.fonttype": 42,
    "path.simplify": True,
    # A $ in a group's name is a $.
    "text.parse_math": False,
}


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure that is drawn.

    name : of its files
    title : of its section
    caption : how to read it
    alt : what is seen, with numbers, for who does not see it
    """

    name: str
    title: str
    caption: str
    figure: Any
    alt: str = ""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A drawing that has been saved, without its figure: what a page needs, and what another process can hand over.

    svg : text of the file; width : inches
    """

    name: str
    title: str
    caption: str
    alt: str
    svg: str
    width: float


@contextmanager
def house_style() -> Iterator[None]:
    """Figures drawn and saved inside look alike."""
    from matplotlib import rc_context

    with rc_context(_RC):  # type: ignore[arg-type]  # a plain dict of settings is one
        yield


def new_figure(width: float, height: float, *, layout: str | None = "constrained") -> Any:
    """An empty figure, inches.

    layout : of matplotlib; None for a figure whose places are given
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout=layout)  # type: ignore[arg-type]  # names are literals there
    FigureCanvasAgg(figure)
    return figure


def colour_of(index: int) -> str:
    """Of the n-th group or parameter."""
    return SERIES[index % len(SERIES)]


def line_of(index: int) -> Any:
    """Line style of the n-th: colour is never the only difference, and the ninth is not the first."""
    return LINES[(index + index // len(SERIES)) % len(LINES)]


def shade_of(index: int) -> str:
    """Of the n-th parameter or region: colours are the groups'."""
    return SHADES[index % len(SHADES)]


def save(
    drawing: Drawing, folder: Path, *, kinds: Sequence[str] = KINDS, dpi: int = _DPI
) -> list[Path]:
    """NAME.svg, NAME.pdf and NAME.png, without dates.

    Warns (GsigpuWarning) of characters that no installed font has.
    """
    folder.mkdir(parents=True, exist_ok=True)
    about: dict[str, dict[str, str | None]] = {
        "svg": {"Date": None, "Title": drawing.title},
        "pdf": {"CreationDate": None, "Title": drawing.title},
        "png": {"Title": drawing.title},
    }
    written = []
    cut_fonts = fonts_cut_once() if "pdf" in kinds else nullcontext()
    with fonts_for(drawing.figure), cut_fonts:
        # Laid out once, not at each of the three writings; a figure of fixed places not at all.
        _without_empty_labels(drawing.figure)
        engine = drawing.figure.get_layout_engine()
        if engine is not None:
            if drawing.figure.axes:
                engine.execute(drawing.figure)
            # None, for any engine, also one that does nothing, makes matplotlib draw twice at each writing.
            drawing.figure.set_layout_engine(None)
        for kind in kinds:
            path = folder / f"{drawing.name}.{kind}"
            drawing.figure.savefig(path, format=kind, dpi=dpi, metadata=about[kind])
            written.append(path)
    return written


def _without_empty_labels(figure: Any) -> None:
    """Gives labels that say nothing a place, so that matplotlib does not look for one below all panels at each drawing."""
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if not axis.get_label_text():
                axis.set_label_coords(0.5, 0.5)


def inline_svg(svg: str, name: str) -> str:
    """An SVG file's text as an element of the page.

    Its colours become variables, its identifiers the figure's own, its font the page's. Links of a file in figures/
    lead from the page, one folder up.

    >>> inline_svg('<?xml ?><svg><g id="a" style="fill: #1f2430"/></svg>', "roc")
    '<svg><g id="roc-a" style="fill: var(--ink)"/></svg>'
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>\s*", "", body, flags=re.S)
    body = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', body)
    body = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', body)
    body = re.sub(r'\bhref="\.\./', 'href="', body)
    body = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", body)
    body = re.sub(r"#[0-9a-f]{6}\b", _variable, body)
    body = re.sub(r"'DejaVu Sans'[^;\"]*", "inherit", body)
    return body.strip()


def _variable(match: re.Match[str]) -> str:
    name = _VARIABLES.get(match[0])
    return f"var(--{name})" if name else match[0]


def grid_of(n: int, most_columns: int) -> tuple[int, int]:
    """Rows and columns for n panels, with few places left empty.

    >>> grid_of(10, 5), grid_of(3, 5), grid_of(4, 3)
    ((2, 5), (1, 3), (2, 2))
    """
    if n <= most_columns:
        return 1, n
    columns = min(range(most_columns, most_columns // 2, -1), key=lambda c: -n % c)
    return -(-n // columns), columns
