"""What went into a cohort is what is analysed and what is named as left, whatever was excluded."""

import random
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gsigpu.pipeline.cohort_run.cohort_task import RowOutcome
from gsigpu.pipeline.cohort_run.flow_diagram import flow_of, words_of
from gsigpu.pipeline.cohort_run.inclusion_rules import (
    COLUMNS,
    InclusionRules,
    after_measuring,
    before_measuring,
    exclusion_rows,
)
from gsigpu.tables.counting import Count
from gsigpu.tables.flow_steps import IN_THE_TABLES, adds_up, frame_of_steps, read_steps
from gsigpu.tables.manifest import ManifestRow
from gsigpu.tables.observation_checks import TableProblems
from gsigpu.tables.observations import Choice, read_observations
from gsigpu.tables.plain_csv import write_rows
from gsigpu.tables.plan_file import Plan

LIMIT_MM = 30.0


class RandomCohort:
    """Patients in two phases, with one reader or two; some of everything that can go wrong."""

    def __init__(self, seed):
        self.random = rng = random.Random(seed)
        readers = ("A", "B") if rng.random() < 0.5 else ("",)
        self.rows, line = [], 2
        for k in range(rng.randint(4, 14)):
            group = rng.choice(("lung", "breast", "gastric"))
            confirmed = rng.choice((True, True, True, False, None))
            phases = rng.choice((("AP", "PVP"), ("AP", "PVP"), ("PVP",)))
            for phase in phases:
                # A case for both phases, or one for each.
                case = f"c{k}" if rng.random() < 0.5 else f"c{k}{phase}"
                for reader in readers if rng.random() < 0.8 else readers[:1]:
                    row = ManifestRow(
                        line=line, case_id=case, patient_id=f"p{k}", group=group, phase=phase,
                        study=Path("s"), masks=(Path("m"),), reader=reader, confirmed=confirmed,
                    )  # fmt: skip
                    self.rows.append(row)
                    line += 1
        self.lesions = {
            row: frozenset(str(1 + n) for n in range(rng.randint(1, 4))) for row in self.rows
        }
        self.rules = InclusionRules(
            confirmed_only=rng.random() < 0.5,
            max_diameter_mm=LIMIT_MM if rng.random() < 0.7 else None,
            min_group_size=rng.choice((0, 0, 2, 3)),
            decisions=tuple(
                (row.case_id, rng.choice(sorted(self.lesions[row])), row.phase, row.reader, "rejected", "")
                for row in self.rows
                if rng.random() < 0.1
            ),
        )  # fmt: skip
        status = ("done", "done", "done", "skipped", "failed", "left")
        to_do, self.early = before_measuring(self.rows, self.rules)
        self.outcomes = [RowOutcome(row=row, status=rng.choice(status)) for row in to_do]
        done = [o.row for o in self.outcomes if o.status in ("done", "skipped")]
        self.measured = {row: self.lesions[row] for row in done}
        self.lost = {
            row: frozenset(name for name in names if rng.random() < 0.15)
            for row, names in self.measured.items()
        }
        sizes = {
            row: {name: rng.uniform(5, 36) for name in sorted(names - self.lost[row])}
            for row, names in self.measured.items()
        }
        self.kept, later = after_measuring(done, self.measured, sizes, self.rules)
        self.exclusions = [*self.early, *later]
        self.left_out = defaultdict(set)
        for exclusion in later:
            if exclusion.lesion_id:
                self.left_out[exclusion.row].add(exclusion.lesion_id)

    def flow(self):
        return flow_of(self.outcomes, self.exclusions, self.rules, self.measured, self.lost)

    def units(self, *, with_lost):
        """(row, lesion) of what the tables hold."""
        return {
            (row, name)
            for row in self.kept
            for name in self.measured[row] - self.left_out[row]
            if with_lost or name not in self.lost[row]
        }

    def table(self):
        """As `cohort run` writes it; a few lesions have no valid voxels in the core."""
        made = []
        for row, name in sorted(self.units(with_lost=True), key=lambda u: (u[0].line, u[1])):
            base = {
                "case_id": row.case_id, "patient_id": row.patient_id, "group": row.group, "reader": row.reader,
                "phase": row.phase, "lesion_id": name, "region": "core", "parameter": "iodine", "statistic": "mean",
                "unit": "mg/mL", "definition": "fit", "flags": "", "value": self.random.uniform(0.5, 3.0),
            }  # fmt: skip
            if name in self.lost[row]:
                gone = {
                    "parameter": "",
                    "statistic": "",
                    "value": np.nan,
                    "flags": "failed:empty-mask",
                }
                made.append(base | gone)
                continue
            if self.random.random() < 0.1:
                base |= {"value": np.nan, "flags": "no-valid-voxels"}
            made.append(base)
            if self.random.random() < 0.9:
                made.append(
                    base
                    | {
                        "region": "rim",
                        "value": self.random.uniform(0.5, 3.0),
                        "flags": "few-voxels",
                    }
                )
        return pd.DataFrame(made)


def counted(units):
    return Count(
        patients=len({row.patient_id for row, _ in units}),
        lesions=len({(row.patient_id, name) for row, name in units}),
    )


@pytest.mark.parametrize("block", range(5))
def test_every_box_is_the_one_before_less_what_is_named(block):
    for seed in range(200 * block, 200 * block + 200):
        cohort = RandomCohort(seed)
        steps = cohort.flow()
        assert adds_up(steps), seed
        rows = [step.rows - sum(left.rows for left in step.left) for step in steps[:-1]]
        assert rows == [step.rows for step in steps[1:]], seed
        assert steps[0].count.patients == len({row.patient_id for row in cohort.rows})
        assert steps[0].rows == len(cohort.rows)
        tables = next(step for step in steps if step.name == IN_THE_TABLES)
        assert tables.count == counted(cohort.units(with_lost=True)), seed
        assert tables.rows == len(cohort.kept)
        assert steps[-1].count == counted(cohort.units(with_lost=False)), seed
        for step in steps:
            assert len({left.reason for left in step.left}) == len(step.left)


def test_what_was_never_measured_is_not_called_none():
    """Lesions of rows that were excluded before measuring are not known, and no 0."""
    cohort = next(c for c in map(RandomCohort, range(50)) if c.early)
    boxes = words_of(cohort.flow(), {})
    first = boxes[0][1][0].splitlines()
    assert first[1].startswith("− ")
    assert "lesions not counted" in first[1]


@pytest.mark.parametrize("reader", ["", "A"])
def test_the_flow_of_the_report_goes_on_where_that_of_the_run_ends(tmp_path, reader):
    n_whole = 0
    for seed in range(14):
        cohort = RandomCohort(seed)
        table = cohort.table()
        if table.empty or not table["value"].notna().any():
            continue
        if reader and not (table["reader"] == reader).any():
            continue
        folder = tmp_path / f"{seed}{reader}"
        folder.mkdir()
        table.to_csv(folder / "measurements.csv", index=False)
        write_rows(folder / "exclusions.csv", COLUMNS, exclusion_rows(cohort.exclusions))
        frame_of_steps(cohort.flow()).to_csv(folder / "flow.csv", index=False)
        try:
            observations = read_observations(
                folder / "measurements.csv", Choice(regions=("core",), reader=reader)
            )
        except TableProblems:  # readers who measured different lesions, or no core at all
            continue
        flow = observations.flow
        assert flow.is_whole, (seed, flow.warnings)
        assert adds_up(flow.steps), seed
        assert flow.steps[0].count.patients == len({row.patient_id for row in cohort.rows})
        valued = observations.table[np.isfinite(observations.table["value"])]
        n = valued[["patient_id", "lesion_id"]].drop_duplicates()
        assert flow.steps[-1].count == (n["patient_id"].nunique(), len(n)), seed
        assert flow.steps[-1].count == tuple(map(sum, zip(*flow.analysed.values(), strict=True)))
        n_whole += 1
    assert n_whole >= 3


def decisions_on(table, rng):
    """A few lesions of single readings, rejected or to be redrawn."""
    keys = table[["case_id", "lesion_id", "phase", "reader"]].drop_duplicates()
    chosen = [tuple(key) for key in keys.itertuples(index=False) if rng.random() < 0.3]
    return tuple((*key, rng.choice(("rejected", "redraw")), "blurred") for key in chosen)


def test_decisions_a_plan_and_choices_each_leave_a_flow_that_adds_up(tmp_path):
    """The report's own steps: what was decided at review, planned, and not chosen is named, and nothing else is lost."""
    n_told = defaultdict(int)
    for seed in range(9):
        cohort, rng = RandomCohort(seed), random.Random(1000 + seed)
        table = cohort.table()
        if table.empty:
            continue
        folder = tmp_path / str(seed)
        folder.mkdir()
        table.to_csv(folder / "measurements.csv", index=False)
        write_rows(folder / "exclusions.csv", COLUMNS, exclusion_rows(cohort.exclusions))
        frame_of_steps(cohort.flow()).to_csv(folder / "flow.csv", index=False)
        groups = tuple(dict.fromkeys(table["group"]))
        choice = Choice(
            groups=groups[:2] if rng.random() < 0.5 else (),
            drop_other_groups=True,
            phases=("PVP",) if rng.random() < 0.4 else (),
            regions=("core", "rim") if rng.random() < 0.5 else ("rim",),
            reader=rng.choice(("", cohort.rows[0].reader)),
        )
        plan = Plan(name="p", sha256="0", date="2026-03-01", flags=("no-valid-voxels",))
        decisions = decisions_on(table, rng)
        try:
            observations = read_observations(
                folder / "measurements.csv", choice, decisions=decisions, plan=plan
            )
        # Too few groups, no such phase, or readers who measured different lesions.
        except TableProblems:
            continue
        flow = observations.flow
        assert adds_up(flow.steps), seed
        assert flow.is_whole, (seed, flow.warnings)
        assert flow.steps[0].count.patients == len({row.patient_id for row in cohort.rows}), seed
        valued = observations.table[np.isfinite(observations.table["value"])]
        n = valued[["patient_id", "lesion_id"]].drop_duplicates()
        assert flow.steps[-1].count == (n["patient_id"].nunique(), len(n)), seed
        for step in flow.steps:
            for left in step.left:
                n_told[left.reason] += left.lesions or 0
    for reason in ("rejected at review", "to be redrawn, at review"):
        assert n_told[reason]
    assert n_told["plan: no-valid-voxels"]


def test_steps_survive_their_file(tmp_path):
    steps = RandomCohort(3).flow()
    frame_of_steps(steps).to_csv(tmp_path / "flow.csv", index=False)
    assert list(read_steps(tmp_path / "flow.csv")) == steps


def test_a_table_that_was_changed_has_no_flow_from_the_manifest(tmp_path):
    cohort = next(c for c in map(RandomCohort, range(50)) if len(c.table()) > 6)
    table = cohort.table()
    table[table["patient_id"] != table["patient_id"].iloc[0]].to_csv(
        tmp_path / "measurements.csv", index=False
    )
    frame_of_steps(cohort.flow()).to_csv(tmp_path / "flow.csv", index=False)
    readers = table["reader"].iloc[-1]
    flow = read_observations(tmp_path / "measurements.csv", Choice(reader=readers)).flow
    assert not flow.is_whole
    assert any("does not fit the table" in warning for warning in flow.warnings)
    assert adds_up(flow.steps)
