"""The cohort manifest: one row per measurement, that is per case, phase and reader.

    case_id, patient_id, group, phase, study, mask          required
    reader, liver_mask, vessel_mask, aorta_mask, normal_mask, roles, series, energies, sex, age, confirmed,
    slope, mask_phase                                       optional
    region:NAME, as region:spleen                           optional: a mask of a further region, measured as it is
    any other column                                        carried through to the tables

CSV (commas, semicolons or tabs; UTF-8, with or without a byte order mark), Parquet or Excel; the index that pandas
writes is left out. Paths are relative to the manifest; several masks of lesions, series and energies are separated by
";", and a mask may be a folder. The whole manifest is checked before anything starts, and all that is wrong with it is
told at once.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gsigpu.archives.open_archives import is_in_archive, split_at_archive
from gsigpu.dicom.reading.directory_records import is_dicomdir
from gsigpu.errors import GsigpuError, InputError
from gsigpu.maps.slope import parse_slope
from gsigpu.masks.volume_headers import VOLUME_SUFFIXES
from gsigpu.phase_words import phase_words
from gsigpu.tables.manifest_file import read_cells
from gsigpu.tables.region_columns import is_region_column, region_of_column, region_problems

REQUIRED = ("case_id", "patient_id", "group", "phase", "study", "mask")
OPTIONAL = (
    "reader", "liver_mask", "vessel_mask", "aorta_mask", "normal_mask", "roles", "series", "energies",
    "sex", "age", "confirmed", "slope", "mask_phase",
)  # fmt: skip
_PATHS = ("liver_mask", "vessel_mask", "aorta_mask", "normal_mask", "roles")
# On disk a name is what its bytes say. Elsewhere "ü" in one character or in two is one letter: programs write either, nobody
# sees which, and it would make two groups or patients of one.
_OF_FILES = {"study", "mask", *_PATHS}
_YES_NO = {
    "yes": True, "true": True, "1": True, "y": True,
    "no": False, "false": False, "0": False, "n": False, "": None,
}  # fmt: skip
_OLDEST = 120.0  # years: what is more is an error of typing


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """One measurement to make.

    line : in the manifest, the header is line 1; of a Parquet file, the row's number from 2
    masks : of lesions
    regions : (name, mask) of further regions of the study
    confirmed : by pathology; None where nobody says
    slope : what plain λHU means for this row; "" for the run's
    mask_phase : that the masks were drawn on; "" for the run's
    series, energies : which stack of the study, or of a folder where several lie mixed, and which of its energies in
        keV; all that go together if empty
    extra : further columns of the manifest and their cells
    missing : inputs that are not there, where the run goes on without them
    hidden : what pseudonyms stand for, to be kept out of every text
    region_key : for hashes that regions of the patient are called by; empty without pseudonyms
    """

    line: int
    case_id: str
    patient_id: str
    group: str
    phase: str
    study: Path
    masks: tuple[Path, ...]
    reader: str = ""
    liver_mask: Path | None = None
    vessel_mask: Path | None = None
    aorta_mask: Path | None = None
    normal_mask: Path | None = None
    roles: Path | None = None
    regions: tuple[tuple[str, Path], ...] = ()
    sex: str = ""
    age: float | None = None
    confirmed: bool | None = None
    slope: str = ""
    mask_phase: str = ""
    series: tuple[str, ...] = ()
    energies: tuple[float, ...] = ()
    extra: tuple[tuple[str, str], ...] = ()
    missing: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    region_key: bytes = b""

    def __hash__(self) -> int:
        """Of what tells rows apart: all fields of thousands of rows take seconds."""
        return hash((self.line, self.case_id))

    def __repr__(self) -> str:
        """Without anybody's identity: it may end in a log."""
        return f"ManifestRow(line {self.line})"

    @property
    def name(self) -> str:
        """What the row is called in logs: case, phase and reader."""
        return "_".join(part for part in (self.case_id, self.phase, self.reader) if part)


class ManifestProblems(InputError):
    """Everything that is wrong with a manifest.

    problems : one line each, with the line of the manifest
    """

    def __init__(self, path: Path, problems: list[str]) -> None:
        """The message is one line; the list is in `problems`."""
        self.problems = problems
        super().__init__(
            f"{len(problems)} problems: {'; '.join(problems[:3])}{'; ...' if len(problems) > 3 else ''}"
            if len(problems) > 1
            else problems[0],
            where=path,
            remedy="correct the manifest",
        )

    def each(self) -> list[ManifestProblems]:
        """An error for each problem."""
        return [ManifestProblems(Path(self.where or ""), [problem]) for problem in self.problems]

    def __reduce__(self) -> tuple[object, ...]:
        """Across processes."""
        return type(self), (Path(self.where or ""), self.problems)


def read_manifest(
    path: Path, *, skip_missing: bool = False, case: str = "", needs_masks: bool = True
) -> list[ManifestRow]:
    """The rows of a manifest.

    case : whose files are looked for, so that a call for one of ten thousand cases does not look for all; "" for all
    needs_masks : every row names a mask, of lesions or of a region; else the column and its cells may be empty or absent
    skip_missing : a row whose study or mask is not there is no problem of the manifest; `missing` names them
    Raises ManifestProblems with everything that is wrong, InputError if the file cannot be read.
    """
    header, records = read_cells(path)
    region_columns = [name for name in header if is_region_column(name)]
    required = [name for name in REQUIRED if needs_masks or name != "mask"]
    missing = [
        name for name in required if name not in header and not (name == "mask" and region_columns)
    ]
    problems = [f"no column {name}" for name in missing]
    problems += region_problems(region_columns)
    problems += [
        f"unknown column {name!r}: {likely!r} is meant? Rename it"
        for name in header
        if (likely := _misspelt(name))
    ]
    if "" in header:
        problems.append(f"column {header.index('') + 1} has no name")
    problems += [
        f"column {name} stands there twice" for name, n in Counter(header).items() if n > 1
    ]
    if missing:
        raise ManifestProblems(path, problems)
    if not records:
        raise ManifestProblems(path, [*problems, "no row"])
    rows = []
    for line, cells in records:
        if len(cells) != len(header):
            problems.append(f"line {line}: {len(cells)} cells under {len(header)} columns")
            continue
        by_name = {
            name: cell
            if name in _OF_FILES or is_region_column(name)
            else unicodedata.normalize("NFC", cell)
            for name, cell in zip(header, cells, strict=True)
        }
        by_name.setdefault("mask", "")
        row, row_problems = _row(
            line, by_name, path.parent, required, skip_missing=skip_missing, case=case
        )
        problems += [f"line {line}: {text}" for text in row_problems]
        if row is not None:
            rows.append(row)
    problems += _contradictions(rows)
    if problems:
        raise ManifestProblems(path, problems)
    return rows


def _misspelt(name: str) -> str:
    """The known column that a name is but for case, blanks and underscores; "" for one that is known, or further."""
    known = {_bare(column): column for column in (*REQUIRED, *OPTIONAL)}
    likely = known.get(_bare(name), "")
    return likely if likely != name else ""


def _bare(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()


def _row(
    line: int,
    cells: dict[str, str],
    folder: Path,
    required: Sequence[str],
    *,
    skip_missing: bool,
    case: str,
) -> tuple[ManifestRow | None, list[str]]:
    """A row, or None, and what is wrong with it."""
    of_regions = {name: cell for name, cell in cells.items() if is_region_column(name) and cell}
    # A row that measures an organ need not have a lesion.
    required = [name for name in required if name != "mask" or not of_regions]
    problems = [
        f"{name} is empty"
        for name in required
        if not cells[name] and not (skip_missing and name in ("study", "mask"))
    ]
    missing: list[str] = [
        name for name in ("study", "mask") if skip_missing and name in required and not cells[name]
    ]
    is_looked_at = not case or cells["case_id"] == case

    def existing(name: str, text: str, is_there: Callable[[Path], bool]) -> Path:
        # From anywhere, as a worker of a cluster may be; and one spelling for one folder.
        path = Path(os.path.abspath(folder / text))  # noqa: PTH100  # keeps links as they are
        try:
            is_missing = is_looked_at and bool(text) and not is_there(path)
        except OSError as error:
            problems.append(f"{name} {text!r} cannot be looked at ({error.strerror})")
            return path
        if name == "study" and is_looked_at and text.lower().endswith(VOLUME_SUFFIXES):
            problems.append(
                f"study {text!r} is an image in a volume: a row's study is of DICOM files, and measure takes --nifti"
            )
        elif is_missing:
            if skip_missing:
                missing.append(name)
            elif is_in_archive(path):
                problems.append(
                    f"{name} {text!r} lies in an archive, from which only images are read: unpack it beside the archive"
                )
            else:
                problems.append(f"{name} {text!r} is not there")
        return path

    study = existing("study", cells["study"], _is_study)
    masks = tuple(
        existing("mask", name.strip(), Path.exists)
        for name in cells["mask"].split(";")
        if name.strip()
    )
    paths: dict[str, Any] = {
        name: existing(name, cells[name], _is_no_folder) for name in _PATHS if cells.get(name)
    }
    regions = tuple(
        (region_of_column(name), existing(name, text, _is_no_folder))
        for name, text in of_regions.items()
    )
    energies = _energies(cells.get("energies", ""), problems)
    sex = cells.get("sex", "").upper()[:1]
    if sex not in ("", "M", "F", "O"):
        problems.append(f"sex {cells['sex']!r} is none of M, F, O")
    age = _age(cells.get("age", ""), problems)
    confirmed = cells.get("confirmed", "").lower()
    if confirmed not in _YES_NO:
        problems.append(f"confirmed {cells['confirmed']!r} is neither yes nor no")
    slope = cells.get("slope", "")
    if slope:
        try:
            parse_slope(slope)
        except GsigpuError as error:
            problems.append(error.what)
    if problems:
        return None, problems
    return (
        ManifestRow(
            line=line,
            case_id=cells["case_id"],
            patient_id=cells["patient_id"],
            group=cells["group"],
            phase=cells["phase"],
            study=study,
            masks=masks,
            regions=regions,
            reader=cells.get("reader", ""),
            sex=sex,
            age=age,
            confirmed=_YES_NO[confirmed],
            slope=slope,
            mask_phase=cells.get("mask_phase", ""),
            series=tuple(filter(None, (uid.strip() for uid in cells.get("series", "").split(";")))),
            energies=energies,
            extra=tuple(
                (name, text)
                for name, text in cells.items()
                if name not in (*REQUIRED, *OPTIONAL) and not is_region_column(name)
            ),
            missing=tuple(dict.fromkeys(missing)),
            **paths,
        ),
        [],
    )


def _is_study(path: Path) -> bool:
    """A folder, a DICOMDIR, an archive, or a folder in one, which the worker will look for."""
    return (
        path.is_dir()
        or split_at_archive(path) is not None
        or (is_dicomdir(path) and path.is_file())
    )


def _is_no_folder(path: Path) -> bool:
    """Whether a file is there, of whatever kind."""
    return path.exists() and not path.is_dir()


def _energies(text: str, problems: list[str]) -> tuple[float, ...]:
    """keV, separated by ";"."""
    energies = []
    for word in filter(None, (part.strip() for part in text.split(";"))):
        try:
            kev = float(word.lower().removesuffix("kev"))
        except ValueError:
            kev = 0.0
        if not kev > 0.0:
            problems.append(f"energy {word!r} is no energy in keV; write 40;70;100")
        energies.append(kev)
    return tuple(energies)


def _age(text: str, problems: list[str]) -> float | None:
    """Years; also DICOM's 045Y."""
    if not text:
        return None
    try:
        age = float(text.upper().removesuffix("Y"))
    except ValueError:
        age = -1.0
    if 0.0 <= age <= _OLDEST:
        return age
    problems.append(f"age {text!r} is no age in years")
    return None


# What names one thing in many rows, and the field that holds it.
_LABELS = {"group": "group", "case": "case_id", "patient": "patient_id", "phase": "phase", "reader": "reader"}  # fmt: skip


def _contradictions(rows: list[ManifestRow]) -> Iterator[str]:
    """Rows that are each well and do not go together."""
    seen: dict[tuple[str, str, str], int] = {}
    of_patient: dict[str, dict[str, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
    patient_of_case: dict[str, tuple[str, int]] = {}
    patient_of_study: dict[tuple[Path, tuple[str, ...]], tuple[str, int]] = {}
    measured: dict[tuple[object, ...], tuple[str, int]] = {}
    for row in rows:
        key = (row.case_id, row.phase, row.reader)
        if key in seen:
            yield f"line {row.line}: case {row.case_id}, {phase_words(row.phase)}, reader {row.reader or '(none)'} is on line {seen[key]} already"
        seen.setdefault(key, row.line)
        patient, line = patient_of_case.setdefault(row.case_id, (row.patient_id, row.line))
        if patient != row.patient_id:
            yield f"line {row.line}: case {row.case_id} has another patient on line {line}"
        # Studies of several patients may lie mixed in one folder; then `series` tells them apart.
        study = row.study, row.series
        patient, line = patient_of_study.setdefault(study, (row.patient_id, row.line))
        if patient != row.patient_id:
            yield f"line {row.line}: its study is that of another patient on line {line}"
        case, line = measured.setdefault(
            (*study, row.phase, row.reader, row.masks, row.regions), (row.case_id, row.line)
        )
        if case != row.case_id:
            yield f"line {row.line}: study, phase, reader and mask are those of case {case} on line {line}"
        for name, value in (("group", row.group), ("sex", row.sex)):
            if value:
                of_patient[row.patient_id][name].setdefault(value, row.line)
    yield from _alike(rows)
    yield from _shared_masks(rows)
    for known in of_patient.values():
        for name, lines in known.items():
            if len(lines) > 1:
                where = " and ".join(f"{line} ({value})" for value, line in lines.items())
                yield f"one patient has several values of {name}, lines {where}"


def _alike(rows: list[ManifestRow]) -> Iterator[str]:
    """Labels that differ in case, blanks or the form of a letter alone.

    Of groups, patients and readers they make several of one. Of cases, whose names are those of folders, they make one of
    several where a file system takes `c1` for `C1`, as those of macOS and Windows do.
    """
    for what, field in _LABELS.items():
        spellings: dict[str, dict[str, int]] = defaultdict(dict)
        for row in rows:
            label = getattr(row, field)
            plain = unicodedata.normalize("NFKC", " ".join(label.split())).casefold()
            spellings[plain].setdefault(label, row.line)
        for lines in spellings.values():
            if len(lines) > 1:
                where = " and ".join(f"{label!r} (line {line})" for label, line in lines.items())
                yield f"one {what} or several? {where} differ in case or blanks alone; write them alike, or call one otherwise"


def _shared_masks(rows: list[ManifestRow]) -> Iterator[str]:
    """Mask files of lesions and named regions that two patients name."""
    patient_of_mask: dict[Path, tuple[str, int]] = {}
    for row in rows:
        for path in (*row.masks, *(mask for _, mask in row.regions)):
            patient, line = patient_of_mask.setdefault(path, (row.patient_id, row.line))
            if patient != row.patient_id:
                yield f"line {row.line}: its mask is that of another patient on line {line}"
