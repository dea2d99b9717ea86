"""What was found, in sentences a reader can check against the tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from gsigpu.report.cohort_results import ALPHA, Disagreement, Results
from gsigpu.report.pairs_told_apart import n_told_apart, place_of
from gsigpu.report.paper_tables import (
    PRIMARY,
    TRACK_NAMES,
    TRACKS,
    rows_of,
    test_name,
)
from gsigpu.report.source_study import SHORT
from gsigpu.report.table_cells import (
    decimals_of,
    listed,
    number,
    parameter_name,
    plural,
    with_p,
)
from gsigpu.tables.observations import Observations


@dataclass(frozen=True, slots=True)
class Summary:
    """The top of the page.

    tiles : (number, what it counts)
    question, findings, trust : paragraphs
    """

    tiles: tuple[tuple[str, str], ...]
    question: str
    findings: tuple[str, ...]
    trust: tuple[str, ...]


def summary(observations: Observations, results: Results) -> Summary:
    """What was asked, on how many, what came out, and which track to trust."""
    n_patients = sum(n for n, _ in observations.flow.analysed.values())
    n_lesions = sum(n for _, n in observations.flow.analysed.values())
    of_patients = (f"{n_patients:,}", "patient" if n_patients == 1 else "patients")
    pairs = _primary(results)
    p = pairs["p_holm_all"].astype(float)
    tiles = (
        *([of_patients] if results.has_values else []),
        (f"{n_lesions:,}", "lesion" if n_lesions == 1 else "lesions"),
        (f"{len(observations.groups)}", "groups"),
        *(
            [_tile(*n_told_apart(observations, results), "pairs of groups", "told apart by an area")]
            if len(results.frames.roc)
            else []
        ),
        _tile(
            int((p < ALPHA).sum()), int(np.isfinite(p).sum()), len(p), "pairwise tests",
            "differ after correction over all",
        ),
    )  # fmt: skip
    return Summary(
        tiles=tiles,
        question=_question(observations),
        findings=tuple(_findings(observations, results)),
        trust=tuple(_trust(results)),
    )


def _tile(n_held: int, n_tested: int, n: int, what: str, held: str) -> tuple[str, str]:
    """How many of what could be tested hold; what could not be tested is told, and is none that does not differ.

    >>> _tile(3, 6, 6, "pairs", "differ"), _tile(3, 4, 6, "pairs", "differ"), _tile(0, 0, 6, "pairs", "differ")
    (('3 of 6', 'pairs differ'), ('3 of 4', 'pairs differ; 2 cannot be tested'), ('–', 'none of 6 pairs can be tested'))
    """
    if not n_tested:
        return "–", f"none of {n} {what} can be tested"
    untested = f"; {n - n_tested} cannot be tested" if n_tested < n else ""
    return f"{n_held} of {n_tested}", f"{what} {held}{untested}"


def _question(observations: Observations) -> str:
    names = listed([parameter_name(parameter) for parameter in observations.parameters])
    phases = [phase for phase in observations.phases if phase]
    regions = [
        "the whole lesion" if region == "lesion" else region
        for region in observations.regions
        if region
    ]
    where = f" of {listed(regions)}" if regions else ""
    when = f" in {listed(phases)}" if phases else ""
    verb = "Do" if len(observations.parameters) > 1 else "Does"
    return (
        f"{verb} {names}{where}{when} differ between {listed(list(observations.groups))}, "
        "and how well does each tell two of them apart?"
    )


def _findings(observations: Observations, results: Results) -> Iterator[str]:
    test = "mixed" if results.has_values else "welch"
    omnibus = rows_of(results.frames.omnibus, track="recommended", test=test)
    for parameter in observations.parameters:
        tests = rows_of(omnibus, parameter=parameter)
        if tests.empty:
            continue
        name = _capital(parameter_name(parameter))
        different = tests[tests["p_holm_all"] < ALPHA]
        if different.empty:
            yield f"{name}: {_not_shown(tests)}."
            continue
        everywhere = len(different) == len(tests) > 1
        where = (
            "wherever it was measured"
            if everywhere
            else f"in {listed([place_of(row) for _, row in different.iterrows()])}"
        )
        largest = with_p(float(different["p_holm_all"].max()), "p")
        yield (
            f"{name} differs between the groups {where} ({test_name(test)}, Holm over all tests, {largest}"
            f"{' or less' if len(different) > 1 and '=' in largest else ''}). {_extremes(observations, results, different)}"
        )


def _not_shown(tests: pd.DataFrame) -> str:
    """What is said of a parameter none of whose tests holds; it is never said that there is no difference."""
    p = tests["p"].astype(float)
    if not np.isfinite(p).any():
        notes = list(dict.fromkeys(str(note) for note in tests["note"] if note))
        return notes[0] if notes else "cannot be tested"
    untested = int((~np.isfinite(p)).sum())
    beside = f"; {plural(untested, 'test')} could not be made" if untested else ""
    return (
        "a difference between the groups is not shown after correction for all tests "
        f"(smallest uncorrected {with_p(float(p.min()))}){beside}"
    )


def _extremes(observations: Observations, results: Results, different: pd.DataFrame) -> str:
    """The highest and lowest group where the groups differ most."""
    widest = different.iloc[int(different["statistic"].to_numpy().argmax())]
    means = rows_of(
        results.frames.descriptives, track="recommended" if results.has_values else "paper", phase=widest["phase"],
        region=widest["region"], parameter=widest["parameter"],
    ).dropna(subset="mean").reset_index(drop=True)  # fmt: skip
    if len(means) < 2:
        return ""
    high, low = (
        means.iloc[int(at)]
        for at in (means["mean"].to_numpy().argmax(), means["mean"].to_numpy().argmin())
    )
    decimals = decimals_of(str(widest["parameter"]), float(high["sd"]))
    unit = observations.units.get(str(widest["parameter"]), "")
    unit = f" {unit}" if unit not in ("", "1") else ""
    return (
        f"Most in {place_of(widest)}: highest in {high['group']} ({number(high['mean'], decimals)}{unit}), "
        f"lowest in {low['group']} ({number(low['mean'], decimals)}{unit})."
    )


def _trust(results: Results) -> Iterator[str]:
    if not results.has_values:
        yield (
            "Neither fully: n, mean and SD do not say which lesions share a patient, so both tracks count every "
            "lesion as independent. The recommended track at least does not assume equal variances. Intervals are "
            "too narrow and p values too small by as much as lesions of a patient resemble each other."
        )
        return
    described = rows_of(results.frames.omnibus, track="recommended")
    icc, effect = described["icc"].dropna(), described["design_effect"].dropna()
    if len(icc):
        yield (
            "Trust the recommended track. Lesions of one patient resemble each other "
            f"(ICC {_range(icc)}, design effect {_range(effect)}), so they are fewer "
            "independent observations than they look; the paper-compatible track counts each as one, and is "
            f"shown so that results can be compared with {SHORT}."
        )
    else:
        yield (
            "Trust the recommended track: it corrects for the number of tests and does not assume equal "
            f"variances. The paper-compatible track is shown so that results can be compared with {SHORT}."
        )
    n = sum(len(disagreement.pairs) for disagreement in results.disagreements)
    total = len(_primary(results))
    if n:
        yield f"The tracks decide differently on {plural(n, 'pair')} of {total}; each is named below with the reason."
    elif total and results.disagreements and _all_tested(results):
        yield "The two tracks decide alike on every pair."


def _all_tested(results: Results) -> bool:
    """Whether both tracks have a p value for every pair; where one has none, nothing can agree with it."""
    frame = results.frames.pairwise
    paper = rows_of(frame, track="paper", test=PRIMARY["paper"][0][0])
    return bool(np.isfinite(paper["p"]).all() and np.isfinite(_primary(results)["p"]).all())


def disagreement_words(members: Sequence[Disagreement]) -> str:
    """On how many pairs the tracks decide differently."""
    pairs = [pair for member in members for pair in member.pairs]
    if not pairs:
        return ""
    sides = [
        f"{n} on the {TRACK_NAMES[track]} track only"
        for track in TRACKS
        for n in [sum(pair.only == track for pair in pairs)]
        if n
    ]
    return f"On {plural(len(pairs), 'pair')} the tracks decide differently: {listed(sides)}."


def _range(values: pd.Series) -> str:
    low, high = number(float(values.min()), 2), number(float(values.max()), 2)
    return low if low == high else f"{low} to {high}"


def _capital(words: str) -> str:
    """The first letter large, but for λ.

    >>> _capital("iodine"), _capital("λHU")
    ('Iodine', 'λHU')
    """
    return words if words.startswith("λ") else words[:1].upper() + words[1:]


def _primary(results: Results) -> pd.DataFrame:
    """Pairs by the test that decides on the recommended track."""
    pairs = rows_of(results.frames.pairwise, track="recommended")
    for test, _ in PRIMARY["recommended"]:
        if (pairs["test"] == test).any():
            return rows_of(pairs, test=test)
    return pairs
