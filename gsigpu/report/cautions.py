"""What a reader must know before believing a number: warnings of this run, and the source study's own contradictions."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pandas as pd

from gsigpu.report.cohort_results import Results
from gsigpu.report.paper_tables import areas_of
from gsigpu.report.source_study import CITATION, CONTRADICTIONS
from gsigpu.report.table_cells import (
    definition_words,
    interval,
    listed,
    number,
    parameter_name,
    plural,
)
from gsigpu.tables.observations import Observations

# Iodine of liver and lesions beyond this is no mg/mL: 37.41 mg/mL would be about 970 HU at 70 keV.
_IMPOSSIBLE_IODINE = 15.0
_FEW_PATIENTS = 5
_SLOPE_FACTOR = 1.5
# Few whole numbers that come back often may name classes: scanners 1, 2 and 3, but also a stage.
_FEW_CODES = range(3, 7)
_OFTEN = 4


def remedies_of(observations: Observations, results: Results) -> list[str]:
    """What to type, for the terminal: the page has readers who type nothing."""
    remedies = []
    if (observations.table["reader"] == "mean").any():  # nobody has chosen one
        remedies.append(f"one reader alone: --reader {observations.readers[0] or 'NAME'}")
    below = _below_and_undeclared(observations, results)
    if len(below):
        parameter = below["parameter"].iloc[0]
        remedies.append(
            "declare a direction before the data are seen, the highest group first: --direction "
            + shlex.quote(f"{parameter}={'>'.join(observations.groups)}")
        )
    return remedies


def warnings_of(observations: Observations, results: Results) -> list[str]:
    """Lines that belong at the top of the page and on the terminal."""
    return [
        *observations.warnings,
        *_unit_factor(observations, results),
        *_few_patients(observations),
        *_undeclared(observations, results),
        *_codes_as_measurements(observations, results),
        *_no_values(results),
    ]


def _no_values(results: Results) -> Iterator[str]:
    if not results.has_values:
        yield (
            "The table holds n, mean and SD of groups only: every lesion counts as independent, and much cannot be "
            "computed; the report says what."
        )


def _unit_factor(observations: Observations, results: Results) -> Iterator[str]:
    for parameter in observations.parameters:
        if not parameter.startswith("iodine"):
            continue
        table = observations.table if results.has_values else results.frames.descriptives
        values = table.loc[
            table["parameter"] == parameter, "value" if results.has_values else "mean"
        ]
        typical = float(np.nanmedian(values)) if values.notna().any() else 0.0
        unit = observations.units.get(parameter, "")
        if unit in ("", "mg/mL") and typical > _IMPOSSIBLE_IODINE:
            yield (
                f"{parameter_name(parameter)}: the median is {number(typical, 2)} {unit or 'without a unit'}, ten times what liver lesions hold; "
                "this is probably 100 µg/cm³, as in the source study's tables. Tests and areas do not change, values do."
            )


def _few_patients(observations: Observations) -> Iterator[str]:
    if not len(observations.table):
        return
    few = [
        f"{group} ({n})"
        for group, (n, _) in observations.flow.analysed.items()
        if n < _FEW_PATIENTS
    ]
    if few:
        yield (
            f"Fewer than {_FEW_PATIENTS} patients in {listed(few)}: intervals of these groups rest on little, "
            "whatever the number of lesions."
        )


def _undeclared(observations: Observations, results: Results) -> Iterator[str]:
    """Curves below the diagonal whose direction nobody declared."""
    below = _below_and_undeclared(observations, results)
    if not len(below):
        return
    n_areas = areas_of(results.frames.roc, "recommended")["parameter"].value_counts()
    counts = [
        f"{parameter_name(str(parameter))} ({len(rows)} of {n_areas[parameter]})"
        for parameter, rows in below.groupby("parameter", sort=False)
    ]
    uncut = int(below["cutoff"].isna().sum())
    without = f"; {plural(uncut, 'of them has', 'of them have')} no cut-off" if uncut else ""
    yield (
        f"No direction was declared for {listed(counts)}: these areas lie below .5 because the first group lies below the "
        f"second, and say as much as one minus them{without}."
    )


def _codes_as_measurements(observations: Observations, results: Results) -> Iterator[str]:
    """Covariates that look like codes of classes: a slope through them would mean nothing."""
    for name in results.settings.covariates:
        values = observations.columns[name].dropna()
        distinct = sorted(values.unique()) if values.dtype == np.float64 else []
        recurring = len(values) >= _OFTEN * len(distinct)
        if len(distinct) in _FEW_CODES and recurring and all(map(float.is_integer, distinct)):
            yield (
                f"{name.replace('_', ' ')} holds the numbers {listed([f'{value:g}' for value in distinct])} and is held equal as a measurement, "
                "by one slope. If they are codes of classes, write the classes' names into its column."
            )


def _declared(results: Results) -> set[str]:
    """Parameters whose direction somebody fixed."""
    of_pairs = (parameter for parameter, _, _ in results.settings.pair_directions)
    return {*results.settings.directions, *of_pairs}


def _below_and_undeclared(observations: Observations, results: Results) -> pd.DataFrame:
    """Areas of the recommended track below .5 of parameters without a declared direction, parameters in their order."""
    named = _declared(results)
    areas = areas_of(results.frames.roc, "recommended")
    rows = [
        areas[(areas["parameter"] == parameter) & (areas["auc"] < 0.5)]
        for parameter in observations.parameters
        if parameter not in named
    ]
    return pd.concat(rows) if rows else areas.iloc[:0]


def roc_notes(observations: Observations, results: Results) -> list[str]:
    """Above the curves."""
    fixed = (
        f"Direction. {directions(observations, results)}. The recommended track never turns a curve "
        "over; an area below .5 means the opposite of what was declared."
    )
    return [fixed]


def directions(observations: Observations, results: Results) -> str:
    """Which way each parameter was declared to go."""
    ways: dict[str, list[str]] = {}
    declared = _declared(results)
    for parameter in observations.parameters:
        way = _way(observations, results, parameter)
        if parameter not in declared:
            way += " (not declared: the order of the groups)"
        ways.setdefault(way, []).append(parameter_name(parameter))
    return "; ".join(f"{listed(names)}: {way}" for way, names in ways.items())


def _way(observations: Observations, results: Results, parameter: str) -> str:
    """An order of groups where all pairs are declared, else what holds for each pair."""
    settings = results.settings.roc(parameter)
    whole = "above" if settings.direction == "higher" else "below"
    usual = f"the first group of a pair lies {whole} the second"
    if not settings.pair_directions:
        return usual
    groups = observations.groups
    below = {
        group: sum(
            other != group and settings.direction_of(group, other) == "higher" for other in groups
        )
        for group in groups
    }
    order = sorted(groups, key=lambda group: -below[group])
    in_order = all(settings.direction_of(a, b) == "higher" for a, b in combinations(order, 2))
    n_pairs = len(groups) * (len(groups) - 1) // 2
    if in_order and len(settings.pair_directions) >= n_pairs:
        return " > ".join(order)
    named = [
        f"{a} {'above' if way == 'higher' else 'below'} {b}"
        for (a, b), way in settings.pair_directions.items()
    ]
    return f"{listed(named)}; of other pairs, {usual}"


def cautions(observations: Observations, results: Results) -> list[tuple[str, list[str]]]:
    """Heading and lines."""
    sections = [("This analysis", list(_this_analysis(results)))]
    if not results.has_values:
        sections.append(("What a table of n, mean and SD cannot give", list(results.not_computed)))
    if any(parameter.startswith("lambda_hu") for parameter in observations.parameters):
        sections.append(("The definition of λHU", list(_slope(observations))))
    sections.append(
        (
            "The source study does not agree with itself",
            [f"Source study: {CITATION}.", *CONTRADICTIONS],
        )
    )
    return sections


def _this_analysis(results: Results) -> Iterator[str]:
    n = len(results.frames.pairwise)
    yield (
        f"{plural(n, 'pairwise p value')} and {plural(len(results.frames.roc), 'ROC row')} were computed. "
        "“Holm over all” corrects over all phases, "
        "regions and parameters of one track and test. On this page bold type, letters of the recommended track, tiles and sentences follow Holm over all; letters of the paper-compatible track follow LSD, as the source study's do."
    )
    yield (
        "Regions of one lesion, phases of one patient, and λHU and iodine of one region are not independent "
        "pieces of evidence: λHU and iodine of the same images are nearly proportional."
    )
    if not results.has_values:
        return
    yield "Cut-offs are exploratory. They were chosen on these lesions; a new cohort must confirm them."
    areas = areas_of(results.frames.roc, "recommended")
    wide = areas[(areas["ci_high"] - areas["ci_low"]) > 0.3]
    if len(wide):
        low, high = wide["ci_low"].astype(float), wide["ci_high"].astype(float)
        worst = int((high - low).to_numpy().argmax())
        yield (
            f"{len(wide)} of {len(areas)} areas have an interval wider than 0.3, the widest "
            f"{interval(low.iloc[worst], high.iloc[worst], 2)}."
        )


def _slope(observations: Observations) -> Iterator[str]:
    for parameter in observations.parameters:
        if parameter.startswith("lambda_hu"):
            definition = observations.definitions.get(parameter, "")
            yield f"{parameter_name(parameter)}: {definition_words(definition) or 'the table does not say how it is defined'}."
    yield (
        f"The source study's printed divisor is 60, the interval of its energies 40 keV: a factor of {_SLOPE_FACTOR}. "
        "Compare values and cut-offs only where the definition is the same; p values and areas do not depend on it."
    )
