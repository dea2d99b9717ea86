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
)
from gsigpu.report.table_cells import file_stem, number, parameter_name, with_unit
from gsigpu.tables.observations import Observations

_COLUMNS = 5
_MOST_PAIRS = 45
# Curves come from the bootstrap over patients; where there is none, from whatever there is.
_CURVES = ("bootstrap", "obuchowski", "delong")
_AREAS = ("obuchowski", "bootstrap", "delong")


def roc_figures(observations: Observations, results: Results) -> list[Drawing]:
    """One figure per phase and region, a panel per pair of groups, a curve per parameter."""
    curves = _first_method(_of_track(results.frames.roc_curves, "recommended"), _CURVES)
    areas = _first_method(_of_track(results.frames.roc, "recommended"), _AREAS)
    drawings = []
    for phase in observations.phases:
        for region in observations.regions:
            of_curves, of_areas = (
                frame[(frame["phase"] == phase) & (frame["region"] == region)]
                for frame in (curves, areas)
            )
            if len(of_curves):
                drawings.append(_roc_figure(observations, of_curves, of_areas, phase, region))
    return drawings


def _roc_figure(
    observations: Observations, curves: pd.DataFrame, areas: pd.DataFrame, phase: str, region: str
) -> Drawing:
    pairs = _pairs(observations)
    rows, columns = grid_of(len(pairs), _COLUMNS)
    figure = new_figure(max(4.0, 2.35 * columns), 0.5 + 2.5 * rows)
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axis in axes.flat[len(pairs) :]:
        axis.set_visible(False)
    for axis, (group_a, group_b) in zip(axes.flat, pairs, strict=False):
        axis.plot([0, 1], [0, 1], color=FAINT, lw=0.8, zorder=1)
        here = curves[(curves["group_a"] == group_a) & (curves["group_b"] == group_b)]
        marks = areas[(areas["group_a"] == group_a) & (areas["group_b"] == group_b)]
        # The numbers stand on the side of the diagonal that the curves leave free.
        is_above = marks["auc"].mean() >= 0.5
        for k, parameter in enumerate(observations.parameters):
            _curve(
                axis,
                k,
                parameter,
                here[here["parameter"] == parameter],
                marks[marks["parameter"] == parameter],
                (0.98, 0.04 + 0.105 * k) if is_above else (0.03, 0.92 - 0.105 * k),
            )
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
    figure.legend(handles, labels, loc="outside upper center", ncols=max(1, len(labels)))
    where = " ".join(part for part in (region, phase) if part)
    return Drawing(
        name=file_stem("roc", phase, region),
        title=f"ROC curves, {where}",
        caption="Of each pair the first is positive, in the direction declared beforehand. Bands are pointwise "
        "95% intervals from a bootstrap of patients; the dot is Youden's cut-off; numbers are areas."
        + _left_out(observations),
        figure=figure,
    )


def _curve(
    axis: Any,
    k: int,
    parameter: str,
    curve: pd.DataFrame,
    area: pd.DataFrame,
    place: tuple[float, float],
) -> None:
    if curve.empty:
        return
    colour = colour_of(k)
    fpr = curve["fpr"].to_numpy()
    axis.fill_between(
        fpr,
        curve["tpr_low"].to_numpy(),
        curve["tpr_high"].to_numpy(),
        color=colour,
        alpha=0.10,
        lw=0,
    )
    axis.plot(
        fpr, curve["tpr"].to_numpy(), color=colour, ls=line_of(k), lw=1.5,
        label=parameter_name(parameter),
    )  # fmt: skip
    if area.empty:
        return
    row = area.iloc[0]
    if np.isfinite(row["sensitivity"]):
        axis.plot(
            1 - row["specificity"], row["sensitivity"], "o", ms=4.5, mfc=colour, mec=PAPER, mew=0.8,
            zorder=4,
        )  # fmt: skip
    axis.text(
        *place, number(row["auc"], 2), color=colour, fontsize=8, fontweight="bold", zorder=5,
        ha="right" if place[0] > 0.5 else "left",
        bbox={"facecolor": PAPER, "alpha": 0.75, "pad": 0.6, "lw": 0},
    )  # fmt: skip


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
            axis.set_title(" ".join(part for part in (region, phase) if part))
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
                caption="Full marks with lines: recommended track, patient-clustered 95% intervals, declared "
                "direction. Hollow marks: paper-compatible track, which turns curves over to lie above .5."
                + _left_out(observations),
                figure=figure,
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
        colour = colour_of(k)
        at = {pair: -(i * (n + 1) + k) for i, pair in enumerate(pairs)}
        rows = _drawn(recommended, parameter, at)
        y = [at[pair] for pair in zip(rows["group_a"], rows["group_b"], strict=True)]
        axis.hlines(y, rows["ci_low"], rows["ci_high"], color=colour, lw=1.6, zorder=2)
        axis.plot(
            rows["auc"], y, ls="", marker="osD^v"[k % 5], ms=4.5, color=colour, zorder=3,
            label=parameter_name(parameter),
        )  # fmt: skip
        other = _drawn(paper, parameter, at)
        y = [at[pair] for pair in zip(other["group_a"], other["group_b"], strict=True)]
        axis.plot(
            other["auc"], y, ls="", marker="osD^v"[k % 5], ms=5.5, mfc="none", mec=INK, mew=0.7,
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
    figure = new_figure(0.8 + 2.8 * columns, 0.6 + 2.8 * rows)
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
        axis.set_title(", ".join(part for part in (region, phase) if part))
        axis.set_xlim(-0.02, 1.02)
        axis.set_ylim(-0.02, 1.02)
        axis.set_aspect("equal")
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
                of_one["mean"], of_one["difference"], s=8, color=colour_of(0), alpha=0.7, lw=0
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
                axis.axhline(value, color=colour_of(1), ls=style, lw=1.2)
            title = ", ".join(str(part) for part in (region, phase) if part != "")
            axis.set_title(f"{title}: {reader_a} − {reader_b}", fontsize=8.5)
        unit = with_unit(parameter, observations.units.get(parameter, ""))
        figure.supxlabel(f"mean of two readers, {unit}", fontsize=9)
        figure.supylabel("difference", fontsize=9)
        drawings.append(
            Drawing(
                name=file_stem("bland_altman", parameter),
                title=f"Agreement of readers, {parameter_name(parameter)}",
                caption="A dot is a lesion. Full line: bias; dashed: 95% limits of agreement.",
                figure=figure,
            )
        )
    return drawings


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
