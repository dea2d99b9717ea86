"""What a call of `gsigpu cohort run` is to do, before it does anything."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gsigpu.errors import InputError, MissingDependency, OutputError, SettingsError
from gsigpu.pipeline.cohort_run.checks import CohortOptions, check_settings
from gsigpu.pipeline.cohort_run.child_process import call_isolated
from gsigpu.pipeline.cohort_run.cohort_task import CohortSettings, by_study
from gsigpu.pipeline.cohort_run.inclusion_rules import Exclusion, InclusionRules, before_measuring
from gsigpu.pipeline.cohort_run.pool import require_outside
from gsigpu.pipeline.cohort_run.predicted_size import (
    UNKNOWN_LESIONS,
    lesions_of_a_row,
    predicted_bytes,
)
from gsigpu.pipeline.cohort_run.prune import strays
from gsigpu.pipeline.cohort_run.row_files import row_files, row_name
from gsigpu.pipeline.cohort_run.run_record import (
    RUN_FILE,
    RunRecord,
    read_record,
    settled,
)
from gsigpu.pipeline.cohort_run.run_token import was_taken
from gsigpu.tables.manifest import ManifestRow, read_manifest
from gsigpu.tables.pseudonyms import read_key

# For the masks of three rows, and the headers of three studies: a guess is not worth a longer wait.
_MASKS_S, _PREDICTION_S = 5.0, 120.0


@dataclass(frozen=True, slots=True)
class CohortPlan:
    """A call, understood and checked.

    recorded : of earlier calls; None for a new run
    changes : of settings and rules against what was recorded, for a person
    all_rows : of the manifest; rows : of those, which the rules leave; excluded : the others
    tasks : the rows that this call looks at, study by study; left : those that it does not
    n_begun : rows with something on disk already
    n_pruned : rows that left the manifest, whose results go with `prune`
    damaged : what was set aside
    part : what tells a part of a run from others in names of files; "" for the whole
    """

    out: Path
    settings: CohortSettings
    rules: InclusionRules
    options: CohortOptions
    pseudonyms: str
    recorded: RunRecord | None
    changes: list[str]
    all_rows: list[ManifestRow]
    rows: list[ManifestRow]
    excluded: list[Exclusion]
    tasks: list[tuple[ManifestRow, ...]]
    left: list[ManifestRow]
    n_begun: int
    n_pruned: int
    predicted_bytes: int
    damaged: list[str]
    part: str

    @property
    def folders_written(self) -> list[Path]:
        """What this call adds to: of a part the folders of its rows, for the others grow meanwhile and are many."""
        if not self.options.is_part:
            return [self.out]
        return [row_files(self.out, row).folder for row in self.rows]

    def as_dict(self) -> dict[str, object]:
        """Plain data for `--dry-run --json`."""
        by_rule: dict[str, int] = {}
        for exclusion in self.excluded:
            by_rule[exclusion.rule] = by_rule.get(exclusion.rule, 0) + 1
        return {
            "out": str(self.out),
            "n_manifest_rows": len(self.all_rows),
            "n_rows": sum(map(len, self.tasks)),
            "n_studies": len(self.tasks),
            "n_begun": self.n_begun,
            "n_left": len(self.left),
            "n_pruned": self.n_pruned,
            "excluded": by_rule,
            "changed_settings": self.changes,
            "predicted_bytes": self.predicted_bytes,
        }


def plan_cohort(
    manifest: Path | str,
    out: Path | str,
    *,
    settings: CohortSettings | None = None,
    rules: InclusionRules | None = None,
    options: CohortOptions | None = None,
    pseudonymise: Path | str | None = None,
    named: Collection[str] | None = None,
    wait: Callable[[], None] = lambda: None,
) -> CohortPlan:
    """Understands and checks a call of `run_cohort`, which see; writes nothing.

    Raises InputError (ManifestProblems with all that is wrong), SettingsError and OutputError.
    """
    manifest, out = Path(manifest).absolute(), Path(out).absolute()
    options = options or CohortOptions()
    pseudonymise = None if pseudonymise is None else Path(pseudonymise)
    pseudonyms = None if pseudonymise is None else read_key(pseudonymise)
    fingerprint = "" if pseudonyms is None else pseudonyms.fingerprint
    if pseudonymise is not None and pseudonymise.resolve().is_relative_to(out.resolve()):
        raise InputError(
            "the key lies in the output", where=pseudonymise, remedy="move it elsewhere"
        )
    recorded, damaged = _recorded(out, fingerprint, options)
    if settings is not None and settings.patterns is not None:
        settings = replace(settings, patterns=settings.patterns.absolute())
    settings, rules, changes = settle(
        recorded, settings, rules, options=options, named=named, pseudonyms=fingerprint
    )
    check_settings(settings, options, rules, is_pseudonymous=pseudonyms is not None)
    # In a child: a manifest, a study or a mask may lie on a mount that hangs.
    all_rows: list[ManifestRow] = call_isolated(
        _looked_at,
        manifest,
        out,
        options.skip_missing,
        options.case,
        not settings.segment,
        wait=wait,
    )
    _require_phase_of_masks(all_rows, settings)
    lines = _lines_of_case(all_rows, options.case, manifest)
    if pseudonyms is not None:
        all_rows = pseudonyms.rows(all_rows)
    rows, excluded = before_measuring(all_rows, rules)
    tasks = by_study(rows)
    if options.shard is not None:
        part, n_parts = options.shard
        tasks = tasks[part - 1 :: n_parts]
        rows = [row for members in tasks for row in members]
    if options.case:
        rows = [row for row in rows if row.line in lines]
        tasks = by_study(rows)
    tasks, left, n_begun, fresh = _limited(out, tasks, options.limit)
    n_bytes = _predicted(fresh, settings, wait)
    return CohortPlan(
        out=out,
        settings=settings,
        rules=rules,
        options=options,
        pseudonyms=fingerprint,
        recorded=recorded,
        changes=changes,
        all_rows=all_rows,
        rows=rows,
        excluded=excluded,
        tasks=tasks,
        left=left,
        n_begun=n_begun,
        n_pruned=len(strays(out, all_rows)) if options.prune else 0,
        predicted_bytes=n_bytes,
        damaged=damaged,
        part=options.shard_name or _name_of_case(all_rows, lines),
    )


def _predicted(
    rows: Sequence[ManifestRow], settings: CohortSettings, wait: Callable[[], None]
) -> int:
    """What they will write, bytes. Masks that hang are those of rows that fail, not of the run."""
    if not rows:
        return 0
    try:
        n_lesions = int(
            call_isolated(lesions_of_a_row, rows, settings, timeout_s=_MASKS_S, wait=wait)
        )
    except InputError:
        n_lesions = UNKNOWN_LESIONS
    if not (settings.maps or settings.study_pages):
        return predicted_bytes(rows, settings, n_lesions)
    return int(
        call_isolated(
            predicted_bytes, rows, settings, n_lesions, timeout_s=_PREDICTION_S, wait=wait
        )
    )


def settle(
    recorded: RunRecord | None,
    settings: CohortSettings | None,
    rules: InclusionRules | None,
    *,
    options: CohortOptions,
    named: Collection[str] | None,
    pseudonyms: str,
) -> tuple[CohortSettings, InclusionRules, list[str]]:
    """The settings and rules of a call, see `settled`."""
    settings, rules, changes = settled(
        recorded, settings, rules, named=named, may_change=options.change_settings
    )
    settings = replace(
        settings,
        pseudonymous=bool(pseudonyms),
        segment_version=_program_version(settings, recorded, options),
    )
    if recorded is not None and options.retry_failed and settings.key != recorded.settings.key:
        raise SettingsError(
            f"with other settings every row is measured anew ({', '.join(changes)})",
            remedy="leave out --retry-failed",
        )
    return settings, rules, changes


def _program_version(
    settings: CohortSettings, recorded: RunRecord | None, options: CohortOptions
) -> str:
    """Of the program that draws masks, "" where none does.

    Raises MissingDependency where it is not there at the first call, SettingsError where it is another than then.
    """
    if not settings.segment:
        return ""
    before = "" if recorded is None else recorded.settings.segment_version
    from gsigpu.automatic_masks.totalsegmentator import PROGRAM, installed

    try:
        version = before if options.join and before else installed().version
    except MissingDependency:
        if not before:
            raise
        return before  # what is measured needs it no more, and what is not fails by itself
    if before and version != before and not options.change_settings:
        raise SettingsError(
            f"the run was begun with {PROGRAM} {before}, and {version} is installed",
            remedy="install that version, or add --change-settings",
        )
    return version


def _looked_at(
    manifest: Path, out: Path, skip_missing: bool, case: str, needs_masks: bool
) -> list[ManifestRow]:  # called in a child
    rows = read_manifest(manifest, skip_missing=skip_missing, case=case, needs_masks=needs_masks)
    require_outside(out, {row.study for row in rows if not case or row.case_id == case})
    return rows


def _require_phase_of_masks(rows: Sequence[ManifestRow], settings: CohortSettings) -> None:
    """Raises SettingsError where masks are to be carried over and no row has any that are of another phase."""
    if settings.register and not any(row.mask_phase or settings.mask_phase for row in rows):
        raise SettingsError(
            "--register, and nothing says which phase the masks were drawn on",
            remedy="name it with --mask-phase, or in the manifest's column mask_phase",
        )


def _lines_of_case(rows: Sequence[ManifestRow], case: str, manifest: Path) -> set[int]:
    """Lines of the manifest with a case; none where all are meant. Raises SettingsError if it is not there."""
    lines = {row.line for row in rows if case and row.case_id == case}
    if case and not lines:
        raise SettingsError(
            f"--case {case!r} is none of {manifest.name}", remedy="write a case_id of the manifest"
        )
    return lines


def _name_of_case(rows: Sequence[ManifestRow], lines: Collection[int]) -> str:
    """For names of files, from what the case is called in the results; "" where all are meant."""
    names = [row.case_id for row in rows if row.line in lines]
    return f"case-{hashlib.sha256(names[0].encode()).hexdigest()[:16]}" if names else ""


def _recorded(
    out: Path, pseudonyms: str, options: CohortOptions
) -> tuple[RunRecord | None, list[str]]:
    """What earlier calls recorded in the output, if it is that of a run.

    Another shard may begin at the same moment. Of what it leaves, all but files with a dot comes after its record, so the
    names are listed before the record is looked for: a name without a record is not a run's, or its record is gone.
    Raises OutputError if it holds something else, or a run with other pseudonyms.
    """
    remedy = "choose another output"
    if out.exists() and not out.is_dir():
        raise OutputError("is no folder", where=out, remedy=remedy)
    names = {path.name for path in out.iterdir()} if out.is_dir() else set[str]()
    damaged: list[str] = []
    try:
        recorded, damaged = read_record(out)
    except InputError as error:
        if not options.change_settings:
            raise
        recorded, damaged = None, [error.what]
    if recorded is None and not damaged:
        if was_taken(names):
            if not options.change_settings:
                raise InputError(
                    "the record of the run's settings is gone",
                    where=out / RUN_FILE,
                    remedy="run again with all settings of the run and --change-settings",
                )
        # A run that was killed before it wrote its record leaves files with a dot at most.
        elif any(not name.startswith(".") for name in names):
            raise OutputError("holds something else", where=out, remedy=remedy)
    if recorded is not None and recorded.pseudonyms != pseudonyms:
        raise OutputError(
            "holds a run with other names for its patients (--pseudonymise)",
            where=out,
            remedy="give the same key as then with --pseudonymise, or choose another output"
            if recorded.pseudonyms
            else "leave out --pseudonymise, or choose another output",
        )
    return recorded, damaged


def _limited(
    out: Path, tasks: Sequence[tuple[ManifestRow, ...]], limit: int
) -> tuple[list[tuple[ManifestRow, ...]], list[ManifestRow], int, list[ManifestRow]]:
    """The tasks with at most so many rows that are new, the rows beyond, how many were begun, and the new rows."""
    cases = out / "cases"
    begun = {path.name for path in cases.iterdir()} if cases.is_dir() else set()
    taken, left, fresh = [], list[ManifestRow](), list[ManifestRow]()
    n_begun = 0
    for members in tasks:
        kept = []
        for row in members:
            if row_name(row) in begun:
                n_begun += 1
            elif limit and len(fresh) >= limit:
                left.append(row)
                continue
            else:
                fresh.append(row)
            kept.append(row)
        if kept:
            taken.append(tuple(kept))
    return taken, left, n_begun, fresh
