"""What is on disk of a row, and whether it is still true of its inputs."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gsigpu.dicom.reading.headers import files_below
from gsigpu.errors import FileChanged
from gsigpu.file_state import FileState
from gsigpu.masks.read_files import files_of
from gsigpu.pipeline.cohort_run.cohort_task import FAILED, LEFT, SKIPPED, RowOutcome, StudyTask
from gsigpu.pipeline.cohort_run.failure_kinds import PASSING
from gsigpu.pipeline.cohort_run.row_files import (
    RECORD_FORM,
    DamagedRecord,
    RowFiles,
    file_digest,
    named_files,
    put_json,
    put_record,
    read_json,
    read_record_file,
    row_files,
    row_key,
    row_name,
    set_aside,
    study_fingerprint,
    whole_parquet,
)
from gsigpu.pipeline.cohort_run.wrong_kinds import set_aside_wrong_kinds_of_row
from gsigpu.tables.manifest import ManifestRow


class StudyState:
    """The state of a study folder: looked at once for all its rows, and its contents only if asked."""

    def __init__(self, folder: Path, *, by_content: bool) -> None:
        self._folder, self._by_content = folder, by_content
        self._stat = self._content = ""

    @property
    def stat(self) -> str:
        """Names, sizes and times of its files."""
        self._stat = self._stat or study_fingerprint(self._folder)
        return self._stat

    @property
    def content(self) -> str:
        """Names and contents of its files; "" unless they count."""
        if self._by_content and not self._content:
            self._content = study_fingerprint(self._folder, by_content=True)
        return self._content

    def as_dict(self) -> dict[str, Any]:
        """For a record."""
        return {"form": RECORD_FORM, "stat": self.stat, "content": self.content}

    def is_that_of(self, record: dict[str, Any]) -> bool:
        """Whether a record was made of the same study."""
        if record.get("form") != RECORD_FORM:
            return False
        if record.get("stat") == self.stat:
            return True
        return bool(self.content) and record.get("content") == self.content

    def is_newer_than(self, record: dict[str, Any]) -> bool:
        """Whether a record of the same study lacks what is known of it now."""
        stat_changed = record.get("stat") != self.stat
        return stat_changed or bool(self.content and record.get("content") != self.content)


FileStates = dict[Path, FileState]


def states_of_masks(row: ManifestRow) -> FileStates:
    """Of every file that a row's masks and mapping are read from, also voxels and names beside a header.

    Raises OSError if one cannot be looked at, InputError if a folder cannot be listed.
    """
    paths: list[Path] = []
    for path, _ in named_files(row):
        members = [Path(name) for name in files_below(path)] if path.is_dir() else [path]
        paths += [part for member in members for part in files_of(member)]
    return {path: FileState.of(path) for path in paths}


def require_same_masks(row: ManifestRow, states: FileStates) -> None:
    """Raises FileChanged unless a row's masks and mapping are still those that its key was made of.

    What was measured since would else stand under the key of what was there before.
    """
    now = states_of_masks(row)
    for path in sorted({*states, *now}):
        if states.get(path) != now.get(path):
            raise FileChanged(
                "was changed while its row was measured",
                where=path,
                remedy="run the same command again when no other program writes to this folder",
            )


class RowLookup:
    """What is on disk of the rows of a run.

    Results are found under the row's name; a row that is called otherwise since gets those of its inputs from
    wherever they lie.
    """

    def __init__(self, task: StudyTask, state: StudyState) -> None:
        self._task, self._state = task, state
        self._settings_key = task.settings.key

    def files(self, row: ManifestRow) -> tuple[RowFiles, dict[str, Any], FileStates]:
        """The files of a row under its key, its masks' digests, and the state of what was digested.

        Raises OSError and InputError if a mask cannot be read.
        """
        states = states_of_masks(row)
        named = named_files(row)
        digests = [file_digest(path) for path, _ in named]
        key = row_key(row, self._settings_key, digests, self._task.version)
        inputs = {"masks": digests[: len(row.masks)]}
        return row_files(self._task.out, row, key), inputs, states

    def known(self, files: RowFiles, row: ManifestRow) -> tuple[RowOutcome | None, tuple[str, ...]]:
        """The outcome that is on disk, None where the row must be measured; and what was damaged."""
        damaged = set_aside_wrong_kinds_of_row(self._task.out, files)
        outcome = self._measured(files, row, damaged)
        if outcome is None and not files.table.exists():
            outcome = self._adopted(files, row, damaged)
        if outcome is None:
            outcome = self._failed(files, row, damaged)
        if outcome is None and self._task.retry_only and not files.failures():
            outcome = RowOutcome(row=row, status=LEFT, key=files.key)
        return outcome, tuple(damaged)

    def _measured(self, files: RowFiles, row: ManifestRow, damaged: list[str]) -> RowOutcome | None:
        """A table that is whole, of this study, and has nothing that is to be tried again."""
        if not files.table.exists():
            return None
        if not whole_parquet(files.table):
            damaged.append(set_aside(self._task.out, files.table))
            return None
        record = self._record(files.study, damaged)
        if record is None or not self._state.is_that_of(record):
            return None
        if not self._task.survey_only:
            gone = [name for name in self._task.settings.suffixes if _is_gone(files.named(name))]
            if gone:
                place = files.table.relative_to(self._task.out).with_suffix(gone[0])
                damaged.append(
                    f"{place.as_posix()} was gone or empty, and its row is measured again"
                )
                return None
        lesions = self._record(files.lesions, damaged)
        if lesions is not None and not self._task.survey_only:
            is_passing = any(entry["kind"] == PASSING for entry in lesions["failures"])
            if is_passing or self._task.retry_only:
                return None
        if self._state.is_newer_than(record):
            with contextlib.suppress(OSError):  # it costs a look into the files next time, no more
                put_record(files.study, {**record, **self._state.as_dict()})
        return RowOutcome(row=row, status=SKIPPED, key=files.key, inputs=dict(record["inputs"]))

    def _failed(self, files: RowFiles, row: ManifestRow, damaged: list[str]) -> RowOutcome | None:
        """A failure that is not to be tried again."""
        record = self._record(files.failure, damaged)
        if record is None or self._task.retry_only or not self._state.is_that_of(record):
            return None
        if record["kind"] == PASSING and not self._task.survey_only:
            return None
        return RowOutcome(
            row=row,
            status=FAILED,
            key=files.key,
            stage=record["stage"],
            reason=record["reason"],
            kind=record["kind"],
            fresh=False,
            inputs=dict(record["inputs"]),
        )

    def _record(self, path: Path, damaged: list[str]) -> dict[str, Any] | None:
        try:
            return read_record_file(path)
        except DamagedRecord:
            damaged.append(set_aside(self._task.out, path))
            return None

    def _adopted(self, files: RowFiles, row: ManifestRow, damaged: list[str]) -> RowOutcome | None:
        """Results of the same inputs and settings under another name, linked to this one."""
        for folder in _folders_by_key(self._task).get(files.key, ()):
            if folder == files.folder:
                continue
            other = RowFiles(folder, files.key)
            outcome = self._measured(other, row, damaged)
            if outcome is not None:
                _link(other, files)
                return outcome
        return None


def _is_gone(path: Path) -> bool:
    """Whether a file or folder is not there, or a file is empty, as a power cut leaves one."""
    try:
        return path.stat().st_size == 0 and not path.is_dir()
    except FileNotFoundError:
        return True


STRAYS_FILE = "strays.json"
_FOLDERS: dict[tuple[Path, str], dict[str, list[Path]]] = {}


def write_strays(out: Path, rows: Sequence[ManifestRow]) -> None:
    """Lists the folders of results that are of no row of the manifest, for rows that are called otherwise now."""
    known = {row_name(row) for row in rows}
    strays = sorted(folder.name for folder in (out / "cases").iterdir() if folder.name not in known)
    if strays:
        put_json(out / STRAYS_FILE, {"folders": strays}, is_durable=False)
    else:
        (out / STRAYS_FILE).unlink(missing_ok=True)


def _folders_by_key(task: StudyTask) -> dict[str, list[Path]]:
    """Key -> folders of no row with a table under it; listed once per run and process."""
    place = (task.out, task.token)
    if place not in _FOLDERS:
        _FOLDERS.clear()
        folders: dict[str, list[Path]] = {}
        strays = read_json(task.out / STRAYS_FILE) or {"folders": []}
        for folder in (task.out / "cases" / name for name in strays["folders"]):
            with contextlib.suppress(OSError):  # one that cannot be listed has nothing to give
                for name in os.listdir(folder):  # noqa: PTH208  # of thousands
                    if name.endswith(".parquet") and not name.startswith("."):
                        folders.setdefault(name.removesuffix(".parquet"), []).append(folder)
        _FOLDERS[place] = folders
    return _FOLDERS[place]


def _link(other: RowFiles, files: RowFiles) -> None:
    """Gives a row the files of another, the table last."""
    files.folder.mkdir(parents=True, exist_ok=True)
    for source in (
        other.provenance,
        other.lesions,
        other.picture,
        other.registration,
        other.cards,
        other.page,
        other.maps,
        other.study,
        other.table,
    ):
        if not source.exists():
            continue
        target = files.folder / source.name
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True, copy_function=_link_file)
        else:
            target.unlink(missing_ok=True)
            _link_file(source, target)


def _link_file(source: Path | str, target: Path | str) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        shutil.copy2(source, target)
