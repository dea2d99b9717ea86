"""Figures of the values themselves: distributions, spectral curves, profiles across the boundary."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gsigpu.cohort_statistics.groups.clustered_mean import clustered_means
from gsigpu.report.cohort_results import Results
from gsigpu.report.figure_style import (
    FAINT,
    INK,
    MOST_VECTOR_MARKS,
    PAPER,
    Drawing,
    colour_of,
    line_of,
    new_figure,
)
from gsigpu.report.table_cells import (
    decimals_of,
    file_stem,
    number,
    parameter_name,
    place,
    unit_name,
    with_unit,
)
from gsigpu.tables.observations import Observations

# Of a group's slot, which is one wide.
_BOX_LEFT, _BOX_WIDTH, _STRIP_LEFT, _STRIP_WIDTH = -0.40, 0.16, -0.18, 0.58
_MARK = 9.0
_SMALL_MARK = 3.0
# Of full and of hollow dots in an image: more cost an artist each, fewer let the kind that comes last cover the other.
_TURNS = 3


def distributions(observations: Observations, gallery: str = "") -> list[Drawing]:
    """One figure per parameter: phases in rows, regions in columns.

    gallery : address of the run's gallery, relative to the figures' folder; each dot leads to its lesion's card.
        Empty where there is none.
    """
    return [
        _distribution(observations, parameter, gallery) for parameter in observations.parameters
    ]


def _distribution(observations: Observations, parameter: str, gallery: str) -> Drawing:
    table = observations.table[observations.table["parameter"] == parameter]
    table = table[np.isfinite(table["value"])]
    phases, regions, groups = observations.phases, observations.regions, observations.groups
    figure = new_figure(2.0 + 0.62 * len(groups) * len(regions), 0.6 + 2.5 * len(phases))
    axes = figure.subplots(len(phases), len(regions), squeeze=False, sharex=True, sharey="row")
    rasterized = len(table) > MOST_VECTOR_MARKS
    for row, phase in enumerate(phases):
        for column, region in enumerate(regions):
            axis = axes[row, column]
            cell = table[(table["phase"] == phase) & (table["region"] == region)]
            for k, group in enumerate(groups):
                of_group = cell[cell["group"] == group]
                _box_and_strip(axis, k, of_group, gallery, rasterized=rasterized)
            axis.set_title(place(phase, region))
            axis.grid(visible=True, axis="y")
            axis.set_axisbelow(True)
            axis.set_xlim(-0.55, len(groups) - 0.45)
            slant = 30 if max(map(len, groups)) > 6 else 0
            axis.set_xticks(
                range(len(groups)), groups, rotation=slant, ha="right" if slant else "center"
            )
            axis.tick_params(axis="x", length=0)
    unit = observations.units.get(parameter, "")
    figure.supylabel(with_unit(parameter, unit), fontsize=9)
    return Drawing(
        name=file_stem("distribution", parameter),
        title=parameter_name(parameter),
        caption="Box: quartiles and median; whiskers to 1.5 interquartile ranges. Each dot is a lesion, in its group’s "
        "colour; the lesions of one patient stand above each other, full and hollow by turns, patients in order of "
        "their mean." + _link_words(gallery, rasterized=rasterized),
        figure=figure,
        alt=_medians_seen(table, observations, parameter),
    )


def _medians_seen(table: pd.DataFrame, observations: Observations, parameter: str) -> str:
    """Medians of the groups where they lie farthest apart."""
    medians = table.groupby(["phase", "region", "group"])["value"].median().unstack("group")
    if medians.empty:
        return "No value."
    phase, region = medians.index[
        int((medians.max(axis=1) - medians.min(axis=1)).to_numpy().argmax())
    ]
    row = medians.loc[(phase, region)]
    decimals = decimals_of(parameter)
    unit = unit_name(observations.units.get(parameter, ""))
    each = ", ".join(
        f"{group} {number(float(row[group]), decimals)}"
        for group in observations.groups
        if group in row.index and np.isfinite(row[group])
    )
    return f"{len(table)} values. Medians differ most in {place(phase, region)}: {each}{f' ({unit})' if unit else ''}."


def _link_words(gallery: str, *, rasterized: bool) -> str:
    """What a click does."""
    if not gallery:
        return ""
    which = "beyond the whiskers " if rasterized else ""
    return f" A click on a dot {which}opens the lesion in the gallery."


def _box_and_strip(
    axis: Any, k: int, cell: pd.DataFrame, gallery: str, *, rasterized: bool
) -> None:
    if cell.empty:
        return
    values = cell["value"].to_numpy()
    axis.boxplot(
        values,
        positions=[k + _BOX_LEFT + _BOX_WIDTH / 2],
        widths=_BOX_WIDTH,
        showfliers=False,
        manage_ticks=False,
        boxprops={"color": INK, "lw": 1.0},
        medianprops={"color": INK, "lw": 2.0},
        whiskerprops={"color": INK, "lw": 1.0},
        capprops={"color": INK, "lw": 1.0},
    )
    means = cell.groupby("patient_id")["value"].mean().sort_values(kind="stable")
    rank = pd.Series(np.arange(len(means)), index=means.index)
    at = cell["patient_id"].map(rank).to_numpy()
    x = k + _STRIP_LEFT + _STRIP_WIDTH * (at + 0.5) / len(means)
    # Full and hollow by turns: patients have no colour, groups have.
    colours = np.where(at % 2 == 0, colour_of(k), PAPER)
    size = _MARK if len(values) < 200 else _SMALL_MARK
    # A picture of thousands of dots has no links; those that a reader asks about keep theirs.
    linked_mask = np.full(len(values), bool(gallery))
    if rasterized:
        linked_mask &= _beyond_whiskers(values)
        _stamp(
            axis,
            x[~linked_mask],
            values[~linked_mask],
            at[~linked_mask] % 2 == 0,
            colour_of(k),
            size,
        )
    for mask, is_linked in ((~linked_mask & (not rasterized), False), (linked_mask, True)):
        if not mask.any():
            continue
        dots = axis.scatter(
            x[mask],
            values[mask],
            s=size,
            c=colours[mask],
            edgecolors=colour_of(k),
            linewidths=0.7,
            zorder=3,
        )
        if is_linked:
            dots.set_urls([_card_address(gallery, row) for row in cell[mask].to_dict("records")])


def _stamp(
    axis: Any,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    is_full: NDArray[np.bool_],
    colour: str,
    size: float,
) -> None:
    """Dots of an image: those of one kind are stamped by one artist, where `scatter` draws each by itself.

    Full and hollow ones take turns, so that neither kind covers the other.
    """
    turn = np.arange(x.size) * _TURNS // max(x.size, 1)
    for k in range(_TURNS):
        for kind, face in ((True, colour), (False, PAPER)):
            mask = (turn == k) & (is_full == kind)
            axis.plot(
                x[mask], y[mask], "o", ms=float(np.sqrt(size)), mfc=face, mec=colour, mew=0.7,
                rasterized=True, zorder=3,
            )  # fmt: skip


def _beyond_whiskers(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    low, high = np.percentile(values, (25, 75))
    reach = 1.5 * (high - low)
    return np.asarray((values < low - reach) | (values > high + reach), dtype=bool)


def _card_address(gallery: str, row: Mapping[Hashable, Any]) -> str:
    """Of the lesion's card; of every reader's where the value is the mean over readers."""
    names = {"case": row["case_id"], "lesion": row["lesion_id"], "phase": row["phase"]}
    if row["reader"] != "mean":
        names["reader"] = row["reader"]
    return f"{gallery}#{urlencode({name: text for name, text in names.items() if text})}"


def spectral_curves(observations: Observations, results: Results) -> Drawing | None:
    """Mean HU against energy per group; None where the table has no monoenergetic values."""
    curves = observations.curves
    if curves.empty or curves["energy_kev"].nunique() < 2:
        return None
    means = clustered_means(
        curves, ["phase", "region", "group", "energy_kev"], confidence=results.settings.confidence
    )
    return _lines(
        observations,
        means,
        "energy_kev",
        columns=[("", region) for region in observations.regions],
        name="spectral_curves",
        title="Spectral curves",
        xlabel="energy (keV)",
        ylabel="CT number (HU)",
        caption=f"Mean over lesions; bands are {results.interval}s in which the lesions of a patient count together.",
    )


def profiles(observations: Observations, results: Results) -> Drawing | None:
    """Mean of λHU and iodine in shells across the boundary; None where no shell has values of two patients."""
    table = observations.profiles
    if table.empty:
        return None
    known = [
        parameter
        for parameter in ("lambda_hu", "iodine")
        if (table["parameter"] == parameter).any()
    ]
    means = clustered_means(
        table,
        ["phase", "parameter", "group", "distance_mm"],
        confidence=results.settings.confidence,
    )
    # A shell that few lesions are thick enough to have is no longer the cohort's.
    most = means.groupby(["phase", "parameter", "group"])["n_lesions"].transform("max")
    means = means[(means["n_lesions"] >= 0.5 * most) & (means["n_patients"] > 1)]
    if means.empty:
        return None
    drawing = _lines(
        observations,
        means,
        "distance_mm",
        columns=[(parameter, "") for parameter in known],
        name="profiles",
        title="From core to surroundings",
        xlabel="distance to the boundary (mm), negative inside",
        ylabel="",
        caption="Mean over lesions of 1 mm shells, as far as half of a group's lesions reach; bands are "
        f"{results.interval}s in which the lesions of a patient count together. The line at 0 is the boundary.",
    )
    for axis in drawing.figure.axes:
        axis.axvline(0.0, color=FAINT, lw=1.0, zorder=1)
    return drawing


def _lines(
    observations: Observations,
    means: pd.DataFrame,
    x: str,
    *,
    columns: list[tuple[str, str]],
    name: str,
    title: str,
    xlabel: str,
    ylabel: str,
    caption: str,
) -> Drawing:
    """Phases in rows, (parameter, region) in columns, one line and band per group."""
    phases = [phase for phase in observations.phases if (means["phase"] == phase).any()]
    figure = new_figure(1.0 + 3.1 * len(columns), 0.9 + 2.5 * len(phases))
    axes = figure.subplots(len(phases), len(columns), squeeze=False, sharex=True)
    for row, phase in enumerate(phases):
        for column, (parameter, region) in enumerate(columns):
            axis = axes[row, column]
            cell = means[means["phase"] == phase]
            if parameter:
                cell = cell[cell["parameter"] == parameter]
                unit = {"lambda_hu": "HU/keV", "iodine": "mg/mL"}[parameter]
                axis.set_ylabel(f"{parameter_name(parameter)} ({unit})")
            if region:
                cell = cell[cell["region"] == region]
            for k, group in enumerate(observations.groups):
                of_group = cell[cell["group"] == group].sort_values(x)
                if of_group.empty:
                    continue
                at = of_group[x].to_numpy()
                axis.fill_between(
                    at,
                    of_group["ci_low"].to_numpy(),
                    of_group["ci_high"].to_numpy(),
                    color=colour_of(k),
                    alpha=0.14,
                    lw=0,
                )
                axis.plot(
                    at, of_group["mean"].to_numpy(), color=colour_of(k), ls=line_of(k), lw=1.8,
                    label=group,
                )  # fmt: skip
            axis.set_title(place(phase, region))
            axis.grid(visible=True, axis="y")
            axis.set_axisbelow(True)
            if ylabel and column == 0:
                axis.set_ylabel(ylabel)
            if row == len(phases) - 1:
                axis.set_xlabel(xlabel)
    handles, labels = max(
        (axis.get_legend_handles_labels() for axis in axes.flat), key=lambda pair: len(pair[1])
    )
    figure.legend(handles, labels, loc="outside upper center", ncols=min(len(labels), 6))
    return Drawing(
        name=name, title=title, caption=caption, figure=figure, alt=_lines_seen(means, x, xlabel)
    )


def _lines_seen(means: pd.DataFrame, x: str, xlabel: str) -> str:
    """Where the lines begin and end, of the parameter and place of the first panel."""
    if means.empty:
        return "No line."
    first = means.iloc[0]
    keys = [name for name in ("phase", "region", "parameter") if name in means.columns]
    panel = means
    for name in keys:
        panel = panel[panel[name] == first[name]]
    words = []
    for group, of_group in panel.groupby("group", sort=False):
        ends = of_group.sort_values(x).iloc[[0, -1]]["mean"].astype(float)
        words.append(f"{group} from {number(ends.iloc[0], 1)} to {number(ends.iloc[1], 1)}")
    where = " ".join(parameter_name(str(first[name])) for name in keys if first[name])
    span = f"{panel[x].min():g} to {panel[x].max():g}"
    return f"{where}, {xlabel} {span}: {', '.join(words)}."
