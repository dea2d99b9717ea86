"""The cohort manifest: one row per measurement, that is per case, phase and reader.

    case_id, patient_id, group, phase, study, mask          required
    reader, liver_mask, vessel_mask, aorta_mask, normal_mask, roles, sex, age, confirmed, slope   optional

Paths are relative to the manifest; several masks of lesions are separated by ";", and one may be a folder. The whole manifest is
checked before anything starts, and all that is wrong with it is told at once.
"""

from __future__ import annotations

import csv
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from gsigpu.errors import GsigpuError, InputError
from gsigpu.maps.slope import parse_slope

REQUIRED = ("case_id", "patient_id", "group", "phase", "study", "mask")
OPTIONAL = (
    "reader", "liver_mask", "vessel_mask", "aorta_mask", "normal_mask", "roles", "sex", "age",
    "confirmed", "slope",
)  # fmt: skip
_PATHS = ("liver_mask", "vessel_mask", "aorta_mask", "normal_mask", "roles")
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
    confirmed : by pathology; None where nobody says
    slope : what plain λHU means for this row; "" for the run's
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
    sex: str = ""
    age: float | None = None
    confirmed: bool | None = None
    slope: str = ""

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

    def __reduce__(self) -> tuple[object, ...]:
        """Across processes."""
        return type(self), (Path(self.where or ""), self.problems)


def read_manifest(path: Path) -> list[ManifestRow]:
    """The rows of a manifest, CSV or Parquet.

    Raises ManifestProblems with everything that is wrong, InputError if the file cannot be read.
    """
    header, records = _read(path)
    missing = [name for name in REQUIRED if name not in header]
    problems = [f"no column {name}" for name in missing]
    problems += [
        f"unknown column {name!r}; rename or remove it"
        for name in header
        if name not in (*REQUIRED, *OPTIONAL)
    ]
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
        row, row_problems = _row(line, dict(zip(header, cells, strict=True)), path.parent)
        problems += [f"line {line}: {text}" for text in row_problems]
        if row is not None:
            rows.append(row)
    problems += _contradictions(rows)
    if problems:
        raise ManifestProblems(path, problems)
    return rows


def _read(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Column names, and each row with the line on which it begins; empty lines are left out."""
    if not path.is_file():
        raise InputError("no such manifest", where=path, remedy="check the path")
    try:
        if path.suffix.lower() == ".parquet":
            table = pq.read_table(path)
            values = zip(*(column.to_pylist() for column in table.columns), strict=True)
            return [str(name).strip() for name in table.column_names], [
                (line, [_text(cell) for cell in cells])
                for line, cells in enumerate(values, start=2)
            ]
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            delimiter = max(",;\t", key=first.count)
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            header = [name.strip() for name in next(reader, [])]
            records, line = [], reader.line_num + 1
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    records.append((line, [cell.strip() for cell in cells]))
                line = reader.line_num + 1
            return header, records
    except (ValueError, OSError, csv.Error, pa.ArrowException) as error:
        raise InputError(
            f"cannot be read ({' '.join(str(error).split())})",
            where=path,
            remedy="save it as CSV in UTF-8, or as Parquet",
        ) from error


def _text(value: object) -> str:
    """A cell of a Parquet file; numbers that a missing value made decimal are whole again."""
    if value is None or value != value:  # noqa: PLR0124  # NaN
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _row(line: int, cells: dict[str, str], folder: Path) -> tuple[ManifestRow | None, list[str]]:
    """A row, or None, and what is wrong with it."""
    problems = [f"{name} is empty" for name in REQUIRED if not cells[name]]

    def existing(name: str, text: str, is_there: Callable[[Path], bool]) -> Path:
        # From anywhere, as a worker of a cluster may be; and one spelling for one folder.
        path = Path(os.path.abspath(folder / text))  # noqa: PTH100  # keeps links as they are
        if text and not is_there(path):
            problems.append(f"{name} {text!r} is not there")
        return path

    study = existing("study", cells["study"], Path.is_dir)
    masks = tuple(
        existing("mask", name.strip(), Path.exists)
        for name in cells["mask"].split(";")
        if name.strip()
    )
    paths = {name: existing(name, cells[name], Path.is_file) for name in _PATHS if cells.get(name)}
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
            reader=cells.get("reader", ""),
            sex=sex,
            age=age,
            confirmed=_YES_NO[confirmed],
            slope=slope,
            **paths,
        ),
        [],
    )


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


def _contradictions(rows: list[ManifestRow]) -> Iterator[str]:
    """Rows that are each well and do not go together."""
    seen: dict[tuple[str, str, str], int] = {}
    of_patient: dict[str, dict[str, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
    patient_of_case: dict[str, tuple[str, int]] = {}
    patient_of_study: dict[Path, tuple[str, int]] = {}
    measured: dict[tuple[object, ...], tuple[str, int]] = {}
    for row in rows:
        key = (row.case_id, row.phase, row.reader)
        if key in seen:
            yield f"line {row.line}: case {row.case_id}, phase {row.phase}, reader {row.reader or '(none)'} is on line {seen[key]} already"
        seen.setdefault(key, row.line)
        patient, line = patient_of_case.setdefault(row.case_id, (row.patient_id, row.line))
        if patient != row.patient_id:
            yield f"line {row.line}: case {row.case_id} has another patient on line {line}"
        patient, line = patient_of_study.setdefault(row.study, (row.patient_id, row.line))
        if patient != row.patient_id:
            yield f"line {row.line}: its study is that of another patient on line {line}"
        case, line = measured.setdefault(
            (row.study, row.phase, row.reader, row.masks), (row.case_id, row.line)
        )
        if case != row.case_id:
            yield f"line {row.line}: study, phase, reader and mask are those of case {case} on line {line}"
        for name, value in (("group", row.group), ("sex", row.sex)):
            if value:
                of_patient[row.patient_id][name].setdefault(value, row.line)
    for known in of_patient.values():
        for name, lines in known.items():
            if len(lines) > 1:
                where = " and ".join(f"{line} ({value})" for value, line in lines.items())
                yield f"one patient has several values of {name}, lines {where}"
