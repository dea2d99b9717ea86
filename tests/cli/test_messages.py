"""How the commands speak: quietly, at length, and to programs."""

import json

import pytest

from gsigpu.version import __version__
from tests.cli.test_cli import SMALL, run


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
