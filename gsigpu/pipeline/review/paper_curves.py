"""Spectral curves of a lesion for a paper: HU over energy, a line per region, a panel per phase.

The layout of the source study's Figure 3, with the SD of voxels as a band.
"""

from __future__ import annotations

import math
from typing import Any

from gsigpu.maps.definitions import MapDefinition
from gsigpu.pictures import REGION_INKS
from gsigpu.pipeline.review.paper_lesion import LesionPhase, PaperLesion
from gsigpu.pipeline.review.paper_words import (
    definition_lines,
    joined,
    number,
    shortened,
)
from gsigpu.report.figure_style import FAINT, SHADES, new_figure

# Axes. Fixed, so that patients compare.
#   ENERGIES_KEV    of virtual monoenergetic images
#   LEVELS_HU       liver in the venous phase is about 270 HU at 40 keV, a necrotic core about 0; what lies beyond widens
#                   the axis in steps of STEP_HU, and the figure says so
ENERGIES_KEV = (40.0, 140.0)
LEVELS_HU = (-50.0, 350.0)
STEP_HU = 50.0
_PANEL_INCHES = (3.3, 2.75)
# Colour is not the only difference between the lines.
_LINES: dict[str, tuple[Any, str]] = {
    "core": ("-", "o"),
    "rim": ((0, (5, 1.5)), "s"),
    "parenchyma": ((0, (1.5, 1.2)), "^"),
}
_MOST_TITLE = 40


def draw_curves(lesion: PaperLesion, *, title: tuple[str, str]) -> Any:
    """The curves, as a figure of matplotlib; drawn in the house style.

    title : case and lesion
    """
    phases = lesion.phases
    width, height = _PANEL_INCHES
    figure = new_figure(0.3 + width * len(phases), height + 0.65)
    axes = figure.subplots(1, len(phases), squeeze=False, sharey=True)[0]
    low, high = levels(phases)
    for axis, phase in zip(axes, phases, strict=True):
        _draw_panel(axis, phase)
        axis.set_xlim(ENERGIES_KEV[0] - 3.0, ENERGIES_KEV[1] + 3.0)
        axis.set_ylim(low, high)
        axis.set_xticks(range(40, 141, 20))
        axis.set_xlabel("energy (keV)")
    axes[0].set_ylabel("CT value (HU)")
    figure.suptitle(
        joined(title, _MOST_TITLE * len(phases)), x=0.01, ha="left", fontsize=9.5, weight="bold"
    )
    notes = ["Lines: mean of the region; bands: ± 1 SD of its voxels."]
    slope = _slope(phases[0])
    if slope is not None:
        (formula,) = definition_lines(slope.formula, 200)
        notes.append(f"{slope.shown_title}: {formula}.")
    if (low, high) != LEVELS_HU:
        notes.append(
            f"The axis is wider than {LEVELS_HU[0]:g} to {LEVELS_HU[1]:g} HU.".replace("-", "−")
        )
    figure.supxlabel("\n".join(notes), fontsize=7.0, color=SHADES[1], x=0.01, ha="left")
    return figure


def levels(phases: tuple[LesionPhase, ...]) -> tuple[float, float]:
    """The limits of the HU axis: fixed, or wider in steps where a band lies beyond."""
    ends = [
        mean + sign * (sd or 0.0)
        for phase in phases
        for values in phase.values.values()
        for _, mean, sd in values.curve
        if mean is not None
        for sign in (-1.0, 1.0)
    ]
    low = min([*ends, LEVELS_HU[0]])
    high = max([*ends, LEVELS_HU[1]])
    return STEP_HU * math.floor(low / STEP_HU), STEP_HU * math.ceil(high / STEP_HU)


def _slope(phase: LesionPhase) -> MapDefinition | None:
    """The λHU that legends give, if the stack has one."""
    return next((each for each in phase.definitions if each.name.startswith("lambda-hu")), None)


def _draw_panel(axis: Any, phase: LesionPhase) -> None:
    slope = _slope(phase)
    axis.axhline(0.0, color=FAINT, linewidth=0.6, zorder=0)
    for name, values in phase.values.items():
        points = [(kev, mean, sd or 0.0) for kev, mean, sd in values.curve if mean is not None]
        if not points:
            continue
        kevs, means, sds = zip(*points, strict=True)
        line, marker = _LINES[name]
        label = name
        if slope is not None:
            value, _ = values.means.get(slope.parameter, (None, None))
            label = f"{name}  {number(value, slope.unit.display)}"
        lower = [mean - sd for mean, sd in zip(means, sds, strict=True)]
        upper = [mean + sd for mean, sd in zip(means, sds, strict=True)]
        axis.fill_between(kevs, lower, upper, color=REGION_INKS[name], alpha=0.13, linewidth=0)
        axis.plot(
            kevs, means, color=REGION_INKS[name], linestyle=line, marker=marker, markersize=3.2,
            linewidth=1.3, label=label,
        )  # fmt: skip
    axis.set_title(shortened(phase.phase, 40))
    if not axis.lines[1:]:
        axis.text(0.5, 0.5, "no values", transform=axis.transAxes, ha="center", color=SHADES[1])
        return
    axis.legend(
        loc="upper right", handlelength=2.8, alignment="left", title_fontsize=8.5,
        title=None if slope is None else f"{slope.shown_title}, {slope.unit.display}",
    )  # fmt: skip
