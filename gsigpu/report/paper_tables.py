"""Tables 1-3 of the source study, of both tracks in one layout, and all pairs of groups."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from gsigpu.report.cohort_results import ALPHA, Results
from gsigpu.report.plan_words import EXPLORATORY_NOTE, PLANNED, plan_mark
from gsigpu.report.table_cells import (
    INTERVAL_NOTE,
    Cell,
    Table,
    decimals_of,
    file_stem,
    head,
    interval_cell,
    mean_sd,
    num,
    p_cell,
    place,
    plural,
    text,
    whole,
    with_unit,
)
from gsigpu.tables.observations import Observations

TRACKS = ("paper", "recommended")
TRACK_NAMES = {"paper": "paper-compatible", "recommended": "recommended"}
Row = dict[Hashable, Any]
_LETTERS_NOTE = "Which letters rest on a planned pair stands in the table of all pairs."
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
# The test that decides, and its p; where there are no patients, the second. On the recommended track letters, bold,
# tiles and sentences all follow one family: Holm over all tests of the track.
PRIMARY = {
    "paper": (("lsd", "p"),),
    "recommended": (("mixed", "p_holm_all"), ("games-howell", "p_holm_all")),
}
_TEST_NAMES = {
    "anova": "one-way ANOVA", "mixed": "mixed model", "welch": "Welch", "kruskal": "Kruskal-Wallis",
    "lsd": "LSD", "games-howell": "Games-Howell", "dunn": "Dunn",
}  # fmt: skip
AREA_METHODS = {
    "paper": ("delong",),
    "recommended": ("obuchowski", "bootstrap", "delong"),
}


def test_name(test: str) -> str:
    """As a person calls it."""
    return _TEST_NAMES.get(test, test)


def opposite_note(frame: pd.DataFrame) -> list[str]:
    """Under a table of two areas compared, where some lie on different sides of .5."""
    n = int(((frame["auc_a"] - 0.5) * (frame["auc_b"] - 0.5) < 0).sum())
    if not n:
        return []
    why = "the parameters point different ways, and the difference does not say which of them separates better"
    return [f"In {plural(n, 'row')} one area lies below .5 and the other above: {why}."]


def rows_of(frame: pd.DataFrame, **where: str) -> pd.DataFrame:
    """Rows with these values."""
    for name, value in where.items():
        frame = frame[frame[name] == value]
    return frame


def number_in(row: Row, name: str) -> float:
    """A number of a row; NaN where the row does not have it."""
    value = row.get(name)
    return float("nan") if pd.isna(value) else float(str(value))


def cells_of(observations: Observations) -> list[tuple[str, str]]:
    """(phase, region) in the order of the tables."""
    return [(phase, region) for phase in observations.phases for region in observations.regions]


def areas_of(frame: pd.DataFrame, track: str) -> pd.DataFrame:
    """One row per member and pair: of the track's first method that is there."""
    areas = rows_of(frame, track=track)
    for method in AREA_METHODS[track]:
        chosen = areas[areas["method"] == method]
        if len(chosen):
            return chosen
    return areas.iloc[:0]


@dataclass(frozen=True, slots=True)
class Lookup:
    """Rows of results by what they are of; a table asks for thousands of single cells.

    described : (track, parameter, phase, region, group)
    omnibus : (track, parameter, phase, region, test)
    pairs : (track, parameter, phase, region, test, group_a, group_b)
    has_values : of lesions; a summary has none
    has_plan : whether rows say what they were planned in
    """

    described: dict[tuple[str, ...], Row]
    omnibus: dict[tuple[str, ...], Row]
    pairs: dict[tuple[str, ...], Row]
    has_values: bool
    has_plan: bool

    @classmethod
    def of(cls, results: Results) -> Lookup:
        """Of all results."""
        frames = results.frames
        member = ("track", "parameter", "phase", "region")
        described = _by(frames.descriptives, *member, "group")
        if not results.has_values:  # one description, of lesions, serves both tracks
            described |= {("recommended", *key[1:]): row for key, row in described.items()}
        return cls(
            described,
            _by(frames.omnibus, *member, "test"),
            _by(frames.pairwise, *member, "test", "group_a", "group_b"),
            has_values=results.has_values,
            has_plan=PLANNED in frames.omnibus.columns,
        )

    def tests(self, track: str, parameter: str) -> list[str]:
        """Omnibus tests of a parameter, in the order of the file."""
        return list(dict.fromkeys(key[4] for key in self.omnibus if key[:2] == (track, parameter)))


def _by(frame: pd.DataFrame, *columns: str) -> dict[tuple[str, ...], Row]:
    keys = zip(*(frame[column].astype(str) for column in columns), strict=True)
    return dict(zip(keys, frame.to_dict("records"), strict=True))


def group_table(
    observations: Observations,
    lookup: Lookup,
    parameter: str,
    track: str,
    number_of: int,
) -> Table:
    """Mean ± SD per group, the phases side by side and in each the regions, with the tests below."""
    cells = [
        cell
        for cell in cells_of(observations)
        if any(
            (track, parameter, *cell, group) in lookup.described for group in observations.groups
        )
    ]
    letters = dict(zip(observations.groups, _letters(len(observations.groups)), strict=True))
    sub = [head(region) for _, region in cells]
    top = [head("", 2)] + [
        head(phase or "–", sum(other == phase for other, _ in cells))
        for phase in dict.fromkeys(phase for phase, _ in cells)
    ]
    rows = [
        _group_row(lookup, parameter, track, cells, group, letters) for group in observations.groups
    ]
    rows += list(_test_rows(lookup, parameter, track, cells))
    unit = with_unit(parameter, observations.units.get(parameter, ""))
    return Table(
        name=file_stem(f"table_{number_of}", parameter, track),
        caption=f"Table {number_of}. {unit}, {TRACK_NAMES[track]}",
        header=[top, [head("group"), head("n"), *sub]],
        rows=rows,
        notes=[
            _group_note(track, has_values=lookup.has_values),
            *_about_the_model(lookup, parameter, track),
            *_plan_notes(lookup, _LETTERS_NOTE),
        ],
    )


def _plan_notes(lookup: Lookup, *more: str) -> list[str]:
    """What the mark of exploratory results means; nothing without a plan."""
    return [EXPLORATORY_NOTE, *more] if lookup.has_plan else []


def _about_the_model(lookup: Lookup, parameter: str, track: str) -> Iterator[str]:
    """What the rows of the mixed model are, and whether they are the rows of another test."""
    rows = [
        row
        for key, row in lookup.omnibus.items()
        if key[:2] == (track, parameter) and key[-1] == "mixed"
    ]
    if rows:
        yield (
            "Mixed model: random intercept per patient, REML, cluster-robust variances (CR2), Welch’s F of its means, by gsigpu. "
            "The textbook’s has model-based variances and Satterthwaite degrees of freedom, as lmerTest in R: for comparison, since it "
            "rejects too often where the groups’ SDs differ."
        )
    if any("the same test as welch" in str(row.get("note")) for row in rows):
        yield "Where all patients have equally many lesions, mixed model and Welch are one test."


def _group_note(track: str, *, has_values: bool) -> str:
    if track == "paper":
        of = "Mean ± SD over lesions" if has_values else "Mean ± SD as published"
        return f"{of}. Letters name the groups that differ by LSD, p < .05; capitals also after Bonferroni’s correction."
    if not has_values:
        return "Mean ± SD as published. Letters name the groups that differ by Games-Howell, p < .05 after Holm’s correction over all tests."
    return "Mean ± SD over patients, of each the mean of its lesions. Letters name the groups that differ in the mixed model, p < .05 after Holm’s correction over all tests."


def _group_row(
    lookup: Lookup,
    parameter: str,
    track: str,
    cells: Sequence[tuple[str, str]],
    group: str,
    letters: dict[str, str],
) -> list[Cell]:
    counts, shown = [], []
    for phase, region in cells:
        row = lookup.described.get((track, parameter, phase, region, group))
        if row is None:
            shown.append(Cell("–"))
            continue
        n = row["n_patients" if track == "recommended" and lookup.has_values else "n_lesions"]
        counts.append(int(n))
        decimals = decimals_of(parameter, float(row["sd"]))
        marks = [
            _mark(lookup, (track, parameter, phase, region), group, other, letter)
            for other, letter in letters.items()
        ]
        shown.append(mean_sd(float(row["mean"]), float(row["sd"]), decimals, "".join(marks)))
    return [text(f"{letters[group]}  {group}"), whole(max(counts, default=0)), *shown]


def _mark(
    lookup: Lookup, member: tuple[str, str, str, str], group: str, other: str, letter: str
) -> str:
    """The letter of a group that differs; a capital where it also does after Bonferroni."""
    track = member[0]
    pairs = lookup.pairs
    decisions = [
        (row, p)
        for test, p in PRIMARY[track]
        for names in ((group, other), (other, group))
        if (row := pairs.get((*member, test, *names))) is not None
    ]
    if not decisions:
        return ""
    row, p = decisions[0]
    if not float(row[p]) < ALPHA:
        return ""
    return letter.upper() if track == "paper" and float(row["p_bonferroni"]) < ALPHA else letter


def _test_rows(
    lookup: Lookup, parameter: str, track: str, cells: Sequence[tuple[str, str]]
) -> Iterator[list[Cell]]:
    """Statistic and p of each omnibus test, then what they rest on."""

    def row(name: str, test: str, column: str, decimals: int | None) -> list[Cell]:
        shown = []
        for phase, region in cells:
            outcome = lookup.omnibus.get((track, parameter, phase, region, test), {})
            value = float(outcome.get(column, np.nan))
            if decimals is None:
                decides = track == "recommended" and column == "p_holm_all"
                cell = p_cell(value, strong=decides and value < ALPHA, tone="p")
                is_test = column.startswith("p") and bool(outcome)
                shown.append(replace(cell, mark=plan_mark(outcome)) if is_test else cell)
            else:
                shown.append(num(value, decimals, tone="below"))
        return [Cell(name, "text", 2), *shown]

    tests = lookup.tests(track, parameter)
    for test in tests:
        if test in ("anova", "mixed") or not lookup.has_values:
            yield row(f"{test_name(test)}, F", test, "statistic", 2)
        yield row(f"{test_name(test)}, p", test, "p", None)
        if test == "mixed":
            yield row("textbook mixed model, p", test, "p_classical", None)
        if test in ("anova", "mixed") or not lookup.has_values:
            yield row(f"{test_name(test)}, p, Holm over all", test, "p_holm_all", None)
    if tests and lookup.has_values:
        yield row("Levene, p", tests[0], "levene_p", None)
        yield row("ICC of lesions in patients", tests[0], "icc", 2)
        yield row("design effect", tests[0], "design_effect", 2)


def pairwise_table(
    observations: Observations,
    lookup: Lookup,
    phase: str,
    region: str,
    parameter: str,
    *,
    interval_name: str,
) -> Table:
    """Every pair by every test, both tracks; `interval_name` as of `Results.interval`."""
    where = (parameter, phase, region)
    known = [key for key in lookup.pairs if key[1:4] == where]
    tests = list(dict.fromkeys((key[0], key[4]) for key in known))
    decimals = decimals_of(parameter)
    deciding = {
        next((name for name, _ in PRIMARY["recommended"] if (("recommended", name) in tests)), "")
    }
    rows = []
    for group_a, group_b in dict.fromkeys(key[5:] for key in known):
        cells = [text(f"{group_a} − {group_b}")]
        for track, test in tests:
            line = lookup.pairs.get((track, *where, test, group_a, group_b))
            if test in ("lsd", "mixed"):
                cells += _difference(line, decimals)
            if test == "lsd":
                cells += [_p(line, "p"), _p(line, "p_bonferroni")]
            else:
                cells.append(_p(line, "p_holm_all", decides=test in deciding))
        rows.append(cells)
    header_tests, header_columns = [head("")], [head("pair")]
    for track, test in tests:
        columns = ["difference", interval_name] if test in ("lsd", "mixed") else []
        columns += ["p", "Bonferroni"] if test == "lsd" else []
        columns += [] if test == "lsd" else ["p, Holm over all"]
        header_tests.append(head(f"{test_name(test)} ({TRACK_NAMES[track]})", len(columns)))
        header_columns += [head(column) for column in columns]
    unit = with_unit(parameter, observations.units.get(parameter, ""))
    name = file_stem("pairs", parameter, phase, region)
    return Table(
        name=name,
        caption=f"Pairs of groups, {unit}, {place(phase, region)}",
        header=[header_tests, header_columns],
        rows=rows,
        notes=[INTERVAL_NOTE, *_plan_notes(lookup)],
    )


def _difference(line: Row | None, decimals: int) -> list[Cell]:
    if line is None:
        return [Cell("–"), Cell("–")]
    return [
        num(float(line["difference"]), decimals),
        interval_cell(float(line["ci_low"]), float(line["ci_high"]), decimals),
    ]


def _p(line: Row | None, column: str, *, decides: bool = False) -> Cell:
    value = np.nan if line is None else float(line[column])
    cell = p_cell(value, strong=decides and value < ALPHA, tone="p")
    return replace(cell, mark=plan_mark(line or {}))


def _letters(n: int) -> list[str]:
    return [_LETTERS[k % 26] + (str(k // 26) if k >= 26 else "") for k in range(n)]
