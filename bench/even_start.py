"""The same start for every contender that writes thousands of files, and what the system was like then.

Three things that are no part of a contender change its time five-fold, and all come from the rounds before it:

- Removed files. ext4 without a journal takes no inode that was removed in the last minute (five minutes where it is
  not written back yet), and looks at each of them again for every new file. So nothing is removed between rounds:
  earlier outputs are moved aside and emptied, and keep their inodes until the end.
- Free memory that lies with the host of a virtual machine. A page that was given back is fetched again when it is
  first written, which takes ten times as long as writing it. So as many bytes as a contender writes are written
  to a file and let go just before it.
- What the disk has still to write. So it is written before.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time

from common import interleaved, ratio_table

# Of the file that is written and emptied; more than the outputs, as a contender needs some memory of its own.
_SPARE = 1.25
_BLOCK = bytes(1 << 20)
# Empty files that tell what making a file costs.
_N_PROBES = 200


class EvenStart:
    """Makes room for the next contender in a folder of its own.

    folder : exists, on the file system that outputs go to
    n_bytes : that a contender writes
    """

    def __init__(self, folder: Path, n_bytes: int) -> None:
        self.out = folder / "out"
        self._used, self._spare = folder / "used", folder / "spare"
        self._used.mkdir()
        self._n_blocks = int(n_bytes * _SPARE) // len(_BLOCK) + 1
        self._n_starts = 0
        self.notes: list[str] = []

    def aside(self) -> None:
        """Moves the output of the last contender away and empties its files; they are not removed."""
        self._n_starts += 1
        if self.out.exists():
            earlier = self._used / f"{self._n_starts}"
            self.out.rename(earlier)
            for path in earlier.rglob("*"):
                if path.is_file():
                    os.truncate(path, 0)

    def even(self) -> None:
        """Everything the same for the next contender; nothing of this is timed."""
        self.aside()
        if hasattr(os, "sync"):
            os.sync()
        making = self._cost_of_files()
        filling = self._fetch_memory()
        dirty = _dirty_mib()
        self.notes.append(
            f"{making * 1e6:.0f} µs a new file, {filling * 1e3:.0f} ms a GiB of memory"
            + ("" if dirty is None else f", {dirty} MiB to write")
        )

    def _fetch_memory(self) -> float:
        """Memory for as much as a contender writes; seconds per GiB."""
        with self._spare.open("wb", buffering=0) as file:
            begun = perf_counter()
            for _ in range(self._n_blocks):
                file.write(_BLOCK)
            seconds = perf_counter() - begun
            file.truncate(0)
        return seconds / (self._n_blocks * len(_BLOCK) / 2**30)

    def _cost_of_files(self) -> float:
        """Seconds to make an empty file."""
        folder = self._used / f"probe-{self._n_starts}"
        folder.mkdir()
        begun = perf_counter()
        for i in range(_N_PROBES):
            (folder / f"{i}").touch()
        return (perf_counter() - begun) / _N_PROBES


def _dirty_mib() -> int | None:
    """What the system has still to write, where it says so."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    kib = dict(line.split(":")[:2] for line in lines)
    return sum(int(kib[name].split()[0]) for name in ("Dirty", "Writeback")) // 1024


def timed_rounds(
    repeats: int, before: Callable[[], None], **contenders: Callable[[], object]
) -> dict[str, list[tuple[float, float]]]:
    """Seconds by the clock and of processors, in the kernel too; in turn, `before` untimed, the first round not counted."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    busy: dict[str, float] = {}

    def measured(name: str) -> Callable[[], object]:
        def run() -> None:
            begun = process_time()
            contenders[name]()
            busy[name] = process_time() - begun

        return run

    def note(name: str, seconds: float) -> None:
        taken[name].append((seconds, busy[name]))

    interleaved(repeats, before=before, note=note, **{name: measured(name) for name in contenders})
    return taken


def rounds_table(
    taken: dict[str, list[tuple[float, float]]], unit: str, n_units: int, against: str
) -> list[str]:
    """The table of ratios by the clock, the same of processor seconds, and every round."""
    clock = {name: [seconds for seconds, _ in rounds] for name, rounds in taken.items()}
    busy = {name: [processor for _, processor in rounds] for name, rounds in taken.items()}
    lines = [*ratio_table(clock, unit, n_units, against), ""]
    for name, rounds in taken.items():
        if name != against:
            ratios = [mine / base for mine, base in zip(busy[name], busy[against], strict=True)]
            lines.append(
                f"Processor time of {name} over that of {against}: median {statistics.median(ratios):.2f}, worst {max(ratios):.2f}."
            )
        each = ", ".join(f"{seconds:.2f} ({processor:.2f})" for seconds, processor in rounds)
        lines.append(f"Every round of {name}, s by the clock (processor s): {each}.")
    return lines
