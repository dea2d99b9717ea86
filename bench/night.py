"""Does a cohort run that everything goes wrong with end with the tables of one that nothing goes wrong with?

Small cases, two workers, and faults at random: the parent or a worker killed (SIGKILL), Ctrl-C, a worker that stands
still for a moment (a slow mount) or for ever (a dead one, ended by --timeout), a full disk, slices cut and put back,
masks changed, a clock that jumps by weeks. After each end the run is started again, as a person or a scheduler would.
Some cases are broken from the beginning to the end. When the faults are over the run ends undisturbed, and a second run
measures the same cases into another folder from nothing: the tables must be equal byte by byte, every broken case must be
in failures.csv and no other, and neither parent nor worker may grow.

The full disk needs a file system of its own (tmpfs, mounted by root), the clock needs libfaketime; what the machine has
not is left out and told.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import psutil
from common import report, scratch

from gsigpu.phantom import PhantomSettings, write_phantom

SMALL = PhantomSettings(
    shape=(10, 48, 60),
    spacing_mm=(12.0, 5.8, 5.8),
    n_lesions=2,
    diameter_mm=(24.0, 34.0),
    energies_kev=(60.0, 70.0, 100.0),
    phases=("PVP",),
    extras=(),
)
GROUPS = ("colorectal", "gastric", "pancreatic", "lung", "breast")
TABLES = (
    "measurements.csv", "failures.csv", "exclusions.csv", "warnings.csv", "flow.svg", "flow.png",
)  # fmt: skip
# One case in so many is broken for good, each kind in turn; of few cases more.
BROKEN_EVERY, BROKEN_EVERY_OF_FEW, FEW = 25, 3, 50
BROKEN = ("slice cut off", "slice missing", "empty mask", "mask cut off")
# Seconds, each with its reason.
TIMEOUT_S = 20.0  # for a row: twenty times what one takes on a busy machine
SLOW_S = 2.0  # a mount that answers late
STARTED_S = 120.0  # for a run to tell that it is at work
LAST_S = 4 * 3600.0  # for the last, undisturbed run
DISK_BYTES = 3 * 2**30
CLOCK_JUMPS = ("-400d", "+3d", "+400d", "-1h", "+45d")
FAKETIME = (
    Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"),
    Path("/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1"),
    Path("/usr/lib64/faketime/libfaketime.so.1"),
)


class Cases:
    """Copies of one study, their manifest, and what is wrong with some of them."""

    def __init__(self, folder: Path, n: int, rng: random.Random) -> None:
        self.folder, self.rng = folder, rng
        truth = write_phantom(folder / "template", SMALL)
        self._mask = bytearray(gzip.decompress(truth.lesion_mask.read_bytes()))
        self.broken: dict[str, str] = {}
        rows = []
        every = BROKEN_EVERY if n > FEW else BROKEN_EVERY_OF_FEW
        for number in range(n):
            name = f"C{number:05d}"
            shutil.copytree(truth.folder, folder / name)
            self.mark_mask(name, "first")
            patient = number // 2
            row = {"case_id": name, "patient_id": f"P{patient:05d}", "group": GROUPS[patient % 5]}
            masks = {
                "mask": f"{name}/masks/lesions.nii.gz",
                "liver_mask": f"{name}/masks/liver.nii.gz",
            }
            rows.append({**row, "phase": "PVP", "study": f"{name}/dicom", **masks})
            if number % every == every - 1:
                self._break(name, BROKEN[number // every % len(BROKEN)])
        self.names = [row["case_id"] for row in rows]
        self.manifest = folder / "manifest.csv"
        with self.manifest.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        shutil.rmtree(folder / "template")

    def mark_mask(self, name: str, words: str) -> None:
        """A mask of its own: the same lesions, other bytes."""
        content = bytearray(self._mask)
        content[148:228] = f"{name} {words}".encode().ljust(80, b"\0")  # `descrip` of NIfTI-1
        self._put_mask(name, gzip.compress(bytes(content), 1, mtime=0))

    def _put_mask(self, name: str, content: bytes) -> None:
        mask = self.folder / name / "masks/lesions.nii.gz"
        partial = mask.with_name("new")
        partial.write_bytes(content)
        partial.replace(mask)

    def middle_slice(self, name: str) -> Path:
        """Of a series that every map needs."""
        slices = sorted(min((self.folder / name / "dicom").iterdir()).iterdir())
        return slices[len(slices) // 2]

    def _break(self, name: str, how: str) -> None:
        self.broken[name] = how
        path = self.middle_slice(name)
        if how == "slice cut off":
            os.truncate(path, path.stat().st_size // 2)
        elif how == "slice missing":
            path.unlink()
        elif how == "empty mask":
            empty = bytearray(self._mask)
            empty[352:] = bytes(len(empty) - 352)
            empty[148:228] = name.encode().ljust(80, b"\0")
            self._put_mask(name, gzip.compress(bytes(empty), mtime=0))
        else:
            mask = self.folder / name / "masks/lesions.nii.gz"
            os.truncate(mask, mask.stat().st_size // 2)

    def whole_case(self) -> str:
        """One that nothing is wrong with, at random."""
        return self.rng.choice([name for name in self.names if name not in self.broken])


class Night:
    """A run that is begun again and again, and what happens to it meanwhile."""

    def __init__(self, cases: Cases, out: Path, rng: random.Random, *, workers: int) -> None:
        self.cases, self.out, self._rng, self._workers = cases, out, rng, workers
        self.faults: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()
        self.damage: list[tuple[Path, bytes]] = []
        self.process: subprocess.Popen[str] | None = None
        self.memory: dict[str, list[int]] = {"parent": [], "worker": []}
        self.log = (out.parent / f"{out.name}.log").open("w+")
        self._clock: str = ""

    def start(self) -> None:
        """The run, once more."""
        words = [
            sys.executable, "-m", "gsigpu", "cohort", "run", self.cases.manifest, "-o", self.out,
            "--workers", self._workers, "--timeout", TIMEOUT_S,
        ]  # fmt: skip
        environment = dict(os.environ)
        if self._clock:
            library = next(path for path in FAKETIME if path.exists())
            # What is slept and waited for stays as long as it is, and files keep their true times.
            environment |= {"LD_PRELOAD": str(library), "FAKETIME": self._clock}
            environment |= {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"}
        self.process = subprocess.Popen(
            list(map(str, words)), stdout=self.log, stderr=self.log, text=True, env=environment
        )

    def worked_for(self, seconds: float) -> None:
        """Lets the run work, and begins it again when it ends."""
        until = monotonic() + seconds
        while monotonic() < until:
            if self.process is None or self.process.poll() is not None:
                self._ended()
                self.start()
            self._look()
            time.sleep(0.2)

    def _ended(self) -> None:
        if self.process is not None:
            self.ends[f"exit code {self.process.returncode}"] += 1

    def _look(self) -> None:
        if self.process is None:
            return
        for kind, processes in (("parent", [self.process.pid]), ("worker", self.workers())):
            for pid in processes:
                try:
                    self.memory[kind].append(psutil.Process(pid).memory_info().rss)
                except psutil.Error:
                    continue

    def workers(self) -> list[int]:
        """Processes that measure."""
        if self.process is None:
            return []
        try:
            return [child.pid for child in psutil.Process(self.process.pid).children()]
        except psutil.Error:
            return []

    def hit(self, fault: str) -> None:
        """One fault; the counter tells how many of each there were."""
        done = {
            "parent killed": self._kill_parent,
            "worker killed": lambda: self._signal_worker(signal.SIGKILL),
            "Ctrl-C": self._interrupt,
            "slow mount": self._slow,
            "dead mount": lambda: self._signal_worker(signal.SIGSTOP),
            "disk full": self._fill_disk,
            "slice cut": self._cut_slice,
            "slices put back": self._mend,
            "mask changed": self._change_mask,
            "clock jumps": self._jump,
        }[fault]()
        self.faults[fault] += bool(done)

    def _kill_parent(self) -> bool:
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        return True

    def _interrupt(self) -> bool:
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        self.process.wait(STARTED_S)
        return True

    def _signal_worker(self, number: int) -> bool:
        workers = self.workers()
        if not workers:
            return False
        try:
            os.kill(self._rng.choice(workers), number)
        except ProcessLookupError:
            return False
        return True

    def _slow(self) -> bool:
        workers = self.workers()
        for number in (signal.SIGSTOP, signal.SIGCONT):
            for pid in workers:
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    continue
            if number == signal.SIGSTOP:
                time.sleep(SLOW_S)
        return bool(workers)

    def _fill_disk(self) -> bool:
        """Until the run has ended of it, or has nothing more to write."""
        ballast = self.out.parent / "ballast"
        with ballast.open("wb") as file:
            try:
                while True:
                    os.posix_fallocate(file.fileno(), file.tell(), 2**20)
                    file.seek(2**20, os.SEEK_CUR)
            except OSError:
                pass
        try:
            assert self.process is not None
            self.process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            pass
        finally:
            ballast.unlink()
        return True

    def _cut_slice(self) -> bool:
        path = self.cases.middle_slice(self.cases.whole_case())
        if any(path == other for other, _ in self.damage):
            return False
        content = path.read_bytes()
        self.damage.append((path, content))
        path.write_bytes(content[: len(content) // 2])
        return True

    def _mend(self) -> bool:
        for path, content in self.damage:
            path.write_bytes(content)
        there = bool(self.damage)
        self.damage.clear()
        return there

    def _change_mask(self) -> bool:
        self.cases.mark_mask(self.cases.whole_case(), f"{self._rng.random()}")
        return True

    def _jump(self) -> bool:
        """From the next start on; the run is ended for it, as a machine is that starts anew."""
        self._clock = self._rng.choice(CLOCK_JUMPS)
        return self._kill_parent()

    def end(self) -> int:
        """Undisturbed to the end, with the true clock; twice, for what failed passingly. The last exit code."""
        self._mend()
        if self.process is not None:
            self.process.terminate()
            self.process.wait(STARTED_S)
            self._ended()
        self._clock = ""
        return self.undisturbed(2)

    def undisturbed(self, n_times: int) -> int:
        """So many runs that nothing happens to, one after the other; the last exit code."""
        code = 0
        for _ in range(n_times):
            self.start()
            assert self.process is not None
            begun = monotonic()
            while self.process.poll() is None and monotonic() - begun < LAST_S:
                self._look()
                time.sleep(0.2)
            code = self.process.wait(1.0)
        return code

    def last_words(self) -> str:
        """The end of what the runs said."""
        self.log.seek(0)
        return self.log.read()[-2000:]


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """A file system of its own at a folder, where that may be mounted; yields whether it is."""
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    try:
        is_mounted = subprocess.run(words, capture_output=True, check=False).returncode == 0
    except OSError:
        is_mounted = False
    try:
        yield is_mounted
    finally:
        if is_mounted:
            subprocess.run(["umount", "-l", str(folder)], check=False)


def differing_tables(night: Path, clean: Path) -> list[str]:
    """Names of tables that differ by a byte, or are on one side alone."""
    names = [*TABLES]
    for root in (night, clean):
        parts = (root / "measurements").rglob("*.parquet")
        names += [path.relative_to(root).as_posix() for path in parts]

    def content(root: Path, name: str) -> bytes | None:
        path = root / name
        return path.read_bytes() if path.exists() else None

    return [
        name for name in dict.fromkeys(names)
        if content(night, name) is None or content(night, name) != content(clean, name)
    ]  # fmt: skip


def planned(rng: random.Random, n: int, *, with_disk: bool, with_clock: bool) -> list[str]:
    """So many faults in random order: each kind once, then by chance, the cheap ones more often."""
    weights = {
        "parent killed": 3, "worker killed": 5, "Ctrl-C": 2, "slow mount": 3, "dead mount": 1,
        "slice cut": 3, "slices put back": 1, "mask changed": 3,
    }  # fmt: skip
    weights |= {"disk full": 1} if with_disk else {}
    weights |= {"clock jumps": 2} if with_clock else {}
    kinds = list(weights)
    more = rng.choices(kinds, list(weights.values()), k=max(n - len(kinds), 0))
    plan = [*kinds, *more][:n]
    rng.shuffle(plan)
    return plan


def flat(values: list[int]) -> str:
    """Median of the first and of the last tenth, and the largest, in MiB."""
    n = max(len(values) // 10, 1)
    mib = [value / 2**20 for value in values]
    begin, end = statistics.median(mib[:n]), statistics.median(mib[-n:])
    return f"{begin:.0f} | {end:.0f} | {max(mib):.0f}"


def failed_cases(out: Path) -> set[str]:
    """Those of failures.csv."""
    with (out / "failures.csv").open(newline="") as file:
        return {row["case_id"] for row in csv.DictReader(file)}


def timed(work: Callable[[], int]) -> tuple[int, float]:
    """What a function returns, and its seconds."""
    begun = monotonic()
    return work(), monotonic() - begun


def main() -> int:
    """Runs it; 1 where the tables differ or a case is named wrongly."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--faults", type=int, default=150)
    parser.add_argument("--mean-wait", type=float, default=5.0, metavar="SECONDS")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--quick", action="store_true", help="a miniature: only shows that it works"
    )
    parser.add_argument("--save", action="store_true", help="also write it to bench/results/")
    options = parser.parse_args()
    if options.quick:
        options.cases, options.faults, options.mean_wait = 12, 10, 0.7
    rng = random.Random(options.seed)
    with scratch() as folder, small_disk(folder / "disk") as with_disk:
        cases = Cases(folder, options.cases, rng)
        night = Night(cases, folder / "disk/night", rng, workers=options.workers)
        with_clock = any(path.exists() for path in FAKETIME)
        plan = planned(rng, options.faults, with_disk=with_disk, with_clock=with_clock)
        begun = monotonic()
        for fault in plan:
            night.worked_for(rng.expovariate(1.0 / options.mean_wait))
            night.hit(fault)
        code, last_s = timed(night.end)
        night_s = monotonic() - begun
        clean = Night(cases, folder / "disk/clean", rng, workers=options.workers)
        clean_code, clean_s = timed(lambda: clean.undisturbed(1))
        differing = differing_tables(night.out, clean.out)
        named = failed_cases(night.out) if (night.out / "failures.csv").exists() else set()
        lines = [
            (f"{options.cases:,} cases, {options.workers} workers, {len(plan)} faults in {night_s:.0f} s, of which the"
            f" last, undisturbed runs took {last_s:.0f} s; without faults {clean_s:.0f} s. Seed {options.seed}."),
            *([] if with_disk else ["No full disk: no file system could be mounted."]),
            *([] if with_clock else ["No clock that jumps: libfaketime is not installed."]),
            "", "| fault | times |", "|---|---:|",
            *(f"| {name} | {n} |" for name, n in night.faults.most_common()),
            "", "| how runs ended before the last | times |", "|---|---:|",
            *(f"| {name} | {n} |" for name, n in night.ends.most_common()),
            "", "| resident memory, MiB | first tenth | last tenth | largest |", "|---|---:|---:|---:|",
            *(f"| {kind}, {what} | {flat(values)} |" for what, run in (("night", night), ("clean run", clean))
              for kind, values in run.memory.items() if values),
            "",
            (f"Broken for good: {len(cases.broken)} cases, {len(named & set(cases.broken))} of them in failures.csv,"
            f" {len(named - set(cases.broken))} others there."),
            f"Tables that differ from those of the clean run: {', '.join(differing) or 'none'}.",
        ]  # fmt: skip
        expected = 1 if cases.broken else 0
        is_well = not differing and named == set(cases.broken) and code == clean_code == expected
        if not is_well:
            lines.append(f"exit codes {code} and {clean_code}, {expected} expected")
            sys.stderr.write(f"{night.last_words()}\n---\n{clean.last_words()}\n")
    report("night", lines, save=options.save)
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
