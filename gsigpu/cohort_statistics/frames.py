"""The columns of every frame of the statistics, beside what their rows are.

Every frame opens with `track`; `labelled` puts `phase, region, parameter` behind it. One
call handles one member of the family (one phase, region and parameter; one reader, or the mean over
readers); the caller loops, concatenates, and ends with `multiplicity.adjust_over_all`.

`unit` says what was counted as independent: `lesion` (paper track) or `patient`. `note` says in words
why a result is missing, or on what it rests; it is empty where nothing needs saying.
"""

from __future__ import annotations

import pandas as pd

# Which track a test of groups belongs to, and what it counts as independent.
TRACK_AND_UNIT = {
    "anova": ("paper", "lesion"),
    "lsd": ("paper", "lesion"),
    "mixed": ("recommended", "patient"),
    "welch": ("recommended", "patient"),
    "games-howell": ("recommended", "patient"),
    "kruskal": ("recommended", "patient"),
    "dunn": ("recommended", "patient"),
    "paired-t": ("paper", "lesion"),
    "rm-anova": ("paper", "lesion"),
    "rm-anova-interaction": ("paper", "lesion"),
    "mixed-overall": ("recommended", "patient"),
    "mixed-in-group": ("recommended", "patient"),
    "mixed-interaction": ("recommended", "patient"),
}

# Of areas: `method` of their rows.
METHODS = ("delong", "obuchowski", "bootstrap")

_NESTED = "random intercepts per patient and lesion: REML means, cluster-robust variances (CR2)"
# What each test is, in words.
COMPUTATION = {
    "anova": "one-way ANOVA of lesions",
    "lsd": "t test of lesions, mean square pooled over all groups",
    "mixed": (
        "random intercept per patient: REML means, cluster-robust variances (CR2); pairs by t with "
        "Satterthwaite degrees of freedom, all groups by Welch's F of these means; gsigpu"
    ),
    "welch": "Welch's ANOVA of patients' means",
    "games-howell": "Games-Howell of patients' means, studentized range",
    "kruskal": "Kruskal-Wallis of patients' means, chi-squared approximation, ties corrected",
    "dunn": "Dunn's test of patients' means, normal approximation, ties corrected",
    "paired-t": "paired t test of lesions with every condition",
    "rm-anova": "repeated-measures ANOVA of lesions with every condition, Greenhouse-Geisser",
    "rm-anova-interaction": "repeated-measures ANOVA, conditions by groups, Greenhouse-Geisser",
    "mixed-overall": f"{_NESTED}; Hotelling's T-squared (HTZ); gsigpu",
    "mixed-in-group": f"{_NESTED}, a mean for every condition and group; Satterthwaite; gsigpu",
    "mixed-interaction": f"{_NESTED}, a mean for every condition and group; HTZ; gsigpu",
}

# Rows: each group on each track. `paper` describes lesions, `recommended` the means of patients.
DESCRIPTIVE_COLUMNS = (
    "track", "unit", "group", "n_lesions", "n_patients", "n_missing", "mean", "sd", "ci_low",
    "ci_high", "median", "q1", "q3", "icc", "design_effect", "note",
)  # fmt: skip

# `computation` says what a test is, so that another program can repeat it. `*_classical` stand in the rows
# of the mixed model: the textbook's version, which lmerTest prints (REML, model-based variances pooled over
# the groups, Satterthwaite); it rejects too often where the groups' spreads differ.

# Rows: paper anova; recommended mixed (the primary one), welch, kruskal.
OMNIBUS_COLUMNS = (
    "track", "test", "unit", "statistic", "df1", "df2", "p", "p_holm_all", "effect", "effect_name",
    "effect_low", "effect_high", "omega_squared", "n_lesions", "n_patients", "n_missing", "icc",
    "design_effect", "levene_statistic", "levene_p", "brown_forsythe_statistic",
    "brown_forsythe_p", "family", "family_all", "note", "computation", "statistic_classical",
    "df_classical", "p_classical",
)  # fmt: skip

# Rows: every pair of groups for paper lsd; recommended mixed (the primary one), games-howell, dunn.
# p of games-howell is simultaneous already; p_unadjusted is Welch's t, from which the others come.
PAIRWISE_COLUMNS = (
    "track", "test", "unit", "group_a", "group_b", "difference", "ci_low", "ci_high", "statistic",
    "df", "p", "p_unadjusted", "p_bonferroni", "p_holm", "p_holm_all", "effect", "effect_name",
    "effect_low", "effect_high", "n_a", "n_b", "n_patients_a", "n_patients_b", "icc",
    "design_effect", "family", "family_all", "note", "computation", "statistic_classical",
    "df_classical", "p_classical",
)  # fmt: skip

# Rows: each of the six forms. `paper`: lesions as independent targets, intervals from F;
# `recommended`: the same estimate, interval from a jackknife over patients; ICC2-all and ICC3-all from every
# rating where some lesions lack a reader, n_lesions then being those of two readers or more.
ICC_COLUMNS = (
    "track", "unit", "form", "icc", "ci_low", "ci_high", "statistic", "df1", "df2", "p",
    "n_lesions", "n_patients", "n_readers", "n_incomplete", "note",
)  # fmt: skip

# Rows: every pair of readers on each track; the bounds of bias and limits are `*_low`, `*_high`.
BLAND_ALTMAN_COLUMNS = (
    "track", "unit", "reader_a", "reader_b", "bias", "bias_low", "bias_high", "sd", "loa_low",
    "loa_low_low", "loa_low_high", "loa_high", "loa_high_low", "loa_high_high", "n", "n_patients",
    "n_incomplete", "icc", "note",
)  # fmt: skip
BLAND_ALTMAN_POINT_COLUMNS = (
    "reader_a", "reader_b", "patient_id", "lesion_id", "mean", "difference",
)  # fmt: skip

# Rows: each test at the observed effect and at the effects given.
POWER_COLUMNS = (
    "track", "test", "group_a", "group_b", "effect_name", "effect", "effect_source", "alpha",
    "n_lesions", "n_patients", "icc", "design_effect", "n_effective", "power", "target_power",
    "n_per_group_needed", "patients_per_group_needed", "detectable_effect", "note",
)  # fmt: skip

# Rows: every pair of groups, from published means and SDs.
BINORMAL_COLUMNS = (
    "track", "method", "group_a", "group_b", "direction", "auc", "se", "ci_low", "ci_high", "p",
    "n_a", "n_b", "note",
)  # fmt: skip


# Rows: each pair of groups and method. `p_smallest` is the smallest p that an exact test of so many lesions
# (paper) or patients (recommended) can reach; perfect separation has just that p.
ROC_COLUMNS = (
    "track", "method", "group_a", "group_b", "direction", "auc", "se", "ci_low", "ci_high", "p",
    "p_holm", "p_holm_all", "cutoff", "cutoff_low", "cutoff_high",
    "sensitivity", "sensitivity_low", "sensitivity_high", "sensitivity_corrected",
    "specificity", "specificity_low", "specificity_high", "specificity_corrected",
    "n_a", "n_b", "n_patients_a", "n_patients_b", "n_missing_a", "n_missing_b", "df", "family",
    "family_all", "note", "p_smallest",
)  # fmt: skip

CURVE_COLUMNS = (
    "track", "method", "group_a", "group_b", "direction", "fpr", "tpr", "tpr_low", "tpr_high",
)  # fmt: skip

COMPARISON_COLUMNS = (
    "track", "method", "group_a", "group_b", "parameter_a", "parameter_b", "direction_a",
    "direction_b", "auc_a", "auc_b", "difference", "se", "ci_low", "ci_high", "z", "p", "p_holm",
    "p_holm_all", "n_a", "n_b", "n_patients_a", "n_patients_b", "n_incomplete", "df", "family",
    "family_all", "note", "equivalence_margin", "equivalence_low", "equivalence_high", "p_equivalence",
)  # fmt: skip

# Rows: the mean area of all pairs of groups, of each parameter and of the multinomial model's probabilities.
MULTICLASS_COLUMNS = (
    "track", "method", "auc", "se", "ci_low", "ci_high", "df", "p", "p_holm_all", "n_groups",
    "n_lesions", "n_patients", "n_missing", "family_all", "note",
)  # fmt: skip

MODEL_COLUMNS = (
    "track", "model", "group_a", "group_b", "parameters", "auc_apparent", "auc", "se", "auc_low",
    "auc_high", "brier", "calibration_intercept", "calibration_slope", "n_folds", "n_lesions",
    "n_patients", "n_incomplete", "penalty_c", "note",
)  # fmt: skip

CALIBRATION_COLUMNS = (
    "track", "model", "group_a", "group_b", "predicted", "observed", "n_lesions",
)  # fmt: skip

# Rows: `paired-t` and `mixed` for every two conditions, `rm-anova` and `mixed-overall` for all, with groups
# also `rm-anova-interaction` and `mixed-interaction` (do the conditions differ alike in all groups), and
# `mixed-in-group`. Conditions are regions of one phase, or phases of one region; `comparison` says which.
# p of rm-anova is after Greenhouse-Geisser, p_uncorrected before. `n_incomplete` lesions have one of the two
# conditions: they are left out by the paper track and used by the model.
WITHIN_COLUMNS = (
    "track", "test", "unit", "comparison", "group", "condition_a", "condition_b", "difference",
    "ci_low", "ci_high", "ratio", "ratio_low", "ratio_high", "statistic", "df1", "df2", "p",
    "p_uncorrected", "p_bonferroni", "p_holm", "p_holm_all", "epsilon", "mauchly_w", "mauchly_p",
    "n_lesions", "n_patients", "n_incomplete", "n_missing", "family", "family_all", "note",
    "computation",
)  # fmt: skip

# `source` of cut-offs that were chosen on the lesions on which they are judged.
SAME_LESIONS = "same lesions"
# Rows: what each cut-off does to the lesions of `source`; true_positive … true_negative are its cross table.
DECISION_COLUMNS = (
    "track", "group_a", "group_b", "direction", "cutoff", "source", "true_positive",
    "false_negative", "false_positive", "true_negative", "sensitivity", "sensitivity_low",
    "sensitivity_high", "specificity", "specificity_low", "specificity_high", "accuracy",
    "accuracy_low", "accuracy_high", "lr_positive", "lr_positive_low", "lr_positive_high",
    "lr_negative", "lr_negative_low", "lr_negative_high", "prevalence", "ppv", "ppv_low",
    "ppv_high", "npv", "npv_low", "npv_high", "n_a", "n_b", "n_patients_a", "n_patients_b", "note",
)  # fmt: skip

# Rows: thresholds of the predicted probability. Acting on nobody has a net benefit of 0. `model`, `group_a` and
# `group_b` are those of `models`, whose probabilities of lesions of unseen patients are judged.
DECISION_CURVE_COLUMNS = (
    "track", "model", "group_a", "group_b", "threshold", "prevalence", "net_benefit", "net_benefit_low", "net_benefit_high",
    "net_benefit_all", "n_lesions", "n_patients",
)  # fmt: skip

# Rows: the mixed model's test of all groups (`mixed-overall`) and every pair (`mixed`), once per analysis.
SENSITIVITY_COLUMNS = (
    "track", "analysis", "test", "group_a", "group_b", "difference", "ci_low", "ci_high",
    "statistic", "p", "p_holm", "n_lesions", "n_patients", "n_left_out", "note",
)  # fmt: skip

# Rows: the test of all groups with covariates held equal, every pair, and each covariate's coefficient.
ADJUSTED_COLUMNS = (
    "track", "test", "unit", "covariates", "group_a", "group_b", "difference", "ci_low", "ci_high",
    "statistic", "df1", "df2", "p", "p_bonferroni", "p_holm", "n_a", "n_b", "n_patients_a",
    "n_patients_b", "n_incomplete", "note", "computation",
)  # fmt: skip

# Rows: every pair's area with the covariates taken out of the values (Janes and Pepe), the plain one beside it.
ADJUSTED_ROC_COLUMNS = (
    "track", "method", "covariates", "group_a", "group_b", "direction", "auc", "se", "ci_low",
    "ci_high", "p", "p_holm", "p_holm_all", "auc_plain", "df", "n_a", "n_b", "n_patients_a",
    "n_patients_b", "n_incomplete", "family", "family_all", "note",
)  # fmt: skip

# Rows: does what the groups differ by depend on the level (`mixed-interaction`), and the mixed model inside each.
SUBGROUP_COLUMNS = (
    "track", "column", "level", "test", "group_a", "group_b", "difference", "ci_low", "ci_high",
    "statistic", "df1", "df2", "p", "p_holm", "n_lesions", "n_patients", "note",
)  # fmt: skip

# Rows: each site and pair of groups; the cut-off is that of the lesions of all other sites.
SITE_COLUMNS = (
    "track", "site", "group_a", "group_b", "direction", "auc", "se", "ci_low", "ci_high",
    "auc_elsewhere", "cutoff", "sensitivity", "sensitivity_low", "sensitivity_high", "specificity",
    "specificity_low", "specificity_high", "accuracy", "accuracy_low", "accuracy_high",
    "true_positive", "false_negative", "false_positive", "true_negative", "n_a", "n_b",
    "n_patients_a", "n_patients_b", "note",
)  # fmt: skip

# Rows: each site of each parameter and region, before and after ComBat took out what is peculiar to it.
COMBAT_COLUMNS = (
    "track", "site", "mean_before", "mean_after", "sd_before", "sd_after", "n_lesions",
    "n_patients", "note",
)  # fmt: skip

# Rows: values that a reader measured again, per reader. `paper` takes lesions as independent.
REPEATABILITY_COLUMNS = (
    "track", "unit", "reader", "within_sd", "within_sd_low", "within_sd_high", "repeatability",
    "repeatability_low", "repeatability_high", "icc", "icc_low", "icc_high", "n_readings",
    "n_lesions", "n_patients", "note",
)  # fmt: skip

# Rows: two readers' decisions at each pair's cut-off of the recommended track, which the mean over readers gave.
KAPPA_COLUMNS = (
    "track", "reader_a", "reader_b", "group_a", "group_b", "direction", "cutoff", "kappa", "se",
    "ci_low", "ci_high", "observed", "expected", "both_positive", "only_a", "only_b",
    "both_negative", "n_lesions", "n_patients", "note",
)  # fmt: skip

# Rows: every pair of groups and of parameters, readers and lesions random (Obuchowski and Rockette).
READER_COMPARISON_COLUMNS = (
    "track", "method", "group_a", "group_b", "parameter_a", "parameter_b", "direction_a",
    "direction_b", "auc_a", "auc_b", "difference", "ci_low", "ci_high", "statistic", "df1", "df2",
    "p", "p_holm", "p_holm_all", "n_readers", "n_a", "n_b", "n_patients_a", "n_patients_b",
    "n_incomplete", "family", "family_all", "note",
)  # fmt: skip

# Rows: each pair's area and each parameter's ICC, to be known to an interval of some width in a new study like this.
SAMPLE_SIZE_COLUMNS = (
    "track", "quantity", "group_a", "group_b", "expected", "width", "confidence", "n_readers",
    "lesions_per_patient", "icc", "design_effect", "lesions_needed", "patients_needed", "note",
)  # fmt: skip

_AREAS = (
    ("ci_low", "auc", "ci_high"),
    ("cutoff_low", "cutoff", "cutoff_high"),
    ("sensitivity_low", "sensitivity", "sensitivity_high"),
    ("specificity_low", "specificity", "specificity_high"),
)
# Each estimate and the ends of its interval, by the name of the file: low <= estimate <= high in every row.
INTERVALS = {
    "descriptives": (("ci_low", "mean", "ci_high"),),
    "omnibus": (("effect_low", "effect", "effect_high"),),
    "pairwise": (
        ("ci_low", "difference", "ci_high"),
        ("effect_low", "effect", "effect_high"),
    ),
    "roc": _AREAS,
    "against_rest": _AREAS,
    "roc_comparisons": (
        ("ci_low", "difference", "ci_high"),
        ("equivalence_low", "difference", "equivalence_high"),
    ),
    "reader_comparisons": (("ci_low", "difference", "ci_high"),),
    "adjusted_roc": (("ci_low", "auc", "ci_high"),),
    "subgroups": (("ci_low", "difference", "ci_high"),),
    "repeatability": (
        ("within_sd_low", "within_sd", "within_sd_high"),
        ("repeatability_low", "repeatability", "repeatability_high"),
        ("icc_low", "icc", "icc_high"),
    ),
    "sites": (
        ("ci_low", "auc", "ci_high"),
        ("sensitivity_low", "sensitivity", "sensitivity_high"),
        ("specificity_low", "specificity", "specificity_high"),
        ("accuracy_low", "accuracy", "accuracy_high"),
    ),
    "kappa": (("ci_low", "kappa", "ci_high"),),
    "multiclass": (("ci_low", "auc", "ci_high"),),
    "decisions": tuple(
        (f"{name}_low", name, f"{name}_high")
        for name in (
            "sensitivity",
            "specificity",
            "accuracy",
            "lr_positive",
            "lr_negative",
            "ppv",
            "npv",
        )
    ),
    "decision_curve": (("net_benefit_low", "net_benefit", "net_benefit_high"),),
    "sensitivity": (("ci_low", "difference", "ci_high"),),
    "adjusted": (("ci_low", "difference", "ci_high"),),
    "within": (("ci_low", "difference", "ci_high"), ("ratio_low", "ratio", "ratio_high")),
    "models": (("auc_low", "auc", "auc_high"),),
    "icc": (("ci_low", "icc", "ci_high"),),
    "bland_altman": (
        ("bias_low", "bias", "bias_high"),
        ("loa_low_low", "loa_low", "loa_low_high"),
        ("loa_high_low", "loa_high", "loa_high_high"),
    ),
}


def labelled(
    frame: pd.DataFrame, *, phase: str, region: str, parameter: str | None = None
) -> pd.DataFrame:
    """The frame with its family member named behind `track` if it has one, as the files have it.

    >>> list(labelled(pd.DataFrame({"track": ["paper"], "p": [1.0]}), phase="AP", region="rim"))
    ['track', 'phase', 'region', 'p']
    """
    labels = {"phase": phase, "region": region, "parameter": parameter}
    named = frame.copy()
    place = list(named.columns).index("track") + 1 if "track" in named.columns else 0
    for offset, (name, label) in enumerate(labels.items()):
        if label is not None:
            named.insert(place + offset, name, label)
    return named


# The model of `within_tests` shares its name with that of the groups.
WITHIN_MIXED = f"{_NESTED}, Satterthwaite degrees of freedom; gsigpu"


def placed(test: str, *, unit: str = "") -> dict[str, str]:
    """The first columns of a test's rows; `unit` where it is another than usual.

    >>> placed("welch", unit="lesion")
    {'track': 'recommended', 'test': 'welch', 'unit': 'lesion', 'computation': "Welch's ANOVA of lesions"}
    """
    track, usual = TRACK_AND_UNIT[test]
    unit, computation = unit or usual, COMPUTATION[test]
    if unit != usual:
        computation = computation.replace("patients' means", "lesions")
    return {"track": track, "test": test, "unit": unit, "computation": computation}
