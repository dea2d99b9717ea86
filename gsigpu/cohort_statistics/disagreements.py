"""Where the two tracks decide differently, and why."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd

Row = dict[Hashable, Any]


def disagreements(
    paper: pd.DataFrame,
    recommended: pd.DataFrame,
    descriptives: pd.DataFrame,
    *,
    alpha: float = 0.05,
) -> list[str]:
    """Sentences on the pairs that one track calls different and the other does not.

    paper, recommended : rows of `pairwise_tests` of one family member, of each track; other rows of
        the two frames are ignored, so that one frame may be given for both
    descriptives : rows of `descriptives` of the same member
    The paper track decides by lsd's p, the recommended by mixed's p_holm. Returns one sentence per
    pair that differs: the p values, and the reason among clustering of lesions in patients, unequal
    variances and multiplicity, found by adding them one by one; empty where the tracks agree.
    """
    lsd = _by_pair(paper, "paper", "lsd")
    mixed = _by_pair(recommended, "recommended", "mixed")
    howell = _by_pair(recommended, "recommended", "games-howell")
    spread = {
        str(row["group"]): float(row["sd"])
        for row in descriptives.to_dict("records")
        if row["track"] == "recommended"
    }
    sentences = []
    for (a, b), old in lsd.items():
        new = mixed.get((a, b))
        if new is None or not np.isfinite([old["p"], new["p"]]).all():
            continue
        if (old["p"] < alpha) == (new["p_holm"] < alpha):
            continue
        lost = old["p"] < alpha
        track, why = ("paper", _why_lost) if lost else ("recommended", _why_gained)
        sentence = (
            f"{a} and {b} differ on the {track} track only (LSD {shown(old['p'])}; mixed model "
            f"{shown(new['p'])}, after Holm {shown(new['p_holm'])}): {why(old, new, alpha)}"
        )
        third = howell.get((a, b))
        if (
            third is not None
            and np.isfinite(third["p"])
            and (third["p"] < alpha) != (new["p_holm"] < alpha)
        ):
            sentence += (
                f"; unequal variances matter too: patients' SD {spread.get(a, np.nan):.3g} and "
                f"{spread.get(b, np.nan):.3g}, Games-Howell {shown(third['p'])}"
            )
        sentences.append(f"{sentence}.")
    return sentences


def shown(p: float) -> str:
    """A p value as a person reads it.

    >>> shown(0.0004), shown(0.0312)
    ('p < .001', 'p = .031')
    """
    return "p < .001" if p < 0.001 else f"p = {p:.3f}".replace("0.", ".", 1)


def _by_pair(frame: pd.DataFrame, track: str, test: str) -> dict[tuple[str, str], Row]:
    rows = frame[(frame["track"] == track) & (frame["test"] == test)]
    return {(str(one["group_a"]), str(one["group_b"])): one for one in rows.to_dict("records")}


def _clustered(row: Row) -> str:
    n, patients = row["n_a"] + row["n_b"], row["n_patients_a"] + row["n_patients_b"]
    text = f"{n} lesions come from {patients} patients"
    if np.isfinite(row["icc"]):
        text += f" (ICC {row['icc']:.2f}, design effect {row['design_effect']:.2f})"
    return text


def _why_lost(old: Row, new: Row, alpha: float) -> str:
    """Clustering alone takes it away, or multiplicity alone, or only both."""
    if not new["p"] < alpha:
        return f"clustering, as {_clustered(new)} and LSD counts each lesion as independent"
    if not old["p_holm"] < alpha:
        return "multiplicity, as LSD does not allow for the number of pairs"
    return f"clustering and multiplicity together, as {_clustered(new)}"


def _why_gained(old: Row, new: Row, alpha: float) -> str:
    del alpha
    return (
        f"clustering, as {_clustered(new)}, and patients with many lesions weigh less than with LSD: "
        f"difference {new['difference']:.3g} instead of {old['difference']:.3g}"
    )
