"""How the commands speak: quietly, at length, and to programs."""

import json
import re
import sys
from pathlib import Path

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


# What the words of a command line may be wrong in, and what is said of it: in our words, with what to write.
NOT_UNDERSTOOD = {
    "map s -o m --workers a": "--workers 'a' is no whole number; write --workers 2",
    "map s -o m --workers 0": "--workers '0' is below 1; write --workers 1, or more",
    "map s -o m --format bmp": "--format 'bmp' is none of its values; use ct, pm, nifti, nii.gz, nrrd or rgb",
    "map s -o": "option '-o' requires an argument; write -o OUT",
    "map s -o m --dicom=3": "option '--dicom' does not take a value; write --dicom alone",
    "map s": "missing option '-o' / '--out'; add -o OUT",
    "map s -o m --frmat ct": "no such option: --frmat; use --format or --maps or --mask; gsigpu map --help names all",
    "phantom p --rim wide": "--rim 'wide' is no number; write --rim 3",
    "phantom p --lesions -1": "--lesions '-1' is below 0; write --lesions 0, or more",
    "measure s -o t.csv --haematocrit x": "--haematocrit 'x' is no number; write --haematocrit 0.5",
    "cohort run -o c": "missing argument 'MANIFEST'; name MANIFEST",
    "cohort run m.csv -o c --backend tpu": "--backend 'tpu' is none of its values; use auto, cpu or gpu",
    "cohort run m.csv -o c --timeout 0": "--timeout '0' is below 0.1; write --timeout 0.1, or more",
    "info once more": "'once more' is more than it takes; gsigpu info --help tells what it takes",
}


@pytest.mark.parametrize("words", NOT_UNDERSTOOD)
def test_words_that_are_not_understood_are_told_in_ours(words, monkeypatch, capsys):
    command = " ".join(words.split()[: 2 if words.startswith("cohort") else 1])
    code, out, err = called(monkeypatch, capsys, *words.split())
    assert (code, out) == (2, "")
    assert err == f"gsigpu: error: gsigpu {command}: {NOT_UNDERSTOOD[words]}\n"


def test_no_option_of_one_value_is_refused_in_the_parsers_words(monkeypatch, capsys):
    """Every option of every command that takes a number or one of few values, given a word that is neither."""
    tried = 0
    for words, command in parsers():
        required = [
            word
            for p in command.params
            if p.required
            for word in ([p.opts[0], "x"] if p.param_type_name == "option" else ["x"])
        ]
        for option in command.params:
            annotation = getattr(option.type_descriptor, "annotation", None)
            is_limited = annotation in (int, float) or hasattr(annotation, "__members__")
            if option.param_type_name != "option" or option.is_flag or not is_limited:
                continue
            tried += 1
            name = max(option.opts, key=len)
            code, _, err = called(monkeypatch, capsys, *words, *required, name, "x y")
            assert (code, err.count("\n")) == (2, 1), name
            assert f"{name} 'x y' is no" in err
            assert re.search(rf"; (write {name} |use ).+\n", err), err
    assert tried > 20


def parsers(group=None, above=()):
    """Every command with its parser."""
    for name, command in (group or typer.main.get_command(app)).commands.items():
        if hasattr(command, "commands"):
            yield from parsers(command, (*above, name))
        else:
            yield (*above, name), command


def test_a_phantom_is_told_to_a_program(tmp_path, monkeypatch, capsys):
    """Where everything is, and what is true of it: the same as truth.json holds."""
    out = tmp_path / "p"
    code, printed, err = called(monkeypatch, capsys, "phantom", out, *SMALL, "--json")
    record = json.loads(printed)
    assert (code, err) == (0, "")
    for name in ("out", "dicom", "masks", "truth_file"):
        assert Path(record[name]).exists(), name
    assert record["truth"] == json.loads((out / "truth.json").read_text("utf-8"))
    assert record["truth"]["settings"]["shape"] == [4, 48, 64]


def test_a_cohort_of_phantoms_is_told_to_a_program(tmp_path, monkeypatch, capsys):
    small = ["--shape", "6,64,64", "--spacing", "12,6.4,6.4", "--diameter", "15,18", "--extras", "iodine"]  # fmt: skip
    words = ["phantom", tmp_path / "c", "--cohort", "1,0,0,0,0", *small, "--phases", "PVP", "--json"]  # fmt: skip
    code, printed, _ = called(monkeypatch, capsys, *words)
    record = json.loads(printed)
    assert code == 0
    assert (record["n_patients"], record["settings"]["n_patients"]) == (1, [1, 0, 0, 0, 0])
    for name in ("out", "manifest", "studies", "truth_file"):
        assert Path(record[name]).exists(), name
