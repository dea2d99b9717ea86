"""Where the two tracks decide differently, and why."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

Row = dict[Hashable, Any]
# Ratios of the two tests' variances, clustering taken out, beyond which unequal variances are named: a
# quarter is about what chance makes of the variances of a dozen patients.
MUCH_LARGER, MUCH_SMALLER = 1.25, 0.8


@dataclass(frozen=True, slots=True)
class TracksDiffer:
    """A pair of groups on which the tracks decide differently.

    only : the track that calls the pair different
    p_lsd, p_mixed, p_adjusted : of LSD, of the mixed model, and that after Holm, which decides
    reasons : why, the kind of each before its first comma or colon
    sentence : all of it
    """

    group_a: str
    group_b: str
    only: str
    p_lsd: float
    p_mixed: float
    p_adjusted: float
    reasons: tuple[str, ...]
    sentence: str


def disagreements(
    paper: pd.DataFrame,
    recommended: pd.DataFrame,
    descriptives: pd.DataFrame,
    *,
    alpha: float = 0.05,
    decides: str = "p_holm",
) -> list[TracksDiffer]:
    """The pairs that one track calls different and the other does not.

    paper, recommended : rows of `pairwise_tests` of one family member, of each track; other rows of
        the two frames are ignored, so that one frame may be given for both
    descriptives : rows of `descriptives` of the same member
    decides : the column of p that decides on the recommended track: `p_holm` within the family of pairs,
        `p_holm_all` over all tests
    The paper track decides by lsd's p, the recommended by mixed's. Returns one entry per
    pair that differs, or that the recommended track cannot test: the p values, and the reasons among clustering of lesions in patients, unequal
    variances and multiplicity; empty where the tracks agree. Clustering should multiply the variance
    of a difference by the design effect; what is left of the ratio of the two tests' variances is
    put down to unequal variances where it is beyond 1.25 or below .8.
    """
    lsd = _by_pair(paper, "paper", "lsd")
    mixed = _by_pair(recommended, "recommended", "mixed")
    howell = _by_pair(recommended, "recommended", "games-howell")
    spread = {
        str(row["group"]): float(row["sd"])
        for row in descriptives.to_dict("records")
        if row["track"] == "recommended"
    }
    differing = []
    for (a, b), old in lsd.items():
        new = mixed.get((a, b))
        if new is None or np.isnan(old["p"]):
            continue
        if np.isnan(new["p"]):
            if old["p"] < alpha:
                sentence = (
                    f"{a} and {b} differ on the paper track (LSD {shown(old['p'])}); on the recommended "
                    f"track the pair {new['note']}"
                )
                differing.append(_entry(old, new, decides, "paper", [str(new["note"])], sentence))
            continue
        if (old["p"] < alpha) == (new[decides] < alpha):
            continue
        lost = old["p"] < alpha
        sds = f"patients' SD {spread.get(a, np.nan):.3g} and {spread.get(b, np.nan):.3g}"
        reasons = _why_lost(old, new, sds, alpha) if lost else _why_gained(old, new, sds)
        sentence = (
            f"{a} and {b} differ on the {'paper' if lost else 'recommended'} track only (LSD "
            f"{shown(old['p'])}; mixed model {shown(new['p'])}, after Holm {shown(new[decides])}): "
            f"{'; '.join(reasons)}"
        )
        third = howell.get((a, b))
        if (
            third is not None
            and np.isfinite(third["p"])
            and (third["p"] < alpha) != (new[decides] < alpha)
        ):
            sentence += f"; Games-Howell on the patients' means sides with LSD, {shown(third['p'])}"
        differing.append(
            _entry(old, new, decides, "paper" if lost else "recommended", reasons, sentence)
        )
    return differing


def _entry(
    old: Row, new: Row, decides: str, only: str, reasons: list[str], sentence: str
) -> TracksDiffer:
    return TracksDiffer(
        group_a=str(old["group_a"]),
        group_b=str(old["group_b"]),
        only=only,
        p_lsd=float(old["p"]),
        p_mixed=float(new["p"]),
        p_adjusted=float(new[decides]),
        reasons=tuple(reasons),
        sentence=f"{sentence}.",
    )


def shown(p: float) -> str:
    """A p value as a person reads it.

    >>> shown(0.0004), shown(0.0312)
    ('p < .001', 'p = .031')
    """
    return "p < .001" if p < 0.001 else f"p = {p:.3f}".replace("0.", ".", 1)


def _by_pair(frame: pd.DataFrame, track: str, test: str) -> dict[tuple[str, str], Row]:
    rows = frame[(frame["track"] == track) & (frame["test"] == test)]
    return {(str(row["group_a"]), str(row["group_b"])): row for row in rows.to_dict("records")}


def _clustered(row: Row) -> str:
    n, patients = row["n_a"] + row["n_b"], row["n_patients_a"] + row["n_patients_b"]
    return (
        f"clustering, as {n} lesions come from {patients} patients (ICC {row['icc']:.2f}, design "
        f"effect {row['design_effect']:.2f}) and LSD counts each as independent"
    )


def _beyond_clustering(old: Row, new: Row) -> float:
    """Variance of the difference with the mixed model over LSD's, the design effect taken out."""
    if not (new["statistic"] and old["statistic"]):
        return np.nan
    errors = [row["difference"] / row["statistic"] for row in (new, old)]
    return float((errors[0] / errors[1]) ** 2 / new["design_effect"])


def _why_lost(old: Row, new: Row, sds: str, alpha: float) -> list[str]:
    reasons = []
    if not (new["p"] < alpha and not old["p_holm"] < alpha):
        if new["design_effect"] > 1.0:
            reasons.append(_clustered(new))
        if _beyond_clustering(old, new) > MUCH_LARGER:
            reasons.append(f"unequal variances, as LSD pools them over all groups ({sds})")
    if new["p"] < alpha:
        reasons.append("multiplicity, as LSD does not allow for the number of tests")
    return reasons or [_weights(old, new)]


def _why_gained(old: Row, new: Row, sds: str) -> list[str]:
    reasons = []
    if _beyond_clustering(old, new) < MUCH_SMALLER:
        reasons.append(f"unequal variances, as LSD adds the spread of the other groups ({sds})")
    if new["design_effect"] > 1.0:
        reasons.append(f"clustering: {_weights(old, new)}")
    return reasons or [_weights(old, new)]


def _weights(old: Row, new: Row) -> str:
    return (
        "patients with many lesions weigh less than with LSD, difference "
        f"{new['difference']:.3g} instead of {old['difference']:.3g}"
    )
