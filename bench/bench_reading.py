"""Reading: header scan and pixels, against the same files raw, a pydicom script, and SimpleITK.

Then compressed series against the bare codec on frames that are in memory already.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

import imagecodecs
import numpy as np
import SimpleITK
from common import (
    N_CORES,
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
from pydicom.encaps import encapsulate
from pydicom.uid import (
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from gsigpu.dicom.model import Plane
from gsigpu.dicom.reading.fragments import read_only_frame
from gsigpu.dicom.reading.headers import scan_headers
from gsigpu.dicom.reading.pixels import PlaneReader

ENCODERS = {
    JPEGLosslessSV1: lambda image: imagecodecs.jpeg8_encode(
        image.view(np.uint16), lossless=True, predictor=1, bitspersample=16
    ),
    JPEGLSLossless: lambda image: imagecodecs.jpegls_encode(image.view(np.uint16)),
    JPEG2000Lossless: lambda image: imagecodecs.jpeg2k_encode(
        image, level=0, codecformat="j2k", bitspersample=16, reversible=True, mct=False
    ),
    HTJ2KLossless: lambda image: imagecodecs.htj2k_encode(image, reversible=True),
}
# The fastest decoder of each that is right, straight into the caller's memory, without what gsigpu checks before and after.
DECODERS = {
    RLELossless: lambda frame, out: imagecodecs.dicomrle_decode(
        frame, dtype="<u2", out=memoryview(out).cast("B")
    ),
    # liblj92 and jpegsof3 take 1.7 and 3 times as long.
    JPEGLosslessSV1: lambda frame, out: imagecodecs.jpeg8_decode(frame, out=out),
    JPEGLSLossless: lambda frame, out: imagecodecs.jpegls_decode(frame, out=out),
    JPEG2000Lossless: lambda frame, out: imagecodecs.jpeg2k_decode(frame, numthreads=1, out=out),
    # OpenJPEG too: imagecodecs' faster htj2k_decode does not report damage.
    HTJ2KLossless: lambda frame, out: imagecodecs.jpeg2k_decode(frame, numthreads=1, out=out),
}
# Files of each, so that decoding takes about a second: a study has thousands, and what a scan takes at its start counts as little.
N_FILES = {
    RLELossless: 1056,
    JPEGLosslessSV1: 792,
    JPEGLSLossless: 396,
    JPEG2000Lossless: 132,
    HTJ2KLossless: 792,
}
# Frames that a thread takes at a time, on either side: `map` reads the energies of a slice together.
AT_ONCE = 11


def scan_and_read(folder: Path, out: np.ndarray) -> None:
    """Ours: headers, then all planes on all cores into one buffer."""
    planes = scan_headers(folder).planes
    reader = PlaneReader()
    on_all_cores(lambda i: reader.read_plane(planes[i], out[i]), len(planes))


def raw(paths: list[Path], out: np.ndarray, offset: int) -> None:
    """The pixel bytes of each file at a known place, and nothing else."""

    def read(i: int) -> None:
        with paths[i].open("rb", buffering=0) as file:
            file.seek(offset)
            file.readinto(memoryview(out[i]).cast("B"))

    on_all_cores(read, len(paths))


def uncompressed(folder: Path, n_slices: int, size: int, repeats: int) -> list[str]:
    """Table of the uncompressed series."""
    paths = write_series(folder / "plain", 70, [ct_like(size, size)], n_slices)
    out = np.zeros((n_slices, size, size), np.int16)
    offset = scan_headers(folder / "plain").planes[0].pixel_offset

    def with_pydicom() -> None:
        datasets = [dcmread(path) for path in paths]
        datasets.sort(key=lambda ds: float(ds.ImagePositionPatient[2]))
        np.stack([ds.pixel_array for ds in datasets])

    def with_simpleitk() -> None:
        reader = SimpleITK.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder / "plain")))
        reader.Execute()

    seconds = interleaved(
        repeats,
        raw=lambda: raw(paths, out, offset),
        gsigpu=lambda: scan_and_read(folder / "plain", out),
        gsigpu_scan_alone=lambda: scan_headers(folder / "plain"),
        pydicom=with_pydicom,
        SimpleITK=with_simpleitk,
    )
    return [
        f"{n_slices} uncompressed slices of {size} x {size}, page-cached, {N_CORES} threads.",
        "",
        *ratio_table(seconds, "slices", n_slices, "raw"),
        "",
        "`raw`: pixel bytes into a preallocated buffer. Aim: gsigpu within 2, header scan included.",
    ]


def against_codec(
    folder: Path,
    decode: Callable[[bytes, np.ndarray], object],
    shape: tuple[int, int, int],
    repeats: int,
) -> dict[str, list[float]]:
    """Seconds of the bare codec, of reading, and of scan and reading; the same slices in a thread's turn, into the same memory."""
    planes = scan_headers(folder).planes
    reader, out = PlaneReader(), np.zeros(shape, np.int16)
    frames = []
    for plane in planes:
        with plane.path.open("rb", buffering=0) as file:
            frames.append(read_only_frame(file, plane.path, plane.pixel_offset))
    turns = [slice(start, start + AT_ONCE) for start in range(0, len(planes), AT_ONCE)]

    def codec(turn: slice) -> None:
        for frame, target in zip(frames[turn], out[turn], strict=True):
            decode(frame, target)

    def read(planes: Sequence[Plane]) -> None:
        on_all_cores(lambda i: reader.read(planes[turns[i]], out[turns[i]]), len(turns))

    return interleaved(
        repeats,
        codec=lambda: on_all_cores(lambda i: codec(turns[i]), len(turns)),
        reading=lambda: read(planes),
        ours=lambda: read(scan_headers(folder).planes),
    )


def compressed(folder: Path, most: int, size: int, repeats: int) -> list[str]:
    """Table of each compressed transfer syntax against its codec alone, of no more than so many files."""
    lines = [
        "",
        "| transfer syntax | files | slices/s | time / bare codec (median) | (worst) | without scan (median) |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    images = [ct_like(size, size, seed) for seed in range(4)]
    for syntax in (RLELossless, *ENCODERS):
        target, n_slices = folder / syntax.replace(".", "_"), min(N_FILES[syntax], most)
        paths = write_series(target, 70, images, n_slices)
        for path in paths:
            ds = dcmread(path)
            if syntax == RLELossless:
                ds.compress(RLELossless, generate_instance_uid=False)
            else:
                ds.PixelData = encapsulate([ENCODERS[syntax](np.ascontiguousarray(ds.pixel_array))])
                ds["PixelData"].VR = "OB"
                ds["PixelData"].is_undefined_length = True
                ds.file_meta.TransferSyntaxUID = syntax
            ds.save_as(path)
        seconds = against_codec(target, DECODERS[syntax], (n_slices, size, size), repeats)
        whole, alone = (
            [mine / bare for mine, bare in zip(seconds[name], seconds["codec"], strict=True)]
            for name in ("ours", "reading")
        )
        lines.append(
            f"| {syntax.name} | {n_slices} | {n_slices / statistics.median(seconds['ours']):,.0f} |"
            f" {statistics.median(whole):.2f} | {max(whole):.2f} | {statistics.median(alone):.2f} |"
        )
    return [
        *lines,
        "",
        "Files to int16 planes on all cores, header scan included, over decoding frames that are in memory into the same planes.",
        "Aim: within 1.02.",
    ]


def main() -> None:
    """Runs it."""
    options = arguments(__doc__ or "", slices=1000, size=512)
    most_compressed = max(N_FILES.values())
    if options.quick:
        options.slices, options.size, options.repeats, most_compressed = 6, 64, 1, 12
    with scratch() as folder:
        lines = uncompressed(folder, options.slices, options.size, options.repeats)
        lines += compressed(folder, most_compressed, options.size, options.repeats)
    report("reading", lines, save=options.save)


if __name__ == "__main__":
    main()
