"""What `gsigpu cohort run` tells a person at its end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gsigpu.cli.console import table

if TYPE_CHECKING:
    from gsigpu.pipeline.cohort_run.cohort_result import CohortResult


def summary(result: CohortResult, out: Path) -> str:
    """What a run did, for a person."""
    from gsigpu.pipeline.cohort_run.run_state import clock

    tables = result.tables
    lines = [
        f"rows     {result.n_rows}: {result.n_done} measured in {clock(result.seconds)},"
        f" {result.n_skipped} before, {result.n_failed} failed"
        + (f", {result.n_left} not tried" if result.n_left else ""),
        *(f"changed  {change}" for change in result.changes),
    ]
    if result.pruned:
        lines.append(f"removed  {len(result.pruned)} results of rows that left the manifest")
    if tables is None:
        return "\n".join(
            [*lines, f"when all parts are done: gsigpu cohort run MANIFEST -o {out} --join"]
        )
    if tables.exclusions:
        told = ", ".join(f"{n} by {rule}" for rule, n in tables.exclusions.items())
        lines.append(f"excluded {told}; {out}/exclusions.csv, {out}/flow.svg")
    if tables.warnings:
        told = ", ".join(f"{n} {kind}" for kind, n in tables.warnings.items())
        lines.append(f"warnings {told}; {out}/warnings.csv")
    what = "wrote   " if tables.is_new else "kept    "
    lines += [
        f"{what} {out}/measurements.csv and {out}/measurements/: {tables.n_values} values of {tables.n_rows} rows",
        "",
        table(
            ["group", "patients", "cases", "lesions"],
            [
                (group.group, group.n_patients, group.n_cases, group.n_lesions)
                for group in tables.groups
            ],
        ),
    ]
    return "\n".join(lines)


def what_is_wrong(result: CohortResult, out: Path) -> list[str]:
    """Lines on what failed or is missing; empty where all went well."""
    lines = []
    if result.n_failed and result.tables is None:
        lines.append(f"{result.n_failed} of {result.n_rows} rows failed; --join lists them")
    elif result.n_failed:
        lines.append(
            f"{result.n_failed} of {result.n_rows} rows failed: {out}/failures.csv says why;"
            " mend them and run again, or add --retry-failed"
        )
    if result.tables is not None and result.tables.n_failed_lesions:
        lines.append(
            f"{result.tables.n_failed_lesions} lesions of other rows could not be measured: {out}/failures.csv says why"
        )
    if result.n_left:
        lines.append(
            f"{result.n_left} rows were not tried yet: run again without --retry-failed, --limit and --join"
        )
    return lines
