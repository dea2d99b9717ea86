"""No p value is 0, however thin its tail: a probability of 0 is certainty, and 0 has no logarithm."""

import ast
import math

import numpy as np
import pandas as pd
import pytest

from gsigpu.cohort_statistics.groups.group_frames import group_tests
from gsigpu.cohort_statistics.groups.summary_statistics import summary_tests
from gsigpu.cohort_statistics.inference import (
    SMALLEST_P,
    f_tail,
    one_sided,
    smallest_exact_p,
    two_sided,
)
from gsigpu.cohort_statistics.readers.agreement import reader_agreement
from gsigpu.cohort_statistics.roc.roc_frames import roc_tables
from gsigpu.cohort_statistics.roc.roc_settings import RocSettings
from gsigpu.cohort_statistics.within.repeated_measures import repeated_measures
from gsigpu.cohort_statistics.within.within_frames import within_tests
from tests.support.places import ROOT

SOURCES = sorted((ROOT / "gsigpu/cohort_statistics").rglob("*.py"))


@pytest.mark.parametrize("z", [1.0, 12.0, 37.0])
def test_a_tail_that_has_a_number_is_it(z):
    exact = math.erfc(z / math.sqrt(2))  # of the C library
    assert two_sided(z, np.inf) == pytest.approx(exact, rel=1e-12, abs=0)


def test_one_that_has_none_is_the_smallest():
    assert two_sided(-40.0, np.inf) == one_sided(40.0, np.inf) == SMALLEST_P
    assert f_tail(1e6, 1.0, np.inf) == f_tail(np.inf, 2.0, 9.0) == SMALLEST_P
    assert smallest_exact_p(900, 900) == SMALLEST_P
    assert np.isnan(
        [two_sided(np.nan, 3.0), f_tail(np.nan, 1.0, 3.0), f_tail(2.0, 1.0, np.nan)]
    ).all()
    assert float(repr(SMALLEST_P)) > 0  # as files hold it, read again


def all_p(frame):
    names = [name for name in frame.columns if name.split("_")[0] == "p" or name.endswith("_p")]
    return frame[names].astype(float)


def test_no_table_of_groups_that_lie_ever_so_far_apart_has_a_p_of_0():
    rng = np.random.default_rng(3)
    n = 120
    group = np.repeat(["a", "b"], n)
    patient = np.repeat(np.arange(n), 2)  # two lesions of each
    value = np.where(group == "a", 0.0, 1e7) + rng.normal(size=2 * n)
    tests = group_tests(value, group, patient, order=["a", "b"])
    near, two = rng.normal(size=4000), np.repeat(["a", "b"], 2000)  # an area of .983, |z| above 400
    roc = roc_tables(
        near + np.where(two == "a", 0.0, 3.0), two, np.arange(4000), order="ba", seed=1,
        settings=RocSettings(n_replicates=100),
    )  # fmt: skip
    lesion = np.arange(2 * n).astype(str)
    again = value + rng.normal(size=2 * n)
    agreement = reader_agreement(
        np.concatenate([value, again]), np.tile(lesion, 2), np.tile(patient, 2), np.repeat(["x", "y"], 2 * n)
    )  # fmt: skip
    within = within_tests(
        np.concatenate([value[:n], again[:n] + 1e6]), np.tile(lesion[:n], 2), np.tile(patient[:n], 2),
        np.repeat(["core", "rim"], n), order=["core", "rim"], comparison="region",
    )  # fmt: skip
    summary = summary_tests(
        pd.DataFrame({"group": ["a", "b"], "n": 120, "mean": [0.0, 1e7], "sd": 1.0})
    )
    frames = (
        tests.omnibus,
        tests.pairwise,
        roc.roc,
        agreement.icc,
        within,
        summary.omnibus,
        summary.pairwise,
    )
    for frame in frames:
        assert (all_p(frame) == SMALLEST_P).any(axis=None)  # the data are far enough apart
        assert not (all_p(frame) < SMALLEST_P).any(axis=None)
    mauchly = repeated_measures(rng.normal(size=(900, 3)) * [1.0, 1e3, 1e6]).mauchly_p
    assert mauchly == SMALLEST_P


def test_tails_are_taken_where_none_can_become_0():
    """A p made by another `sf`, `cdf` or a library's `pvalue` than through `inference` fails here."""
    for path in SOURCES:
        tree = ast.parse(path.read_text("utf-8"))
        floored = {
            id(part)
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "as_p"
            for part in ast.walk(node)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr in ("sf", "pvalue", "p_value"):
                is_power = path.name == "power.py"  # of a test that is yet to be done
                is_mauchly = path.name == "repeated_measures.py" and "chi2" in ast.unparse(node)
                assert id(node) in floored or is_power or is_mauchly, f"{path}: {ast.unparse(node)}"
