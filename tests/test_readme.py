"""The README shows what the commands print today."""

import re
import subprocess
import sys

from gsigpu.cli.app import app
from gsigpu.maps.registry import KNOWN_NAMES
from tests.support.places import ROOT

README = (ROOT / "README.md").read_text("utf-8")


def without_what_differs(text):
    """Times, rates, threads, the GPU's state, and the padding that path lengths cause."""
    text = re.sub(r"\d+\.\d+ s\b", "T s", text)
    text = re.sub(r"\d+ slices/s", "N slices/s", text)
    text = re.sub(r" in \d:\d\d:\d\d", " in T", text)
    text = re.sub(r"backend .*", "backend", text)
    return [line.rstrip() for line in text.strip().splitlines()]


def test_demo_output(tmp_path):
    shown = re.search(r"<!-- demo -->\n```\n(.*?)```", README, re.S)[1]
    done = subprocess.run(
        [sys.executable, "-m", "gsigpu", "demo", "demo-output"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert without_what_differs(done.stdout) == without_what_differs(shown)
    (warning,) = done.stderr.splitlines()
    assert "2 readers (A, B): tests take the mean over them" in warning
    assert (tmp_path / "demo-output" / "maps.png").stat().st_size > 50_000
    assert (tmp_path / "demo-output" / "report" / "report.html").stat().st_size > 1_000_000


def test_every_command_and_map_is_in_the_readme():
    for command in app.registered_commands:
        assert f"gsigpu {command.name}" in README or f"make {command.name}" in README
    for group in app.registered_groups:
        sub_app = group.typer_instance
        for command in sub_app.registered_commands:
            assert f"gsigpu {sub_app.info.name} {command.name}" in README
    for name in KNOWN_NAMES:
        assert name in README or name.startswith("mono-")


def test_the_accuracy_is_what_the_benchmark_printed():
    shown = re.search(r"<!-- accuracy -->\n((?:\|.*\n)+)", README)[1]
    results = (ROOT / "bench" / "results" / "measure_accuracy-cpu.md").read_text("utf-8")
    assert len(shown.splitlines()) == 8
    assert shown in results


def test_links_lead_somewhere():
    for page in [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *(ROOT / "design").glob("*.md"),
        *(ROOT / "bench").glob("*.md"),
    ]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_honesty_table_is_an_extract_of_the_result():
    shown = re.search(r"<!-- honesty -->\n(.*?)<!-- end of honesty -->", README, re.S)[1]
    result = (ROOT / "bench" / "results" / "honesty.md").read_text("utf-8").splitlines()
    lines = shown.strip().splitlines()
    assert len(lines) > 10
    assert set(lines) <= set(result)
