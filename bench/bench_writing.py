"""Writing: CT series against raw files of the same bytes, pydicom scripts, SimpleITK; the other formats beside.

One map of a stack of eleven energies. Each contender writes into an empty folder, which is removed
outside the timed part.
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np
import SimpleITK
from common import (
    N_CORES,
    arguments,
    ct_like,
    on_all_cores,
    ratio_table,
    report,
    scratch,
    write_series,
)

from gsigpu.dicom.model import SpectralStack
from gsigpu.dicom.study.read_study import read_study
from gsigpu.dicom.study.stack import select_stack
from gsigpu.dicom.writing.content_names import names_of
from gsigpu.dicom.writing.ct import ct_series
from gsigpu.dicom.writing.derived import derive
from gsigpu.dicom.writing.formats import FORMATS, FormatName, open_sink, planes_for
from gsigpu.dicom.writing.overlay import bar_columns
from gsigpu.maps.registry import define

ENERGIES = range(40, 150, 10)
MAP = define("iodine")


def made_up_stack(folder: Path, n_slices: int, image: np.ndarray) -> SpectralStack:
    """Two slices of each energy are files; the others are made up after the first."""
    for kev in ENERGIES:
        write_series(folder / f"{kev}", kev, [image], 2)
    stack = select_stack(read_study(folder))

    def longer(series):
        first = series.planes[0]
        x, y, z_mm = first.position_mm
        planes = [
            replace(
                first,
                position_mm=(x, y, z_mm + 1.25 * z),
                sop_instance_uid=f"{first.sop_instance_uid[:50]}.{z}",
            )
            for z in range(n_slices)
        ]
        return replace(series, planes=tuple(planes))

    geometry = replace(stack.geometry, shape=(n_slices, *image.shape))
    return replace(stack, geometry=geometry, series=tuple(map(longer, stack.series)))


def in_one_thread(work: Callable[[int], object], n: int) -> None:
    for z in range(n):
        work(z)


def with_gsigpu(
    form: FormatName, stack: SpectralStack, image: np.ndarray, run: Callable, folder: Path
) -> None:
    planes = planes_for(form, [MAP])
    with open_sink(form, folder, planes, stack) as sink:
        plane = image.astype(sink.dtype)
        run(lambda z: sink.write(z, [plane] * len(planes)), stack.geometry.shape[0])


def raw(n_slices: int, n_header_bytes: int, image: np.ndarray, run: Callable, folder: Path) -> None:
    payload = bytes(n_header_bytes) + image.tobytes()
    run(lambda z: (folder / f"{z}.dcm").write_bytes(payload), n_slices)


def with_pydicom(stack: SpectralStack, image: np.ndarray, folder: Path) -> None:
    """One dataset, copied and changed for every slice, as scripts do."""
    (folder / "header").mkdir()
    template = ct_series(folder / "header", [MAP], stack)[0].header(0)
    template.add_new("PixelData", "OW", b"")
    derived = derive([MAP], stack, sop_class_uid=template.SOPClassUID)[0]
    names = names_of([b"pydicom"])
    for z, plane in enumerate(stack.series[0].planes):
        ds = copy.deepcopy(template)
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = names.image_uid(z)
        ds.InstanceNumber = z + 1
        ds.ImagePositionPatient = list(plane.position_mm)
        ds.SliceLocation = plane.position_mm[2]
        for item, source in zip(ds.SourceImageSequence, derived.sources(z), strict=True):
            item.ReferencedSOPInstanceUID = source.sop_instance_uid
        ds.PixelData = image.tobytes()
        ds.save_as(folder / f"{z}.dcm", enforce_file_format=True)


def with_simpleitk(stack: SpectralStack, image: np.ndarray, folder: Path) -> None:
    """Fewer attributes than the others: no sequences, and no rescale, which it refuses with int16."""
    writer = SimpleITK.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for z, plane in enumerate(stack.series[0].planes):
        slice_ = SimpleITK.GetImageFromArray(image[None])
        slice_.SetSpacing((0.8, 0.8, 1.25))
        slice_.SetOrigin(plane.position_mm)
        for tag, value in (
            ("0008|0060", "CT"),
            ("0008|0018", plane.sop_instance_uid),
            ("0020|000d", plane.evidence.study_uid),
            ("0020|000e", plane.evidence.series_uid),
            ("0020|0013", str(z + 1)),
            ("0020|0032", "\\".join(map(str, plane.position_mm))),
        ):
            slice_.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{z}.dcm"))
        writer.Execute(slice_)


def timed(write: Callable[[Path], None], folder: Path) -> float:
    folder.mkdir()
    begun = perf_counter()
    write(folder)
    taken = perf_counter() - begun
    shutil.rmtree(folder)
    return taken


def main() -> None:
    options = arguments(__doc__.splitlines()[0], slices=300, rows=512)
    n_slices, rows, repeats = options.slices, options.rows, options.repeats
    if options.quick:
        n_slices, rows, repeats = 6, 64, 1
    image = ct_like(rows, rows)
    with scratch() as root:
        stack = made_up_stack(root / "study", n_slices, image)
        with_gsigpu("ct", stack, image, in_one_thread, _made(root / "one"))
        size = next((root / "one").rglob("*.dcm")).stat().st_size
        same_bytes = partial(raw, n_slices, size - image.nbytes, image)
        contenders = {
            "raw": partial(same_bytes, on_all_cores),
            "raw, one thread": partial(same_bytes, in_one_thread),
            "ct": partial(with_gsigpu, "ct", stack, image, on_all_cores),
            "ct, one thread": partial(with_gsigpu, "ct", stack, image, in_one_thread),
            "pydicom, deepcopy and save_as": partial(with_pydicom, stack, image),
            "SimpleITK, slice by slice": partial(with_simpleitk, stack, image),
        }
        contenders |= {
            form: partial(with_gsigpu, form, stack, image, on_all_cores)
            for form in FORMATS
            if form != "ct"
        }
        sizes = {"pm": 4 * image.size, "rgb": 3 * rows * (rows + bar_columns(rows))}
        contenders |= {
            f"raw, as {form}": partial(raw, n_slices, n_bytes - image.nbytes, image, on_all_cores)
            for form, n_bytes in sizes.items()
        }
        seconds: dict[str, list[float]] = {name: [] for name in contenders}
        for round_ in range(repeats + 1):
            for name, write in contenders.items():
                taken = timed(write, root / "out")
                if round_:
                    seconds[name].append(taken)
    lines = [
        f"{n_slices} slices of {rows} x {rows}, {len(ENERGIES)} energies, {N_CORES} threads.",
        f"A CT file has {size / 1024:.0f} KiB. Preparing the headers is counted.",
        "",
        *ratio_table(seconds, "slices", n_slices, "raw"),
        "",
        *(_against_its_bytes(form, seconds) for form in sizes),
    ]
    report("writing", lines, save=options.save)


def _against_its_bytes(form: str, seconds: dict[str, list[float]]) -> str:
    """A form against raw files of as many bytes, round by round."""
    rounds = zip(seconds[form], seconds[f"raw, as {form}"], strict=True)
    ratios = sorted(taken / of_raw for taken, of_raw in rounds)
    median, worst = ratios[len(ratios) // 2], ratios[-1]
    return f"{form}: {median:.2f} times raw files of its bytes (median), {worst:.2f} (worst)."


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


if __name__ == "__main__":
    main()
