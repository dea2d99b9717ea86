"""Table One: who the patients are, per group."""

from __future__ import annotations

import warnings

import pandas as pd

from gsigpu.cohort_statistics.groups.rank_reach import kruskal_reach, unreachable
from gsigpu.report.table_cells import MINUS, Cell, Table, head, text
from gsigpu.tables.observations import Observations

_LABELS = {
    "sex": "sex",
    "age": "age, years",
    "n_lesions": "lesions per patient",
    "diameter_mm": "largest diameter, mm",
}


def table_one(observations: Observations) -> Table:
    """One column per group, patients as units; what the table does not say is left out and named.

    Counts with percentages; age as mean (SD); lesions per patient and diameter as median [quartiles].
    p: χ² or Fisher for sex, one-way ANOVA for age, Kruskal-Wallis for the others.
    """
    from tableone import TableOne

    patients = observations.patients
    known = [
        name
        for name in ("sex", "age", "n_lesions", "diameter_mm")
        if (patients[name] != "").any() and patients[name].notna().any()
    ]
    data = patients[["group", *known]].copy()
    if "sex" in known:
        data["sex"] = data["sex"].astype(object).where(data["sex"] != "", None)
    few = _too_few(observations)
    with warnings.catch_warnings():
        # The library has not followed pandas 3 yet, and tells small expected counts, which Fisher's
        # test in the table already answers.
        warnings.simplefilter("ignore")
        made = TableOne(
            data,
            columns=known,
            categorical=[column for column in known if column == "sex"],
            nonnormal=[column for column in known if column in ("n_lesions", "diameter_mm")],
            groupby="group",
            order={"group": list(observations.groups)},
            rename=_LABELS,
            pval=len(observations.groups) > 1 and not few,
            missing=True,
            include_null=False,  # an unknown sex is counted as missing, and is no third one
        ).tableone
    made.columns = [str(label[-1]) for label in made.columns]
    ordered = ["Overall", *observations.groups]
    ordered += [column for column in ("Missing", "P-Value") if column in made.columns]
    if "Missing" in made.columns and not any(
        str(count) not in ("", "0", "nan") for count in made["Missing"]
    ):
        ordered.remove("Missing")
    rows = [_row(name, made.loc[[name]], ordered) for name in made.index]
    _without_spread_of_one(rows, ordered, data)
    absent = [_LABELS[name] for name in ("sex", "age", "diameter_mm") if name not in known]
    notes = ["Patients are the units."]
    if few:
        notes.append(f"No tests: {few}.")
    if absent:
        notes.append(f"Not in the table: {', '.join(absent)}.")
    titles = {"P-Value": "p", "Missing": "missing", "Overall": "all"}
    header = [head("patients"), *(head(titles.get(column, column)) for column in ordered)]
    return Table(name="table_one", caption="Patients", header=[header], rows=rows, notes=notes)


def _too_few(observations: Observations) -> str:
    """Why no test of so few patients could show anything, or nothing."""
    sizes = observations.patients["group"].value_counts().reindex(list(observations.groups))
    known = [int(n) for n in sizes.fillna(0) if n > 0]
    return unreachable(known, kruskal_reach(known)) if len(known) > 1 else ""


def _without_spread_of_one(rows: list[list[Cell]], columns: list[str], data: pd.DataFrame) -> None:
    """The library gives one age an SD of 0."""
    if "age" not in data:
        return
    n_ages = data.groupby("group")["age"].count().to_dict() | {"Overall": data["age"].count()}
    for row in rows:
        if row[0].text.startswith(_LABELS["age"]):
            for place, column in enumerate(columns, start=1):
                if n_ages.get(column) == 1:
                    row[place] = Cell(f"{row[place].text.split(' ')[0]} (–)")


def _row(name: object, line: pd.DataFrame, columns: list[str]) -> list[Cell]:
    label, level = (str(part) for part in name) if isinstance(name, tuple) else (str(name), "")
    shown = f"{label}: {level}" if level and level != "nan" else label
    cells = [text(shown.replace("[Q1,Q3]", "[quartiles]"))]
    for column in columns:
        value = str(line[column].iloc[0])
        if column == "P-Value":
            value = value.replace("<0.001", "< .001").removeprefix("0")
        cells.append(_cell(value))
    return cells


def _cell(value: str) -> Cell:
    """The library's text; what is one number is one in a sheet, as far as the library prints it."""
    if value == "nan":
        return Cell("")
    shown = value.replace(",", " to ").replace("-", MINUS)
    try:
        return Cell(shown, values=(float(value),))
    except ValueError:
        return Cell(shown)
