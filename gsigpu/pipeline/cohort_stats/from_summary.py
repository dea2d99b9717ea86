"""The statistics of a published table: n, mean and SD of each group, and nothing of the lesions."""

from __future__ import annotations

import pandas as pd

from gsigpu.cohort_statistics.groups.summary_statistics import summary_tests
from gsigpu.pipeline.cohort_stats.family_members import empty_frame
from gsigpu.pipeline.cohort_stats.family_tasks import COLUMNS
from gsigpu.report.cohort_results import Frames, Results, StatisticsSettings
from gsigpu.tables.flow_counts import Flow
from gsigpu.tables.missing_values import COLUMNS as MISSING_COLUMNS
from gsigpu.tables.observations import OBSERVATION, PATIENT, Observations
from gsigpu.tables.summary_table import Summary


def observations_of_summary(summary: Summary) -> Observations:
    """A summary in the place of observations: its names and counts, and no lesion."""
    table = summary.table
    one_member = table.groupby(["phase", "region", "parameter"], sort=False)
    most = one_member["n"].sum().idxmax()
    counted = one_member.get_group(most).set_index("group")["n"]
    none = pd.DataFrame(columns=list(OBSERVATION))
    analysed = {group: (0, int(counted.get(group, 0))) for group in summary.groups}
    n_lesions = sum(n for _, n in analysed.values())
    flow = Flow(
        n_patients=0,
        n_lesions=n_lesions,
        other_groups={},
        failed={},
        without_value=0,
        flagged={},
        excluded=None,
        cases_failed=None,
        analysed=analysed,
    )
    return Observations(
        source=summary.source,
        sha256=summary.sha256,
        groups=summary.groups,
        phases=tuple(dict.fromkeys(table["phase"])),
        regions=tuple(dict.fromkeys(table["region"])),
        parameters=tuple(dict.fromkeys(table["parameter"])),
        readers=(),
        table=none,
        by_reader=none,
        repeats=none,
        others=none,
        within=none,
        readings=none,
        curves=none,
        profiles=none,
        sizes=none,
        patients=pd.DataFrame(columns=list(PATIENT)),
        columns=none,
        missing=pd.DataFrame(columns=list(MISSING_COLUMNS)),
        flow=flow,
        summary=table,
    )


def analyse_summary(observations: Observations, settings: StatisticsSettings) -> Results:
    """What n, mean and SD give, and in words what they do not."""
    assert observations.summary is not None
    tests = summary_tests(
        observations.summary, order=observations.groups, confidence=settings.confidence
    )
    frames = {name: empty_frame(name) for name in COLUMNS}
    frames |= {
        "descriptives": tests.descriptives,
        "omnibus": tests.omnibus,
        "pairwise": tests.pairwise,
        # Areas of the paper track only: what no patient stands behind has no second track.
        "roc": tests.roc.reindex(
            columns=frames["roc"].columns.union(tests.roc.columns, sort=False)
        ),
    }
    return Results(
        frames=Frames(**frames),
        disagreements=(),
        settings=settings,
        not_computed=tests.not_computed,
    )
