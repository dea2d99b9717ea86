"""ComBat: several parameters of lesions with what is peculiar to each site taken out, the groups' differences kept.

Johnson, Li & Rabinovic, Biostatistics 2007; 8: 118-127. Each parameter is standardised by a regression on site, group and
covariates; a site's mean and spread of what is left are drawn towards those of its other parameters (empirical Bayes), and
taken out. scanpy's `pp.combat` does it, an optional extra.

What it assumes: lesions are independent, where a patient has several; a site shifts and stretches every parameter in a like
way, so that few parameters can lend each other strength; site and group are not confounded. Values that it returns look as if
no site had ever been estimated: a test of them has too many degrees of freedom, and too small a p where groups and sites are
unbalanced (Nygaard, Rodland & Hovig, Biostatistics 2016; 17: 29-39). Use them beside the primary test; to hold a site equal
inside one model use `adjusted_tests`.

Tested against R's `sva::ComBat`, whose prior variance over parameters divides by their number less one, where scanpy divides
by their number: equal to 1e-6 when R's does as well, and closer than a hundredth of the correction when not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from gsigpu.cohort_statistics.inference import cannot_be_tested
from gsigpu.errors import InputError, SettingsError

EXTRA = "scanpy"
# The name of the analysis, and what stands beside each of its tests.
WITHOUT_SITES = "site effects taken out (ComBat)"
ASSUMED = (
    "ComBat takes lesions as independent, and the test does not know that sites were estimated: p may be too small, "
    "most where groups and sites are unbalanced"
)
# One parameter has no others to lend it strength: the prior has no variance.
LEAST_PARAMETERS = 2
# A site's spread needs two lesions; its prior is the sites' own.
LEAST_LESIONS = 2


@dataclass(frozen=True, slots=True)
class Harmonised:
    """Values without the sites' effects.

    values : (n, K) float64, NaN where a lesion was left out
    used : (n,) bool, lesions that were harmonised
    note : "cannot be tested: ..." where nothing could be harmonised, and all values are NaN
    """

    values: NDArray[np.float64]
    used: NDArray[np.bool_]
    note: str = ""


def require_combat() -> None:
    """Raise SettingsError, with what to install, where the library is not there."""
    if find_spec(EXTRA) is None:
        raise SettingsError(f"ComBat needs {EXTRA}", remedy="pip install 'gsigpu[combat]'")


def without_site_effects(
    values: ArrayLike,
    sites: ArrayLike,
    groups: ArrayLike,
    *,
    covariates: pd.DataFrame | None = None,
) -> Harmonised:
    """Values of lesions harmonised over sites, the differences of groups and covariates kept.

    values : (n, K) float, K parameters and regions of a lesion; a lesion that lacks one is left out
    sites, groups : (n,) str, "" for a site that is not known (left out)
    covariates : (n,) rows; numbers as they are, text as classes; a lesion that lacks one is left out
    Returns values in their own units. Raises InputError for shapes that do not fit, SettingsError without the library.
    """
    y = np.asarray(values, np.float64)
    site = _names(sites)
    if y.ndim != 2 or site.shape != (len(y),):
        raise InputError("values (n, K) and a site for each of n lesions are needed")
    kept = pd.DataFrame({"group": _names(groups)})
    if covariates is not None:
        kept = pd.concat([kept, covariates.reset_index(drop=True)], axis=1)
    known = ~(kept.isna() | (kept == "")).any(axis=1).to_numpy()
    used = np.isfinite(y).all(axis=1) & (site != "") & known
    design = _indicators(kept[used])
    reason = _cannot(y[used], site[used], design)
    result = np.full(y.shape, np.nan)
    if not reason:
        result[used] = _combat(y[used], site[used], design)
        if not np.isfinite(result[used]).all():
            result[used] = _combat(_unequal(y[used]), site[used], design)
        if not np.isfinite(result[used]).all():
            reason = "its priors have no finite value"
    if reason:
        return Harmonised(np.full(y.shape, np.nan), np.zeros_like(used), cannot_be_tested(reason))
    return Harmonised(result, used)


def _names(column: ArrayLike) -> NDArray[np.object_]:
    return np.array([str(name) for name in np.asarray(column, dtype=object)], dtype=object)


def _indicators(kept: pd.DataFrame) -> pd.DataFrame:
    """(n, p) float: numbers about their mean, classes as indicators of all but the first.

    scanpy's own classes have an indicator for every level, which is singular beside the sites'.
    """
    columns: dict[str, NDArray[np.float64]] = {}
    for name, column in kept.items():
        if pd.api.types.is_numeric_dtype(column):
            number = column.to_numpy(np.float64)
            columns[f"kept {name}"] = number - number.mean()
        else:
            for level in sorted(set(column))[1:]:
                columns[f"kept {name} {level}"] = (column == level).to_numpy(np.float64)
    return pd.DataFrame(columns, index=kept.index)


def _cannot(y: NDArray[np.float64], site: NDArray[np.object_], design: pd.DataFrame) -> str:
    """Why not, in words; "" if it can."""
    names, n_of_site = np.unique(site.astype(str), return_counts=True)
    if y.shape[1] < LEAST_PARAMETERS:
        return "ComBat needs two parameters or regions that lend each other strength"
    if names.size < 2:
        return "fewer than two sites have lesions with every value"
    if n_of_site.min() < LEAST_LESIONS:
        few = ", ".join(names[n_of_site < LEAST_LESIONS])
        return f"{few} has one lesion with every value, and no spread"
    indicators = (site.astype(str)[:, None] == names).astype(np.float64)
    whole = np.hstack([indicators, design.to_numpy(np.float64)])
    if np.linalg.matrix_rank(whole) < whole.shape[1]:
        return "sites cannot be told from groups or covariates"
    if len(y) <= whole.shape[1]:
        return "there are fewer lesions than sites, groups and covariates need"
    left = y - whole @ np.linalg.lstsq(whole, y, rcond=None)[0]
    flat = [np.ptp(left[site == name], axis=0).min() for name in names]
    if min(flat) <= 1e-12 * max(1.0, float(np.abs(y).max())):
        return "a parameter does not vary at a site"
    return ""


def _unequal(y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values moved by 1e-9 of their spread, so that no two parameters spread at a site to the last bit the same.

    Parameters that are multiples of each other (iodine and the slope of images without noise) do, and the prior of their spreads is
    then a point, whose shape scanpy computes as a division by zero. Whether they do is a matter of the last bit, and so of the
    processor; moved, they get the values that the next bit would have given them.
    """
    noise = np.random.default_rng(0).standard_normal(y.shape)
    return np.asarray(y + 1e-9 * y.std(axis=0) * noise)


def _combat(
    y: NDArray[np.float64], site: NDArray[np.object_], design: pd.DataFrame
) -> NDArray[np.float64]:
    require_combat()
    # Their types are not ours to check, and the import costs seconds.
    anndata: Any = import_module("anndata")
    scanpy: Any = import_module(EXTRA)
    rows = [str(k) for k in range(len(y))]
    described = design.set_axis(rows, axis=0).assign(site=pd.Categorical(site.astype(str)))
    table = anndata.AnnData(y.copy(), obs=described)
    covariates: Sequence[str] = list(design.columns)
    with np.errstate(divide="ignore", invalid="ignore"):  # the caller asks whether all are finite
        harmonised = scanpy.pp.combat(table, key="site", covariates=covariates, inplace=False)
    return np.asarray(harmonised, np.float64)
