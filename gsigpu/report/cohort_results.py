"""What the statistics of a cohort found: the frames that files, figures and the page are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

import pandas as pd

from gsigpu.cohort_statistics.groups.disagreements import TracksDiffer
from gsigpu.cohort_statistics.roc.curve import Direction
from gsigpu.cohort_statistics.roc.roc_settings import RocSettings
from gsigpu.errors import SettingsError
from gsigpu.tables.plan_file import Plan

ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class StatisticsSettings:
    """How a cohort is analysed.

    replicates : of the patient bootstrap
    seed : of everything random; each family member has its own, derived from it and the member's name
    confidence : of all intervals
    directions : parameter -> whether the first group of a pair is expected above the second; `higher`
        for parameters that are not named. (parameter, group_a, group_b) for one pair.
    n_folds : of the cross-validation of combined models
    prevalence : of the first group of a pair among those whom a cut-off will be used on; without it no
        predictive values and no decision curve
    equivalence_margin : a difference of areas that does not matter; without it no test of equivalence
    covariates : columns that are held equal in further tests and areas, `size` for the lesions' diameter
    subgroups : a column inside whose levels the primary test is repeated
    subgroup_cuts : where a column of numbers is cut into such levels, increasing; fixed before the data are seen
    site : a column whose values are left out in turn
    combat : repeat the primary test on values without the sites' effects (`groups.combat`)
    plan : what was declared beforehand; all else is exploratory
    """

    replicates: int = 2000
    seed: int = 0
    confidence: float = 0.95
    directions: Mapping[str, Direction] = field(default_factory=dict)
    pair_directions: Mapping[tuple[str, str, str], Direction] = field(default_factory=dict)
    n_folds: int = 5
    prevalence: float | None = None
    equivalence_margin: float | None = None
    covariates: tuple[str, ...] = ()
    subgroups: str = ""
    subgroup_cuts: tuple[float, ...] = ()
    site: str = ""
    combat: bool = False
    plan: Plan | None = None

    def __post_init__(self) -> None:
        """Raise SettingsError for what cannot be meant."""
        if self.seed < 0:
            raise SettingsError(f"seed {self.seed} is negative", remedy="use 0 or more")
        if self.prevalence is not None and not 0.0 < self.prevalence < 1.0:
            raise SettingsError(
                f"prevalence {self.prevalence:g} is not between 0 and 1",
                remedy="write --prevalence 0.3 for 30 %",
            )
        if self.equivalence_margin is not None and not 0.0 < self.equivalence_margin < 0.5:
            raise SettingsError(
                f"margin {self.equivalence_margin:g} of areas is not between 0 and 0.5",
                remedy="write --equivalence-margin 0.05",
            )
        if not 0.5 <= self.confidence < 1.0:
            raise SettingsError(
                f"confidence {self.confidence:g} is not between 0.5 and 1",
                remedy="write --confidence 0.95 for 95 %",
            )
        if self.subgroup_cuts and not self.subgroups:
            raise SettingsError(
                "cut points are given, and no column to cut",
                remedy="name it: --subgroups age=50,65",
            )
        if self.combat and not self.site:
            raise SettingsError(
                "--combat takes out what is peculiar to a site, and no site is named",
                remedy="add --site COLUMN",
            )
        self.roc("")

    @property
    def columns(self) -> tuple[str, ...]:
        """Further columns of the table or the list of patients that the settings need."""
        return tuple(
            dict.fromkeys(name for name in (*self.covariates, self.subgroups, self.site) if name)
        )

    def roc(self, parameter: str) -> RocSettings:
        """The settings of a parameter's ROC curves."""
        pairs = {
            (a, b): way for (name, a, b), way in self.pair_directions.items() if name == parameter
        }
        return RocSettings(
            direction=self.directions.get(parameter, "higher"),
            pair_directions=pairs,
            confidence=self.confidence,
            n_replicates=self.replicates,
            n_folds=self.n_folds,
        )

    def as_dict(self) -> dict[str, object]:
        """Plain data, for provenance."""
        return {
            "replicates": self.replicates,
            "seed": self.seed,
            "confidence": self.confidence,
            "directions": dict(self.directions)
            | {f"{name}:{a}:{b}": way for (name, a, b), way in self.pair_directions.items()},
            "n_folds": self.n_folds,
            "prevalence": self.prevalence,
            "equivalence_margin": self.equivalence_margin,
            "covariates": list(self.covariates),
            "subgroups": self.subgroups,
            "subgroup_cuts": list(self.subgroup_cuts),
            "site": self.site,
            "combat": self.combat,
            "plan": None if self.plan is None else self.plan.as_dict(),
        }


@dataclass(frozen=True, slots=True)
class Frames:
    """All tables of results, each with `track` and the member of the family first.

    The columns: gsigpu.cohort_statistics.frames and roc_settings. A frame without rows is a test
    that does not apply, as the agreement of one reader.
    """

    descriptives: pd.DataFrame
    omnibus: pd.DataFrame
    pairwise: pd.DataFrame
    roc: pd.DataFrame
    roc_comparisons: pd.DataFrame
    roc_curves: pd.DataFrame
    models: pd.DataFrame
    calibration: pd.DataFrame
    icc: pd.DataFrame
    bland_altman: pd.DataFrame
    bland_altman_points: pd.DataFrame
    power: pd.DataFrame
    within: pd.DataFrame
    decisions: pd.DataFrame
    against_rest: pd.DataFrame
    multiclass: pd.DataFrame
    decision_curve: pd.DataFrame
    sensitivity: pd.DataFrame
    adjusted: pd.DataFrame
    adjusted_roc: pd.DataFrame
    subgroups: pd.DataFrame
    repeatability: pd.DataFrame
    kappa: pd.DataFrame
    reader_comparisons: pd.DataFrame
    sample_size: pd.DataFrame
    sites: pd.DataFrame
    combat: pd.DataFrame

    def named(self) -> dict[str, pd.DataFrame]:
        """Name -> frame, in the order of the files."""
        return {column.name: getattr(self, column.name) for column in fields(self)}


@dataclass(frozen=True, slots=True)
class Disagreement:
    """The pairs on which the two tracks decide differently, of one member of the family."""

    phase: str
    region: str
    parameter: str
    pairs: Sequence[TracksDiffer]


@dataclass(frozen=True, slots=True)
class Results:
    """What was found.

    not_computed : what could not be, and why, in words
    """

    frames: Frames
    disagreements: tuple[Disagreement, ...]
    settings: StatisticsSettings
    not_computed: tuple[str, ...] = ()

    @property
    def interval(self) -> str:
        """What an interval of these results is called, in every table, figure and text."""
        return f"{100 * self.settings.confidence:g}% interval"

    @property
    def has_values(self) -> bool:
        """Whether lesions were there, and not only n, mean and SD of groups."""
        return not self.not_computed
