"""A table without the lesions that a person rejected or wants redrawn, and how many they were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from gsigpu.errors import InputError
from gsigpu.tables.counting import Count, count
from gsigpu.tables.flow_counts import Exclusion, Flow
from gsigpu.tables.flow_steps import Loss, loss, members_of
from gsigpu.tables.raw_table import RawTable, read_raw
from gsigpu.tables.rejected_readings import READING
from gsigpu.tables.review_decisions import Decision

_WORDS = {"rejected": "rejected at review", "redraw": "to be redrawn, at review"}
# What a decision is on: the lesion of one row of the manifest.
_DECIDED_ON = ("case_id", "lesion_id", "phase", "reader")


@dataclass(frozen=True, slots=True)
class Decided:
    """What decisions leave of a table.

    table : without the rows of the decided lesions
    whole : patients and lesions before
    excluded : decision (`rejected`, `redraw`) -> what it took out
    left : what each took, one after the other, so that whole less left is the table
    warnings : lesions on which it could not be decided
    """

    table: RawTable
    whole: Count
    excluded: dict[str, Exclusion]
    left: tuple[Loss, ...]
    warnings: tuple[str, ...] = ()

    def counted(self, flow: Flow) -> Flow:
        """The flow of the table, begun before the decisions."""
        first, *rest = flow.steps
        return replace(
            flow,
            n_patients=self.whole.patients,
            n_lesions=self.whole.lesions,
            decided=self.excluded,
            steps=(replace(first, count=self.whole, left=(*self.left, *first.left)), *rest),
        )


def without_decided(raw: RawTable, decisions: Sequence[Decision]) -> Decided:
    """Takes the rows of decided lesions out of a table.

    raw : the table, with the lists of its run beside it
    Lesions that the run's own rules took out before are passed over: exclusions.csv counts them.
    Raises InputError for a decision on a lesion that is neither in the table nor in that list, and where the table
    does not name cases.
    """
    missing = [name for name in ("case_id", "patient_id", "lesion_id") if name not in raw.columns]
    if missing:
        raise InputError(
            f"has no column {', '.join(missing)}, and decisions are on lesions of cases",
            where=raw.source,
            remedy="give the table that `gsigpu cohort run` wrote",
        )
    cells = raw.cells
    keys = pd.MultiIndex.from_frame(cells.reindex(columns=list(_DECIDED_ON), fill_value=""))
    decided = pd.MultiIndex.from_tuples([decision[:4] for decision in decisions])
    before = _excluded_before(raw)
    for case_id, lesion_id, phase, reader in decided[~decided.isin(keys)]:
        if not before & {(case_id, lesion_id), (case_id, "")}:
            where = " ".join(filter(None, (case_id, phase, reader)))
            raise InputError(
                f"a decision on lesion {lesion_id} of {where}, which is not in the table",
                where=raw.source,
                remedy="give the decisions on this cohort, or remove the entry",
            )
    excluded: dict[str, Exclusion] = {}
    left: list[Loss] = []
    still = cells
    for what in dict.fromkeys(decision[4] for decision in decisions):
        of_kind = [decision for decision in decisions if decision[4] == what]
        rows = cells[keys.isin([decision[:4] for decision in of_kind])]
        if len(rows):
            n = count(rows)
            reasons = dict.fromkeys(decision[5] for decision in of_kind if decision[5])
            excluded[what] = Exclusion(n.patients, n.lesions, "; ".join(reasons))
            there, still = members_of(still), still.drop(index=rows.index, errors="ignore")
            after = members_of(still)
            in_part = len(members_of(rows).lesions & after.lesions)
            left.append(loss(_WORDS[what], there, after, in_part))
    is_out = keys.isin(decided)
    gone = cells[is_out].reindex(columns=list(READING), fill_value="").drop_duplicates()
    return Decided(
        table=replace(
            raw, cells=cells[~is_out], rejected=tuple(gone.itertuples(index=False, name=None))
        ),
        whole=members_of(cells).count,
        excluded=excluded,
        left=tuple(left),
    )


def _excluded_before(raw: RawTable) -> set[tuple[str, str]]:
    """Case and lesion of each entry of the run's list."""
    path: Path | None = raw.beside.get("exclusions.csv")
    if path is None:
        return set()
    listed = read_raw(path, ("case_id", "lesion_id"), lambda _: None).cells
    listed = listed.reindex(columns=["case_id", "lesion_id"], fill_value="")
    return set(map(tuple, listed.to_numpy()))
