"""What the columns of the files of `cohort stats` mean."""

from __future__ import annotations

import re

from gsigpu.cohort_statistics import frames

MEANINGS = {
    "track": "`paper` or `recommended`",
    "test": "the test: anova, welch, kruskal, mixed; lsd, games-howell, dunn",
    "method": "of the area: delong, obuchowski, bootstrap",
    "model": "which parameters were combined, and how",
    "form": "ICC1, ICC2, ICC3, ICC1k, ICC2k, ICC3k",
    "unit": "what was counted as independent: `lesion` or `patient`",
    "group": "the group",
    "group_a": "the first group of a pair; the positive one of an ROC curve",
    "group_b": "the second group of a pair",
    "reader_a": "the first reader", "reader_b": "the second reader",
    "parameter_a": "the first parameter", "parameter_b": "the second parameter",
    "parameters": "the parameters of a model",
    "patient_id": "the patient", "lesion_id": "the lesion",
    "direction": "which way group_a is expected: `higher` or `lower`",
    "direction_a": "the direction of the first parameter", "direction_b": "of the second",
    "statistic": "F, t, H, z or χ², by the test",
    "df": "degrees of freedom", "df1": "degrees of freedom of the numerator",
    "df2": "degrees of freedom of the denominator",
    "z": "statistic of the comparison",
    "p": "two-sided p value, before any correction but the test's own; never 0: from 2.2e-308 down it is written as that",
    "p_unadjusted": "before the test's own correction",
    "p_bonferroni": "after Bonferroni's correction within the family",
    "p_holm": "after Holm's correction within the family",
    "p_holm_all": "after Holm's correction over all tests of the track",
    "family": "the tests that `p_holm` and `p_bonferroni` count",
    "family_all": "the tests that `p_holm_all` counts",
    "effect": "effect size", "effect_name": "which effect size",
    "effect_source": "observed, or given",
    "omega_squared": "ω² of the analysis of variance",
    "difference": "first minus second", "se": "standard error",
    "mean": "mean", "sd": "standard deviation", "median": "median",
    "q1": "first quartile", "q3": "third quartile",
    "icc": "intraclass correlation", "design_effect": "how much the variance grows because lesions share patients",
    "levene_statistic": "Levene's test of equal variances",
    "brown_forsythe_statistic": "Brown and Forsythe's test of equal variances",
    "auc": "area under the ROC curve", "auc_a": "area of the first parameter", "auc_b": "of the second",
    "auc_apparent": "area on the lesions that the model was fitted to",
    "brier": "Brier score", "calibration_intercept": "intercept of the calibration",
    "calibration_slope": "slope of the calibration", "penalty_c": "inverse strength of the ridge penalty",
    "predicted": "predicted probability", "observed": "observed proportion, or share of lesions decided alike",
    "cutoff": "Youden's cut-off", "sensitivity": "at the cut-off", "specificity": "at the cut-off",
    "fpr": "false positive rate", "tpr": "true positive rate",
    "bias": "mean difference of the readers", "loa_low": "lower limit of agreement",
    "loa_high": "upper limit of agreement",
    "alpha": "level of the test", "power": "power", "target_power": "power that is aimed at",
    "detectable_effect": "smallest effect found with the target power",
    "computation": "how the row was computed, so that another program can repeat it",
    "note": "why a result is missing, or what it rests on; empty if nothing needs saying",
    "comparison": "what is compared within lesions: regions, or phases",
    "condition_a": "the first region or phase", "condition_b": "the second",
    "ratio": "first over second", "p_uncorrected": "p value before the correction for sphericity",
    "epsilon": "correction of the degrees of freedom for sphericity", "mauchly_w": "Mauchly's W",
    "source": "the lesions that the cut-off is applied to",
    "true_positive": "count", "false_negative": "count", "false_positive": "count", "true_negative": "count",
    "accuracy": "share that the cut-off decides rightly",
    "lr_positive": "likelihood ratio of a positive result", "lr_negative": "of a negative result",
    "prevalence": "share of the positive group that predictive values assume",
    "ppv": "positive predictive value", "npv": "negative predictive value",
    "threshold": "predicted probability from which one acts",
    "net_benefit": "net benefit of the model", "net_benefit_all": "net benefit of acting on everybody",
    "analysis": "which lesions, readers or definitions it rests on",
    "covariates": "what is held equal",
    "equivalence_margin": "difference of areas that does not matter, as stated beforehand",
    "p_equivalence": "of the two one-sided tests that the areas differ by less than the margin, the larger p",
    "site": "the site that is left out, and judged", "auc_elsewhere": "area of all other sites together",
    "mean_before": "of the site's lesions", "mean_after": "of the same lesions after ComBat",
    "sd_before": "of the site's lesions", "sd_after": "of the same lesions after ComBat",
    "auc_plain": "area of the same lesions without adjustment",
    "column": "the column whose levels are compared", "level": "one of its values",
    "reader": "the reader", "within_sd": "standard deviation of readings of one lesion",
    "repeatability": "what two readings of one lesion differ by at most, in 95 of 100 cases",
    "kappa": "Cohen's kappa of the two readers' decisions",
    "expected": "agreement by chance, or the value that a new study expects",
    "both_positive": "count", "both_negative": "count", "only_a": "count positive by the first reader alone",
    "only_b": "count positive by the second reader alone",
    "quantity": "what is to be known: `auc` or `icc`", "width": "of the whole interval",
    "confidence": "of the interval", "lesions_per_patient": "mean number of lesions of a patient",
    "p_smallest": "the smallest p that an exact test of so many units can reach",
}  # fmt: skip
# Columns that say by their name what they are of another one.
RULES = (
    (r"n_(?P<of>.+)_a", "number of {of}, first group"),
    (r"n_(?P<of>.+)_b", "number of {of}, second group"),
    (r"n_(?P<of>[ab])", "number of units in group {of}"),
    (r"n_(?P<of>.+)", "number of {of}"),
    (r"n", "number"),
    (r"(?P<of>.+)_needed", "{of} needed for the target power"),
    (r"(?P<of>.+)_low", "lower end of the interval of `{of}`"),
    (r"(?P<of>.+)_high", "upper end of the interval of `{of}`"),
    (r"(?P<of>.+)_p", "p value of {of}"),
    (r"(?P<of>.+)_corrected", "`{of}` without the optimism that the bootstrap finds"),
    (r"(?P<of>.+)_classical", "`{of}` of the textbook's version, to compare with other programs"),
)


def meaning(column: str) -> str:
    """What a column means; "" if nobody has said.

    >>> meaning("auc_low")
    'lower end of the interval of `auc`'
    """
    if column in MEANINGS:
        return MEANINGS[column]
    for pattern, words in RULES:
        match = re.fullmatch(pattern, column)
        if match:
            return words.format(
                **{
                    k: v.replace("_", " ") if "`" not in words else v
                    for k, v in match.groupdict().items()
                }
            )
    return ""


def frame_columns() -> dict[str, tuple[str, ...]]:
    """The columns of every frame by the name of the frame: `OMNIBUS`."""
    return {
        name.removesuffix("_COLUMNS"): getattr(frames, name)
        for name in vars(frames)
        if name.endswith("_COLUMNS")
    }


def columns_page() -> str:
    """Every frame and its columns."""
    lines = [
        "# Columns of result files", "",
        "Made from the program. Behind `track`, every file also names `phase`, `region` and `parameter` where they",
        "apply. Files hold full precision; rounding happens only where a person reads.", "",
    ]  # fmt: skip
    for name, columns in frame_columns().items():
        lines += [f"## {name.lower()}", "", "| column | what |", "|---|---|"]
        lines += [f"| `{column}` | {meaning(column)} |" for column in columns]
        lines.append("")
    return "\n".join(lines)
