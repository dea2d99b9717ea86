"""The confidence of the settings: no source of the report calls an interval by a number of its own.

That it reaches every interval, and every output: tests/pipeline/cohort_stats/test_further_statistics.py.
"""

import re
from pathlib import Path

import pytest

import gsigpu
from gsigpu.errors import SettingsError
from gsigpu.report.cohort_results import StatisticsSettings

# 95 of 100 by their definition, whatever the confidence.
BY_DEFINITION = re.compile(r"95% limits of agreement|95% of two readings")
NINETY_FIVE = re.compile(r"95\s?%|\b0?\.95\b")


def test_no_source_of_the_report_writes_95_by_itself():
    package = Path(gsigpu.__file__).parent
    paths = [
        path
        for folder in ("report", "pipeline/cohort_stats")
        for path in (package / folder).glob("*.*")
    ]
    assert len(paths) > 30
    for path in paths:
        text = BY_DEFINITION.sub("", path.read_text("utf-8"))
        shown = [line for line in text.splitlines() if NINETY_FIVE.search(line)]
        assert [line for line in shown if "confidence" not in line] == [], path.name


@pytest.mark.parametrize("confidence", [0.0, 0.3, 1.0, 95.0, float("nan")])
def test_a_confidence_that_is_none_is_refused(confidence):
    with pytest.raises(SettingsError, match=r"is not between 0\.5 and 1"):
        StatisticsSettings(confidence=confidence)
