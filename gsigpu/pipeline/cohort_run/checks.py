"""How a cohort is run, and what is wrong with that before anything starts."""

from __future__ import annotations

from dataclasses import dataclass

from gsigpu.backends import BackendName, choose
from gsigpu.dicom.study.patterns import load_patterns
from gsigpu.dicom.writing.formats import FORMATS
from gsigpu.errors import SettingsError
from gsigpu.maps.registry import define_all
from gsigpu.pipeline.cohort_run.child_process import call_isolated
from gsigpu.pipeline.cohort_run.cohort_task import CohortSettings
from gsigpu.pipeline.cohort_run.inclusion_rules import InclusionRules
from gsigpu.pipeline.measure.parameters import check_parameters
from gsigpu.regions.added_statistics import added_statistics

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
    backend : for maps and measurement
    skip_missing : a study or mask that is not there is that row's failure, not the end of the manifest
    change_settings : take other settings and rules than those that the run was begun with
    prune : remove the results of rows that are not in the manifest any more
    shard : (i, n), do the i-th of n parts of the rows and no tables
    case : do the rows of this case and no tables
    join : measure nothing; make the tables of what shards and calls for single cases left
    limit : measure at most so many rows, 0 for all
    """

    workers: int | None = None
    scheduler: str = ""
    timeout_s: float | None = None
    memory_limit: int = 0
    retry_failed: bool = False
    by_content: bool = False
    backend: BackendName = "auto"
    skip_missing: bool = False
    change_settings: bool = False
    prune: bool = False
    shard: tuple[int, int] | None = None
    case: str = ""
    join: bool = False
    limit: int = 0

    def __post_init__(self) -> None:
        """Raises SettingsError for a shard that is none, and for what does not go together."""
        if self.shard is not None and not 1 <= self.shard[0] <= self.shard[1]:
            raise SettingsError(
                f"shard {self.shard[0]}/{self.shard[1]} is none",
                remedy="write --shard 1/8 to --shard 8/8",
            )
        if self.is_part and (self.join or self.prune or self.scheduler):
            raise SettingsError(
                "a part of a run makes no tables, removes nothing and uses no cluster",
                remedy="leave out --join, --prune and --scheduler",
            )
        if self.case and (self.shard is not None or self.limit):
            raise SettingsError(
                "a case is one part of a run, and has no parts",
                remedy="leave out --shard and --limit",
            )

    @property
    def is_part(self) -> bool:
        """Whether it is a part of a run, which makes no tables."""
        return self.shard is not None or bool(self.case)

    @property
    def shard_name(self) -> str:
        """`i-of-n`, "" for a whole run."""
        return "" if self.shard is None else f"{self.shard[0]}-of-{self.shard[1]}"


def backend_of_rows(settings: CohortSettings, options: CohortOptions) -> BackendName:
    """The backend that rows are told.

    `auto` takes a GPU for maps alone: where nothing but regions is measured, the work is reading and decoding, which
    the cores do, and each worker would hold a context of the card for little.
    """
    return "cpu" if options.backend == "auto" and not settings.maps else options.backend


def check_settings(
    settings: CohortSettings,
    options: CohortOptions,
    rules: InclusionRules,
    *,
    is_pseudonymous: bool,
) -> None:
    """Raises SettingsError, InputError and GpuUnavailable for what would fail every row alike."""
    check_parameters(settings.measure.parameters)
    added_statistics(settings.measure.statistics)
    load_patterns(settings.patterns)
    if rules.max_diameter_mm is not None and "lesion" not in settings.measure.regions.regions:
        raise SettingsError(
            "the largest diameter is that of the region `lesion`, which is not asked for",
            remedy="add lesion to --regions, or leave out --max-diameter",
        )
    # A cluster's workers may have the GPU that this machine lacks.
    if options.backend not in ("auto", "gpu"):
        choose(options.backend)
    if options.backend == "gpu" and not options.scheduler:
        call_isolated(choose, "gpu")  # in a child, because a context here would stay on the card
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
