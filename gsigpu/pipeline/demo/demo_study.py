"""The whole flow on synthetic data: one study looked at closely, then a cohort that ends in a report."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from gsigpu.dicom.reading.hu_planes import read_volume
from gsigpu.dicom.study.read_study import read_study
from gsigpu.output.staging import staged_folder
from gsigpu.phantom import PhantomSettings, PhantomTruth, write_phantom
from gsigpu.phase_words import phase_name
from gsigpu.pictures import ANATOMY_WINDOW, Panel, save_panels
from gsigpu.pipeline.demo.demo_cohort import CohortDemo, run_cohort_demo
from gsigpu.pipeline.demo.demo_truth import TruthComparison
from gsigpu.pipeline.map.map_study import MapResult, map_study
from gsigpu.pipeline.measure.given_masks import MaskFiles
from gsigpu.pipeline.measure.measure_study import measure_study
from gsigpu.pipeline.measure.measurement import Measurement
from gsigpu.pipeline.measure.measurement_rows import CaseLabels
from gsigpu.pipeline.measure.write_measurement import write_measurement
from gsigpu.pipeline.progress import Watcher
from gsigpu.regions.region_layout import Layout
from gsigpu.regions.region_mask import union_in_slice

_PHASE = "PVP"
_PICTURE = "maps.png"
_SETTINGS = PhantomSettings(
    shape=(40, 320, 320),
    spacing_mm=(3.0, 1.2, 1.2),
    noise_hu=10.0,
    primary="gastric",
    n_lesions=6,
    diameter_mm=(12.0, 30.0),
    seed=12,
)
_BODY_HU = -300.0


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What the demo did.

    lines : what was made and found of the one study, for a person
    maps, regions, picture, measurement, table : of the one study
    """

    lines: list[str]
    maps: MapResult
    regions: list[TruthComparison]
    picture: Path
    measurement: Measurement
    table: Path
    cohort: CohortDemo


def run_demo(out: Path, *, overwrite: bool, watcher: Watcher) -> DemoResult:
    """Runs the demo into `out`, which is complete or absent afterwards.

    Raises OutputError if `out` is taken.
    """
    with staged_folder(out, overwrite=overwrite, command="demo", n_bytes=1500 * 2**20) as folder:
        begun = perf_counter()
        with watcher.stage("phantom") as progress:
            truth = write_phantom(folder / "study", _SETTINGS, progress=progress)
        lines = [f"made     a synthetic study in {perf_counter() - begun:.1f} s"]
        begun = perf_counter()
        with watcher.stage("scan") as progress:
            study = read_study(truth.dicom_folder, progress=progress)
        n_files = sum(len(series.planes) for series in study.series) + len(study.skipped)
        kinds = Counter((series.kind.value, series.phase) for series in study.series)
        held = ", ".join(
            f"{n} {kind} {phase}".rstrip() for (kind, phase), n in sorted(kinds.items())
        )
        lines.append(f"scanned  {n_files} files in {perf_counter() - begun:.2f} s: {held}")
        maps = map_study(study, folder / "maps", phase=_PHASE, watcher=watcher)
        written = {name: _volume(path) for name, path in maps.folders.items()}
        lesions = _mask(truth.lesion_mask)
        regions = _compare(truth, lesions, written)
        largest = max(truth.lesions, key=lambda lesion: lesion.longest_axial_diameter_mm)
        z = int(np.flatnonzero((lesions == largest.label).any(axis=(1, 2))).mean())
        masks = MaskFiles(
            (truth.lesion_mask,),
            liver=truth.liver_mask,
            vessels=truth.vessel_mask,
            aorta=truth.aorta_mask,
        )
        labels = CaseLabels("demo", group=_SETTINGS.primary)
        measured = measure_study(study, masks, labels=labels, phase=_PHASE, watcher=watcher)
        write_measurement(
            measured,
            folder / "measurements.csv",
            masks=masks,
            with_wide=True,
            with_dicom=True,
            with_plot=True,
        )
        _picture(folder / _PICTURE, maps, written, z, measured.layout)
        cohort = run_cohort_demo(folder, watcher=watcher)
    folders = {name: out / path.relative_to(folder) for name, path in maps.folders.items()}
    moved = replace(maps, out=out / "maps", folders=folders)
    report = out / "report"
    statistics = replace(cohort.statistics, out=report, report=report / "report.html")
    cohort = replace(cohort, statistics=statistics)
    return DemoResult(
        lines=lines,
        maps=moved,
        regions=regions,
        picture=out / _PICTURE,
        measurement=measured,
        table=out / "measurements.csv",
        cohort=cohort,
    )


def _volume(folder: Path) -> NDArray[np.float32]:
    """A written map, read back as any DICOM series."""
    return read_volume(read_study(folder).series[0])


def _mask(path: Path) -> NDArray[np.integer]:
    """(z, y, x) labels of a NIfTI file on the study's own grid."""
    return np.asarray(nibabel.Nifti1Image.from_filename(path).dataobj).T.astype(np.int32)


def _compare(
    truth: PhantomTruth, lesions: NDArray[np.integer], written: dict[str, NDArray[np.float32]]
) -> list[TruthComparison]:
    """Liver, aorta and the core of the largest lesion, each clear of its boundary."""
    known = truth.as_dict()
    liver, vessels, aorta = (
        _mask(path) > 0 for path in (truth.liver_mask, truth.vessel_mask, truth.aorta_mask)
    )
    largest = max(known["lesions"], key=lambda lesion: lesion["longest_axial_diameter_mm"])
    regions = [
        ("liver", liver & (lesions == 0) & ~vessels, 6.0, known["organs"]["liver"]),
        ("aorta", aorta, 4.0, known["organs"]["aorta"]),
        (
            "largest lesion, core",
            lesions == largest["label"],
            largest["rim_mm"] + 3.0,
            largest["core"],
        ),
    ]
    comparisons = []
    for name, mask, depth_mm, true in regions:
        inside_mask = distance_transform_edt(mask, sampling=truth.geometry.spacing_mm) > depth_mm
        comparisons.append(
            TruthComparison(
                name=name,
                n=int(inside_mask.sum()),
                iodine_mg_per_ml=float(np.nanmean(written["iodine"][inside_mask])),
                true_iodine_mg_per_ml=true[_PHASE]["iodine_mg_per_ml"],
                lambda_hu=float(np.nanmean(written["lambda-hu"][inside_mask])),
                true_lambda_hu=true[_PHASE]["lambda_hu"]["paper"],
            )
        )
    return comparisons


def _picture(
    path: Path,
    maps: MapResult,
    written: dict[str, NDArray[np.float32]],
    z: int,
    layout: Layout,
) -> None:
    """The anatomical image and the maps; lesions outlined, the border between core and rim dotted."""
    stack = maps.stack
    at = min(range(len(stack.series)), key=lambda i: abs(stack.energies_kev[i] - 70.0))
    anatomy = read_volume(stack.series[at], slices=[z])[0]
    body_mask = np.nan_to_num(anatomy, nan=-1000.0) > _BODY_HU
    shown = _around(body_mask)
    outline, core = (
        union_in_slice(
            (region.mask for region in layout.regions if region.region == name), z, anatomy.shape
        )[shown]
        for name in ("lesion", "core")
    )
    panels = [
        Panel(
            plane=anatomy[shown],
            title=f"VMI {stack.energies_kev[at]:g} keV",
            unit="HU",
            window=ANATOMY_WINDOW,
            colormap="gray",
            outline_mask=outline,
            inner_outline_mask=core,
        ),
        *(
            Panel(
                plane=written[definition.name][z][shown],
                title=definition.shown_title,
                unit=definition.unit.display,
                window=definition.window,
                colormap=definition.colormap,
                overlay_on=anatomy[shown],
                shown_mask=body_mask[shown],
                outline_mask=outline,
                inner_outline_mask=core,
            )
            for definition in maps.definitions
        ),
    ]
    save_panels(
        path,
        panels,
        geometry=stack.geometry,
        caption=f"Synthetic study, {phase_name(stack.phase)}, slice {z + 1} of {stack.geometry.shape[0]}; lesions outlined, their core dotted",
    )


def _around(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The box of a mask, with a margin of some pixels."""
    margin = 6
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return (
        slice(max(rows[0] - margin, 0), rows[-1] + margin + 1),
        slice(max(columns[0] - margin, 0), columns[-1] + margin + 1),
    )
