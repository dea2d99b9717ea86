"""The flow diagram of a cohort: from the manifest to what is analysed, with every exclusion and its reason."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Any

from gsigpu.pipeline.cohort_run.cohort_task import RowOutcome
from gsigpu.pipeline.cohort_run.inclusion_rules import (
    CONFIRMED,
    DIAMETER,
    GROUP_SIZE,
    NO_LESION,
    REVIEW,
    Exclusion,
    InclusionRules,
)
from gsigpu.pipeline.cohort_run.row_files import put
from gsigpu.pipeline.cohort_run.table_counts import CohortTables
from gsigpu.tables.manifest import ManifestRow

_INK, _LINE = "#1c2733", "#6b7a89"
_LINE_LENGTH = 48
_KEPT, _OUT, _END = "#eef3f8", "#fbf1ea", "#e6f2ea"


@dataclass(frozen=True, slots=True)
class FlowStep:
    """A box of the diagram, and the boxes of what left on the way to the next."""

    text: str
    left: tuple[str, ...] = ()


def flow_of(
    outcomes: Sequence[RowOutcome],
    exclusions: Sequence[Exclusion],
    rules: InclusionRules,
    tables: CohortTables,
    *,
    n_manifest_rows: int,
    n_lesions: int,
) -> list[FlowStep]:
    """The steps, in words.

    n_lesions : that were measured, before any is excluded
    """
    by_rule: dict[str, list[Exclusion]] = {}
    for exclusion in exclusions:
        by_rule.setdefault(exclusion.rule, []).append(exclusion)
    measured = {outcome.row for outcome in outcomes}
    early = [exclusion.row for exclusion in exclusions if exclusion.row not in measured]
    all_rows = [*(outcome.row for outcome in outcomes), *early]
    groups = {row.group for row in all_rows}
    steps = [
        FlowStep(
            f"In the manifest\n{_counted(all_rows)}, {_n(len(groups), 'group')}"
            f"\n{_n(n_manifest_rows, 'row')} (case, phase, reader)",
            tuple(
                f"Excluded: {what}\n{_counted([exclusion.row for exclusion in members])}"
                for what, members in (
                    ("not confirmed by pathology", by_rule.get(CONFIRMED, [])),
                    (
                        f"group of fewer than {rules.min_group_size} patients",
                        [
                            exclusion
                            for exclusion in by_rule.get(GROUP_SIZE, [])
                            if exclusion.row not in measured
                        ],
                    ),
                )
                if members
            ),
        )
    ]
    failed = [outcome.row for outcome in outcomes if outcome.status == "failed"]
    left = [outcome.row for outcome in outcomes if outcome.status == "left"]
    steps.append(
        FlowStep(
            f"To be measured\n{_counted([outcome.row for outcome in outcomes])}",
            tuple(
                f"{what}\n{_counted(rows)}, {_n(len(rows), 'row')}"
                for what, rows in (("Failed, see failures.csv", failed), ("Not tried yet", left))
                if rows
            ),
        )
    )
    done = [outcome.row for outcome in outcomes if outcome.status in ("done", "skipped")]
    large = by_rule.get(DIAMETER, [])
    beyond = [
        (f"longest diameter above {rules.max_diameter_mm:g} mm\n{_n(len(large), 'lesion')}")
        if large and rules.max_diameter_mm is not None
        else "",
        f"rejected or to be redrawn at review\n{_n(len(by_rule[REVIEW]), 'lesion')}"
        if by_rule.get(REVIEW)
        else "",
        f"no lesion left\n{_counted([exclusion.row for exclusion in by_rule.get(NO_LESION, [])])}"
        if by_rule.get(NO_LESION)
        else "",
        *(
            f"group of fewer than {rules.min_group_size} patients left\n{_counted(rows)}"
            for rows in [
                [
                    exclusion.row
                    for exclusion in by_rule.get(GROUP_SIZE, [])
                    if exclusion.row in measured
                ]
            ]
            if rows
        ),
    ]
    steps.append(
        FlowStep(
            f"Measured\n{_counted(done)}, {_n(n_lesions, 'lesion')}\n{_n(len(done), 'row')}",
            tuple(f"Excluded: {text}" for text in beyond if text),
        )
    )
    n_patients = sum(group.n_patients for group in tables.groups)
    n_kept = sum(group.n_lesions for group in tables.groups)
    lines = [
        f"{group.group}: {_n(group.n_lesions, 'lesion')}, {_n(group.n_patients, 'patient')}"
        for group in tables.groups
    ]
    total = f"In the tables\n{_n(n_patients, 'patient')}, {_n(n_kept, 'lesion')}"
    steps.append(FlowStep("\n".join([total, *lines])))
    return steps


def save_flow(out: Path, steps: Sequence[FlowStep]) -> None:
    """flow.svg and flow.png."""
    steps = [FlowStep(_wrapped(step.text), tuple(map(_wrapped, step.left))) for step in steps]
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    line_in, pad_in, gap_in, width_in = 0.21, 0.14, 0.34, 3.9
    heights = [line_in * (1 + step.text.count("\n")) + 2 * pad_in for step in steps]
    lefts = [
        [line_in * (1 + text.count("\n")) + 2 * pad_in for text in step.left] for step in steps
    ]
    gaps = [max(sum(sides) + 0.16 * len(sides) + 0.2, gap_in) for sides in lefts]
    total_in = sum(heights) + sum(gaps[:-1]) + 0.3
    wide_in = 2 * width_in + 0.9 if any(lefts) else width_in + 0.3
    figure = Figure(figsize=(wide_in, total_in), facecolor="white")
    FigureCanvasAgg(figure)
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set_xlim(0, wide_in)
    axis.set_ylim(0, total_in)
    axis.set_axis_off()
    top, x = total_in - 0.15, 0.15
    for number, (step, height, sides, gap) in enumerate(
        zip(steps, heights, lefts, gaps, strict=True)
    ):
        is_last = number == len(steps) - 1
        _box(axis, (x, top - height, width_in, height), step.text, _END if is_last else _KEPT)
        bottom, middle = top - height, x + width_in / 2
        if not is_last:
            _arrow(axis, (middle, bottom), (middle, bottom - gap))
            y = bottom - 0.1
            for text, side in zip(step.left, sides, strict=True):
                _box(axis, (x + width_in + 0.5, y - side, width_in, side), text, _OUT)
                _arrow(axis, (middle, y - side / 2), (x + width_in + 0.5, y - side / 2))
                y -= side + 0.16
        top = bottom - gap
    for suffix, more in ((".svg", {"metadata": {"Date": None}}), (".png", {"dpi": 130})):
        with rc_context({"svg.hashsalt": "gsigpu", "svg.fonttype": "none"}):
            put(
                out / f"flow{suffix}",
                lambda partial, suffix=suffix, more=more: figure.savefig(  # type: ignore[misc]
                    partial, format=suffix[1:], **more
                ),
            )


def _wrapped(text: str) -> str:
    """Lines that fit into a box."""
    return "\n".join(part for line in text.splitlines() for part in wrap(line, _LINE_LENGTH))


def _box(axis: Any, place: tuple[float, float, float, float], text: str, colour: str) -> None:
    from matplotlib.patches import FancyBboxPatch

    x, y, width, height = place
    axis.add_patch(
        FancyBboxPatch(
            (x, y), width, height, boxstyle="round,pad=0,rounding_size=0.06",
            facecolor=colour, edgecolor=_LINE, linewidth=0.9,
        )
    )  # fmt: skip
    head, _, rest = text.partition("\n")
    step = 0.21
    n_lines = 1 + text.count("\n")
    first = y + height / 2 + step * (n_lines - 1) / 2
    axis.text(
        x + 0.14, first, head, color=_INK, fontsize=9.5, fontweight="bold", va="center_baseline"
    )
    for number, line in enumerate(rest.splitlines(), start=1):
        axis.text(
            x + 0.14, first - step * number, line, color=_INK, fontsize=9, va="center_baseline"
        )


def _arrow(axis: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    axis.annotate(
        "", xy=end, xytext=start,
        arrowprops={"arrowstyle": "-|>", "color": _LINE, "shrinkA": 0, "shrinkB": 0, "linewidth": 1},
    )  # fmt: skip


def _counted(rows: Iterable[ManifestRow]) -> str:
    rows = list(rows)
    patients, cases = {row.patient_id for row in rows}, {row.case_id for row in rows}
    return f"{_n(len(patients), 'patient')}, {_n(len(cases), 'case')}"


def _n(number: int, what: str) -> str:
    """A count with its noun.

    >>> _n(1, "case"), _n(2, "case")
    ('1 case', '2 cases')
    """
    return f"{number} {what}{'s' if number != 1 else ''}"
