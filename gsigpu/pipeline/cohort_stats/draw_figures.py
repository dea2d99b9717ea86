"""The figures of a report, each kind by itself, drawn and saved; large cohorts on several processors.

Figures of the values themselves are begun before there are results, so that processors draw while others test, and none
waits at the end. A figure's bytes follow from the observations and results alone, so it is the same wherever and whenever
it was drawn.
"""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from gsigpu.pipeline.cohort_stats.processes import Processes
from gsigpu.report import figures_roc, figures_values, figures_within
from gsigpu.report.cohort_results import Results
from gsigpu.report.figure_style import Drawing, Drawn, house_style, save
from gsigpu.tables.observations import Observations


@dataclass(frozen=True, slots=True)
class Sheets:
    """What figures are drawn from, and where to.

    results : None while there are none; kinds OF_VALUES need none
    gallery : address of the run's gallery relative to the folder, "" without one
    parameter : whose figures alone are drawn, "" for all
    """

    observations: Observations
    results: Results | None
    gallery: str
    folder: Path
    parameter: str = ""

    @property
    def shown(self) -> Observations:
        """The observations, of the one parameter where one is named."""
        if not self.parameter:
            return self.observations
        return replace(self.observations, parameters=(self.parameter,))

    @property
    def known_results(self) -> Results:
        """The results, which are there by now."""
        assert self.results is not None
        return self.results


def _as_list(drawing: Drawing | None) -> list[Drawing]:
    return [] if drawing is None else [drawing]


# In the order of the page.
KINDS: Mapping[str, Callable[[Sheets], Sequence[Drawing]]] = {
    "distributions": lambda s: figures_values.distributions(s.shown, s.gallery),
    "paired lines": lambda s: figures_within.paired_lines(s.shown),
    "spectral curves": lambda s: _as_list(
        figures_values.spectral_curves(s.observations, s.known_results)
    ),
    "profiles": lambda s: _as_list(figures_values.profiles(s.observations, s.known_results)),
    "forest": lambda s: figures_roc.forest(s.observations, s.known_results),
    "roc": lambda s: figures_roc.roc_figures(s.observations, s.known_results, s.parameter),
    "calibration": lambda s: _as_list(figures_roc.calibration(s.observations, s.known_results)),
    "bland-altman": lambda s: figures_roc.bland_altman(s.observations, s.known_results),
}
OF_VALUES = ("distributions", "paired lines")
# A figure per parameter, each of which takes long enough to be drawn by itself.
_BY_PARAMETER = (*OF_VALUES, "roc")
# Drawn first, so that the last process to end is not alone for long.
_SLOW = ("roc", "forest")


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


class Figures(AbstractContextManager["Figures"]):
    """The figures of one run, kind by kind: other processes begin with them where that is worth it.

    The caller can test and write tables meanwhile. Where the table is small, or there is one processor, a kind is drawn
    when it is called for.
    """

    def __init__(self, sheets: Sheets, processes: Processes, kinds: Sequence[str]) -> None:
        """`sheets` without results; `kinds` of KINDS, of which those OF_VALUES are begun on entering."""
        self._sheets = sheets
        self._processes = processes
        self.kinds = kinds
        self._elsewhere = bool(kinds) and processes.worth(len(sheets.observations.table))
        self._futures: dict[str, list[Future[list[Drawn]]]] = {}
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)

    def __enter__(self) -> Figures:
        if self._elsewhere:
            # Once into a file, and not once for each figure through a pipe: a large cohort is tens of megabytes.
            self._store("observations", self._sheets)
            self._submit([kind for kind in self.kinds if kind in OF_VALUES])
        return self

    def begin(self, results: Results) -> None:
        """The results are there: all other figures can be drawn."""
        self._sheets = replace(self._sheets, results=results)
        if self._elsewhere:
            self._store("results", results)
            others = [kind for kind in self.kinds if kind not in OF_VALUES]
            self._submit(sorted(others, key=lambda kind: kind not in _SLOW))

    def of(self, kind: str) -> list[Drawn]:
        """The figures of a kind, in the order of the page, when they are drawn."""
        if not self._elsewhere:
            return draw(kind, self._sheets)
        return [drawn for part in self._futures[kind] for drawn in part.result()]

    def __exit__(self, *_: object) -> None:
        # After an error, no process may write into a folder that is taken away.
        futures = [future for parts in self._futures.values() for future in parts]
        for future in futures:
            future.cancel()
        wait(futures)
        self._folder.cleanup()

    def _store(self, name: str, content: Sheets | Results) -> None:
        stored = Path(self._folder.name) / name
        stored.write_bytes(pickle.dumps(content, pickle.HIGHEST_PROTOCOL))

    def _submit(self, kinds: Sequence[str]) -> None:
        for kind in kinds:
            parameters = self._sheets.observations.parameters if kind in _BY_PARAMETER else ("",)
            self._futures[kind] = [
                self._processes.pool.submit(_draw_there, kind, parameter, Path(self._folder.name))
                for parameter in parameters
            ]


def _draw_there(kind: str, parameter: str, folder: Path) -> list[Drawn]:
    results = None if kind in OF_VALUES else _stored(folder / "results")
    return draw(
        kind, replace(_stored(folder / "observations"), results=results, parameter=parameter)
    )


@lru_cache(maxsize=2)
def _stored(path: Path) -> Any:
    return pickle.loads(path.read_bytes())  # noqa: S301  # from our own process
