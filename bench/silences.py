"""How long is a command silent on a terminal while it works? No question of speed.

A command runs on a pseudo-terminal; whenever it prints, the processor's seconds that it and its children have taken so
far are noted. What lies between two prints is a silence. Those over two seconds of the processor are listed with what
was on the screen before: a person sees nothing move meanwhile. Seconds of the processor, so that a busy machine makes
none. Linux alone, which tells the seconds of a process and its children in /proc.

    ../.venv/bin/python silences.py gsigpu cohort stats table.csv -o report

The exit status is 1 where there is such a silence.
"""

from __future__ import annotations

import os
import pty
import re
import select
import sys
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

LIMIT_S = 2.0
_LOOK_S = 0.05
_TICK = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_CONTROL = re.compile(rb"\x1b\[[0-9;?]*[a-zA-Z]")


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing was printed for a time.

    processor_s : that the command and its children took meanwhile
    after : the last words on the screen
    """

    processor_s: float
    wall_s: float
    after: str


def silences(words: list[str]) -> tuple[list[Silence], int]:
    """All silences of a command on a terminal of 80 columns, the first from its start, and its exit status."""
    child, terminal = pty.fork()
    if child == 0:
        os.environ["COLUMNS"], os.environ["TERM"] = "80", "xterm"
        os.execvp(words[0], words)
    silent: list[Silence] = []
    shown, spent, since = "(start)", 0.0, perf_counter()
    latest = 0.0
    while True:
        ready, _, _ = select.select([terminal], [], [], _LOOK_S)
        latest = max(latest, _spent(child))
        if not ready:
            continue
        try:
            printed = os.read(terminal, 65536)
        except OSError:  # Linux: the other end is closed
            printed = b""
        silent.append(Silence(latest - spent, perf_counter() - since, shown))
        if not printed:
            break
        spent, since = latest, perf_counter()
        text = _CONTROL.sub(b"", printed).decode(errors="replace").strip()
        shown = text.splitlines()[-1].strip() if text else shown
    _, status = os.waitpid(child, 0)
    return silent, os.waitstatus_to_exitcode(status)


def _spent(root: int) -> float:
    """Processor seconds of a process and all below it, those that ended included."""
    children: dict[int, list[int]] = {}
    seconds: dict[int, float] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it ended just now
            continue
        process = int(path.parent.name)
        children.setdefault(int(fields[1]), []).append(process)
        seconds[process] = sum(map(int, fields[11:15])) / _TICK
    total, todo = 0.0, [root]
    while todo:
        process = todo.pop()
        total += seconds.get(process, 0.0)
        todo += children.get(process, [])
    return total


def main() -> int:
    """Prints the silences of the command that the words of the command line are."""
    silent, status = silences(sys.argv[1:])
    longest = sorted(silent, key=lambda silence: -silence.processor_s)
    print(f"exit status {status}, {len(silent)} silences; the longest:")
    for silence in longest[:4]:
        print(
            f"{silence.processor_s:7.2f} s of the processor, {silence.wall_s:6.2f} s, after: {silence.after[:60]}"
        )
    return int(longest[0].processor_s > LIMIT_S)


if __name__ == "__main__":
    sys.exit(main())
