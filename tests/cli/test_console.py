"""What commands print fits a terminal of 80 columns, in a pipe too, and no word of it is cut."""

import io
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import gsigpu
from gsigpu.cli import console, messages
from gsigpu.cli.app import app
from gsigpu.cli.console import entry, table

WORD = st.text("abcxyz0123/._-", min_size=1, max_size=14)
CELL = st.one_of(st.lists(WORD, max_size=20).map(" ".join), st.integers(0, 10**6), st.none())


@settings(max_examples=30)
@given(
    st.integers(1, 5).flatmap(
        lambda n: st.lists(st.lists(CELL, min_size=n, max_size=n), min_size=1, max_size=4)
    )
)
def test_a_table_fits_and_keeps_every_word(rows):
    header = [f"column {i}" for i in range(len(rows[0]))]
    printed = table(header, rows)
    assert max(map(len, printed.splitlines())) <= 80
    words = [
        word
        for row in (header, *rows)
        for cell in row
        if cell is not None
        for word in str(cell).split()
    ]
    assert sorted(printed.split()) == sorted(words)


@settings(max_examples=30)
@given(st.lists(WORD, min_size=1, max_size=30))
def test_an_entry_fits_and_keeps_every_part(parts):
    for what in (parts, " ".join(parts)):
        lines = entry("wrote", what).splitlines()
        assert max(map(len, lines)) <= 80
        assert lines[0].startswith("wrote    ")
        assert all(line.startswith(" " * 9) for line in lines[1:])
    assert re.sub(r"\s+", " ", entry("wrote", parts)[9:]).split(", ") == parts


def test_a_path_is_never_cut():
    path = "/data/" + "x" * 90
    assert path in table(["n", "path"], [[1, path]])
    assert path in entry("wrote", [path, "b"])


def test_a_wide_terminal_is_used(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    text = "word " * 30
    assert table(["text"], [[text.strip()]]) == f"text\n{text.strip()}"
    assert console.width() == 200


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    small = gsigpu.PhantomSettings(
        shape=(4, 32, 40), spacing_mm=(25.0, 9.0, 9.0), n_lesions=1, diameter_mm=(28.0, 30.0),
    )  # fmt: skip
    return gsigpu.write_phantom(tmp_path_factory.mktemp("study") / "phantom", small)


MAPS = "lambda-hu,lambda-hu[fit:40-100],iodine,water,vnc,mono-52,electron-density,zeff,residual,fat-fraction"


def test_what_commands_print_fits(truth, tmp_path, monkeypatch):
    """Every line, unless a word of it, a path, is longer; all energies and many maps, flags and regions."""
    monkeypatch.chdir(tmp_path)
    masks = ("--mask", truth.lesion_mask, "--aorta-mask", truth.aorta_mask, "--any-mask-phase")
    manifest, cohort = tmp_path / "rows.csv", tmp_path / "run"
    manifest.write_text(
        "case_id,patient_id,group,phase,study,mask\n"
        f"c,p,lung,PVP,{truth.dicom_folder},{truth.lesion_mask}\n"
    )
    gsigpu.cohort_run(manifest, cohort)
    for words in (
        ("info",),
        ("scan", truth.dicom_folder),
        (
            "map",
            truth.dicom_folder,
            "-o",
            "maps",
            "--phase",
            "PVP",
            "--maps",
            MAPS,
            "--dicom",
            *masks,
        ),
        ("measure", truth.dicom_folder, "-o", "m.csv", "--phase", "all", "--wide", *masks),
        ("map", truth.dicom_folder, "-o", "more", "--phase", "all", "--maps", MAPS, "--dry-run"),
        ("cohort", "init", truth.folder, "-o", "manifest.csv"),
        (
            "phantom",
            "p",
            "--shape",
            "4,48,64",
            "--spacing",
            "5,6,6",
            "--lesions",
            "0",
            "--phases",
            "PVP",
        ),
        ("cohort", "status", cohort),
        ("cohort", "run", manifest, "-o", "other", "--dry-run"),
    ):
        done = CliRunner().invoke(app, [str(word) for word in words])
        assert done.exit_code == 0, done.exception or done.output
        for line in done.stdout.splitlines():
            assert len(line) <= max(80, 9 + max(map(len, line.split() or [""]))), line


def test_no_command_makes_tables_of_its_own():
    """So that what holds for `table` holds for all."""
    for path in Path(console.__file__).parent.glob("*.py"):
        if path.name != "console.py":
            assert not re.search(r"\.[lr]just\(|:<\d+|:>\d+", path.read_text("utf-8")), path


def test_every_stage_of_a_job_has_a_title():
    """So that a person on a terminal reads what is done, and no name from the code."""
    package = Path(gsigpu.__file__).parent
    text = "\n".join(path.read_text("utf-8") for path in (package / "pipeline").rglob("*.py"))
    titles = "\n".join(path.read_text("utf-8") for path in (package / "cli").glob("*.py"))
    stages = set(re.findall(r'watcher\.stage\(\s*"(\w+)"', text))
    assert {"scan", "masks", "measure", "map", "volumes"} <= stages
    assert {name for name in stages if f'"{name}": "' not in titles} == set()


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("quiet", "is_terminal", "expected"),
    [(False, True, True), (True, True, False), (False, False, False)],
)
def test_progress_is_shown_on_a_terminal_alone_and_not_with_quiet(
    monkeypatch, quiet, is_terminal, expected
):
    stream = Terminal() if is_terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    messages.speak(messages.Tone(quiet=quiet))
    try:
        with console.TerminalWatcher({}).stage("masks") as progress:
            progress(1, 2)
    finally:
        messages.speak(messages.Tone())
    assert ("reading masks" in stream.getvalue()) is expected
