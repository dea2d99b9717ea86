"""`gsigpu cohort stats`: tests, tables, figures and a report from a measurement table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gsigpu.cli import options
from gsigpu.cli.console import TerminalWatcher, entry, table
from gsigpu.cli.messages import fail, warn
from gsigpu.optional_packages import require_extra

if TYPE_CHECKING:
    from gsigpu.pipeline.cohort_stats.write_statistics import CohortStatistics

_STAGES = {"read": "reading the table", "test": "testing", "report": "drawing"}


def cohort_stats(
    measurements: Annotated[
        Path,
        typer.Argument(
            metavar="TABLE",
            help="Measurements: .csv, .parquet, or the folder of a cohort run.",
            show_default=False,
        ),
    ],
    *,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="Folder to write.")],
    groups: Annotated[
        list[str],
        options.list_option(
            "--groups", text="Groups in the order of the tables; all of the table's"
        ),
    ],
    drop_other_groups: Annotated[
        bool, typer.Option("--drop-other-groups", help="Leave out groups that --groups omits.")
    ] = False,
    parameters: Annotated[
        list[str],
        options.list_option("--parameters", text="ct_value, iodine and lambda_hu if not given"),
    ],
    regions: Annotated[
        list[str], options.list_option("--regions", text="core, rim and lesion if not given")
    ],
    phases: Annotated[list[str], options.list_option("--phases", text="All if not given")],
    reader: Annotated[
        str, typer.Option("--reader", help="One reader; the mean over readers if not given.")
    ] = "",
    patients: Annotated[
        Path | None,
        typer.Option(
            "--patients",
            metavar="FILE",
            help="Sex and age by patient_id, for Table One; the manifest is such a file.",
        ),
    ] = None,
    direction: Annotated[
        list[str] | None,
        typer.Option(
            "--direction",
            metavar="PARAM=WAY",
            help="Fixed before the data are seen: higher or lower (the first group of a pair), or an order of groups, 'iodine=breast>lung'; by comma, or repeated.",
        ),
    ] = None,
    apply: Annotated[
        Path | None,
        typer.Option(
            "--apply",
            metavar="FILE",
            help="The roc.csv or against_rest.csv of another report: its cut-offs are judged on these lesions.",
        ),
    ] = None,
    prevalence: Annotated[
        float | None,
        typer.Option(
            "--prevalence",
            help="Share of the first group of a pair where a cut-off will be used, 0 to 1; gives predictive values.",
        ),
    ] = None,
    exclusions: Annotated[
        Path | None,
        typer.Option(
            "--exclusions",
            metavar="FILE",
            help="Lesions that were rejected or are to be redrawn, as the gallery saves them; left out and counted.",
        ),
    ] = None,
    confidence: Annotated[
        float, typer.Option("--confidence", help="Of all intervals, 0.5 to 1; 0.9 for 90 %.")
    ] = 0.95,
    equivalence_margin: Annotated[
        float | None,
        typer.Option(
            "--equivalence-margin",
            metavar="AREA",
            help="A difference of two areas that does not matter, fixed beforehand; adds tests of equivalence.",
        ),
    ] = None,
    covariates: Annotated[
        list[str],
        options.list_option(
            "--covariates",
            text="Columns of TABLE or --patients that are held equal in further tests and areas; size is the lesions' diameter",
        ),
    ],
    subgroups: Annotated[
        str,
        typer.Option(
            "--subgroups",
            metavar="COLUMN[=CUT,CUT]",
            help="A column of TABLE or --patients; the primary test is repeated inside each of its classes. Numbers are cut where you say: age=50,65.",
        ),
    ] = "",
    site: Annotated[
        str,
        typer.Option(
            "--site",
            metavar="COLUMN",
            help="A column of TABLE or --patients, as hospital or scanner; each of its values is left out in turn.",
        ),
    ] = "",
    combat: Annotated[
        bool,
        typer.Option(
            "--combat",
            help="Repeat the primary test on values without the sites' effects (ComBat, extra `combat`).",
        ),
    ] = False,
    plan: Annotated[
        Path | None,
        typer.Option(
            "--plan",
            metavar="FILE",
            help="What was declared before the data were seen (TOML): families, directions, exclusions; all else is marked exploratory.",
        ),
    ] = None,
    replicates: Annotated[
        int, typer.Option("--replicates", min=100, help="Of the bootstrap over patients.")
    ] = 2000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of everything random.")] = 0,
    title: Annotated[str, typer.Option("--title", help="Of the page and the Word document.")] = "",
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes; all processors if not given.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Compare the groups of a cohort: tests on two tracks, ROC, tables, figures, one HTML report.

    Example: gsigpu cohort stats cohort-out -o statistics --groups colorectal,gastric,pancreatic,lung,breast
    """
    require_extra("gsigpu cohort stats", "report")
    from gsigpu.pipeline.cohort_stats.classes_of_lesions import parse_subgroups
    from gsigpu.pipeline.cohort_stats.declared_beforehand import parse_directions
    from gsigpu.pipeline.cohort_stats.write_statistics import (
        cohort_stats as run,  # brings statsmodels along
    )
    from gsigpu.report.cohort_results import StatisticsSettings
    from gsigpu.tables.observation_checks import TableProblems
    from gsigpu.tables.observations import Choice
    from gsigpu.tables.plan_file import read_plan

    whole, of_pairs = parse_directions(direction or [])
    column, cuts = parse_subgroups(subgroups)
    declared = None if plan is None else read_plan(plan)
    try:
        statistics = run(
            measurements,
            out,
            choice=Choice(
                groups=tuple(groups),
                parameters=tuple(parameters),
                regions=tuple(regions),
                phases=tuple(phases),
                reader=reader,
                drop_other_groups=drop_other_groups,
            ),
            settings=StatisticsSettings(
                replicates=replicates,
                seed=seed,
                confidence=confidence,
                directions=whole,
                pair_directions=of_pairs,
                prevalence=prevalence,
                equivalence_margin=equivalence_margin,
                covariates=tuple(covariates),
                subgroups=column,
                subgroup_cuts=cuts,
                site=site,
                combat=combat,
                plan=declared,
            ),
            patients=patients,
            cutoffs=apply,
            exclusions=exclusions,
            title=title,
            overwrite=overwrite,
            n_workers=workers,
            watcher=TerminalWatcher(_STAGES),
        )
    except TableProblems as error:
        fail(error.each())
        return
    warn(statistics.warnings)
    typer.echo(json.dumps(as_record(statistics), indent=2) if as_json else summary(statistics))


def as_record(statistics: CohortStatistics) -> dict[str, object]:
    """What was compared, for `--json`."""
    frames = statistics.results.frames.named()
    observations = statistics.observations
    return {
        "out": str(statistics.out),
        "report": str(statistics.report),
        "groups": {
            group: {"patients": patients, "lesions": lesions}
            for group, (patients, lesions) in observations.flow.analysed.items()
        },
        "phases": list(observations.phases),
        "regions": list(observations.regions),
        "parameters": list(observations.parameters),
        "omnibus": json.loads(frames["omnibus"].to_json(orient="records")),
        "n_rows": {name: len(frame) for name, frame in frames.items()},
        "warnings": list(statistics.warnings),
    }


def summary(statistics: CohortStatistics) -> str:
    """What was compared, and what came out, for a person."""
    from gsigpu.report.table_cells import p_value, parameter_name

    observations = statistics.observations
    has_values = statistics.results.has_values
    counts = ", ".join(
        f"{group} {patients}/{lesions}" if has_values else f"{group} {lesions}"
        for group, (patients, lesions) in observations.flow.analysed.items()
    )
    test, name = ("mixed", "mixed model") if has_values else ("welch", "Welch")
    omnibus = statistics.results.frames.omnibus
    rows = []
    for parameter in observations.parameters:
        for phase in observations.phases:
            for region in observations.regions:
                tests = omnibus[
                    (omnibus["parameter"] == parameter)
                    & (omnibus["phase"] == phase)
                    & (omnibus["region"] == region)
                ]
                by_test = tests.set_index("test")["p"]
                if len(tests):
                    overall = tests.set_index("test")["p_holm_all"]
                    rows.append(
                        [
                            parameter_name(parameter),
                            phase,
                            region,
                            p_value(float(by_test.get("anova", float("nan")))),
                            p_value(float(by_test.get(test, float("nan")))),
                            p_value(float(overall.get(test, float("nan")))),
                        ]
                    )
    header = ["parameter", "phase", "region", "ANOVA p", f"{name} p", "Holm over all"]
    return "\n".join(
        [
            entry("groups", f"{counts} ({'patients/' if has_values else ''}lesions)"),
            entry("report", [statistics.report]),
            "",
            table(header, rows),
        ]
    )
