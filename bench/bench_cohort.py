"""How many cases per hour does a cohort run measure, and what does a worker take over hundreds of cases?

--pyradiomics-python PATH : a Python that has PyRadiomics, pydicom and nibabel, to compare with. PyRadiomics 3.0.1
builds with NumPy 1: pip install 'numpy<2' 'setuptools<70' wheel versioneer cython SimpleITK pydicom nibabel
six pykwalify pywavelets, then pip install --no-build-isolation pyradiomics==3.0.1
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import statistics as st
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter

import nibabel as nib
import numpy as np
import psutil
from common import N_CORES, arguments, on_all_cores, report, scratch

from gsigpu.phantom import PhantomSettings, write_phantom
from gsigpu.physics import iodine_water_hu
from gsigpu.pipeline.cohort_run.disk_room import written_bytes
from gsigpu.pipeline.cohort_run.predicted_size import lesions_of_a_row, predicted_bytes
from gsigpu.pipeline.cohort_run.run_cohort import CohortOptions, CohortSettings, run_cohort
from gsigpu.pipeline.cohort_run.run_state import RunState
from gsigpu.tables.manifest import read_manifest

MASK = Path("masks", "lesions.nii.gz")
COLUMNS = ("case_id", "patient_id", "group", "phase", "study", "mask", "liver_mask", "aorta_mask")
# What one writes first: every file by pydicom, volumes in memory, PyRadiomics' first order per lesion.
NAIVE = """
import json, logging, sys, time
from pathlib import Path
import nibabel, numpy as np, pydicom, SimpleITK as sitk
try:
    import radiomics
    from radiomics.featureextractor import RadiomicsFeatureExtractor
    radiomics.setVerbosity(logging.ERROR)
    extractor = RadiomicsFeatureExtractor(additionalInfo=False)
    extractor.disableAllFeatures()
    extractor.enableFeatureClassByName("firstorder")
except ImportError:
    extractor = None
hu_of_iodine = {float(kev): hu for kev, hu in json.loads(sys.argv[2]).items()}
seconds, means = [], {}
for case in json.loads(sys.argv[1]):
    begun = time.perf_counter()
    series = {}
    for path in Path(case["study"]).rglob("*"):
        if path.is_file():
            ds = pydicom.dcmread(path)
            if "Mono" in str(ds.get("SeriesDescription")):
                series.setdefault(ds.SeriesDescription, []).append(ds)
    volumes = {}
    for description, slices in series.items():
        slices.sort(key=lambda ds: float(ds.ImagePositionPatient[2]))
        kev = float(description.split("Mono ")[1].split()[0])
        volumes[kev] = np.stack([
            ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept) for ds in slices
        ]).astype(np.float32)
    energies = sorted(volumes)
    design = np.array([[1.0, hu_of_iodine[kev]] for kev in energies])
    stack = np.stack([volumes[kev].ravel() for kev in energies])
    iodine = (np.linalg.pinv(design)[1] @ stack).reshape(volumes[energies[0]].shape)
    images = {"lambda": (volumes[60.0] - volumes[100.0]) / 60.0, "iodine": iodine, "ct": volumes[70.0]}
    labels = np.asarray(nibabel.load(case["mask"]).dataobj).transpose(2, 1, 0).astype(np.uint8)
    mask = sitk.GetImageFromArray(labels)
    for name, image in images.items():
        picture = sitk.GetImageFromArray(image.astype(np.float64))
        for label in np.unique(labels[labels > 0]).tolist():
            if extractor is None:
                found = image[labels == label]
                means[f"{name} {label}"] = float(found.mean())
                found.std(), np.percentile(found, [10, 50, 90])
            else:
                found = extractor.execute(picture, mask, label=label)
                means[f"{name} {label}"] = float(found["original_firstorder_Mean"])
    seconds.append(time.perf_counter() - begun)
print(json.dumps({"seconds": seconds, "means": means, "radiomics": extractor is not None}))
"""


def write_cohort(
    folder: Path, settings: PhantomSettings, n_cases: int, *, studies: Sequence[Path] = ()
) -> Path:
    """Copies of one study, and their manifest.

    studies : folders of cases whose files are those of the new ones too, in turn: as many cases as one likes, of files that the
        page cache holds
    """
    truth = None if studies else write_phantom(folder / "template", settings)
    rows = []
    for number in range(n_cases):
        name = f"C{number:04d}"
        if truth is not None:
            shutil.copytree(truth.folder, folder / name)
        else:
            _link(studies[number % len(studies)], folder / name, mask=studies[0] / MASK)
        _without_voxels(folder / name / MASK, number)
        masks = f"{name}/masks"
        rows.append(
            (name, f"P{number:04d}", "lung", "PVP", f"{name}/dicom", f"{masks}/lesions.nii.gz",
             f"{masks}/liver.nii.gz", f"{masks}/aorta.nii.gz")
        )  # fmt: skip
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows((COLUMNS, *rows))
    return folder / "manifest.csv"


def _link(case: Path, to: Path, *, mask: Path) -> None:
    """A case whose files are those of another; but for its mask, which is a copy of one."""
    shutil.copytree(case, to, copy_function=os.link)
    (to / MASK).unlink()
    shutil.copyfile(mask, to / MASK)


def _without_voxels(path: Path, n: int) -> None:
    """Takes the first n voxels out of a mask: one mask for several patients is refused, as it should be."""
    image = nib.load(path)
    labels = np.array(image.get_fdata(), image.get_data_dtype())
    labels.flat[np.flatnonzero(labels)[:n]] = 0
    nib.save(nib.Nifti1Image(labels, image.affine, image.header), path)


def raw_read(folders: list[Path]) -> int:
    """All bytes of some folders, file by file, on all cores."""
    paths = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    of_thread, sizes = threading.local(), [0] * len(paths)

    def read(i: int) -> None:
        if not hasattr(of_thread, "buffer"):
            of_thread.buffer = bytearray(2**22)
        with paths[i].open("rb", buffering=0) as file:
            while n := file.readinto(of_thread.buffer):
                sizes[i] += n

    on_all_cores(read, len(paths))
    return sum(sizes)


def in_turn(repeats: int, **contenders: Callable[[], object]) -> dict[str, list[float]]:
    """Seconds of each contender; what they read is in the cache, and all start from nothing, so every round counts."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, run in contenders.items():
            begun = perf_counter()
            run()
            seconds[name].append(perf_counter() - begun)
    return seconds


def cohort(manifest: Path, out: Path, n_workers: int) -> None:
    """The command, from nothing."""
    shutil.rmtree(out, ignore_errors=True)
    words = ["cohort", "run", manifest, "-o", out, "--workers", n_workers]
    _gsigpu(*words)


def loop(manifest: Path, out: Path) -> None:
    """(a) A shell loop over `gsigpu measure`."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    for row in read_manifest(manifest):
        _gsigpu(
            "measure", row.study, "--mask", row.masks[0], "--liver-mask", row.liver_mask,
            "--aorta-mask", row.aorta_mask, "--phase", "PVP", "-o", out / f"{row.case_id}.csv",
        )  # fmt: skip


def _gsigpu(*words: object) -> None:
    subprocess.run(
        [sys.executable, "-m", "gsigpu", *map(str, words)], check=True, capture_output=True
    )


def naive(python: Path, manifest: Path, n_cases: int) -> dict:
    """(b) What the script above says of some cases."""
    cases = [
        {"study": str(row.study), "mask": str(row.masks[0])}
        for row in read_manifest(manifest)[:n_cases]
    ]
    energies = [float(kev) for kev in range(40, 141, 10)]
    hu = iodine_water_hu(energies, water_mg_per_ml=1000.0, iodine_mg_per_ml=1.0)
    known = {f"{kev:g}": float(hu_added) for kev, hu_added in zip(energies, hu, strict=True)}
    done = subprocess.run(
        [python, "-c", NAIVE, json.dumps(cases), json.dumps(known)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"the naive script did not run:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def speed(manifest: Path, more: Path, folder: Path, repeats: int, python: Path | None) -> list[str]:
    """Cases per hour of all contenders, uncompressed.

    more : manifest of more cases of the same studies: what these take beside the others is had without the start
    """
    n_cases, n_more = len(read_manifest(manifest)), len(read_manifest(more))
    studies = [row.study for row in read_manifest(manifest)]
    n_bytes = raw_read(studies)
    seconds = in_turn(
        repeats,
        raw=lambda: raw_read(studies),
        single=lambda: cohort(manifest, folder / "one", 1),
        two=lambda: cohort(manifest, folder / "two", 2),
        loop=lambda: loop(manifest, folder / "loop"),
        single_more=lambda: cohort(more, folder / "one more", 1),
        two_more=lambda: cohort(more, folder / "two more", 2),
    )
    per_case = {name: st.median(taken) / n_cases for name, taken in seconds.items()}
    n_naive = min(n_cases, 2)
    answer, last = naive(python or Path(sys.executable), manifest, n_naive), f"C{n_naive - 1:04d}"
    per_case["naive"] = st.mean(answer["seconds"])
    peer = (
        "PyRadiomics"
        if answer["radiomics"]
        else "NumPy (no PyRadiomics: name a Python that has it)"
    )
    names = {
        "two": "gsigpu cohort run, 2 workers",
        "single": "gsigpu cohort run, 1 worker",
        "loop": "(a) a loop over gsigpu measure",
        "naive": f"(b) pydicom + {peer}, lesions alone, 3 parameters, imports not counted",
    }
    lines = [
        "| | cases/h | time per case / cohort run, 2 workers | study bytes per second / raw read |",
        "|---|---:|---:|---:|",
    ]
    for name, words in names.items():
        taken = per_case[name]
        lines.append(
            f"| {words} | {3600 / taken:,.0f} | {taken / per_case['two']:.2f} | {per_case['raw'] / taken:.0%} |"
        )
    workers = per_case["single"] / per_case["two"]
    steady = {
        name: (st.median(seconds[f"{name}_more"]) - st.median(seconds[name])) / (n_more - n_cases)
        for name in ("single", "two")
    }
    of_worker = {
        n: seconds_of_worker(folder / f"{name} more") for n, name in ((1, "one"), (2, "two"))
    }
    lines += [
        "",
        (
            f"{n_cases} cases, {n_bytes / n_cases / 1e6:.0f} MB each in {len(list(studies[0].rglob('*')))} files; raw read"
            f" {n_bytes / st.median(seconds['raw']) / 1e6:,.0f} MB/s, page-cached, on all cores. Start of the program and of"
            " its workers is counted."
        ),
        (
            f"From one worker to two, start counted: {workers:.2f} times the cases, on {N_CORES} cores: {workers / 2:.2f} of"
            " twice the rate of one."
        ),
        (
            f"Without the start, as in a cohort of hundreds ({n_more} cases of the same files less {n_cases}):"
            f" {steady['single']:.3f} s a case with one worker and {steady['two']:.3f} s with two, which do"
            f" {steady['single'] / steady['two'] / 2:.2f} of twice the rate of one (aim 0.9), and read"
            f" {per_case['raw'] / steady['two']:.0%} of the raw rate (aim 50 %; of uncompressed slices the rows that regions"
            f" touch are read, and all bytes are counted). A case takes a worker {of_worker[1]:.3f} s of its stages alone and"
            f" {of_worker[2]:.3f} s beside another."
        ),
        (
            f"The start, and the tables at the end, take {n_cases * (per_case['single'] - steady['single']):.1f} s with one"
            f" worker and {n_cases * (per_case['two'] - steady['two']):.1f} s with two."
        ),
    ]
    table = (folder / "two" / "measurements.csv").read_text().splitlines()
    ours = {
        (cells[5], cells[7]): float(cells[9])
        for cells in csv.reader(table[1:])
        if cells[0] == last and cells[6] == "lesion" and cells[8] == "mean"
    }
    called = {"lambda": "lambda_hu", "iodine": "iodine", "ct": "ct_value"}
    apart = max(
        abs(value / ours[label, called[name]] - 1.0)
        for key, value in answer["means"].items()
        for name, label in [key.split()]
    )
    lines.append(
        f"Largest relative difference of a lesion's mean between (b) and gsigpu: {apart:.0e}."
    )
    return lines


def compressed(manifest: Path, folder: Path, n_cases: int, repeats: int) -> list[str]:
    """The same in JPEG 2000, where decoding is the work."""
    studies = [row.study for row in read_manifest(manifest)]
    n_bytes = raw_read(studies)
    seconds = in_turn(
        repeats,
        raw=lambda: raw_read(studies),
        **{
            f"{n} workers" if n > 1 else "1 worker": partial(
                cohort, manifest, folder / f"packed{n}", n
            )
            for n in (1, 2)
        },
    )
    per_case = {name: st.median(taken) / n_cases for name, taken in seconds.items()}
    raw = per_case.pop("raw")
    fewest, most = max(per_case.values()), min(per_case.values())
    return [
        "| JPEG 2000 | cases/h | study bytes per second / raw read |",
        "|---|---:|---:|",
        *(
            f"| gsigpu cohort run, {name} | {3600 / taken:,.0f} | {raw / taken:.1%} |"
            for name, taken in per_case.items()
        ),
        "",
        f"{n_cases} cases, {n_bytes / n_cases / 1e6:.0f} MB each; slowest to fastest: {fewest / most:.2f} times the cases.",
    ]


def seconds_of_worker(out: Path) -> float:
    """What a case of a run takes of a worker, all stages of it."""
    status = json.loads((out / "status.json").read_text())
    return float(sum(status["seconds"].values())) / int(status["n_done"])


def stages(out: Path) -> list[str]:
    """Where a worker's time goes."""
    status = json.loads((out / "status.json").read_text())
    total = sum(status["seconds"].values())
    parts = sorted(status["seconds"].items(), key=lambda item: -item[1])
    n = status["n_done"]
    return [
        "| stage | ms per case | part |",
        "|---|---:|---:|",
        *(
            f"| {name} | {1e3 * seconds / n:.0f} | {seconds / total:.0%} |"
            for name, seconds in parts
        ),
    ]


def memory(folder: Path, n_cases: int) -> list[str]:
    """A worker's memory over many cases, looked at after each."""
    settings = PhantomSettings(
        shape=(12, 64, 80),
        spacing_mm=(10.0, 4.4, 4.4),
        n_lesions=2,
        diameter_mm=(20.0, 32.0),
        energies_kev=(60.0, 70.0, 100.0),
        phases=("PVP",),
        extras=(),
    )
    manifest = write_cohort(folder, settings, n_cases)
    samples: list[tuple[int, float]] = []
    me = psutil.Process()

    def look(state: RunState) -> None:
        for child in me.children():
            try:
                samples.append((state.n_done, child.memory_info().rss / 2**20))
            except psutil.Error:
                continue

    begun = time.monotonic()
    result = run_cohort(manifest, folder / "out", options=CohortOptions(workers=1), watch=look)
    elapsed = time.monotonic() - begun
    middle = n_cases // 2
    parts = [(1, 10), (11, 50), (middle - 25, middle + 25), (n_cases - 49, n_cases)]
    lines = ["| cases done | worker's resident memory, MiB (median, largest) |", "|---|---:|"]
    for low, high in parts:
        seen = [mib for n_done, mib in samples if low <= n_done <= high]
        if seen and low > 0:
            lines.append(f"| {low}-{high} | {st.median(seen):.0f}, {max(seen):.0f} |")
    return [
        *lines,
        "",
        f"{result.n_done} cases in one worker, {elapsed / n_cases * 1e3:.0f} ms each: what a case costs at least.",
    ]


def disk(manifest: Path, out: Path) -> list[str]:
    """What was predicted, and what was written."""
    rows = read_manifest(manifest)
    settings = CohortSettings()
    predicted = predicted_bytes(rows, settings, lesions_of_a_row(rows, settings))
    written = written_bytes([out])
    return [
        (
            f"Disk use predicted {predicted / len(rows) / 1e3:.0f} kB per case, written {written / len(rows) / 1e3:.0f} kB"
            f" ({predicted / written:.1f} times; all regions)."
        )
    ]


def evict(folders: list[Path]) -> None:
    """Drops files from the page cache, as far as the system does."""
    os.sync()
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file():
                with path.open("rb") as file:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def cold(manifest: Path, folder: Path, n_cases: int, repeats: int) -> list[str]:
    """What reading ahead gains: files dropped from the cache before each run, and the next studies asked for or not."""
    if not hasattr(os, "posix_fadvise"):
        return ["Reading ahead was not measured: this system has no posix_fadvise."]
    studies = [row.study for row in read_manifest(manifest)]

    def run(*, ahead: bool) -> float:
        evict(studies)
        begun = perf_counter()
        if ahead:
            for study in studies:
                for path in study.rglob("*"):
                    if path.is_file():
                        with path.open("rb") as file:
                            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)
        cohort(manifest, folder / "cold", 2)
        return perf_counter() - begun

    taken: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(repeats):
        for ahead, seconds in taken.items():
            seconds.append(run(ahead=ahead))
    evict(studies)
    begun = perf_counter()
    raw_read(studies)
    first = perf_counter() - begun
    without, with_ = st.median(taken[False]), st.median(taken[True])
    return [
        (
            "Files dropped from the page cache before each run, as those of a cohort larger than memory are:"
            f" {n_cases} cases with 2 workers in {without:.1f} s, {first / without:.2f} of the rate of a raw read of all their"
            f" bytes ({first:.1f} s on all cores). With all files asked for beforehand (POSIX_FADV_WILLNEED) {with_:.1f} s,"
            f" {without / with_:.2f} times as fast."
        )
    ]


def main() -> None:
    """Runs it."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--pyradiomics-python", type=Path)
    peers, sys.argv[1:] = parser.parse_known_args()
    options = arguments(__doc__ or "", cases=8, slices=100, size=512, many=300)
    if options.quick:
        options.cases, options.slices, options.size, options.many, options.repeats = 2, 12, 96, 1, 1
    settings = PhantomSettings(
        shape=(options.slices, options.size, options.size),
        spacing_mm=(144.0 / options.slices, 384.0 / options.size, 384.0 / options.size),
        phases=("PVP",),
        n_lesions=6 if not options.quick else 2,
        diameter_mm=(12.0, 30.0) if not options.quick else (25.0, 30.0),
        extras=(),
    )
    n, repeats = options.cases, min(options.repeats, 2)
    n_compressed = max(n // 3, 1)
    with scratch() as folder:
        plain = write_cohort(folder / "plain", settings, n)
        cases = [folder / "plain" / f"C{number:04d}" for number in range(n)]
        more = write_cohort(folder / "more", settings, 5 * n, studies=cases)
        small = replace(
            settings,
            shape=tuple(size // 2 for size in settings.shape),
            spacing_mm=tuple(2 * size for size in settings.spacing_mm),
            transfer_syntax="jpeg2000",
        )
        # A quick run shows that the script works: what follows is the same commands on other files.
        packed = plain if options.quick else write_cohort(folder / "packed", small, n_compressed)
        lines = [
            f"Studies of 11 energies, one phase, {options.slices} slices of {options.size} x {options.size}, {settings.n_lesions} lesions.",
            "",
            "## Cases per hour",
            "",
            *speed(plain, more, folder, repeats, peers.pyradiomics_python),
            "",
            "## Where the time goes",
            "",
            *stages(folder / "one more"),
            "",
            *disk(plain, folder / "one"),
            "",
            "## JPEG 2000",
            "",
            *([] if options.quick else compressed(packed, folder, n_compressed, repeats)),
            "",
            "## Cold files, and reading ahead",
            "",
            *([] if options.quick else cold(plain, folder, n, repeats)),
            "",
            "## Memory",
            "",
            *([] if options.quick else memory(folder / "many", options.many)),
        ]
    report("cohort", lines, save=options.save)


if __name__ == "__main__":
    main()
