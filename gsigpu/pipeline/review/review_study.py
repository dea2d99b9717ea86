"""`gsigpu review`: a study and masks in, a page to look at out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from gsigpu.caution import Caution
from gsigpu.choices import DEFAULT_SLOPE
from gsigpu.dicom.model import SpectralStack, Study
from gsigpu.dicom.reading import card_frames
from gsigpu.dicom.reading.directory_records import study_name
from gsigpu.dicom.study.read_study import read_study
from gsigpu.dicom.study.stack import left_aside, select_stack
from gsigpu.errors import EmptyMask, GsigpuError, MaskError, SettingsError
from gsigpu.one_or_more import one_or_more
from gsigpu.output.staging import staged_folder
from gsigpu.phase_words import phase_name
from gsigpu.pipeline.choose_stack import ChosenStack, only_energies, phases_of
from gsigpu.pipeline.cohort_run.redaction import study_redactor
from gsigpu.pipeline.map.prepare_maps import label_doubts, label_sample
from gsigpu.pipeline.measure.given_masks import MaskFiles
from gsigpu.pipeline.measure.map_companion import MeasureCompanion
from gsigpu.pipeline.measure.measurement import Measurement, MeasureSettings
from gsigpu.pipeline.measure.measurement_rows import CaseLabels
from gsigpu.pipeline.measure.parameters import ParameterSettings
from gsigpu.pipeline.measure.shared_regions import SharedRegions
from gsigpu.pipeline.measure.shown_slices import shown_slices
from gsigpu.pipeline.progress import SILENT, Watcher
from gsigpu.pipeline.review.page_data import study_entry
from gsigpu.pipeline.review.page_volumes import (
    PAGE_MAPS,
    page_definitions,
    predicted_bytes,
    write_volumes,
)
from gsigpu.pipeline.review.paper_lesion import paper_lesions
from gsigpu.pipeline.review.paper_pictures import FOLDER, write_pictures
from gsigpu.pipeline.review.phase_files import write_phase
from gsigpu.pipeline.review.static_pictures import static_slices
from gsigpu.pipeline.stack_source import PlaneStore, StackSource
from gsigpu.pipeline.workers import default_workers
from gsigpu.version import __version__
from gsigpu.viewer.page_files import PAGE, write_names, write_page


@dataclass(frozen=True, slots=True)
class ReviewResult:
    """What `review` wrote.

    page : the document to open
    phases : names, in the order of the page
    n_lesions : a lesion that is shown in two phases counts once
    pictures : the folder of the pictures for papers; None where none were asked for, or no lesion was measured
    warnings : for a person to read; they are on the page too
    failures : lesions that cannot be measured, by phase; the page says so too
    """

    page: Path
    phases: tuple[str, ...]
    n_lesions: int
    n_bytes: int
    seconds: dict[str, float]
    warnings: tuple[str, ...]
    failures: tuple[GsigpuError, ...] = ()
    pictures: Path | None = None

    def __repr__(self) -> str:
        """Short, without a path."""
        return f"<ReviewResult: phases {', '.join(self.phases)}, {self.n_lesions} lesions>"


def review_study(
    study: Path | str | Study,
    out: Path | str,
    *,
    masks: MaskFiles | None = None,
    phases: Sequence[str] = (),
    maps: Sequence[str] = PAGE_MAPS,
    slope: str = DEFAULT_SLOPE,
    settings: MeasureSettings | None = None,
    case_id: str = "",
    series: Sequence[str] = (),
    energies_kev: Sequence[float] = (),
    with_identity: bool = False,
    inside_body: bool = True,
    pictures: bool = False,
    n_workers: int | None = None,
    overwrite: bool = False,
    watcher: Watcher = SILENT,
) -> ReviewResult:
    """Writes a folder with a page that shows maps, regions and values of a study.

    study : a folder, or what `read_study` gave
    out : a folder that is not there yet, or is empty
    masks : of lesions, liver and so on; None for a page without regions
    phases : all that have a stack, if empty
    maps : beside water and iodine, which every page has
    settings : of the measurement whose values the page shows; the defaults with `slope`, if not given
    case_id : the only name on the page; that of the folder if empty
    with_identity : also names of files, what names hold of the headers, the patient ID, the study's date, and what a region of interest needs to be saved as a
        DICOM Segmentation of this patient
    inside_body : leave out what lies around the patient
    pictures : also pictures of every lesion for a paper, see `paper_pictures`

    Masks that do not fit a phase, or hold no lesion, leave it without regions, and the page says why.
    Raises InputError and its kinds where a phase that was asked for has no stack, or no phase has one;
    MaskError where masks with lesions fit none of the phases; SettingsError for pictures without masks; OutputError.
    """
    if pictures and masks is None:
        raise SettingsError(
            "pictures are of lesions, and there is no mask",
            remedy="add --mask, or leave out --pictures",
        )
    if masks is not None:
        masks = replace(masks, pictured=pictures)
    settings = settings or MeasureSettings(parameters=ParameterSettings(slopes=(slope,)))
    out = Path(out)
    definitions = page_definitions(maps, slope=slope)
    begun = perf_counter()
    if not isinstance(study, Study):
        with watcher.stage("scan") as progress:
            study = read_study(study, progress=progress)
    scan_seconds = perf_counter() - begun
    stacks = [
        only_energies(select_stack(study, phase=phase, series=series), energies_kev)
        for phase in one_or_more(phases) or phases_of(study)
    ]
    case_id = case_id or study_name(study.root.resolve())
    labels = CaseLabels(case_id=case_id, patient_id=case_id)
    redact: Callable[[str], str] = str
    if not with_identity:
        redact = study_redactor(study.root, study, [] if masks is None else masks.named)
    seconds = {"scan": scan_seconds, "measure": 0.0, "volumes": 0.0}
    entries: list[dict[str, Any]] = []
    measurements: dict[str, Measurement | None] = {}
    of_study = [*study.warnings, *_apart(stacks)]
    warnings: list[str] = list(of_study)
    lesion_ids: set[str] = set()
    problems: list[MaskError] = []
    failures: list[GsigpuError] = []
    shared = (
        None
        if masks is None
        else SharedRegions(masks, settings.regions, n_workers=n_workers or default_workers())
    )
    store = PlaneStore(of_phases=True)
    with staged_folder(
        out,
        overwrite=overwrite,
        command="review",
        n_bytes=predicted_bytes(
            sum(math.prod(stack.geometry.shape) for stack in stacks), len(definitions)
        ),
        protected=[study.root],
    ) as folder:
        data = folder / "data"
        data.mkdir()
        for number, stack in enumerate(stacks):
            phase_warnings: list[str] = [*left_aside(study, stack)]
            companion: MeasureCompanion | None = None
            problem: MaskError | None = None
            started = perf_counter()
            if masks is not None:
                with watcher.stage("measure"):
                    companion, problem = _begun(
                        study, stack, masks, settings, labels, store, shared, pictures=pictures
                    )
            begun = perf_counter()
            # Before the volumes, which then have these slices from here.
            labels_seen = label_sample(stack, StackSource(stack, store))
            with watcher.stage("volumes") as progress:
                kept, left_out = write_volumes(
                    stack,
                    definitions,
                    data,
                    f"p{number}",
                    inside_body=inside_body,
                    keep=static_slices(stack, None if companion is None else companion.layout),
                    n_workers=n_workers,
                    progress=progress,
                    store=store,
                    companion=companion,
                )
            drawn = perf_counter()
            measurement: Measurement | None = None
            if companion is not None:
                try:
                    companion.finish(folder)
                    measurement = companion.measurement
                except MaskError as error:
                    problem = error
            if problem is not None:
                problems.append(problem)
                phase_warnings.append(f"No regions are shown in this phase. {problem}")
            left_out += label_doubts(stack, labels_seen)
            entry, of_phase = write_phase(
                data,
                f"p{number}",
                stack,
                measurement,
                definitions=definitions,
                kept=kept,
                warnings=[*phase_warnings, *left_out],
                redact=redact,
                with_identity=with_identity,
            )
            if measurement is not None:
                failures += [failure.error for failure in measurement.failures]
                lesion_ids |= {of.lesion.lesion_id for of in measurement.layout.lesions}
            entries.append(entry)
            measurements[entry["name"]] = measurement
            warnings += of_phase
            seconds["measure"] += begun - started + perf_counter() - drawn
            seconds["volumes"] += drawn - begun
        misfits = [problem for problem in problems if not isinstance(problem, EmptyMask)]
        if misfits and len(problems) == len(stacks):
            raise misfits[0]
        identity = _identity(stacks[0]) if with_identity else {}
        addresses: dict[str, list[str]] = {}
        if pictures:
            started = perf_counter()
            with watcher.stage("pictures") as progress:
                lesions = paper_lesions(measurements, inside_body=inside_body, redact=redact)
                if lesions:
                    addresses = write_pictures(
                        folder / FOLDER,
                        lesions,
                        carried={
                            phase: measurement
                            for phase, measurement in measurements.items()
                            if measurement is not None and measurement.masks.carried
                        },
                        redact=redact,
                        case_id=case_id,
                        identity=identity,
                        inside_body=inside_body,
                        progress=progress,
                    )
                else:
                    warnings.append("no pictures were written: no lesion was measured")
            seconds["pictures"] = perf_counter() - started
        write_page(
            folder,
            study_entry(
                software=f"gsigpu {__version__}",
                maps=definitions,
                phases=entries,
                warnings=[redact(warning) for warning in of_study],
                identity=identity,
                pictures=addresses,
            ),
            title=f"{case_id}: spectral review",
        )
        write_names(folder, case_id)
        warnings += card_frames.notes()  # of what was read since the pages of the phases
        n_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return ReviewResult(
        page=out / PAGE,
        phases=tuple(entry["name"] for entry in entries),
        n_lesions=len(lesion_ids),
        n_bytes=n_bytes,
        seconds=seconds,
        warnings=tuple(dict.fromkeys(warnings)),
        failures=tuple({str(error): error for error in failures}.values()),
        pictures=out / FOLDER if addresses else None,
    )


def _apart(stacks: Sequence[SpectralStack]) -> list[Caution]:
    """A warning where the phases of a page say of themselves that they do not share a space."""
    frames = {stack.geometry.frame_of_reference_uid for stack in stacks} - {""}
    if len(frames) < 2:
        return []
    names = ", ".join(phase_name(stack.phase) for stack in stacks)
    text = f"{names} have different frames of reference: the same place in one need not be the same tissue in another"
    return [Caution("phase", text)]


def _begun(
    study: Study,
    stack: SpectralStack,
    masks: MaskFiles,
    settings: MeasureSettings,
    labels: CaseLabels,
    store: PlaneStore,
    shared: SharedRegions | None,
    *,
    pictures: bool,
) -> tuple[MeasureCompanion | None, MaskError | None]:
    """The measurement of a phase, ready to see its slices, or why its masks give none."""
    companion = MeasureCompanion(
        masks,
        settings=settings,
        labels=replace(labels, phase=stack.phase),
        backend="cpu",
        table="",
        shared=shared,
        keep=partial(shown_slices, picture=False, cards=True) if pictures else None,
    )
    chosen = ChosenStack(study=study, stack=stack, left_aside=(), scan_seconds=0.0)
    try:
        companion.begin(chosen, store)
    except MaskError as problem:
        return None, problem
    return companion, None


def _identity(stack: SpectralStack) -> Mapping[str, str]:
    evidence = stack.series[0].evidence
    return {"patient ID": evidence.patient_id, "acquired": evidence.acquisition_datetime[:8]}
