"""Where a cohort run keeps what it knows, and how each file gets there whole.

    OUT/cases/NAME/KEY.parquet        the measurement table of one row of the manifest: where it is, all is
    OUT/cases/NAME/KEY.study          the state of the study that it was measured from
    OUT/cases/NAME/KEY.json           how it came about
    OUT/cases/NAME/KEY.lesions        lesions that could not be measured, where there are any
    OUT/cases/NAME/KEY.png, KEY.registration.png, KEY.maps/, KEY.cards/, KEY.page/ if asked
    OUT/cases/NAME/KEY.failed.json    stage and reason of a row that failed, KEY.log the details
    OUT/measurements/phase=PVP/part-00000.parquet, measurements.csv, failures.csv, exclusions.csv,
    warnings.csv, flow.svg, flow.png, results.json    made of the above at the end of a run
    OUT/damaged/                      files that could not be read back
    OUT/run.json, run.copy.json, run.log, status.json, .patterns-*.toml, token, strays.json, .lock, .lock-record

KEY follows from the settings and the row's masks, and from nothing that only names the row (case, patient, group,
reader, further columns). A row is done when its table is there under its key and its study is the one beside it.
Every file is written beside its place, forced to the disk and renamed, so that what is there is whole at any
moment, also after a power cut.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gsigpu.archives.open_archives import split_at_archive
from gsigpu.dicom.reading.headers import files_below
from gsigpu.masks.read_files import files_of
from gsigpu.output.leftovers import HOST, is_abandoned, is_unfinished_name
from gsigpu.output.portable_names import portable_name
from gsigpu.output.rename_new import rename_new
from gsigpu.output.to_disk import sync_path
from gsigpu.tables.manifest import ManifestRow
from gsigpu.tables.region_columns import REGION_COLUMN

_PARQUET = b"PAR1"
_PARTIAL = re.compile(r"\.partial-[0-9a-f]{8}-(?P<host>[0-9a-f]{8})-(?P<pid>\d+)\..*")
# Limits, each with its reason.
_LONGEST_NAME = 100  # bytes: file systems allow 255, and archives of them often 100
_READ_BYTES = 2**22  # per read call: larger blocks read no faster
_GZIP_FIXED = 10  # bytes of a gzip header before its optional parts
_KEY_LENGTH = 16  # 64 bits: two of a million keys are equal with a probability of 3e-8
NO_KEY = "unread"
FAILURE_SUFFIXES = (".failed.json", ".log")
# Of what a row leaves: counted up when its files mean something else than before.
RECORD_FORM = 3
DAMAGED_FOLDER = "damaged"
_DIGEST = "digest_of_record"


def named_files(row: ManifestRow) -> list[tuple[Path, str]]:
    """The mask and mapping files that a row names, and what they are."""
    files = [(path, f"mask-{i}") for i, path in enumerate(row.masks, start=1)]
    for name in ("liver_mask", "vessel_mask", "aorta_mask", "normal_mask", "roles"):
        path = getattr(row, name)
        if path is not None:
            files.append((path, name))
    return files + [(path, f"{REGION_COLUMN}{name}") for name, path in row.regions]


def row_name(row: ManifestRow) -> str:
    """A row's name as that of a file; no two rows share one.

    >>> row_name(ManifestRow(2, "c 1", "p", "lung", "PVP", Path(), (), reader="A"))
    'c%201~PVP~A'
    """
    parts = (row.case_id, row.phase, row.reader) if row.reader else (row.case_id, row.phase)
    name = portable_name("~".join(re.sub(r"[^\w.-]|^\.", _escaped, part) for part in parts))
    if len(name.encode()) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    return f"{name.encode()[: _LONGEST_NAME - 13].decode('utf-8', 'ignore')}~{digest}"


def _escaped(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode())


def study_fingerprint(study: Path, *, by_content: bool = False) -> str:
    """Of all files of a study folder: names, sizes and times of last change, without opening any.

    The inode's time is among them, which no program can set back: a file that was changed and given its
    old date is seen. by_content : names and contents instead, for an archive that is copied about; this
    reads every byte.
    Of an archive the one file counts that it is.
    Raises InputError if the folder cannot be listed, OSError if a file cannot be read.
    """
    digest = hashlib.sha256()
    place = split_at_archive(study)
    below = os.path.join(study, "")  # noqa: PTH118  # of thousands of files, here and below
    for name in [os.fspath(place[0])] if place else files_below(study):
        relative = (
            name.removeprefix(below) if name.startswith(below) else os.path.relpath(name, study)
        )
        digest.update(relative.encode("utf-8", "surrogateescape"))
        stat = _stat_or_none(name)
        if stat is None:  # named by a DICOMDIR, and not there
            digest.update(b"\0missing\n")
        elif by_content:
            digest.update(file_digest(Path(name)).encode())
        else:
            digest.update(f"\0{stat.st_size}\0{stat.st_mtime_ns}\0{stat.st_ctime_ns}\n".encode())
    return digest.hexdigest()


def _stat_or_none(name: str) -> os.stat_result | None:
    """Of a file, or of a link that leads nowhere; None where there is nothing."""
    for follows in (True, False):
        with contextlib.suppress(OSError):
            return os.stat(name, follow_symlinks=follows)  # noqa: PTH116
    return None


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content, or of the names and contents in a folder.

    A mask that is read from several files (a header and its voxels, names of labels) is all of them.

    The header of a gzip file holds a name and a time, so it does not count: equal volumes have equal digests.
    Raises OSError if a file cannot be read, InputError if a folder cannot be listed.
    """
    digest = hashlib.sha256()
    if path.is_dir():
        for name in files_below(path):
            relative = os.path.relpath(name, path)
            digest.update(
                f"{relative}\0{file_digest(Path(name))}\n".encode("utf-8", "surrogateescape")
            )
        return digest.hexdigest()
    parts = files_of(path)
    for part in parts:
        if len(parts) > 1:
            digest.update(f"\0{part.name}\n".encode("utf-8", "surrogateescape"))
        try:
            with part.open("rb") as file:
                block = file.read(_READ_BYTES)
                digest.update(block[_gzip_header_length(block) :])
                while block := file.read(_READ_BYTES):
                    digest.update(block)
        except OSError as error:
            error.filename = str(part)  # which an error in the middle of a file does not say
            raise
    return digest.hexdigest()


def _gzip_header_length(block: bytes) -> int:
    """Bytes of a gzip header (RFC 1952), 0 where there is none.

    >>> import gzip
    >>> _gzip_header_length(gzip.compress(b"x")), _gzip_header_length(b"no gzip")
    (10, 0)
    """
    if block[:3] != b"\x1f\x8b\x08" or len(block) < _GZIP_FIXED:
        return 0
    flags, at = block[3], _GZIP_FIXED
    if flags & 4:  # extra field
        at += 2 + int.from_bytes(block[at : at + 2], "little")
    for flag in (8, 16):  # name, comment
        if flags & flag:
            at = block.find(b"\0", at) + 1
            if not at:
                return 0
    return at + 2 if flags & 2 else at


def row_key(row: ManifestRow, settings_key: str, file_digests: Sequence[str], version: str) -> str:
    """16 hexadecimal digits that change when a setting, a mask, the program or the form of records does.

    file_digests : of `named_files`, in their order
    Where a file lies is no input, what it holds is. What a row is called is none either.
    """
    chosen = (row.phase, row.slope, row.series, row.energies, row.mask_phase)
    called = [name for _, name in named_files(row)]
    files = [f"{name} {digest}" for name, digest in zip(called, file_digests, strict=True)]
    text = json.dumps([version, RECORD_FORM, settings_key, chosen, files])
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:_KEY_LENGTH]


@dataclass(frozen=True, slots=True)
class RowFiles:
    """The files of one row under one key; a failure whose inputs could not be read has the key NO_KEY."""

    folder: Path
    key: str

    def named(self, suffix: str) -> Path:
        """KEY with a suffix."""
        return self.folder / f"{self.key}{suffix}"

    @property
    def table(self) -> Path:
        """The measurements; there when the row is done."""
        return self.named(".parquet")

    @property
    def provenance(self) -> Path:
        """How they came about."""
        return self.named(".json")

    @property
    def study(self) -> Path:
        """The state of the study that was measured."""
        return self.named(".study")

    @property
    def lesions(self) -> Path:
        """Lesions that could not be measured, where there are any."""
        return self.named(".lesions")

    @property
    def failure(self) -> Path:
        """Stage and reason, where the row failed."""
        return self.named(".failed.json")

    @property
    def log(self) -> Path:
        """And what else there is to say."""
        return self.named(".log")

    @property
    def picture(self) -> Path:
        """Of the largest lesion."""
        return self.named(".png")

    @property
    def registration(self) -> Path:
        """Where the masks lay before and after they were carried over, with the picture of the largest lesion."""
        return self.named(".registration.png")

    @property
    def cards(self) -> Path:
        """A folder: pictures of the lesions, and what stands beside them in the gallery."""
        return self.named(".cards")

    @property
    def page(self) -> Path:
        """A folder: the study page of the row, which its cards lead to."""
        return self.named(".page")

    @property
    def maps(self) -> Path:
        """A folder."""
        return self.named(".maps")

    def under_other_keys(self) -> list[Path]:
        """What is there of the row from other inputs or settings."""
        if not self.folder.is_dir():
            return []
        prefix = f"{self.key}."
        return [
            path
            for path in self.folder.iterdir()
            if not path.name.startswith((prefix, ".partial-", f".{prefix}"))
        ]

    def failures(self) -> list[Path]:
        """Records of failures, of the row or of its lesions, under whatever key."""
        if not self.folder.is_dir():
            return []
        return [*self.folder.glob("*.failed.json"), *self.folder.glob("*.lesions")]


def row_files(root: Path, row: ManifestRow, key: str = NO_KEY) -> RowFiles:
    """Of a row in a run's folder."""
    return RowFiles(root / "cases" / row_name(row), key)


def size_and_time(path: Path) -> list[int]:
    """Of a file: an edit changes one of them, a copy of the whole folder neither. Empty without a file."""
    try:
        stat = path.stat()
    except OSError:
        return []
    return [stat.st_size, stat.st_mtime_ns]


def remove(paths: Iterable[Path]) -> None:
    """Files and folders, as far as they are there."""
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Removes what a killed run left half-written in a folder."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if (match := _PARTIAL.fullmatch(path.name)) and is_abandoned(
            path, match["host"], int(match["pid"])
        ):
            path.unlink(missing_ok=True)
        elif is_unfinished_name(path.name) and path.is_dir():
            shutil.rmtree(path, ignore_errors=True)


def put(
    path: Path, write: Callable[[Path], object], *, is_durable: bool = True, is_new: bool = False
) -> None:
    """A file by `write(partial path)`, renamed into place when complete.

    is_durable : on the disk before this returns, so that no power cut leaves an empty file under its name
    is_new : raises FileExistsError if the name is taken, by whomever, at the moment of renaming
    """
    partial = path.with_name(f".partial-{secrets.token_hex(4)}-{HOST}-{os.getpid()}.{path.name}")
    try:
        write(partial)
        if is_durable:
            sync_path(partial)
        if is_new:
            rename_new(partial, path)
        else:
            partial.replace(path)
        if is_durable:
            sync_path(path.parent)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def put_text(path: Path, text: str, *, is_durable: bool = True, is_new: bool = False) -> None:
    """A text file, whole or not there, see `put`."""

    def write(partial: Path) -> None:
        partial.write_text(text, "utf-8")

    put(path, write, is_durable=is_durable, is_new=is_new)


def put_json(path: Path, content: object, *, is_durable: bool = True, is_new: bool = False) -> None:
    """A JSON file, whole or not there, see `put`."""
    put_text(path, json.dumps(content, indent=1) + "\n", is_durable=is_durable, is_new=is_new)


def read_json(path: Path) -> dict[str, Any] | None:
    """A record as `put_json` wrote it; None where there is none.

    Raises DamagedRecord if it cannot be understood, OSError if it cannot be read.
    """
    if not path.is_file():
        if os.path.lexists(path):  # a pipe would be waited for
            raise DamagedRecord(path)
        return None
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:  # no JSON, or no UTF-8
        raise DamagedRecord(path) from error
    if not isinstance(content, dict):
        raise DamagedRecord(path)
    return content


def put_record(path: Path, content: dict[str, Any]) -> None:
    """A record with a digest of itself: a bit that flips on the disk is noticed."""
    put_json(path, {**content, _DIGEST: _digest_of(content)})


def read_record_file(path: Path) -> dict[str, Any] | None:
    """A record as `put_record` wrote it; None where there is none.

    Raises DamagedRecord if it is not whole, OSError if it cannot be read.
    """
    content = read_json(path)
    if content is None:
        return None
    if content.pop(_DIGEST, None) != _digest_of(content):
        raise DamagedRecord(path)
    return content


def _digest_of(content: dict[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_KEY_LENGTH]


class DamagedRecord(Exception):
    """A file of a run that cannot be read back; `path` is where it lies."""

    def __init__(self, path: Path) -> None:
        """The message is the path."""
        super().__init__(str(path))
        self.path = path


def set_aside(out: Path, path: Path) -> str:
    """Moves a damaged file of a run out of the way; returns what to tell a person."""
    folder = out / DAMAGED_FOLDER
    if os.path.lexists(folder) and not folder.is_dir():
        folder.rename(out / f"{DAMAGED_FOLDER}.{secrets.token_hex(3)}")
    folder.mkdir(exist_ok=True)
    inner = path.relative_to(out)
    target = folder / f"{'~'.join(inner.parts[-2:])}.{secrets.token_hex(3)}"
    path.replace(target)
    return (
        f"{inner.as_posix()} was damaged and is set aside as {target.relative_to(out).as_posix()}"
    )


def whole_parquet(path: Path) -> bool:
    """Whether a file begins and ends as a Parquet file does, which one that was cut does not."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        if size < 2 * len(_PARQUET) + 4:
            return False
        file.seek(-8, os.SEEK_END)
        tail = file.read(8)
        file.seek(0)
        footer_bytes = int.from_bytes(tail[:4], "little")
        return tail[4:] == _PARQUET == file.read(4) and footer_bytes + 12 <= size
