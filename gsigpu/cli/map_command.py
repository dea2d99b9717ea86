"""`gsigpu map`: maps of a study, written as DICOM or as volumes."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gsigpu.choices import COMPRESSIONS, DEFAULT_MAPS, DEFAULT_SLOPE
from gsigpu.cli import measure_words, options, several_studies, volume_options
from gsigpu.cli.console import TerminalWatcher, entry, split_numbers, table
from gsigpu.cli.mask_options import MaskOptions, require_drawn
from gsigpu.cli.messages import warn
from gsigpu.cli.spread import spread
from gsigpu.cli.study_places import StudyPlace
from gsigpu.errors import SettingsError

if TYPE_CHECKING:
    from gsigpu.backends import BackendName
    from gsigpu.pipeline.map.map_study import MapResult
    from gsigpu.pipeline.measure.map_companion import MeasureCompanion


Compression = StrEnum("Compression", {name: name for name in COMPRESSIONS})  # type: ignore[misc]


@spread("masks", MaskOptions)
def map_command(
    folders: several_studies.StudiesOrVolumes = None,
    *,
    nifti: volume_options.Volumes = None,
    out: Annotated[
        Path,
        typer.Option(
            "-o", "--out", metavar="OUT", help="Folder to write; complete or absent afterwards."
        ),
    ],
    maps: Annotated[
        list[str],
        options.list_option(
            "--maps",
            text="lambda-hu, lambda-hu[A-B], iodine, water, vnc, mono-E, electron-density, zeff, residual, sigma-lambda-hu, sigma-iodine, fat-fraction, MATERIAL[A-B] (calcium[water-calcium])",
            default=",".join(DEFAULT_MAPS),
        ),
    ],
    slope: Annotated[
        str, typer.Option("--slope", help="What lambda-hu means: paper, A-B, A-B/D or fit:A-B.")
    ] = DEFAULT_SLOPE,
    phase: options.PhaseOrAll = None,
    series: options.SeriesChoice,
    energies: options.Energies,
    output_format: Annotated[
        options.Format,
        typer.Option(
            "--format",
            help="ct: CT series; pm: Parametric Map; nii.gz: NIfTI, compressed; rgb: colour overlay as secondary capture.",
        ),
    ] = options.Format.ct,
    masks: MaskOptions,
    outside: Annotated[
        options.Outside | None,
        typer.Option(
            "--outside",
            help="What lies around the patient; keep if not given, and blank for rgb.",
        ),
    ] = None,
    compress: Annotated[
        Compression | None,
        typer.Option("--compress", help="Compress CT series without loss; not if not given."),
    ] = None,
    dicom: Annotated[
        bool,
        typer.Option(
            "--dicom",
            help="Also OUT/MAP.pr.dcm: each map in colour over the image at 70 keV, as a presentation state; with --mask"
            " with outlines, and OUT/measurements.seg.dcm, .sr.dcm and .pr.dcm.",
        ),
    ] = False,
    backend: options.BackendChoice = options.Backend.auto,
    workers: options.Threads = None,
    energy: options.Energy,
    phase_of: options.PhaseOf,
    kind: options.KindOf,
    patterns: options.PatternFile = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace OUT, once the new is complete.")
    ] = False,
    dry_run: options.DryRun = False,
    as_json: options.AsJson = False,
) -> None:
    """Compute λHU, iodine and other maps of a spectral study, and write them.

    With --mask, regions are measured in the same reading, into OUT/measurements.csv: the maps, the CT value and the
    curve, as `gsigpu measure` does with the same --slope and --maps.

    Several studies go to OUT/NAME each; `ls -d /data/* | gsigpu map - -o maps` reads their names from standard input.
    In a path of a mask {study} stands for the study's path and {name} for its name.

    Example: gsigpu map /data/study-0042 -o maps --phase PVP --slope 40-100
    """
    from gsigpu.pipeline.map.map_phases import map_phases
    from gsigpu.pipeline.map.map_study import map_study

    def maps_of(folder: Path | None, out: Path) -> several_studies.Outcome:
        place = None if folder is None else StudyPlace.of(folder)
        measuring = partial(
            _companion,
            place,
            masks,
            maps=maps,
            slope=slope,
            backend=backend.value,
            with_dicom=dicom,
        )
        companions: list[MeasureCompanion | None] = []

        def next_companion() -> MeasureCompanion | None:
            companions.append(measuring())
            return companions[-1]

        first = measuring()  # what is wrong with the masks' options is told before a header is read
        protected = [] if first is None else [path for path, _ in first.masks.named]
        watcher = TerminalWatcher({"scan": "reading headers", "map": "computing maps"})
        study = volume_options.read_images(
            folder,
            nifti,
            watcher,
            phase=phase,
            energy=energy,
            phase_of=phase_of,
            kind=kind,
            patterns=patterns,
        )
        warn(study.warnings)  # now: they may be the reason of what fails below
        request: dict[str, Any] = {
            "maps": maps,
            "slope": slope,
            "series": series,
            "energies_kev": split_numbers(energies, "--energies"),
            "output_format": output_format.value,
            "outside": None if outside is None else outside.value,
            "with_dicom": dicom,
            "compress": None if compress is None else compress.value,
            "backend": backend.value,
            "watcher": watcher,
        }
        if dry_run:
            require_drawn(masks.segment)
            from gsigpu.pipeline.dry_run import dry_map

            planned = dry_map(
                study,
                out,
                phase=phase,
                all_phases=phase == options.ALL_PHASES,
                overwrite=overwrite,
                companion_of=next_companion,
                **request,
            )
            return several_studies.Outcome(*options.told_plan(planned, told=study.warnings))
        request |= {"n_workers": workers, "overwrite": overwrite}
        if phase == options.ALL_PHASES:
            results = list(
                map_phases(
                    study, out, companion_of=next_companion, protected=protected, **request
                ).values()
            )
        else:
            results = [map_study(study, out, phase=phase, companion=next_companion(), **request)]
        told = [
            _told(result, companion, n_known=len(study.warnings))
            for result, companion in zip(results, companions, strict=True)
        ]
        records = [record for record, _ in told]
        failed = [
            failure
            for companion in companions
            if companion is not None and companion.measurement is not None
            for failure in companion.measurement.failures
        ]
        of_all = {"out": str(out), "phases": records}
        return several_studies.Outcome(
            record=of_all if phase == options.ALL_PHASES else records[0],
            text="\n\n".join(text for _, text in told),
            failures=[failure.error for failure in failed],
        )

    studies = several_studies.given_studies(folders)
    several_studies.require_one(studies, {"--nifti": nifti})
    if len(studies.paths) > 1:
        masks.require_of_each_study()
    several_studies.run_studies(studies, out, maps_of, as_json=as_json)


def _told(
    result: MapResult, companion: MeasureCompanion | None, *, n_known: int
) -> tuple[dict[str, Any], str]:
    """What came of a phase, for `--json` and for a person; its warnings are printed.

    n_known : warnings of the study, which were printed before
    """
    warn(result.warnings[n_known:])
    record, text = result.as_dict(), summary(result)
    measurement = None if companion is None else companion.measurement
    if companion is not None and measurement is not None:
        tables = [result.out / name for name in companion.written]
        warn(measure_words.ids_to_read_as_text(measurement.table, tables[0]))
        record["measurement"] = measure_words.as_record(measurement, tables)
        text += f"\n\n{measure_words.summary(measurement, tables)}"
    return record, text


def _companion(
    place: StudyPlace | None,
    masks: MaskOptions,
    *,
    maps: list[str],
    slope: str,
    backend: BackendName,
    with_dicom: bool,
) -> MeasureCompanion | None:
    """The measurement that goes along; None where no mask is given.

    Raises SettingsError for what is said of masks where there is none.
    """
    if not masks.name_any_region:
        if masks.say_anything:
            raise SettingsError("no mask of lesions", remedy="name one with --mask")
        return None
    from gsigpu.pipeline.measure.map_companion import MeasureCompanion, settings_of_maps
    from gsigpu.pipeline.measure.measurement import MeasureSettings
    from gsigpu.pipeline.measure.measurement_rows import CaseLabels

    return MeasureCompanion(
        masks.files(place),
        settings=settings_of_maps(MeasureSettings(), maps=maps, slope=slope),
        labels=CaseLabels(case_id="" if place is None else place.name),
        backend=backend,
        with_dicom=with_dicom,
    )


def summary(result: MapResult) -> str:
    """What a run did, for a person."""
    from gsigpu.backends.device import why_no_gpu

    stack, report = result.stack, result.report
    shape = " x ".join(map(str, stack.geometry.shape))
    kev = ", ".join(f"{kev:g}" for kev in stack.energies_kev)
    used = (
        f"GPU, {report.slab_slices} slices at a time"
        if report.backend == "gpu"
        else f"CPU, {report.n_workers} threads"
    )
    if report.backend == "cpu" and (reason := why_no_gpu()):
        used += f" (no GPU: {reason.split(' (')[0]})"
    lines = [
        entry(
            "read",
            f"{len(stack.series)} energies ({kev} keV), {shape} voxels"
            + (f", phase {stack.phase}" if stack.phase else ""),
        ),
        entry("backend", used),
        f"took     {report.seconds['elapsed']:.2f} s, {report.n_slices / report.seconds['elapsed']:.0f} slices/s",
        "",
        table(
            ["map", "unit", "definition"],
            [
                [definition.name, definition.unit.display or "1", definition.formula]
                for definition in result.definitions
            ],
        ),
        "",
        entry("wrote", list(result.folders.values())),
    ]
    if result.states:
        lines.append(entry("states", list(result.states.values())))
    return "\n".join(lines)
