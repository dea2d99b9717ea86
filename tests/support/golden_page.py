"""docs/explanation/golden.md: every statistic beside the program that it is held to, and how far the two differ.

`python -m tests.support.golden_page` writes the page; a test computes it again. Deviations are relative, or absolute below 1,
and printed as the power of ten that they stay below: the last digits depend on the processor.
"""

import json
from collections.abc import Iterator

import numpy as np
import pandas as pd

from gsigpu.cohort_statistics.groups.adjusted import adjusted_area, adjusted_tests
from gsigpu.cohort_statistics.groups.group_frames import group_tests
from gsigpu.cohort_statistics.groups.imputed import pooled
from gsigpu.cohort_statistics.groups.subgroups import subgroup_tests
from gsigpu.cohort_statistics.readers.all_ratings import icc_of_all_ratings
from gsigpu.cohort_statistics.readers.intraclass import intraclass_correlation
from gsigpu.cohort_statistics.readers.kappa import decision_kappa
from gsigpu.cohort_statistics.readers.multireader import compare_over_readers
from gsigpu.cohort_statistics.readers.repeatability import repeatability
from gsigpu.cohort_statistics.roc.area_estimate import difference
from gsigpu.cohort_statistics.roc.clustered import clustered_areas
from gsigpu.cohort_statistics.roc.combined_models import calibration
from gsigpu.cohort_statistics.roc.curve import area, youden
from gsigpu.cohort_statistics.roc.decision_curve import decision_curve
from gsigpu.cohort_statistics.roc.decisions import decision_at
from gsigpu.cohort_statistics.roc.delong import delong, delong_paired
from gsigpu.cohort_statistics.roc.equivalence import equivalence
from gsigpu.cohort_statistics.roc.leave_one_site_out import leave_one_site_out
from gsigpu.cohort_statistics.roc.multiclass import hand_till
from gsigpu.cohort_statistics.roc.roc_settings import RocSettings
from gsigpu.cohort_statistics.within.repeated_measures import paired_t, repeated_measures
from gsigpu.cohort_statistics.within.within_frames import within_tests
from tests.support.places import GOLDEN, ROOT

PAGE = ROOT / "docs" / "explanation" / "golden.md"
FLOOR = 1e-14  # below this two numbers are one

Row = tuple[str, str, float, int]


def compared(ours, theirs) -> tuple[float, int]:
    """Largest deviation, and how many numbers were compared."""
    a, b = (np.atleast_1d(np.asarray(side, float)).ravel() for side in (ours, theirs))
    assert a.shape == b.shape, (a.shape, b.shape)
    return float((np.abs(a - b) / np.maximum(np.abs(b), 1.0)).max()), a.size


def loaded(name):
    return json.loads((GOLDEN / f"{name}.json").read_text("utf-8"))


def merged(name: str, oracle: str, parts) -> Row:
    deviations = [compared(*part) for part in parts]
    return name, oracle, max(gap for gap, _ in deviations), sum(n for _, n in deviations)


def between_groups() -> Iterator[Row]:
    cases = loaded("group_tests")["cases"]
    parts = {
        name: []
        for name in ("anova", "lsd", "welch", "howell", "kruskal", "dunn", "mixed", "classical")
    }
    for case in cases.values():
        patients = case.get("patients", list(range(len(case["values"]))))
        order = list(dict.fromkeys(case["groups"]))
        tests = group_tests(case["values"], case["groups"], patients, order=order)
        omnibus = tests.omnibus.set_index("test")
        pairs = dict(tuple(tests.pairwise.groupby("test")))
        lesions, means = case["lesions"], case.get("patient_means", case["lesions"])
        anova = omnibus.loc["anova"]
        parts["anova"].append(
            ([anova["statistic"], anova["p"]], [lesions["anova"][k] for k in ("f", "p")])
        )
        parts["lsd"] += [
            (pairs["lsd"][c], lesions["lsd"][k])
            for c, k in (("p", "p"), ("ci_low", "low"), ("p_holm", "holm"))
        ]
        welch = omnibus.loc["welch"]
        parts["welch"].append(
            (
                [welch["statistic"], welch["df2"], welch["p"]],
                [means["welch"]["f"], means["welch"]["df"][1], means["welch"]["p"]],
            )
        )
        howell = means["games_howell"]
        parts["howell"] += [
            (pairs["games-howell"]["df"], howell["df"]),
            (pairs["games-howell"]["p_unadjusted"], howell["welch_t_p"]),
        ]
        kruskal = omnibus.loc["kruskal"]
        parts["kruskal"].append(
            ([kruskal["statistic"], kruskal["p"]], [means["kruskal"]["h"], means["kruskal"]["p"]])
        )
        parts["dunn"] += [
            (pairs["dunn"][c], means["dunn"][k])
            for c, k in (("statistic", "z"), ("p_holm", "holm"))
        ]
        if "robust" in case:
            robust, row = case["robust"], omnibus.loc["mixed"]
            parts["mixed"] += [
                (
                    [row["statistic"], row["df2"], row["p"]],
                    [robust["f"], robust["df2"], robust["p"]],
                ),
                (pairs["mixed"]["difference"], case["mixed"]["difference"]),
                (pairs["mixed"]["p"], robust["pair_p"]),
            ]
    for name in ("five_clustered", "three_small"):
        case = cases[name]
        order = list(dict.fromkeys(case["groups"]))
        tests = group_tests(case["values"], case["groups"], case["patients"], order=order)
        mixed = tests.pairwise[tests.pairwise["test"] == "mixed"]
        r = case["mixed"]
        parts["classical"].append(
            (mixed["statistic_classical"], np.divide(r["difference"], r["difference_se"]))
        )
        parts["classical"].append((mixed["df_classical"], r["satterthwaite"]))
    yield merged("one-way ANOVA", "R `aov`", parts["anova"])
    yield merged("LSD with intervals, Holm", "R `pairwise.t.test`", parts["lsd"])
    yield merged("Welch's ANOVA of patients' means", "R `oneway.test`", parts["welch"])
    yield merged("Games-Howell: df, Welch's t", "R `t.test`", parts["howell"])
    yield merged("Kruskal-Wallis", "R `kruskal.test`", parts["kruskal"])
    yield merged("Dunn, Holm", "R, written out", parts["dunn"])
    yield merged("mixed model, CR2, Satterthwaite", "lme4; CR2 in matrices in R", parts["mixed"])
    yield merged("mixed model of the textbook", "lmerTest", parts["classical"])


def with_covariates() -> Iterator[Row]:
    r = loaded("adjusted")
    rows = pd.DataFrame(r["rows"])
    frame = adjusted_tests(
        rows["value"],
        rows["group"],
        rows["patient"],
        rows[["age", "site", "size"]],
        order=["a", "b", "c"],
    )
    overall, pairs = frame.iloc[0], frame[frame["test"] == "adjusted"]
    yield merged(
        "mixed model with covariates, HTZ", "lme4, clubSandwich",
        [([overall[c] for c in ("statistic", "df2", "p")], [r[k] for k in ("f", "df2", "p")]),
         (pairs["difference"], r["pairs"]["difference"]), (pairs["ci_low"], r["pairs"]["low"])],
    )  # fmt: skip
    a, b = (rows[rows["group"] == name] for name in "ab")
    ours = adjusted_area(
        a["value"], b["value"], a["patient"], b["patient"], a[["age", "size"]], b[["age", "size"]]
    )
    yield merged("adjusted area", "R `lm`, pROC", [(ours.auc, r["adjusted_area"])])


def within_lesions() -> Iterator[Row]:
    parts = []
    for case in loaded("within")["mixed"].values():
        rows = pd.DataFrame(case["rows"])
        frame = within_tests(
            rows["value"], rows["lesion"], rows["patient"], rows["condition"],
            order=["core", "rim", "parenchyma"], comparison="region",
        )  # fmt: skip
        pairs, overall = (
            frame[frame["test"] == "mixed"],
            frame.set_index("test").loc["mixed-overall"],
        )
        parts += [
            (pairs["difference"], case["difference"]),
            (pairs["df2"], case["df"]),
            (pairs["ci_low"], case["low"]),
        ]
        parts.append(([overall["statistic"], overall["df2"]], [case["f"], case["df2"]]))
    yield merged("regions within lesions: CR2, HTZ", "lme4, clubSandwich", parts)


def areas() -> Iterator[Row]:
    r = loaded("roc")
    single = r["single"].values()
    estimates = [(case, delong(case["positive"], case["negative"])) for case in single]
    yield merged("area, DeLong's variance and interval", "pROC", [
        ([e.auc, e.se**2, e.ci_low, e.ci_high], [c["auc"], c["variance"], *c["ci"]]) for c, e in estimates
    ])  # fmt: skip
    cuts = [(c["youden"], youden(c["positive"], c["negative"])) for c in single]
    yield merged("Youden's cut-off", "pROC", [
        ([cut.cutoff, cut.sensitivity, cut.specificity], [y[k] for k in ("cutoff", "sensitivity", "specificity")])
        for y, cut in cuts
    ])  # fmt: skip
    paired = [
        (
            c,
            delong_paired(
                *(c[k] for k in ("positive_a", "negative_a", "positive_b", "negative_b"))
            ),
        )
        for c in r["paired"].values()
    ]
    yield merged(
        "paired areas, DeLong", "pROC", [([d.z, d.p], [c["z"], c["p"]]) for c, d in paired]
    )
    parts = []
    for case in r["clustered"].values():
        values, positive = np.asarray(case["values"], float), np.asarray(case["positive"], bool)
        patient = np.asarray(case["patient"])
        ours = clustered_areas(
            values[:, positive], values[:, ~positive], patient[positive], patient[~positive]
        )
        parts += [(ours.auc, case["auc"]), (ours.covariance(), case["covariance"])]
    yield merged("clustered areas, Obuchowski", "R, a literal double loop", parts)
    c = r["calibration"]
    yield merged(
        "calibration",
        "R `glm`",
        [(calibration(c["predicted"], c["happened"])[:2], [c["intercept"], c["slope"]])],
    )


def decided() -> Iterator[Row]:
    r = loaded("decisions")
    rows = pd.DataFrame(r["rows"])
    a, b, c = (rows[rows["group"] == name] for name in "abc")
    names = ("lr_positive", "lr_negative", "ppv", "npv")
    parts = []
    for case in r["decisions"]:
        ours = decision_at(
            a["value"],
            b["value"],
            a["patient"],
            b["patient"],
            cutoff=case["cutoff"],
            prevalence=case["prevalence"],
        )
        parts.append(
            (
                [ours.sensitivity, ours.specificity, ours.accuracy],
                [case[k] for k in ("se", "sp", "accuracy")],
            )
        )
        parts += [
            (
                [getattr(ours, n), getattr(ours, f"{n}_low"), getattr(ours, f"{n}_high")],
                [case[n], case[f"{n}_low"], case[f"{n}_high"]],
            )
            for n in names
        ]
    yield merged("decisions at a cut-off with intervals", "epiR, clubSandwich", parts)
    ways = {
        (p, q): "higher" if area(x["value"], y["value"]) >= 0.5 else "lower"
        for (p, x), (q, y) in ((("a", a), ("b", b)), (("a", a), ("c", c)), (("b", b), ("c", c)))
    }
    settings = RocSettings(pair_directions=ways)
    mean = hand_till(rows["value"], rows["group"], rows["patient"], order="abc", settings=settings)
    yield merged("Hand and Till's area", "pROC `multiclass.roc`", [(mean.auc, r["hand_till"])])
    positive = (rows["group"] == "a").to_numpy()
    curve = decision_curve(
        1 / (1 + np.exp(-rows["value"].to_numpy(float))), positive, rows["patient"],
        prevalence=positive.mean(), thresholds=r["curve"]["thresholds"],
    )  # fmt: skip
    yield merged(
        "net benefit", "R, counted out", [(curve["net_benefit"], r["curve"]["net_benefit"])]
    )
    values = np.array(r["tost"]["values"])
    gap = difference(
        0.8 + values.mean(), 0.8, values.var(ddof=1) / values.size, df=values.size - 1.0
    )
    tost = equivalence(gap, margin=r["tost"]["margin"])
    yield merged(
        "equivalence, two one-sided tests", "R `t.test`",
        [([tost.p_lower, tost.p_upper, tost.ci_low, tost.ci_high], [r["tost"]["lower"], r["tost"]["upper"], *r["tost"]["ci"]])],
    )  # fmt: skip


def of_readers() -> Iterator[Row]:
    parts = [
        ([[f.icc, f.ci_low, f.ci_high, f.p] for f in intraclass_correlation(case["ratings"])],
         np.transpose([case[k] for k in ("icc", "low", "high", "p")]))
        for case in loaded("group_tests")["icc"].values()
    ]  # fmt: skip
    yield merged("ICC, six forms with intervals", "psych", parts)
    r = loaded("readers")
    rows = pd.DataFrame(r["ratings"]["rows"])
    icc = icc_of_all_ratings(rows["value"], rows["lesion"], rows["patient"], rows["reader"])
    yield merged(
        "ICC of incomplete ratings", "lme4",
        [([icc.consistency, icc.agreement], [r["ratings"]["consistency"], r["ratings"]["agreement"]])],
    )  # fmt: skip
    values = np.array(r["kappa"]["values"])
    kappa = decision_kappa(*values.T, np.arange(len(values)), cutoff=r["kappa"]["cutoff"])
    yield merged("kappa at a cut-off", "psych", [(kappa.kappa, r["kappa"]["kappa"])])


def repeated() -> Iterator[Row]:
    """The source study's tests within lesions, on published data."""
    r = loaded("within")
    parts = []
    names = ("f", "df1", "df2", "p", "epsilon", "p_corrected", "mauchly_w")
    for case in r["anova"].values():
        values = np.array(case["values"], float)
        groups = pd.factorize(np.array(case["groups"]))[0] if "groups" in case else None
        tests = {"condition": repeated_measures(values, groups)}
        if groups is not None:
            tests["interaction"] = repeated_measures(values, groups, interaction=True)
        parts += [
            ([getattr(test, name) for name in names],
             [case[kind]["w" if name == "mauchly_w" else name] for name in names])
            for kind, test in tests.items()
        ]  # fmt: skip
    yield merged("repeated-measures ANOVA of O'Brien and Kaiser's data", "car `Anova`", parts)
    sleep = r["sleep"]
    test = paired_t(np.array(sleep["first"]), np.array(sleep["second"]))
    yield merged(
        "paired t of Student's sleep data", "R `t.test`",
        [([test.difference, test.t, test.p, test.ci_low, test.ci_high],
          [sleep[name] for name in ("difference", "t", "p", "low", "high")])],
    )  # fmt: skip


def further() -> Iterator[Row]:
    r = loaded("further")
    rows = pd.DataFrame(r["subgroups"]["rows"])
    data = (rows["value"], rows["group"], rows["patient"], rows["level"])
    row = subgroup_tests(*data, order="abc", column="level").iloc[0]
    names = ("f", "df1", "df2", "p")
    yield merged(
        "groups by subgroups, HTZ", "lme4, clubSandwich",
        [([row[name] for name in ("statistic", *names[1:])], [r["subgroups"][name] for name in names])],
    )  # fmt: skip
    pair = rows[rows["group"] != "c"]
    settings = RocSettings(pair_directions={("b", "a"): "higher"})
    sites = leave_one_site_out(
        pair["value"], pair["group"], pair["patient"], pair["level"], order="ba", settings=settings
    )
    columns = ("cutoff", "auc_elsewhere", "auc", "sensitivity", "specificity")
    yield merged(
        "a site by the cut-off of the others", "pROC `coords`",
        [(row[list(columns)], [case["elsewhere" if name == "auc_elsewhere" else name] for name in columns])
         for (_, row), case in zip(sites.iterrows(), r["sites"], strict=True)],
    )  # fmt: skip
    repeats = r["repeats"]
    lesion = list(map(str, repeats["lesion"]))
    row = repeatability(repeats["value"], lesion, lesion, ["r"] * len(lesion)).iloc[0]
    names = ("within_sd", "repeatability", "icc")
    yield merged(
        "repeatability", "R `anova`",
        [([row[name] for name in names], [repeats[name] for name in names])],
    )  # fmt: skip
    readers = r["readers"]
    truth = np.array(readers["truth"], bool)
    values = np.array([readers["first"], readers["second"]], float).transpose(0, 2, 1)
    lesions = np.arange(truth.size)
    test = compare_over_readers(
        values[:, :, truth], values[:, :, ~truth], lesions[truth], lesions[~truth]
    )
    yield merged(
        "areas over readers, Obuchowski and Rockette", "pROC `cov`, written out in R",
        [([test.auc_a, test.auc_b, test.f, test.df2, test.p],
          [*readers["auc"], readers["f"], readers["df2"], readers["p"]])],
    )  # fmt: skip
    imputation = r["imputed"]
    estimate, error, df = pooled(
        imputation["estimates"], np.sqrt(imputation["variances"]), imputation["df"]
    )
    yield merged(
        "Rubin's rules, Barnard and Rubin's df", "mice `pool.scalar`",
        [([estimate, error**2, df], [imputation[name] for name in ("estimate", "variance", "pooled_df")])],
    )  # fmt: skip


def rows_of_page() -> list[Row]:
    """Every statistic: its name, oracle, largest deviation, and how many numbers were compared."""
    kinds = (
        between_groups, with_covariates, within_lesions, repeated, areas, decided,
        of_readers, further,
    )  # fmt: skip
    return [row for kind in kinds for row in kind()]


def power_above(deviation: float) -> int:
    """The power of ten that the deviation stays below, with a factor of ten to spare for other processors."""
    return int(np.ceil(np.log10(max(deviation, FLOOR)))) + 1


def page(rows: list[Row]) -> str:
    """The page as text."""
    lines = [
        "# Golden numbers", "",
        "Every statistic beside an independent program or a published table, on data that stand in `tests/golden/` with",
        "the R code that made the numbers. Made by `python -m tests.support.golden_page`; a test computes it again.", "",
        "| statistic | held to | numbers | largest deviation below |", "|---|---|---:|---:|",
        *(f"| {name} | {oracle} | {n} | 1e{power_above(gap)} |" for name, oracle, gap, n in rows), "",
        "Relative deviation, absolute where the number is below 1. Searches end at a tolerance: the mixed models' variances",
        "agree with lme4's to about 1e-6, and lmerTest's degrees of freedom come from numerical derivatives.", "",
        "Where no program computes the same thing, simulation says whether a test holds its level: see",
        "[statistics](statistics.md), and `bench/results/honesty_extended.md` for tests within lesions, covariates, subgroups,",
        "readers and cut-offs. Published examples: Obuchowski 1997, Shrout and Fleiss 1979, Bland and Altman 1986 and 1996,",
        "O'Brien and Kaiser 1985, Student 1908.", "",
    ]  # fmt: skip
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(rows_of_page()), "utf-8")
