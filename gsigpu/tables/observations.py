"""The input of the cohort's statistics: one row per measured mean, checked as a whole.

Read from the table of `gsigpu measure` or `gsigpu cohort run`, or from a minimal one

    patient_id, lesion_id, group, phase, region, parameter, value          required
    reader, unit, definition, sex, age, flags                              optional

A lesion is identified by its patient and its name together. Everything that is wrong with a table is
told at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gsigpu.errors import InputError
from gsigpu.one_or_more import set_one_or_more
from gsigpu.tables.counting import WITHIN_REGIONS, lesions
from gsigpu.tables.decided_lesions import without_decided
from gsigpu.tables.flow_counts import Flow, read_flow, with_steps_of_run
from gsigpu.tables.lesion_columns import KEY as LESION_KEY
from gsigpu.tables.lesion_columns import lesion_columns
from gsigpu.tables.missing_values import missing_values
from gsigpu.tables.observation_checks import TableProblems, find_problems
from gsigpu.tables.plan_file import Plan
from gsigpu.tables.planned_exclusions import without_planned
from gsigpu.tables.raw_table import RawTable, read_raw
from gsigpu.tables.readers_taken import (
    KEY,
    about_readers,
    first_reading,
    one_reader,
    readers_taken,
    readings_of,
    repeated,
)
from gsigpu.tables.rejected_readings import rejected_readings
from gsigpu.tables.review_decisions import Decision

MINIMAL = ("patient_id", "lesion_id", "group", "phase", "region", "parameter", "value")
OBSERVATION = (
    "patient_id", "lesion_id", "group", "phase", "region", "parameter", "reader", "value", "unit",
    "definition", "case_id", "flags",
)  # fmt: skip
PATIENT = ("patient_id", "group", "sex", "age", "n_lesions", "diameter_mm")
_WANTED = (*OBSERVATION, "statistic", "distance_mm", "sex", "age", "reading")
# Values that are one number per region and no mean of voxels.
_TABLED = ("mean", "ratio")
_DIAMETER = "longest_axial_diameter"
DEFAULT_PARAMETERS = ("ct_value", "iodine", "lambda_hu")
DEFAULT_REGIONS = ("core", "rim", "lesion")


@dataclass(frozen=True, slots=True)
class Choice:
    """What of a table is compared; empty means what the table has, or the defaults.

    groups : in the order of the tables; must name every group of the table unless `drop_other_groups`
    parameters : `ct_value, iodine, lambda_hu` by default, those of them that are there
    regions : `core, rim, lesion` by default, those of them that are there
    phases : all
    reader : one reader; if empty the mean over readers, or over those who measured nearly everything
    columns : further columns of the table or the list of patients that are needed: covariates, subgroups, sites
    """

    groups: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    phases: tuple[str, ...] = ()
    reader: str = ""
    drop_other_groups: bool = False
    columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """One name is a list of one."""
        set_one_or_more(self, "groups", "parameters", "regions", "phases", "columns")


@dataclass(frozen=True, slots=True)
class Observations:
    """A checked table, every frame in an order that does not depend on that of the file's rows.

    groups, phases, regions, parameters, readers : in the order of the tables
    table : OBSERVATION columns of what is compared, one row per lesion and family member: of one reader,
        or the mean over readers (`reader` is then "mean"). Only what every reader measured is averaged,
        else NaN, readings aside that were rejected at review; who is taken where readers measured different lesions: `readers_taken`
    by_reader : the same of each reader; empty where there is one
    repeats : what a reader measured more than once, with `reading`, every reading of it; the tests take the first
    others : as `table`, of parameters that are another definition of one of `parameters`, as lambda_hu[60-100]
    within : as `table`, with core, rim and parenchyma whatever regions are compared between groups
    readings : reader, group, n_patients, n_lesions with a value in the tests
    curves : mono_* means of the regions, with energy_kev
    profiles : λHU and iodine of the shells, with distance_mm
    sizes : patient_id, lesion_id, group, diameter_mm
    patients : patient_id, group, sex, age, n_lesions, diameter_mm (largest)
    columns : patient_id, lesion_id, phase and `Choice.columns` of what is compared (`lesion_columns`)
    missing : lesions without a value by reason (`missing_values`)
    flow : what became of patients and lesions
    summary : n, mean and SD of groups where that is all there is (gsigpu.tables.summary_table); the frames
        are then empty
    warnings : for a person to read
    readers_tested : whose values the tests take
    """

    source: Path
    sha256: str
    groups: tuple[str, ...]
    phases: tuple[str, ...]
    regions: tuple[str, ...]
    parameters: tuple[str, ...]
    readers: tuple[str, ...]
    table: pd.DataFrame
    by_reader: pd.DataFrame
    repeats: pd.DataFrame
    others: pd.DataFrame
    within: pd.DataFrame
    readings: pd.DataFrame
    curves: pd.DataFrame
    profiles: pd.DataFrame
    sizes: pd.DataFrame
    patients: pd.DataFrame
    columns: pd.DataFrame
    missing: pd.DataFrame
    flow: Flow
    summary: pd.DataFrame | None = None
    warnings: tuple[str, ...] = field(default=())
    readers_tested: tuple[str, ...] = field(default=())

    # Parameter -> unit, and definition; "" where the table names none. Looked up once, and asked for by every figure.
    units: dict[str, str] = field(init=False)
    definitions: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        """Reads units and definitions off the table, or off the summary."""
        table = self.table if self.summary is None else self.summary
        first = table.drop_duplicates("parameter")
        for name, column in (("units", "unit"), ("definitions", "definition")):
            words = dict(zip(first["parameter"], first[column], strict=True))
            object.__setattr__(self, name, words)


def read_observations(
    path: Path,
    choice: Choice | None = None,
    *,
    patients: Path | None = None,
    decisions: Sequence[Decision] = (),
    plan: Plan | None = None,
) -> Observations:
    """Reads and checks a table.

    path : CSV, Parquet, a folder of Parquet, or the folder of a cohort run
    patients : a table with patient_id and any of sex, age, such as the manifest
    decisions, plan : lesions that are left out, and counted
    Raises TableProblems with everything that is wrong, InputError if the file cannot be read.
    """
    choice = choice or Choice()
    raw = read_raw(path, (*_WANTED, *choice.columns), _kept)
    of_patients = ("patient_id", "phase", "sex", "age", *choice.columns)
    extra = None if patients is None else read_raw(patients, of_patients, _all)
    if extra is not None and "patient_id" not in extra.columns:
        raise InputError(
            "has no column patient_id",
            where=patients,
            remedy="name the manifest, or add the column",
        )
    decided = without_decided(raw, decisions) if decisions else None
    kept = raw if decided is None else decided.table
    planned = None if plan is None else without_planned(kept, plan)
    observations = observations_of(kept if planned is None else planned.table, choice, extra)
    flow = observations.flow
    if planned is not None:
        flow = replace(planned.counted(flow), decided={}, planned=planned.excluded)
    if decided is not None:
        flow = decided.counted(flow)
    flow = with_steps_of_run(flow, raw)
    told = [text for text in flow.warnings if text not in observations.warnings]
    undecided = () if planned is None else planned.warnings
    return replace(observations, flow=flow, warnings=(*told, *undecided, *observations.warnings))


def observations_of(raw: RawTable, choice: Choice, extra: RawTable | None = None) -> Observations:
    """The observations of a table that was read.

    Raises TableProblems with everything that is wrong.
    """
    missing = [name for name in MINIMAL if name not in raw.columns]
    if missing:
        raise TableProblems(raw.source, [f"no column {name}" for name in missing])
    if raw.cells.empty:
        raise TableProblems(raw.source, ["no row of a mean"])
    cells = raw.cells.copy()
    for name in _WANTED:
        if name not in cells.columns:
            cells[name] = ""
    numbers = {
        name: pd.to_numeric(cells[name].where(cells[name] != ""), errors="coerce")
        for name in ("value", "distance_mm")
    }
    flow_cells = cells
    if choice.drop_other_groups and choice.groups:
        cells = cells[cells["group"].isin(choice.groups)]
    measured = cells[cells["parameter"] != ""]
    groups = choice.groups or _in_order(measured["group"])
    phases = choice.phases or _in_order(measured["phase"]) or ("",)
    of_phase = measured["phase"].isin(phases)
    is_size = measured["parameter"] == _DIAMETER
    is_profile = measured["region"] == "profile"
    is_curve = measured["parameter"].str.fullmatch(r"mono_\d+(\.\d+)?")
    tested = measured[~is_size & ~is_profile & of_phase]
    parameters = choice.parameters or _default(DEFAULT_PARAMETERS, tested["parameter"])
    regions = choice.regions or _default(DEFAULT_REGIONS, tested["region"])
    chosen = tested[tested["parameter"].isin(parameters) & tested["region"].isin(regions)]
    within = tested[
        tested["parameter"].isin(parameters) & tested["region"].isin({*regions, *WITHIN_REGIONS})
    ]
    curves = measured[is_curve & of_phase & ~is_profile & measured["region"].isin(regions)]
    is_other = tested["parameter"].str.partition("[")[0].isin(parameters)
    is_other &= ~tested["parameter"].isin(parameters)
    others = tested[is_other & tested["region"].isin(regions)]
    used = pd.concat([within, curves, others])
    problems = find_problems(
        cells,
        chosen=chosen,
        used=used[~used.index.duplicated()],
        numbers=numbers["value"],
        key=(*KEY, "reading"),
        requested={
            "group": choice.groups,
            "phase": choice.phases,
            "parameter": choice.parameters,
            "region": choice.regions,
            "reader": (choice.reader,) if choice.reader else (),
        },
    )
    if problems:
        raise TableProblems(raw.source, problems)
    with_numbers = {
        "chosen": chosen,
        "within": within,
        "others": others,
        "curves": curves,
        "sizes": measured[is_size],
    }
    with_numbers["profiles"] = measured[is_profile & of_phase]
    frames = {
        name: _ordered(table, numbers, groups, phases, regions, parameters)
        for name, table in with_numbers.items()
    }
    return _assembled(raw, flow_cells, frames, choice, (groups, phases, regions, parameters), extra)


def _assembled(
    raw: RawTable,
    cells: pd.DataFrame,
    frames: dict[str, pd.DataFrame],
    choice: Choice,
    orders: tuple[tuple[str, ...], ...],
    extra: RawTable | None,
) -> Observations:
    groups, phases, regions, parameters = orders
    repeats = repeated(frames["chosen"])
    frames = {
        name: frame if name == "sizes" else first_reading(frame) for name, frame in frames.items()
    }
    readers = tuple(sorted(frames["chosen"]["reader"].unique()))
    by_reader = frames["chosen"] if len(readers) > 1 else frames["chosen"].iloc[:0]
    readings = readings_of(frames["chosen"])
    rejected = rejected_readings(raw)
    taken = readers_taken(raw.source, frames["chosen"], choice.reader, rejected)
    tested = {name: one_reader(frame, taken, rejected) for name, frame in frames.items()}
    curves = tested["curves"].assign(
        energy_kev=tested["curves"]["parameter"].str.removeprefix("mono_").astype(float)
    )
    table = tested["chosen"]
    sizes = (
        tested["sizes"]
        .groupby(["patient_id", "lesion_id", "group"], sort=False, observed=True)["value"]
        .max()
        .rename("diameter_mm")
        .reset_index()
    )
    columns, problems = lesion_columns(
        table[list(LESION_KEY)].drop_duplicates(),
        choice.columns,
        cells=cells,
        patients=None if extra is None else extra.cells,
        sizes=sizes,
    )
    if problems:
        raise TableProblems(raw.source, problems)
    flow = read_flow(raw, cells, frames["chosen"], table, groups, taken)
    warnings = list(flow.warnings)
    if len(readers) > 1 and not choice.reader:
        warnings += about_readers(readers, taken, frames["chosen"], table, rejected)
    return Observations(
        readers_tested=taken,
        source=raw.source,
        sha256=raw.sha256,
        groups=groups,
        phases=phases,
        regions=regions,
        parameters=parameters,
        readers=readers,
        table=table[list(OBSERVATION)],
        by_reader=by_reader[list(OBSERVATION)],
        repeats=repeats[[*OBSERVATION, "reading"]],
        others=tested["others"][list(OBSERVATION)],
        within=tested["within"][list(OBSERVATION)],
        readings=readings,
        curves=curves,
        profiles=tested["profiles"],
        sizes=sizes,
        patients=_patients(table, sizes, cells, extra),
        columns=columns,
        missing=missing_values(
            cells, table, groups=groups, phases=phases, regions=regions, parameters=parameters
        ),
        flow=flow,
        warnings=tuple(warnings),
    )


def _kept(table: pa.Table) -> pa.Array | None:
    """Rows of means, of diameters, and of lesions that could not be measured."""
    if "statistic" not in table.column_names:
        return None
    tabled = pc.is_in(table["statistic"], value_set=pa.array(_TABLED))
    if "parameter" not in table.column_names:
        return tabled
    size = pc.equal(table["parameter"], _DIAMETER)
    return pc.or_(pc.or_(tabled, size), pc.equal(table["parameter"], ""))


def _all(_: pa.Table) -> None:
    return None


def _in_order(values: pd.Series) -> tuple[str, ...]:
    return tuple(value for value in values.unique().tolist() if value)


def _default(preferred: Sequence[str], present: pd.Series) -> tuple[str, ...]:
    """The preferred ones that are there; everything where none is."""
    there = set(present.unique().tolist())
    return tuple(name for name in preferred if name in there) or tuple(sorted(there))


def _ordered(
    cells: pd.DataFrame,
    numbers: dict[str, pd.Series],
    groups: Sequence[str],
    phases: Sequence[str],
    regions: Sequence[str],
    parameters: Sequence[str],
) -> pd.DataFrame:
    """With numbers, sorted by what the rows say and not by where they stood."""
    frame = cells.assign(
        **{name: column.loc[cells.index].astype(np.float64) for name, column in numbers.items()}
    )
    ranks = {"group": groups, "phase": phases, "region": regions, "parameter": parameters}
    by = {f"_{name}": _ranks(frame[name], order) for name, order in ranks.items()}
    keys = ["_phase", "_region", "_parameter", "parameter", "_group", "patient_id", "lesion_id"]
    frame = frame.assign(**by).sort_values(
        [*keys, "region", "distance_mm", "reader"], kind="stable", na_position="last"
    )
    return frame.drop(columns=list(by)).reset_index(drop=True)


def _ranks(names: pd.Series, order: Sequence[str]) -> NDArray[np.float64]:
    """Place of each name in the order, NaN for others; each distinct name is looked up once."""
    codes, distinct = pd.factorize(names, use_na_sentinel=False)
    place = {value: float(i) for i, value in enumerate(order)}
    ranks: NDArray[np.float64] = np.array([place.get(name, np.nan) for name in distinct.tolist()])
    return ranks[codes] if len(codes) else np.zeros(0)


def _patients(
    table: pd.DataFrame, sizes: pd.DataFrame, cells: pd.DataFrame, extra: RawTable | None
) -> pd.DataFrame:
    """One row per patient of the tests; sex and age as the table or the list of patients has them."""
    patients = table[["group", "patient_id"]].drop_duplicates(ignore_index=True)
    n_lesions = lesions(table)["patient_id"].value_counts()
    patients["n_lesions"] = patients["patient_id"].map(n_lesions).fillna(0).astype(int)
    largest = sizes.groupby("patient_id")["diameter_mm"].max()
    patients["diameter_mm"] = patients["patient_id"].map(largest).astype(np.float64)
    for name in ("sex", "age"):
        values: dict[str, str] = {}
        for cells_of_file in (cells, None if extra is None else extra.cells):
            if (
                cells_of_file is not None
                and name in cells_of_file.columns
                and "patient_id" in cells_of_file.columns
            ):
                known = cells_of_file.loc[cells_of_file[name] != "", ["patient_id", name]]
                known = known.drop_duplicates("patient_id")
                values |= dict(zip(known["patient_id"], known[name], strict=True))
        patients[name] = pd.Series(
            [values.get(patient, "") for patient in patients["patient_id"]], dtype="str"
        )
    patients["sex"] = patients["sex"].str.upper().str[:1]
    years = patients["age"].str.upper().str.removesuffix("Y")
    patients["age"] = pd.to_numeric(years.where(years != ""), errors="coerce").astype(np.float64)
    return patients[list(PATIENT)]
