"""What every command that writes does with what is, or appears, at the place of its output."""

import signal
import subprocess
import sys
import time

import pytest

from gsigpu.phantom import PhantomSettings, write_phantom
from tests.support.cohort_tables import measurement_table
from tests.support.processes import started_program
from tests.support.warm_program import warm

SMALL = PhantomSettings(
    shape=(12, 64, 80),
    spacing_mm=(10.0, 4.4, 4.4),
    n_lesions=1,
    diameter_mm=(28.0, 30.0),
    energies_kev=(60.0, 70.0, 100.0),
    phases=("PVP",),
)
# Something appears at the place after all checks, when the output is complete.
PLANT = """
import sys
from pathlib import Path
from gsigpu.output import staging

place = Path(sys.argv.pop(1))

def planting(original):
    def planted(*arguments):
        if not place.exists():
            if place.suffix:
                place.write_text("theirs")
            else:
                place.mkdir()
                (place / "theirs").touch()
        original(*arguments)
    return planted

staging._take_place = planting(staging._take_place)
staging._move_all = planting(staging._move_all)
from gsigpu.cli import main
main()
"""
START = "from gsigpu.cli import main; print('started', flush=True); main()"


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """The words of each command, before `-o OUT` and its kind of output."""
    folder = tmp_path_factory.mktemp("inputs")
    truth = write_phantom(folder / "export" / "study", SMALL)
    table = measurement_table(
        groups=("lung", "breast"), patients=(4, 4), phases=("PVP",), curves=False, profiles=False
    )
    table.to_csv(folder / "t.csv", index=False)
    choice = ["--parameters", "iodine", "--regions", "rim", "--replicates", "100"]
    return {
        "map": ["map", truth.dicom_folder, "--maps", "iodine", "-o", "OUT"],
        "measure": ["measure", truth.dicom_folder, "--mask", truth.lesion_mask, "-o", "OUT.csv"],
        "phantom": ["phantom", "OUT", "--shape", "4,48,64", "--spacing", "5,6,6", "--lesions", "0"],
        "cohort init": ["cohort", "init", folder / "export", "-o", "OUT.csv"],
        "cohort stats": ["cohort", "stats", folder / "t.csv", *choice, "-o", "OUT"],
    }


COMMANDS = ("map", "measure", "phantom", "cohort init", "cohort stats")


def words_for(inputs, command, folder, *more):
    """The command line with its output in `folder`, and the output."""
    (out,) = [folder / str(word) for word in inputs[command] if str(word).startswith("OUT")]
    words = [out if str(word).startswith("OUT") else word for word in inputs[command]]
    return [str(word) for word in (*words, *more)], out


def run(words):
    return warm(*words)


def content(path):
    """Everything at a place, hidden files included."""
    paths = sorted(path.rglob("*")) if path.is_dir() else [path]
    return {str(file): file.read_bytes() for file in paths if file.is_file()}


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
@pytest.mark.parametrize("command", COMMANDS)
def test_what_appears_at_the_place_is_left_as_it_is(inputs, tmp_path, command, overwrite):
    words, out = words_for(inputs, command, tmp_path, *overwrite)
    done = subprocess.run(
        [sys.executable, "-c", PLANT, str(out), *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"gsigpu: error: {out}: appeared" in done.stderr
    assert list(tmp_path.iterdir()) == [out]
    assert (out.read_text() == "theirs") if out.suffix else [*out.iterdir()] == [out / "theirs"]


@pytest.mark.parametrize("command", COMMANDS)
def test_overwrite_replaces_what_the_same_command_wrote_and_nothing_else(inputs, tmp_path, command):
    words, out = words_for(inputs, command, tmp_path)
    assert run(words).returncode == 0
    first = content(tmp_path)
    again = run(words)
    assert again.returncode == 1
    assert "add --overwrite" in again.stderr
    replaced = run([*words, "--overwrite"])
    assert replaced.returncode == 0, replaced.stderr
    assert content(tmp_path).keys() == first.keys()
    before = content(tmp_path)
    for other in set(COMMANDS) - {command}:
        other_words, other_out = words_for(inputs, other, tmp_path, "--overwrite")
        if other_out != out or other == "phantom":  # a file beside it, and phantom wants options
            continue
        refused = run(other_words)
        assert refused.returncode == 1, (other, refused.stdout)
        assert "--overwrite does not replace it" in refused.stderr
        assert content(tmp_path) == before


@pytest.mark.parametrize("command", COMMANDS)
def test_a_link_is_kept(inputs, tmp_path, command):
    """A folder is written where the link points to; of a file the command asks for its true name."""
    words, out = words_for(inputs, command, tmp_path)
    place = tmp_path / "disk" / out.name
    place.parent.mkdir()
    out.symlink_to(place)
    done = run(words)
    assert out.is_symlink()
    if out.suffix:
        assert done.returncode == 1
        assert f"name the file it points to: {place}" in done.stderr
        assert not place.exists()
    else:
        assert done.returncode == 0, done.stderr
        assert any(place.iterdir())


def test_two_runs_with_the_same_output(inputs, tmp_path):
    words, out = words_for(inputs, "map", tmp_path)
    runs = [
        subprocess.Popen(
            [sys.executable, "-m", "gsigpu", *words], stderr=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for _ in range(2)
    ]
    errors = [process.communicate()[1].decode() for process in runs]
    assert sorted(process.returncode for process in runs) == [0, 1]
    assert sum("appeared" in text or "is there already" in text for text in errors) == 1
    assert list(tmp_path.iterdir()) == [out]


def test_a_killed_run_is_told_at_the_next_and_a_hangup_leaves_nothing(inputs, tmp_path):
    words, out = words_for(inputs, "cohort stats", tmp_path)
    for stop, exit_code in (
        (signal.SIGKILL, -signal.SIGKILL),
        (signal.SIGHUP, 128 + signal.SIGHUP),
    ):
        with started_program(
            [sys.executable, "-c", START, *words], stderr=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            others = set(tmp_path.iterdir())
            while process.poll() is None and set(tmp_path.iterdir()) == others:
                time.sleep(0.002)
            process.send_signal(stop)
            process.communicate()
        assert process.returncode == exit_code
        (left,) = tmp_path.iterdir()
    done = run(words)
    assert done.returncode == 0
    assert f"gsigpu: warning: {left} is partial output of a run that was killed" in done.stderr
    assert f"rm -r {left}" in done.stderr
    assert out.is_dir()
