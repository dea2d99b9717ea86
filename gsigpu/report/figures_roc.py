"""Figures of how well the groups are told apart: ROC curves, forest of the areas, calibration, readers."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from gsigpu.report.cohort_results import Results
from gsigpu.report.figure_style import (
    FAINT,
    INK,
    PAPER,
    Drawing,
    colour_of,
    grid_of,
    line_of,
    new_figure,
    shade_of,
)
from gsigpu.report.table_cells import (
    decimals_of,
    file_stem,
    number,
    parameter_name,
    place,
    with_unit,
)
from gsigpu.tables.observations import Observations

_COLUMNS = 5
_MOST_PAIRS = 45
# Curves come from the bootstrap over patients; where there is none, from whatever there is.
_CURVES = ("bootstrap", "obuchowski", "delong")
_AREAS = ("obuchowski", "bootstrap", "delong")
_MARKERS = "osD^v"


def roc_figures(
    observations: Observations, results: Results, parameter_alone: str = ""
) -> list[Drawing]:
    """One figure per parameter, a panel per pair of groups, a curve per phase and region.

    Figures 4 to 6 of the source study, where there are three parameters.
    parameter_alone : whose figure is drawn, with the number that it has among all; "" for all
    """
    curves = _first_method(_of_track(results.frames.roc_curves, "recommended"), _CURVES)
    areas = _first_method(_of_track(results.frames.roc, "recommended"), _AREAS)
    drawings = []
    for k, parameter in enumerate(observations.parameters, start=1):
        if parameter_alone not in ("", parameter):
            continue
        of_curves, of_areas = (frame[frame["parameter"] == parameter] for frame in (curves, areas))
        if len(of_curves):
            number_of = len(observations.parameters) + k
            drawings.append(_roc_figure(observations, of_curves, of_areas, parameter, number_of))
    return drawings


def _roc_figure(
    observations: Observations,
    curves: pd.DataFrame,
    areas: pd.DataFrame,
    parameter: str,
    number_of: int,
) -> Drawing:
    pairs = _pairs(observations)
    rows, columns = grid_of(len(pairs), _COLUMNS)
    figure = new_figure(max(4.2, 2.55 * columns), 0.5 + 2.7 * rows)
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axis in axes.flat[len(pairs) :]:
        axis.set_visible(False)
    places = [(phase, region) for phase in observations.phases for region in observations.regions]
    curve_of = dict(tuple(curves.groupby(["group_a", "group_b", "phase", "region"], sort=False)))
    for axis, (group_a, group_b) in zip(axes.flat, pairs, strict=False):
        axis.plot([0, 1], [0, 1], color=FAINT, lw=0.8, zorder=1)
        marks = areas[(areas["group_a"] == group_a) & (areas["group_b"] == group_b)]
        for k, (phase, region) in enumerate(places):
            here = curve_of.get((group_a, group_b, phase, region), curves.iloc[:0])
            is_here = (marks["phase"] == phase) & (marks["region"] == region)
            style = (
                observations.phases.index(phase),
                observations.regions.index(region),
            )
            _curve(axis, style, place(phase, region), here, marks[is_here])
            _area_text(axis, k, len(places), place(phase, region), marks)
        axis.set_title(f"{group_a} v {group_b}", fontsize=8.5)
        axis.set_xlim(-0.02, 1.02)
        axis.set_ylim(-0.02, 1.02)
        axis.set_aspect("equal")
        ticks = [0.0, 0.5, 1.0]
        axis.set_xticks(ticks, ["0", ".5", "1"])
        axis.set_yticks(ticks, ["0", ".5", "1"])
    figure.supxlabel("1 − specificity", fontsize=9)
    figure.supylabel("sensitivity", fontsize=9)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=max(1, min(6, len(labels))))
    return Drawing(
        name=file_stem("roc", parameter),
        title=f"Figure {number_of}. ROC curves, {parameter_name(parameter)}",
        caption="A panel per pair, of which the first group is positive, in the direction declared beforehand. The dot is "
        "Youden’s cut-off; numbers are areas with patients as units, their intervals stand in the table."
        + _left_out(observations),
        figure=figure,
        alt=_areas_seen(areas),
    )


def _curve(
    axis: Any, style: tuple[int, int], label: str, curve: pd.DataFrame, area: pd.DataFrame
) -> None:
    """Style : of the line by phase, of the shade by region."""
    if curve.empty:
        return
    phase, region = style
    # The file has the upper end of the jump at 0; a curve begins where nobody is called positive.
    fpr, tpr = (np.r_[0.0, curve[name].to_numpy(np.float64)] for name in ("fpr", "tpr"))
    axis.plot(fpr, tpr, color=shade_of(region), ls=line_of(phase), lw=1.4, label=label)
    if len(area) and np.isfinite(area.iloc[0]["sensitivity"]):
        axis.plot(
            1 - area.iloc[0]["specificity"], area.iloc[0]["sensitivity"], "o", ms=4.5,
            mfc=shade_of(region), mec=PAPER, mew=0.8, zorder=4,
        )  # fmt: skip


def _area_text(axis: Any, k: int, n: int, label: str, marks: pd.DataFrame) -> None:
    """The areas, on the side of the diagonal that the curves leave free."""
    phase, _, region = label.rpartition(" ")
    row = marks[(marks["phase"] == phase) & (marks["region"] == region)]
    if row.empty:
        return
    is_above = marks["auc"].mean() >= 0.5
    x, y = (0.98, 0.03 + 0.088 * (n - 1 - k)) if is_above else (0.03, 0.91 - 0.088 * k)
    axis.text(
        x, y, f"{label} {number(row.iloc[0]['auc'], 2)}", color=INK, fontsize=7, zorder=5,
        ha="right" if is_above else "left",
        bbox={"facecolor": PAPER, "alpha": 0.8, "pad": 0.4, "lw": 0},
    )  # fmt: skip


def _areas_seen(areas: pd.DataFrame) -> str:
    """In words: the range of the areas, and the farthest from .5."""
    known = areas[np.isfinite(areas["auc"].astype(float))]
    if known.empty:
        return "No area could be computed."
    auc = known["auc"].astype(float)
    far = known.iloc[int((auc - 0.5).abs().to_numpy().argmax())]
    return (
        f"{len(known)} areas between {number(auc.min(), 2)} and {number(auc.max(), 2)}; farthest from .5: "
        f"{number(far['auc'], 2)}, {far['group_a']} v {far['group_b']}, {place(far['phase'], far['region'])}."
    )


def forest(observations: Observations, results: Results) -> list[Drawing]:
    """One figure per phase: areas of every pair, a column per region; both tracks."""
    recommended = _first_method(_of_track(results.frames.roc, "recommended"), _AREAS)
    paper = _first_method(_of_track(results.frames.roc, "paper"), _AREAS)
    pairs = _pairs(observations)
    if not pairs or recommended.empty:
        return []
    drawings = []
    n = len(observations.parameters)
    for phase in observations.phases:
        figure = new_figure(
            1.9 + 3.0 * len(observations.regions), 1.1 + 0.18 * (n + 1) * len(pairs)
        )
        axes = figure.subplots(1, len(observations.regions), squeeze=False, sharey=True)[0]
        for axis, region in zip(axes, observations.regions, strict=True):
            where = [
                (frame["phase"] == phase) & (frame["region"] == region)
                for frame in (paper, recommended)
            ]
            _forest_panel(axis, observations, pairs, paper[where[0]], recommended[where[1]])
            axis.set_title(place(phase, region))
        axes[0].set_yticks(
            [-(i * (n + 1) + (n - 1) / 2) for i in range(len(pairs))],
            [f"{a} v {b}" for a, b in pairs],
        )
        axes[0].set_ylim(-len(pairs) * (n + 1) + 0.8, 1.0)
        figure.supxlabel("area under the ROC curve", fontsize=9)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=4)
        drawings.append(
            Drawing(
                name=file_stem("forest", phase),
                title=f"Areas of all pairs{f', {phase}' if phase else ''}",
                caption=f"Full marks with lines: recommended track, patient-clustered {results.interval}s, declared "
                "direction. Hollow marks: paper-compatible track, which turns curves over to lie above .5."
                + _left_out(observations),
                figure=figure,
                alt=_areas_seen(recommended[recommended["phase"] == phase]),
            )
        )
    return drawings


def _forest_panel(
    axis: Any,
    observations: Observations,
    pairs: list[tuple[str, str]],
    paper: pd.DataFrame,
    recommended: pd.DataFrame,
) -> None:
    n = len(observations.parameters)
    axis.axvline(0.5, color=FAINT, lw=1.0, zorder=1)
    for k, parameter in enumerate(observations.parameters):
        colour = shade_of(k)
        at = {pair: -(i * (n + 1) + k) for i, pair in enumerate(pairs)}
        rows = _drawn(recommended, parameter, at)
        y = [at[pair] for pair in zip(rows["group_a"], rows["group_b"], strict=True)]
        axis.hlines(y, rows["ci_low"], rows["ci_high"], color=colour, lw=1.6, zorder=2)
        axis.plot(
            rows["auc"], y, ls="", marker=_MARKERS[k % 5], ms=4.5, color=colour, zorder=3,
            label=parameter_name(parameter),
        )  # fmt: skip
        other = _drawn(paper, parameter, at)
        y = [at[pair] for pair in zip(other["group_a"], other["group_b"], strict=True)]
        axis.plot(
            other["auc"], y, ls="", marker=_MARKERS[k % 5], ms=5.5, mfc="none", mec=INK, mew=0.7,
            zorder=4, label="paper-compatible" if k == n - 1 else None,
        )  # fmt: skip
    axis.set_xlim(-0.02, 1.02)
    axis.set_xticks([0, 0.25, 0.5, 0.75, 1.0], ["0", ".25", ".5", ".75", "1"])
    axis.grid(visible=True, axis="x")
    axis.set_axisbelow(True)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)


def _drawn(areas: pd.DataFrame, parameter: str, at: dict[tuple[str, str], int]) -> pd.DataFrame:
    """The areas of a parameter for the pairs that have a place in the figure."""
    pairs = zip(areas["group_a"], areas["group_b"], strict=True)
    placed = np.array([pair in at for pair in pairs], bool)
    return areas[(areas["parameter"] == parameter) & placed]


def calibration(observations: Observations, results: Results) -> Drawing | None:
    """Observed against predicted probabilities of the combined models; None where there are none."""
    table = results.frames.calibration
    if table.empty:
        return None
    regions = [
        (phase, region)
        for phase in observations.phases
        for region in observations.regions
        if ((table["phase"] == phase) & (table["region"] == region)).any()
    ]
    rows, columns = grid_of(len(regions), 3)
    figure = new_figure(0.8 + 3.4 * columns, 0.6 + 3.4 * rows)
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axis in axes.flat[len(regions) :]:
        axis.set_visible(False)
    for axis, (phase, region) in zip(axes.flat, regions, strict=False):
        axis.plot([0, 1], [0, 1], color=FAINT, lw=0.8)
        here = table[(table["phase"] == phase) & (table["region"] == region)]
        here = here[here["model"] == "multinomial"]
        for k, group in enumerate(observations.groups):
            of_one = here[here["group_a"] == group]
            if len(of_one):
                axis.plot(
                    of_one["predicted"], of_one["observed"], color=colour_of(k), ls=line_of(k),
                    lw=1.4, marker="o", ms=3.5, label=group,
                )  # fmt: skip
        axis.set_title(place(phase, region))
        axis.set_xlim(-0.02, 1.02)
        axis.set_ylim(-0.02, 1.02)
        axis.set_aspect("equal")
        axis.grid(visible=True)
        axis.set_axisbelow(True)
    figure.supxlabel("predicted probability", fontsize=9)
    figure.supylabel("observed share", fontsize=9)
    handles, labels = max(
        (axis.get_legend_handles_labels() for axis in axes.flat), key=lambda pair: len(pair[1])
    )
    if labels:
        figure.legend(handles, labels, loc="outside upper center", ncols=min(6, len(labels)))
    return Drawing(
        name="calibration",
        title="Calibration of the combined model",
        caption="Multinomial model of all groups, each group against the rest, on patients that the model was "
        "not fitted to. On the line, predictions are right on average.",
        figure=figure,
        alt=_calibration_seen(table[table["model"] == "multinomial"]),
    )


def _calibration_seen(table: pd.DataFrame) -> str:
    off = (table["observed"].astype(float) - table["predicted"].astype(float)).abs()
    if not np.isfinite(off).any():
        return "No point could be computed."
    worst = table.iloc[int(np.nanargmax(off.to_numpy()))]
    return (
        f"{len(table)} points; observed and predicted differ by {number(float(off.median()), 2)} in the middle and by "
        f"{number(float(off.max()), 2)} at most ({worst['group_a']}, {place(worst['phase'], worst['region'])})."
    )


def bland_altman(observations: Observations, results: Results) -> list[Drawing]:
    """One figure per parameter: the readers' difference against their mean, with limits of agreement."""
    points, limits = results.frames.bland_altman_points, results.frames.bland_altman
    drawings = []
    for parameter in observations.parameters:
        of_parameter = points[points["parameter"] == parameter]
        if of_parameter.empty:
            continue
        panels = list(of_parameter.groupby(["phase", "region", "reader_a", "reader_b"], sort=False))
        rows, columns = grid_of(len(panels), 3)
        figure = new_figure(0.6 + 2.9 * columns, 0.5 + 2.2 * rows)
        axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for axis in axes.flat[len(panels) :]:
            axis.set_visible(False)
        for axis, ((phase, region, reader_a, reader_b), of_one) in zip(
            axes.flat, panels, strict=False
        ):
            axis.scatter(
                of_one["mean"], of_one["difference"], s=8, color=shade_of(1), alpha=0.7, lw=0
            )
            line = _first_track(
                limits[
                    (limits["parameter"] == parameter)
                    & (limits["phase"] == phase)
                    & (limits["region"] == region)
                    & (limits["reader_a"] == reader_a)
                    & (limits["reader_b"] == reader_b)
                ]
            )
            axis.axhline(0.0, color=FAINT, lw=0.8)
            for value, style in (
                (line["bias"], "-"),
                (line["loa_low"], "--"),
                (line["loa_high"], "--"),
            ):
                axis.axhline(value, color=INK, ls=style, lw=1.2)
            axis.set_title(f"{place(phase, region)}: {reader_a} − {reader_b}", fontsize=8.5)
        unit = with_unit(parameter, observations.units.get(parameter, ""))
        figure.supxlabel(f"mean of two readers, {unit}", fontsize=9)
        figure.supylabel("difference", fontsize=9)
        drawings.append(
            Drawing(
                name=file_stem("bland_altman", parameter),
                title=f"Agreement of readers, {parameter_name(parameter)}",
                caption="A dot is a lesion. Full line: bias; dashed: 95% limits of agreement.",
                figure=figure,
                alt=_agreement_seen(limits[limits["parameter"] == parameter], parameter),
            )
        )
    return drawings


def _agreement_seen(limits: pd.DataFrame, parameter: str) -> str:
    bias = limits["bias"].astype(float)
    if not np.isfinite(bias).any():
        return "No limits could be computed."
    decimals = decimals_of(parameter)
    low, high = limits["loa_low"].astype(float).min(), limits["loa_high"].astype(float).max()
    return (
        f"Bias between {number(bias.min(), decimals)} and {number(bias.max(), decimals)}, limits of agreement at the widest "
        f"{number(low, decimals)} to {number(high, decimals)}."
    )


def _first_track(rows: pd.DataFrame) -> pd.Series:
    recommended = rows[rows["track"] == "recommended"]
    return (recommended if len(recommended) else rows).iloc[0]


def _of_track(frame: pd.DataFrame, track: str) -> pd.DataFrame:
    return frame[frame["track"] == track]


def _first_method(frame: pd.DataFrame, preferred: tuple[str, ...]) -> pd.DataFrame:
    """Rows of the first method that the frame has."""
    for method in preferred:
        rows = frame[frame["method"] == method]
        if len(rows):
            return rows
    return frame


def _pairs(observations: Observations) -> list[tuple[str, str]]:
    return list(combinations(observations.groups, 2))[:_MOST_PAIRS]


def _left_out(observations: Observations) -> str:
    """Said in a caption where there are more pairs than a figure has room for."""
    n = len(list(combinations(observations.groups, 2)))
    return f" The first {_MOST_PAIRS} of {n} pairs; roc.csv has all." if n > _MOST_PAIRS else ""
