"""Figure of the regions within lesions: a line for every lesion, from core over rim to normal liver."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gsigpu.report.figure_style import (
    INK,
    MOST_VECTOR_MARKS,
    Drawing,
    colour_of,
    new_figure,
)
from gsigpu.report.table_cells import (
    decimals_of,
    file_stem,
    listed,
    number,
    parameter_name,
    plural,
    unit_name,
    with_unit,
)
from gsigpu.tables.counting import LESION, STUDY_REGIONS, WITHIN_REGIONS
from gsigpu.tables.observations import Observations

_COLUMNS = 6
# More lines than this in a panel cover each other: some of them and bands stand for all.
MOST_LINES = 300
_SHOWN_LINES = 25
_SHOWN_STRENGTH = 0.45
# Outer and inner band, in percent of the lesions, and how strong.
_BANDS = ((5.0, 95.0, 0.20), (25.0, 75.0, 0.40))
_KEY = list(LESION)


def paired_lines(observations: Observations) -> list[Drawing]:
    """One figure per parameter, phases in rows, a panel per group; none where a lesion has one region.

    As readers of paired measurements draw them: thin lines are lesions, the thick one their mean.
    """
    drawings = []
    for parameter in observations.parameters:
        rows = observations.within[observations.within["parameter"] == parameter]
        regions = [name for name in WITHIN_REGIONS if (rows["region"] == name).any()]
        if len(regions) >= 2:
            drawings.append(_figure(observations, rows, regions, parameter))
    return drawings


def by_lesion(rows: pd.DataFrame, regions: list[str]) -> pd.DataFrame:
    """A row per lesion with a column per region, NaN where it was not measured.

    rows : of one phase and parameter; a value of the patient (normal liver) stands beside each of the patient's lesions
    """
    of_patient = rows["region"].isin(STUDY_REGIONS)
    of_lesion = rows[~of_patient]
    wide = of_lesion.pivot_table(
        index=["group", *_KEY], columns="region", values="value", sort=True
    )
    for name in set(rows.loc[of_patient, "region"]):
        liver = rows[rows["region"] == name].groupby("patient_id")["value"].mean()
        wide[name] = liver.reindex(wide.index.get_level_values("patient_id")).to_numpy()
    return wide.reindex(columns=regions)


def _figure(
    observations: Observations, rows: pd.DataFrame, regions: list[str], parameter: str
) -> Drawing:
    phases = [phase for phase in observations.phases if (rows["phase"] == phase).any()]
    groups = observations.groups
    columns = min(len(groups), _COLUMNS)
    deep = -(-len(groups) // columns)
    figure = new_figure(0.9 + 1.62 * columns, 0.55 + 2.3 * deep * len(phases))
    axes = figure.subplots(deep * len(phases), columns, squeeze=False, sharex=True, sharey=True)
    for axis in axes.flat:
        axis.set_visible(False)
    means = {}
    most = 0
    for i, phase in enumerate(phases):
        wide = by_lesion(rows[rows["phase"] == phase], regions)
        for k, group in enumerate(groups):
            axis = axes[i * deep + k // columns, k % columns]
            axis.set_visible(True)
            is_group = wide.index.get_level_values("group") == group
            values = wide[is_group].to_numpy(np.float64)
            most = max(most, len(values))
            means[phase, group] = _panel(
                axis, values, colour_of(k), is_many=len(wide) > MOST_VECTOR_MARKS
            )
            name = f"{phase} {group}" if phase else group
            axis.set_title(f"{name}\n{plural(_n_complete(values), 'lesion')}", fontsize=8.5)
            axis.set_xticks(range(len(regions)), regions, rotation=30, ha="right")
            is_last = phase == phases[-1] and k + columns >= len(groups)
            axis.tick_params(labelbottom=is_last)
    figure.supylabel(with_unit(parameter, observations.units.get(parameter, "")), fontsize=9)
    return Drawing(
        name=file_stem("within", parameter),
        title=f"{parameter_name(parameter)} within lesions",
        caption=(
            f"A thin line is a lesion, from {listed(regions)}; the thick line is the mean of the lesions with every region, whose number "
            "stands above. A value of the patient is drawn at each of the lesions." + _band_words(most)
        ),
        figure=figure,
        alt=_seen(means, regions, parameter, observations.units.get(parameter, "")),
    )  # fmt: skip


def _panel(
    axis: Any, values: NDArray[np.float64], colour: str, *, is_many: bool
) -> NDArray[np.float64]:
    """Draws the lesions and their mean; returns the mean per region, NaN where no lesion has all.

    values : (lesions, regions)
    is_many : whether the figure's lines are an image
    """
    n, n_regions = values.shape
    at = np.arange(n_regions)
    complete = values[np.isfinite(values).all(axis=1)]
    if n > MOST_LINES:
        _bands(axis, at, values, colour)
        order = np.argsort(complete.mean(axis=1), kind="stable")
        chosen = np.unique(np.linspace(0, len(order) - 1, _SHOWN_LINES).round().astype(int))
        _line_each(axis, at, complete[order[chosen]], colour, _SHOWN_STRENGTH)
    elif n:
        # More lines are paler, so that the mean stays the first thing seen.
        strength = float(np.clip(6.0 / np.sqrt(n), 0.12, 0.7))
        _line_each(axis, at, values, colour, strength, is_image=is_many)
    mean = complete.mean(axis=0) if len(complete) else np.full(n_regions, np.nan)
    axis.plot(at, mean, color=INK, lw=2.0, marker="o", ms=4, zorder=4)
    axis.set_xlim(-0.25, n_regions - 0.75)
    axis.grid(visible=True, axis="y")
    axis.set_axisbelow(True)
    return np.asarray(mean, np.float64)


def _line_each(
    axis: Any,
    at: NDArray[Any],
    values: NDArray[np.float64],
    colour: str,
    strength: float,
    *,
    is_image: bool = False,
) -> None:
    """A line per lesion, all of them one artist: an artist each costs a millisecond at every writing."""
    from matplotlib.collections import LineCollection

    lines = np.stack([np.broadcast_to(at, values.shape), values], axis=-1)
    axis.add_collection(
        LineCollection(
            list(lines), colors=colour, linewidths=0.7, alpha=strength, rasterized=is_image,
            capstyle="projecting", joinstyle="round", zorder=2,
        ),
        autolim=False,
    )  # fmt: skip
    known = values[np.isfinite(values)]
    if known.size:
        axis.update_datalim([(0, known.min()), (len(at) - 1, known.max())])
        axis.autoscale_view()


def _bands(axis: Any, at: NDArray[Any], values: NDArray[np.float64], colour: str) -> None:
    """Where the middle of the lesions lies, region by region; nothing at a region without values."""
    measured = np.isfinite(values).any(axis=0)
    if not measured.any():
        return
    for low, high, strength in _BANDS:
        ends = np.nanpercentile(values[:, measured], (low, high), axis=0)
        axis.fill_between(at[measured], *ends, color=colour, alpha=strength, lw=0, zorder=1.5)


def _band_words(most: int) -> str:
    """How to read bands, where a panel has any. most : lesions of a panel"""
    if most <= MOST_LINES:
        return ""
    (low, high, _), (inner_low, inner_high, _) = _BANDS
    return (
        f" Where a group has more than {MOST_LINES} lesions, {_SHOWN_LINES} of them are drawn, evenly spaced in the order of "
        f"their means over the regions, and the bands hold the middle {inner_high - inner_low:.0f} and {high - low:.0f} % of all, "
        "region by region."
    )


def _n_complete(values: NDArray[np.float64]) -> int:
    return int(np.isfinite(values).all(axis=1).sum())


def _seen(
    means: dict[tuple[str, str], NDArray[np.float64]], regions: list[str], parameter: str, unit: str
) -> str:
    """Means of each group in the first phase that has any."""
    known = {key: mean for key, mean in means.items() if np.isfinite(mean).all()}
    if not known:
        return f"0 lesions have {listed(regions)}."
    phase = next(iter(known))[0]
    decimals = decimals_of(parameter)
    each = [
        f"{group} {', '.join(number(float(value), decimals) for value in mean)}"
        for (of_phase, group), mean in known.items()
        if of_phase == phase
    ]
    shown = unit_name(unit)
    return f"Means{f' in {phase}' if phase else ''}{f' ({shown})' if shown else ''} of {listed(regions)}: {'; '.join(each)}."
