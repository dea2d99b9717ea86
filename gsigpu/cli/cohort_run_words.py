"""What `gsigpu cohort run` tells a person: its plan with --dry-run, and what it did at its end."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from gsigpu.cli.console import TerminalWatcher, entry, table
from gsigpu.cli.failures import Incomplete

if TYPE_CHECKING:
    from gsigpu.pipeline.cohort_run.cohort_result import CohortResult


def summary(result: CohortResult, out: Path) -> str:
    """What a run did, for a person."""
    from gsigpu.pipeline.cohort_run.run_state import clock

    tables = result.tables
    lines = [
        entry(
            "rows",
            f"{result.n_rows}: {result.n_done} measured in {clock(result.seconds)},"
            f" {result.n_skipped} before, {result.n_failed} failed"
            + (f", {result.n_left} not tried" if result.n_left else ""),
        ),
        *(entry("changed", change) for change in result.changes),
    ]
    if result.pruned:
        lines.append(f"removed  {len(result.pruned)} results of rows that left the manifest")
    if tables is None:
        return "\n".join(
            [*lines, f"when all parts are done: gsigpu cohort run MANIFEST -o {out} --join"]
        )
    if tables.exclusions:
        told = ", ".join(f"{n} by {rule}" for rule, n in tables.exclusions.items())
        lines.append(entry("excluded", f"{told}; {out}/exclusions.csv, {out}/flow.svg"))
    if tables.warnings:
        told = ", ".join(f"{n} {kind}" for kind, n in tables.warnings.items())
        lines.append(entry("warnings", f"{told}; {out}/warnings.csv"))
    lines += [
        entry(
            "wrote" if tables.is_new else "kept",
            f"{out}/measurements.csv and {out}/measurements/: {tables.n_values} values of {tables.n_rows} rows",
        ),
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


def what_is_wrong(result: CohortResult, out: Path) -> list[Incomplete]:
    """What failed or is missing; empty where all went well."""
    wrong = []
    if result.n_failed and result.tables is None:
        wrong.append(
            Incomplete(
                f"{result.n_failed} of {result.n_rows} rows failed", remedy="--join lists them"
            )
        )
    elif result.n_failed:
        wrong.append(
            Incomplete(
                f"{result.n_failed} of {result.n_rows} rows failed: {out}/failures.csv says why",
                remedy="mend them and run again, or add --retry-failed",
            )
        )
    if result.tables is not None and result.tables.n_failed_lesions:
        wrong.append(
            Incomplete(
                f"{result.tables.n_failed_lesions} lesions of other rows could not be measured",
                remedy=f"{out}/failures.csv says why",
            )
        )
    if result.n_left:
        wrong.append(
            Incomplete(
                f"{result.n_left} rows were not tried yet",
                remedy="run again without --retry-failed, --limit and --join",
            )
        )
    return wrong


def tell_plan(manifest: Path, out: Path, request: dict[str, Any], *, as_json: bool) -> None:
    """What a call would do."""
    from gsigpu.pipeline.cohort_run.child_process import release_idle
    from gsigpu.pipeline.cohort_run.cohort_plan import plan_cohort
    from gsigpu.pipeline.cohort_run.planned_files import about_read, masks_read, planned_files

    try:
        with TerminalWatcher({"plan": "checking the manifest"}).stage("plan"):
            plan = plan_cohort(manifest, out, **request)
            read_bytes = about_read(plan)
    finally:
        release_idle()
    masks, written = masks_read(plan), planned_files(plan)
    if as_json:
        read = {"masks": list(map(str, masks)), "read_bytes": read_bytes}
        told = plan.as_dict() | read | {"written": list(map(str, written))}
        typer.echo(json.dumps(told, indent=2))
        return
    size = "their size is unknown" if read_bytes is None else f"at most {read_bytes / 2**20:.0f} MiB"  # fmt: skip
    n_rows = sum(map(len, plan.tasks))
    rules = Counter(exclusion.rule for exclusion in plan.excluded)
    lines = [
        entry(
            "rows",
            f"{n_rows} of {len(plan.tasks)} studies, {plan.n_begun} of them begun before"
            + (f"; {len(plan.left)} not tried" if plan.left else ""),
        ),
        *(f"excluded {n} by {rule}" for rule, n in rules.items()),
        *(entry("changes", change) for change in plan.changes),
        *([f"removes  results of {plan.n_pruned} rows"] if plan.n_pruned else []),
        entry(
            "read",
            f"{len(plan.tasks)} studies, {size}; {len(masks)} files of masks and roles",
        ),
        entry("write", written),
        f"disk     about {plan.predicted_bytes / 2**20:.0f} MiB more",
        "nothing was done (--dry-run)",
    ]
    typer.echo("\n".join(lines))
