"""What was declared before the data were seen: directions, and a plan that says which tests are confirmatory."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd

from gsigpu.cohort_statistics.frames import METHODS, TRACK_AND_UNIT
from gsigpu.cohort_statistics.multiplicity import holm
from gsigpu.cohort_statistics.roc.curve import Direction
from gsigpu.errors import SettingsError
from gsigpu.report.cohort_results import StatisticsSettings
from gsigpu.tables.observations import (
    DEFAULT_PARAMETERS,
    DEFAULT_REGIONS,
    Choice,
    Observations,
)
from gsigpu.tables.plan_file import EXPLORATORY, FILES, Plan, PlannedFamily


def parse_directions(
    texts: Sequence[str],
) -> tuple[dict[str, Direction], dict[tuple[str, str, str], Direction]]:
    """Directions of parameters, and of single pairs of groups; several in one text stand apart by commas.

    >>> parse_directions(["iodine=lower,ct_value=higher", "lambda_hu=breast>lung"])
    ({'iodine': 'lower', 'ct_value': 'higher'}, {('lambda_hu', 'breast', 'lung'): 'higher'})
    """
    whole: dict[str, Direction] = {}
    of_pairs: dict[tuple[str, str, str], Direction] = {}
    # A comma inside a group's name is followed by no "=".
    for text in (part for several in texts for part in re.split(r",(?=[^,=>]*=)", several)):
        parameter, equals, way = (part.strip() for part in text.partition("="))
        order = [group.strip() for group in way.split(">") if group.strip()]
        if not equals or not parameter or not order:
            raise SettingsError(
                f"--direction {text!r} is not PARAM=WAY",
                remedy="write --direction iodine=higher, or --direction 'iodine=breast>lung>gastric'",
            )
        if ">" in way:
            twice = sorted({group for group in order if order.count(group) > 1})
            if twice or len(order) < 2:
                raise SettingsError(
                    f"--direction {text!r} names {', '.join(twice)} twice"
                    if twice
                    else f"--direction {text!r} names one group only",
                    remedy="write each group once, from the highest to the lowest",
                )
            for high, low in combinations(order, 2):
                if (parameter, low, high) in of_pairs:
                    raise SettingsError(
                        f"--direction {text!r} puts {high} above {low}, and another puts it below",
                        remedy="declare each pair of groups once",
                    )
                of_pairs[parameter, high, low] = "higher"
        elif way in ("higher", "lower"):
            declared: Direction = "higher" if way == "higher" else "lower"
            if whole.setdefault(parameter, declared) != way:
                raise SettingsError(
                    f"--direction {text!r}: another says {whole[parameter]}",
                    remedy="declare each parameter once",
                )
        else:
            raise SettingsError(
                f"--direction {text!r}: {way!r} is neither higher nor lower, nor an order of groups",
                remedy="write --direction iodine=higher, or --direction 'iodine=breast>lung>gastric'",
            )
    return whole, of_pairs


def with_plan(choice: Choice, settings: StatisticsSettings) -> tuple[Choice, StatisticsSettings]:
    """Choice and settings with what `settings.plan` declares; unchanged without a plan.

    Groups and directions of the plan hold; parameters, regions and phases of its families are analysed whatever else
    is. Raises SettingsError where the choice or the settings say otherwise.
    """
    plan = settings.plan
    if plan is None:
        return choice, settings
    if choice.groups and plan.groups and choice.groups != plan.groups:
        raise SettingsError(
            f"--groups differs from the plan, which has {', '.join(plan.groups)}",
            remedy="leave --groups out",
        )
    whole, of_pairs = parse_directions(plan.directions)
    changed = [name for name, way in whole.items() if settings.directions.get(name, way) != way]
    changed += [
        name
        for (name, a, b), way in of_pairs.items()
        if settings.pair_directions.get((name, a, b), way) != way
        or settings.pair_directions.get((name, b, a)) == way
    ]
    if changed:
        raise SettingsError(
            f"--direction of {', '.join(dict.fromkeys(changed))} differs from the plan",
            remedy="leave it out",
        )
    return (
        replace(
            choice,
            groups=choice.groups or plan.groups,
            parameters=_chosen("parameters", choice.parameters, plan, DEFAULT_PARAMETERS),
            regions=_chosen("regions", choice.regions, plan, DEFAULT_REGIONS),
            phases=_chosen("phases", choice.phases, plan, plan.all_of("phases")),
        ),
        replace(
            settings,
            directions={**settings.directions, **whole},
            pair_directions={**settings.pair_directions, **of_pairs},
        ),
    )


def _chosen(
    name: str, chosen: tuple[str, ...], plan: Plan, usual: Sequence[str]
) -> tuple[str, ...]:
    planned = plan.all_of(name)
    left_out = [value for value in planned if value not in chosen]
    if not chosen:
        return () if set(planned) <= set(usual) else planned
    if left_out:
        raise SettingsError(
            f"the plan tests {', '.join(left_out)}, which --{name} leaves out",
            remedy=f"write --{name} {','.join((*chosen, *left_out))}",
        )
    return chosen


def require_planned(observations: Observations, plan: Plan) -> None:
    """Raises SettingsError where the table or gsigpu lacks what the plan tests: a planned test is done or told."""
    known = (*TRACK_AND_UNIT, *METHODS)
    strange = [name for name in plan.all_of("tests") if name not in known]
    if strange:
        raise SettingsError(
            f"the plan has tests {', '.join(strange)}, which do not exist",
            remedy=f"tests are {', '.join(known)}",
        )
    for name in ("phases", "regions", "parameters"):
        absent = [value for value in plan.all_of(name) if value not in getattr(observations, name)]
        if absent:
            raise SettingsError(
                f"the plan tests {name} {', '.join(absent)}, which the table does not have",
                remedy="correct the spelling, or say in a new plan why they were not measured",
            )
    groups = {group for family in plan.families for pair in family.pairs for group in pair}
    unknown = sorted(groups - set(observations.groups))
    if unknown:
        raise SettingsError(
            f"the plan names groups {', '.join(unknown)}, which are not compared",
            remedy=f"groups are {', '.join(observations.groups)}",
        )


def marked(frames: Mapping[str, pd.DataFrame], plan: Plan) -> dict[str, pd.DataFrame]:
    """Every frame with `planned`: the families that a row belongs to, or `exploratory`.

    Raises SettingsError for a family, or a test of it, that no row belongs to.
    Rows of a family have `p_holm_planned`: Holm over the family's rows in all its files together, each file's p before
    other corrections. A row in two families keeps the larger.
    """
    result = {name: frame.reset_index(drop=True) for name, frame in frames.items()}
    names = {name: np.full(len(frame), "", dtype=object) for name, frame in result.items()}
    adjusted = {name: np.full(len(frame), np.nan) for name, frame in result.items()}
    for family in plan.families:
        members = {
            name: _members(family, result[name])
            for name in FILES
            if not family.files or name in family.files
        }
        _require_members(family, result, members)
        p = pd.concat([_raw_p(result[name])[mine] for name, mine in members.items()])
        family_p = holm(p.reset_index(drop=True)).to_numpy()
        start = 0
        for name, mine in members.items():
            stop = start + int(mine.sum())
            adjusted[name][mine] = np.fmax(adjusted[name][mine], family_p[start:stop])
            start = stop
            names[name][mine] = [
                f"{old}; {family.name}" if old else family.name for old in names[name][mine]
            ]
    return {
        name: frame.assign(planned=np.where(names[name] == "", EXPLORATORY, names[name]))
        if name not in FILES
        else frame.assign(
            planned=np.where(names[name] == "", EXPLORATORY, names[name]),
            p_holm_planned=adjusted[name],
        )
        for name, frame in result.items()
    }


def _require_members(
    family: PlannedFamily, frames: Mapping[str, pd.DataFrame], members: Mapping[str, pd.Series]
) -> None:
    tested = {str(name) for file, mine in members.items() for name in _test(frames[file])[mine]}
    absent = [name for name in family.tests if name not in tested]
    if absent or not tested:
        raise SettingsError(
            f"the plan's family {family.name!r} has no result"
            + (f" of {', '.join(absent)}" if absent else "")
            + f" in {', '.join(members)}",
            remedy="name the files, tests, parameters and pairs that belong together in a new plan",
        )


def _test(frame: pd.DataFrame) -> pd.Series:
    return frame["test"] if "test" in frame else frame["method"]


def _raw_p(frame: pd.DataFrame) -> pd.Series:
    return (frame["p_unadjusted"] if "p_unadjusted" in frame else frame["p"]).astype(float)


def _members(family: PlannedFamily, frame: pd.DataFrame) -> pd.Series:
    """Which rows of a file the family tests, on the recommended track; on the paper's only where it names the test."""
    test = _test(frame)
    mine = test.isin(family.tests) if family.tests else frame["track"] == "recommended"
    for column, values in (("phase", family.phases), ("region", family.regions)):
        # Comparisons of phases have no phase of their own, of regions no region.
        if values:
            mine &= frame[column].isin(values)
    if family.parameters and "parameter" in frame:
        mine &= frame["parameter"].isin(family.parameters)
    elif family.parameters:
        mine &= frame["parameter_a"].isin(family.parameters)
        mine &= frame["parameter_b"].isin(family.parameters)
    if family.pairs:
        if "group_a" not in frame:
            return mine & False
        pairs = [frozenset(pair) for pair in zip(frame["group_a"], frame["group_b"], strict=True)]
        mine &= pd.Series([pair in family.pairs for pair in pairs], index=frame.index, dtype=bool)
    return mine.astype(bool)
