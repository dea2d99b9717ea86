"""What starting a command costs, as a budget of imports: a clock would tell more of the machine than of the code."""

import json
import subprocess
import sys

import pytest

from gsigpu.cli.app import _Program
from gsigpu.cli.cohort import _Cohort
from tests.cli.test_cli import COMMANDS

# What takes longer to import than all that a command needs to say what it can.
SLOW = {
    "SimpleITK", "cupy", "highdicom", "imagecodecs", "jinja2", "matplotlib", "nibabel", "numpy", "openpyxl",
    "pandas", "psutil", "pyarrow", "pydantic", "pydicom", "rich", "scipy", "skimage", "sklearn", "statsmodels", "xraydb",
}  # fmt: skip
# Python 3.11 and Typer are 150 of them. A group's own help imports none of its commands.
MOST_MODULES = 190
MOST_MODULES_OF_A_GROUP = 180
# Versions of libraries are told by the names of their folders: to read metadata imports fifty modules.
MOST_MODULES_OF_INFO = 205

_CODE = """
import json, sys
words, sys.argv = sys.argv[1:], ["gsigpu"]
sys.argv += words
from gsigpu.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


def modules_of(*words):
    done = subprocess.run(
        [sys.executable, "-c", _CODE, *words], capture_output=True, text=True, check=True
    )
    return json.loads(done.stderr.splitlines()[-1])


HELP = ("", *COMMANDS, "cohort", "cohort init", "cohort run", "cohort status", "cohort stats")


@pytest.mark.parametrize("command", HELP)
def test_help_imports_nothing_that_does_the_work(command):
    modules = modules_of(*command.split(), "--help")
    assert SLOW.isdisjoint(name.partition(".")[0] for name in modules)
    assert len(modules) <= (
        MOST_MODULES if command not in ("", "cohort") else MOST_MODULES_OF_A_GROUP
    )
    house = {name.split(".")[1] for name in modules if name.startswith("gsigpu.")}
    assert house <= {
        "choices",
        "cli",
        "errors",
        "fewer_collections",
        "installed",
        "optional_packages",
        "user_toml",
        "version",
    }


def test_a_group_imports_no_command_to_say_what_each_does():
    words = {name for name in modules_of("--help") if name.startswith("gsigpu.cli.")}
    commands = {entry.module for group in (_Program, _Cohort) for entry in group.entries.values()}
    assert commands.isdisjoint(words)


def test_info_looks_at_libraries_without_importing_them():
    modules = modules_of("info")
    if "cupy" in modules:  # a driver is there, so the card is tried
        assert (SLOW - {"cupy", "numpy"}).isdisjoint(name.partition(".")[0] for name in modules)
        return
    assert SLOW.isdisjoint(name.partition(".")[0] for name in modules)
    assert len(modules) <= MOST_MODULES_OF_INFO
