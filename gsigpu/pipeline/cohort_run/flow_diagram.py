"""The flow diagram of a cohort: from the manifest to what is analysed, with every exclusion and its reason."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from textwrap import wrap
from typing import Any

from gsigpu.pipeline.cohort_run.cohort_task import DONE, FAILED, SKIPPED, RowOutcome
from gsigpu.pipeline.cohort_run.inclusion_rules import (
    CONFIRMED,
    DIAMETER,
    GROUP_SIZE,
    Exclusion,
    InclusionRules,
)
from gsigpu.pipeline.cohort_run.row_files import put
from gsigpu.tables.counting import Count
from gsigpu.tables.flow_steps import IN_THE_TABLES, Lesion, Loss, Members, Step, loss
from gsigpu.tables.manifest import ManifestRow
from gsigpu.tables.review_decisions import REVIEW

_INK, _LINE = "#1c2733", "#6b7a89"
_LINE_LENGTH = 48
_KEPT, _OUT, _END = "#eef3f8", "#fbf1ea", "#e6f2ea"

Rows = Sequence[ManifestRow]
# Of each row that was measured, its lesions that are still there.
LesionsOf = Mapping[ManifestRow, Set[str]]


def flow_of(
    outcomes: Sequence[RowOutcome],
    exclusions: Sequence[Exclusion],
    rules: InclusionRules,
    lesions: LesionsOf,
    unmeasured: LesionsOf,
) -> list[Step]:
    """The steps from the manifest to what has values; they add up.

    lesions : of every measured row, those that its masks hold
    unmeasured : those of them that could not be measured
    """
    measured = {outcome.row for outcome in outcomes}
    by_rule: dict[tuple[str, bool], list[Exclusion]] = {}
    for exclusion in exclusions:
        by_rule.setdefault((exclusion.rule, exclusion.row in measured), []).append(exclusion)
    rows = [
        *(outcome.row for outcome in outcomes),
        *(exclusion.row for exclusion in exclusions if exclusion.row not in measured),
    ]
    ledger = _Ledger(rows=rows, lesions={row: set(names) for row, names in lesions.items()})
    small = f"in a group of fewer than {rules.min_group_size} patients"
    ledger.begin("In the manifest")
    ledger.drop_rows("not confirmed by pathology", by_rule.get((CONFIRMED, False), ()))
    ledger.drop_rows(small, by_rule.get((GROUP_SIZE, False), ()))
    ledger.begin("To be measured")
    failed = [outcome.row for outcome in outcomes if outcome.status == FAILED]
    settled = {FAILED, DONE, SKIPPED}
    ledger.drop("failed, see failures.csv", failed)
    ledger.drop(
        "not tried yet", [outcome.row for outcome in outcomes if outcome.status not in settled]
    )
    ledger.begin("Measured")
    ledger.drop_lesions(
        f"longest diameter above {rules.max_diameter_mm or 0.0:g} mm",
        by_rule.get((DIAMETER, True), ()),
    )
    ledger.drop_lesions("rejected or to be redrawn at review", by_rule.get((REVIEW, True), ()))
    ledger.drop_rows(f"{small} left", by_rule.get((GROUP_SIZE, True), ()))
    ledger.begin(IN_THE_TABLES)
    if any(unmeasured.get(row) for row in ledger.rows):
        ledger.take("could not be measured, see failures.csv", unmeasured)
        ledger.begin("With values")
    return ledger.steps


class _Ledger:
    """Takes away rows and lesions, one reason after the other, and keeps what each took."""

    def __init__(self, *, rows: Rows, lesions: Mapping[ManifestRow, Set[str]]) -> None:
        self.rows = list(rows)
        self.lesions = {row: set(names) for row, names in lesions.items()}
        self.steps: list[Step] = []

    def members(self) -> Members:
        return Members(
            patients=frozenset(row.patient_id for row in self.rows),
            lesions=frozenset(_lesions_of(self.rows, self.lesions)),
            rows=len(self.rows),
        )

    def begin(self, name: str) -> None:
        now = self.members()
        self.steps.append(Step(name=name, count=now.count, rows=now.rows))

    def drop_rows(self, reason: str, exclusions: Sequence[Exclusion]) -> None:
        self.drop(reason, [exclusion.row for exclusion in exclusions])

    def drop(self, reason: str, rows: Rows) -> None:
        """Whole rows; lesions of rows that were not measured are not known."""
        if not rows:  # thousands of others are not looked at for nothing
            return
        before, gone = self.members(), set(rows)
        are_known = all(row in self.lesions for row in gone)
        self.rows = [row for row in self.rows if row not in gone]
        self._record(reason, before, is_known=are_known, touched=_lesions_of(gone, self.lesions))

    def drop_lesions(self, reason: str, exclusions: Sequence[Exclusion]) -> None:
        gone: dict[ManifestRow, set[str]] = {}
        for exclusion in exclusions:
            gone.setdefault(exclusion.row, set()).add(exclusion.lesion_id)
        self.take(reason, gone)

    def take(self, reason: str, gone: LesionsOf) -> None:
        """Single lesions of rows; a row leaves with its last."""
        if not gone:
            return
        before = self.members()
        here = {row: gone[row] & self.lesions[row] for row in self.rows if gone.get(row)}
        touched = _lesions_of(here, here)
        for row, names in here.items():
            self.lesions[row] -= names
        self.rows = [row for row in self.rows if self.lesions.get(row) or row not in here]
        self._record(reason, before, is_known=True, touched=touched)

    def _record(
        self, reason: str, before: Members, *, is_known: bool, touched: set[Lesion]
    ) -> None:
        after = self.members()
        left = loss(reason, before, after, in_part=len(touched & after.lesions))
        if not (left.patients or left.lesions or left.rows or left.in_part):
            return
        left = left if is_known or left.lesions else replace(left, lesions=None)
        last = self.steps[-1]
        self.steps[-1] = replace(last, left=(*last.left, left))


def _lesions_of(rows: Rows | Set[ManifestRow] | LesionsOf, lesions: LesionsOf) -> set[Lesion]:
    """A lesion is one of a patient, whatever cases, phases and readers it was measured in."""
    return {(row.patient_id, name) for row in rows for name in lesions.get(row, ())}


def words_of(steps: Sequence[Step], groups: Mapping[str, Count]) -> list[tuple[str, list[str]]]:
    """The text of each box and of those beside it; the groups stand in the last."""
    boxes = []
    for k, step in enumerate(steps):
        lines = [step.name, _counted(step.count.patients, step.count.lesions, step.rows)]
        if k == 0:
            lines.append("lesions are counted where they were measured")
        if k == len(steps) - 1:
            lines += [
                f"{group}: {_n(n.patients, 'patient')}, {_n(n.lesions, 'lesion')}"
                for group, n in groups.items()
            ]
        boxes.append(("\n".join(lines), ["\n".join(_left_words(left)) for left in step.left]))
    return boxes


def _left_words(left: Loss) -> Iterator[str]:
    yield left.reason[:1].upper() + left.reason[1:]
    yield "− " + _counted(left.patients, left.lesions, left.rows)
    if left.in_part:
        yield f"{_n(left.in_part, 'lesion')} in some phases or readings only, and kept"


def _counted(patients: int, lesions: int | None, rows: int | None) -> str:
    """The counts of a box.

    >>> _counted(2, None, 4)
    '2 patients, lesions not counted, 4 rows'
    """
    of_lesions = "lesions not counted" if lesions is None else _n(lesions, "lesion")
    return ", ".join(
        [_n(patients, "patient"), of_lesions] + ([] if rows is None else [_n(rows, "row")])
    )


def import_ahead() -> None:
    """What draws is imported by a thread while this process waits for its workers: it takes as long as all tables together."""
    threading.Thread(target=_import_what_draws, name="import for the flow", daemon=True).start()


def _import_what_draws() -> None:
    with contextlib.suppress(Exception):  # `save_flow` says what is wrong
        for name in ("figure", "patches", "backends.backend_agg", "backends.backend_svg"):
            import_module(f"matplotlib.{name}")


def save_flow(out: Path, steps: Sequence[Step], groups: Mapping[str, Count]) -> None:
    """flow.svg and flow.png.

    groups : what the last box holds of each
    """
    boxes = [
        (_wrapped(text), [_wrapped(side) for side in sides])
        for text, sides in words_of(steps, groups)
    ]
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    line_in, pad_in, gap_in, width_in = 0.21, 0.14, 0.34, 3.9
    heights = [line_in * (1 + text.count("\n")) + 2 * pad_in for text, _ in boxes]
    lefts = [
        [line_in * (1 + side.count("\n")) + 2 * pad_in for side in sides] for _, sides in boxes
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
    for number, ((text, texts), height, sides, gap) in enumerate(
        zip(boxes, heights, lefts, gaps, strict=True)
    ):
        is_last = number == len(boxes) - 1
        _box(axis, (x, top - height, width_in, height), text, _END if is_last else _KEPT)
        bottom, middle = top - height, x + width_in / 2
        if not is_last:
            _arrow(axis, (middle, bottom), (middle, bottom - gap))
            y = bottom - 0.1
            for words, side in zip(texts, sides, strict=True):
                _box(axis, (x + width_in + 0.5, y - side, width_in, side), words, _OUT)
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


def _n(number: int, what: str) -> str:
    """A count with its noun.

    >>> _n(1, "case"), _n(2, "case")
    ('1 case', '2 cases')
    """
    return f"{number} {what}{'s' if number != 1 else ''}"
