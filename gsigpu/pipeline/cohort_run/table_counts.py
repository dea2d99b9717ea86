"""What the tables of a cohort hold, in numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GroupSize:
    """What the tables hold of a group."""

    group: str
    n_patients: int
    n_cases: int
    n_lesions: int


@dataclass(frozen=True, slots=True)
class CohortTables:
    """What was written.

    n_failed, n_failed_lesions : in failures.csv
    exclusions : by rule, how many entries
    warnings : by kind, how many entries of warnings.csv
    is_new : whether anything was written; False where all was there already
    """

    n_rows: int
    n_values: int
    n_failed: int
    n_failed_lesions: int
    exclusions: dict[str, int]
    groups: tuple[GroupSize, ...]
    warnings: dict[str, int]
    is_new: bool = True
