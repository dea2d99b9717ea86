"""Spectral CT slope (λHU) and iodine maps of the liver, from the DICOM files.

The verbs of the command line are functions here:

    study = gsigpu.scan("/data/study-0042")
    anatomy = study.volume(70, phase="PVP").array
    result = gsigpu.map(study, Path("maps"), maps=["lambda-hu", "iodine"], phase="PVP")
    iodine = gsigpu.map(study, maps=["iodine"], phase="PVP")["iodine"].array
    slope = gsigpu.compute(hu, [60, 100], "lambda-hu")
    measurement = gsigpu.measure(study, gsigpu.MaskFiles((Path("lesions.nii.gz"),)), phase="PVP")
    cohort = gsigpu.cohort_run("manifest.csv", "cohort")
    compared = gsigpu.cohort_stats("cohort", "statistics")

They are imported when first used, so that `import gsigpu` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from gsigpu.errors import (
    AmbiguousStack,
    BackendError,
    DamagedMask,
    DeviceOutOfMemory,
    DuplicateSlices,
    EmptyMask,
    EnergyConflict,
    FileChanged,
    GantryTilt,
    GeometryError,
    GpuUnavailable,
    GridMismatch,
    GsigpuError,
    GsigpuWarning,
    InputError,
    MaskError,
    MissingDependency,
    MissingSlices,
    MixedOrientations,
    NonUniformSpacing,
    NoSpectralStack,
    NoValidVoxels,
    OutputError,
    OutsideStudy,
    PixelDataError,
    PlugInError,
    PoorRegistration,
    ProgramFailed,
    SettingsError,
    StudyError,
    TooFewEnergies,
    TruncatedPixelData,
    UnclearPosition,
    UnclearRole,
    UnmappedLabel,
    UnsupportedPixelData,
    WrongPatient,
    WrongPhase,
)
from gsigpu.optional_packages import named_where_absent
from gsigpu.version import __version__

if TYPE_CHECKING:
    from gsigpu.cohort_statistics.roc.roc_settings import RocSettings
    from gsigpu.image_volume import ImageVolume
    from gsigpu.maps.definitions import MapDefinition
    from gsigpu.masks.added_formats import LabelImage
    from gsigpu.phantom import (
        PhantomCohortSettings,
        PhantomSettings,
        write_phantom,
        write_phantom_cohort,
    )
    from gsigpu.pipeline.cohort_init.propose import propose_manifest as cohort_init
    from gsigpu.pipeline.cohort_run.checks import CohortOptions
    from gsigpu.pipeline.cohort_run.cohort_task import CohortSettings
    from gsigpu.pipeline.cohort_run.inclusion_rules import InclusionRules
    from gsigpu.pipeline.cohort_run.run_cohort import run_cohort as cohort_run
    from gsigpu.pipeline.cohort_run.run_state import read_status as cohort_status
    from gsigpu.pipeline.cohort_stats.write_statistics import cohort_stats
    from gsigpu.pipeline.compute_arrays import compute_arrays as compute
    from gsigpu.pipeline.map.map_phases import map_phases
    from gsigpu.pipeline.map.map_volumes import map_or_volumes as map  # noqa: A004  # the verb of the command line
    from gsigpu.pipeline.map.prepare_maps import SeriesOverrides
    from gsigpu.pipeline.measure.given_masks import MaskFiles
    from gsigpu.pipeline.measure.mask_images import measure_masks as measure
    from gsigpu.pipeline.measure.mask_images import measure_phases_masks as measure_phases
    from gsigpu.pipeline.measure.measure_phases import write_phases
    from gsigpu.pipeline.measure.measurement import MeasureSettings
    from gsigpu.pipeline.measure.measurement_rows import CaseLabels
    from gsigpu.pipeline.measure.parameters import ParameterSettings
    from gsigpu.pipeline.measure.write_measurement import write_measurement
    from gsigpu.pipeline.review.review_images import review_masks as review
    from gsigpu.pipeline.scanned_study import scan
    from gsigpu.pipeline.scanned_study import scan_volumes as read_volumes
    from gsigpu.regions.added_statistics import RegionStatistic
    from gsigpu.regions.region_layout import RegionSettings
    from gsigpu.report.cohort_results import StatisticsSettings
    from gsigpu.tables.observations import Choice
    from gsigpu.tables.phase_pairs import between_phases

__all__ = [
    "AmbiguousStack",
    "BackendError",
    "CaseLabels",
    "Choice",
    "CohortOptions",
    "CohortSettings",
    "DamagedMask",
    "DeviceOutOfMemory",
    "DuplicateSlices",
    "EmptyMask",
    "EnergyConflict",
    "FileChanged",
    "GantryTilt",
    "GeometryError",
    "GpuUnavailable",
    "GridMismatch",
    "GsigpuError",
    "GsigpuWarning",
    "ImageVolume",
    "InclusionRules",
    "InputError",
    "LabelImage",
    "MapDefinition",
    "MaskError",
    "MaskFiles",
    "MeasureSettings",
    "MissingDependency",
    "MissingSlices",
    "MixedOrientations",
    "NoSpectralStack",
    "NoValidVoxels",
    "NonUniformSpacing",
    "OutputError",
    "OutsideStudy",
    "ParameterSettings",
    "PhantomCohortSettings",
    "PhantomSettings",
    "PixelDataError",
    "PlugInError",
    "PoorRegistration",
    "ProgramFailed",
    "RegionSettings",
    "RegionStatistic",
    "RocSettings",
    "SeriesOverrides",
    "SettingsError",
    "StatisticsSettings",
    "StudyError",
    "TooFewEnergies",
    "TruncatedPixelData",
    "UnclearPosition",
    "UnclearRole",
    "UnmappedLabel",
    "UnsupportedPixelData",
    "WrongPatient",
    "WrongPhase",
    "__version__",
    "between_phases",
    "cohort_init",
    "cohort_run",
    "cohort_stats",
    "cohort_status",
    "compute",
    "map",
    "map_phases",
    "measure",
    "measure_phases",
    "read_volumes",
    "review",
    "scan",
    "write_measurement",
    "write_phantom",
    "write_phantom_cohort",
    "write_phases",
]

_HOMES = {
    "MeasureSettings": ("gsigpu.pipeline.measure.measurement", "MeasureSettings"),
    "ParameterSettings": ("gsigpu.pipeline.measure.parameters", "ParameterSettings"),
    "between_phases": ("gsigpu.tables.phase_pairs", "between_phases"),
    "measure_phases": ("gsigpu.pipeline.measure.mask_images", "measure_phases_masks"),
    "write_phases": ("gsigpu.pipeline.measure.measure_phases", "write_phases"),
    "CaseLabels": ("gsigpu.pipeline.measure.measurement_rows", "CaseLabels"),
    "write_measurement": ("gsigpu.pipeline.measure.write_measurement", "write_measurement"),
    "RegionSettings": ("gsigpu.regions.region_layout", "RegionSettings"),
    "RocSettings": ("gsigpu.cohort_statistics.roc.roc_settings", "RocSettings"),
    "PhantomCohortSettings": ("gsigpu.phantom", "PhantomCohortSettings"),
    "write_phantom_cohort": ("gsigpu.phantom", "write_phantom_cohort"),
    "SeriesOverrides": ("gsigpu.pipeline.map.prepare_maps", "SeriesOverrides"),
    "read_volumes": ("gsigpu.pipeline.scanned_study", "scan_volumes"),
    "scan": ("gsigpu.pipeline.scanned_study", "scan"),
    "map": ("gsigpu.pipeline.map.map_volumes", "map_or_volumes"),
    "compute": ("gsigpu.pipeline.compute_arrays", "compute_arrays"),
    "ImageVolume": ("gsigpu.image_volume", "ImageVolume"),
    "review": ("gsigpu.pipeline.review.review_images", "review_masks"),
    "measure": ("gsigpu.pipeline.measure.mask_images", "measure_masks"),
    "cohort_init": ("gsigpu.pipeline.cohort_init.propose", "propose_manifest"),
    "cohort_run": ("gsigpu.pipeline.cohort_run.run_cohort", "run_cohort"),
    "cohort_stats": ("gsigpu.pipeline.cohort_stats.write_statistics", "cohort_stats"),
    "Choice": ("gsigpu.tables.observations", "Choice"),
    "StatisticsSettings": ("gsigpu.report.cohort_results", "StatisticsSettings"),
    "cohort_status": ("gsigpu.pipeline.cohort_run.run_state", "read_status"),
    "CohortOptions": ("gsigpu.pipeline.cohort_run.checks", "CohortOptions"),
    "CohortSettings": ("gsigpu.pipeline.cohort_run.cohort_task", "CohortSettings"),
    "InclusionRules": ("gsigpu.pipeline.cohort_run.inclusion_rules", "InclusionRules"),
    "MaskFiles": ("gsigpu.pipeline.measure.given_masks", "MaskFiles"),
    "LabelImage": ("gsigpu.masks.added_formats", "LabelImage"),
    "MapDefinition": ("gsigpu.maps.definitions", "MapDefinition"),
    "RegionStatistic": ("gsigpu.regions.added_statistics", "RegionStatistic"),
    "map_phases": ("gsigpu.pipeline.map.map_phases", "map_phases"),
    "write_phantom": ("gsigpu.phantom", "write_phantom"),
    "PhantomSettings": ("gsigpu.phantom", "PhantomSettings"),
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'gsigpu' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    with named_where_absent(f"gsigpu.{name}"):
        return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return __all__
