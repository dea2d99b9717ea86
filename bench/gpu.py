"""What a GPU does: is it right, how near to each limit, and from which size on does it pay? One command, ten minutes.

    .venv/bin/python bench/gpu.py

Without a usable device: one line, exit 1. Each section stands for itself: one that fails says why, and the others go on. The
table is written again after every section, so that a run that is cut off leaves what it has. Exit 1 if a section failed,
or if a result was wrong.
"""

from __future__ import annotations

import argparse
import platform
import re
import sys
import traceback
from dataclasses import replace
from datetime import date
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter

from gpu_programs import QUICK, Sizes, WrongResults
from machine import N_CORES, RESULTS, processor_name

from gsigpu.backends import device
from gsigpu.version import __version__

# What tests/support/host_cupy calls its card: nothing that it does is a time of a card.
DOUBLE = "a double on the host"


# Title of each section and where it stands, in the order of their worth. They are imported one by one: a machine without
# pydicom still measures the kernel.
SECTIONS = {
    "Right?": ("gpu_correctness", "lines"),
    "The kernel against a device copy": ("gpu_rates", "kernel_lines"),
    "To the card and back": ("gpu_rates", "transfer_lines"),
    "From which size on: `auto`": ("gpu_rates", "crossover_lines"),
    "Regions and statistics": ("gpu_regions", "lines"),
    "`map`, files to files": ("gpu_studies", "lines"),
    "Frames decoded on the card": ("gpu_decoding", "lines"),
}


def run(sizes: Sizes, folder: Path | None) -> int:
    """Runs all sections; writes `gpu-<device>.md` into a folder, if one is given. Returns the exit status."""
    summary = device.device_summary()
    begun, failed = perf_counter(), False
    lines = head(summary)
    path = None if folder is None else folder / f"gpu-{file_name(summary.name)}.md"
    sys.stdout.write("\n".join(lines) + "\n")
    for title, place in SECTIONS.items():
        spent = perf_counter() - begun
        part, is_bad = (
            ([f"Left out: {spent:.0f} s were spent."], False)
            if spent > sizes.limit_s
            else outcome(place, sizes)
        )
        failed |= is_bad
        part = ["", f"## {title}", "", *part]
        sys.stdout.write("\n".join(part) + "\n")
        sys.stdout.flush()
        lines += part
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(lines) + "\n", "utf-8")
    sys.stdout.write(f"\n{perf_counter() - begun:.0f} s; {path or 'nothing written'}\n")
    return int(failed)


def outcome(place: tuple[str, str], sizes: Sizes) -> tuple[list[str], bool]:
    """(lines, whether something is wrong) of a section, which may fail."""
    module, function = place
    try:
        return getattr(import_module(module), function)(sizes), False
    except WrongResults as error:
        return error.lines, True
    except Exception as error:  # noqa: BLE001  # the other sections are worth having
        traceback.print_exc()
        return [f"**Failed**: {type(error).__name__}: {' '.join(str(error).split())}"], True


def head(summary: device.DeviceSummary) -> list[str]:
    """What the figures hold for."""
    libraries = ", ".join(
        f"{name} {number}"
        for name in ("numpy", "scipy", "imagecodecs", "nvidia-nvimgcodec-cu13")
        if (number := installed(name))
    )
    lines = [f"# gsigpu on {summary.name}", ""]
    if is_double(summary):
        lines += ["**Not a card: a double on the host. No figure here is a time of a GPU.**", ""]
    return [
        *lines,
        (
            f"{date.today().isoformat()}; {summary.name}, compute capability {summary.compute_capability},"
            f" {summary.memory_gib:.0f} GiB; driver {cuda(summary.driver_version)},"
            f" CUDA {cuda(summary.runtime_version)}, CuPy {summary.cupy_version}; gsigpu {__version__}, {libraries};"
            f" {N_CORES} cores of {processor_name()}, {platform.system()}, Python {platform.python_version()}."
        ),
        "",
        "Each ratio is of times taken in turn in the same run; medians. Limits are measured here, not taken from a data sheet.",
    ]


def is_double(summary: device.DeviceSummary) -> bool:
    """Whether the card is the one of the tests."""
    return summary.name == DOUBLE or DOUBLE in summary.cupy_version


def installed(name: str) -> str | None:
    """A distribution's version."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def cuda(number: int) -> str:
    """
    >>> cuda(13020)
    '13.2'
    """
    return f"{number // 1000}.{number % 1000 // 10}"


def file_name(name: str) -> str:
    """
    >>> file_name("NVIDIA H200")
    'nvidia-h200'
    """
    return re.sub(r"\W+", "-", name).strip("-").lower()


def main(arguments: list[str] | None = None) -> int:
    """Runs it; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="tiny sizes: only shows that it runs")
    parser.add_argument("--out", type=Path, help="folder for the table (default: bench/results)")
    parser.add_argument("--slices", type=int, help="of the studies of files")
    options = parser.parse_args(arguments)
    if reason := device.why_no_gpu():
        sys.stderr.write(f"bench/gpu.py needs a CUDA device: {reason}\n")
        return 1
    sizes = QUICK if options.quick else Sizes()
    if options.slices:
        sizes = replace(sizes, study_slices=options.slices)
    folder = options.out
    if folder is None and not options.quick and not is_double(device.device_summary()):
        folder = RESULTS
    if (
        folder is not None
        and is_double(device.device_summary())
        and folder.resolve() == RESULTS.resolve()
    ):
        sys.stderr.write(f"{DOUBLE} is no card: its times do not go to {RESULTS.name}\n")
        return 1
    return run(sizes, folder)


if __name__ == "__main__":
    sys.exit(main())
