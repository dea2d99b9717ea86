"""Completion for each shell, whichever runs the tests; what the scripts ask the program is answered."""

import os
import shutil
import subprocess

import pytest

from tests.cli.test_messages import called
from tests.support.warm_program import warm


def asked(**variables):
    return warm(env={**os.environ, **variables}).stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_each_shell_is_one(shell, tmp_path, monkeypatch, capsys):
    code, script, _ = called(monkeypatch, capsys, "--show-completion", shell)
    assert code == 0
    assert f"complete_{shell}" in script
    if (program := shutil.which(shell)) is not None:
        (tmp_path / "script").write_text(script)
        subprocess.run([program, "-n", str(tmp_path / "script")], check=True)


def test_installation_writes_into_the_home_folder(tmp_path):
    done = warm("--install-completion", "fish", env={**os.environ, "HOME": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    (written,) = [path for path in tmp_path.rglob("gsigpu*") if path.is_file()]
    assert str(written) in done.stdout
    assert "complete_fish" in written.read_text()


def test_an_unknown_shell_is_told(monkeypatch, capsys):
    code, _, err = called(monkeypatch, capsys, "--show-completion", "csh")
    assert code == 1
    assert err == "gsigpu: error: no completion for 'csh'; name bash, zsh, fish, powershell, pwsh\n"


def test_what_the_scripts_ask_is_answered():
    """Commands, options and values, in the form that each shell reads."""
    words = asked(_GSIGPU_COMPLETE="complete_bash", COMP_WORDS="gsigpu cohort st", COMP_CWORD="2")
    assert words.split() == ["status", "stats"]
    options = asked(_GSIGPU_COMPLETE="complete_bash", COMP_WORDS="gsigpu map --ma", COMP_CWORD="2")
    assert {"--maps", "--mask", "--mask-phase"} <= set(options.split())
    formats = asked(_GSIGPU_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS="gsigpu map --format n")
    assert all(f'"{name}"' in formats for name in ("nifti", "nii.gz", "nrrd"))
    commands = asked(
        _GSIGPU_COMPLETE="complete_fish", _TYPER_COMPLETE_ARGS="gsigpu me",
        _TYPER_COMPLETE_FISH_ACTION="get-args",
    )  # fmt: skip
    assert commands.startswith("measure\t")
