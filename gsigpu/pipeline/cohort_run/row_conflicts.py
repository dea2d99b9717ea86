"""Masks that cannot be those of their rows, as only a look at all rows together shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from gsigpu.pipeline.cohort_run.cohort_task import DONE, FAILED, SKIPPED, RowOutcome
from gsigpu.pipeline.cohort_run.failure_kinds import INPUT
from gsigpu.pipeline.cohort_run.mask_grids import is_same_grid


def without_foreign_masks(outcomes: Sequence[RowOutcome]) -> list[RowOutcome]:
    """The outcomes; those of rows whose mask belongs elsewhere are failures.

    One content of a mask for two patients, and a mask that does not lie on the grid of its own study and does on
    that of another study of the manifest.
    """
    owners = _owners(outcomes)
    grids = _study_grids(outcomes)
    return [_checked(outcome, owners, grids) for outcome in outcomes]


def _owners(outcomes: Sequence[RowOutcome]) -> dict[str, dict[str, RowOutcome]]:
    """Content of a mask -> patient -> a row of his that uses it."""
    owners: dict[str, dict[str, RowOutcome]] = {}
    for outcome in outcomes:
        for digest in _contents(outcome):
            owners.setdefault(digest, {}).setdefault(outcome.row.patient_id, outcome)
    return owners


def _contents(outcome: RowOutcome) -> list[str]:
    """Of the mask files as they are, and of those with lesions unpacked: what was packed again is the same mask."""
    return [*outcome.inputs.get("masks", ()), *outcome.inputs.get("contents", ())]


_GridsByShape = dict[tuple[int, ...], list[tuple[dict[str, Any], RowOutcome]]]


def _study_grids(outcomes: Sequence[RowOutcome]) -> _GridsByShape:
    """The different grids of the studies by shape, each with a row of its study."""
    seen: set[str] = set()
    grids: _GridsByShape = {}
    for outcome in outcomes:
        study_grid = outcome.inputs.get("grid")
        for grid in (*([study_grid] if study_grid else ()), *outcome.inputs.get("grids", ())):
            name = f"{outcome.row.study} {grid['sides']} {grid['centre']}"
            if name not in seen:
                seen.add(name)
                grids.setdefault(_shape(grid), []).append((grid, outcome))
    return grids


def _shape(grid: dict[str, Any]) -> tuple[int, ...]:
    return tuple(sorted(n for _, n in grid["sides"]))


def _checked(
    outcome: RowOutcome,
    owners: dict[str, dict[str, RowOutcome]],
    grids: _GridsByShape,
) -> RowOutcome:
    if outcome.status not in (DONE, SKIPPED):
        return outcome
    row = outcome.row
    for digest in _contents(outcome):
        others = [other for patient, other in owners[digest].items() if patient != row.patient_id]
        if others:
            return _refused(
                outcome,
                f"its mask has the content of that of case {others[0].row.case_id}, another patient"
                f" (line {others[0].row.line}); give each row its own mask",
            )
    study_grid = outcome.inputs.get("grid")
    for grid in outcome.inputs.get("mask_grids", ()):
        if study_grid is None or grid is None or is_same_grid(grid, study_grid):
            continue
        for other_grid, other in grids.get(_shape(grid), ()):
            if other.row.study != row.study and is_same_grid(grid, other_grid):
                return _refused(
                    outcome,
                    f"its mask does not lie on the grid of its study, and lies on that of the study of case"
                    f" {other.row.case_id} (line {other.row.line}); give each row its own mask",
                )
    return outcome


def _refused(outcome: RowOutcome, reason: str) -> RowOutcome:
    return replace(outcome, status=FAILED, stage="masks", reason=reason, kind=INPUT)
