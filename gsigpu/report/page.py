"""The report as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from gsigpu.report.cautions import cautions, roc_notes, warnings_of
from gsigpu.report.checklist import checklist_tables
from gsigpu.report.cohort_results import Results
from gsigpu.report.decision_tables import decisions_table, rest_table, within_table
from gsigpu.report.disagreement_table import disagreement_table
from gsigpu.report.figure_style import Drawn, inline_svg
from gsigpu.report.flow_boxes import flow_boxes, flow_table
from gsigpu.report.further_tables import FurtherPart, further_parts
from gsigpu.report.methods import methods
from gsigpu.report.other_tables import (
    binormal_table,
    comparison_table,
    models_table,
    power_table,
    reader_table,
    readings_table,
)
from gsigpu.report.pairs_told_apart import pairs_told_apart
from gsigpu.report.paper_tables import (
    TRACKS,
    Lookup,
    cells_of,
    group_table,
    pairwise_table,
)
from gsigpu.report.plan_words import plan_words
from gsigpu.report.roc_tables import roc_tables
from gsigpu.report.row_tables import MOST_OPEN_ROWS
from gsigpu.report.sentences import disagreement_words, summary
from gsigpu.report.source_study import CITATION
from gsigpu.report.table_cells import Cell, Table, definition_words, with_unit
from gsigpu.report.table_one import table_one
from gsigpu.tables.observations import Observations

DEFAULT_TITLE = "Spectral CT of liver metastases: groups compared"
_MANY_COLUMNS = 11
_LEGIBLE = 0.62  # of a figure's own size, below which its text is too small to read


@dataclass(frozen=True, slots=True)
class Art:
    """A figure on the page.

    svg : an element
    alt : what is seen, for who does not see it
    least : width in pixels below which the figure scrolls in its box
    """

    name: str
    title: str
    caption: str
    alt: str
    svg: str
    least: int


@dataclass(frozen=True, slots=True)
class Tables:
    """All tables of the page, which are also files.

    by_parameter : parameter -> its table on each track
    disagreements : parameter -> where its tracks decide differently, if anywhere
    """

    table_one: Table | None
    by_parameter: Mapping[str, Sequence[Table]]
    roc: Sequence[Table]
    pairs: Mapping[str, Sequence[Table]]
    binormal: Table | None
    comparisons: Table | None
    models: Table | None
    pair_models: Table | None
    readers: Table | None
    power: Table | None
    checklists: Sequence[Table]
    told_apart: Table | None = None
    decisions: Table | None = None
    against_rest: Table | None = None
    within: Table | None = None
    readings: Table | None = None
    flow: Table | None = None
    disagreements: Mapping[str, Table] = field(default_factory=dict)
    further: Sequence[FurtherPart] = ()

    def files(self) -> list[Table]:
        """In the order of the page, without the pairs, which pairwise.csv holds in full."""
        more = (
            self.against_rest,
            self.decisions,
            self.within,
            self.readings,
            self.binormal,
            self.comparisons,
            self.models,
            self.pair_models,
            self.readers,
            self.power,
        )
        return [
            *([] if self.told_apart is None else [self.told_apart]),
            *(table for table in (self.flow, self.table_one) if table is not None),
            *(table for tracks in self.by_parameter.values() for table in tracks),
            *self.roc,
            *self.disagreements.values(),
            *(table for table in more if table is not None),
            *(part.table for part in self.further),
            *self.checklists,
        ]


def tables_of(observations: Observations, results: Results) -> Tables:
    """Everything that is printed as a table."""
    lookup = Lookup.of(results)
    pairs = {
        parameter: [
            pairwise_table(
                observations, lookup, phase, region, parameter, interval_name=results.interval
            )
            for phase, region in cells_of(observations)
        ]
        for parameter in observations.parameters
    }
    return Tables(
        table_one=table_one(observations) if results.has_values else None,
        by_parameter={
            parameter: [
                group_table(observations, lookup, parameter, track, number_of) for track in TRACKS
            ]
            for number_of, parameter in enumerate(observations.parameters, start=1)
        },
        disagreements={
            parameter: table
            for parameter in observations.parameters
            for table in [disagreement_table(results, parameter)]
            if table is not None
        },
        flow=flow_table(observations, results),
        roc=roc_tables(observations, results),
        pairs={
            name: [table for table in tables_of_parameter if table.rows]
            for name, tables_of_parameter in pairs.items()
        },
        binormal=binormal_table(observations, results),
        comparisons=comparison_table(results),
        models=models_table(results, "multinomial"),
        pair_models=models_table(results, "logistic"),
        readers=reader_table(observations, results),
        power=power_table(results),
        checklists=checklist_tables(observations, results),
        told_apart=pairs_told_apart(observations, results),
        decisions=decisions_table(results),
        against_rest=rest_table(results),
        within=within_table(results),
        readings=readings_table(observations),
        further=further_parts(observations, results),
    )


def render(
    observations: Observations,
    results: Results,
    tables: Tables,
    drawings: Sequence[Drawn],
    provenance: Sequence[tuple[str, str]],
    version: str,
    title: str = "",
) -> str:
    """The page.

    drawings : figures, in the order of the page
    provenance : name and value, for a person
    title : of the page; `DEFAULT_TITLE` if empty
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("gsigpu", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=False,
        keep_trailing_newline=True,
    )
    environment.globals.update(left=Table.stands_over_words, classes=_classes, density=_density)
    art = {
        drawn.name: Art(
            name=drawn.name,
            title=drawn.title,
            caption=drawn.caption,
            alt=drawn.alt or drawn.caption,
            svg=inline_svg(drawn.svg, drawn.name),
            least=round(drawn.width * 96 * _LEGIBLE),
        )
        for drawn in drawings
    }
    of_kind = {
        kind: [markup for name, markup in art.items() if name.startswith(kind)]
        for kind in ("roc", "forest", "bland_altman", "distribution", "within")
    }
    content: dict[str, Any] = {
        "title": title or DEFAULT_TITLE,
        "source": source_name(observations.source),
        "version": version,
        "style": _read("report.css"),
        "summary": summary(observations, results),
        "told_apart": tables.told_apart,
        "decisions": tables.decisions,
        "against_rest": tables.against_rest,
        "within": tables.within,
        "readings": tables.readings,
        "plan": plan_words(results),
        "methods": methods(observations, results),
        "warnings": warnings_of(observations, results),
        "has_values": results.has_values,
        "flow": flow_boxes(observations, results),
        "table_one": tables.table_one,
        "parameters": list(_parameters(observations, results, tables, of_kind["distribution"])),
        "forest": of_kind["forest"],
        "roc": of_kind["roc"],
        "roc_tables": tables.roc,
        "within_figures": of_kind["within"],
        "source_study": CITATION,
        "roc_notes": roc_notes(observations, results),
        "binormal": tables.binormal,
        "comparisons": tables.comparisons,
        "models": tables.models,
        "pair_models": tables.pair_models,
        "calibration": art.get("calibration"),
        "curves": art.get("spectral_curves"),
        "profiles": art.get("profiles"),
        "readers": tables.readers,
        "bland_altman": of_kind["bland_altman"],
        "power": tables.power,
        "further": tables.further,
        "most_open_rows": MOST_OPEN_ROWS,
        "cautions": cautions(observations, results),
        "checklists": tables.checklists,
        "provenance": provenance,
    }
    content["sections"] = _sections(content)
    return environment.get_template("report.html.j2").render(content)


def _sections(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Those that the page has."""
    known = [
        ("summary", "Summary", True),
        ("flow", "Patients and lesions", True),
        ("groups", "Groups compared", True),
        ("roc", "Pairs told apart", content["roc"] or content["binormal"]),
        ("within", "Within lesions", content["within"]),
        ("models", "Parameters combined", content["models"]),
        ("curves", "Curves and profiles", content["curves"] or content["profiles"]),
        ("readers", "Readers", content["readers"]),
        ("power", "Power", content["power"]),
        ("further", "Further analyses", content["further"]),
        ("methods", "Methods, to paste", True),
        ("limits", "What to keep in mind", True),
        ("checklists", "Checklists", True),
        ("provenance", "Provenance", True),
    ]
    return [(key, name) for key, name, is_there in known if is_there]


def _parameters(
    observations: Observations, results: Results, tables: Tables, figures: Sequence[Art]
) -> Iterator[dict[str, Any]]:
    shown: Sequence[Art | None] = figures or [None] * len(observations.parameters)
    for parameter, figure in zip(observations.parameters, shown, strict=True):
        members = [m for m in results.disagreements if m.parameter == parameter]
        yield {
            "name": with_unit(parameter, observations.units.get(parameter, "")),
            "definition": definition_words(observations.definitions.get(parameter, "")),
            "figure": figure,
            "tracks": tables.by_parameter[parameter],
            "pairs": tables.pairs[parameter],
            "compared": bool(members),
            "disagreements": tables.disagreements.get(parameter),
            "disagreement_words": disagreement_words(members),
        }


def source_name(source: Path) -> str:
    """A table's name; that of a cohort run goes by the run's.

    >>> source_name(Path("/data/run/measurements")), source_name(Path("/data/table.csv"))
    ('run/measurements', 'table.csv')
    """
    return f"{source.parent.name}/{source.name}" if source.stem == "measurements" else source.name


def _density(table: Table) -> str:
    """A class for tables of many columns."""
    return "dense" if sum(cell.span for cell in table.header[-1]) > _MANY_COLUMNS else ""


def _classes(cell: Cell) -> str:
    names = [cell.kind, cell.tone, "strong" if cell.strong else ""]
    if cell.kind == "text" and len(cell.text) > 34:
        names.append("wrap")
    return " ".join(name for name in names if name)


def _read(name: str) -> str:
    return files("gsigpu.report").joinpath(name).read_text(encoding="utf-8")
