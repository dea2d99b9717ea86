"""Why lesions have no value in a test: counted by reason, so that a reader can judge whether it depends on the value."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from gsigpu.tables.counting import LESION, lesion_rows, lesions

COLUMNS = (
    "phase", "region", "parameter", "group", "reason", "n_lesions", "n_patients", "n_lesions_in_all",
)  # fmt: skip
_FAILED = "failed:"
NOT_IN_PHASE = "no measurement in this phase"
NO_ROW = "no row of this region and parameter"
NO_VALUE = "a row without a value"
NOT_EVERY_READER = "not measured by every reader"


def missing_values(
    cells: pd.DataFrame,
    table: pd.DataFrame,
    *,
    groups: Sequence[str],
    phases: Sequence[str],
    regions: Sequence[str],
    parameters: Sequence[str],
) -> pd.DataFrame:
    """COLUMNS, one row per phase, region, parameter, group and reason with at least one lesion.

    cells : the measurement table as text, rows of failures too
    table : what is tested, one row per lesion and member with `value`
    Every lesion of the compared groups counts, in every phase. Reasons: what a failure or the flags of an empty row
    say, else one of the texts above.
    """
    named = cells[[*LESION, "group", "phase", "region", "parameter", "value", "flags"]]
    compared = lesion_rows(named[named["group"].isin(groups)])
    everyone = lesions(compared)[[*LESION, "group"]].reset_index(drop=True)
    index = pd.MultiIndex.from_frame(everyone[list(LESION)])
    in_all = everyone["group"].value_counts().to_dict()
    rows: list[dict[str, object]] = []
    for phase in phases:
        of_phase = compared[compared["phase"] == phase]
        present = pd.MultiIndex.from_frame(of_phase[list(LESION)].drop_duplicates())
        failures = _failures(of_phase)
        tested = table[table["phase"] == phase]
        for region in regions:
            of_region = of_phase[of_phase["region"] == region]
            for parameter in parameters:
                mine = of_region[of_region["parameter"] == parameter]
                reasons = _reasons(
                    everyone,
                    index,
                    present,
                    failures,
                    mine,
                    tested[(tested["region"] == region) & (tested["parameter"] == parameter)],
                )
                place = {"phase": phase, "region": region, "parameter": parameter}
                for (group, reason), lost in reasons.groupby(["group", "reason"], sort=False):
                    counts = {
                        "n_lesions": len(lost),
                        "n_patients": int(lost["patient_id"].nunique()),
                        "n_lesions_in_all": int(in_all[str(group)]),
                    }
                    rows.append(place | {"group": group, "reason": reason} | counts)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _failures(cells: pd.DataFrame) -> pd.Series:
    """Lesion -> the first failure that a row of it names."""
    failed = cells[cells["flags"].str.contains(_FAILED, regex=False)]
    first = failed.drop_duplicates(list(LESION)).set_index(list(LESION))["flags"]
    return first.str.extract(rf"{_FAILED}([^;]*)", expand=False)


def _reasons(
    everyone: pd.DataFrame,
    index: pd.MultiIndex,
    present: pd.MultiIndex,
    failures: pd.Series,
    mine: pd.DataFrame,
    tested: pd.DataFrame,
) -> pd.DataFrame:
    """The lesions without a value, with `reason`; index : patient and lesion of `everyone`."""
    valued = tested[np.isfinite(tested["value"])]
    have = pd.MultiIndex.from_frame(valued[list(LESION)])
    lost = everyone[~index.isin(have)]
    if lost.empty:
        return lost.assign(reason="")
    key = pd.MultiIndex.from_frame(lost[list(LESION)])
    with_row = mine.drop_duplicates(list(LESION)).set_index(list(LESION))
    read = mine[pd.to_numeric(mine["value"], errors="coerce").notna()]
    by_some = pd.MultiIndex.from_frame(read[list(LESION)].drop_duplicates())
    flags = with_row["flags"].reindex(key).fillna("").to_numpy(dtype=object)
    failure = failures.reindex(key).fillna("").to_numpy(dtype=object)
    reason = np.select(
        [
            ~key.isin(present),
            key.isin(by_some),
            failure != "",
            ~key.isin(with_row.index),
            flags != "",
        ],
        [NOT_IN_PHASE, NOT_EVERY_READER, failure, NO_ROW, flags],
        default=NO_VALUE,
    )
    return lost.assign(reason=reason)
