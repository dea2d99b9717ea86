"""How long until a command says what it can?

Whole processes, from the shell's view: `gsigpu` with each of the words below, in turn, beside a Python that does nothing.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
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


def main() -> None:
    """Runs it."""
    options = arguments(__doc__ or "")
    commands = COMMANDS[:2] if options.quick else COMMANDS
    program = Path(sys.executable).with_name("gsigpu")

    def called(*words: str | Path) -> None:
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)

    seconds = interleaved(
        1 if options.quick else options.repeats,
        **{"python -c pass": lambda: called(sys.executable, "-c", "pass")},
        **{words: lambda words=words: called(program, *words.split()) for words in commands},
    )
    lines = ["| command | median | worst | aim |", "|---|---:|---:|---:|"]
    for words, taken in seconds.items():
        aim = f"{AIMS.get(words, AIM):.2f} s" if words in commands else ""
        lines.append(
            f"| `{words}` | {statistics.median(taken):.2f} s | {max(taken):.2f} s | {aim} |"
        )
    report("start_up", lines, save=options.save)


if __name__ == "__main__":
    main()
