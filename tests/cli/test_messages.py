"""How the commands speak: quietly, at length, and to programs."""

import json
import re
import sys

import pytest
import typer

from gsigpu.cli.app import app
from gsigpu.cli.app import run as run_program
from gsigpu.cli.messages import Tone, speak
from gsigpu.version import __version__
from tests.cli.test_cli import SMALL, run
from tests.support.places import ROOT


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study with a damaged file, which is told as a warning."""
    folder = tmp_path_factory.mktemp("messages") / "phantom"
    run("phantom", folder, *SMALL).check_returncode()
    (folder / "dicom" / "empty.dcm").write_bytes(b"")
    return folder / "dicom"


def test_the_version_is_told_without_a_command():
    assert run("--version").stdout == f"gsigpu {__version__}\n"


def test_quiet_says_nothing_but_results_and_errors(study):
    assert "warning" in run("scan", study).stderr
    for words in (["-q", "scan", study], ["scan", study, "--quiet"]):
        done = run(*words)
        assert done.stderr == ""
        assert "vmi" in done.stdout
    assert run("-q", "scan", study / "nowhere").stderr.startswith("gsigpu: error: ")


def test_verbose_tells_each_step_in_a_pipe_too(study):
    assert "gsigpu: step: reading headers: " in run("scan", study, "-v").stderr
    assert "step" not in run("scan", study).stderr


def test_messages_to_a_program_are_json(study):
    done = run("map", study, "-o", study / "m", "--phase", "late", "--json")
    assert done.returncode == 1
    warning, failure = map(json.loads, done.stderr.splitlines())
    assert "damaged" in warning["warning"]["message"]
    error = failure["error"]
    assert error["code"] == "no-spectral-stack"
    assert error["what"] in error["message"]
    assert error["remedy"] in error["message"]


def called(monkeypatch, capsys, *words):
    """The program in this process: exit code, stdout, stderr."""
    monkeypatch.setattr(sys, "argv", ["gsigpu", *map(str, words)])
    code = 0
    try:
        run_program()
    except SystemExit as end:
        code = end.code
    printed = capsys.readouterr()
    speak(Tone())
    return code, printed.out, printed.err


def commands(group=None, above=()):
    """Every command of the program, as words."""
    for name, command in (group or typer.main.get_command(app)).commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*above, name))
        else:
            yield (*above, name)


# Command -> words with which it fails, for another reason than its words.
FAILING = {
    "scan": ["nowhere"],
    "map": ["nowhere", "-o", "m"],
    "measure": ["nowhere", "--mask", "l.nii", "-o", "m.csv"],
    "review": ["nowhere", "-o", "r"],
    "cohort init": ["nowhere", "-o", "m.csv"],
    "cohort run": ["nowhere.csv", "-o", "c"],
    "cohort status": ["nowhere"],
    "cohort stats": ["nowhere.csv", "-o", "s"],
    "phantom": ["p", "--shape", "1,2"],
    "demo": ["."],
}


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_every_error_of_every_command_is_json_with_code_and_remedy(
    words, tmp_path, monkeypatch, capsys
):
    """Of words that are not understood (exit code 2), and of what fails (1)."""
    monkeypatch.chdir(tmp_path)
    calls = [(2, [*words, "--no-such-option", "--json"])]
    if failing := FAILING.get(" ".join(words)):
        has_json = "--json" in called(monkeypatch, capsys, *words, "--help")[1]
        calls += [(1, [*words, *failing, "--json"])] if has_json else []
        code, out, err = called(monkeypatch, capsys, *words, *failing)
        assert (code, out, err.count("\n")) == (1, "", 1)
        assert err.startswith("gsigpu: error: ")
    for expected, call in calls:
        code, out, err = called(monkeypatch, capsys, *call)
        assert (code, out) == (expected, "")
        for line in err.splitlines():
            error = json.loads(line)["error"]
            assert error["code"]
            assert error["what"]
            assert error["remedy"]
            assert error["what"] in error["message"]
            assert error["remedy"] in error["message"]


def test_each_exit_code_of_the_page_has_one_meaning(study, tmp_path, monkeypatch, capsys):
    """0, 1 and 2 here; the signals are in tests/cli/test_cli.py."""
    page = (ROOT / "docs" / "reference" / "command-line.md").read_text("utf-8")
    told = re.findall(r"^\| ([\d, ]+) \| (.+) \|$", page, re.M)
    assert [code for code, _ in told] == ["0", "1", "2", "129, 130, 143"]
    done, not_done, not_understood = [], [], []
    done += [["--version"], ["map", "--help"], ["scan", study]]
    not_done += [
        ["scan", tmp_path / "nowhere"],
        ["map", study, "-o", tmp_path / "m", "--slope", "steep"],
    ]
    not_understood += [
        [],
        ["cohort"],
        ["nonsense"],
        ["map", study],
        ["map", study, "-o", "m", "--format", "bmp"],
    ]
    for expected, calls in enumerate((done, not_done, not_understood)):
        for words in calls:
            assert called(monkeypatch, capsys, *words)[0] == expected, words


def test_an_error_that_nobody_foresaw(monkeypatch, capsys):
    monkeypatch.setattr("gsigpu.cli.info._facts", lambda _config: 1 / 0)
    code, _, err = called(monkeypatch, capsys, "info", "--json")
    error = json.loads(err)["error"]
    assert (code, error["code"]) == (1, "unexpected-error")
    assert error["what"] == "unexpected ZeroDivisionError: division by zero"
    assert "--debug" in error["remedy"]


def test_an_option_of_other_commands_names_them(monkeypatch, capsys):
    code, _, err = called(monkeypatch, capsys, "review", "s", "--nifti", "70=x", "--json")
    error = json.loads(err)["error"]
    assert (code, error["code"]) == (2, "usage-error")
    assert error["remedy"] == "it is an option of gsigpu scan, gsigpu map, gsigpu measure"
