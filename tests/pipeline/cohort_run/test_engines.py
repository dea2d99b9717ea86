"""A cohort as commands that a workflow engine calls: one per case, and the one that joins them."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gsigpu.cli.app import app
from gsigpu.errors import SettingsError
from gsigpu.pipeline.cohort_run.checks import CohortOptions
from gsigpu.pipeline.cohort_run.run_cohort import run_cohort
from tests.support.places import ROOT

PAGE = (ROOT / "docs/howto/workflow-engines.md").read_text("utf-8")
TABLES = ("measurements.csv", "failures.csv", "warnings.csv", "exclusions.csv", "flow.csv")


@pytest.fixture(scope="module")
def cohort(make_cohort):
    """Three cases, one with a blank in its name, one whose mask is none."""
    cohort = make_cohort(3)
    cohort.rows[1]["case_id"] = "C 02"
    (cohort.folder / cohort.rows[2]["mask"]).write_bytes(b"no mask")
    cohort.write()
    return cohort


def tables_of_a_whole_run(cohort, folder):
    run_cohort(cohort.manifest, folder / "whole")
    return {name: (folder / "whole" / name).read_bytes() for name in TABLES}


def block(kind):
    return re.search(rf"^```{kind}\n(.*?)^```$", PAGE, re.S | re.M)[1]


def commands(kind):
    """The command of a case and that of the tables, as the example has them."""
    lines = [
        line.strip().strip('"') for line in block(kind).splitlines() if "gsigpu cohort run" in line
    ]
    assert len(lines) == 2
    return sorted(lines, key=lambda line: "--join" in line)


def run(line):
    """A command, in this process."""
    words = shlex.split(line)
    assert words[0] == "gsigpu"
    result = CliRunner().invoke(app, words[1:])
    assert result.exit_code == 0, result.output


def filled(line, names):
    for name, text in names.items():
        line = line.replace(name, text)
    assert "{" not in line
    return line


def test_the_commands_of_the_examples_make_the_tables_of_a_whole_run(
    cohort, inline, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    tables = tables_of_a_whole_run(cohort, tmp_path)
    for kind in ("python", "groovy"):
        out = tmp_path / kind
        of_case, join = commands(kind)
        common = {"{MANIFEST}": str(cohort.manifest), "${params.manifest}": str(cohort.manifest)}
        common |= {"${params.out}": str(out), "-o cohort": f"-o {out}"}
        for case in ("C03", "C01", "C 02"):  # in any order
            quoted = {"{wildcards.case:q}": shlex.quote(case), "${case_id}": case}
            run(filled(of_case, common | quoted))
        assert not (out / "measurements.csv").exists()
        run(filled(join, common))
        assert {name: (out / name).read_bytes() for name in TABLES} == tables
        assert not [*out.glob("*case-*"), *out.glob(".*case-*")]


def test_allowed_failures_are_told_and_what_was_not_tried_is_an_error(cohort, inline, tmp_path):
    words = ["cohort", "run", str(cohort.manifest), "-o", str(tmp_path / "out")]
    broken = [*words, "--case", "C03", "--workers", "1"]
    assert CliRunner().invoke(app, broken).exit_code == 1
    allowed = CliRunner().invoke(app, [*broken, "--allow-failures"])
    assert (allowed.exit_code, "1 of 1 rows failed" in allowed.output) == (0, True)
    assert CliRunner().invoke(app, [*words, "--join", "--allow-failures"]).exit_code == 1
    other = [*words, "--case", "C01", "--slope", "40-100", "--allow-failures"]
    assert CliRunner().invoke(app, other).exit_code == 1


def test_snakemake_runs_its_example(cohort, inline, tmp_path):
    pytest.importorskip("snakemake", reason="Snakemake is not installed: its example did not run")
    folder = tmp_path / "flow"
    folder.mkdir()
    (folder / "Snakefile").write_text(
        block("python").replace('"manifest.csv"', repr(str(cohort.manifest)))
    )
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "2", "--quiet", "all"],
        cwd=folder, env={**os.environ, "PATH": path},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    tables = tables_of_a_whole_run(cohort, tmp_path)
    assert {name: (folder / "cohort" / name).read_bytes() for name in TABLES} == tables


@pytest.mark.skipif(shutil.which("groovy") is None, reason="needs groovy (Debian package groovy)")
def test_the_nextflow_example_runs_as_groovy(cohort, inline, tmp_path):
    """Not by Nextflow, which cannot be had: its language is Groovy, and a stand-in does what the example asks of it."""
    folder = tmp_path / "flow"
    folder.mkdir()
    example = block("groovy").replace('"$launchDir/manifest.csv"', f'"{cohort.manifest}"')
    (folder / "main.nf").write_text(example)
    # The first task fails once, as where a machine is lost.
    program = folder / "bin" / "gsigpu"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\n"
        f'mkdir "{folder}/failed-once" 2>/dev/null && exit 143\n'
        f'exec "{Path(sys.executable).parent}/gsigpu" "$@"\n'
    )
    program.chmod(0o755)
    done = subprocess.run(
        ["groovy", str(ROOT / "tests/support/nextflow_stand_in.groovy"), "main.nf"],
        cwd=folder, env={**os.environ, "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert sorted(done.stdout.split("\n")[:-1]) == ["measure 0"] * 3 + ["measure 143", "tables 0"]
    tables = tables_of_a_whole_run(cohort, tmp_path)
    assert {name: (folder / "cohort" / name).read_bytes() for name in TABLES} == tables


def test_a_case_alone(cohort, inline, tmp_path, monkeypatch):
    out = tmp_path / "out"
    monkeypatch.setattr(Path, "is_dir", looking(Path.is_dir, looked_at := set()))
    result = run_cohort(cohort.manifest, out, options=CohortOptions(case="C 02"))
    assert (result.n_rows, result.n_done, result.tables) == (1, 1, None)
    assert [path.name for path in (out / "cases").iterdir()] == ["C%2002~PVP~A"]
    studies = {Path(row["study"]).name for row in cohort.rows}
    assert len({path.name for path in looked_at} & studies) <= 1, "looks at other cases' files"
    again = run_cohort(cohort.manifest, out, options=CohortOptions(case="C 02"))
    assert (again.n_done, again.n_skipped) == (0, 1)


def looking(real, seen):
    def look(path, *more):
        seen.add(path)
        return real(path, *more)

    return look


def test_what_a_case_cannot_be(cohort, inline, tmp_path):
    with pytest.raises(SettingsError, match="none of manifest"):
        run_cohort(cohort.manifest, tmp_path / "out", options=CohortOptions(case="C99"))
    for more in ({"join": True}, {"prune": True}, {"shard": (1, 2)}, {"limit": 1}):
        with pytest.raises(SettingsError, match="part"):
            CohortOptions(case="C01", **more)
