"""What the ROC family is asked for, and the columns of the frames it returns.

Every frame opens with `track`; `labelled` puts `phase, region, parameter` behind it. One call of
`roc_tables`, `roc_comparisons` or `combined_models` handles one member of the family (one phase and
region, one reader or the mean over readers); the caller loops, and gives each its own seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gsigpu.cohort_statistics.roc.curve import Direction
from gsigpu.errors import SettingsError

Seed = int | np.random.SeedSequence


@dataclass(frozen=True, slots=True)
class RocSettings:
    """How ROC curves are drawn and tested.

    direction : whether the first group of a pair is expected above or below the second, for every
        pair that `pair_directions` does not name. Declared beforehand, never read off the data: an
        area under .5 is reported as it is. Only the paper track turns curves over, and says so.
    pair_directions : (group_a, group_b) -> direction
    confidence : of all intervals
    n_replicates : of the patient bootstrap
    n_grid : points on the false-positive axis at which curves and their bands are given
    n_folds : of the cross-validation of combined models, fewer where a group has fewer patients
    """

    direction: Direction = "higher"
    pair_directions: Mapping[tuple[str, str], Direction] = field(default_factory=dict)
    confidence: float = 0.95
    n_replicates: int = 2000
    n_grid: int = 101
    n_folds: int = 5

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if not 0.0 < self.confidence < 1.0:
            raise SettingsError(f"confidence {self.confidence} is not between 0 and 1")
        for name, least in (("n_replicates", 100), ("n_grid", 3), ("n_folds", 2)):
            if getattr(self, name) < least:
                raise SettingsError(f"{name} {getattr(self, name)} is below {least}")
        for direction in (self.direction, *self.pair_directions.values()):
            if direction not in ("higher", "lower"):
                raise SettingsError(
                    f"direction {direction!r} is unknown", remedy="use higher or lower"
                )

    def direction_of(self, group_a: str, group_b: str) -> Direction:
        """The declared direction of a pair; a pair declared the other way round is turned.

        >>> RocSettings(pair_directions={("b", "a"): "higher"}).direction_of("a", "b")
        'lower'
        """
        if (group_a, group_b) in self.pair_directions:
            return self.pair_directions[group_a, group_b]
        if (group_b, group_a) in self.pair_directions:
            opposite = self.pair_directions[group_b, group_a] == "higher"
            return "lower" if opposite else "higher"
        return self.direction


@dataclass(frozen=True, slots=True)
class RocResult:
    """Frames of one family member: `roc` has ROC_COLUMNS, `curves` CURVE_COLUMNS."""

    roc: pd.DataFrame
    curves: pd.DataFrame


@dataclass(frozen=True, slots=True)
class OutOfFold:
    """What a model says of lesions whose patients it has not seen.

    model, group_a, group_b : as in MODEL_COLUMNS, group_a the positive one
    probability (n,) float of being positive; positive (n,) bool; patients (n,) codes
    """

    model: str
    group_a: str
    group_b: str
    probability: NDArray[np.float64]
    positive: NDArray[np.bool_]
    patients: NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class ModelResult:
    """Frames of one phase and region: `models` has MODEL_COLUMNS, `calibration` CALIBRATION_COLUMNS.

    multiclass : MULTICLASS_COLUMNS, Hand and Till's area of the multinomial model's probabilities
    out_of_fold : of every pair of groups that has a model
    """

    models: pd.DataFrame
    calibration: pd.DataFrame
    multiclass: pd.DataFrame
    out_of_fold: tuple[OutOfFold, ...] = ()


def seed_of(seed: int, *names: str) -> np.random.SeedSequence:
    """A seed for one member of the family, the same whatever is computed before or beside it.

    >>> seed_of(1, "AP", "rim").generate_state(1) == seed_of(1, "PVP", "rim").generate_state(1)
    array([False])
    """
    digest = sha256("\x1f".join(names).encode()).digest()
    words = [int.from_bytes(digest[k : k + 4], "little") for k in range(0, 16, 4)]
    return np.random.SeedSequence([seed, *words])


def pairs(order: tuple[str, ...]) -> list[tuple[str, str]]:
    """All pairs of groups, the earlier one first: `group_a` is the positive group.

    >>> pairs(("x", "y", "z"))
    [('x', 'y'), ('x', 'z'), ('y', 'z')]
    """
    return list(combinations(order, 2))
