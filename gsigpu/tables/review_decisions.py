"""Decisions of a person on lesions, as the gallery saves them: which are rejected, which are to be redrawn, and why."""

from __future__ import annotations

from pathlib import Path

from gsigpu.errors import InputError

COLUMNS = ("case_id", "lesion_id", "phase", "reader", "decision", "reason")
# Neither is measured until it is drawn anew; the tables keep the two apart.
DECISIONS = ("rejected", "redraw")
_REMEDY = "save the decisions in the gallery"
# What a run's list of exclusions calls them.
REVIEW = "review"

# case_id, lesion_id, phase, reader, decision, reason
Decision = tuple[str, ...]


def read_decisions(path: Path) -> tuple[Decision, ...]:
    """The entries of a file of decisions, each lesion once, in the order of the file.

    Raises InputError for a missing column, an unknown decision, an empty name, or two decisions on one lesion.
    """
    from gsigpu.tables.raw_table import read_list  # slow to import, and few runs have decisions

    cells = read_list(path, COLUMNS, remedy=_REMEDY)
    missing = [name for name in COLUMNS if name not in cells.columns]
    if missing:
        raise InputError(
            f"has no column {', '.join(missing)}",
            where=path,
            remedy=_REMEDY,
        )
    decisions: dict[tuple[str, ...], Decision] = {}
    for number, row in enumerate(cells[list(COLUMNS)].itertuples(index=False), start=1):
        entry = tuple(str(cell).strip() for cell in row)
        lesion, decision = entry[:4], entry[4]
        if not (entry[0] and entry[1]):
            raise InputError(
                f"entry {number} names no case or no lesion",
                where=path,
                remedy="complete or remove it",
            )
        if decision not in DECISIONS:
            raise InputError(
                f"entry {number}: decision {decision!r} is unknown",
                where=path,
                remedy=f"write {' or '.join(DECISIONS)}",
            )
        if decisions.get(lesion, entry) != entry:
            raise InputError(
                f"two decisions on lesion {entry[1]} of {entry[0]}",
                where=path,
                remedy="keep one of them",
            )
        decisions[lesion] = entry
    return tuple(decisions.values())
