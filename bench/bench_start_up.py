"""How long until a command says what it can?

Whole processes, from the shell's view: `gsigpu` with each of the words below, in turn, beside a Python that does nothing
and one that imports Typer. Processor time is told as a ratio to these: it holds on any machine, and while others work.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from common import arguments, interleaved, report

COMMANDS = (
    "--help",
    "info",
    "map --help",
    "measure --help",
    "review --help",
    "cohort run --help",
    "cohort stats --help",
)
AIMS = {"--help": 0.25, "info": 0.25}
AIM = 0.35  # of the help of a command
BARE, TYPER = "python -c pass", "python -c 'import typer'"


def main() -> None:
    """Runs it."""
    options = arguments(__doc__ or "")
    commands = COMMANDS[:2] if options.quick else COMMANDS
    program = Path(sys.executable).with_name("gsigpu")

    processor: dict[str, list[float]] = defaultdict(list)

    def called(name: str, *words: str | Path) -> None:
        before = os.times()
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        after = os.times()
        processor[name].append(
            after.children_user
            - before.children_user
            + after.children_system
            - before.children_system
        )

    calls: dict[str, tuple[str | Path, ...]] = {
        BARE: (sys.executable, "-c", "pass"),
        TYPER: (sys.executable, "-c", "import typer"),
        **{words: (program, *words.split()) for words in commands},
    }
    seconds = interleaved(
        1 if options.quick else options.repeats,
        **{name: lambda name=name: called(name, *calls[name]) for name in calls},
    )
    used = {name: statistics.median(taken) for name, taken in processor.items()}
    lines = [
        "| command | median | worst | aim | processor | of a bare Python | of importing Typer |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for words, taken in seconds.items():
        aim = f"{AIMS.get(words, AIM):.2f} s" if words in commands else ""
        ratios = " | ".join(f"{used[words] / max(used[base], 0.01):.1f}" for base in (BARE, TYPER))
        lines.append(
            f"| `{words}` | {statistics.median(taken):.2f} s | {max(taken):.2f} s | {aim} | {used[words]:.2f} s | {ratios} |"
        )
    report("start_up", lines, save=options.save)


if __name__ == "__main__":
    main()
