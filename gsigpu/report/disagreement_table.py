"""Where the two tracks decide differently, as a table."""

from __future__ import annotations

from gsigpu.report.cohort_results import Results
from gsigpu.report.paper_tables import TRACK_NAMES
from gsigpu.report.table_cells import Table, file_stem, head, p_cell, parameter_name, place, text

_REASONS = {
    "clustering": "lesions of a patient resemble each other, and LSD counts each as independent",
    "unequal variances": "LSD pools the variances of all groups",
    "multiplicity": "LSD does not allow for the number of tests",
    "weights": "patients with many lesions weigh less than with LSD",
}


def disagreement_table(results: Results, parameter: str) -> Table | None:
    """One row per pair, phase and region on which the tracks decide differently; None where they never do.

    results : `disagreements` of every member
    """
    rows = [
        [
            text(place(member.phase, member.region)),
            text(f"{pair.group_a} v {pair.group_b}"),
            p_cell(pair.p_lsd),
            p_cell(pair.p_mixed),
            p_cell(pair.p_adjusted),
            text(f"{TRACK_NAMES[pair.only]} only"),
            text(", ".join(_kind(reason) for reason in pair.reasons)),
        ]
        for member in results.disagreements
        if member.parameter == parameter
        for pair in member.pairs
    ]
    if not rows:
        return None
    named = [
        f"{kind}: {words}"
        for kind, words in _REASONS.items()
        if any(kind in row[-1].text.split(", ") for row in rows)
    ]
    return Table(
        name=file_stem("disagreements", parameter),
        caption=f"Where the tracks decide differently, {parameter_name(parameter)}",
        header=[
            [
                head("where"), head("pair"), head("LSD, p"), head("mixed model, p"), head("p, Holm over all"),
                head("different on"), head("because"),
            ]
        ],
        rows=rows,
        notes=[f"{'; '.join(named)}."] if named else [],
    )  # fmt: skip


def _kind(reason: str) -> str:
    """The short name of a reason; what cannot be tested keeps its words.

    >>> _kind("clustering, as 80 lesions come from 4 patients"), _kind("patients with many lesions weigh less")
    ('clustering', 'weights')
    """
    if reason.startswith("patients with many lesions"):
        return "weights"
    return next((kind for kind in _REASONS if reason.startswith(kind)), reason)
