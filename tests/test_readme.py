"""The README and the users' pages show what the commands print today."""

import re
import subprocess
import sys

import pytest
from typer.main import get_command

from gsigpu.cli.app import app
from gsigpu.maps.registry import KNOWN_NAMES
from tests.support import plain_install, windows_like
from tests.support.pages import (
    PAGES,
    is_shortened,
    shown,
    user_text,
    without_what_differs,
)
from tests.support.places import ROOT

README = (ROOT / "README.md").read_text("utf-8")


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """As a user of `[all]` has it, on Windows: what the tests alone need is hidden from it, and what POSIX alone has."""
    folder, hook = tmp_path_factory.mktemp("demo"), tmp_path_factory.mktemp("hook")
    done = subprocess.run(
        [sys.executable, "-m", "gsigpu", "demo", "demo-output"],
        cwd=folder,
        env=windows_like.environment(hook, plain_install.environment(hook, "all")),
        capture_output=True,
        text=True,
        check=True,
    )
    return done, folder / "demo-output"


def test_demo_output(demo):
    done, out = demo
    assert without_what_differs(done.stdout) == without_what_differs(
        shown(r"<!-- demo -->\n```\n(.*?)```")
    )
    assert done.stderr == ""  # the demo names the reader whose values are compared
    assert (out / "maps.png").stat().st_size > 50_000
    assert (out / "report" / "report.html").stat().st_size > 1_000_000


def test_the_readme_shows_the_demo_shortened(demo):
    done, _ = demo
    shortened = re.search(r"<!-- demo, shortened -->\n```\n(.*?)```", README, re.S)[1]
    lines = without_what_differs(shortened)
    assert 15 < len(lines) < 40
    assert is_shortened(lines, without_what_differs(done.stdout))


def test_every_command_and_map_is_shown():
    text = user_text()
    for name, command in get_command(app).commands.items():
        for below in getattr(command, "commands", [""]):
            words = f"{name} {below}".strip()
            assert f"gsigpu {words}" in text or f"make {words}" in text
    maps = (ROOT / "docs" / "reference" / "maps.md").read_text("utf-8")
    for name in KNOWN_NAMES:
        assert name in maps or name.startswith("mono-")


def test_the_readme_names_the_commands_of_the_way_from_study_to_report():
    for name in ("scan", "map", "measure", "cohort run", "cohort stats"):
        assert f"gsigpu {name}" in README


def test_the_accuracy_is_what_the_benchmark_printed():
    table = shown(r"<!-- accuracy -->\n((?:\|[^\n]*\n)+)")
    results = (ROOT / "bench" / "results" / "measure_accuracy-cpu.md").read_text("utf-8")
    assert len(table.splitlines()) == 8
    assert table in results


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    """Files; the site's build looks at its anchors."""
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
        if re.match(r"https?:", target):
            continue
        path = page.parent / target
        made_by_the_build = path.parent.name == "generated"
        assert made_by_the_build or path.exists(), f"{page.name}: {target}"


def test_the_extended_honesty_table_is_the_result():
    page = (ROOT / "docs" / "explanation" / "statistics.md").read_text("utf-8")
    table = re.search(
        r"<!-- honesty, extended -->\n(.*?)<!-- end of honesty, extended -->", page, re.DOTALL
    )
    result = (ROOT / "bench" / "results" / "honesty_extended.md").read_text("utf-8")
    assert table[1].splitlines() == [line for line in result.splitlines() if line.startswith("|")]
    n = re.search(r"(\d+) simulated studies", result)[1]
    assert f"{n} studies a column, `bench/results/honesty_extended.md`" in page


def test_the_honesty_table_is_an_extract_of_the_result():
    table = shown(r"<!-- honesty -->\n(.*?)<!-- end of honesty -->")
    result = (ROOT / "bench" / "results" / "honesty.md").read_text("utf-8").splitlines()
    lines = table.strip().splitlines()
    assert len(lines) > 10
    assert set(lines) <= set(result)
