"""The program as a user runs it."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
import tomllib
from importlib.metadata import version

import numpy as np
import pytest
from typer.main import get_command

import gsigpu
import gsigpu.cli
from gsigpu.cli.app import app
from tests.support.dicom_files import ct_dataset, save
from tests.support.places import DATA, ROOT
from tests.support.processes import started_program
from tests.support.warm_program import fresh
from tests.support.warm_program import warm as run

COMMANDS = ("demo", "scan", "map", "measure", "review", "phantom", "info")
SMALL = ["--shape", "4,48,64", "--spacing", "5,6,6", "--lesions", "0", "--phases", "PVP"]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli") / "phantom"
    done = fresh("phantom", folder, *SMALL)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return folder / "dicom"


def test_every_command_has_help_with_an_example():
    assert set(get_command(app).commands) == {*COMMANDS, "cohort"}
    for command in COMMANDS:
        done = run(command, "--help", env={**os.environ, "COLUMNS": "200"})
        assert done.returncode == 0
        assert f"Example: gsigpu {command}" in done.stdout


def test_scan(study):
    done = fresh("scan", study, "--why")
    assert done.returncode == 0
    assert done.stdout.count(" vmi ") == 11
    assert "keV" in done.stdout
    assert done.stderr == ""


def test_scan_json_has_no_patient(study):
    done = run("scan", study, "--json")
    report = json.loads(done.stdout)
    assert sorted(
        series["energy_kev"] for series in report["series"] if series["kind"] == "vmi"
    ) == list(range(40, 141, 10))
    assert "Phantom^" not in done.stdout
    assert "GSIGPU-PHANTOM" not in done.stdout


def test_map(study, tmp_path):
    done = fresh("map", study, "-o", tmp_path / "maps", "--slope", "40-100", "--backend", "cpu")
    assert done.returncode == 0, done.stderr
    assert "(HU[40 keV] - HU[100 keV]) / 60 keV" in done.stdout
    assert len(list((tmp_path / "maps" / "iodine").iterdir())) == 4
    assert done.stderr == ""


def test_map_json(study, tmp_path):
    done = run(
        "map", study, "-o", tmp_path / "maps", "--maps", "iodine", "--json", "--backend", "cpu"
    )
    report = json.loads(done.stdout)
    assert report["backend"] == "cpu"
    assert list(report["maps"]) == ["iodine"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (
            ["scan", "{tmp}/none"],
            1,
            "gsigpu: error: {tmp}/none: no such folder; name the folder of a DICOM export",
        ),
        (["map", "{study}", "-o", "{tmp}/m", "--maps", "iodin"], 1, "did you mean iodine?"),
        (
            ["map", "{study}", "-o", "{tmp}/m", "--slope", "45-100"],
            1,
            "45 keV; available are 40, 50",
        ),
        (
            ["map", "{study}", "-o", "{tmp}/m", "--phase", "AP"],
            1,
            "no monoenergetic series of phase AP; there are PVP",
        ),
        (
            ["map", "{study}", "-o", "{tmp}/m", "--energy", "1.2.3=70"],
            1,
            "no series 1.2.3 in this folder",
        ),
        (
            ["map", "{study}", "-o", "{tmp}/m", "--energy", "70"],
            1,
            "is not NAME=VALUE; write it like --energy 300=70",
        ),
        (["map", "{study}", "-o", "{tmp}/m", "--energies", "a"], 1, "is not a list of numbers"),
        (["map", "{study}", "-o", "{tmp}/m", "--energies", ","], 1, "--energies ',' names nothing"),
        (["map", "{study}", "-o", "{tmp}/m", "--maps", "x", "--maps", "iodine"], 1, "map 'x'"),
        (["phantom", "{tmp}/p", "--vendor", "acme"], 1, "acme"),
        (["map", "{study}"], 2, "--out"),
        (["nonsense"], 2, "nonsense"),
    ],
)
def test_errors_are_one_line_with_a_remedy(study, tmp_path, words, code, message):
    place = {"study": study, "tmp": tmp_path}
    done = run(*(word.format(**place) for word in words))
    assert done.returncode == code
    assert message.format(**place) in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    if code == 1:
        assert done.stderr.count("\n") == 1
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("kev", ["nan", "-5", "1e9", "x"])
def test_an_impossible_energy_is_refused(study, tmp_path, kev):
    uid = json.loads(run("scan", study, "--json").stdout)["series"][0]["series_uid"]
    done = run("map", study, "-o", tmp_path / "m", "--energy", f"{uid}={kev}")
    assert done.returncode == 1
    assert f"={kev} names no energy in 35-200 keV" in done.stderr


def test_damaged_files_are_warned_of_before_anything_fails_because_of_them(study, tmp_path):
    import shutil

    folder = shutil.copytree(study, tmp_path / "study")
    all_series = json.loads(run("scan", folder, "--json").stdout)["series"]
    for number in (
        series["series_number"] for series in all_series if series["energy_kev"] in (60, 100)
    ):
        (folder / f"SER{number:05d}" / "IMG00001.dcm").write_bytes(b"")
    done = run("map", folder, "-o", tmp_path / "m", "--maps", "lambda-hu", "--backend", "cpu")
    warning, error = done.stderr.splitlines()
    assert "gsigpu: warning: 2 damaged files are left out: SER00303/IMG00001.dcm: empty" in warning
    assert "has 3 x 48 x 64 voxels instead of 4 x 48 x 64" in error


def test_gpu_that_is_not_there_is_an_error(study, tmp_path):
    from gsigpu.backends.device import why_no_gpu

    if why_no_gpu() is None:
        pytest.skip("this machine has a GPU")
    done = run("map", study, "-o", tmp_path / "m", "--backend", "gpu")
    assert done.returncode == 1
    assert "no usable GPU" in done.stderr
    assert "--backend cpu" in done.stderr


def test_debug_shows_the_traceback_wherever_it_stands(tmp_path):
    for words in (["--debug", "scan", tmp_path / "none"], ["scan", tmp_path / "none", "--debug"]):
        done = run(*words)
        assert done.returncode == 1
        assert "Traceback" in done.stderr


def test_phantom_cohort(tmp_path):
    small = ["--shape", "12,40,50", "--spacing", "6,5,5", "--energies", "60,100"]
    done = run("phantom", tmp_path / "c", "--cohort", "1,0,0,0,1", "--phases", "PVP", *small)
    assert done.returncode == 0, done.stderr
    assert "2 patients" in done.stdout
    manifest = (tmp_path / "c" / "manifest.csv").read_text("utf-8").splitlines()
    assert [line.split(",")[2:4] for line in manifest[1:]] == [
        ["colorectal", "PVP"],
        ["breast", "PVP"],
    ]
    done = run("phantom", tmp_path / "d", "--cohort", "1,0,0,0,1", "--primary", "lung")
    assert done.returncode == 1
    assert "--primary and --lesions are of one study" in done.stderr
    assert not (tmp_path / "d").exists()


def test_phantom_on_a_real_ct(tmp_path):
    real = DATA / "liver-ct"
    done = run("phantom", tmp_path / "p", "--anatomy", real, "--disc", "-100,-70,20=2.5")
    assert done.returncode == 0, done.stderr
    done = run(
        "map", tmp_path / "p" / "dicom", "-o", tmp_path / "maps", "--json", "--backend", "cpu"
    )
    assert json.loads(done.stdout)["shape"] == [3, 512, 512]
    assert done.stderr == ""
    done = run("phantom", tmp_path / "q", "--disc", "0,0,1=2")
    assert "--anatomy DIR" in done.stderr


def test_info():
    done = fresh("info", "--json")
    report = json.loads(done.stdout)
    assert report["version"] == gsigpu.__version__
    assert (report["gpu"] is None) == (report["why_no_gpu"] is not None)
    assert len(report["codecs"]) == 10
    assert "backend auto" in run("info").stdout


def test_progress_on_a_terminal_only(study, tmp_path):
    parent, child = pty.openpty()
    words = [
        sys.executable,
        "-m",
        "gsigpu",
        "map",
        str(study),
        "-o",
        str(tmp_path / "m"),
        "--backend",
        "cpu",
    ]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=child) as process:
        os.close(child)
        shown = b""
        while True:
            try:
                piece = os.read(parent, 4096)
            except OSError:  # the terminal is closed when the program ends
                break
            if not piece:
                break
            shown += piece
        process.communicate()
    os.close(parent)
    assert process.returncode == 0
    assert b"computing maps" in shown


@pytest.mark.parametrize(
    ("delay_s", "stop"),
    [
        *((delay_s, signal.SIGINT) for delay_s in (0.02, 0.2, 0.5, 1.0, 1.5, 2.5)),
        (0.2, signal.SIGTERM),
        (1.5, signal.SIGTERM),
        (1.0, signal.SIGHUP),
    ],
)
def test_interrupt_leaves_nothing_behind(study, tmp_path, delay_s, stop):
    """Ctrl-C, a scheduler's SIGTERM, a closed terminal, at any moment: its exit code, no traceback, no partial output."""
    maps = tmp_path / "maps"
    # The word tells that Python itself has started; what it does before that is not ours.
    code = "from gsigpu.cli import main; print('started', flush=True); main()"
    words = [sys.executable, "-c", code, "map", str(study), "-o", str(maps)]
    words += ["--maps", "sigma-iodine,residual"]
    with started_program(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stdout.readline() == "started\n"
        time.sleep(delay_s)
        run.send_signal(stop)
        _, errors = run.communicate()
    left = [path.name for path in tmp_path.iterdir()]
    assert left in ([], ["maps"])
    if left:  # it was faster: complete, and perhaps interrupted while it told so
        assert {path.name for path in maps.iterdir()} == {
            "sigma-iodine", "residual", "provenance.json", ".gsigpu.json",
        }  # fmt: skip
    # When a signal strikes while the interpreter ends, it ends at once.
    if not left or run.returncode not in (0, -stop):
        assert run.returncode == 128 + stop
        assert errors == ""


def test_interrupt_in_another_dress_is_still_an_interrupt(monkeypatch):
    """A library may turn the KeyboardInterrupt into an error of another type."""

    def swallow():
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
        except KeyboardInterrupt:
            raise ImportError("interrupted in the middle") from None

    monkeypatch.setattr(gsigpu.cli.app, "_run_program", swallow)
    monkeypatch.setattr(sys, "argv", ["gsigpu", "info"])
    before = {
        signal_number: signal.getsignal(signal_number)
        for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background ignore it
    try:
        with pytest.raises(SystemExit) as left:
            gsigpu.cli.main()
    finally:
        for signal_number, handler in before.items():
            signal.signal(signal_number, handler)
    assert left.value.code == 130


def test_version_is_the_packages():
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    project = tomllib.loads(text)["project"]
    assert "version" in project["dynamic"]
    assert version("gsigpu") == gsigpu.__version__


def test_scan_names_parts_of_a_series_and_options_take_those_names(tmp_path):
    for number in (1, 2):
        for z in range(3):
            ds = ct_dataset(
                np.zeros((4, 4), np.int16),
                position_mm=(0.0, 0.0, 2.5 * z),
                instance_number=10 * number + z,
                AcquisitionNumber=number,
            )
            save(ds, tmp_path / "study" / f"{number}-{z}.dcm")
    folder = str(tmp_path / "study")
    assert "300#acquisition2" in run("scan", folder).stdout
    done = run(
        "scan",
        folder,
        "--phase-of",
        "300#acquisition1=arterial,300#acquisition2=门脉期",
        "--json",
    )
    rows = {row["name"]: row["phase"] for row in json.loads(done.stdout)["series"]}
    assert rows == {"300#acquisition1": "AP", "300#acquisition2": "PVP"}
    done = run("scan", folder, "--kind", "300=conventional", "--json")
    assert {row["kind"] for row in json.loads(done.stdout)["series"]} == {"conventional"}
    refused = run("scan", folder, "--phase-of", "301=AP")
    assert refused.returncode == 1
    assert "no series 301 in this folder; gsigpu scan --why lists" in refused.stderr


def test_scan_writes_an_anonymous_report_once(tmp_path):
    save(ct_dataset(np.zeros((4, 4), np.int16)), tmp_path / "study" / "a.dcm")
    out = tmp_path / "headers.json"
    words = ("scan", str(tmp_path / "study"), "--report", str(out))
    assert run(*words).returncode == 0
    (series,) = json.loads(out.read_text("utf-8"))["series"]
    assert (series["kind"], series["series_description"]) == ("vmi", "Mono 70 keV")
    again = run(*words)
    assert again.returncode == 1
    assert "cannot be written (File exists); name another file" in again.stderr
    assert "add --report FILE" in run("scan", str(tmp_path / "study"), "--reveal", "word").stderr
