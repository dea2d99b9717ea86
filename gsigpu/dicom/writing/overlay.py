"""A map in colour over an anatomical image, with a colour bar beside it."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gsigpu.backends.compiled import choose_loop
from gsigpu.maps.definitions import MapDefinition

# What lies below is air or lung, where a map is noise.
_LEAST_TISSUE_HU = -200.0
# Anatomy stays visible under the strongest colour, and little colour covers little values.
_STRONGEST_COLOUR = 0.65
_FULL_COLOUR_AT = 0.35

_BLOCK_ROWS = 64  # so that what is between fits the second cache
_NOTHING = 256  # the entry of a blending table that leaves the image as it is

_DOTS_PER_INCH = 100
_BAR_SHARE = 5  # one column in five of the picture
_LEAST_BAR_COLUMNS = 40


def overlay(
    anatomy_hu: NDArray[np.float32],
    values: NDArray[np.float32],
    definition: MapDefinition,
    *,
    anatomy_window: tuple[float, float],
    out: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """The map over the image.

    anatomy_hu, values : (y, x) float32; NaN where there is none
    anatomy_window : (centre, width), HU
    out : (y, x, 3) to write into
    Colours span the window of the map. They grow from transparent at its lower end to 65 % at a
    third of it, cover tissue only, and nothing where there is no value. A map whose colours are
    greys is shown as it is, without the image below.
    Both are in 256 steps, so that a colour is looked up, not computed.
    Returns (y, x, 3) uint8.
    """
    picture = np.empty((*values.shape, 3), np.uint8) if out is None else out
    table = _picture_table(definition.colormap)
    lines = np.array([_line(definition.window), _line(anatomy_window, round_by=0.5)], np.float32)
    least_hu = None if definition.colormap == "gray" else _LEAST_TISSUE_HU
    loop, _ = choose_loop()
    if loop is None or not loop.overlay(anatomy_hu, values, table, lines, least_hu, picture):
        in_numpy(anatomy_hu, values, table, lines, least_hu, picture)
    return picture


def in_numpy(
    anatomy_hu: NDArray[np.float32],
    values: NDArray[np.float32],
    table: NDArray[np.uint32],
    lines: NDArray[np.float32],
    least_hu: float | None,
    out: NDArray[np.uint8],
) -> None:
    """The picture by NumPy, in blocks; the truth that the compiled loop is tested against.

    table : (257 x 256,) colours, of each entry over each grey
    lines : (2, 2) slope and intercept of the levels of the map, then of the greys
    least_hu : what is not above it the map does not cover; None if it covers all
    out : (y, x, 3), written
    """
    for first in range(0, values.shape[0], _BLOCK_ROWS):
        block = slice(first, first + _BLOCK_ROWS)
        hu, of_map = anatomy_hu[block], values[block]
        entries = _levels(of_map, *lines[0])
        hidden = np.isnan(of_map)
        if least_hu is not None:
            hidden |= ~(hu > np.float32(least_hu))
        entries[hidden] = _NOTHING
        entries <<= 8
        entries |= _levels(hu, *lines[1])
        colours = table.take(entries, mode="clip").view(np.uint8).reshape(*hu.shape, 4)
        for k in range(3):  # three copies of single bytes are faster than one of three
            out[block, :, k] = colours[..., k]


def _line(window: tuple[float, float], *, round_by: float = 0.0) -> tuple[float, float]:
    """Slope and intercept of the levels: 0 at the lower end of the window, 255 at the upper."""
    centre, width = window
    scale = 255 / width
    return scale, round_by - (centre - width / 2) * scale


def _levels(
    values: NDArray[np.float32], scale: np.float32, offset: np.float32
) -> NDArray[np.int32]:
    """Levels within 0 and 255; 0 where there is no value."""
    level = values * scale
    level += offset
    np.fmax(level, np.float32(0), out=level)  # fmax passes NaN over
    np.fmin(level, np.float32(255), out=level)
    return level.astype(np.int32)


@cache
def _picture_table(colormap: str) -> NDArray[np.uint32]:
    """(257 x 256,) colours: of each entry of the blending table over each grey, in the lowest three bytes."""
    entries = _blending_table(colormap)
    greys = np.arange(256, dtype=np.float32)[:, None]
    mixed = greys * entries[:, None, 3:] + entries[:, None, :3]
    colours = np.zeros((257, 256, 4), np.uint8)
    colours[..., :3] = (mixed + np.float32(0.5)).astype(np.uint8)
    return colours.reshape(-1, 4).view("<u4").ravel()


@cache
def _blending_table(colormap: str) -> NDArray[np.float32]:
    """(257, 4) float32: red, green, blue to add, and what is left of the image below.

    Entries 0 to 255 are the levels of the window, 256 is no colour at all.
    """
    level = np.linspace(0, 1, 256)
    strength = np.minimum(level / _FULL_COLOUR_AT, 1) * _STRONGEST_COLOUR
    if colormap == "gray":
        strength = np.ones(256)
    table = np.zeros((257, 4), np.float32)
    table[:256, :3] = colormaps[colormap](level)[:, :3] * 255 * strength[:, None]
    table[:256, 3] = 1 - strength
    table[_NOTHING, 3] = 1
    return table


def bar_columns(columns: int) -> int:
    """How many columns the colour bar adds to a picture, so that their sum is even.

    >>> bar_columns(512), bar_columns(25)
    (102, 41)
    """
    wide = max(columns // _BAR_SHARE, _LEAST_BAR_COLUMNS)
    return wide + (columns + wide) % 2


def colour_bar(definition: MapDefinition, *, rows: int, columns: int) -> NDArray[np.uint8]:
    """The colour bar of a map with its title and unit: (rows, columns, 3) uint8, white on black."""
    size = (columns / _DOTS_PER_INCH, rows / _DOTS_PER_INCH)
    figure = Figure(figsize=size, dpi=_DOTS_PER_INCH, facecolor="black")
    canvas: Any = FigureCanvasAgg(figure)
    centre, width = definition.window
    axes = figure.add_axes((0.36, 0.08, 0.18, 0.84))
    bar = Colorbar(
        axes, cmap=definition.colormap, norm=Normalize(centre - width / 2, centre + width / 2)
    )
    text_points = 0.08 * columns
    axes.tick_params(labelsize=text_points, colors="white", width=0.5, pad=2)
    bar.outline.set_edgecolor("white")
    figure.text(
        0.16,
        0.5,
        ", ".join(filter(None, (definition.title, definition.unit.display))),
        color="white",
        fontsize=1.15 * text_points,
        rotation=90,
        horizontalalignment="center",
        verticalalignment="center",
    )
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:rows, :columns, :3].copy()
