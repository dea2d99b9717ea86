"""One member of the family, one kind of statistic: what goes to one process."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gsigpu.report.cohort_results import StatisticsSettings

NamedFrames = dict[str, pd.DataFrame]


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to compute.

    kind : of KINDS
    parameters : one, or those that are compared and combined
    values : (n,) of one parameter, (n, K) of several
    lesions, readers : of agreement and of comparisons within lesions, else empty; the latter have their
        conditions in place of readers
    conditions : regions or phases that are compared within lesions, in order
    tables : further tables that some kinds need, by name; `applied`: cut-offs of another study for this member,
        with `source` (`tables.cutoff_table`)
    """

    kind: str
    phase: str
    region: str
    parameters: tuple[str, ...]
    values: NDArray[Any]
    groups: NDArray[Any]
    patients: NDArray[Any]
    lesions: NDArray[Any]
    readers: NDArray[Any]
    order: tuple[str, ...]
    settings: StatisticsSettings
    conditions: tuple[str, ...] = ()
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    @property
    def seed(self) -> np.random.SeedSequence:
        """Of the run's seed and the task's name."""
        name = "\0".join((self.kind, self.phase, self.region, *self.parameters))
        digest = hashlib.sha256(name.encode()).digest()
        return np.random.SeedSequence(
            [self.settings.seed, *(int(number) for number in np.frombuffer(digest, np.uint32))]
        )
