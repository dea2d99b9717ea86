"""A flow of patients and lesions that adds up: what a step begins with is what it names as left, and what goes on.

A patient, a lesion and a row are those of `gsigpu.tables.counting`. A lesion leaves where its last row leaves, a
patient where the last lesion leaves: what a rule takes out of one phase or of one reader's rows alone is told beside
the counts, as `in_part`, and is no loss. Lesions of what was never measured are not known; a step says so and does not
put 0 in their place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from gsigpu.errors import InputError
from gsigpu.tables.counting import LESION, Count, lesions

if TYPE_CHECKING:
    import pandas as pd

Lesion = tuple[str, str]
COLUMNS = ("step", "what", "name", "n_patients", "n_lesions", "n_rows", "n_lesions_in_part")
_KEPT, _LEFT = "kept", "left"
# The step of a cohort run that the measurement table holds: where the flow of the statistics goes on.
IN_THE_TABLES = "In the tables"


@dataclass(frozen=True, slots=True)
class Members:
    """Who is still there.

    rows : of the manifest; None where nobody counts them
    """

    patients: frozenset[str]
    lesions: frozenset[Lesion]
    rows: int | None = None

    @property
    def count(self) -> Count:
        """How many."""
        return Count(patients=len(self.patients), lesions=len(self.lesions))


@dataclass(frozen=True, slots=True)
class Loss:
    """What left at a step, and why.

    lesions : None where they were never measured
    in_part : lesions that left in some rows and stay in others
    """

    reason: str
    patients: int
    lesions: int | None
    rows: int | None = None
    in_part: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """Who is there, and what leaves before the next step."""

    name: str
    count: Count
    rows: int | None = None
    left: tuple[Loss, ...] = ()


def members_of(cells: pd.DataFrame) -> Members:
    """Patients and lesions of rows of a measurement table."""
    keys = lesions(cells)[list(LESION)]
    return Members(
        patients=frozenset(cells["patient_id"].unique().tolist()) - {""},
        lesions=frozenset(zip(*(keys[name].tolist() for name in LESION), strict=True)),
    )


def loss(reason: str, before: Members, after: Members, in_part: int = 0) -> Loss:
    """What one reason took; `after` is a part of `before`."""
    rows = None if before.rows is None or after.rows is None else before.rows - after.rows
    return Loss(
        reason=reason,
        patients=len(before.patients - after.patients),
        lesions=len(before.lesions - after.lesions),
        rows=rows,
        in_part=in_part,
    )


def losses_by_reason(
    before: Members,
    after: Members,
    reason_of: Callable[[Lesion], str],
    without_lesion: str,
) -> tuple[Loss, ...]:
    """What left between two steps, by reason; each patient and lesion once.

    reason_of : of a lesion that left
    without_lesion : reason of patients who left and had no lesion at all
    A patient with lesions of several reasons counts to that which sorts last, as the last of them took the patient.
    """
    gone = sorted(before.lesions - after.lesions)
    reasons = {lesion: reason_of(lesion) for lesion in gone}
    of_patient: dict[str, str] = {}
    for lesion, reason in reasons.items():
        of_patient[lesion[0]] = max(reason, of_patient.get(lesion[0], ""))
    n_lesions = Counter(reasons.values())
    n_patients = Counter(
        of_patient.get(patient, without_lesion) for patient in before.patients - after.patients
    )
    names = sorted({*n_lesions, *n_patients}, key=lambda name: (-n_lesions[name], name))
    return tuple(
        Loss(reason=name, patients=n_patients[name], lesions=n_lesions[name]) for name in names
    )


def frame_of_steps(steps: Iterable[Step]) -> pd.DataFrame:
    """`rows_of_steps` as a data frame."""
    import pandas as pd

    return pd.DataFrame(rows_of_steps(steps), columns=list(COLUMNS), dtype=object)


def rows_of_steps(steps: Iterable[Step]) -> list[dict[str, object]]:
    """One row per box, those of what left behind the step that they left from; COLUMNS."""

    def number(value: int | None) -> int | str:
        return "" if value is None else value

    rows: list[tuple[object, ...]] = []
    for k, step in enumerate(steps, start=1):
        rows.append(
            (k, _KEPT, step.name, step.count.patients, step.count.lesions, number(step.rows), 0)
        )
        rows += [
            (k, _LEFT, left.reason, left.patients, number(left.lesions), number(left.rows), left.in_part)
            for left in step.left
        ]  # fmt: skip
    return [dict(zip(COLUMNS, row, strict=True)) for row in rows]


def read_steps(path: Path) -> tuple[Step, ...]:
    """The steps of a file that `frame_of_steps` made.

    Raises InputError if it is none.
    """
    import pandas as pd

    try:
        frame = pd.read_csv(path, dtype="str", keep_default_na=False)
        rows = [dict(zip(COLUMNS, row, strict=True)) for row in frame[list(COLUMNS)].to_numpy()]
        steps: list[Step] = []
        for row in rows:
            n_rows = int(row["n_rows"]) if row["n_rows"] else None
            if row["what"] == _KEPT:
                count = Count(patients=int(row["n_patients"]), lesions=int(row["n_lesions"]))
                steps.append(Step(name=row["name"], count=count, rows=n_rows))
                continue
            left = Loss(
                reason=row["name"],
                patients=int(row["n_patients"]),
                lesions=int(row["n_lesions"]) if row["n_lesions"] else None,
                rows=n_rows,
                in_part=int(row["n_lesions_in_part"]),
            )
            last = steps[-1]
            steps[-1] = Step(last.name, last.count, last.rows, (*last.left, left))
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise InputError(
            "is no flow of a cohort run",
            where=path,
            remedy="run `gsigpu cohort run` again, which writes it",
        ) from error
    return tuple(steps)


def adds_up(steps: Iterable[Step]) -> bool:
    """Whether every step holds what the one before it did, less what left."""
    return all(
        before.count.patients - sum(left.patients for left in before.left) == after.count.patients
        and before.count.lesions - sum(left.lesions or 0 for left in before.left)
        == after.count.lesions
        for before, after in pairwise(steps)
    )
