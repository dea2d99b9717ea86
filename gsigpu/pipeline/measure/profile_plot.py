"""λHU and iodine across a lesion's boundary, as a plot: a pair of panels per lesion, all on one scale."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.errors import SettingsError
from gsigpu.figure_fonts import fonts_for
from gsigpu.pipeline.measure.measurement import Measurement
from gsigpu.regions.region_layout import LesionLayout
from gsigpu.regions.shells import FEW_VOXELS

_PARAMETERS = (("lambda_hu", "λHU, HU/keV", "#1967d2"), ("iodine", "iodine, mg/mL", "#b3541e"))
_INK, _FAINT, _RIM = "#202124", "#dfe2e6", "#eef0f2"
_PAIRS_PER_ROW = 3
_PANEL_INCHES = (2.35, 1.9)


@dataclass(frozen=True, slots=True)
class _Curve:
    """Shells of one lesion and parameter from the inside out, each (n,)."""

    distance_mm: NDArray[np.float64]
    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    n_valid: NDArray[np.integer]


def save_profiles(path: Path, measurement: Measurement) -> None:
    """Mean of each shell against its signed distance to the boundary, band of one SD.

    The rim is shaded, a dashed line is the mean of the parenchyma, and shells of fewer than 10 voxels have
    hollow points. The other lesions stand behind in grey.

    Raises SettingsError if no profile was measured.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    curves = _curves(measurement)
    if not curves:
        raise SettingsError(
            "no profile was measured, so none can be plotted",
            remedy="add profile to --regions, or leave out --plot",
        )
    lesions = [
        lesion
        for lesion in measurement.layout.lesions
        if (lesion.lesion.lesion_id, _PARAMETERS[0][0]) in curves
    ]
    shown = [
        style for style in _PARAMETERS if any(parameter == style[0] for _, parameter in curves)
    ]
    parenchyma = {
        row.parameter: row.value
        for row in measurement.rows
        if row.region == "parenchyma" and row.statistic == "mean"
    }
    n_pairs = 2 if len(lesions) == 4 else min(len(lesions), _PAIRS_PER_ROW)
    n_rows, n_columns = -(-len(lesions) // n_pairs), n_pairs * len(shown)
    scale = 1.8 if len(lesions) == 1 else 1.0
    width, height = (side * scale for side in _PANEL_INCHES)
    figure = Figure(
        figsize=(width * n_columns + 0.3, height * n_rows + 0.7),
        facecolor="white",
        layout="constrained",
    )
    FigureCanvasAgg(figure)
    grid = figure.subplots(n_rows, n_columns, squeeze=False, sharex=True)
    flat = grid.ravel()
    for number, lesion in enumerate(lesions):
        for k, (parameter, label, colour) in enumerate(shown):
            axis = flat[number * len(shown) + k]
            _draw(axis, curves, lesion, parameter, parenchyma.get(parameter), colour)
            axis.set_title(label, fontsize=8, color=colour, loc="right")
            if k == 0:
                axis.set_title(lesion.lesion.lesion_id, fontsize=9, weight="bold", loc="left")
    for k, (parameter, _, _) in enumerate(shown):
        limits = _limits([curve for key, curve in curves.items() if key[1] == parameter])
        for axis in flat[k :: len(shown)]:
            axis.set_ylim(*limits)
    n_panels = len(lesions) * len(shown)
    for axis in flat[n_panels:]:
        axis.set_visible(False)
    for axis in flat[max(n_panels - n_columns, 0) : n_panels]:  # the lowest of each column
        axis.tick_params(labelbottom=True)
    phase = f", {measurement.stack.phase}" if measurement.stack.phase else ""
    dashed = ", parenchyma dashed" if parenchyma else ""
    figure.suptitle(
        f"Across the lesion's boundary{phase}: mean ± SD of shells; rim shaded{dashed}",
        fontsize=10,
    )
    figure.supxlabel("distance to the boundary (mm), negative inside", fontsize=9)
    with fonts_for(figure):
        figure.savefig(path, dpi=130)


def _draw(
    axis: Any,
    curves: dict[tuple[str, str], _Curve],
    lesion: LesionLayout,
    parameter: str,
    parenchyma: float | None,
    colour: str,
) -> None:
    from matplotlib.collections import LineCollection

    lesion_curve = curves[lesion.lesion.lesion_id, parameter]
    axis.axvspan(-lesion.rim_mm, 0.0, color=_RIM, lw=0, zorder=0)
    axis.axvline(0.0, color=_INK, lw=0.8, zorder=1)
    others = [
        np.column_stack([curve.distance_mm, curve.mean])
        for (lesion_id, name), curve in curves.items()
        if name == parameter and lesion_id != lesion.lesion.lesion_id
    ]
    axis.add_collection(LineCollection(others, colors=_FAINT, linewidths=0.8, zorder=1))
    if parenchyma is not None:
        axis.axhline(parenchyma, color=_INK, lw=0.8, ls=(0, (4, 3)), zorder=1)
    axis.fill_between(
        lesion_curve.distance_mm,
        lesion_curve.mean - lesion_curve.sd,
        lesion_curve.mean + lesion_curve.sd,
        color=colour,
        alpha=0.15,
        lw=0,
    )
    axis.plot(lesion_curve.distance_mm, lesion_curve.mean, color=colour, lw=1.5, zorder=3)
    few = lesion_curve.n_valid < FEW_VOXELS
    for mask, face in ((~few, colour), (few, "white")):
        axis.plot(
            lesion_curve.distance_mm[mask],
            lesion_curve.mean[mask],
            "o",
            ms=3,
            mec=colour,
            mfc=face,
            zorder=4,
        )
    axis.tick_params(labelsize=7, length=2)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def _limits(curves: list[_Curve]) -> tuple[float, float]:
    """Of the means and their bands, without what single voxels and vessels beside a lesion do."""
    lows = np.concatenate([curve.mean - curve.sd for curve in curves])
    highs = np.concatenate([curve.mean + curve.sd for curve in curves])
    means = np.concatenate([curve.mean for curve in curves])
    low = min(np.nanpercentile(lows, 5), np.nanmin(means))
    high = max(np.nanpercentile(highs, 95), np.nanmax(means))
    margin = 0.05 * (high - low) or 1.0
    return float(low - margin), float(high + margin)


def _curves(measurement: Measurement) -> dict[tuple[str, str], _Curve]:
    """By lesion and parameter, in the order of the table; of one pass over its rows."""
    shells_by_curve: dict[tuple[str, str], dict[float, dict[str, float]]] = {}
    for row in measurement.rows:
        if row.region == "profile" and row.n_valid:
            shells = shells_by_curve.setdefault((row.lesion_id, row.parameter), {})
            shells.setdefault(row.distance_mm, {"n": row.n_valid})[row.statistic] = row.value
    return {
        key: _Curve(
            distance_mm=np.array(sorted(shells)),
            mean=np.array([shells[mm]["mean"] for mm in sorted(shells)]),
            sd=np.nan_to_num([shells[mm]["sd"] for mm in sorted(shells)]),
            n_valid=np.array([shells[mm]["n"] for mm in sorted(shells)]),
        )
        for key, shells in shells_by_curve.items()
    }
