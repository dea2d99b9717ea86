"""Items of reporting guidelines that the data prove, and those that the authors must state."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from importlib.resources import files

import pandas as pd

from gsigpu.cohort_statistics.frames import SAME_LESIONS
from gsigpu.report.cohort_results import Results
from gsigpu.report.table_cells import Cell, Table, head, listed, plural, text
from gsigpu.tables.observations import Observations

MUST_STATE = "author must state"
_MEMBER = ("phase", "region", "parameter")
_PAIR = ("group_a", "group_b")
Proof = Callable[[Observations, Results], str]


def checklist_tables(observations: Observations, results: Results) -> list[Table]:
    """One table per guideline: item, and where this page shows it or that the authors must."""
    content = tomllib.loads(
        files("gsigpu.report").joinpath("checklists.toml").read_text(encoding="utf-8")
    )
    tables = []
    for checklist in content["checklist"]:
        rows = []
        for item in checklist["items"]:
            shown = PROOFS[item["proof"]](observations, results) if "proof" in item else ""
            rows.append(
                [
                    text(item["number"]),
                    text(item["item"]),
                    _answer(shown),
                ]
            )
        header = [[head("item"), head(""), head("this report")]]
        name = f"checklist_{checklist['name'].split()[0].lower()}"
        tables.append(
            Table(
                name=name,
                caption=checklist["name"],
                header=header,
                rows=rows,
                notes=[f"After {checklist['source']}."],
            )
        )
    return tables


def _answer(shown: str) -> Cell:
    """Proven, proven in part, or nothing that the data show."""
    if not shown:
        return text(MUST_STATE, tone="stated")
    return text(shown, tone="part" if MUST_STATE in shown else "proved")


def _exclusions(observations: Observations, _: Results) -> str:
    excluded = observations.flow.excluded
    if excluded is None:
        return ""
    if not excluded:
        return "no exclusion by the rules of the cohort run"
    rules = [f"{rule} ({n.patients})" for rule, n in excluded.items()]
    return f"applied by the cohort run: {listed(rules)}; the criteria themselves: {MUST_STATE}"


def _definitions(observations: Observations, _: Results) -> str:
    known = [parameter for parameter, text_ in observations.definitions.items() if text_]
    return "definitions and units, Provenance" if known else ""


def _cutoffs(_: Observations, results: Results) -> str:
    chosen = results.frames.roc["cutoff"].notna().any()
    parts = ["exploratory: Youden's, with interval and correction for optimism"] if chosen else []
    applied = _applied(results)
    return "; ".join([*parts, *([f"fixed beforehand: {applied}"] if applied else [])])


def _applied(results: Results) -> str:
    """Where cut-offs that were not chosen on these lesions come from; "" where there are none."""
    decisions = results.frames.decisions
    if decisions.empty:
        return ""
    return listed(sorted(set(decisions["source"].astype(str)) - {SAME_LESIONS}))


def _accuracy_methods(_: Observations, results: Results) -> str:
    areas = _areas(results)
    if not len(areas):
        return ""
    compared = ", compared in pairs" if len(results.frames.roc_comparisons) else ""
    return f"areas under ROC curves{compared}: Methods, to paste"


def _failed(observations: Observations, _: Results) -> str:
    n = sum(observations.flow.failed.values())
    return f"{plural(n, 'lesion')} failed, Flow" if n else ""


def _missing(observations: Observations, results: Results) -> str:
    """What the table shows of the index test; of the reference standard it shows nothing."""
    if not results.has_values:
        return ""
    frame = observations.missing
    if frame.empty:
        told = "no lesion of the table lacks a value"
    else:
        n = int(frame["n_lesions"].sum())
        told = f"{plural(n, 'value')} missing, left out and counted by reason, Further analyses"
    return f"{told}; of the reference standard: {MUST_STATE}"


def _variability(_: Observations, results: Results) -> str:
    """Analyses of how accuracy varies; tests of means in subgroups are none."""
    frames, settings = results.frames, results.settings
    known = [
        (_finite(frames.sites, "auc"), f"by {settings.site.replace('_', ' ')}"),
        (
            _finite(frames.adjusted_roc, "auc"),
            f"areas adjusted for {listed([name.replace('_', ' ') for name in settings.covariates])}",
        ),
        (_finite(frames.reader_comparisons, "auc_a"), "over readers"),
    ]
    shown = [words for there, words in known if there]
    # A plan has no family of these.
    return f"exploratory: {listed(shown)}, Further analyses" if shown else ""


def _flow(observations: Observations, _: Results) -> str:
    """The whole of it only where it begins with those who were found, and not with a table."""
    flow = observations.flow
    if not flow.analysed:
        return ""
    if flow.is_whole:
        return "Patients and lesions: diagram from the manifest on"
    return f"diagram from the table on; who came into the table: {MUST_STATE}"


def _demographics(observations: Observations, _: Results) -> str:
    patients = observations.patients
    known = [
        name for name in ("age", "sex") if (patients[name].notna() & (patients[name] != "")).any()
    ]
    return f"Table One ({listed(known)})" if known else ""


def _cross_table(observations: Observations, results: Results) -> str:
    """Counts at a cut-off, or how the values of the groups are distributed."""
    if len(results.frames.decisions):
        n = len(results.frames.decisions.drop_duplicates(["source", *_MEMBER, *_PAIR]))
        return f"What each cut-off does: positives and negatives of both groups at {plural(n, 'cut-off')}"
    if results.has_values and len(observations.table):
        return "no cut-off; distributions of the values by group, figures"
    return ""


def _metrics(_: Observations, results: Results) -> str:
    if not len(_areas(results)):
        return ""
    shares = _finite(results.frames.roc, "sensitivity")
    return "areas under ROC curves" + (", sensitivity and specificity" if shares else "")


def _precision(_: Observations, results: Results) -> str:
    """Areas with intervals, and how many of them; those of lesions as units are told as such."""
    areas = _areas(results)
    if not len(areas):
        return ""
    with_interval = int((areas["ci_low"].notna() & areas["ci_high"].notna()).sum())
    if not with_interval:
        return ""
    unit = "patients" if (areas["track"] == "recommended").all() else "lesions"
    level = f"{100 * results.settings.confidence:g}%"
    return (
        f"{with_interval} of {plural(len(areas), 'area')} with {level} intervals, {unit} as units"
    )


def _uncertainty(observations: Observations, results: Results) -> str:
    areas = _precision(observations, results)
    pairs = results.frames.pairwise
    n = int(pairs["ci_low"].notna().sum()) if len(pairs) else 0
    differences = f"{plural(n, 'difference')} of groups with intervals" if n else ""
    return "; ".join(words for words in (areas, differences) if words)


def _areas(results: Results) -> pd.DataFrame:
    """Areas with a value, of the recommended track where it has any."""
    roc = results.frames.roc
    if roc.empty:
        return roc
    known = roc[roc["auc"].notna()]
    recommended = known[known["track"] == "recommended"]
    return (recommended if len(recommended) else known).drop_duplicates([*_MEMBER, *_PAIR])


def _finite(frame: pd.DataFrame, name: str) -> bool:
    return bool(len(frame) and frame[name].notna().any())


def _readers(_: Observations, results: Results) -> str:
    if not _finite(results.frames.icc, "icc"):
        return ""
    again = " and repeat readings" if _finite(results.frames.repeatability, "within_sd") else ""
    return f"ICC and limits of agreement{again}"


def _folds(_: Observations, results: Results) -> str:
    known = _finite(results.frames.models, "auc")
    return "combined models: cross-validation in whole patients" if known else ""


def _dimensionality(observations: Observations, results: Results) -> str:
    if results.frames.models.empty:
        return ""
    n = sum(patients for patients, _ in observations.flow.analysed.values())
    return f"{plural(len(observations.parameters), 'parameter')}, {plural(n, 'patient')}"


def _calibration(_: Observations, results: Results) -> str:
    return "calibration of the combined models" if len(results.frames.calibration) else ""


def _models(_: Observations, results: Results) -> str:
    known = _finite(results.frames.models, "auc") and len(_areas(results))
    return "single parameters beside combined models" if known else ""


def _external(_: Observations, results: Results) -> str:
    applied = _applied(results)
    return f"cut-offs of {applied} judged on these lesions" if applied else ""


def _centres(_: Observations, results: Results) -> str:
    frame = results.frames.sites
    if frame.empty:
        return ""
    return (
        f"{plural(frame['site'].nunique(), 'value')} of {results.settings.site.replace('_', ' ')}"
    )


def _confounding(_: Observations, results: Results) -> str:
    known = _finite(results.frames.adjusted, "p")
    held = listed([name.replace("_", " ") for name in results.settings.covariates])
    return f"{held} held equal in further tests and areas" if known else ""


PROOFS: Mapping[str, Proof] = {
    "exclusions": _exclusions,
    "definitions": _definitions,
    "cutoffs": _cutoffs,
    "accuracy methods": _accuracy_methods,
    "failed": _failed,
    "missing": _missing,
    "variability": _variability,
    "flow": _flow,
    "demographics": _demographics,
    "cross table": _cross_table,
    "metrics": _metrics,
    "precision": _precision,
    "uncertainty": _uncertainty,
    "readers": _readers,
    "folds": _folds,
    "dimensionality": _dimensionality,
    "calibration": _calibration,
    "models": _models,
    "external": _external,
    "centres": _centres,
    "confounding": _confounding,
}
