"""Rows of a measurement table that need two phases: made of the means that stand in it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pandas as pd

from gsigpu.dicom.study.patterns import load_patterns, phase_meant
from gsigpu.errors import SettingsError
from gsigpu.regions.between_phases import (
    arterial_enhancement_fraction,
    extracellular_volume,
    wash_in,
    wash_out,
)
from gsigpu.regions.statistics import ratio
from gsigpu.tables.measurement_table import COLUMNS

_REGION = ("case_id", "patient_id", "group", "reader", "lesion_id", "region")
# Of which the ratio of two phases is told.
_COMPARED = ("iodine", "lambda_hu", "ct_value")
# As `gsigpu scan` names them, in the order of time; a table may have other words for them.
_ARTERIAL, _PORTAL, _DELAYED = _PHASES = ("AP", "PVP", "delayed")


@dataclass(frozen=True, slots=True)
class _Value:
    """What two phases give, from the iodine of the earlier and the later one."""

    parameter: str
    unit: str
    definition: str
    of: Callable[[float, float], float]


_IODINE = (
    _Value("iodine_wash_in", "mg/mL", "mean iodine in {b} - in {a}", wash_in),
    _Value("iodine_wash_out", "1", "(mean iodine in {a} - in {b}) / in {a}", wash_out),
)
_FRACTION = _Value(
    "arterial_enhancement_fraction",
    "1",
    "mean iodine in {a} / in {b}: enhancement is by iodine",
    arterial_enhancement_fraction,
)


def between_phases(table: pd.DataFrame, *, haematocrit: float | None = None) -> pd.DataFrame:
    """What each two phases of a region say together, as further rows of its measurement table.

    table : of `measure` or `cohort run`, with two phases or more; its `mean` rows are read
    haematocrit : share of the blood's volume, for the extracellular volume; needs a delayed phase and an aorta
    Returns rows with the same columns, statistic `mean`, phase `AP-PVP` (earlier and later): iodine_wash_in,
    iodine_wash_out, ratio_iodine, ratio_lambda_hu, ratio_ct_value (earlier over later), of AP and PVP also
    arterial_enhancement_fraction; of the delayed phase itself extracellular_volume. n is the smaller one of both,
    flags are those of both. Formulas and sources: gsigpu.regions.between_phases.
    Raises SettingsError for a haematocrit that is none, or where nothing can be made of it.
    """
    means = table[(table.statistic == "mean") & (table.region != "profile")]
    names = {word: _name(word) for word in means.phase.astype(str).unique()}
    rows: list[dict[Hashable, Any]] = []
    for _, region in means.groupby(list(_REGION), sort=False):
        cells = {
            (str(row["phase"]), str(row["parameter"])): row for row in region.to_dict("records")
        }
        known = [word for word in dict.fromkeys(key[0] for key in cells) if names[word] in _PHASES]
        words = sorted(known, key=lambda word: _PHASES.index(names[word]))
        for a, b in pairwise(words):
            rows += _of_pair(
                cells, a, b, is_first_pass=(names[a], names[b]) == (_ARTERIAL, _PORTAL)
            )
    if haematocrit is not None:
        delayed = [word for word, name in names.items() if name == _DELAYED]
        rows += _extracellular(means[means.phase.isin(delayed)], haematocrit)
    return pd.DataFrame(rows, columns=list(table.columns)).astype(table.dtypes.to_dict())


def require_extracellular(phases: Iterable[str]) -> None:
    """Raises SettingsError unless one of some phases, in which iodine of the aorta is measured, is delayed."""
    if not any(_name(phase) == _DELAYED for phase in phases):
        raise _no_extracellular()


def _no_extracellular() -> SettingsError:
    return SettingsError(
        "the extracellular volume needs iodine of a delayed phase, and of the aorta in it",
        remedy="measure it with --aorta-mask, or leave --haematocrit out",
    )


_Cells = dict[tuple[str, str], dict[Hashable, Any]]


def _name(word: str) -> str:
    """What `gsigpu scan` would call a phase; the word itself where it knows none."""
    return phase_meant(word, load_patterns(None).phase_patterns) or word


def _of_pair(
    cells: _Cells, a: str, b: str, *, is_first_pass: bool
) -> Iterator[dict[Hashable, Any]]:
    iodine = cells.get((a, "iodine")), cells.get((b, "iodine"))
    values = (*_IODINE, _FRACTION) if is_first_pass else _IODINE
    if iodine[0] is not None and iodine[1] is not None:
        for value in values:
            yield _row(
                iodine[0], iodine[1], f"{a}-{b}", value.parameter, value.unit,
                value.definition.format(a=a, b=b), value.of(_number(iodine[0]), _number(iodine[1])),
            )  # fmt: skip
    for parameter in _COMPARED:
        first, second = cells.get((a, parameter)), cells.get((b, parameter))
        if first is None or second is None or first["definition"] != second["definition"]:
            continue
        yield _row(
            first, second, f"{a}-{b}", f"ratio_{parameter}", "1", f"mean {parameter} in {a} / in {b}",
            ratio(_number(first), _number(second)),
        )  # fmt: skip


def _extracellular(delayed: pd.DataFrame, haematocrit: float) -> list[dict[Hashable, Any]]:
    """Of each region of the delayed phase."""
    delayed = delayed[delayed.parameter == "iodine"]
    by_case = ["case_id", "patient_id", "reader"]
    aorta = {
        tuple(row[name] for name in by_case): row
        for row in delayed[delayed.region == "aorta"].to_dict("records")
    }
    rows = [
        _row(
            row, blood, str(row["phase"]), "extracellular_volume", "1",
            f"(1 - {haematocrit:g}) mean iodine / mean iodine of the aorta",
            extracellular_volume(_number(row), _number(blood), haematocrit=haematocrit),
        )
        for row in delayed[delayed.region != "aorta"].to_dict("records")
        if (blood := aorta.get(tuple(row[name] for name in by_case))) is not None
    ]  # fmt: skip
    if not rows:
        raise _no_extracellular()
    return rows


def _number(row: dict[Hashable, Any]) -> float:
    return float(row["value"])


def _row(
    first: dict[Hashable, Any],
    second: dict[Hashable, Any],
    phase: str,
    parameter: str,
    unit: str,
    definition: str,
    value: float,
) -> dict[Hashable, Any]:
    """A row of two others: the fewer voxels, and the flags of both."""
    flags = ";".join(filter(None, (str(first["flags"]), str(second["flags"])))).split(";")
    return {
        **{name: cell for name, cell in first.items() if name not in COLUMNS or name in _REGION},
        "phase": phase,
        "parameter": parameter,
        "statistic": "mean",
        "value": value,
        "unit": unit,
        "definition": definition,
        "n_voxels": min(first["n_voxels"], second["n_voxels"]),
        "n_valid": min(first["n_valid"], second["n_valid"]),
        "flags": ";".join(dict.fromkeys(filter(None, flags))),
        "distance_mm": float("nan"),
    }
