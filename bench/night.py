"""Does a cohort run that everything goes wrong with end with the tables of one that nothing goes wrong with?

Small cases, two workers, and faults at random: the parent or a worker killed (SIGKILL), Ctrl-C, workers that stand still
for a moment (a slow mount), one that does for ever (a dead one, ended by --timeout), a full disk, slices cut and put back,
masks changed, a clock that jumps by weeks. After each end the run is started again, as a person or a scheduler would.
Some cases are broken from the beginning to the end. When the faults are over the run ends undisturbed, and a second run
measures the same cases into another folder from nothing: the tables must be equal byte by byte, every broken case must be
in failures.csv and no other, and neither parent nor worker may grow.

Each kind of fault is planned at least once, hits a run that is measuring, and counts when its effect was seen: a process
that is gone, a status of another year, a failure on record. One that had none is tried again; where that is in vain too
the script says so and fails. When all is measured, masks are changed to have something to hit.

The full disk needs a file system of its own (tmpfs, mounted by root), the clock needs libfaketime; what the machine has
not is left out and told.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

import psutil
from common import report, scratch
from night_cases import Cases

TABLES = (
    "measurements.csv", "failures.csv", "exclusions.csv", "warnings.csv", "flow.csv", "flow.svg", "flow.png",
)  # fmt: skip
# Seconds, each with its reason.
TIMEOUT_S = 20.0  # for a row: twenty times what one takes on a busy machine
SLOW_S = 2.0  # a mount that answers late
STARTED_S = 120.0  # for a run to tell that it is at work
SEEN_S = 900.0  # for the effect of a changed file: the run comes to the case in its turn
LAST_S = 4 * 3600.0  # for the last, undisturbed run
FAR_S = (
    1800.0  # a status that is so much off was written with another clock: less than the least jump
)
DISK_BYTES = 3 * 2**30
MEMORY_EVERY_S = 1.0  # between two looks at the memory
# Shares of the rows between which memory is compared: after the first tenth all libraries are loaded.
MEMORY_SPANS = ((0.1, 0.2), (0.45, 0.55), (0.9, 1.0))
MOST_TRIES = 4  # for a fault that took no effect
NEW_WORK = 0.1  # of the cases, whose masks are changed when all is measured
CLOCK_JUMPS = ("-400d", "+3d", "+400d", "-1h", "+45d")
# Kinds of faults -> how often each is drawn, the cheap ones more often.
WEIGHTS = {
    "parent killed": 3, "worker killed": 5, "Ctrl-C": 2, "slow mount": 3, "dead mount": 1,
    "slice cut, put back": 3, "mask changed": 3, "disk full": 1, "clock jumps": 2,
}  # fmt: skip
FAKETIME = (
    Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"),
    Path("/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1"),
    Path("/usr/lib64/faketime/libfaketime.so.1"),
)


@dataclass
class Pending:
    """A fault in a file, that the run comes to later.

    is_seen : whether its effect is there
    after : what is done then
    """

    kind: str
    case: str
    is_seen: Callable[[], bool]
    after: Callable[[], None]


class Night:
    """A run that is begun again and again, and what happens to it meanwhile."""

    def __init__(self, cases: Cases, out: Path, rng: random.Random, *, workers: int) -> None:
        self.cases, self.out, self._rng, self._workers = cases, out, rng, workers
        self.tried: Counter[str] = Counter()
        self.effects: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()
        self.n_new_work = 0
        self.pending: list[Pending] = []
        self.process: subprocess.Popen[str] | None = None
        self.memory: dict[str, list[tuple[float, int]]] = {"parent": [], "worker": []}
        self._looked_at = 0.0
        self.log = (out.parent / f"{out.name}.log").open("w+")
        self._clock: str = ""
        # libfaketime fakes the end of a sleep that is given as an absolute time of a clock that it does not fake.
        self._site = out.parent / "site"
        self._site.mkdir(exist_ok=True)
        (self._site / "sitecustomize.py").write_text(
            "import select, time\n"
            "time.sleep = lambda seconds: select.select([], [], [], max(seconds, 0.0))\n"
        )

    def start(self) -> subprocess.Popen[str]:
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
            path = os.pathsep.join(filter(None, [str(self._site), os.environ.get("PYTHONPATH")]))
            environment |= {"PYTHONPATH": path}
        self.process = subprocess.Popen(
            list(map(str, words)), stdout=self.log, stderr=self.log, text=True, env=environment
        )
        return self.process

    def running(self) -> subprocess.Popen[str]:
        """The run; begun again where it has ended, with new masks where nothing was left to do."""
        if self.process is not None and self.process.poll() is None:
            return self.process
        if self.process is not None:
            self.ends[f"exit code {self.process.returncode}"] += 1
            if self.status().get("state") == "finished":
                self._give_work()
        return self.start()

    def _give_work(self) -> None:
        whole = self._free_cases()
        for name in self._rng.sample(whole, max(int(NEW_WORK * len(whole)), min(4, len(whole)))):
            self.cases.mark_mask(name, f"{self._rng.random()}")
        self.n_new_work += 1

    def _free_cases(self) -> list[str]:
        waited_for = {pending.case for pending in self.pending}
        return [name for name in self.cases.whole_cases() if name not in waited_for]

    def status(self) -> dict[str, Any]:
        """What the run that is at work told last; nothing where it has told nothing yet."""
        try:
            status: dict[str, Any] = json.loads((self.out / "status.json").read_text())
        except (OSError, ValueError):
            return {}
        is_its = self.process is not None and status["process"] == self.process.pid
        return status if is_its else {}

    def at_work(self) -> subprocess.Popen[str]:
        """The run, at a moment at which it measures a row; raises where that takes too long."""
        begun = monotonic()
        while monotonic() - begun < STARTED_S * 5:
            process, status = self.running(), self.status()
            if status.get("state") == "running" and status["running"] and self.workers():
                return process
            self._look()
            time.sleep(0.1)
        raise RuntimeError(f"the run does not get to work: {self.last_words()}")

    def worked_for(self, seconds: float) -> None:
        """Lets the run work, and begins it again when it ends."""
        until = monotonic() + seconds
        while monotonic() < until:
            self.running()
            self._look()
            time.sleep(0.2)

    def _look(self) -> None:
        for pending in list(self.pending):
            if pending.is_seen():
                self.effects[pending.kind] += 1
                self.pending.remove(pending)
                pending.after()
        if self.process is None or monotonic() - self._looked_at < MEMORY_EVERY_S:
            return
        self._looked_at = monotonic()
        share = self._measured_share()
        for kind, processes in (("parent", [self.process.pid]), ("worker", self.workers())):
            for pid in processes:
                try:
                    self.memory[kind].append((share, psutil.Process(pid).memory_info().rss))
                except psutil.Error:
                    continue

    def _measured_share(self) -> float:
        """Of the rows, what the run has settled; NaN before and after it measures."""
        status = self.status()
        if status.get("state") != "running" or status["activity"] != "measuring":
            return math.nan
        settled = sum(status[name] for name in ("n_done", "n_skipped", "n_failed", "n_left"))
        return float(settled / status["n_rows"])

    def workers(self) -> list[int]:
        """Processes that measure."""
        if self.process is None:
            return []
        try:
            return [child.pid for child in psutil.Process(self.process.pid).children()]
        except psutil.Error:
            return []

    def hit(self, kind: str) -> None:
        """One fault, tried again where it takes no effect; the counters tell how many of each there were."""
        faults = {
            "parent killed": self._kill_parent,
            "worker killed": self._kill_worker,
            "Ctrl-C": self._interrupt,
            "slow mount": self._slow,
            "dead mount": self._stop_worker,
            "disk full": self._fill_disk,
            "slice cut, put back": self._cut_slice,
            "mask changed": self._change_mask,
            "clock jumps": self._jump,
        }
        self.tried[kind] += 1
        for _ in range(MOST_TRIES):
            effect = faults[kind]()
            if effect is None:  # seen later
                return
            if effect:
                self.effects[kind] += 1
                return

    def _kill_parent(self) -> bool:
        process = self.at_work()
        process.kill()
        return process.wait() == -signal.SIGKILL

    def _kill_worker(self) -> bool:
        process = self.at_work()
        pid = self._signal_worker(signal.SIGKILL)
        return pid is not None and self._is_gone(pid, STARTED_S) and process.poll() is None

    def _interrupt(self) -> bool:
        process = self.at_work()
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STARTED_S)
        except subprocess.TimeoutExpired:
            return False
        return self.status().get("state") == "interrupted"

    def _signal_worker(self, number: int) -> int | None:
        workers = self.workers()
        if not workers:
            return None
        pid = self._rng.choice(workers)
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return None
        return pid

    def _is_gone(self, pid: int, seconds: float) -> bool:
        """Whether a worker of the run ends in so many seconds."""
        begun = monotonic()
        while monotonic() - begun < seconds:
            if pid not in self.workers():
                return True
            time.sleep(0.1)
        return False

    def _slow(self) -> bool:
        self.at_work()
        workers = self.workers()
        for pid in workers:
            _send(pid, signal.SIGSTOP)
        time.sleep(SLOW_S)
        stood = [pid for pid in workers if _stands(pid)]
        for pid in workers:
            _send(pid, signal.SIGCONT)
        return bool(stood)

    def _stop_worker(self) -> bool:
        """For ever: the run ends it when its time for a row is over, and goes on."""
        process = self.at_work()
        pid = self._signal_worker(signal.SIGSTOP)
        return pid is not None and self._is_gone(pid, 3 * TIMEOUT_S) and process.poll() is None

    def _fill_disk(self) -> bool:
        """Until the run has ended of it."""
        process = self.at_work()
        ballast = self.out.parent / "ballast"
        self.log.seek(0, os.SEEK_END)
        begun = self.log.tell()
        with ballast.open("wb") as file:
            try:
                while True:
                    os.posix_fallocate(file.fileno(), file.tell(), 2**20)
                    file.seek(2**20, os.SEEK_CUR)
            except OSError:
                pass
        try:
            process.wait(3 * TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return False
        finally:
            ballast.unlink()
        self.log.seek(begun)
        return "the disk is full" in self.log.read()

    def _cut_slice(self) -> bool | None:
        free = self._free_cases()
        if not free:
            return False
        name = self._rng.choice(free)
        begun = time.time()
        content = self.cases.cut_slice(name)
        # A run that looked at the case before has its result: another looks again.
        self.pending.append(
            Pending(
                kind="slice cut, put back",
                case=name,
                is_seen=lambda: any(  # a failure of the row, or of the lesions on that slice
                    path.stat().st_mtime >= begun
                    for suffix in (".failed.json", ".lesions")
                    for path in self._files(name, suffix)
                ),
                after=lambda: _put(self.cases.middle_slice(name), content),
            )
        )
        return None

    def _change_mask(self) -> bool | None:
        """Of a case that is measured: it is measured again, under another key."""
        begun = monotonic()
        while not (measured := [n for n in self._free_cases() if self._files(n, ".parquet")]):
            if monotonic() - begun > STARTED_S:
                return False
            self.worked_for(1.0)
        name = self._rng.choice(measured)
        keys = {path.name for path in self._files(name, ".parquet")}
        self.cases.mark_mask(name, f"{self._rng.random()}")
        self.pending.append(
            Pending(
                kind="mask changed",
                case=name,
                is_seen=lambda: bool({path.name for path in self._files(name, ".parquet")} - keys),
                after=lambda: None,
            )
        )
        return None

    def _files(self, name: str, suffix: str) -> list[Path]:
        """What is on disk of a case."""
        return [
            path for path in self.out.glob(f"cases/{name}~*/*{suffix}")
            if not path.name.startswith(".")
        ]  # fmt: skip

    def _jump(self) -> bool:
        """From the next start on; the run is ended for it, as a machine is that starts anew."""
        self._clock = self._rng.choice(CLOCK_JUMPS)
        self._kill_parent()
        self.at_work()
        updated = datetime.fromisoformat(self.status()["updated"])
        return abs((updated - datetime.now(UTC)).total_seconds()) > FAR_S

    def wait_for_effects(self) -> None:
        """Until the run has come to the files that were changed; what it does not see is mended then."""
        begun = monotonic()
        while self.pending and monotonic() - begun < SEEN_S:
            self.worked_for(1.0)
        for pending in self.pending:
            pending.after()
        self.pending.clear()

    def end(self) -> int:
        """Undisturbed to the end, with the true clock; twice, for what failed passingly. The last exit code."""
        self.wait_for_effects()
        if self.process is not None:
            self.process.terminate()
            self.ends[f"exit code {self.process.wait(STARTED_S)}"] += 1
        self._clock = ""
        return self.undisturbed(2)

    def undisturbed(self, n_times: int) -> int:
        """So many runs that nothing happens to, one after the other; the last exit code."""
        code = 0
        for _ in range(n_times):
            process = self.start()
            begun = monotonic()
            while process.poll() is None and monotonic() - begun < LAST_S:
                self._look()
                time.sleep(0.2)
            code = process.wait(1.0)
        return code

    def last_words(self) -> str:
        """The end of what the runs said."""
        self.log.seek(0)
        return self.log.read()[-2000:]


def _put(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _stands(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_STOPPED
    except psutil.Error:
        return False


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


def first_difference(night: Path, clean: Path) -> str:
    """The first line of the table that differs, from both sides."""
    if missing := [str(out) for out in (night, clean) if not (out / TABLES[0]).exists()]:
        return f"no {TABLES[0]} in {' and '.join(missing)}\n"
    with (night / TABLES[0]).open() as first, (clean / TABLES[0]).open() as second:
        for number, (line, other) in enumerate(zip(first, second, strict=False), start=1):
            if line != other:
                return f"{TABLES[0]}, line {number}:\n{line}{other}"
    return ""


def kept(folder: Path) -> Path:
    """A copy of what both runs left, to be looked at."""
    place = Path(tempfile.mkdtemp(prefix="gsigpu-night-"))
    shutil.copytree(folder, place, dirs_exist_ok=True)
    return place


def planned(rng: random.Random, n: int, kinds: list[str]) -> list[str]:
    """Each kind once, and more by chance up to so many, in random order."""
    weights = [WEIGHTS[kind] for kind in kinds]
    plan = [*kinds, *rng.choices(kinds, weights, k=max(n - len(kinds), 0))]
    rng.shuffle(plan)
    return plan


def flat(samples: list[tuple[float, int]]) -> str:
    """Medians while a tenth, the middle and the last tenth of the rows were settled, and the largest, in MiB."""

    def median(low: float, high: float) -> str:
        inside = [size / 2**20 for share, size in samples if low <= share <= high]
        return f"{statistics.median(inside):.0f}" if inside else "–"

    largest = max(size for _, size in samples) / 2**20
    return " | ".join([*(median(*span) for span in MEMORY_SPANS), f"{largest:.0f}"])


def failed_cases(out: Path) -> set[str]:
    """Those of failures.csv."""
    with (out / "failures.csv").open(newline="") as file:
        return {row["case_id"] for row in csv.DictReader(file)}


def timed(work: Callable[[], int]) -> tuple[int, float]:
    """What a function returns, and its seconds."""
    begun = monotonic()
    return work(), monotonic() - begun


def main() -> int:
    """Runs it; 1 where the tables differ, a case is named wrongly or a kind of fault took no effect."""
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
        options.cases, options.faults, options.mean_wait = 12, 9, 0.7
    # What a shell starts in the background ignores Ctrl-C, and so would all that is started here.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    rng = random.Random(options.seed)
    with scratch() as folder, small_disk(folder / "disk") as with_disk:
        cases = Cases(folder, options.cases)
        night = Night(cases, folder / "disk/night", rng, workers=options.workers)
        with_clock = any(path.exists() for path in FAKETIME)
        missing = {"disk full": with_disk, "clock jumps": with_clock}
        kinds = [kind for kind in WEIGHTS if missing.get(kind, True)]
        plan = planned(rng, options.faults, kinds)
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
        in_vain = [kind for kind in kinds if not night.effects[kind]]
        lines = [
            (f"{options.cases:,} cases, {options.workers} workers, {len(plan)} faults in {night_s:.0f} s, of which the"
            f" last, undisturbed runs took {last_s:.0f} s; without faults {clean_s:.0f} s. Seed {options.seed}."),
            *([] if with_disk else ["No full disk: no file system could be mounted."]),
            *([] if with_clock else ["No clock that jumps: libfaketime is not installed."]),
            f"{night.n_new_work} times all was measured, and masks were changed to have something to do.",
            "", "| fault | planned | effect seen |", "|---|---:|---:|",
            *(f"| {kind} | {night.tried[kind]} | {night.effects[kind]} |" for kind in kinds),
            "", f"Kinds of faults without any effect: {', '.join(in_vain) or 'none'}.",
            "", "| how runs ended before the last | times |", "|---|---:|",
            *(f"| {name} | {n} |" for name, n in night.ends.most_common()),
            "", ("| resident memory while it measures, MiB | 10 to 20 % of the rows settled | 45 to 55 % | 90 to 100 %"
            " | largest of all, the tables too |"), "|---|---:|---:|---:|---:|",
            *(f"| {kind}, {what} | {flat(samples)} |" for what, run in (("night", night), ("clean run", clean))
              for kind, samples in run.memory.items() if samples),
            "",
            (f"Broken for good: {len(cases.broken)} cases, {len(named & set(cases.broken))} of them in failures.csv,"
            f" {len(named - set(cases.broken))} others there."),
            f"Tables that differ from those of the clean run: {', '.join(differing) or 'none'}.",
        ]  # fmt: skip
        expected = 1 if cases.broken else 0
        is_well = not differing and named == set(cases.broken) and code == clean_code == expected
        if not is_well:
            lines.append(f"exit codes {code} and {clean_code}, {expected} expected")
            sys.stderr.write(f"both are kept in {kept(night.out.parent)}\n")
            sys.stderr.write(first_difference(night.out, clean.out))
            sys.stderr.write(f"{night.last_words()}\n---\n{clean.last_words()}\n")
    report("night", lines, save=options.save)
    return 0 if is_well and not in_vain else 1


if __name__ == "__main__":
    sys.exit(main())
