"""Cut-offs of another study: the rows of its `roc.csv` or `against_rest.csv` that have one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from gsigpu.errors import InputError
from gsigpu.tables.raw_table import read_list

CUTOFF = ("track", "phase", "region", "parameter", "group_a", "group_b", "direction", "cutoff")
# What the values are of which it is a cut-off; "" where the file does not say.
MEANING = ("unit", "definition")
_KNOWN = {"direction": ("higher", "lower"), "track": ("paper", "recommended")}
_REMEDY = "give the roc.csv of a statistics report"


def read_cutoffs(path: Path) -> pd.DataFrame:
    """One row per track, phase, region, parameter and pair: CUTOFF, MEANING, and the file's name as `source`.

    Raises InputError if the file cannot be read, lacks a column, or has no cut-off, an unknown direction or track.
    """
    table = read_list(path, (*CUTOFF, *MEANING), remedy=_REMEDY)
    missing = [name for name in CUTOFF if name not in table.columns]
    if missing:
        raise InputError(f"no column {', '.join(missing)}", where=path, remedy=_REMEDY)
    for name, known in _KNOWN.items():
        unknown = sorted(set(table[name]) - set(known))
        if unknown:
            raise InputError(
                f"{name} {', '.join(map(repr, unknown))} is none of {', '.join(known)}",
                where=path,
                remedy=_REMEDY,
            )
    cutoff = pd.to_numeric(table["cutoff"], errors="coerce")
    used = table[np.isfinite(cutoff)].assign(cutoff=cutoff[np.isfinite(cutoff)])
    if used.empty:
        raise InputError("no cut-off in it", where=path, remedy=_REMEDY)
    used = used.drop_duplicates([name for name in CUTOFF if name not in ("cutoff", "direction")])
    silent = {name: "" for name in MEANING if name not in used.columns}
    told = used.assign(**silent)[[*CUTOFF, *MEANING]].fillna(dict.fromkeys(MEANING, ""))
    cutoffs: pd.DataFrame = told.assign(source=path.name).reset_index(drop=True)
    return cutoffs
