"""Part of `gpu.py`: the whole of `map`, files to files, of studies in three transfer syntaxes."""

from __future__ import annotations

import shutil
import statistics
from pathlib import Path
from time import perf_counter
from typing import Any

import imagecodecs
import numpy as np
from bench_map_study import ENERGIES, MAPS, raw
from common import ct_like, on_all_cores, scratch, write_series
from gpu_programs import Sizes, WrongResults
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, HTJ2KLossless, JPEG2000Lossless

from gsigpu.dicom.reading.headers import scan_headers
from gsigpu.dicom.reading.pixels import PlaneReader
from gsigpu.pipeline.map.map_study import map_study

ENCODERS = {
    ExplicitVRLittleEndian: None,
    JPEG2000Lossless: lambda image: imagecodecs.jpeg2k_encode(
        image, level=0, codecformat="j2k", bitspersample=16, reversible=True, mct=False
    ),
    HTJ2KLossless: lambda image: imagecodecs.htj2k_encode(image, reversible=True),
}


def lines(sizes: Sizes) -> list[str]:
    """A table. Raises WrongResults where a voxel is more than a step from the CPU's."""
    rows, wrong = [], []
    images = [ct_like(sizes.plane, sizes.plane, seed) for seed in range(4)]
    for syntax, encode in ENCODERS.items():
        with scratch() as folder:
            paths = write_study(folder / "study", images, syntax, encode, sizes.study_slices)
            row, steps = _row(folder, paths, syntax, sizes)
        rows.append(row)
        if steps > 1:
            wrong.append(f"{syntax.name}: {steps} steps")
    n_out = len(MAPS) * sizes.study_slices
    table = [
        "| | CPU s | GPU s | GPU / CPU | limit s | GPU / limit | of the GPU's time: read, compute, write |",
        "|---|---:|---:|---:|---:|---:|---|",
        *rows,
        "",
        (
            f"{len(ENERGIES)} x {sizes.study_slices} slices of {sizes.plane} x {sizes.plane} in, {n_out} slices out, page-cached, all"
            " cores. Limit: the same bytes read and written, and nothing else; of compressed studies the frames are decoded."
        ),
        "The last column adds up threads. Decoding is on the CPU for both.",
    ]
    if wrong:
        raise WrongResults([*table, "", f"**Other voxels on the card: {'; '.join(wrong)}.**"])
    return table


def write_study(
    folder: Path, images: list[Any], syntax: Any, encode: Any, n_slices: int
) -> list[Path]:
    """The files of eleven series."""
    paths: list[Path] = []
    for kev in ENERGIES:
        paths += write_series(folder / f"{kev}", kev, images, n_slices)
    if encode is None:
        return paths
    frames = [encapsulate([encode(image)]) for image in images]

    def compress(i: int) -> None:
        ds = dcmread(paths[i])
        ds.PixelData = frames[i % n_slices % len(images)]
        ds["PixelData"].VR = "OB"
        ds["PixelData"].is_undefined_length = True
        ds.file_meta.TransferSyntaxUID = syntax
        ds.save_as(paths[i])

    on_all_cores(compress, len(paths))
    return paths


def _row(folder: Path, paths: list[Path], syntax: Any, sizes: Sizes) -> tuple[str, int]:
    """The table's row, and the most steps that a voxel differs by."""
    planes = scan_headers(folder / "study").planes
    reader = PlaneReader()

    def limit() -> None:
        shutil.rmtree(folder / "raw", ignore_errors=True)
        n_out = len(MAPS) * sizes.study_slices
        is_plain = syntax is ExplicitVRLittleEndian
        raw(paths if is_plain else paths[:1], folder / "raw", n_out, sizes.plane**2 * 2 + 4000)
        if not is_plain:
            buffer = np.empty((sizes.plane, sizes.plane), np.int16)
            on_all_cores(lambda i: reader.read_plane(planes[i], np.empty_like(buffer)), len(planes))

    seconds: dict[str, list[float]] = {"limit": [], "cpu": [], "gpu": []}
    stages = ""
    for round_ in range(sizes.study_rounds + 1):
        for name, taken in seconds.items():
            shutil.rmtree(folder / name, ignore_errors=True)
            begun = perf_counter()
            if name == "limit":
                limit()
            else:
                result = map_study(folder / "study", folder / name, maps=MAPS, backend=name)
                stages = _stages(result.report, name)  # of the GPU, which comes last
            if round_ or sizes.study_rounds == 0:
                taken.append(perf_counter() - begun)
    limit_s, cpu_s, gpu_s = (statistics.median(taken) for taken in seconds.values())
    row = (
        f"| {syntax.name} | {cpu_s:.2f} | {gpu_s:.2f} | {gpu_s / cpu_s:.2f} | {limit_s:.2f}"
        f" | {gpu_s / limit_s:.2f} | {stages} |"
    )
    return row, most_steps(folder / "cpu", folder / "gpu")


def _stages(report: Any, backend: str) -> str:
    if report.backend != backend:
        raise RuntimeError(f"ran on {report.backend}, not {backend}")
    return ", ".join(
        f"{report.seconds.get(stage, 0.0):.1f}" for stage in ("read", "compute", "write")
    )


def most_steps(first: Path, second: Path) -> int:
    """The most that a stored value of the same slice of the same map differs by, of some slices."""
    worst = 0
    for name in MAPS:
        ours, theirs = (sorted((folder / name).rglob("*.dcm")) for folder in (first, second))
        if len(ours) != len(theirs) or not ours:
            raise RuntimeError(f"{name}: {len(ours)} and {len(theirs)} files")
        for path, other_path in list(zip(ours, theirs, strict=True))[:: max(len(ours) // 5, 1)]:
            values, others = (dcmread(path).pixel_array.astype(int) for path in (path, other_path))
            worst = max(worst, int(np.abs(values - others).max()))
    return worst
