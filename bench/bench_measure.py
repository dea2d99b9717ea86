"""How fast are the statistics of regions, and how much of a study is read for them?

--pyradiomics-python PATH : a Python that has PyRadiomics and SimpleITK, to compare with
"""

from __future__ import annotations

import argparse
import json
import statistics as st
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK
from common import arguments, interleaved, on_all_cores, report, scratch
from scipy.ndimage import find_objects

from gsigpu.dicom.model import Study
from gsigpu.dicom.study.read_study import read_study
from gsigpu.masks import read_masks
from gsigpu.phantom import PhantomSettings, PhantomTruth, write_phantom
from gsigpu.pipeline.map.map_study import map_study
from gsigpu.pipeline.measure.measure_study import MaskFiles, measure_study
from gsigpu.pipeline.measure.measurement import Measurement, MeasureSettings
from gsigpu.pipeline.measure.parameters import ParameterSettings
from gsigpu.regions.region_layout import RegionSettings
from gsigpu.regions.region_mask import RegionMask
from gsigpu.regions.statistics import statistics

REGIONS = ("lesion", "rim", "core")
STAGES = ("masks", "read", "statistics")
# Runs in the other Python: seconds per execute() with a whole volume and with crops, and the means.
PYRADIOMICS = """
import json, logging, sys, time
import radiomics, SimpleITK as sitk
from radiomics.featureextractor import RadiomicsFeatureExtractor
from radiomics.firstorder import RadiomicsFirstOrder

radiomics.setVerbosity(logging.ERROR)
image, labels = (sitk.ReadImage(path) for path in sys.argv[1:3])
chosen = json.loads(sys.argv[3])
extractors = {
    "whole": RadiomicsFeatureExtractor(),
    "bare": RadiomicsFeatureExtractor(additionalInfo=False),
}
for extractor in extractors.values():
    extractor.disableAllFeatures()
    extractor.enableFeatureClassByName("firstorder")
boxes = sitk.LabelShapeStatisticsImageFilter()
boxes.Execute(labels)
taken = {"whole": [], "bare": [], "crops": []}
means = {}
for round_ in range(int(sys.argv[4]) + 1):
    if round_ == 1:  # what the first round took is not counted
        taken = {name: [] for name in taken}
    for label in chosen:
        for name, extractor in extractors.items():
            begun = time.perf_counter()
            features = extractor.execute(image, labels, label=label)
            taken[name].append(time.perf_counter() - begun)
        box = boxes.GetBoundingBox(label)
        crop = [sitk.RegionOfInterest(volume, box[3:], box[:3]) for volume in (image, labels)]
        begun = time.perf_counter()
        RadiomicsFirstOrder(*crop, label=label).execute()
        taken["crops"].append(time.perf_counter() - begun)
        means[label] = float(features["original_firstorder_Mean"])
version = radiomics.__version__.lstrip("v")
print(json.dumps({**taken, "means": means, "version": version}))
"""


def measured(study: Study, truth: PhantomTruth, regions: tuple[str, ...]) -> Measurement:
    """λHU, iodine and the CT value of regions."""
    return measure_study(
        study,
        MaskFiles((truth.lesion_mask,)),
        settings=MeasureSettings(ParameterSettings(curve=False), RegionSettings(regions)),
    )


def bytes_so_far() -> int | None:
    """What this process has read from files; None where the system does not tell."""
    told = Path("/proc/self/io")
    if not told.exists():
        return None
    return int(told.read_text().split("rchar:")[1].split()[0])


def bytes_of(work: Callable[[], object]) -> int | None:
    """How much `work` reads."""
    before = bytes_so_far()
    work()
    after = bytes_so_far()
    return None if before is None or after is None else after - before


def what_is_read(truth: PhantomTruth) -> list[str]:
    """Slices and bytes."""
    study = read_study(truth.dicom_folder)
    measurement = measured(study, truth, REGIONS)  # imports and caches are warm after this
    labels = np.asarray(nib.load(truth.lesion_mask).dataobj)  # (x, y, z)
    touched = np.flatnonzero((labels > 0).any(axis=(0, 1))).tolist()
    n_slices, n_series = labels.shape[2], len(measurement.measurand.series)
    n_study = sum(path.stat().st_size for path in truth.dicom_folder.rglob("*") if path.is_file())
    planes = [
        series.planes[z] for series in measurement.measurand.series for z in measurement.slices
    ]
    n_pixels = sum(plane.format.n_bytes for plane in planes)
    scan = bytes_of(lambda: read_study(truth.dicom_folder))
    measure = bytes_of(lambda: measured(study, truth, REGIONS))
    n_mask = truth.lesion_mask.stat().st_size
    same = "the same ones" if sorted(measurement.slices) == touched else "NOT the same ones"
    more = (
        "as many or fewer: yes" if len(measurement.slices) <= len(touched) else "MORE than the mask"
    )
    lines = [
        "| | |",
        "|---|---:|",
        f"| slices of the study | {n_slices} |",
        f"| slices that the mask touches (NumPy on the NIfTI) | {len(touched)} |",
        f"| slices read, at each of {n_series} energies | {len(measurement.slices)} ({same}; {more}) |",
        f"| bytes of the study's files | {n_study / 1e6:.1f} MB |",
        f"| pixel bytes of the slices read | {n_pixels / 1e6:.1f} MB, {n_pixels / n_study:.1%} of the study |",
    ]
    if scan is not None and measure is not None:
        lines += [
            f"| bytes read by the header scan, as the system counts | {scan / 1e6:.1f} MB, {scan / n_study:.1%} |",
            f"| bytes read by the measurement after it, mask included ({n_mask / 1e6:.2f} MB) | {measure / 1e6:.1f} MB, {measure / n_study:.1%} |",
        ]
    return lines


def numpy_loop(image: np.ndarray, labels: np.ndarray, chosen: list[int]) -> dict[int, float]:
    """What one writes in a notebook: a boolean mask of the whole volume per label."""
    means = {}
    for label in chosen:
        values = image[labels == label].astype(np.float64)
        centred = values - values.mean()
        np.percentile(values, [10, 25, 50, 75, 90])
        (centred**3).mean(), (centred**4).mean(), values.min(), values.max(), values.std(ddof=1)
        means[label] = float(values.mean())
    return means


def simpleitk(
    image: SimpleITK.Image, labels: SimpleITK.Image, chosen: list[int]
) -> dict[int, float]:
    """All labels in one pass, at its defaults."""
    statistics_filter = SimpleITK.LabelIntensityStatisticsImageFilter()
    statistics_filter.Execute(labels, image)
    return {label: statistics_filter.GetMean(label) for label in chosen}


def on_labels(image: np.ndarray, labels: np.ndarray, chosen: list[int]) -> dict[int, float]:
    """gsigpu's statistics, each label in its box; all boxes by one pass, as gsigpu.masks finds them."""
    boxes = find_objects(labels)
    return {
        label: statistics(image[boxes[label - 1]][labels[boxes[label - 1]] == label])["mean"]
        for label in chosen
    }


def on_boxes(image: np.ndarray, masks: list[RegionMask]) -> dict[int, float]:
    """gsigpu's statistics of masks that are there."""
    return {
        mask.label: statistics(image[mask.box][np.asarray(mask.voxels)])["mean"] for mask in masks
    }


def pyradiomics(python: Path, image: Path, mask: Path, chosen: list[int], repeats: int) -> dict:
    """What the program above says."""
    done = subprocess.run(
        [python, "-c", PYRADIOMICS, image, mask, json.dumps(chosen), str(repeats)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"PyRadiomics did not run:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def raw(paths: list[Path], mask: Path) -> None:
    """The files of the slices that are measured, and the mask: their bytes, on all cores, and nothing else."""
    mask.read_bytes()
    buffers = threading.local()

    def read(i: int) -> None:
        if not hasattr(buffers, "of_thread"):
            buffers.of_thread = bytearray(paths[0].stat().st_size + 65536)
        with paths[i].open("rb", buffering=0) as file:
            file.readinto(buffers.of_thread)

    on_all_cores(read, len(paths))


def against_raw(seconds: dict[str, list[float]], runs: list[dict[str, float]]) -> list[str]:
    """The reading of measure, and the whole of it, over reading the same slices and the mask raw; round by round."""
    reading = [run["read"] for run in runs]

    def ratios(taken: list[float]) -> str:
        all_rounds = sorted(a / b for a, b in zip(taken, seconds["raw"], strict=True))
        return f"{all_rounds[len(all_rounds) // 2]:.2f} | {all_rounds[-1]:.2f}"

    return [
        "| lesions, rims and cores, over reading the same slices and the mask raw | median | worst |",
        "|---|---:|---:|",
        f"| the reading: into the values of the regions | {ratios(reading)} |",
        f"| all of it, after the scan: masks, reading, statistics | {ratios(seconds['regions'])} |",
    ]


def how_fast(
    truth: PhantomTruth, folder: Path, repeats: int, python: Path | None, n_timed: int
) -> list[str]:
    """Time per region of all contenders, on the iodine of the same lesions."""
    study = read_study(truth.dicom_folder)
    map_study(study, folder / "maps", maps=["iodine"], output_format="nifti", backend="cpu")
    path = folder / "maps" / "iodine.nii"
    image_itk, labels_itk = (
        SimpleITK.ReadImage(str(path)),
        SimpleITK.ReadImage(str(truth.lesion_mask)),
    )
    image, labels = SimpleITK.GetArrayFromImage(image_itk), SimpleITK.GetArrayFromImage(labels_itk)
    all_labels = [lesion.label for lesion in truth.lesions]
    masks = list(read_masks(truth.lesion_mask, truth.geometry).masks)
    staged: dict[tuple[str, ...], list[dict[str, float]]] = {("lesion",): [], REGIONS: []}

    def whole(regions: tuple[str, ...]) -> None:
        staged[regions].append(measured(study, truth, regions).seconds)

    of_energies = measured(study, truth, REGIONS)
    read_paths = [
        series.planes[z].path for series in of_energies.measurand.series for z in of_energies.slices
    ]
    seconds = interleaved(
        repeats,
        raw=lambda: raw(read_paths, truth.lesion_mask),
        lesions=lambda: whole(("lesion",)),
        regions=lambda: whole(REGIONS),
        labels=lambda: on_labels(image, labels, all_labels),
        boxes=lambda: on_boxes(image, masks),
        itk=lambda: simpleitk(image_itk, labels_itk, all_labels),
        loop=lambda: numpy_loop(image, labels, all_labels),
    )
    n = len(all_labels)
    ours = [
        (row.lesion_id, row.value)
        for row in measured(study, truth, ("lesion",)).rows
        if (row.parameter, row.statistic) == ("iodine", "mean")
    ]
    ours_by_label = dict(zip(all_labels, (value for _, value in ours), strict=True))
    agree = {
        "statistics() on the written map": on_labels(image, labels, all_labels),
        "SimpleITK": simpleitk(image_itk, labels_itk, all_labels),
        "NumPy": numpy_loop(image, labels, all_labels),
    }
    # Seconds per region, of one map or of three parameters.
    per_region = {
        "gsigpu measure, lesions: from mask file and DICOM, 3 parameters, sizes": st.median(
            seconds["lesions"]
        )
        / n,
        "gsigpu measure, lesions, rims and cores: the same": st.median(seconds["regions"])
        / (3 * n),
        "gsigpu statistics(), one map and label volume in memory": st.median(seconds["labels"]) / n,
        "gsigpu statistics() alone, on masks in memory": st.median(seconds["boxes"]) / n,
        "SimpleITK LabelIntensityStatistics, all labels at once": st.median(seconds["itk"]) / n,
        "NumPy, a boolean mask of the volume per label": st.median(seconds["loop"]) / n,
    }
    notes = []
    if python is None:
        notes.append(
            "PyRadiomics is left out: name a Python that has it with --pyradiomics-python PATH."
        )
    else:
        # Largest, smallest and those between, so that the mean stands for all.
        chosen = [all_labels[i] for i in np.linspace(0, n - 1, min(n_timed, n)).astype(int)]
        timed = pyradiomics(python, path, truth.lesion_mask, chosen, min(repeats, 2))
        agree["PyRadiomics"] = {int(label): mean for label, mean in timed["means"].items()}
        per_region |= {
            "PyRadiomics first order, execute() with the volume and a label": st.mean(
                timed["whole"]
            ),
            "PyRadiomics first order, the same without its provenance (additionalInfo off)": st.mean(
                timed["bare"]
            ),
            "PyRadiomics RadiomicsFirstOrder on crops": st.mean(timed["crops"]),
        }
        notes.append(
            f"PyRadiomics {timed['version']} in its own interpreter, execute() alone, on {len(chosen)} of the {n} lesions,"
            f" mean per lesion; extrapolated to {n} lesions: {n * st.mean(timed['whole']):.1f} s"
            f" (on crops {n * st.mean(timed['crops']):.2f} s)."
        )
    lines = [
        "| | ms per region | time / gsigpu measure, lesions | time / gsigpu statistics(), map and labels in memory |",
        "|---|---:|---:|---:|",
    ]
    names = list(per_region)
    lines += [
        f"| {name} | {1e3 * taken:.2f} | {taken / per_region[names[0]]:.2f} | {taken / per_region[names[2]]:.1f} |"
        for name, taken in per_region.items()
    ]
    lines += ["", *notes, ""]
    if python is not None:
        slow, bare, crops = (per_region[name] for name in names[-3:])
        lines += [
            f"PyRadiomics / gsigpu per region, aim 20 or more: {slow / per_region[names[2]]:.0f} on the same map and labels in memory ({bare / per_region[names[2]]:.0f} without provenance);",
            f"{slow / per_region[names[0]]:.1f} ({bare / per_region[names[0]]:.1f}) against the whole of measure with lesions alone, {slow / per_region[names[1]]:.1f} ({bare / per_region[names[1]]:.1f}) with rims and cores;",
            f"on crops, where neither searches the volume: {crops / per_region[names[3]]:.1f}.",
            "",
        ]
    lines += [*against_raw(seconds, staged[REGIONS][1:]), ""]
    lines += ["Stages of measure, median seconds for all lesions:", ""]
    lines += [f"| regions | {' | '.join(STAGES)} |", "|---|---:|---:|---:|"]
    for regions, runs in staged.items():
        middle = (f"{st.median(run[stage] for run in runs[1:]):.3f}" for stage in STAGES)
        lines.append(f"| {', '.join(regions)} | {' | '.join(middle)} |")
    apart = {
        name: max(abs(mean / ours_by_label[label] - 1.0) for label, mean in means.items())
        for name, means in agree.items()
    }
    told = ", ".join(f"{name} {value:.0e}" for name, value in apart.items())
    lines += [
        "",
        f"Largest relative difference of a lesion's mean iodine from gsigpu measure: {told}.",
    ]
    return lines


def main() -> None:
    """Runs it."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--pyradiomics-python", type=Path)
    script_options, sys.argv[1:] = parser.parse_known_args()
    options = arguments(__doc__ or "", slices=100, size=512, lesions=20)
    n_timed = 5
    spacing_mm, diameter_mm = (1.25, 0.7, 0.7), (8.0, 30.0)
    if options.quick:
        options.slices, options.size, options.lesions, options.repeats = 16, 96, 2, 1
        spacing_mm, diameter_mm, n_timed = (5.0, 3.6, 3.6), (10.0, 25.0), 2
    with scratch() as folder:
        truth = write_phantom(
            folder / "study",
            PhantomSettings(
                shape=(options.slices, options.size, options.size),
                spacing_mm=spacing_mm,
                phases=("PVP",),
                n_lesions=options.lesions,
                diameter_mm=diameter_mm,
                extras=(),
                with_padding=False,
            ),
        )
        lines = [
            f"{options.lesions} lesions of {diameter_mm[0]:g}-{diameter_mm[1]:g} mm in {options.slices} slices of {options.size} x {options.size}, 11 energies, page-cached.",
            "",
            f"## What is read for {', '.join(REGIONS)}",
            "",
            *what_is_read(truth),
            "",
            "## Statistics of a region",
            "",
            *how_fast(truth, folder, options.repeats, script_options.pyradiomics_python, n_timed),
        ]
    report("measure", lines, save=options.save)


if __name__ == "__main__":
    main()
