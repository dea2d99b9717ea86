"""The figures of a report, each kind by itself, drawn and saved; large cohorts on several processors.

A figure's bytes follow from the observations and results alone, so it is the same wherever it was drawn.
"""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from gsigpu.pipeline.cohort_stats.processes import Processes
from gsigpu.report import figures_roc, figures_values, figures_within
from gsigpu.report.cohort_results import Results
from gsigpu.report.figure_style import Drawing, Drawn, house_style, save
from gsigpu.tables.observations import Observations


@dataclass(frozen=True, slots=True)
class Sheets:
    """What figures are drawn from, and where to.

    gallery : address of the run's gallery relative to the folder, "" without one
    """

    observations: Observations
    results: Results
    gallery: str
    folder: Path


def _as_list(drawing: Drawing | None) -> list[Drawing]:
    return [] if drawing is None else [drawing]


# In the order of the page.
KINDS: Mapping[str, Callable[[Sheets], Sequence[Drawing]]] = {
    "distributions": lambda s: figures_values.distributions(s.observations, s.gallery),
    "paired lines": lambda s: figures_within.paired_lines(s.observations),
    "spectral curves": lambda s: _as_list(
        figures_values.spectral_curves(s.observations, s.results)
    ),
    "profiles": lambda s: _as_list(figures_values.profiles(s.observations, s.results)),
    "forest": lambda s: figures_roc.forest(s.observations, s.results),
    "roc": lambda s: figures_roc.roc_figures(s.observations, s.results),
    "calibration": lambda s: _as_list(figures_roc.calibration(s.observations, s.results)),
    "bland-altman": lambda s: figures_roc.bland_altman(s.observations, s.results),
}


def draw(kind: str, sheets: Sheets) -> list[Drawn]:
    """Draws and saves the figures of one kind; one after the other, so that few are in memory."""
    drawn = []
    with house_style():
        for drawing in KINDS[kind](sheets):
            save(drawing, sheets.folder)
            drawn.append(
                Drawn(
                    name=drawing.name,
                    title=drawing.title,
                    caption=drawing.caption,
                    alt=drawing.alt,
                    svg=(sheets.folder / f"{drawing.name}.svg").read_text("utf-8"),
                    width=float(drawing.figure.get_figwidth()),
                )
            )
    return drawn


@contextmanager
def drawing(sheets: Sheets, processes: Processes) -> Iterator[Callable[[str], list[Drawn]]]:
    """Inside, what gives the figures of a kind: other processes have begun with them where that is worth it.

    The caller can write tables meanwhile. Where the table is small, or there is one processor, a kind is drawn when it is
    called for.
    """
    if not processes.worth(len(sheets.observations.table)):
        yield lambda kind: draw(kind, sheets)
        return
    # Once into a file, and not once for each kind through a pipe: a large cohort is tens of megabytes.
    with tempfile.TemporaryDirectory() as folder:
        stored = Path(folder) / "sheets"
        stored.write_bytes(pickle.dumps(sheets, pickle.HIGHEST_PROTOCOL))
        futures: dict[str, Future[list[Drawn]]] = {
            kind: processes.pool.submit(_draw_there, kind, stored)
            for kind in sorted(KINDS, key=lambda kind: kind not in _SLOW)
        }
        yield lambda kind: futures[kind].result()


# Drawn first, so that the last process to end is not alone for long.
_SLOW = ("roc", "distributions", "paired lines", "forest")


def _draw_there(kind: str, stored: Path) -> list[Drawn]:
    return draw(kind, _sheets_of(stored))


@lru_cache(maxsize=1)
def _sheets_of(stored: Path) -> Sheets:
    sheets: Sheets = pickle.loads(stored.read_bytes())  # noqa: S301  # from our own process
    return sheets
