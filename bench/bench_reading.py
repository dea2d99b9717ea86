"""Reading: header scan and pixels, against the same files raw, a pydicom script, and SimpleITK.

Then compressed frames against the bare codec on bytes in memory.
"""

from __future__ import annotations

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

from gsigpu.dicom.reading.fragments import index_frames
from gsigpu.dicom.reading.headers import scan_headers
from gsigpu.dicom.reading.pixels import PlaneReader

ENCODERS = {
    JPEGLosslessSV1: lambda image: imagecodecs.ljpeg_encode(
        image.view(np.uint16), bitspersample=16
    ),
    JPEGLSLossless: lambda image: imagecodecs.jpegls_encode(image.view(np.uint16)),
    JPEG2000Lossless: lambda image: imagecodecs.jpeg2k_encode(
        image, level=0, codecformat="j2k", bitspersample=16, reversible=True, mct=False
    ),
    HTJ2KLossless: lambda image: imagecodecs.htj2k_encode(image, reversible=True),
}
# The codecs as they are, without what gsigpu checks before and after.
DECODERS = {
    RLELossless: lambda frame: imagecodecs.dicomrle_decode(frame, dtype="<u2"),
    JPEGLosslessSV1: imagecodecs.jpeg8_decode,  # as gsigpu: liblj92 can be killed by a damaged byte
    JPEGLSLossless: imagecodecs.jpegls_decode,
    JPEG2000Lossless: lambda frame: imagecodecs.jpeg2k_decode(frame, numthreads=1),
    # OpenJPEG too: imagecodecs' faster htj2k_decode does not report damage.
    HTJ2KLossless: lambda frame: imagecodecs.jpeg2k_decode(frame, numthreads=1),
}


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


def compressed(folder: Path, n_slices: int, size: int, repeats: int) -> list[str]:
    """Table of each compressed transfer syntax against its codec alone."""
    lines = [
        "",
        "| transfer syntax | slices/s | time / bare codec (median) | (minimum) |",
        "|---|---:|---:|---:|",
    ]
    images = [ct_like(size, size, seed) for seed in range(4)]
    for syntax in (RLELossless, *ENCODERS):
        target = folder / syntax.replace(".", "_")
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
        planes = scan_headers(target).planes
        reader, out = PlaneReader(), np.zeros((n_slices, size, size), np.int16)
        frames = []
        for plane in planes:
            with plane.path.open("rb") as file:
                frames.append(index_frames(file, plane.path, plane.pixel_offset, 1).read(file, 0))
        seconds = interleaved(
            repeats,
            codec=lambda decode=DECODERS[syntax], frames=frames: on_all_cores(
                lambda i: decode(frames[i]), len(frames)
            ),
            ours=lambda planes=planes, reader=reader, out=out: on_all_cores(
                lambda i: reader.read_plane(planes[i], out[i]), len(planes)
            ),
        )
        ours, codec = sorted(seconds["ours"]), sorted(seconds["codec"])
        middle = len(ours) // 2
        lines.append(
            f"| {syntax.name} | {n_slices / ours[middle]:,.0f} | {ours[middle] / codec[middle]:.2f} | {ours[0] / codec[0]:.2f} |"
        )
    return [
        *lines,
        "",
        "Files to int16 buffers on all cores, over decoding the same frames from memory. Aim: within 1.2.",
    ]


def main() -> None:
    """Runs it."""
    options = arguments(__doc__ or "", slices=1000, size=512)
    n_compressed = 60
    if options.quick:
        options.slices, options.size, options.repeats, n_compressed = 6, 64, 1, 3
    with scratch() as folder:
        lines = uncompressed(folder, options.slices, options.size, options.repeats)
        lines += compressed(folder, n_compressed, options.size, options.repeats)
    report("reading", lines, save=options.save)


if __name__ == "__main__":
    main()
