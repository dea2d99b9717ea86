"""Values of all parameters and regions of a phase, with what is peculiar to each site taken out (ComBat)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from gsigpu.cohort_statistics.frames import COMBAT_COLUMNS, labelled
from gsigpu.cohort_statistics.groups.combat import Harmonised, without_site_effects
from gsigpu.report.cohort_results import StatisticsSettings
from gsigpu.tables.lesion_columns import KEY, as_text
from gsigpu.tables.observations import Observations

_FEATURE = ["region", "parameter"]


@dataclass(frozen=True, slots=True)
class HarmonisedSites:
    """table : as `Observations.table`, of the lesions that could be harmonised; frame : COMBAT_COLUMNS with members."""

    table: pd.DataFrame
    frame: pd.DataFrame


def harmonised_sites(
    observations: Observations, settings: StatisticsSettings
) -> HarmonisedSites | None:
    """Each phase by itself, its parameters and regions together; None where the settings do not ask for it.

    Of a lesion all of them must be known, and its group, site and covariates; others are left out. The covariates of the
    settings are kept as the groups are.
    """
    if not settings.combat:
        return None
    tables, frames = [], []
    for phase in observations.phases:
        rows = observations.table[observations.table["phase"] == phase]
        wide = rows.set_index([*KEY, "group", *_FEATURE])["value"].unstack(_FEATURE)
        lesions = wide.index.to_frame(index=False)
        known = observations.columns.set_index(list(KEY)).reindex(
            pd.MultiIndex.from_frame(lesions[list(KEY)])
        )
        lesions["site"] = as_text(known[settings.site]).to_numpy()
        kept = [name for name in settings.covariates if name != settings.site]
        result = without_site_effects(
            wide.to_numpy(),
            lesions["site"],
            lesions["group"],
            covariates=known[kept] if kept else None,
        )
        after = pd.DataFrame(result.values, wide.index, wide.columns)
        long = after[result.used].melt(ignore_index=False, value_name="value").reset_index()
        tables.append(rows.drop(columns="value").merge(long, on=[*KEY, "group", *_FEATURE]))
        frames += list(_described(wide, after, lesions, result))
    return HarmonisedSites(
        pd.concat(tables, ignore_index=True), pd.concat(frames, ignore_index=True)
    )


def _described(
    before: pd.DataFrame, after: pd.DataFrame, lesions: pd.DataFrame, result: Harmonised
) -> Iterator[pd.DataFrame]:
    """Of each parameter in each region, a row per site: of the lesions that were harmonised, all that have a value if none."""
    phase = str(lesions["phase"].iloc[0])
    for k, feature in enumerate(before.columns.to_frame(index=False).to_dict("records")):
        values, changed = before.iloc[:, k], after.iloc[:, k]
        counted = result.used if result.used.any() else values.notna().to_numpy()
        rows = []
        for site in sorted(set(lesions["site"]) - {""}):
            here = counted & (lesions["site"] == site).to_numpy()
            new = changed[here]
            rows.append(
                {
                    "track": "recommended",
                    "site": site,
                    "mean_before": values[here].mean(),
                    "mean_after": new.mean(),
                    "sd_before": values[here].std(ddof=1),
                    "sd_after": new.std(ddof=1),
                    "n_lesions": int(here.sum()),
                    "n_patients": lesions.loc[here, "patient_id"].nunique(),
                    "note": result.note,
                }
            )
        frame = pd.DataFrame(rows, columns=list(COMBAT_COLUMNS))
        yield labelled(frame, phase=phase, **{name: str(feature[name]) for name in _FEATURE})
