"""Tables with one result in each row: its columns are given, the plan and what could not be computed come by themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from gsigpu.report.paper_tables import Row, number_in
from gsigpu.report.plan_words import PlanColumn
from gsigpu.report.table_cells import (
    Cell,
    Table,
    decimals_of,
    head,
    interval_cell,
    mean_sd,
    num,
    p_cell,
    parameter_name,
    place,
    text,
    unit_name,
    whole,
)

# Longer tables are folded on the page: a screen shows about twice as many rows.
MOST_OPEN_ROWS = 12


@dataclass(frozen=True, slots=True)
class Column:
    """What a column is called, and its cell of a row of results."""

    name: str
    cell: Callable[[Row], Cell]


def row_table(
    frame: pd.DataFrame,
    columns: Sequence[Column],
    *,
    name: str,
    caption: str,
    notes: Sequence[str] = (),
    answer: str,
) -> Table | None:
    """One row per row of results; None where there are none.

    answer : the column of results without which a row says nothing: where it has no number, a last column says why
    With a plan a column says of each row what it was planned in, or that it is exploratory (`PlanColumn`).
    """
    if frame.empty:
        return None
    records = frame.to_dict("records")
    open_mask = [not np.isfinite(number_in(row, answer)) for row in records]
    plan = PlanColumn.of(frame)
    header = [*(head(column.name) for column in columns), *plan.head]
    rows = [[*(column.cell(row) for column in columns), *plan.cells(row)] for row in records]
    if any(open_mask):
        header.append(head("why not"))
        for cells, is_open, row in zip(rows, open_mask, records, strict=True):
            cells.append(text(_reason(row) if is_open else ""))
    return Table(
        name=name, caption=caption, header=[header], rows=rows, notes=[*notes, *plan.notes]
    )


def _reason(row: Row) -> str:
    note = row.get("note")
    return note if isinstance(note, str) and note else "cannot be computed"


def where(row: Row) -> Cell:
    """Phase and region."""
    return text(place(row["phase"], row["region"]))


def parameters(row: Row) -> Cell:
    """One parameter, or those of a combined model."""
    return text(" + ".join(map(parameter_name, str(row["parameter"]).split("+"))))


def pair(row: Row) -> Cell:
    """Two groups whose lesions are told apart."""
    return text(f"{row['group_a']} v {row['group_b']}")


def side(row: Row) -> Cell:
    """On which side of the cut-off the first group is expected."""
    return text("above" if row["direction"] == "higher" else "below")


def unit_of(units: dict[str, str]) -> Callable[[Row], Cell]:
    """The unit of the row's parameter."""
    return lambda row: text(unit_name(units.get(str(row["parameter"]), "")))


def words(name: str) -> Callable[[Row], Cell]:
    """A column of words."""
    return lambda row: text(str(row[name]))


def share(name: str, decimals: int = 2) -> Callable[[Row], Cell]:
    """A number with fixed decimals: an area, a share, a coefficient."""
    return lambda row: num(number_in(row, name), decimals)


def measured(name: str) -> Callable[[Row], Cell]:
    """A number in the unit of the row's parameter."""
    return lambda row: num(number_in(row, name), decimals_of(str(row["parameter"])))


def interval_of(low: str, high: str, decimals: int | None = 2) -> Callable[[Row], Cell]:
    """An interval; decimals of the row's parameter where none are given."""

    def cell(row: Row) -> Cell:
        shown = decimals_of(str(row["parameter"])) if decimals is None else decimals
        return interval_cell(number_in(row, low), number_in(row, high), shown)

    return cell


def mean_sd_of(mean: str, sd: str) -> Callable[[Row], Cell]:
    """A mean with its SD in the unit of the row's parameter."""
    return lambda row: mean_sd(
        number_in(row, mean), number_in(row, sd), decimals_of(str(row["parameter"]))
    )


def p_of(name: str) -> Callable[[Row], Cell]:
    """A p value."""
    return lambda row: p_cell(number_in(row, name))


def counts(*names: str, parts: tuple[str, ...], between: str = ", ") -> Callable[[Row], Cell]:
    """Counts beside each other; a dash where the row has none of them."""

    def cell(row: Row) -> Cell:
        values = [number_in(row, name) for name in names]
        if not np.isfinite(values).all():
            return Cell("–")
        return whole(*map(int, values), parts=parts if len(names) > 1 else (), between=between)

    return cell


PATIENTS_AND_LESIONS = Column(
    "patients, lesions", counts("n_patients", "n_lesions", parts=("patients", "lesions"))
)
PATIENTS_OF_BOTH = Column(
    "patients", counts("n_patients_a", "n_patients_b", parts=("first", "second"), between=" v ")
)
LESIONS_OF_BOTH = Column("lesions", counts("n_a", "n_b", parts=("first", "second"), between=" v "))
WHERE, PARAMETER = Column("where", where), Column("parameter", parameters)
PAIR = Column("pair", pair)
