"""Cut-offs of another study on the lesions of this one: those that belong to what is compared, of the same quantities."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from gsigpu.errors import SettingsError
from gsigpu.tables.cutoff_table import MEANING, read_cutoffs
from gsigpu.tables.observations import Observations


def applied_cutoffs(path: Path, observations: Observations) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The cut-offs of a file that belong to what is compared here, and what is to be known of them.

    path : the roc.csv or against_rest.csv of a statistics report
    Raises InputError if it cannot be read, SettingsError if none belongs here, or a unit is another.
    """
    cutoffs = read_cutoffs(path)
    n_read = len(cutoffs)
    known = {
        "phase": observations.phases,
        "region": observations.regions,
        "parameter": observations.parameters,
        "group_a": observations.groups,
        "group_b": (*observations.groups, "rest"),
    }
    for name, values in known.items():
        usable = cutoffs[cutoffs[name].isin(values)]
        if usable.empty:
            raise SettingsError(
                f"--apply: no {name} of {path.name} is compared here",
                remedy=f"{name} is one of {', '.join(map(str, values))}",
            )
        cutoffs = usable
    n_unused = n_read - len(cutoffs)
    told = f"{n_unused} of {n_read} cut-offs of {path.name} belong to what is not compared here, and are not used"
    warnings = [*([told] if n_unused else []), *_of_other_quantities(path, cutoffs, observations)]
    return cutoffs.drop(columns=list(MEANING)), tuple(warnings)


def _of_other_quantities(
    path: Path, cutoffs: pd.DataFrame, observations: Observations
) -> list[str]:
    """What the file does not say of its parameters, or says otherwise.

    Raises SettingsError for another unit: the numbers would be compared all the same.
    """
    warnings = []
    for parameter in cutoffs["parameter"].unique():
        rows = cutoffs[cutoffs["parameter"] == parameter]
        units, definitions = (sorted(set(rows[name]) - {""}) for name in MEANING)
        here = observations.units.get(parameter, "")
        if here and any(unit != here for unit in units):
            raise SettingsError(
                f"--apply: cut-offs of {parameter} in {path.name} are in {' and '.join(units)}, values here in {here}",
                remedy="give a table and a roc.csv of the same unit",
            )
        if not units or not here:
            warnings.append(
                f"--apply: {path.name if not units else 'the table'} does not say the unit of {parameter};"
                " its cut-offs are taken as they are"
            )
        of_values = observations.definitions.get(parameter, "")
        if of_values and any(definition != of_values for definition in definitions):
            warnings.append(
                f"--apply: {parameter} is {' and '.join(definitions)} in {path.name}, {of_values} here"
            )
    return warnings
