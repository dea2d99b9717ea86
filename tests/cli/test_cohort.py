"""`gsigpu cohort` as a user runs it."""

import csv
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import duckdb
import pandas as pd
import pytest
from pydicom import dcmread
from typer.testing import CliRunner

import gsigpu
from gsigpu.cli.app import app
from gsigpu.phantom import write_phantom
from gsigpu.pipeline.cohort_run.run_state import progress_line
from gsigpu.tables.measurement_table import COLUMNS, read_table
from tests.support.cohort import TINY, Cohort, Faults, write_template
from tests.support.pages import shown
from tests.support.processes import started_program
from tests.support.warm_program import fresh, warm


def run(*words):
    return warm("cohort", *words)


def quick(*words):
    """In this process: for what starts no worker. Exit code and output together."""
    done = CliRunner().invoke(app, ["cohort", *map(str, words)])
    return done.exit_code, done.output


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort")
    return Cohort(folder, write_template(folder), 4)


@pytest.fixture(scope="module")
def finished(cohort, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "cohort"
    return fresh("cohort", "run", cohort.manifest, "-o", out, "--workers", 2), out


def test_run(finished):
    done, out = finished
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # no progress view in a pipe
    assert "4 measured" in done.stdout
    assert re.search(r"lung +1 +2 +2", done.stdout)
    table = read_table(out / "measurements.csv")
    assert tuple(table.columns) == COLUMNS
    assert set(table.case_id) == {"C01", "C02", "C03", "C04"}
    assert set(table.patient_id) == {"P01", "P02"}
    assert set(table.group) == {"lung", "breast"}
    assert set(table.reader) == {"A"}
    assert not table.duplicated([*COLUMNS[:9], "distance_mm"]).any()
    for name in ("failures.csv", "exclusions.csv"):
        assert len(pd.read_csv(out / name)) == 0
    assert len(list(out.glob("cases/*/*.json"))) == 4  # provenance of each


def test_the_query_that_is_shown(finished, monkeypatch):
    _, out = finished
    query = shown(r'duckdb -c "([^\n]*)"\n').replace('\\"', '"')
    monkeypatch.chdir(out.parent)
    answer = duckdb.sql(query).df()
    table = read_table(out / "measurements.csv")
    core = table.query("region == 'core' and parameter == 'lambda_hu' and statistic == 'mean'")
    expected = core.groupby(["group", "phase"]).value.mean()
    assert answer.set_index(["group", "phase"]).iloc[:, -1].to_dict() == pytest.approx(
        expected.to_dict()
    )
    n_values = duckdb.sql("select count(*) from 'cohort/measurements/**/*.parquet'").fetchall()[0][
        0
    ]
    assert n_values == len(table)
    assert len(pd.read_parquet(out / "measurements")) == len(table)


def test_again_is_nothing_and_status_says_so(cohort, finished):
    _, out = finished
    code, output = quick("run", cohort.manifest, "-o", out, "--json")
    assert code == 0
    answer = json.loads(output)
    assert (answer["n_done"], answer["n_skipped"], answer["n_failed"]) == (0, 4, 0)
    assert answer["predicted_bytes"] == 0
    assert {group["group"] for group in answer["tables"]["groups"]} == {"lung", "breast"}
    code, output = quick("status", out)
    assert code == 0
    assert "finished" in output
    assert "4 of 4 rows: 0 done, 4 before" in output
    assert json.loads(quick("status", out, "--json")[1])["state"] == "finished"
    log = (out / "run.log").read_text()
    assert len(log.splitlines()) == 6  # begun, disk and finished, twice
    written, predicted = map(float, re.search(r"disk: (.*) MB more, (.*) MB pred", log).groups())
    assert 0.4 * predicted < written < predicted
    assert run("status", cohort.folder).returncode == 1


def test_status_knows_a_run_that_is_gone(finished):
    _, out = finished
    status = json.loads((out / "status.json").read_text())
    kept = dict(status)
    status |= {"state": "running", "updated": "2026-01-01T00:00:00+00:00"}
    (out / "status.json").write_text(json.dumps(status))
    assert "run again to go on" in quick("status", out)[1]
    assert gsigpu.cohort_status(out)["state"] == "gone"
    (out / "status.json").write_text(json.dumps(kept))
    assert progress_line(kept) in quick("status", out)[1]


def test_inclusion_rules(cohort, finished):
    _, out = finished
    rows = [dict(row) for row in cohort.rows]
    cohort.rows[3]["confirmed"] = "no"
    cohort.write()
    diameters = read_table(out / "measurements.csv").query("parameter == 'longest_axial_diameter'")
    limit = diameters.value.drop_duplicates().mean()  # of the two sizes that the copies share
    words = ("run", cohort.manifest, "-o", out, "--confirmed-only", "--max-diameter", limit)
    refused = CliRunner().invoke(app, ["cohort", *map(str, words)])
    assert refused.exit_code == 1
    assert "--change-settings" in str(refused.exception)
    assert f"rules.max_diameter_mm {limit:g} (recorded: none)" in str(refused.exception)
    code, output = quick(*words, "--change-settings")
    assert code == 0, output
    # A later call goes on with them.
    kept = (out / "measurements.csv").read_bytes()
    code, output = quick("run", cohort.manifest, "-o", out, "--retry-failed")
    assert code == 0, output
    assert "kept" in output
    assert (out / "measurements.csv").read_bytes() == kept
    calls = json.loads((out / "run.json").read_text())["calls"]
    assert [call["how"] for call in calls[-2:]] == ["finished", "finished"]
    assert len(calls[-2]["changed_settings"]) == 2
    assert calls[-1]["options"] == {"retry_failed": True, "backend": "auto"}
    excluded = pd.read_csv(out / "exclusions.csv")
    assert excluded.query("rule == 'confirmed-only'").case_id.tolist() == ["C04"]
    large = diameters.query("value > @limit and case_id != 'C04'")
    assert len(large) == 3
    assert excluded.query("rule == 'max-diameter'").case_id.tolist() == large.case_id.tolist()
    assert excluded.reason.notna().all()
    kept = read_table(out / "measurements.csv")
    assert "C04" not in set(kept.case_id)
    pairs = set(zip(kept.case_id, kept.lesion_id, strict=True))
    assert not pairs & set(zip(large.case_id, large.lesion_id.astype(str), strict=True))
    picture = (out / "flow.svg").read_text()
    assert "Not confirmed by pathology" in picture
    assert f"above {limit:g} mm" in picture

    code, output = quick(
        "run", cohort.manifest, "-o", out, "--min-group-size", 2, "--change-settings",
        "--no-confirmed-only", "--max-diameter", "inf",
    )  # fmt: skip
    assert code == 0
    assert "0 values" in " ".join(output.split())  # one patient in each group
    assert set(pd.read_csv(out / "exclusions.csv").rule) == {"min-group-size"}
    cohort.rows = rows
    cohort.write()


def test_all_problems_of_a_manifest_at_once(cohort, tmp_path):
    text = cohort.manifest.read_text().splitlines()
    text[2] = text[2].replace("C02/dicom", "C22/dicom").replace(",60,", ",600,")
    text[3] = text[3].replace(",yes,", ",perhaps,")
    broken = cohort.folder / "broken.csv"
    broken.write_text("\n".join(text))
    code, output = quick("run", broken, "-o", tmp_path / "out")
    assert code == 1
    lines = output.strip().splitlines()
    assert len(lines) == 3
    assert "line 3: study 'C22/dicom' is not there" in lines[0]
    assert "line 3: age '600'" in lines[1]
    assert "line 4: confirmed 'perhaps'" in lines[2]
    assert not (tmp_path / "out").exists()


def test_init_proposes_what_can_be_run(tmp_path):
    export, manifest = tmp_path / "export", tmp_path / "proposed" / "manifest.csv"
    (export / "Doe, Jane").mkdir(parents=True)
    settings = replace(TINY, phases=("AP", "PVP"), patient_id="J1")
    write_phantom(export / "Doe, Jane" / "before", settings)
    masks = export / "Doe, Jane" / "before" / "masks"
    shutil.copy(masks / "lesions.nii.gz", masks / "lesions_reader-B_arterial.nii.gz")
    shutil.copy(masks / "aorta.nii.gz", masks / "aorta2.nii.gz")
    write_phantom(export / "Doe, Jane" / "after", replace(TINY, seed=2, patient_id="J1"))
    for path in (export / "Doe, Jane" / "after" / "dicom").rglob("*"):
        if path.is_file():
            header = dcmread(path)
            header.StudyDate = "20991231"
            header.save_as(path)
    write_phantom(export / "other", replace(TINY, seed=3, patient_id="J2"))
    shutil.rmtree(export / "other" / "masks")
    manifest.parent.mkdir()
    code, output = quick("init", export, "-o", manifest)
    assert code == 0, output
    with manifest.open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["case_id"], row["phase"], row["reader"]) for row in rows] == [
        ("J1-2", "PVP", ""), ("J1-1", "AP", ""), ("J1-1", "AP", "B"), ("J1-1", "PVP", ""),
        ("J1-1", "PVP", "B"), ("J2", "PVP", ""),
    ]  # fmt: skip
    assert all(row["group"] == "" for row in rows)
    assert rows[0]["study"] == "../export/Doe, Jane/after/dicom"
    assert rows[0]["mask"] == "../export/Doe, Jane/after/masks/lesions.nii.gz"
    assert rows[0]["aorta_mask"].endswith("aorta.nii.gz")
    assert rows[1]["aorta_mask"] == ""
    assert rows[2]["mask"].endswith("lesions_reader-B_arterial.nii.gz")
    assert rows[4]["mask"] == rows[5]["mask"] == ""
    for words in (
        "which of aorta.nii.gz, aorta2.nii.gz is the aorta_mask",
        "one mask of lesions names no reader",
        "no mask of lesions found",
    ):
        assert words in output
    assert quick("init", export, "-o", manifest)[0] == 1  # is there already
    assert quick("init", tmp_path / "proposed", "-o", tmp_path / "m.csv")[0] == 1  # no study


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--memory-limit", "lots"], "is no size"),
        (["--max-diameter", "-1"], "leaves no lesion"),
        (["--maps", "fat"], "unknown map"),
        (["--slope", "100-60"], "does not rise"),
        (["--regions", "core", "--max-diameter", "30"], "that of the region `lesion`"),
        (["--parameters", "fat"], "unknown map"),
        (["--ct-value", "bone"], "unknown CT value"),
        (["--vendor-iodine-unit", "pints"], "unknown unit"),
        (["--patterns", "nowhere.toml"], "nowhere.toml"),
        (["--pseudonymise", "nowhere"], "key cannot be read"),
    ],
)
def test_bad_options(cohort, tmp_path, words, message):
    done = CliRunner().invoke(
        app, ["cohort", "run", str(cohort.manifest), "-o", str(tmp_path / "out"), *words]
    )
    assert done.exit_code == 1
    assert message in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_interrupt_leaves_what_is_done(cohort, tmp_path, monkeypatch):
    faults = Faults(tmp_path, monkeypatch)
    faults.set({"C03": "slow 60", "C04": "slow 60"})
    out = tmp_path / "out"
    words = [sys.executable, "-m", "gsigpu", "cohort", "run", cohort.manifest, "-o", out]
    with started_program(
        [*words, "--workers", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        begun = time.monotonic()
        while len(list(out.glob("cases/*/[!.]*.parquet"))) < 2:
            assert time.monotonic() - begun < 60
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors == ""
    assert "interrupted" in quick("status", out)[1]
    faults.set({})
    done = run("run", cohort.manifest, "-o", out, "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["n_done"], answer["n_skipped"]) == (2, 2)


def test_a_dry_run_does_nothing(cohort, tmp_path):
    out = tmp_path / "out"
    code, output = quick("run", cohort.manifest, "-o", out, "--dry-run", "--limit", 3)
    assert code == 0, output
    assert "rows     3 of 3 studies, 0 of them begun before; 1 not tried" in output
    assert "nothing was done" in output
    plan = json.loads(quick("run", cohort.manifest, "-o", out, "--dry-run", "--json")[1])
    assert (plan["n_manifest_rows"], plan["n_rows"], plan["n_begun"]) == (4, 4, 0)
    assert plan["predicted_bytes"] > 0
    assert not out.exists()


@pytest.mark.parametrize("words", [("--review", "--limit", 1), ("--shard", "1/4")])
def test_a_dry_run_names_what_is_read_and_what_is_left(cohort, tmp_path, words):
    out = tmp_path / "out"
    call = ("run", cohort.manifest, "-o", out, "--workers", 1, "--regions", "lesion", *words)
    plan = json.loads(quick(*call, "--dry-run", "--json")[1])
    quick(*call)
    left = [path for path in out.iterdir() if not path.name.startswith((".", "strays"))]
    assert sorted(plan["written"]) == sorted(map(str, left))
    rows = pd.read_csv(cohort.manifest)
    masks = {str(cohort.folder / name) for name in rows["mask"][:1]}
    assert masks <= set(plan["masks"])
    studies = [cohort.folder / name for name in rows["study"][:1]]
    sizes = [
        sum(path.stat().st_size for path in study.rglob("*") if path.is_file()) for study in studies
    ]
    assert plan["read_bytes"] == pytest.approx(sum(sizes), rel=0.2)


def test_shards_are_joined_and_what_is_missing_fails_its_row(cohort, tmp_path):
    """Also list options by commas and repeats, which are the same."""
    out = tmp_path / "out"
    broken = cohort.folder / "broken.csv"
    broken.write_text(cohort.manifest.read_text().replace("C04/dicom", "C44/dicom"))
    words = ("run", broken, "-o", out, "--skip-missing", "--workers", 1)
    for number, slopes in enumerate((("60-100,paper",), ("60-100", "paper")), start=1):
        listed = [word for slope in slopes for word in ("--slope", slope)]
        done = run(*words, "--shard", f"{number}/2", *listed)
        assert done.returncode == (1 if number == 2 else 0), done.stderr
        assert f"gsigpu cohort run MANIFEST -o {out} --join" in done.stdout
    assert "2 shards" in quick("status", out)[1]
    done = run(*words, "--join")
    assert done.returncode == 1
    assert "wrote" in done.stdout
    failures = pd.read_csv(out / "failures.csv")
    assert failures.case_id.tolist() == ["C04"]
    assert "study not there" in failures.reason[0]
    table = read_table(out / "measurements.csv")
    assert set(table.case_id) == {"C01", "C02", "C03"}
    assert {"lambda_hu", "lambda_hu[paper]"} <= set(table.parameter)
    kept = run(*words, "--join")
    assert "kept" in kept.stdout
    refused = CliRunner().invoke(app, ["cohort", *map(str, words), "--slope", "60-100"])
    assert "measure.parameters.slopes 60-100 (recorded: 60-100,paper)" in str(refused.exception)
