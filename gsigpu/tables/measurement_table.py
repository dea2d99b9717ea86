"""The measurement table: one row per value.

The columns are a contract between `gsigpu measure`, `gsigpu cohort` and everybody's own scripts; their
order does not change, and new ones come last. Who measures rows needs no data frame, so that pandas is imported where one
is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gsigpu.errors import SettingsError
from gsigpu.optional_packages import require_modules

if TYPE_CHECKING:
    import pandas as pd

# Of a region's values, as they stand in the table; what each is: gsigpu.regions.statistics.
TABLE_STATISTICS = (
    "mean", "sd", "median", "p10", "p90", "iqr", "min", "max", "skewness", "kurtosis", "entropy",
)  # fmt: skip
# Statistics that the wide table shows.
_WIDE_STATISTICS = ("mean", "sd", "median", "ratio", "value")
_KEYS = ("case_id", "patient_id", "group", "reader", "phase", "lesion_id")
# What pandas, R and DuckDB take for a missing value, in lower case.
_MISSING_IN_CSV = frozenset({"na", "n/a", "<na>", "nan", "-nan", "null", "none", "#n/a"})
SUFFIXES = (".csv", ".parquet")


@dataclass(frozen=True, slots=True, repr=False)
class MeasurementRow:
    """One value.

    case_id, patient_id, group, reader, phase : of the measurement; "" where not given
    lesion_id : "" for regions of the study (parenchyma, aorta)
    region : lesion, rim, core, perilesional, parenchyma, aorta, profile
    parameter : lambda_hu, lambda_hu[60-100], iodine, ct_value, mono_70, volume, ...; "" in the row of
        a region that could not be measured
    statistic : mean, sd, ...; `value` for a size, `ratio` for a ratio of means
    value : NaN where it is not defined
    unit : as printed, HU/keV; 1 for a pure number
    definition : how the parameter is defined
    n_voxels, n_valid : of the region, and those with a value
    flags : what to know about the value, separated by ";"
    distance_mm : of a profile's shell from the boundary, negative inside; NaN elsewhere
    """

    case_id: str
    patient_id: str
    group: str
    reader: str
    phase: str
    lesion_id: str
    region: str
    parameter: str
    statistic: str
    value: float
    unit: str
    definition: str
    n_voxels: int
    n_valid: int
    flags: str
    distance_mm: float = float("nan")

    def __repr__(self) -> str:
        """Without whose it is."""
        what = f"{self.region} {self.parameter} {self.statistic}".strip()
        return f"MeasurementRow({what} = {self.value:g} {self.unit}, n_valid={self.n_valid})"


COLUMNS = tuple(column.name for column in fields(MeasurementRow))
_CELLS = attrgetter(*COLUMNS)
_TEXT = tuple(column.name for column in fields(MeasurementRow) if column.type == "str")


def cells(row: MeasurementRow) -> dict[str, Any]:
    """Its values by column: rows that are alike are made of them in half the time of `dataclasses.replace`."""
    return dict(zip(COLUMNS, _CELLS(row), strict=True))


def frame(rows: Iterable[MeasurementRow]) -> pd.DataFrame:
    """The rows as a data frame with the contract's columns and types."""
    import pandas as pd

    # Not `astuple`, which copies deeply: a fifth of the time of a small study.
    table = pd.DataFrame([_CELLS(row) for row in rows], columns=list(COLUMNS))
    return table.astype(
        dict.fromkeys(_TEXT, "str")
        | dict.fromkeys(("n_voxels", "n_valid"), "int64")
        | dict.fromkeys(("value", "distance_mm"), "float64")
    )


def flags_of_lesions(rows: Iterable[MeasurementRow]) -> dict[str, list[str]]:
    """Lesion -> its flags, each once; one that is not of the lesion as a whole names the regions that it is of.

    A person who reads a row per lesion must see what a value of its core carries. Profiles' shells are left out.
    """
    regions: dict[str, dict[str, dict[str, None]]] = {}
    for row in rows:
        if row.lesion_id and row.region != "profile":
            of_lesion = regions.setdefault(row.lesion_id, {})
            for flag in filter(None, row.flags.split(";")):
                of_lesion.setdefault(flag, {})[row.region] = None
    return {
        lesion_id: [
            flag if "lesion" in of_flag or "" in of_flag else f"{flag} ({', '.join(of_flag)})"
            for flag, of_flag in of_lesion.items()
        ]
        for lesion_id, of_lesion in regions.items()
    }


def write_table(table: pd.DataFrame, path: Path) -> None:
    """CSV or Parquet, by the suffix; full precision, the same bytes for the same table.

    Raises SettingsError for another suffix.
    """
    require_suffix(path)
    if path.suffix.lower() == ".csv":
        table.to_csv(path, index=False, lineterminator="\n")
    else:
        table.to_parquet(path, index=False, engine="pyarrow")


def ids_that_change_in_csv(table: pd.DataFrame) -> list[str]:
    """Ids that programs which guess the types of a CSV's columns give back as another text.

    A column of them is read as numbers, so that `2.10` becomes 2.1 and `007` 7, or as missing (`NA`). Parquet keeps
    the type, and `read_table` reads text.

    >>> import pandas as pd
    >>> ids_that_change_in_csv(pd.DataFrame({"patient_id": ["007", "8"], "lesion_id": ["2.10", "2-01"]}))
    ['patient_id 007', 'lesion_id 2.10']
    """
    return [
        f"{column} {text}"
        for column in _KEYS
        if column in table
        for text in dict.fromkeys(table[column].astype(str))
        if changes_in_csv(text)
    ]


def changes_in_csv(text: str) -> bool:
    """Whether a program that guesses the types of a CSV's columns gives an id back as another text.

    >>> [changes_in_csv(text) for text in ("007", "2.10", "NA", "7", "2-01")]
    [True, True, True, False, False]
    """
    is_missing = text.lower() in _MISSING_IN_CSV
    return is_missing or (_is_number(text) and not _is_plain_integer(text))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_plain_integer(text: str) -> bool:
    """Whether a reader that takes it for an integer prints it as it stands: 15 digits fit a float too."""
    return text.isascii() and text.isdigit() and (text == "0" or text[0] != "0") and len(text) <= 15


def require_suffix(path: Path) -> None:
    """Raises SettingsError unless the name ends in .csv or .parquet, MissingDependency."""
    if path.suffix.lower() not in SUFFIXES:
        raise SettingsError(
            f"{path.name!r} is no table that can be written", remedy="end it in .csv or .parquet"
        )
    if path.suffix.lower() == ".parquet":
        require_modules("a Parquet file", "pyarrow")


def read_table(path: Path) -> pd.DataFrame:
    """A table as `write_table` wrote it."""
    import pandas as pd

    if path.suffix.lower() == ".parquet":
        return pd.read_parquet(path, engine="pyarrow")
    dtype: Any = dict.fromkeys(_TEXT, "str")
    return pd.read_csv(
        path, dtype=dtype, keep_default_na=False, na_values={"value": [""], "distance_mm": [""]}
    )


def wide(table: pd.DataFrame) -> pd.DataFrame:
    """One row per lesion (and one per study for its reference regions), a column per region and value.

    Columns are `region parameter statistic (unit)`, in the order of the long table; means, SDs, medians,
    ratios and sizes. Profiles are left out.
    """
    shown = table[
        table.statistic.isin(_WIDE_STATISTICS)
        & (table.region != "profile")
        & (table.parameter != "")
    ]
    units = np.where(shown.unit == "1", "", " (" + shown.unit + ")")
    columns = shown.region + " " + shown.parameter + " " + shown.statistic + units
    named = shown.assign(column=columns)
    keys = list(_KEYS)
    named = shown.assign(column=columns).drop_duplicates([*keys, "column"])
    values = named.set_index([*keys, "column"])["value"].unstack("column")
    values = values.reindex(columns=_in_order(columns)).reset_index()
    values.columns.name = None
    flags = (
        table[table.region != "profile"]
        .groupby(keys, sort=False)["flags"]
        .agg(_all_flags)
        .reset_index()
    )
    return flags.merge(values, on=keys, how="left")


def _in_order(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))


def _all_flags(flags: Sequence[str]) -> str:
    return ";".join(_in_order(flag for text in flags for flag in text.split(";") if flag))
