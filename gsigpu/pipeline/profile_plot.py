"""λHU and iodine across a lesion's boundary, as a plot: one line per lesion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gsigpu.pipeline.measure import Measurement

_PARAMETERS = (("lambda_hu", "λHU (HU/keV)"), ("iodine", "iodine (mg/mL)"))
_INK = "#202124"
_FAINT = "#dadce0"


def save_profiles(path: Path, measurement: Measurement) -> None:
    """One panel per parameter: mean of each shell against its signed distance, band of one SD.

    A dashed line shows where rim and core are divided, per lesion in its colour.
    """
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [one for one in _PARAMETERS if any(row.parameter == one[0] for row in measurement.rows)]
    figure = Figure(figsize=(6.4 * len(shown), 4.8), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(shown), squeeze=False)[0]
    colours = colormaps["tab10"].colors  # type: ignore[attr-defined]  # of listed colour maps
    for axis, (parameter, label) in zip(axes, shown, strict=True):
        for number, one in enumerate(measurement.layout.lesions):
            colour = colours[number % len(colours)]
            lesion_id = one.lesion.lesion_id
            distance, mean, sd = _shells(measurement, lesion_id, parameter)
            axis.plot(distance, mean, color=colour, marker="o", ms=3, lw=1.5, label=lesion_id)
            axis.fill_between(distance, mean - sd, mean + sd, color=colour, alpha=0.10, lw=0)
            axis.axvline(-one.rim_mm, color=colour, ls=":", lw=1)
        axis.axvline(0.0, color=_INK, lw=1)
        axis.set_xlabel("distance to the boundary (mm), negative inside")
        axis.set_ylabel(label)
        axis.grid(color=_FAINT, lw=0.5)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    axes[-1].legend(title="lesion", frameon=False, fontsize=8)
    phase = f", {measurement.stack.phase}" if measurement.stack.phase else ""
    figure.suptitle(
        f"Profiles{phase}: mean and SD of 1 mm shells; dotted, the rim's inner limit", fontsize=10
    )
    figure.savefig(path, dpi=120)


def _shells(measurement: Measurement, lesion_id: str, parameter: str) -> tuple[Any, Any, Any]:
    """Distances, means and SDs of a lesion's shells, from the inside out."""
    rows = [
        row
        for row in measurement.rows
        if row.lesion_id == lesion_id and row.region == "profile" and row.parameter == parameter
    ]
    by_statistic = {
        statistic: {row.distance_mm: row.value for row in rows if row.statistic == statistic}
        for statistic in ("mean", "sd")
    }
    distance = sorted(by_statistic["mean"])
    mean = np.array([by_statistic["mean"][one] for one in distance])
    sd = np.nan_to_num(np.array([by_statistic["sd"][one] for one in distance]))
    return np.array(distance), mean, sd
