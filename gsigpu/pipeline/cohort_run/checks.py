"""How a cohort is run, and what is wrong with that before anything starts."""

from __future__ import annotations

from dataclasses import dataclass

from gsigpu.backends import BackendName, choose
from gsigpu.dicom.study.patterns import load_patterns
from gsigpu.dicom.writing.formats import FORMATS
from gsigpu.errors import SettingsError
from gsigpu.maps.registry import define_all
from gsigpu.pipeline.cohort_run.cohort_task import CohortSettings
from gsigpu.pipeline.cohort_run.inclusion_rules import InclusionRules
from gsigpu.pipeline.measure.parameters import check_parameters

_WITH_IDENTITY = ("ct", "pm", "rgb")


@dataclass(frozen=True, slots=True)
class CohortOptions:
    """How a cohort is run; nothing here changes a result.

    workers : of the local pool; by cores, memory and GPUs if None
    scheduler : address of a running Dask scheduler, instead of a local pool
    timeout_s : for a row of the manifest
    memory_limit : bytes for a worker; 0 for as much as there is
    retry_failed : take up rows that failed before, and no others
    by_content : know inputs by their content instead of their times
    backend : for maps
    """

    workers: int | None = None
    scheduler: str = ""
    timeout_s: float | None = None
    memory_limit: int = 0
    retry_failed: bool = False
    by_content: bool = False
    backend: BackendName = "auto"


def check_settings(
    settings: CohortSettings,
    options: CohortOptions,
    rules: InclusionRules,
    *,
    is_pseudonymous: bool,
) -> None:
    """Raises SettingsError, InputError and GpuUnavailable for what would fail every row alike."""
    check_parameters(settings.measure.parameters)
    load_patterns(settings.patterns)
    if rules.max_diameter_mm is not None and "lesion" not in settings.measure.regions.regions:
        raise SettingsError(
            "the largest diameter is that of the region `lesion`, which is not asked for",
            remedy="add lesion to --regions, or leave out --max-diameter",
        )
    if not settings.maps:
        return
    define_all(settings.maps, slope=settings.measure.parameters.slopes[0])
    if settings.map_format not in FORMATS:
        raise SettingsError(
            f"unknown format {settings.map_format!r}", remedy=f"use {', '.join(FORMATS)}"
        )
    if is_pseudonymous and settings.map_format in _WITH_IDENTITY:
        raise SettingsError(
            f"maps as {settings.map_format} carry the patient's name, as a PACS needs it",
            remedy="use --map-format nifti or nrrd with --pseudonymise",
        )
    # A cluster's workers may have the GPU that this machine lacks.
    if not options.scheduler or options.backend not in ("auto", "gpu"):
        choose(options.backend)
