"""Who is in the cohort: inclusion rules, and a record of each exclusion with its reason."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from gsigpu.errors import SettingsError
from gsigpu.tables.manifest import ManifestRow
from gsigpu.tables.review_decisions import REVIEW, Decision

CONFIRMED, DIAMETER, GROUP_SIZE, NO_LESION = (
    "confirmed-only", "max-diameter", "min-group-size", "no-lesion-left",
)  # fmt: skip
COLUMNS = (
    "case_id", "lesion_id", "rule", "reason", "patient_id", "group", "phase", "reader", "line",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class InclusionRules:
    """What the source study asked for; each rule off by default.

    confirmed_only : rows whose `confirmed` is yes
    max_diameter_mm : lesions up to this longest axial diameter, measured; 30 in the source study; None or
        infinity for no limit
    min_group_size : groups of so many patients or more
    decisions : lesions that a person rejected or wants redrawn, see gsigpu.tables.review_decisions
    """

    confirmed_only: bool = False
    max_diameter_mm: float | None = None
    min_group_size: int = 0
    decisions: tuple[Decision, ...] = ()

    def __post_init__(self) -> None:
        """Raise SettingsError for what includes nothing."""
        if self.max_diameter_mm == math.inf:
            object.__setattr__(self, "max_diameter_mm", None)
        if self.max_diameter_mm is not None and not self.max_diameter_mm > 0.0:
            raise SettingsError(
                f"largest diameter {self.max_diameter_mm:g} mm leaves no lesion",
                remedy="write --max-diameter 30",
            )


@dataclass(frozen=True, slots=True)
class Exclusion:
    """What is left out, a row or one of its lesions, and why."""

    row: ManifestRow
    rule: str
    reason: str
    lesion_id: str = ""


def before_measuring(
    rows: Sequence[ManifestRow], rules: InclusionRules
) -> tuple[list[ManifestRow], list[Exclusion]]:
    """Rows to measure, and those that the manifest alone excludes.

    Raises SettingsError for a decision on a row that is not in the manifest.
    """
    known = {(row.case_id, row.phase, row.reader) for row in rows}
    for case_id, lesion_id, phase, reader, *_ in rules.decisions:
        if (case_id, phase, reader) not in known:
            where = " ".join(filter(None, (case_id, phase, reader)))
            raise SettingsError(
                f"a decision on lesion {lesion_id} of {where}, which is no row of the manifest",
                remedy="remove it from the file of --exclusions, or add the row",
            )
    kept, excluded = [], []
    for row in rows:
        if rules.confirmed_only and row.confirmed is not True:
            why = "the manifest does not say" if row.confirmed is None else "confirmed is no"
            excluded.append(Exclusion(row, CONFIRMED, f"not confirmed by pathology ({why})"))
        else:
            kept.append(row)
    kept, small = _small_groups(kept, rules)
    return kept, [*excluded, *small]


def after_measuring(
    rows: Sequence[ManifestRow],
    lesions: Mapping[ManifestRow, Set[str]],
    diameters_mm: Mapping[ManifestRow, Mapping[str, float]],
    rules: InclusionRules,
) -> tuple[list[ManifestRow], list[Exclusion]]:
    """Rows that stay, and the lesions and rows that their measured size excludes.

    rows : that were measured
    lesions : of each row, with those that could not be measured
    A lesion is excluded from the row in which it is too large, and from no other: the label 1 of another reader's
    or another phase's mask need not be the same lesion. One mask for two phases has one diameter in both.
    """
    excluded = []
    left_out: dict[ManifestRow, set[str]] = {}
    for row in rows if rules.max_diameter_mm is not None else ():
        for lesion_id, mm in diameters_mm[row].items():
            if mm > (rules.max_diameter_mm or 0.0):
                left_out.setdefault(row, set()).add(lesion_id)
                where = ", ".join(filter(None, (row.phase, row.reader and f"reader {row.reader}")))
                reason = f"longest axial diameter {mm:.1f} mm ({where}) above {rules.max_diameter_mm:g} mm"
                excluded.append(
                    Exclusion(row=row, rule=DIAMETER, reason=reason, lesion_id=lesion_id)
                )
    by_row: dict[tuple[str, str, str], list[Decision]] = defaultdict(list)
    for decision in rules.decisions:
        case_id, _, phase, reader, *_ = decision
        by_row[case_id, phase, reader].append(decision)
    for row in rows:
        for _, lesion_id, _, _, what, why in by_row.get((row.case_id, row.phase, row.reader), ()):
            if lesion_id in lesions[row] and lesion_id not in left_out.get(row, ()):
                left_out.setdefault(row, set()).add(lesion_id)
                words = "to be redrawn" if what == "redraw" else what
                reason = f"{words} at review: {why}" if why else f"{words} at review"
                excluded.append(Exclusion(row, REVIEW, reason, lesion_id))
    kept = []
    for row in rows:
        if row in left_out and lesions[row] <= left_out[row]:
            excluded.append(Exclusion(row, NO_LESION, "all its lesions are excluded"))
        else:
            kept.append(row)
    kept, small = _small_groups(kept, rules)
    return kept, [*excluded, *small]


def _small_groups(
    rows: Sequence[ManifestRow], rules: InclusionRules
) -> tuple[list[ManifestRow], list[Exclusion]]:
    patients = patients_by_group(rows)
    kept, excluded = [], []
    for row in rows:
        n = len(patients[row.group])
        if n < rules.min_group_size:
            reason = f"group {row.group} has {n} patients, fewer than {rules.min_group_size}"
            excluded.append(Exclusion(row, GROUP_SIZE, reason))
        else:
            kept.append(row)
    return kept, excluded


def patients_by_group(rows: Iterable[ManifestRow]) -> dict[str, set[str]]:
    """Patients of each group, groups in order of first appearance."""
    patients: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        patients[row.group].add(row.patient_id)
    return dict(patients)


def exclusion_rows(exclusions: Iterable[Exclusion]) -> Iterator[dict[str, object]]:
    """The lines of exclusions.csv, of COLUMNS; `line` is that of the manifest."""
    for exclusion in exclusions:
        yield {
            "case_id": exclusion.row.case_id,
            "lesion_id": exclusion.lesion_id,
            "rule": exclusion.rule,
            "reason": exclusion.reason,
            "patient_id": exclusion.row.patient_id,
            "group": exclusion.row.group,
            "phase": exclusion.row.phase,
            "reader": exclusion.row.reader,
            "line": exclusion.row.line,
        }
