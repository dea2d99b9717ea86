"""A methods paragraph to paste: what this run really did, with references. In English, as journals want it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gsigpu.cohort_statistics.groups.combat import WITHOUT_SITES
from gsigpu.report.cohort_results import Results
from gsigpu.report.table_cells import listed, parameter_name, plural, with_unit
from gsigpu.tables.observations import Observations
from gsigpu.version import __version__

Cite = Callable[[str], str]

# Volume and pages of each were looked up, at the publisher or in what two packages or papers cite (November 2026).
_REFERENCES = {
    "mixed": "Pustejovsky & Tipton, J Bus Econ Stat 2018; 36: 672-683 (CR2, Satterthwaite)",
    "games-howell": "Games & Howell, J Educ Stat 1976; 1: 113-125",
    "dunn": "Dunn, Technometrics 1964; 6: 241-252",
    "obuchowski": "Obuchowski, Biometrics 1997; 53: 567-578",
    "delong": "DeLong, DeLong & Clarke-Pearson, Biometrics 1988; 44: 837-845",
    "holm": "Holm, Scand J Stat 1979; 6: 65-70",
    "youden": "Youden, Cancer 1950; 3: 32-35",
    "hand-till": "Hand & Till, Mach Learn 2001; 45: 171-186",
    "rubin": "Rubin, Multiple Imputation for Nonresponse in Surveys, Wiley 1987",
    "janes-pepe": "Janes & Pepe, Biometrika 2009; 96: 371-382",
    "combat": "Johnson, Li & Rabinovic, Biostatistics 2007; 8: 118-127",
    "orlhac": "Orlhac, Eertink, Cottereau et al., J Nucl Med 2022; 63: 172-179 (what ComBat assumes)",
    "nygaard": "Nygaard, Rødland & Hovig, Biostatistics 2016; 17: 29-39",
    "icc": "Shrout & Fleiss, Psychol Bull 1979; 86: 420-428",
}


def methods(observations: Observations, results: Results) -> list[str]:
    """Paragraphs: data, tests between groups, areas, agreement, software; then the references used."""
    used: list[str] = []

    def cited(key: str) -> str:
        if key not in used:
            used.append(key)
        return f"[{used.index(key) + 1}]"

    paragraphs = [
        " ".join(_data(observations, results)),
        " ".join(_groups(results, cited)),
        " ".join(_areas(results, cited)),
        " ".join(_within(results)),
        " ".join(_models(results, cited)),
        " ".join(_further(results, cited)),
        " ".join(_readers(observations, results, cited)),
        " ".join(_plan(results)),
        f"Intervals have a confidence of {100 * results.settings.confidence:g}%. Statistics were computed with gsigpu {__version__}.",
    ]
    references = [f"{k}. {_REFERENCES[key]}." for k, key in enumerate(used, start=1)]
    return [paragraph for paragraph in paragraphs if paragraph] + references


def _data(observations: Observations, results: Results) -> Iterator[str]:
    analysed = observations.flow.analysed.values()
    n_lesions = sum(n for _, n in analysed)
    n_patients = sum(n for n, _ in analysed)
    names = [
        with_unit(parameter, observations.units.get(parameter, ""))
        for parameter in observations.parameters
    ]
    of_whom = f" in {plural(n_patients, 'patient')}" if results.has_values else ""
    yield f"{plural(n_lesions, 'lesion')}{of_whom} of {len(observations.groups)} groups ({listed(list(observations.groups))}) were analysed."
    phases = [phase for phase in observations.phases if phase]
    when = f" in the {listed(phases)} phase{'s' if len(phases) > 1 else ''}" if phases else ""
    yield f"{listed(names)} were compared in {listed(list(observations.regions))}{when}."
    if len(observations.readers) > 1:
        yield f"Values are of {plural(len(observations.readers), 'reader')}; the means of what all of them measured were tested."


def _tests(results: Results) -> set[str]:
    return {*results.frames.omnibus["test"], *results.frames.pairwise["test"]}


def _groups(results: Results, cite: Cite) -> Iterator[str]:
    tests = _tests(results)
    if "mixed" in tests:
        yield (
            "Groups were compared by a linear mixed model with a random intercept per patient: means by restricted maximum "
            f"likelihood, cluster-robust variances (CR2) and Satterthwaite degrees of freedom {cite('mixed')}."
        )
    if "welch" in tests:
        unit = "patients' means" if results.has_values else "the published means"
        yield f"Welch's ANOVA and Games-Howell tests {cite('games-howell')} of {unit} stand beside it."
    if "kruskal" in tests:
        yield f"Kruskal-Wallis and Dunn tests {cite('dunn')} of patients' means were added."
    if {"anova", "lsd"} & tests:
        yield (
            "For comparison with earlier work, lesions were also compared as if independent, by one-way ANOVA, least significant "
            "differences and Bonferroni's correction; these results are labelled paper-compatible."
        )
    if tests:
        yield f"P values were adjusted after Holm {cite('holm')}, within each family of pairs and over all tests of a track."


def _areas(results: Results, cite: Cite) -> Iterator[str]:
    methods_used = set(results.frames.roc["method"]) if len(results.frames.roc) else set()
    if "obuchowski" in methods_used:
        yield f"Areas under ROC curves were estimated with variances for lesions clustered in patients {cite('obuchowski')}."
    if "delong" in methods_used:
        yield f"Areas with independent lesions follow DeLong {cite('delong')}."
    if len(results.frames.roc) and results.frames.roc["cutoff"].notna().any():
        yield (
            f"Cut-offs maximise Youden's index {cite('youden')}; their intervals and the optimism of sensitivity and specificity come from "
            f"{results.settings.replicates:,} bootstrap samples of patients (seed {results.settings.seed})."
        )
    declared = {
        *results.settings.directions,
        *(parameter for parameter, _, _ in results.settings.pair_directions),
    }
    if len(results.frames.roc):
        yield (
            f"The direction of {listed([parameter_name(parameter) for parameter in sorted(declared)])} was declared beforehand."
            if declared
            else "No direction was declared beforehand."
        )


def _readers(observations: Observations, results: Results, cite: Cite) -> Iterator[str]:
    if len(results.frames.icc):
        yield f"Agreement of {plural(len(observations.readers), 'reader')} is given as intraclass correlation {cite('icc')} and limits of agreement."


def _within(results: Results) -> Iterator[str]:
    frame = results.frames.within
    tests = set(frame["test"]) if len(frame) else set()
    if any(str(test).startswith("mixed") for test in tests):
        yield (
            "Regions of one lesion, and phases of one region, were compared within lesions by a linear mixed model with random "
            "intercepts of patients and lesions and cluster-robust variances."
        )
    if {"paired-t", "rm-anova"} & tests:
        yield "Paired t tests and repeated-measures ANOVA of the same values are labelled paper-compatible."


def _models(results: Results, cite: Cite) -> Iterator[str]:
    frame = results.frames.models
    if len(frame):
        names = {
            "multinomial": "multinomial models of all groups",
            "logistic": "logistic models of pairs of groups",
        }
        used = [words for model, words in names.items() if model in set(frame["model"])]
        yield (
            f"Parameters were combined in {listed(used)}, judged on patients whom they had not seen, by "
            "cross-validation in whole patients."
        )
    if len(results.frames.multiclass):
        yield f"The mean area of all pairs of groups is Hand and Till's {cite('hand-till')}."
    if len(results.frames.decision_curve):
        yield f"Net benefit was computed for a prevalence of {results.settings.prevalence:g}."


def _further(results: Results, cite: Cite) -> Iterator[str]:
    settings, frames = results.settings, results.frames
    held = listed([name.replace("_", " ") for name in settings.covariates])
    if len(frames.adjusted):
        yield f"Further tests held {held} equal, in lesions with all of these known."
        if frames.adjusted["test"].astype(str).str.startswith("adjusted-imputed").any():
            yield f"They were repeated with missing covariates imputed, pooled by Rubin's rules {cite('rubin')}."
    if len(frames.adjusted_roc):
        yield f"Areas were adjusted for {held} {cite('janes-pepe')}."
    if len(frames.subgroups):
        yield f"The primary test was repeated in subgroups by {settings.subgroups.replace('_', ' ')}, with a test of interaction."
    if len(frames.sites):
        yield f"Each {settings.site.replace('_', ' ')} was judged by the cut-offs of all others."
    if frames.sensitivity["analysis"].eq(WITHOUT_SITES).any():
        yield (
            f"The primary test was repeated on values from which ComBat {cite('combat')}, {cite('orlhac')} had taken the effects of "
            f"{settings.site.replace('_', ' ')}, groups kept; such a test does not know that they were estimated {cite('nygaard')}."
        )
    if len(frames.sensitivity):
        n = frames.sensitivity["analysis"].nunique()
        yield f"The primary test was repeated in {plural(n, 'sensitivity analysis', 'sensitivity analyses')}."


def _plan(results: Results) -> Iterator[str]:
    plan = results.settings.plan
    if plan is not None:
        families = listed([f"“{family.name}”" for family in plan.families])
        yield (
            f"Tests of {families} were planned in a file that states the date {plan.date} (SHA-256 {plan.sha256}) and are "
            "adjusted after Holm within each of these families; all other results are exploratory."
        )
