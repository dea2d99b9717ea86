"""Items of reporting guidelines that the data prove, and those that the authors must state."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from importlib.resources import files

from gsigpu.report.cohort_results import Results
from gsigpu.report.table_cells import Table, head, listed, plural, text
from gsigpu.tables.observations import Observations

MUST_STATE = "author must state"
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
                    text(shown, tone="proved") if shown else text(MUST_STATE, tone="stated"),
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
    return "exploratory: Youden's, with interval and correction for optimism" if chosen else ""


def _methods(_: Observations, __: Results) -> str:
    return "both tracks, notes below the tables"


def _failed(observations: Observations, _: Results) -> str:
    n = sum(observations.flow.failed.values())
    return f"{plural(n, 'lesion')} failed, Flow" if n else ""


def _missing(_: Observations, results: Results) -> str:
    descriptives = results.frames.descriptives
    n = int(descriptives.loc[descriptives["track"] == "paper", "n_missing"].sum())
    return f"{plural(n, 'value')} missing and left out, counted per test in descriptives.csv"


def _multiplicity(_: Observations, results: Results) -> str:
    n = len(results.frames.pairwise)
    return "Holm within family and over all" if n else ""


def _flow(observations: Observations, _: Results) -> str:
    return "Flow" if observations.flow.analysed else ""


def _demographics(observations: Observations, _: Results) -> str:
    patients = observations.patients
    known = [
        name for name in ("age", "sex") if (patients[name].notna() & (patients[name] != "")).any()
    ]
    return f"Table One ({listed(known)})" if known else ""


def _roc(_: Observations, results: Results) -> str:
    return "ROC curves, sensitivity and specificity" if len(results.frames.roc) else ""


def _precision(_: Observations, results: Results) -> str:
    known = len(results.frames.roc) or len(results.frames.pairwise)
    return "95% intervals, patients as units" if known else ""


def _readers(_: Observations, results: Results) -> str:
    return "ICC and limits of agreement" if len(results.frames.icc) else ""


def _folds(_: Observations, results: Results) -> str:
    return (
        "combined models: cross-validation in whole patients" if len(results.frames.models) else ""
    )


def _dimensionality(observations: Observations, results: Results) -> str:
    if results.frames.models.empty:
        return ""
    n = sum(patients for patients, _ in observations.flow.analysed.values())
    return f"{plural(len(observations.parameters), 'parameter')}, {plural(n, 'patient')}"


def _calibration(_: Observations, results: Results) -> str:
    return "calibration of the combined models" if len(results.frames.calibration) else ""


def _models(_: Observations, results: Results) -> str:
    known = len(results.frames.models) and len(results.frames.roc)
    return "single parameters beside combined models" if known else ""


PROOFS: Mapping[str, Proof] = {
    "exclusions": _exclusions,
    "definitions": _definitions,
    "cutoffs": _cutoffs,
    "methods": _methods,
    "failed": _failed,
    "missing": _missing,
    "multiplicity": _multiplicity,
    "flow": _flow,
    "demographics": _demographics,
    "roc": _roc,
    "precision": _precision,
    "readers": _readers,
    "folds": _folds,
    "dimensionality": _dimensionality,
    "calibration": _calibration,
    "models": _models,
}
