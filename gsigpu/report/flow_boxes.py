"""The flow of patients and lesions on the page, as a table, and as a file; each box is the one before less what left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from gsigpu.regions.flags import is_automatic
from gsigpu.report.cohort_results import Results
from gsigpu.report.table_cells import MINUS, Cell, Table, head, plural, text, whole
from gsigpu.tables.flow_steps import Loss, Step, frame_of_steps
from gsigpu.tables.observations import Observations


def flow_steps(observations: Observations, results: Results) -> Sequence[Step]:
    """The steps to print; none where a summary names no patients."""
    return observations.flow.steps if results.has_values else ()


def flow_boxes(observations: Observations, results: Results) -> dict[str, Any]:
    """What the page draws: steps with what left beside them, the groups at the end, notes below."""
    flow = observations.flow
    steps = [
        {
            "name": step.name,
            "counts": _counts(step.count.patients, step.count.lesions),
            "aside": [_left(left) for left in step.left],
        }
        for step in flow_steps(observations, results)
    ]
    if not steps:
        n_lesions = sum(n for _, n in flow.analysed.values())
        steps = [{"name": "In the table", "counts": plural(n_lesions, "lesion"), "aside": []}]
    ends = [
        {
            "group": group,
            "patients": plural(patients, "patient") if results.has_values else "",
            "lesions": plural(lesions, "lesion"),
            "colour": k % 8,
        }
        for k, (group, (patients, lesions)) in enumerate(flow.analysed.items())
    ]
    return {"steps": steps, "ends": ends, "notes": list(_notes(observations, results))}


def _counts(patients: int, lesions: int | None) -> str:
    of_lesions = "lesions not counted" if lesions is None else plural(lesions, "lesion")
    return f"{plural(patients, 'patient')}, {of_lesions}"


def _left(left: Loss) -> str:
    words = f"{MINUS} {_counts(left.patients, left.lesions)}: {left.reason}"
    if left.in_part:
        words += (
            f" ({plural(left.in_part, 'further lesion')} in some phases or readings only, and kept)"
        )
    return words


def _notes(observations: Observations, results: Results) -> list[str]:
    flow = observations.flow
    notes = []
    if results.has_values:
        notes.append(
            "A lesion leaves with its last value, a patient with the last lesion; each is counted once, whatever phases and readers. "
            "Lesions of what was never measured are not known."
        )
    notes += [
        f"Masks of {plural(n, 'lesion')} are as a program drew them ({flag.partition(':')[2].replace('-', ' ')}): nobody has"
        " changed them."
        for flag, n in flow.flagged.items()
        if is_automatic(flag)
    ]
    others = {flag: n for flag, n in flow.flagged.items() if not is_automatic(flag)}
    if others:
        flags = ", ".join(f"{flag.replace('-', ' ')} ({n})" for flag, n in others.items())
        notes.append(f"Lesions flagged in what is compared, and kept: {flags}.")
    if flow.row_warnings:
        kinds = ", ".join(
            f"{kind.replace('-', ' ')} ({n})" for kind, n in flow.row_warnings.items()
        )
        notes.append(f"Warnings of the measurement, listed in warnings.csv: {kinds}.")
    if results.has_values and not flow.is_whole:
        known = [
            f"{rule.replace('-', ' ')}: {plural(n.patients, 'patient')}, {plural(n.lesions, 'lesion')} named"
            for rule, n in (flow.excluded or {}).items()
        ]
        known += [
            f"{plural(n, 'case')} failed at {stage}"
            for stage, n in (flow.cases_failed or {}).items()
        ]
        before = f" The lists beside the table name {'; '.join(known)}." if known else ""
        notes.append(
            f"The flow begins with the table: what was left out before it was made is not counted here.{before}"
        )
    return notes


def flow_table(observations: Observations, results: Results) -> Table | None:
    """The same as a table to edit; None where there are no steps."""
    rows: list[list[Cell]] = []
    for step in flow_steps(observations, results):
        rows.append(
            [text(step.name), text(""), whole(step.count.patients), whole(step.count.lesions)]
        )
        for left in step.left:
            lesions = Cell("not counted") if left.lesions is None else _minus(left.lesions)
            rows.append([text(""), text(left.reason), _minus(left.patients), lesions])
    if not rows:
        return None
    return Table(
        name="flow",
        caption="Patients and lesions, step by step",
        header=[[head("step"), head("left"), head("patients"), head("lesions")]],
        rows=rows,
        notes=["Each step is the one before it less what left."],
    )


def _minus(n: int) -> Cell:
    return Cell(f"{MINUS}{n:,}", values=(-float(n),), number_format="#,##0")


def frame_of_flow(observations: Observations) -> pd.DataFrame:
    """The steps as counts, then what is analysed of each group, and flags."""
    flow = observations.flow
    frame = frame_of_steps(flow.steps)
    more: list[Mapping[str, object]] = [
        {"what": "analysed", "name": group, "n_patients": patients, "n_lesions": lesions}
        for group, (patients, lesions) in flow.analysed.items()
    ]
    more += [{"what": "flagged", "name": flag, "n_lesions": n} for flag, n in flow.flagged.items()]
    both = pd.concat([frame, pd.DataFrame(more, columns=list(frame.columns), dtype=object)])
    return both.reset_index(drop=True)
