"""Options from gsigpu.toml: told, checked against what the commands take, and weaker than the command line."""

import json
import os

import pytest

from tests.cli.test_cli import run


def write(folder, text):
    (folder / "gsigpu.toml").write_text(text, encoding="utf-8")


def run_in(folder, *words, **variables):
    return run(*words, cwd=folder, env={**os.environ, **variables})


@pytest.fixture
def folder(tmp_path):
    write(
        tmp_path,
        '[phantom]\nshape = "4,48,64"\nspacing = "5,6,6"\nlesions = 0\nphases = "PVP"\n'
        'layout = "enhanced"\n[map]\nmaps = ["vnc", "water"]\nworkers = 1\njson = true\n',
    )
    return tmp_path


def test_what_the_file_gives_is_used_and_told_and_the_command_line_is_stronger(folder):
    done = run_in(folder, "phantom", "p", "--layout", "classic")
    assert done.returncode == 0
    assert "gsigpu: note: gsigpu.toml gives phantom: --shape 4,48,64" in done.stderr
    assert len(list((folder / "p" / "dicom").rglob("*.dcm"))) > 11 * 4  # a file per slice
    done = run_in(folder, "map", "p/dicom", "-o", "m")
    assert done.returncode == 0
    assert set(json.loads(done.stdout)["maps"]) == {"vnc", "water"}
    assert {path.name for path in (folder / "m").iterdir() if path.is_dir()} == {"vnc", "water"}


def test_a_command_that_the_file_does_not_name_says_nothing_of_it(folder):
    assert run_in(folder, "--version").stderr == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[mapp]\nslope = 1", "gsigpu.toml: 'mapp' is no command; use a table of [demo]"),
        ("[cohort.go]\nx = 1", "'cohort.go' is no command; use a table of [cohort.init]"),
        ("slope = 1", "'slope' is no command"),
        ('[map]\nslop = "paper"', "map has no option --slop; write slope"),
        (
            "[map]\ndir = 1",
            "map has no option --dir; take it out, or use one that the help of gsigpu map names",
        ),
        ("[map]\noverwrite = 'yes'", "map: overwrite takes true or false"),
        ("[map]\nslope = ['paper', '40-100']", "map: slope takes one text or number"),
        ("[map]\nmaps = [['vnc']]", "map: maps takes a list"),
        ("[map\n", "gsigpu.toml: cannot be read as TOML"),
    ],
)
def test_what_no_command_takes_is_an_error(tmp_path, text, message):
    write(tmp_path, text)
    done = run_in(tmp_path, "scan", ".")
    assert done.returncode == 1
    assert message in done.stderr


def test_another_file_is_named_by_a_variable_and_shown_by_info(folder):
    assert (
        f"options       {folder / 'gsigpu.toml'}"
        in run_in(folder.parent, "info", GSIGPU_CONFIG=str(folder / "gsigpu.toml")).stdout
    )
    done = run_in(folder, "info", GSIGPU_CONFIG="nowhere.toml")
    assert "nowhere.toml: GSIGPU_CONFIG names a file that is not there" in done.stderr


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (
            '[map]\nformat = "bmp"',
            "--format 'bmp' is none of its values; correct the file: use ct, pm, nifti, nii.gz, nrrd or rgb",
        ),
        (
            "[map]\nworkers = 1.5",
            "--workers '1.5' is no whole number; correct the file: write --workers 2",
        ),
        (
            "[map]\nworkers = 0",
            "--workers '0' is below 1; correct the file: write --workers 1, or more",
        ),
    ],
)
def test_a_wrong_value_is_told_with_the_file_that_it_stands_in(tmp_path, text, what):
    """Also where -q keeps the note of the file back."""
    write(tmp_path, text)
    done = run_in(tmp_path, "map", "study", "-o", "m", "-q")
    assert done.returncode == 2
    assert done.stderr == f"gsigpu: error: gsigpu.toml, gsigpu map: {what}\n"
    assert run_in(tmp_path, "map", "-q").stderr.startswith(
        "gsigpu: error: gsigpu map: missing option"
    )


def test_info_shows_what_the_file_gives(folder):
    told = json.loads(run_in(folder, "info", "--json").stdout)
    assert told["config"] == "gsigpu.toml"
    assert told["options"]["map"] == {"maps": ["vnc", "water"], "workers": 1, "json": True}
    assert "map: --maps vnc,water, --workers 1, --json" in run_in(folder, "info").stdout


def test_a_file_in_another_encoding_is_told(tmp_path):
    (tmp_path / "gsigpu.toml").write_bytes(b'[map]\nslope = "\xff"\n')
    done = run_in(tmp_path, "info")
    assert done.returncode == 1
    assert (
        "gsigpu.toml: cannot be read as TOML ('utf-8' codec can't decode byte 0xff" in done.stderr
    )
