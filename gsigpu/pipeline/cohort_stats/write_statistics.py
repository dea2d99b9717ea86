"""`gsigpu cohort stats`: from the measurement table to tests, tables, figures and the report."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from gsigpu.cohort_statistics.groups.combat import require_combat
from gsigpu.errors import SettingsError
from gsigpu.fewer_collections import fewer_collections
from gsigpu.optional_packages import require_extra
from gsigpu.output.staging import staged_folder
from gsigpu.pipeline.cohort_stats.applied_cutoffs import applied_cutoffs
from gsigpu.pipeline.cohort_stats.classes_of_lesions import require_classes
from gsigpu.pipeline.cohort_stats.declared_beforehand import require_planned, with_plan
from gsigpu.pipeline.cohort_stats.draw_figures import KINDS, Figures, Sheets
from gsigpu.pipeline.cohort_stats.family_members import analyse
from gsigpu.pipeline.cohort_stats.from_summary import analyse_summary, observations_of_summary
from gsigpu.pipeline.cohort_stats.processes import Processes
from gsigpu.pipeline.progress import SILENT, Watcher
from gsigpu.pipeline.workers import default_workers
from gsigpu.report.cautions import directions, remedies_of, warnings_of
from gsigpu.report.cohort_results import Results, StatisticsSettings
from gsigpu.report.figure_style import Drawn
from gsigpu.report.flow_boxes import frame_of_flow
from gsigpu.report.methods import methods
from gsigpu.report.page import DEFAULT_TITLE, Tables, render, source_name, tables_of
from gsigpu.report.table_cells import definition_words, with_unit
from gsigpu.report.table_files import in_file_order, write_frames, write_tables
from gsigpu.report.word_file import write_word_file
from gsigpu.report.workbook import write_workbook
from gsigpu.tables.cutoff_table import MEANING
from gsigpu.tables.observations import Choice, Observations, read_observations
from gsigpu.tables.review_decisions import read_decisions
from gsigpu.tables.summary_table import is_summary, read_summary
from gsigpu.version import __version__

_LIBRARIES = (
    "numpy", "scipy", "pandas", "statsmodels", "scikit-learn", "tableone", "matplotlib",
)  # fmt: skip
_PROVENANCE = "provenance.json"
_CUT = (
    "roc",
    "against_rest",
)  # files with cut-offs, which say of what, so that another study can take them
_NEEDED_BYTES = 100 * 2**20


@dataclass(frozen=True, slots=True)
class CohortStatistics:
    """What `cohort_stats` found and wrote.

    out : the folder
    report : its HTML file
    warnings : for a person to read
    """

    out: Path
    report: Path
    observations: Observations
    results: Results
    tables: Tables
    warnings: tuple[str, ...]

    def frame(self, name: str) -> pd.DataFrame:
        """One of the results by the name of its file: `omnibus`, `pairwise`, `roc`, ..."""
        return in_file_order(name, self.results.frames.named()[name])


def cohort_stats(
    table: Path | str,
    out: Path | str,
    *,
    choice: Choice | None = None,
    settings: StatisticsSettings | None = None,
    patients: Path | str | None = None,
    cutoffs: Path | str | None = None,
    exclusions: Path | str | None = None,
    title: str = "",
    overwrite: bool = False,
    n_workers: int | None = None,
    watcher: Watcher = SILENT,
) -> CohortStatistics:
    """Compares the groups of a measurement table, and writes tests, tables, figures and a report.

    table : CSV, Parquet, a folder of Parquet, or the folder of `gsigpu cohort run`; or a published table of
        group, n, mean, sd, from which what can be computed is
    out : a folder, complete or absent afterwards
    choice : which groups, phases, regions, parameters and reader
    settings : replicates, seed, directions
    patients : a table with patient_id and any of sex, age; the manifest is one
    cutoffs : the roc.csv of another study, whose cut-offs are judged on these lesions
    exclusions : decisions of readers on lesions, as the gallery saves them; these lesions are left out and counted
    title : of the page and the Word document
    n_workers : processes, all processors if not given; small tables need one only. They are started anew,
        so a script that calls this keeps its own work under `if __name__ == "__main__":`.
    Same table, same seed, same bytes, whatever the number of workers.

    Raises TableProblems with everything that is wrong with the table, InputError, SettingsError, and
    OutputError if `out` is taken, MissingDependency.
    """
    table, out = Path(table), Path(out)
    choice, settings = with_plan(choice or Choice(), settings or StatisticsSettings())
    require_extra("gsigpu cohort stats", "report")
    if settings.combat:
        require_combat()
    protected = [
        table,
        *(Path(given) for given in (patients, cutoffs, exclusions) if given is not None),
    ]
    with (
        staged_folder(
            out,
            overwrite=overwrite,
            command="cohort stats",
            n_bytes=_NEEDED_BYTES,
            protected=protected,
        ) as folder,
        Processes(n_workers or default_workers()) as processes,
        fewer_collections(),
    ):
        with watcher.stage("read") as progress:
            progress(0, 1)
            processes.begin(table.stat().st_size if table.is_file() else 0)
            summary = is_summary(table)
            decisions = () if exclusions is None else read_decisions(Path(exclusions))
            if summary and settings.plan is not None:
                raise SettingsError(
                    "--plan marks tests of lesions, and the table holds groups' means alone",
                    remedy="leave --plan out",
                )
            if summary and decisions:
                raise SettingsError(
                    "--exclusions names lesions, and the table holds groups' means alone",
                    remedy="give the table of measurements",
                )
            observations = (
                observations_of_summary(read_summary(table, choice.groups))
                if summary
                else read_observations(
                    table,
                    replace(choice, columns=settings.columns),
                    patients=None if patients is None else Path(patients),
                    decisions=decisions,
                    plan=settings.plan,
                )
            )
            _require_known(observations, settings)
            require_classes(observations.columns, settings)
            if settings.plan is not None:
                require_planned(observations, settings.plan)
            applied, unused = (
                (None, ()) if cutoffs is None else applied_cutoffs(Path(cutoffs), observations)
            )
            progress(1, 1)
        gallery = _gallery(observations.source, out)
        sheets = Sheets(observations, None, gallery, folder / "figures")
        with Figures(sheets, processes, () if summary else tuple(KINDS)) as figures:
            with watcher.stage("test") as progress:
                if summary:
                    results = analyse_summary(observations, settings)
                else:
                    results = analyse(
                        observations,
                        settings,
                        processes=processes,
                        progress=progress,
                        applied=applied,
                    )
            with watcher.stage("report") as progress:
                figures.begin(results)
                tables = _write(
                    folder, observations, results, title or DEFAULT_TITLE, figures, progress
                )
    return CohortStatistics(
        out=out,
        report=out / "report.html",
        observations=observations,
        results=results,
        tables=tables,
        warnings=(
            *unused,
            *warnings_of(observations, results),
            *remedies_of(observations, results),
        ),
    )


def _require_known(observations: Observations, settings: StatisticsSettings) -> None:
    """Directions are of parameters and groups that there are."""
    named = [*settings.directions, *(parameter for parameter, _, _ in settings.pair_directions)]
    unknown = [
        parameter for parameter in dict.fromkeys(named) if parameter not in observations.parameters
    ]
    groups = {group for _, a, b in settings.pair_directions for group in (a, b)}
    unknown += sorted(groups - set(observations.groups))
    if unknown:
        raise SettingsError(
            f"--direction names {', '.join(unknown)}, which is not compared",
            remedy=f"parameters are {', '.join(observations.parameters)}, groups {', '.join(observations.groups)}",
        )


def _write(
    folder: Path,
    observations: Observations,
    results: Results,
    title: str,
    figures: Figures,
    progress: Callable[[int, int], None],
) -> Tables:
    frames = {name: in_file_order(name, frame) for name, frame in results.frames.named().items()}
    for name in _CUT:
        frames[name] = _with_meaning(frames[name], observations)
    frames["flow"] = frame_of_flow(observations)
    frames["missing"] = observations.missing
    write_frames(folder, frames)
    tables = tables_of(observations, results)
    write_tables(folder / "tables", tables.files())
    write_workbook(folder / "results.xlsx", frames)
    write_workbook(folder / "tables" / "tables.xlsx", {}, tables.files())
    write_word_file(
        folder / "report.docx",
        title=title,
        paragraphs=methods(observations, results),
        tables=tables.files(),
    )
    drawn: list[Drawn] = []
    for done, kind in enumerate(figures.kinds):
        progress(done, len(figures.kinds))
        drawn += figures.of(kind)
    progress(max(1, len(figures.kinds)), max(1, len(figures.kinds)))
    provenance = _provenance(observations, results)
    text = json.dumps(provenance, indent=2, ensure_ascii=False, sort_keys=True)
    (folder / _PROVENANCE).write_text(text + "\n", "utf-8")
    page = render(
        observations,
        results,
        tables,
        drawn,
        _for_a_person(provenance, observations, results),
        __version__,
        title,
    )
    (folder / "report.html").write_text(page, "utf-8")
    return tables


def _with_meaning(frame: pd.DataFrame, observations: Observations) -> pd.DataFrame:
    """With unit and definition of each row's parameter."""
    words = {"unit": observations.units, "definition": observations.definitions}
    return frame.assign(**{name: frame["parameter"].map(words[name]) for name in MEANING})


def _gallery(source: Path, out: Path) -> str:
    """The address of the gallery that a cohort run wrote beside its table, from the figures' folder; or nothing."""
    page = source.parent / "review" / "index.html"
    if source.stem != "measurements" or not page.is_file():
        return ""
    try:
        return quote(Path(os.path.relpath(page.resolve(), out.resolve() / "figures")).as_posix())
    except ValueError:  # another drive
        return ""


def _provenance(observations: Observations, results: Results) -> dict[str, Any]:
    return {
        "gsigpu": __version__,
        "libraries": {name: version(name) for name in _LIBRARIES},
        "table": {"name": source_name(observations.source), "sha256": observations.sha256},
        "choice": {
            "groups": list(observations.groups),
            "phases": list(observations.phases),
            "regions": list(observations.regions),
            "parameters": list(observations.parameters),
            "readers": list(observations.readers),
            "reader": _reader(observations),
        },
        "units": observations.units,
        "definitions": observations.definitions,
        "settings": results.settings.as_dict(),
        "flow": asdict(observations.flow),
        "not_computed": list(results.not_computed),
    }


def _reader(observations: Observations) -> str:
    used = observations.table["reader"].unique()
    return str(used[0]) if len(used) == 1 else ""


def _for_a_person(
    provenance: dict[str, Any], observations: Observations, results: Results
) -> list[tuple[str, str]]:
    chosen, settings = provenance["choice"], provenance["settings"]
    return [
        ("table", provenance["table"]["name"]),
        ("SHA-256 of the table", provenance["table"]["sha256"]),
        ("groups, in order", ", ".join(chosen["groups"])),
        ("phases", ", ".join(chosen["phases"]) or "not named"),
        ("regions", ", ".join(chosen["regions"])),
        (
            "parameters",
            "; ".join(
                ": ".join(
                    part
                    for part in (
                        with_unit(parameter, provenance["units"].get(parameter, "")),
                        definition_words(observations.definitions.get(parameter, "")),
                    )
                    if part
                )
                for parameter in chosen["parameters"]
            ),
        ),
        ("reader", chosen["reader"] or "not named"),
        ("directions", directions(observations, results)),
        ("seed, bootstrap replicates", f"{settings['seed']}, {settings['replicates']:,}"),
        ("confidence", f"{settings['confidence']:g}"),
        ("gsigpu", provenance["gsigpu"]),
        (
            "libraries",
            ", ".join(f"{name} {version}" for name, version in provenance["libraries"].items()),
        ),
    ]
