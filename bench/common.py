"""What the benchmarks share: test studies, interleaved timing, and the machine they ran on."""

from __future__ import annotations

import argparse
import platform
import re
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date
from importlib.metadata import version
from pathlib import Path
from time import perf_counter

import numpy as np
from machine import N_CORES, RESULTS, processor_name
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from gsigpu.backends.compiled import choose_loop
from gsigpu.dicom.writing.template import HeaderTemplate, decimal
from gsigpu.dicom.writing.uids import derived_uid


def arguments(description: str, **defaults: int) -> argparse.Namespace:
    """--quick, --save, --repeats, and one integer option per default."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="tiny sizes: only shows that it runs")
    parser.add_argument(
        "--save", action="store_true", help="also write the result to bench/results/"
    )
    parser.add_argument("--repeats", type=int, default=5)
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    return parser.parse_args()


def interleaved(
    repeats: int,
    before: Callable[[], None] | None = None,
    note: Callable[[str, float], None] | None = None,
    **contenders: Callable[[], object],
) -> dict[str, list[float]]:
    """Seconds of each contender, run in turn so that a drifting machine hits all alike; one round is not counted.

    before : is called before each run, and not timed
    note : is told of each run that counts, when it has ended
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for round_ in range(repeats + 1):
        for name, run in contenders.items():
            if before is not None:
                before()
            begun = perf_counter()
            run()
            taken = perf_counter() - begun
            if round_:
                seconds[name].append(taken)
                if note is not None:
                    note(name, taken)
    return seconds


def ratio_table(
    seconds: dict[str, list[float]], unit: str, n_units: int, against: str
) -> list[str]:
    """Markdown: units per second at the median, and time over that of `against` in the same round: median and worst.

    The minimum compares the fastest round of each, whichever they were.
    """
    base = seconds[against]
    lines = [
        f"| | {unit}/s | time / {against} (median) | (worst) | (minimum) |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, taken in seconds.items():
        ratios = [mine / other for mine, other in zip(taken, base, strict=True)]
        lines.append(
            f"| {name.replace('_', ' ')} | {n_units / statistics.median(taken):,.0f} |"
            f" {statistics.median(ratios):.2f} | {max(ratios):.2f} | {min(taken) / min(base):.2f} |"
        )
    return lines


def report(name: str, lines: list[str], *, save: bool) -> None:
    """Prints the result under a line that names the machine; keeps it if asked."""
    loop = choose_loop()[1]
    libraries = ", ".join(
        f"{package} {version(package)}"
        for package in ("gsigpu", "numpy", "pydicom", "imagecodecs", "simpleitk")
    )
    head = [
        f"# {name}",
        "",
        f"{date.today().isoformat()}, {N_CORES} cores, {processor_name()}, {platform.system()}, Python {platform.python_version()}, {libraries}; {loop}.",
        "Shared machine: compare the ratios, not the absolute figures.",
        "",
    ]
    text = "\n".join(head + lines) + "\n"
    sys.stdout.write(text)
    if save:
        RESULTS.mkdir(exist_ok=True)
        processor = re.sub(r"\W+", "-", processor_name()).strip("-").lower()
        (RESULTS / f"{name}-{processor}.md").write_text(text, "utf-8")


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder on disk that is removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="gsigpu-bench-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def on_all_cores(work: Callable[[int], object], n: int) -> None:
    """work(0) ... work(n - 1) in as many threads as there are cores."""
    with ThreadPoolExecutor(N_CORES) as pool:
        list(pool.map(work, range(n)))


def ct_like(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    """(rows, columns) int16: a body with organs and noise, so that codecs have something real to do."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    body = (x / 0.85) ** 2 + (y / 0.65) ** 2 < 1
    image = np.where(body, 40.0, -1000.0)
    for cx, cy, r, hu in (
        (-0.35, 0, 0.3, 110),
        (0.1, 0.1, 0.06, 300),
        (0, 0.35, 0.1, 500),
        (0.4, 0, 0.15, 90),
    ):
        image[(x - cx) ** 2 + (y - cy) ** 2 < r * r] = hu
    return (
        (image + rng.normal(0, 12, image.shape) * np.where(body, 1, 0.4)).round().astype(np.int16)
    )


def header(kev: float, rows: int, columns: int) -> FileDataset:
    """A monoenergetic slice's header with as many elements as a scanner's: some 200, most of them private."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset("", Dataset(), file_meta=meta, preamble=b"\0" * 128)
    ds.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, "1.2.3"
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = "20240102"
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = "101112"
    ds.Modality, ds.Manufacturer, ds.ManufacturerModelName = (
        "CT",
        "GE MEDICAL SYSTEMS",
        "Revolution CT",
    )
    ds.SeriesDescription = f"PVP Mono {kev:g} keV"
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Bench^Mark", "BENCH", "", ""
    ds.SliceThickness, ds.KVP, ds.PatientPosition, ds.GantryDetectorTilt = "1.25", "80", "HFS", "0"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = derived_uid("bench"), derived_uid("bench", kev)
    ds.SeriesNumber, ds.AcquisitionNumber, ds.InstanceNumber = int(kev), 1, 1
    ds.ImagePositionPatient, ds.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
    ds.FrameOfReferenceUID = derived_uid("bench", "frame")
    ds.PositionReferenceIndicator = ""
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns, ds.PixelSpacing = rows, columns, [0.8, 0.8]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "0", "1", "HU"
    for group in (0x09, 0x19, 0x21, 0x23, 0x27, 0x43, 0x45, 0x49):
        block = ds.private_block(group, f"GEMS_{group:02X}_01", create=True)
        for element in range(18):
            block.add_new(element, "DS" if element % 2 else "SL", "1.5" if element % 2 else element)
    return ds


def write_series(folder: Path, kev: float, images: list[np.ndarray], n_slices: int) -> list[Path]:
    """n_slices files, the images in turn; all headers from one template."""
    rows, columns = images[0].shape
    ds = header(kev, rows, columns)
    markers = {
        "uid": "9.9.9.1.424242",
        "number": "1424242421",
        "position": "-4242.4242\\4242.4242\\1",
    }
    ds.SOPInstanceUID, ds.InstanceNumber = markers["uid"], markers["number"]
    ds.ImagePositionPatient = markers["position"].split("\\")
    template = HeaderTemplate(ds, markers, n_pixel_bytes=images[0].nbytes)
    folder.mkdir(parents=True)
    paths = []
    for z in range(n_slices):
        values = {
            "uid": derived_uid("bench", kev, z),
            "number": str(z + 1),
            "position": f"-204.8\\-204.8\\{decimal(1.25 * z)}",
        }
        path = folder / f"i{z:04d}"
        path.write_bytes(template.fill(values) + images[z % len(images)].tobytes())
        paths.append(path)
    return paths
