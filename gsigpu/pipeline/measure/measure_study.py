"""`gsigpu measure`: a study and masks in, the measurement table out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gsigpu.dicom.model import SpectralStack, Study
from gsigpu.dicom.study.read_study import read_study
from gsigpu.dicom.study.stack import select_stack
from gsigpu.errors import OutputError
from gsigpu.pipeline.map.map_study import SILENT, Watcher, only_energies
from gsigpu.pipeline.map.stream import default_workers
from gsigpu.pipeline.measure.gather import Gathered, gather
from gsigpu.pipeline.measure.measurement_rows import CaseLabels, measurement_rows
from gsigpu.pipeline.measure.parameters import Measurand, Measured, ParameterSettings, iodine_pairs
from gsigpu.pipeline.measure.study_masks import CollectedMasks, Failure, MaskFiles, collect_masks
from gsigpu.regions.region_layout import Layout, RegionSettings, lay_out
from gsigpu.staging import staged_files
from gsigpu.tables.measurement_table import MeasurementRow, frame, require_suffix, wide, write_table
from gsigpu.version import __version__

# A vendor's iodine that is so many times the computed one, or more, is in another unit than it says.
_DOUBTFUL_FACTOR = 3.0
_BESIDE = {
    "json": ".json",
    "wide": ".wide.csv",
    "seg": ".seg.dcm",
    "sr": ".sr.dcm",
    "plot": ".profile.png",
}
_LIBRARIES = ("numpy", "scipy", "pydicom", "highdicom", "pandas", "xraydb")


@dataclass(frozen=True, slots=True)
class MeasureSettings:
    """What is measured, and in which regions.

    with_se : also standard errors that account for the correlation of noise
    """

    parameters: ParameterSettings = field(default_factory=ParameterSettings)
    regions: RegionSettings = field(default_factory=RegionSettings)
    with_se: bool = False


@dataclass(frozen=True, slots=True)
class VendorIodine:
    """How the vendor's iodine goes with the computed: vendor = factor * computed + offset."""

    parameter: str
    factor: float
    offset_mg_per_ml: float
    correlation: float
    n_voxels: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a measurement found.

    rows : of the table, see gsigpu.tables.measurement_table
    """

    labels: CaseLabels
    settings: MeasureSettings
    study: Study
    stack: SpectralStack
    masks: CollectedMasks
    layout: Layout
    gathered: Gathered
    measurand: Measurand
    rows: tuple[MeasurementRow, ...]
    failures: tuple[Failure, ...]
    warnings: tuple[str, ...]
    vendor_iodine: tuple[VendorIodine, ...]
    seconds: dict[str, float]

    @property
    def table(self) -> pd.DataFrame:
        """The rows as a data frame."""
        return frame(self.rows)

    @property
    def slices(self) -> tuple[int, ...]:
        """Indices of the slices that were read."""
        return self.gathered.slices


def measure_study(
    study: Path | str | Study,
    masks: MaskFiles,
    *,
    settings: MeasureSettings | None = None,
    labels: CaseLabels | None = None,
    phase: str | None = None,
    series: Sequence[str] = (),
    energies_kev: Sequence[float] = (),
    energy_overrides: Mapping[str, float] | None = None,
    phase_overrides: Mapping[str, str] | None = None,
    n_workers: int | None = None,
    watcher: Watcher = SILENT,
) -> Measurement:
    """Measures lesions, their rims and surroundings in a study. Writes nothing.

    study : a folder, or what `read_study` gave
    masks : files of masks, and what their regions are
    labels : of the case; the patient's ID is the study's where none is said
    phase, series, energies_kev : which stack, and which of its energies
    Only the slices that the regions touch are read.

    Raises InputError and its kinds, SettingsError. A lesion that cannot be measured is among `failures`
    and in the table; the first failure is raised where nothing is left to measure.
    """
    settings = settings or MeasureSettings()
    begun = perf_counter()
    if not isinstance(study, Study):
        with watcher.stage("scan") as progress:
            study = read_study(
                study,
                energy_overrides=energy_overrides,
                phase_overrides=phase_overrides,
                progress=progress,
            )
    scanned = perf_counter()
    stack = only_energies(select_stack(study, phase=phase, series=series), energies_kev)
    measurand = Measurand(study, stack, settings.parameters)
    collected = collect_masks(masks, study, stack)
    grid = stack.geometry
    layout = lay_out(collected.masks, grid.spacing_mm, grid.shape, settings.regions)
    laid_out = perf_counter()
    with watcher.stage("measure") as progress:
        gathered = gather(
            measurand.series,
            [one.mask for one in layout.regions],
            more_planes=measurand.more_planes if measurand.n_more else None,
            n_more=measurand.n_more,
            n_workers=n_workers or default_workers(),
            progress=progress,
        )
    read = perf_counter()
    labels = labels or CaseLabels()
    labels = replace(
        labels,
        patient_id=labels.patient_id or stack.series[0].evidence.patient_id,
        phase=labels.phase or stack.phase,
    )
    measured = [measurand.measured(values) for values in gathered.values]
    found = measurement_rows(
        layout,
        gathered,
        measured,
        measurand,
        grid.spacing_mm,
        labels,
        collected.failures,
        with_se=settings.with_se,
    )
    vendor, doubts = _vendor_iodine(layout, measured)
    measured_lesions = {
        row.lesion_id for row in found.rows if row.statistic == "mean" and row.n_valid
    } - {""}
    if not measured_lesions and any(one.lesion_id for one in layout.regions):
        raise found.failures[-1].error
    return Measurement(
        labels=labels,
        settings=settings,
        study=study,
        stack=stack,
        masks=collected,
        layout=layout,
        gathered=gathered,
        measurand=measurand,
        rows=tuple(found.rows),
        failures=tuple(found.failures),
        warnings=(
            *study.warnings,
            *measurand.warnings,
            *collected.warnings,
            *layout.warnings,
            *doubts,
        ),
        vendor_iodine=tuple(vendor),
        seconds={
            "scan": scanned - begun,
            "masks": laid_out - scanned,
            "read": read - laid_out,
            "statistics": perf_counter() - read,
        },
    )


def _vendor_iodine(
    layout: Layout, measured: Sequence[Measured]
) -> tuple[list[VendorIodine], list[str]]:
    """Regression of the vendor's iodine on the computed one, over lesions and reference regions."""
    pairs: dict[str, tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]] = {}
    for region, of_region in zip(layout.regions, measured, strict=True):
        if region.region in ("lesion", "parenchyma", "aorta"):
            for name, computed, vendor in iodine_pairs(of_region):
                pair = pairs.setdefault(name, ([], []))
                pair[0].append(computed)
                pair[1].append(vendor)
    found, doubts = [], []
    for name, (all_computed, all_vendor) in pairs.items():
        x = np.concatenate(all_computed).astype(np.float64)
        y = np.concatenate(all_vendor).astype(np.float64)
        valid = ~(np.isnan(x) | np.isnan(y))
        x, y = x[valid], y[valid]
        if x.size < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
            continue
        # Both carry noise, the same to a good part: the ratio of their spreads, not least squares of one.
        correlation = float(np.corrcoef(x, y)[0, 1])
        factor = float(np.sign(correlation) * y.std() / x.std())
        offset = float(y.mean() - factor * x.mean())
        found.append(VendorIodine(name, factor, offset, correlation, int(x.size)))
        if not 1.0 / _DOUBTFUL_FACTOR < factor < _DOUBTFUL_FACTOR:
            doubts.append(
                f"{name} is {factor:.3g} times the computed iodine (correlation {correlation:.2f}): its unit is not"
                " what it says, or not known; 10 times means 100 µg/cm³, add --vendor-iodine-unit 100ug/mL"
            )
    return found, doubts


def files_beside(
    out: Path, *, with_wide: bool = False, with_dicom: bool = False, with_plot: bool = False
) -> list[Path]:
    """The files of a measurement, the table last.

    Raises SettingsError if `out` is no .csv or .parquet.
    """
    require_suffix(out)
    asked = {
        "json": True,
        "wide": with_wide,
        "seg": with_dicom,
        "sr": with_dicom,
        "plot": with_plot,
    }
    return [*(out.with_suffix(_BESIDE[what]) for what, is_asked in asked.items() if is_asked), out]


def write_measurement(
    measurement: Measurement,
    out: Path,
    *,
    masks: MaskFiles,
    with_wide: bool = False,
    with_dicom: bool = False,
    with_plot: bool = False,
    overwrite: bool = False,
) -> list[Path]:
    """Writes the table and what goes with it; all of it or nothing.

    out : .csv or .parquet; beside it OUT.json with the provenance and, if asked, OUT.wide.csv, OUT.seg.dcm
        and OUT.sr.dcm, OUT.profile.png
    overwrite : replace what is there; what went with an earlier table of that name and is not asked for now
        goes too
    Returns the files written, the table first. Raises SettingsError and OutputError.
    """
    beside = {what: out.with_suffix(suffix) for what, suffix in _BESIDE.items()}
    finals = files_beside(out, with_wide=with_wide, with_dicom=with_dicom, with_plot=with_plot)
    read = {path.resolve() for _, path in measurement.masks.files}
    for path in finals:
        if path.resolve() in read:
            raise OutputError(
                "is a mask that was measured", where=path, remedy="choose another output"
            )
    with staged_files(finals, overwrite=overwrite) as folder:
        staged = {what: folder / path.name for what, path in beside.items()}
        write_table(measurement.table, folder / out.name)
        if with_wide:
            write_table(wide(measurement.table), staged["wide"])
        if with_dicom:
            from gsigpu.pipeline.measure.dicom_results import write_dicom

            write_dicom(measurement, staged["seg"], staged["sr"])
        if with_plot:
            from gsigpu.pipeline.measure.profile_plot import save_profiles

            save_profiles(staged["plot"], measurement)
        text = json.dumps(provenance(measurement, masks), indent=2)
        staged["json"].write_text(text + "\n", "utf-8")
    if overwrite:  # what went with an earlier table would pass for this one's
        for path in set(beside.values()) - set(finals):
            if path.resolve() not in read:
                path.unlink(missing_ok=True)
    return [out, *finals[:-1]]


def provenance(measurement: Measurement, masks: MaskFiles) -> dict[str, Any]:
    """What the table was made from and how; plain data, without names or dates of the patient."""
    one = measurement
    return {
        "software": f"gsigpu {__version__}",
        "versions": {name: version(name) for name in _LIBRARIES},
        "backend": "cpu",
        "case": asdict(one.labels),
        "phase": one.stack.phase,
        "settings": asdict(one.settings),
        "study_uid": one.stack.series[0].evidence.study_uid,
        "frame_of_reference_uid": one.stack.geometry.frame_of_reference_uid,
        "grid": {"shape": one.stack.geometry.shape, "spacing_mm": one.stack.geometry.spacing_mm},
        "slices_read": list(one.slices),
        "series": [
            {
                "uid": series.evidence.series_uid,
                "kind": series.kind.value,
                "energy_kev": series.energy_kev,
                "sop_instance_uids": list(
                    dict.fromkeys(series.planes[z].sop_instance_uid for z in one.slices)
                ),
            }
            for series in one.measurand.series
        ],
        "masks": [
            {
                "file": path.name,
                "role": role.value,
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            }
            for role, path in one.masks.files
        ],
        "split_lesions": masks.split,
        "any_mask_phase": masks.any_phase,
        "regions": [asdict(role) for role in one.masks.roles],
        "definitions": {
            definition.parameter: {"formula": definition.formula, "ucum": definition.unit.ucum}
            for definition in one.measurand.definitions
        },
        "vendor_iodine": [asdict(found) for found in one.vendor_iodine],
        "failures": [
            {"lesion_id": failure.lesion_id, "reason": str(failure.error)}
            for failure in one.failures
        ],
        "warnings": list(one.warnings),
    }
