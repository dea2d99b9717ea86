"""A methods paragraph to paste: what this run really did, with references. In English, as journals want it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pandas as pd

from gsigpu.cohort_statistics.frames import SAME_LESIONS
from gsigpu.cohort_statistics.groups.combat import WITHOUT_SITES
from gsigpu.cohort_statistics.groups.sensitivity import PRIMARY
from gsigpu.report.cohort_results import Results
from gsigpu.report.table_cells import listed, parameter_name, plural, with_unit
from gsigpu.tables.observations import Observations
from gsigpu.version import __version__

Cite = Callable[[str], str]
_TEST_NAMES = {
    "mixed": "the mixed model", "welch": "Welch's ANOVA", "games-howell": "Games-Howell tests",
    "kruskal": "the Kruskal-Wallis test", "dunn": "Dunn tests",
}  # fmt: skip

# Volume and pages of each were looked up, at the publisher or in what two packages or papers cite (November 2026);
# of `binormal`, `rockette` and `hillis` no stored page could be found that says them.
_REFERENCES = {
    "mixed": "Pustejovsky & Tipton, J Bus Econ Stat 2018; 36: 672-683 (CR2, Satterthwaite)",
    "games-howell": "Games & Howell, J Educ Stat 1976; 1: 113-125",
    "dunn": "Dunn, Technometrics 1964; 6: 241-252",
    "obuchowski": "Obuchowski, Biometrics 1997; 53: 567-578",
    "delong": "DeLong, DeLong & Clarke-Pearson, Biometrics 1988; 44: 837-845",
    "binormal": "Reiser & Guttman, Technometrics 1986; 28: 253-257",
    "rockette": "Obuchowski & Rockette, Commun Stat Simul Comput 1995; 24: 285-308",
    "hillis": "Hillis, Stat Med 2007; 26: 596-619",
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
    regions = [region for region in observations.regions if region]
    where = f" in {listed(regions)}" if regions else ""
    verb = "were" if len(names) > 1 else "was"
    compared = listed(names)
    yield f"{compared[0].upper() if compared[0].isascii() else compared[0]}{compared[1:]} {verb} compared{where}{when}."
    yield from _whose(observations)


def _whose(observations: Observations) -> Iterator[str]:
    if len(observations.readers) < 2:
        return
    tested, of = observations.readers_tested, plural(len(observations.readers), "reader")
    if len(tested) == 1:
        yield f"Of {of}, the values of {tested[0]} were tested."
    elif len(tested) < len(observations.readers):
        yield f"Of {of}, the means of {listed(list(tested))}, who measured all or nearly all, were tested."
    else:
        yield f"Values are of {of}; the means of what all of them measured were tested."


def _tests(results: Results) -> set[str]:
    """Those that gave a p anywhere: what could not be tested was not done."""
    frames = results.frames.omnibus, results.frames.pairwise
    return {str(test) for frame in frames for test in frame.loc[frame["p"].notna(), "test"]}


def _impossible(results: Results, tests: set[str]) -> Iterator[str]:
    present = {*results.frames.omnibus["test"], *results.frames.pairwise["test"]}
    names = [name for test, name in _TEST_NAMES.items() if test in present - tests]
    if names:
        yield f"Too few patients were there for {listed(names)}."


def _groups(results: Results, cite: Cite) -> Iterator[str]:
    tests = _tests(results)
    if "mixed" in tests:
        yield (
            "Groups were compared by a linear mixed model with a random intercept per patient: means by restricted maximum "
            f"likelihood, cluster-robust variances (CR2), t tests of pairs with Satterthwaite degrees of freedom {cite('mixed')}, and "
            "Welch's F of these means for all groups together."
        )
    if "welch" in tests or "games-howell" in tests:
        unit = "patients' means" if results.has_values else "the published means"
        beside = "stand beside it" if "mixed" in tests else "were made"
        yield f"Welch's ANOVA and Games-Howell tests {cite('games-howell')} of {unit} {beside}."
    if "kruskal" in tests or "dunn" in tests:
        yield f"Kruskal-Wallis and Dunn tests {cite('dunn')} of patients' means were added."
    if {"anova", "lsd"} & tests:
        yield (
            "For comparison with earlier work, lesions were also compared as if independent, by one-way ANOVA, least significant "
            "differences and Bonferroni's correction; these results are labelled paper-compatible."
        )
    yield from _impossible(results, tests)
    if tests:
        yield f"P values were adjusted after Holm {cite('holm')}, within each family of pairs and over all tests of a track."


def _areas(results: Results, cite: Cite) -> Iterator[str]:
    roc = results.frames.roc
    methods_used = set(roc.loc[roc["ci_low"].notna(), "method"]) if len(roc) else set()
    if "obuchowski" in methods_used:
        yield f"Areas under ROC curves were estimated with variances for lesions clustered in patients {cite('obuchowski')}."
    elif len(roc) and roc["auc"].notna().any() and "binormal" not in methods_used:
        yield "Areas under ROC curves have no interval: a group has one patient."
    if "delong" in set(roc.loc[roc["track"] == "paper", "method"]) & methods_used:
        yield f"For comparison, areas were also estimated as if lesions were independent {cite('delong')}."
    if "binormal" in methods_used:
        yield f"Areas under ROC curves follow from the means and standard deviations of normal distributions {cite('binormal')}."
    if len(roc) and roc["cutoff"].notna().any():
        yield f"Cut-offs maximise Youden's index {cite('youden')}."
        if roc["cutoff_low"].notna().any():
            yield (
                "Their intervals and the optimism of sensitivity and specificity come from "
                f"{results.settings.replicates:,} bootstrap samples of patients (seed {results.settings.seed})."
            )
    yield from _uses_of_cutoffs(results)
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


def _uses_of_cutoffs(results: Results) -> Iterator[str]:
    settings, frames = results.settings, results.frames
    if _computed(frames.against_rest, "auc"):
        yield "Each group was also compared with all others together."
    judged = frames.decisions[frames.decisions["sensitivity"].notna()]
    sources = set(judged["source"]) - {SAME_LESIONS}
    if sources:
        yield f"Cut-offs of another study ({listed(sorted(map(str, sources)))}) were applied as they are."
    if settings.prevalence is not None and _computed(judged, "ppv"):
        yield f"Predictive values are for a prevalence of {settings.prevalence:g}."
    if _computed(frames.roc_comparisons, "p_equivalence"):
        yield (
            "Areas of two parameters were tested for equivalence by two one-sided tests with a margin of "
            f"{settings.equivalence_margin:g}."
        )


def _readers(observations: Observations, results: Results, cite: Cite) -> Iterator[str]:
    if len(results.frames.icc):
        yield f"Agreement of {plural(len(observations.readers), 'reader')} is given as intraclass correlation {cite('icc')} and limits of agreement."
    if len(results.frames.kappa):
        yield "Agreement of decisions at a cut-off is Cohen's kappa, patients as units."
    if results.frames.reader_comparisons["p"].notna().any():
        yield f"Areas of two parameters were compared over readers and lesions {cite('rockette')}, {cite('hillis')}."
    if len(results.frames.repeatability):
        yield "Readers who measured again entered the tests with their first reading; all readings gave the repeatability."


def _within(results: Results) -> Iterator[str]:
    frame = results.frames.within
    if not len(frame):
        return
    tested = frame[frame["p"].notna()]
    tests, what = set(tested["test"]), set(tested["comparison"])
    compared = {"region": "Regions of one lesion", "phase": "phases of one region"}
    named = " and ".join(words for name, words in compared.items() if name in what)
    if any(str(test).startswith("mixed") for test in tests):
        yield (
            f"{named[0].upper()}{named[1:]} were compared within lesions by a linear mixed model with random "
            "intercepts of patients and lesions and cluster-robust variances."
        )
    if {"paired-t", "rm-anova"} & tests:
        yield "Paired t tests and repeated-measures ANOVA of the same values are labelled paper-compatible."


def _models(results: Results, cite: Cite) -> Iterator[str]:
    frame = results.frames.models
    if frame["auc"].notna().any():
        names = {
            "multinomial": "multinomial models of all groups",
            "logistic": "logistic models of pairs of groups",
        }
        used = [
            words
            for model, words in names.items()
            if model in set(frame.loc[frame["auc"].notna(), "model"])
        ]
        yield (
            f"Parameters were combined in {listed(used)}, judged on patients whom they had not seen, by "
            "cross-validation in whole patients."
        )
    if _computed(results.frames.multiclass, "auc"):
        yield f"The mean area of all pairs of groups is Hand and Till's {cite('hand-till')}."
    if _computed(results.frames.decision_curve, "net_benefit"):
        yield f"Net benefit was computed for a prevalence of {results.settings.prevalence:g}."


def _further(results: Results, cite: Cite) -> Iterator[str]:
    settings, frames = results.settings, results.frames
    held = listed([name.replace("_", " ") for name in settings.covariates])
    if _computed(frames.adjusted, "p"):
        yield f"Further tests held {held} equal, in lesions with all of these known."
        is_imputed = frames.adjusted["test"].astype(str).str.startswith("adjusted-imputed")
        if _computed(frames.adjusted[is_imputed], "p"):
            yield f"They were repeated with missing covariates imputed, pooled by Rubin's rules {cite('rubin')}."
    if _computed(frames.adjusted_roc, "auc"):
        yield f"Areas were adjusted for {held} {cite('janes-pepe')}."
    if _computed(frames.subgroups, "p"):
        is_interaction = frames.subgroups["test"] == "mixed-interaction"
        names = [name for name in dict.fromkeys(frames.subgroups["level"]) if name]
        by = f"{settings.subgroups.replace('_', ' ')} ({listed(names)})"
        interaction = (
            ", with a test of interaction"
            if _computed(frames.subgroups[is_interaction], "p")
            else "; their interaction could not be tested"
        )
        yield f"The primary test was repeated in subgroups by {by}{interaction}."
    if _computed(frames.sites, "sensitivity"):
        yield f"Each {settings.site.replace('_', ' ')} was judged by the cut-offs of all others."
    without_sites = frames.sensitivity["analysis"] == WITHOUT_SITES
    if _computed(frames.sensitivity[without_sites], "p"):
        yield (
            f"The primary test was repeated on values from which ComBat {cite('combat')}, {cite('orlhac')} had taken the effects of "
            f"{settings.site.replace('_', ' ')}, groups kept; such a test does not know that they were estimated {cite('nygaard')}."
        )
    yield from _repeated(frames.sensitivity)


def _repeated(sensitivity: pd.DataFrame) -> Iterator[str]:
    """How often the primary test was repeated: an analysis that gave no p anywhere was not done."""
    others = sensitivity[sensitivity["analysis"] != PRIMARY]
    done = others.loc[others["p"].notna(), "analysis"].nunique()
    failed = others["analysis"].nunique() - done
    if done:
        yield f"The primary test was repeated in {plural(done, 'sensitivity analysis', 'sensitivity analyses')}."
    if failed:
        yield f"{plural(failed, 'sensitivity analysis', 'sensitivity analyses')} could not be computed."


def _computed(frame: pd.DataFrame, column: str) -> bool:
    """Whether any row has this number: what could not be computed was not done."""
    return bool(frame[column].notna().any())


def _plan(results: Results) -> Iterator[str]:
    plan = results.settings.plan
    if plan is not None:
        families = listed([f"“{family.name}”" for family in plan.families])
        yield (
            f"Tests of {families} were planned in a file that states the date {plan.date} (SHA-256 {plan.sha256}) and are "
            "adjusted after Holm within each of these families; all other results are exploratory."
        )
