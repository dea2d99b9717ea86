"""Do the tests within lesions, with covariates, over readers, and the intervals of cut-offs hold what they promise?

The studies of `bench_honesty`, with nothing to find. Within lesions: a second region whose difference from the first
is 0 on average, and varies between patients as the values do. Covariate: one number per patient that has nothing to do
with the values. Readers: three of them and two parameters, equally good. Cut-offs: the colorectal group is shifted by
one SD, so that Youden's true cut-off lies at half of it where the SDs are equal.
"""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.metadata import version

import bench_honesty as basic
import common
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from gsigpu.cohort_statistics.groups.adjusted import adjusted_area, adjusted_tests
from gsigpu.cohort_statistics.groups.group_frames import omnibus_tests
from gsigpu.cohort_statistics.groups.subgroups import subgroup_tests
from gsigpu.cohort_statistics.readers.multireader import compare_over_readers
from gsigpu.cohort_statistics.roc.decisions import decision_at
from gsigpu.cohort_statistics.roc.roc_frames import roc_tables
from gsigpu.cohort_statistics.within.within_frames import within_tests

SCENARIOS = (("ICC 0", 0.0, basic.EQUAL), ("ICC 0.5", 0.5, basic.EQUAL))
PAIR = basic.GROUPS[:2]
ROWS: dict[str, tuple[str, float | None]] = {
    "two regions of a lesion: paired t": ("paper", 5),
    "two regions of a lesion: mixed model": ("recommended", 5),
    "regions by groups: repeated-measures ANOVA": ("paper", 5),
    "regions by groups: mixed model": ("recommended", 5),
    "omnibus: mixed model with a covariate": ("recommended", 5),
    "omnibus: mixed model, the textbook's variances": ("neither", 5),
    "one pair, adjusted area = .5: Janes and Pepe": ("recommended", 5),
    "groups by subgroups: mixed model": ("recommended", 5),
    "two parameters over three readers": ("recommended", 5),
    "interval of a cut-off covers": ("recommended", 95),
    "interval of a fixed cut-off's accuracy covers": ("recommended", 95),
    "interval of a fixed cut-off's LR+ covers": ("recommended", 95),
    "sensitivity + specificity - 1 of nothing, corrected, %": ("recommended", None),
}


def outcome(seed: int, *, icc: float, sds: tuple[float, ...]) -> dict[str, float]:
    """What each method did in one study: 1 or 0, or the share of pairs."""
    rng = np.random.default_rng([seed, int(1000 * icc)])
    drawn = basic.study(rng, icc, sds)
    with threadpool_limits(1):
        return (
            _within(rng, drawn, icc) | _between(rng, drawn) | _readers(rng) | _cutoffs(seed, drawn)
        )


def _within(rng: np.random.Generator, drawn: basic.Study, icc: float) -> dict[str, float]:
    _, patient = np.unique(drawn.patients, return_inverse=True)
    n = drawn.values.size
    gap = np.sqrt(icc) * rng.normal(size=patient.max() + 1)[patient]
    gap += np.sqrt(1 - icc) * rng.normal(size=n)
    lesions = np.arange(n).astype(str)
    frame = within_tests(
        np.r_[drawn.values, drawn.values + gap],
        np.r_[lesions, lesions],
        np.r_[drawn.patients, drawn.patients],
        np.repeat(["core", "rim"], n),
        order=["core", "rim"],
        comparison="region",
        groups=np.r_[drawn.groups, drawn.groups],
        group_order=basic.GROUPS,
    ).set_index("test")["p"]
    return {
        "two regions of a lesion: paired t": float(frame["paired-t"] < basic.LEVEL),
        "two regions of a lesion: mixed model": float(frame["mixed"] < basic.LEVEL),
        "regions by groups: repeated-measures ANOVA": float(
            frame["rm-anova-interaction"] < basic.LEVEL
        ),
        "regions by groups: mixed model": float(frame["mixed-interaction"] < basic.LEVEL),
    }


def _between(rng: np.random.Generator, drawn: basic.Study) -> dict[str, float]:
    _, patient = np.unique(drawn.patients, return_inverse=True)
    age = rng.normal(60, 10, patient.max() + 1)[patient]
    data = (drawn.values, drawn.groups, drawn.patients)
    adjusted = adjusted_tests(*data, pd.DataFrame({"age": age}), order=basic.GROUPS)
    mixed = omnibus_tests(*data, order=basic.GROUPS).set_index("test").loc["mixed"]
    first, second = (drawn.groups == name for name in PAIR)
    area = adjusted_area(
        drawn.values[first], drawn.values[second], drawn.patients[first], drawn.patients[second],
        age[first], age[second],
    )  # fmt: skip
    levels = np.array(["x", "y"])[rng.integers(0, 2, patient.max() + 1)[patient]]
    interaction = subgroup_tests(*data, levels, order=basic.GROUPS, column="level").iloc[0]
    return {
        "one pair, adjusted area = .5: Janes and Pepe": float(area.p < basic.LEVEL),
        "groups by subgroups: mixed model": float(interaction["p"] < basic.LEVEL),
        "omnibus: mixed model with a covariate": float(adjusted["p"].iloc[0] < basic.LEVEL),
        "omnibus: mixed model, the textbook's variances": float(mixed["p_classical"] < basic.LEVEL),
    }


def _readers(rng: np.random.Generator, n: int = 30, r: int = 3) -> dict[str, float]:
    truth = np.repeat([1.0, 0.0], n)
    values = (1.0 + 0.15 * rng.normal(size=(2, r, 1))) * truth + 0.7 * rng.normal(size=2 * n)
    values += 0.4 * rng.normal(size=(2, 1, 2 * n)) + 0.5 * rng.normal(size=(2, r, 2 * n))
    patients = np.arange(2 * n)
    test = compare_over_readers(values[..., :n], values[..., n:], patients[:n], patients[n:])
    return {"two parameters over three readers": float(test.p < basic.LEVEL)}


def _cutoffs(seed: int, drawn: basic.Study) -> dict[str, float]:
    data = (drawn.groups, drawn.patients)
    nothing = roc_tables(
        drawn.values, *data, order=basic.GROUPS, seed=seed, settings=basic.OPTIONS
    ).roc
    clustered = nothing[nothing["method"] == "obuchowski"]
    honest = (clustered["sensitivity_corrected"] + clustered["specificity_corrected"] - 1).fillna(0)
    shifted = drawn.values + basic.SHIFT_SD * (drawn.groups == PAIR[0])
    mine = np.isin(drawn.groups, PAIR)
    roc = roc_tables(
        shifted[mine], drawn.groups[mine], drawn.patients[mine], order=PAIR, seed=seed,
        settings=basic.OPTIONS,
    ).roc  # fmt: skip
    row = roc[roc["method"] == "obuchowski"].iloc[0]
    true = basic.SHIFT_SD / 2
    first, second = (drawn.groups == name for name in PAIR)
    decision = decision_at(
        shifted[first], shifted[second], drawn.patients[first], drawn.patients[second], cutoff=true
    )
    right = float(basic.norm.cdf(true))
    ratio = right / (1 - right)
    return {
        "interval of a cut-off covers": float(row["cutoff_low"] <= true <= row["cutoff_high"]),
        "interval of a fixed cut-off's accuracy covers": float(
            decision.accuracy_low <= right <= decision.accuracy_high
        ),
        "interval of a fixed cut-off's LR+ covers": float(
            decision.lr_positive_low <= ratio <= decision.lr_positive_high
        ),
        "sensitivity + specificity - 1 of nothing, corrected, %": float(honest.mean()),
    }


def main() -> None:
    arguments = common.arguments(__doc__ or "", simulations=1000)
    n = 2 if arguments.quick else arguments.simulations
    columns: dict[str, pd.DataFrame] = {}
    with ProcessPoolExecutor(common.N_CORES) as pool:
        for name, icc, sds in SCENARIOS[1:] if arguments.quick else SCENARIOS:
            work = partial(outcome, icc=icc, sds=sds)
            columns[name] = pd.DataFrame(list(pool.map(work, range(n), chunksize=max(1, n // 50))))
    head = [
        f"# honesty, extended, gsigpu {version('gsigpu')}",
        "",
        f"{n} simulated studies per column, per cent ± Monte Carlo error; level 5 %, intervals 95 %.",
        "Bold: further from its promise than three errors, on the wrong side.",
        "",
    ]
    text = "\n".join(head + basic.table(columns, ROWS, ROWS)) + "\n"
    sys.stdout.write(text)
    if arguments.save:
        (common.RESULTS / "honesty_extended.md").write_text(text, "utf-8")


if __name__ == "__main__":
    main()
