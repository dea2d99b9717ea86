"""The montage of a lesion for a paper: a row per phase; overview, anatomy, λHU and iodine; values and colour bars.

The page of a journal is the measure: 180 mm wide, letters of 6 points and more at that width. Places are in mm, so that
every lesion's montage has the same layout, and montages can be laid beside each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.phase_words import phase_words
from gsigpu.pictures import (
    ANATOMY_WINDOW,
    REGION_COLOURS,
    draw_letters,
    draw_scale_bar,
    hex_colour,
    limits,
    voxel_edges,
)
from gsigpu.pipeline.review.paper_lesion import (
    REGIONS,
    LesionPhase,
    PaperLesion,
    RegionValues,
    field_mm,
)
from gsigpu.pipeline.review.paper_words import (
    definition_lines,
    joined,
    mean_and_sd,
    shortened,
)
from gsigpu.regions.body import box_of
from gsigpu.report.figure_style import FAINT, SHADES, new_figure

# Layout.
#   WIDTH_MM        two columns of most journals are 170 to 190 mm
#   FIELDS_MM       sides of the square around a lesion: 80 mm is a lesion of 30 mm with as much liver around it, as on
#                   the cards of the gallery; the next ones hold lesions that would fill more than SHARE of it
#   BLANK           between the greys of tissue and unlike every colour of the maps: nothing is known there
WIDTH_MM = 180.0
FIELDS_MM = (80.0, 120.0, 200.0, 400.0)
SHARE = 0.75
BLANK = "#c9ccd1"
_LEFT, _RIGHT, _GAP = 6.0, 1.0, 2.5
_HEAD, _TITLES, _VALUES, _BETWEEN, _BARS, _FOOT = 6.5, 4.5, 11.0, 2.5, 18.0, 10.5
_LINE_MM = 3.1
_BAR_MM = 2.4
_MARGIN_MM = 6.0  # around the body in the overview
_MM_PER_INCH = 25.4
_OUTLINES = {"lesion border": REGION_COLOURS["rim"], "core": REGION_COLOURS["core"]}
_MOST_TITLE = 92
_MOST_FOOT = 165
_FOOTNOTE = "Values: mean ± SD of the voxels of the whole region, in all its slices. Windows are fixed, so that patients compare."


class _Sheet:
    """A figure whose places are in mm from its upper left corner."""

    def __init__(self, width_mm: float, height_mm: float) -> None:
        self.figure = new_figure(width_mm / _MM_PER_INCH, height_mm / _MM_PER_INCH, layout=None)
        self._size = (width_mm, height_mm)

    def axes(self, left: float, top: float, width: float, height: float) -> Any:
        """Axes in a box."""
        wide, high = self._size
        return self.figure.add_axes(
            (left / wide, 1.0 - (top + height) / high, width / wide, height / high)
        )

    def text(self, left: float, top: float, words: str, size: float, **style: Any) -> None:
        """Words whose upper left corner is at a place, unless the style says else."""
        wide, high = self._size
        style = {"ha": "left", "va": "top"} | style
        self.figure.text(left / wide, 1.0 - top / high, words, fontsize=size, **style)

    def swatch(self, left: float, top: float, colour: Any, *, height: float = 1.7) -> None:
        """A small filled square, or a piece of a line."""
        from matplotlib.patches import Rectangle

        wide, high = self._size
        self.figure.add_artist(
            Rectangle(
                (left / wide, 1.0 - (top + height) / high),
                1.7 / wide,
                height / high,
                transform=self.figure.transFigure,
                facecolor=colour,
                linewidth=0.0,
            )
        )


def draw_montage(lesion: PaperLesion, *, title: tuple[str, str], inside_body: bool) -> Any:
    """The montage, as a figure of matplotlib; drawn in the house style.

    title : case and lesion, above the pictures
    inside_body : what lies around the patient is blank, and the legend says so
    """
    definitions = lesion.phases[0].definitions
    n_columns = 2 + len(definitions)
    side = (WIDTH_MM - _LEFT - _RIGHT - (n_columns - 1) * _GAP) / n_columns
    row_height = side + _VALUES + _BETWEEN
    top = _HEAD + _TITLES
    height = top + len(lesion.phases) * row_height + _BARS + _FOOT
    sheet = _Sheet(WIDTH_MM, height)
    sheet.text(_LEFT, 1.6, joined(title, _MOST_TITLE), 8.5, weight="bold")
    lefts = [_LEFT + column * (side + _GAP) for column in range(n_columns)]
    kev = lesion.phases[0].planes.anatomy_kev
    titles = ["Overview", f"CT value, {kev:g} keV", *(each.shown_title for each in definitions)]
    for left, words in zip(lefts, titles, strict=True):
        sheet.text(left, _HEAD + 0.6, words, 7.5)
    field = field_mm(lesion.phases, FIELDS_MM, SHARE)
    overview = max(_overview_mm(phase) for phase in lesion.phases)
    for number, phase in enumerate(lesion.phases):
        _draw_row(sheet, phase, lefts, top + number * row_height, side, (overview, field))
    bars = top + len(lesion.phases) * row_height
    _draw_legend(sheet, lefts[0], bars, field=field, has_blank=inside_body)
    sources = [("HU", "gray", ANATOMY_WINDOW, [f"virtual monoenergetic image at {kev:g} keV"])]
    sources += [
        (each.unit.display, each.colormap, each.window, definition_lines(each.formula, 41))
        for each in definitions
    ]
    for left, (unit, colormap, window, lines) in zip(lefts[1:], sources, strict=True):
        _draw_bar(sheet, left, bars, side, unit=unit, colormap=colormap, window=window, lines=lines)
    _draw_foot(sheet, lesion, height)
    return sheet.figure


def _overview_mm(phase: LesionPhase) -> float:
    """The side of the square that holds what is shown of the slice."""
    box = box_of(phase.inside_mask)
    rows, columns = box or tuple(slice(0, size) for size in phase.inside_mask.shape)
    y_mm, x_mm = phase.geometry.spacing_mm[1:]
    side = max((rows.stop - rows.start) * y_mm, (columns.stop - columns.start) * x_mm)
    return float(side + 2 * _MARGIN_MM)


def _draw_row(
    sheet: _Sheet,
    phase: LesionPhase,
    lefts: Sequence[float],
    top: float,
    side: float,
    widths_mm: tuple[float, float],
) -> None:
    name = phase.phase
    sheet.text(
        1.6, top + side / 2, shortened(name, 30), 8.5, weight="bold", rotation=90, va="center"
    )
    overview_mm, field = widths_mm
    box = box_of(phase.inside_mask)
    rows, columns = box or tuple(slice(0, size) for size in phase.inside_mask.shape)
    y_mm, x_mm = phase.geometry.spacing_mm[1:]
    middle = ((rows.start + rows.stop) / 2 * y_mm, (columns.start + columns.stop) / 2 * x_mm)
    axes = sheet.axes(lefts[0], top, side, side)
    _show(axes, phase, phase.planes.anatomy, ANATOMY_WINDOW, "gray", blank="black")
    _look_at(axes, middle, overview_mm)
    _frame(axes, phase.centre_mm, field)
    _furnish(axes, phase)
    panels: list[tuple[NDArray[Any], tuple[float, float], str]] = [
        (phase.planes.anatomy, ANATOMY_WINDOW, "gray"),
        *((plane, each.window, each.colormap) for each, plane in phase.planes.maps),
    ]
    for left, (plane, window, colormap) in zip(lefts[1:], panels, strict=True):
        axes = sheet.axes(left, top, side, side)
        _show(axes, phase, plane, window, colormap, blank=BLANK)
        _look_at(axes, phase.centre_mm, field)
        _outline(axes, phase)
        _furnish(axes, phase)
    n_slices = phase.geometry.shape[0]
    words = [f"slice {phase.planes.z + 1} of {n_slices}"]
    if phase.diameter_mm is not None:
        words.append(f"longest diameter {phase.diameter_mm:.1f} mm")
    _write_lines(sheet, lefts[0], top + side + 1.0, words)
    kev = phase.planes.anatomy_kev
    _write_values(
        sheet, lefts[1], top + side + 1.0, side, phase.values, unit="HU",
        value_of=lambda values: next(((m, sd) for e, m, sd in values.curve if e == kev), (None, None)),
    )  # fmt: skip
    for left, definition in zip(lefts[2:], phase.definitions, strict=True):
        _write_values(
            sheet, left, top + side + 1.0, side, phase.values, unit=definition.unit.display,
            value_of=lambda values, name=definition.parameter: values.means.get(name, (None, None)),
        )  # fmt: skip


def _show(
    axes: Any,
    phase: LesionPhase,
    plane: NDArray[Any],
    window: tuple[float, float],
    colormap: str,
    *,
    blank: str,
) -> None:
    rows, columns = plane.shape
    y_mm, x_mm = phase.geometry.spacing_mm[1:]
    low, high = limits(window)
    shown = np.where(phase.inside_mask, plane, np.nan)
    axes.imshow(
        np.ma.masked_invalid(shown), cmap=colormap, vmin=low, vmax=high, aspect="auto",
        extent=(0.0, columns * x_mm, rows * y_mm, 0.0), interpolation="nearest",
    )  # fmt: skip
    axes.set_facecolor(blank)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _look_at(axes: Any, middle: tuple[float, float], side_mm: float) -> None:
    y, x = middle
    axes.set_xlim(x - side_mm / 2, x + side_mm / 2)
    axes.set_ylim(y + side_mm / 2, y - side_mm / 2)


def _frame(axes: Any, centre: tuple[float, float], side_mm: float) -> None:
    """Where the other panels look."""
    from matplotlib.patches import Rectangle

    y, x = centre
    corner = (x - side_mm / 2, y - side_mm / 2)
    axes.add_patch(
        Rectangle(corner, side_mm, side_mm, fill=False, edgecolor="white", linewidth=0.7)
    )


def _outline(axes: Any, phase: LesionPhase) -> None:
    """The lesion's border and that of its core, along the edges of voxels, on a dark line that shows on any colour."""
    from matplotlib.collections import LineCollection

    spacing = phase.geometry.spacing_mm[1:]
    masks = {"lesion border": phase.lesion_mask, "core": phase.core_mask}
    for name, mask in masks.items():
        pieces = voxel_edges(mask, spacing)
        for colour, width in (("black", 1.7), (hex_colour(_OUTLINES[name]), 0.9)):
            lines = LineCollection(list(pieces), colors=colour, linewidths=width)
            lines.set_capstyle("projecting")
            axes.add_collection(lines, autolim=False)


def _furnish(axes: Any, phase: LesionPhase) -> None:
    draw_letters(axes, phase.geometry, size=6.0, inset=0.04, halo=True)
    draw_scale_bar(axes, size=6.0, halo=True)


def _write_lines(sheet: _Sheet, left: float, top: float, lines: Sequence[str]) -> None:
    for number, words in enumerate(lines):
        sheet.text(left, top + number * _LINE_MM, words, 6.5)


def _write_values(
    sheet: _Sheet,
    left: float,
    top: float,
    side: float,
    values: Mapping[str, RegionValues],
    *,
    unit: str,
    value_of: Any,
) -> None:
    for number, (name, of_region) in enumerate(values.items()):
        y = top + number * _LINE_MM
        sheet.swatch(left, y + 0.4, hex_colour(REGION_COLOURS[name]))
        sheet.text(left + 2.7, y, name, 6.5)
        sheet.text(left + side, y, mean_and_sd(*value_of(of_region), unit=unit), 6.5, ha="right")


def _draw_legend(sheet: _Sheet, left: float, top: float, *, field: float, has_blank: bool) -> None:
    entries: list[tuple[Any, float, str]] = [
        (hex_colour(_OUTLINES["lesion border"]), 0.7, "border of the lesion and its rim"),
        (hex_colour(_OUTLINES["core"]), 0.7, "border between core and rim"),
    ]
    if has_blank:
        entries.append((BLANK, 1.7, "outside the body, blank"))
    for number, (colour, height, words) in enumerate(entries):
        y = top + number * _LINE_MM
        sheet.swatch(left, y + 1.1 - height / 2, colour, height=height)
        sheet.text(left + 2.7, y, words, 6.0)
    last = top + len(entries) * _LINE_MM
    sheet.text(left, last, f"frame: other pictures, {field:g} mm wide", 6.0)


def _draw_bar(
    sheet: _Sheet,
    left: float,
    top: float,
    width: float,
    *,
    unit: str,
    colormap: str,
    window: tuple[float, float],
    lines: Sequence[str],
) -> None:
    from matplotlib.colorbar import Colorbar
    from matplotlib.colors import Normalize

    low, high = limits(window)
    axes = sheet.axes(left, top + 0.4, width, _BAR_MM)
    bar = Colorbar(axes, cmap=colormap, norm=Normalize(low, high), orientation="horizontal")
    ticks = np.linspace(low, high, 5)
    bar.set_ticks(list(ticks), labels=[f"{tick:g}".replace("-", "−") for tick in ticks])
    axes.tick_params(labelsize=6.0, length=1.5, pad=1.0, width=0.5)
    labels = axes.get_xticklabels()
    labels[0].set_ha("left")
    labels[-1].set_ha("right")
    bar.outline.set_linewidth(0.5)
    bar.outline.set_edgecolor(FAINT)
    sheet.text(left, top + 6.6, unit, 6.5, weight="bold")
    for number, words in enumerate(lines):
        sheet.text(left, top + 9.7 + number * 2.6, words, 5.5)


def _draw_foot(sheet: _Sheet, lesion: PaperLesion, height: float) -> None:
    absent = [
        f"{name} in {phase_words(phase.phase)}"
        for phase in lesion.phases
        for name in REGIONS
        if name not in phase.values
    ]
    absent += [f"the lesion in {phase_words(phase)}" for phase in lesion.absent]
    lines = [_FOOTNOTE]
    if absent:
        lines.append(f"Not measured: {', '.join(absent)}.")
    flags = dict.fromkeys(flag for phase in lesion.phases for flag in phase.flags)
    if flags:
        lines.append(f"Flags: {', '.join(flags)}.")
    for number, words in enumerate(lines):
        top = height - _FOOT + 1.0 + number * 2.9
        sheet.text(_LEFT, top, shortened(words, _MOST_FOOT), 6.0, color=SHADES[1])
