"""Who is in the cohort: inclusion rules, and a record of each exclusion with its reason."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

import pandas as pd

from gsigpu.errors import SettingsError
from gsigpu.tables.manifest import ManifestRow

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
    max_diameter_mm : lesions up to this longest axial diameter, measured; 30 in the source study
    min_group_size : groups of so many patients or more
    """

    confirmed_only: bool = False
    max_diameter_mm: float | None = None
    min_group_size: int = 0

    def __post_init__(self) -> None:
        """Raise SettingsError for what includes nothing."""
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
    """Rows to measure, and those that the manifest alone excludes."""
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
    A lesion is excluded from all phases and readers of its case when it is too large in one of them: the
    same lesion is in the table or not.
    """
    excluded = []
    too_large: dict[tuple[str, str], tuple[float, ManifestRow]] = {}
    if rules.max_diameter_mm is not None:
        for row in rows:
            for lesion_id, mm in diameters_mm[row].items():
                known = too_large.get((row.case_id, lesion_id))
                if mm > rules.max_diameter_mm and (known is None or mm > known[0]):
                    too_large[row.case_id, lesion_id] = mm, row
        for (_, lesion_id), (mm, row) in too_large.items():
            where = ", ".join(filter(None, (row.phase, row.reader and f"reader {row.reader}")))
            reason = (
                f"longest axial diameter {mm:.1f} mm ({where}) above {rules.max_diameter_mm:g} mm"
            )
            excluded.append(Exclusion(row, DIAMETER, reason, lesion_id))
    kept = []
    for row in rows:
        if too_large and all((row.case_id, lesion_id) in too_large for lesion_id in lesions[row]):
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


def exclusion_table(exclusions: Iterable[Exclusion]) -> pd.DataFrame:
    """exclusions.csv; `line` is that of the manifest."""
    return pd.DataFrame(
        [
            (
                exclusion.row.case_id, exclusion.lesion_id, exclusion.rule, exclusion.reason, exclusion.row.patient_id,
                exclusion.row.group, exclusion.row.phase, exclusion.row.reader, exclusion.row.line,
            )
            for exclusion in exclusions
        ],
        columns=list(COLUMNS),
    )  # fmt: skip
