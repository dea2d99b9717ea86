"""Several parameters together: logistic and multinomial models, judged on patients they have not seen.

Parameters are standardised within each training part and fitted by ridge logistic regression with
C = 1 on that scale (scikit-learn's loss, Σ log-loss + |β|² / 2C). The penalty is fixed beforehand:
tuning it would need a further loop of cross-validation and has nothing to gain with three parameters.
Folds keep all lesions of a patient together and the groups in proportion (StratifiedGroupKFold), and
are the same for every model.

What counts is out of fold: the area with Obuchowski's clustered interval (the scores taken as given),
Brier's score, and the calibration of the predicted probabilities p,

    intercept a of  logit P(y) = a + logit p          0 where the predictions are right on average
    slope b of      logit P(y) = a' + b logit p       below 1 where they are too extreme

(Van Calster et al., J Clin Epidemiol 2016; 74: 167-176). `auc_apparent` is what the model reaches on the
lesions it was fitted to, and stands beside it as a warning. Calibration is tested against R's `glm`; that
no patient stands on both sides, and that noise gets an area of .5, by simulation. With few patients per
parameter prefer single parameters: the penalty does not make up for missing patients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import expit, logit
from threadpoolctl import threadpool_limits

from gsigpu.cohort_statistics.frames import CALIBRATION_COLUMNS, MODEL_COLUMNS, MULTICLASS_COLUMNS
from gsigpu.cohort_statistics.inference import joined
from gsigpu.cohort_statistics.roc.area_estimate import AucEstimate, of_several_groups
from gsigpu.cohort_statistics.roc.clustered import clustered_areas, obuchowski
from gsigpu.cohort_statistics.roc.curve import Array, area
from gsigpu.cohort_statistics.roc.multiclass import multiclass_frame
from gsigpu.cohort_statistics.roc.patient_folds import Codes, Folds, Lesions, folds_possible
from gsigpu.cohort_statistics.roc.roc_settings import (
    ModelResult,
    OutOfFold,
    RocSettings,
    Seed,
    pairs,
)
from gsigpu.cohort_statistics.sample import clean_parameters

PENALTY_C = 1.0
CLIP = 1e-6  # probabilities are kept this far from 0 and 1 for their log odds
N_CALIBRATION_BINS = 10
MIN_LESIONS_PER_BIN = 10
_TOO_FEW_IN_A_FOLD = "a fold left too few groups to fit: no cross-validation"


def combined_models(
    values: ArrayLike,
    parameters: Sequence[str],
    groups: ArrayLike,
    patients: ArrayLike,
    *,
    order: Sequence[str],
    seed: Seed,
    settings: RocSettings | None = None,
) -> ModelResult:
    """Models of several parameters together, for every pair of groups and for all groups at once.

    values (n, K) : one column per parameter; incomplete lesions are left out and counted
    seed : of the folds
    Returns `models` (MODEL_COLUMNS): `logistic`, one row per pair, group_a positive; `multinomial`, one
    row per group (group_a) against the rest, and one with group_a "all": the mean of these areas, and
    the multi-class Brier score (0 to 2). `calibration` (CALIBRATION_COLUMNS) has the predicted and
    observed shares in bins of equal size. A model that cannot be fitted keeps its row, with a note.
    """
    options = settings or RocSettings()
    table = clean_parameters(values, parameters, groups, patients, order)
    complete = table.complete
    everyone = Lesions(table.values[complete], table.groups[complete], table.patients[complete])
    left_out = np.bincount(table.groups[~complete], minlength=len(table.order))
    incomplete = {name: int(n) for name, n in zip(table.order, left_out, strict=True)}
    from sklearn import config_context

    folds = Folds(everyone, int(np.random.default_rng(seed).integers(2**31)))
    common = {"track": "recommended", "parameters": "+".join(parameters), "penalty_c": PENALTY_C}
    # More threads than one only wait for each other on matrices of three columns. The values were checked above, and the
    # settings of the models are fixed: scikit-learn need not ask at each of hundreds of fits.
    with (
        threadpool_limits(1, user_api="blas"),
        config_context(assume_finite=True, skip_parameter_validation=True),
    ):
        fitted = _all_models(everyone, order, incomplete, common, options, folds)
    return ModelResult(
        models=pd.DataFrame(fitted.rows, columns=list(MODEL_COLUMNS)),
        calibration=_stacked(fitted.points, CALIBRATION_COLUMNS),
        multiclass=_stacked(fitted.multiclass, MULTICLASS_COLUMNS),
        out_of_fold=tuple(fitted.out_of_fold),
    )


@dataclass(slots=True)
class _Fitted:
    """What the models gave so far."""

    rows: list[dict[str, object]] = field(default_factory=list)
    points: list[pd.DataFrame] = field(default_factory=list)
    multiclass: list[pd.DataFrame] = field(default_factory=list)
    out_of_fold: list[OutOfFold] = field(default_factory=list)


def _stacked(parts: list[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(columns))


def _all_models(
    everyone: Lesions,
    order: Sequence[str],
    incomplete: dict[str, int],
    common: dict[str, object],
    options: RocSettings,
    folds: Folds,
) -> _Fitted:
    """Every pair, then all groups together."""
    code = {name: k for k, name in enumerate(order)}
    fitted = _Fitted()
    for a, b in pairs(tuple(order)):
        lesions = everyone.of([code[b], code[a]])  # numbered 0, 1: the first group is positive
        head = common | _head("logistic", a, b, lesions, incomplete[a] + incomplete[b])
        _logistic(fitted, lesions, head, options, folds)
    present = [name for name in order if everyone.patients_of(code[name]) > 1]
    if len(present) > 2:
        lesions = everyone.of([code[name] for name in present])
        head = common | _head("multinomial", "all", "rest", lesions, sum(incomplete.values()))
        left_out = [name for name in order if name not in present]
        head["note"] = f"without {', '.join(left_out)}: fewer than two patients" if left_out else ""
        _multinomial(fitted, lesions, present, head, options, folds)
    return fitted


def _head(model: str, a: str, b: str, lesions: Lesions, n_incomplete: int) -> dict[str, object]:
    return {
        "model": model,
        "group_a": a,
        "group_b": b,
        "n_lesions": lesions.groups.size,
        "n_patients": int(np.unique(lesions.patients).size),
        "n_incomplete": n_incomplete,
        "note": "",
    }


def _logistic(
    fitted: _Fitted,
    lesions: Lesions,
    head: dict[str, object],
    options: RocSettings,
    folds: Folds,
) -> None:
    """One pair of groups, numbered 0 (negative) and 1 (positive)."""
    n_folds = folds_possible(lesions, options.n_folds)
    if n_folds < 2:
        note = "a group has fewer than two patients: no cross-validation"
        fitted.rows.append(head | {"note": note})
        return
    out_of_fold = predictions(lesions, folds, n_folds)
    if out_of_fold is None:
        fitted.rows.append(head | {"note": _TOO_FEW_IN_A_FOLD})
        return
    p, positive = out_of_fold[:, 1], lesions.groups == 1
    estimated = _area(p, positive, lesions.patients, options.confidence)
    apparent = _model().fit(lesions.values, lesions.groups).predict_proba(lesions.values)[:, 1]
    row = head | {"n_folds": n_folds, "brier": float(((p - positive) ** 2).mean())}
    row |= {"auc_apparent": area(apparent[positive], apparent[~positive])}
    row |= _judged(estimated, p, positive)
    fitted.rows.append(row)
    fitted.points.append(calibration_points(p, positive, row))
    fitted.out_of_fold.append(
        OutOfFold(
            model=str(head["model"]),
            group_a=str(head["group_a"]),
            group_b=str(head["group_b"]),
            probability=p,
            positive=positive,
            patients=lesions.patients,
        )
    )


def _multinomial(
    fitted: _Fitted,
    lesions: Lesions,
    present: Sequence[str],
    head: dict[str, object],
    options: RocSettings,
    folds: Folds,
) -> None:
    """All groups at once: each against the rest, the mean over groups, and Hand and Till's area."""
    n_folds = folds_possible(lesions, options.n_folds)
    out_of_fold = predictions(lesions, folds, n_folds)
    if out_of_fold is None:
        fitted.rows.append(head | {"note": _TOO_FEW_IN_A_FOLD})
        return
    apparent = _model().fit(lesions.values, lesions.groups).predict_proba(lesions.values)
    rows = []
    for k, name in enumerate(present):
        p, positive = out_of_fold[:, k], lesions.groups == k
        row = head | {"group_a": name, "n_folds": n_folds}
        row["auc_apparent"] = area(apparent[positive, k], apparent[~positive, k])
        row["brier"] = float(((p - positive) ** 2).mean())
        row |= _judged(_area(p, positive, lesions.patients, options.confidence), p, positive)
        rows.append(row)
        fitted.points.append(calibration_points(p, positive, row))
    truth = np.eye(len(present))[lesions.groups]
    mean = _mean_area(out_of_fold, lesions, options.confidence)
    overall = head | {
        "n_folds": n_folds,
        "auc_apparent": float(np.mean([row["auc_apparent"] for row in rows])),
        "brier": float(((out_of_fold - truth) ** 2).sum(axis=1).mean()),
    }
    fitted.rows += [*rows, overall | _areas(mean, str(head["note"]))]
    names = [present[k] for k in lesions.groups]
    multiclass = multiclass_frame(
        out_of_fold,
        names,
        lesions.patients,
        order=present,
        method="hand-till, multinomial",
        settings=options,
    )
    note = joined(str(head["note"]), str(multiclass["note"].iloc[0]))
    incomplete = int(str(head["n_incomplete"]))
    fitted.multiclass.append(multiclass.assign(n_missing=incomplete, note=note))


def _model() -> Any:
    """Standardise, then ridge logistic regression; multinomial for more than two groups."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=PENALTY_C, max_iter=2000))


def predictions(lesions: Lesions, folds: Folds, n_folds: int) -> Array | None:
    """Probability of each group (n, G) for every lesion, from models that never saw its patient.

    None where a training part lacks one of the groups.
    """
    n_groups = np.unique(lesions.groups).size
    predicted = np.full((lesions.groups.size, n_groups), np.nan)
    fold = folds.of(lesions.patients, n_folds)
    for k in np.unique(fold):
        train, test = fold != k, fold == k
        if np.unique(lesions.groups[train]).size < n_groups:
            return None
        model = _model().fit(lesions.values[train], lesions.groups[train])
        predicted[test] = model.predict_proba(lesions.values[test])
    return predicted


def _area(p: Array, positive: NDArray[np.bool_], patients: Codes, confidence: float) -> AucEstimate:
    return obuchowski(
        p[positive], p[~positive], patients[positive], patients[~positive], confidence=confidence
    )


def _mean_area(predicted: Array, lesions: Lesions, confidence: float) -> AucEstimate:
    """Mean of the areas of each group against the rest; its variance from the patients' mean shares."""
    shares, areas = [], []
    for k in range(predicted.shape[1]):
        positive = lesions.groups == k
        areas_of_group = clustered_areas(
            predicted[positive, k],
            predicted[~positive, k],
            lesions.patients[positive],
            lesions.patients[~positive],
        )
        areas.append(areas_of_group.auc[0])
        shares.append(areas_of_group.positive_share[0] + areas_of_group.negative_share[0])
    counts = areas_of_group.n_positive + areas_of_group.n_negative
    n = counts.size
    share = np.mean(shares, axis=0)
    return of_several_groups(
        float(np.mean(areas)),
        n / (n - 1.0) * float(share @ share),
        n_patients=[
            np.unique(lesions.patients[lesions.groups == k]).size for k in range(predicted.shape[1])
        ],
        df=float(counts.sum() ** 2 / (counts**2).sum()) - 1.0,
        confidence=confidence,
    )


def _areas(estimated: AucEstimate, note: str) -> dict[str, object]:
    return {
        "auc": estimated.auc,
        "se": estimated.se,
        "auc_low": estimated.ci_low,
        "auc_high": estimated.ci_high,
        "note": joined(note, estimated.note),
    }


def _judged(estimated: AucEstimate, p: Array, positive: NDArray[np.bool_]) -> dict[str, object]:
    intercept, slope, note = calibration(p, positive)
    return _areas(estimated, note) | {
        "calibration_intercept": intercept,
        "calibration_slope": slope,
    }


def calibration(p: ArrayLike, positive: ArrayLike) -> tuple[float, float, str]:
    """Calibration intercept (slope held at 1) and slope of predicted probabilities, and a note.

    p (n,) probabilities, positive (n,) bool

    >>> calibration([0.2] * 10 + [0.8] * 10, [True] * 2 + [False] * 8 + [True] * 8 + [False] * 2)[:2]
    (0.0, 1.0)
    """
    y = np.asarray(positive, np.float64)
    score = np.asarray(logit(np.clip(np.asarray(p, np.float64), CLIP, 1.0 - CLIP)))
    if y.min() == y.max():
        return np.nan, np.nan, "one outcome only: no calibration"
    reach = 2.0 * -float(logit(CLIP))
    intercept = float(brentq(lambda a: (y - expit(a + score)).sum(), -reach, reach, xtol=1e-12))
    if (score[y == 1].min() >= score[y == 0].max()) or (score[y == 1].max() <= score[y == 0].min()):
        return _tidy(intercept), np.nan, "separated or constant: no calibration slope"
    # Not from statsmodels.api, which takes a second to bring time series and all else along.
    from statsmodels.genmod.families import Binomial
    from statsmodels.genmod.generalized_linear_model import GLM

    fitted = GLM(y, np.stack([np.ones_like(score), score], axis=1), Binomial()).fit()
    return _tidy(intercept), _tidy(float(fitted.params[1])), ""


def _tidy(value: float) -> float:
    """Solvers stop near a whole number; ten digits are all they promise."""
    return round(value, 10) + 0.0


def calibration_points(
    p: Array, positive: NDArray[np.bool_], row: dict[str, object]
) -> pd.DataFrame:
    """Mean prediction and observed share in bins of equal numbers of lesions."""
    n_bins = int(np.clip(p.size // MIN_LESIONS_PER_BIN, 1, N_CALIBRATION_BINS))
    parts = np.array_split(np.argsort(p, kind="stable"), n_bins)
    names = ("track", "model", "group_a", "group_b")
    frame = pd.DataFrame(
        {name: row[name] for name in names}
        | {
            "predicted": [float(p[part].mean()) for part in parts],
            "observed": [float(positive[part].mean()) for part in parts],
            "n_lesions": [part.size for part in parts],
        }
    )
    return frame[list(CALIBRATION_COLUMNS)]
