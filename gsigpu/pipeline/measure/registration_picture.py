"""Masks that were carried over, as a picture: where they lay before, and where they lie after, on the phase that is measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gsigpu.figure_fonts import fonts_for
from gsigpu.phase_words import phase_name
from gsigpu.pictures import (
    ANATOMY_WINDOW,
    draw_scale_bar,
    draw_side_letters,
    limits,
    voxel_edges,
)
from gsigpu.pipeline.measure.collected_masks import CarriedLesion
from gsigpu.pipeline.measure.measurement import Measurement
from gsigpu.pipeline.measure.registration_cuts import Cut, lesion_cuts, shown_kev, shown_lesions
from gsigpu.pipeline.stack_source import PlaneStore

_PANEL_INCHES = 2.3
_TITLE_INCHES = 0.32


def save_registration(
    path: Path, measurement: Measurement, *, name_shown: Callable[[str], str] = str
) -> None:
    """A row for each lesion that was carried over.

    Left the phase that it was drawn on, beside it two planes through the carried mask on the phase that is measured:
    axial, and from the front, where breathing shows. Solid lines are the mask as it lies, dashed ones as it lay before.
    The measurement has carried masks. name_shown : a lesion's name -> what the picture calls it
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn, told = measurement.masks.drawn, {c.lesion_id: c for c in measurement.masks.carried}
    assert drawn is not None
    here = {lesion.lesion_id: lesion.mask for lesion in measurement.masks.masks.lesions}
    shown = shown_lesions(told, here)
    store = PlaneStore()  # of lesions that were not cut already
    width, height = 3 * _PANEL_INCHES, len(shown) * (_PANEL_INCHES + _TITLE_INCHES) + 0.75
    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    for row, name in enumerate(shown):
        top = 0.4 + row * (_PANEL_INCHES + _TITLE_INCHES)
        figure.text(
            0.01,
            1 - (top + 0.06) / height,
            _words(name_shown(name), told[name]),
            fontsize=8,
            weight="bold",
            va="top",
        )
        cuts = drawn.cuts.get(name) or lesion_cuts(
            drawn.stack, drawn.masks[name], measurement.stack, here[name], store
        )
        for column, cut in enumerate(cuts):
            bottom = height - top - _TITLE_INCHES - _PANEL_INCHES
            axes = figure.add_axes(
                (
                    (column * _PANEL_INCHES + 0.03) / width,
                    (bottom + 0.03) / height,
                    (_PANEL_INCHES - 0.06) / width,
                    (_PANEL_INCHES - 0.06) / height,
                )
            )
            _show(axes, cut)
    titles = (
        f"{phase_name(drawn.stack.phase)}, as drawn",
        f"{phase_name(measurement.stack.phase)}, axial",
        f"{phase_name(measurement.stack.phase)}, from the front",
    )
    for column, title in enumerate(titles):
        figure.text((column + 0.5) / 3, 1 - 0.1 / height, title, fontsize=9, ha="center", va="top")
    n_left = len(told) - len(shown)
    foot = f"orange, dashed: before; blue: carried over. {shown_kev(measurement.stack):g} keV, window {limits(ANATOMY_WINDOW)[0]:g} to {limits(ANATOMY_WINDOW)[1]:g} HU."
    foot += f" The {len(shown)} largest of {len(told)} lesions." if n_left else ""
    figure.text(0.01, 0.1 / height, foot, fontsize=7.5, va="bottom")
    with fonts_for(figure):
        figure.savefig(path, dpi=150)


def _words(name: str, carried: CarriedLesion) -> str:
    off = (
        f"up to {carried.possible_offset_mm:.0f}"
        if carried.possible_offset_mm >= 1.0
        else "less than 1"
    )
    return (
        f"lesion {name}: went {carried.shift_mm:.1f} mm, volume × {carried.volume_ratio:.2f},"
        f" may lie {off} mm off"
    )


def _show(axes: Any, cut: Cut) -> None:
    from matplotlib.collections import LineCollection

    low, high = limits(ANATOMY_WINDOW)
    (rows, columns), (y_mm, x_mm) = cut.plane.shape, cut.spacing_mm
    axes.imshow(
        np.ma.masked_invalid(cut.plane), cmap="gray", vmin=low, vmax=high, aspect="equal",
        extent=(0.0, columns * x_mm, rows * y_mm, 0.0), interpolation="nearest",
    )  # fmt: skip
    axes.set_facecolor("black")
    axes.set(xticks=[], yticks=[])
    for mask, colour, style in cut.outlines:
        # The dark line below keeps the other visible on bright tissue.
        for ink, width, dashes in (("black", 2.0, "solid"), (colour, 1.1, style)):
            lines = LineCollection(list(voxel_edges(mask, cut.spacing_mm)), colors=ink, linewidths=width, linestyles=dashes)  # fmt: skip
            lines.set_capstyle("projecting" if style == "solid" else "butt")
            axes.add_collection(lines, autolim=False)
    draw_side_letters(axes, *cut.letters, size=7.0, inset=0.04, halo=True)
    draw_scale_bar(axes, size=7.0, halo=True)
