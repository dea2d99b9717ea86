"""The cohort manifest: one row per measurement, that is per case, phase and reader.

    case_id, patient_id, group, phase, study, mask          required
    reader, liver_mask, vessel_mask, aorta_mask, normal_mask, roles, sex, age, confirmed, slope   optional

Paths are relative to the manifest; several masks of lesions are separated by ";". The whole manifest is
checked before anything starts, and all that is wrong with it is told at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

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
_OLDEST = 120.0


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """One measurement to make.

    line : in the manifest, the header is line 1
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
    table = _read(path)
    missing = [name for name in REQUIRED if name not in table.columns]
    problems = [f"no column {name}" for name in missing]
    unknown = [name for name in table.columns if name not in (*REQUIRED, *OPTIONAL)]
    problems += [f"unknown column {name!r}" for name in unknown]
    if missing:
        raise ManifestProblems(path, problems)
    if table.empty:
        raise ManifestProblems(path, [*problems, "no row"])
    rows = []
    for number, record in enumerate(table.to_dict("records"), start=2):
        cells = {str(name): str(value).strip() for name, value in record.items()}
        row, found = _row(number, cells, path.parent)
        problems += [f"line {number}: {text}" for text in found]
        if row is not None:
            rows.append(row)
    problems += _contradictions(rows)
    if problems:
        raise ManifestProblems(path, problems)
    return rows


def _read(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise InputError("no such manifest", where=path, remedy="check the path")
    try:
        if path.suffix.lower() == ".parquet":
            table = pd.read_parquet(path, engine="pyarrow")
            return table.astype(object).where(table.notna(), "").astype(str)
        return pd.read_csv(
            path, dtype=str, keep_default_na=False, encoding="utf-8-sig", sep=None, engine="python"
        )
    except (ValueError, OSError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise InputError(
            f"cannot be read ({' '.join(str(error).split())})",
            where=path,
            remedy="save it as CSV in UTF-8, or as Parquet",
        ) from error


def _row(line: int, cells: dict[str, str], folder: Path) -> tuple[ManifestRow | None, list[str]]:
    """A row, or None, and what is wrong with it."""
    problems = [f"{name} is empty" for name in REQUIRED if not cells[name]]

    def existing(name: str, text: str, is_there: Callable[[Path], bool]) -> Path:
        path = folder / text
        if text and not is_there(path):
            problems.append(f"{name} {text!r} is not there")
        return path

    study = existing("study", cells["study"], Path.is_dir)
    masks = tuple(
        existing("mask", one.strip(), Path.is_file)
        for one in cells["mask"].split(";")
        if one.strip()
    )
    paths = {name: existing(name, cells[name], Path.is_file) for name in _PATHS if cells.get(name)}
    sex = cells.get("sex", "").upper()[:1]
    if sex not in ("", "M", "F", "O"):
        problems.append(f"sex {cells['sex']!r} is none of M, F, O")
    age = _age(cells.get("age", ""), problems)
    confirmed = cells.get("confirmed", "").lower().removesuffix(".0")
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
    for row in rows:
        key = (row.case_id, row.phase, row.reader)
        if key in seen:
            yield f"line {row.line}: case {row.case_id}, phase {row.phase}, reader {row.reader or '(none)'} is on line {seen[key]} already"
        seen.setdefault(key, row.line)
        patient, line = patient_of_case.setdefault(row.case_id, (row.patient_id, row.line))
        if patient != row.patient_id:
            yield f"line {row.line}: case {row.case_id} has another patient on line {line}"
        for name, value in (("group", row.group), ("sex", row.sex)):
            if value:
                of_patient[row.patient_id][name].setdefault(value, row.line)
    for known in of_patient.values():
        for name, lines in known.items():
            if len(lines) > 1:
                where = " and ".join(f"{line} ({value})" for value, line in lines.items())
                yield f"one patient has several values of {name}, lines {where}"
