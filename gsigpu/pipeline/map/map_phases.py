"""`gsigpu map --phase all`: the maps of every phase of a study, a folder for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from gsigpu.dicom.model import Study
from gsigpu.output.staging import staged_folder
from gsigpu.pipeline.choose_stack import phase_word, phases_of
from gsigpu.pipeline.map.companion import Companion
from gsigpu.pipeline.map.map_study import MapResult, map_study
from gsigpu.pipeline.scanned_study import scan
from gsigpu.pipeline.stack_source import PlaneStore


def map_phases(
    study: Path | str | Study,
    out: Path | str,
    *,
    overwrite: bool = False,
    companion_of: Callable[[], Companion | None] = lambda: None,
    protected: Iterable[Path | str] = (),
    **options: Any,
) -> dict[str, MapResult]:
    """Computes the maps of every phase of a study.

    out : a folder that is not there yet, or is empty; OUT/PHASE is what `map_study` writes. All of it or nothing
    companion_of : makes what shares the reading of a phase
    protected : files that must not be taken away with `out`, beside the study
    options : those of `map_study` but phase
    Returns phase -> its result, in the order of the study.
    Raises what `map_study` raises, of the first phase that fails.
    """
    out = Path(out)
    if not isinstance(study, Study):
        study = scan(study)
    results: dict[str, MapResult] = {}
    store = PlaneStore(of_phases=True)
    with staged_folder(
        out, command="map", overwrite=overwrite, protected=[study.root, *map(Path, protected)]
    ) as folder:
        for phase in phases_of(study):
            name = phase_word(phase)
            result = map_study(
                study, folder / name, phase=phase, companion=companion_of(), store=store, **options
            )
            results[result.stack.phase] = _moved(result, folder, out)
    return results


def _moved(result: MapResult, staged: Path, final: Path) -> MapResult:
    """A result whose files have come to their place."""

    def place(path: Path) -> Path:
        return final / path.relative_to(staged)

    return replace(
        result,
        out=place(result.out),
        folders={name: place(path) for name, path in result.folders.items()},
        states={name: place(path) for name, path in result.states.items()},
    )
