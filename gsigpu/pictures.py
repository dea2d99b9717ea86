"""Pictures of maps, for people: the anatomical image, and maps in colour with colour bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.figure_fonts import fonts_for
from gsigpu.volume import VolumeGeometry, patient_letters

ANATOMY_WINDOW = (60.0, 400.0)  # soft tissue: centre, width in HU
# Okabe and Ito's colours, told apart by every reader; on dark pictures. The study page gets them with its data.
REGION_COLOURS = {
    "core": (230, 159, 0),
    "rim": (86, 180, 233),
    "perilesional": (240, 228, 66),
    "parenchyma": (0, 158, 115),
    "aorta": (213, 94, 0),
    "liver": (201, 209, 217),
    "lesion": (255, 255, 255),
}
# The same as dark as lines on white need: each has a contrast of 3:1 with white.
REGION_INKS = {
    "core": "#b07d00",
    "rim": "#0072b2",
    "parenchyma": "#008f68",
    "lesion": "#444444",
}
_BACKGROUND = "#101418"
INK_ON_BLACK = "#e8eaed"
_BAR_LENGTHS_MM = (10.0, 20.0, 50.0, 100.0)


@dataclass(frozen=True, slots=True)
class Panel:
    """One image of a picture.

    plane : (rows, columns) float, NaN shown as background
    title, unit : above the image and beside the colour bar
    window : (centre, width), in the unit
    overlay_on : an anatomical plane shown in grey beneath, in HU; None to show `plane` alone
    shown_mask : where an overlay is drawn
    outline_mask : a region whose outline is drawn
    inner_outline_mask : one inside it, drawn dashed
    """

    plane: NDArray[Any]
    title: str
    unit: str
    window: tuple[float, float]
    colormap: str
    overlay_on: NDArray[Any] | None = None
    shown_mask: NDArray[np.bool_] | None = None
    outline_mask: NDArray[np.bool_] | None = None
    inner_outline_mask: NDArray[np.bool_] | None = None


def save_panels(
    path: Path, panels: Sequence[Panel], *, geometry: VolumeGeometry, caption: str = ""
) -> None:
    """Axial panels side by side in one PNG (or whatever the suffix says), with colour bars and units.

    geometry : of the volume that the planes are of, or are cut from: spacing, and which side is which
    """
    pixel_spacing_mm = geometry.spacing_mm[1:]
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows, columns = panels[0].plane.shape
    height_mm, width_mm = rows * pixel_spacing_mm[0], columns * pixel_spacing_mm[1]
    panel_height = 4.4 * height_mm / width_mm
    figure = Figure(
        figsize=(5.1 * len(panels), panel_height + 1.0), facecolor=_BACKGROUND, layout="constrained"
    )
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, panel in zip(axes, panels, strict=True):
        _draw(figure, axis, panel, pixel_spacing_mm)
        draw_letters(axis, geometry)
    draw_scale_bar(axes[0])
    if caption:
        figure.supxlabel(caption, color=INK_ON_BLACK, fontsize=9)
    with fonts_for(figure):
        figure.savefig(path, dpi=130, format=None if path.suffix else "png")


def _draw(figure: Any, axis: Any, panel: Panel, pixel_spacing_mm: tuple[float, float]) -> None:
    rows, columns = panel.plane.shape
    place = {
        "extent": (0, columns * pixel_spacing_mm[1], rows * pixel_spacing_mm[0], 0),
        "interpolation": "bilinear",
    }
    if panel.overlay_on is not None:
        low, high = limits(ANATOMY_WINDOW)
        axis.imshow(panel.overlay_on, cmap="gray", vmin=low, vmax=high, **place)
    low, high = limits(panel.window)
    shown = (
        panel.plane if panel.shown_mask is None else np.where(panel.shown_mask, panel.plane, np.nan)
    )
    image = axis.imshow(
        shown, cmap=panel.colormap, vmin=low, vmax=high, **(place | {"interpolation": "nearest"})
    )
    x = (np.arange(columns) + 0.5) * pixel_spacing_mm[1]
    y = (np.arange(rows) + 0.5) * pixel_spacing_mm[0]
    for mask, colour, width, style in (
        (
            panel.outline_mask,
            "black",
            1.8,
            "solid",
        ),  # keeps the white line visible on bright colours
        (panel.outline_mask, "white", 0.8, "solid"),
        (panel.inner_outline_mask, "white", 0.8, "dotted"),
    ):
        if mask is not None and mask.any():
            axis.contour(
                x, y, mask, levels=[0.5], colors=[colour], linewidths=width, linestyles=style
            )
    axis.set_title(panel.title, color=INK_ON_BLACK, fontsize=12)
    axis.set_facecolor("black")
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(False)
    # An inset is as high as the picture, whatever room the layout leaves.
    bar = figure.colorbar(image, cax=axis.inset_axes((1.02, 0.0, 0.035, 1.0)))
    bar.set_label(panel.unit, color=INK_ON_BLACK)
    bar.ax.tick_params(colors=INK_ON_BLACK, labelsize=8)
    bar.outline.set_visible(False)


def draw_letters(
    axis: Any,
    geometry: VolumeGeometry,
    *,
    size: float = 10,
    inset: float = 0.02,
    halo: bool = False,
) -> None:
    """Where the sides of the picture lie in the patient: R, L, A, P (H and F in other planes).

    size : points
    inset : from the sides, as a share of the width
    halo : a dark rim around the letters, for pictures that are bright at their sides
    """
    right = patient_letters(geometry.row_direction)[0]
    below = patient_letters(geometry.column_direction)[0]
    draw_side_letters(axis, right, below, size=size, inset=inset, halo=halo)


def draw_side_letters(
    axis: Any, right: str, below: str, *, size: float = 10, inset: float = 0.02, halo: bool = False
) -> None:
    """The letters of a plane of any orientation; see `draw_letters`.

    right, below : what of the patient lies there
    """
    opposite = dict(zip("RLAPFH", "LRPAHF", strict=True))
    places = {
        opposite[right]: (inset, 0.5),
        right: (1.0 - inset, 0.5),
        opposite[below]: (0.5, 0.96),
        below: (0.5, 0.04),
    }
    for letter, (x, y) in places.items():
        axis.text(
            x, y, letter, transform=axis.transAxes, color=INK_ON_BLACK, fontsize=size, ha="center",
            va="center", path_effects=_halo(halo),
        )  # fmt: skip


def draw_scale_bar(axis: Any, *, size: float = 8, halo: bool = False) -> None:
    """A bar of the largest of some round lengths below a quarter of the width; the axis is in mm.

    size : points of its text
    """
    (left, right), (bottom, top) = axis.get_xlim(), axis.get_ylim()
    width_mm, height_mm = right - left, bottom - top
    length = max((size for size in _BAR_LENGTHS_MM if size <= width_mm / 4), default=0.0)
    if not length:
        return
    x, y = left + 0.04 * width_mm, top + 0.955 * height_mm
    axis.plot(
        [x, x + length], [y, y], color=INK_ON_BLACK, linewidth=2.5 * size / 8, solid_capstyle="butt",
        path_effects=_halo(halo),
    )  # fmt: skip
    axis.text(
        x + length / 2, y - 0.015 * height_mm, f"{length / 10:g} cm", color=INK_ON_BLACK, fontsize=size,
        ha="center", va="bottom", path_effects=_halo(halo),
    )  # fmt: skip


def _halo(is_wanted: bool) -> list[Any] | None:
    if not is_wanted:
        return None
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=1.6, foreground="black")]


def voxel_edges(mask: NDArray[np.bool_], pixel_spacing_mm: Sequence[float]) -> NDArray[np.float64]:
    """The outline of a region along the edges of its voxels, as straight pieces.

    mask : (rows, columns) bool
    pixel_spacing_mm : (rows, columns)
    Returns (n, 2, 2) float64: n pieces, start and end, x and y in mm from the plane's corner. Neighbouring pieces of
    one line are one; what lies at the plane's side is closed there.

    >>> voxel_edges(np.array([[True, True]]), (2.0, 1.0)).tolist()
    [[[0.0, 0.0], [2.0, 0.0]], [[0.0, 2.0], [2.0, 2.0]], [[0.0, 0.0], [0.0, 2.0]], [[2.0, 0.0], [2.0, 2.0]]]
    """
    padded = np.pad(np.asarray(mask, bool), 1)
    across = _runs(padded[1:, 1:-1] != padded[:-1, 1:-1])  # line, first, last + 1
    down = _runs((padded[1:-1, 1:] != padded[1:-1, :-1]).T)
    y_mm, x_mm = pixel_spacing_mm
    level = [across[:, [1, 0]] * (x_mm, y_mm), across[:, [2, 0]] * (x_mm, y_mm)]
    upright = [down[:, [0, 1]] * (x_mm, y_mm), down[:, [0, 2]] * (x_mm, y_mm)]
    return np.concatenate([np.stack(level, axis=1), np.stack(upright, axis=1)])


def _runs(lines: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(n, 3): line, start and end of each run of True along the lines."""
    steps = np.diff(np.pad(lines.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    line, start = np.nonzero(steps == 1)
    _, end = np.nonzero(steps == -1)
    return np.stack([line, start, end], axis=1).astype(np.float64)


def hex_colour(colour: tuple[int, int, int]) -> str:
    """As style sheets and matplotlib have it.

    >>> hex_colour((230, 159, 0))
    '#e69f00'
    """
    return "#{:02x}{:02x}{:02x}".format(*colour)


def limits(window: tuple[float, float]) -> tuple[float, float]:
    """The lower and the upper end of a (centre, width) window."""
    centre, width = window
    return centre - width / 2, centre + width / 2
