"""The benchmarks of start-up, maps, reading, writing, the whole of `map`, `measure` and `cohort stats`, one after the other: `make bench`.

Results stand in results/, one file per question and processor. It took 5, 7 and 11 minutes on three kinds of AMD EPYC, two cores each.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from time import perf_counter

HERE = Path(__file__).parent
QUESTIONS = ("start_up", "maps", "reading", "writing", "map_study", "measure", "cohort_stats")


def main() -> None:
    """Runs them; ends with the status of the first that failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny sizes: only shows that it runs")
    parser.add_argument("--repeats", type=int, default=7, help="rounds that count, of each bench")
    parser.add_argument("--only", choices=QUESTIONS, nargs="+", default=QUESTIONS)
    options = parser.parse_args()
    begun = perf_counter()
    for question in options.only:
        command = [sys.executable, HERE / f"bench_{question}.py", "--repeats", str(options.repeats)]
        command.append("--quick" if options.quick else "--save")
        done = subprocess.run(command, cwd=HERE, check=False)
        if done.returncode:
            sys.exit(done.returncode)
        sys.stdout.write(f"\n{question}: after {perf_counter() - begun:.0f} s\n\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
