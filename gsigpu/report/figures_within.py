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
    for i, phase in enumerate(phases):
        wide = by_lesion(rows[rows["phase"] == phase], regions)
        for k, group in enumerate(groups):
            axis = axes[i * deep + k // columns, k % columns]
            axis.set_visible(True)
            is_group = wide.index.get_level_values("group") == group
            values = wide[is_group].to_numpy(np.float64)
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
            "stands above. A value of the patient is drawn at each of the lesions."
        ),
        figure=figure,
        alt=_seen(means, regions, parameter, observations.units.get(parameter, "")),
    )  # fmt: skip


def _panel(
    axis: Any, values: NDArray[np.float64], colour: str, *, is_many: bool
) -> NDArray[np.float64]:
    """Draws the lesions and their mean; returns the mean per region, NaN where no lesion has all."""
    n, n_regions = values.shape
    at = np.arange(n_regions)
    if n:
        # More lines are paler, so that the mean stays the first thing seen.
        strength = float(np.clip(6.0 / np.sqrt(n), 0.12, 0.7))
        axis.plot(at, values.T, color=colour, lw=0.7, alpha=strength, rasterized=is_many)
    complete = values[np.isfinite(values).all(axis=1)]
    mean = complete.mean(axis=0) if len(complete) else np.full(n_regions, np.nan)
    axis.plot(at, mean, color=INK, lw=2.0, marker="o", ms=4, zorder=4)
    axis.set_xlim(-0.25, n_regions - 0.75)
    axis.grid(visible=True, axis="y")
    axis.set_axisbelow(True)
    return np.asarray(mean, np.float64)


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
