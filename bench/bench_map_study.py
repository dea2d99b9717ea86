"""The whole of `map`: how far from a naive script, and how far from reading and writing the bytes?

Eleven energies in, four maps out as CT series.
"""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

import numpy as np
from common import (
    arguments,
    ct_like,
    interleaved,
    on_all_cores,
    ratio_table,
    report,
    scratch,
    write_series,
)
from pydicom import dcmread

from gsigpu.physics import iodine_hu_per_mg_per_ml
from gsigpu.pipeline.map.map_study import map_study

ENERGIES = tuple(range(40, 141, 10))
MAPS = ["lambda-hu", "iodine", "vnc", "mono-55"]
STEPS = (0.001, 0.01, 1.0, 1.0)


def naive(folders: list[Path], out: Path) -> None:
    """What one writes in an afternoon with pydicom and NumPy."""
    slices = []
    for folder in folders:
        series = [dcmread(path) for path in folder.iterdir()]
        slices.append(sorted(series, key=lambda ds: float(ds.ImagePositionPatient[2])))
    stack = np.stack(
        [
            [
                ds.pixel_array.astype(np.float32) * float(ds.RescaleSlope)
                + float(ds.RescaleIntercept)
                for ds in series
            ]
            for series in slices
        ]
    )
    r = iodine_hu_per_mg_per_ml(ENERGIES)
    inverse = np.linalg.pinv(np.column_stack([np.ones(len(ENERGIES)), r]))
    water, iodine = np.tensordot(inverse.astype(np.float32), stack + np.float32(1000), axes=1)
    at = ENERGIES.index
    maps = [
        (stack[at(60)] - stack[at(100)]) / 60,
        iodine,
        water - 1000,
        water + iodine * iodine_hu_per_mg_per_ml([55])[0] - 1000,
    ]
    for name, values, step in zip(MAPS, maps, STEPS, strict=True):
        (out / name).mkdir(parents=True)
        for z, source in enumerate(slices[0]):
            ds = copy.deepcopy(source)
            ds.PixelData = (
                np.clip(np.rint(values[z] / step), -32767, 32767).astype(np.int16).tobytes()
            )
            ds.RescaleSlope = step
            ds.SeriesDescription = name
            ds.save_as(out / name / f"{z:04d}.dcm")


def raw(paths: list[Path], out: Path, n_out: int, n_bytes: int) -> None:
    """The same bytes in and out, nothing else, on all cores."""
    buffers = [bytearray(paths[0].stat().st_size + 4096) for _ in range(2)]
    payload = bytes(n_bytes)
    out.mkdir()

    def read(i: int) -> None:
        with paths[i].open("rb", buffering=0) as file:
            file.readinto(buffers[i % 2])

    def write(i: int) -> None:
        with (out / f"{i:05d}").open("wb", buffering=0) as file:
            file.write(payload)

    on_all_cores(read, len(paths))
    on_all_cores(write, n_out)


def main() -> None:
    """Runs it."""
    options = arguments(__doc__ or "", slices=300, size=512)
    if options.quick:
        options.slices, options.size, options.repeats = 4, 64, 1
    with scratch() as folder:
        images = [ct_like(options.size, options.size, seed) for seed in range(4)]
        paths: list[Path] = []
        for kev in ENERGIES:
            paths += write_series(folder / "study" / f"{kev}", kev, images, options.slices)
        folders = [folder / "study" / f"{kev}" for kev in ENERGIES]
        out = folder / "out"

        def fresh() -> Path:
            shutil.rmtree(out, ignore_errors=True)
            return out

        def ours() -> None:
            map_study(folder / "study", fresh(), maps=MAPS, backend="cpu")

        n_out = len(MAPS) * options.slices
        n_bytes = options.size**2 * 2 + 4000
        fast = interleaved(
            options.repeats, raw=lambda: raw(paths, fresh(), n_out, n_bytes), gsigpu=ours
        )
        slow = interleaved(
            1 if options.quick else 2, gsigpu=ours, naive=lambda: naive(folders, fresh())
        )
        lines = [
            f"{len(ENERGIES)} x {options.slices} slices of {options.size} x {options.size} in, {n_out} slices out, page-cached.",
            "",
            *ratio_table(fast, "output slices", n_out, "raw"),
            "",
            "`raw`: the same bytes read and written on all cores, and nothing else. Aim: gsigpu within 2.5.",
            "",
            *ratio_table(slow, "output slices", n_out, "gsigpu"),
            "",
            "`naive`: pydicom + NumPy in float32 (float64 does not fit 24 GiB). Aim: 10 or more.",
        ]
    report("map_study", lines, save=options.save)


if __name__ == "__main__":
    main()
