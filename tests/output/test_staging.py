"""Output is whole or not there."""

import errno
import os
import shlex
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from gsigpu.errors import GsigpuWarning, OutputError
from gsigpu.output import rename_new as rename_module
from gsigpu.output import staging
from gsigpu.output.leftovers import HOST
from gsigpu.output.staging import staged_files, staged_folder


def write(folder, text="new"):
    (folder / "file").write_text(text)


def write_and_fail(final, error, **options):
    with staged_folder(final, **options) as folder:
        write(folder)
        raise error


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_complete_after_the_block(tmp_path):
    final = tmp_path / "deep" / "out"
    with staged_folder(final) as folder:
        write(folder)
        assert not final.exists()
    assert names(final.parent) == ["out"]
    assert (final / "file").read_text() == "new"


def test_an_exception_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError):
        write_and_fail(tmp_path / "out", RuntimeError())
    assert names(tmp_path) == []


def test_ctrl_c_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        write_and_fail(tmp_path / "out", KeyboardInterrupt())
    assert names(tmp_path) == []


@pytest.mark.parametrize("taken", ["file", "folder", "link to a folder", "link to a file"])
def test_what_is_there_is_refused_before_anything_is_done(tmp_path, taken):
    place = tmp_path / "place"
    final = tmp_path / "out" if taken.startswith("link") else place
    if taken.endswith("file"):
        place.write_text("old")
    else:
        place.mkdir()
        write(place, "old")
    if final != place:
        final.symlink_to(place)
    before = names(tmp_path)
    with pytest.raises(OutputError, match="--overwrite"), staged_folder(final):
        pytest.fail("entered")
    assert names(tmp_path) == before


def test_an_empty_folder_is_taken(tmp_path):
    (tmp_path / "out").mkdir()
    with staged_folder(tmp_path / "out") as folder:
        write(folder)
    assert names(tmp_path / "out") == ["file"]


def test_overwriting_replaces_everything_at_the_end(tmp_path):
    final = tmp_path / "out"
    final.mkdir()
    (final / "leftover").write_text("old")
    with staged_folder(final, overwrite=True) as folder:
        write(folder)
        assert names(final) == ["leftover"]
    assert names(final) == ["file"]
    assert names(tmp_path) == ["out"]


def test_failed_overwriting_keeps_the_old(tmp_path):
    final = tmp_path / "out"
    final.mkdir()
    write(final, "old")
    with pytest.raises(RuntimeError):
        write_and_fail(final, RuntimeError(), overwrite=True)
    assert (final / "file").read_text() == "old"
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("target", ["absent", "empty", "full"])
def test_a_link_is_kept_and_its_target_written(tmp_path, target):
    place, final = tmp_path / "disk" / "maps", tmp_path / "out"
    place.parent.mkdir()
    final.symlink_to(place)
    if target != "absent":
        place.mkdir()
    if target == "full":
        write(place, "old")
    with staged_folder(final, overwrite=target == "full") as folder:
        write(folder)
    assert final.is_symlink()
    assert (place / "file").read_text() == "new"
    assert names(tmp_path) == ["disk", "out"]
    assert names(place.parent) == ["maps"]


def test_a_link_to_itself_is_refused(tmp_path):
    (tmp_path / "out").symlink_to(tmp_path / "out")
    with pytest.raises(OutputError), staged_folder(tmp_path / "out"):
        pytest.fail("entered")


@pytest.mark.parametrize("inside", [".", "study", "study/series"])
def test_the_input_is_never_overwritten(tmp_path, inside):
    final = tmp_path / "out"
    (final / inside).mkdir(parents=True)
    with (
        pytest.raises(OutputError, match="is in it"),
        staged_folder(final, overwrite=True, protected=[final / inside]),
    ):
        pytest.fail("entered")
    assert (final / inside).is_dir()


def test_the_current_folder_is_never_overwritten(tmp_path, monkeypatch):
    (tmp_path / "out" / "here").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "out" / "here")
    with pytest.raises(OutputError), staged_folder(tmp_path / "out", overwrite=True):
        pytest.fail("entered")


def test_only_the_same_command_replaces_a_folder(tmp_path):
    final = tmp_path / "out"
    final.mkdir()
    for _ in range(2):  # an empty folder is no loss, and then what it wrote itself
        with staged_folder(final, overwrite=True, command="map") as folder:
            write(folder)
    refused(final, "was written by gsigpu map, not by gsigpu cohort stats", "cohort stats")


def test_a_folder_of_somebody_else_is_never_replaced(tmp_path):
    final = tmp_path / "out"
    final.mkdir()
    (final / "provenance.json").write_text("{}")
    refused(final, "was not written by gsigpu map", "map")
    (final / ".gsigpu.json").write_text("not JSON")
    refused(final, "was not written by gsigpu map", "map")


@pytest.mark.parametrize("added", ["thesis.tex", "maps/deep.txt"])
def test_what_was_added_later_is_never_replaced(tmp_path, added):
    final = tmp_path / "out"
    with staged_folder(final, command="map") as folder:
        (folder / "maps").mkdir()
    (final / ".DS_Store").touch()
    with staged_folder(final, overwrite=True, command="map") as folder:
        (folder / "maps").mkdir()
    (final / added).touch()
    refused(final, "thesis.tex" if added == "thesis.tex" else "more files", "map")
    assert (final / added).exists()


def refused(final, why, command):
    with (
        pytest.raises(OutputError, match=why),
        staged_folder(final, overwrite=True, command=command),
    ):
        pytest.fail("entered")


def test_too_little_room_is_said_first(tmp_path):
    with (
        pytest.raises(OutputError, match="MiB left"),
        staged_folder(tmp_path / "out", n_bytes=2**60),
    ):
        pytest.fail("entered")
    assert names(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk_is_an_output_error(tmp_path):
    with (
        pytest.raises(OutputError, match="free space"),
        staged_folder(tmp_path / "out"),
        open("/dev/full", "wb", buffering=0) as full,  # noqa: PTH123  # a device, not a file
    ):
        full.write(b"x")
    assert names(tmp_path) == []


def test_an_unreadable_input_is_not_blamed_on_the_output(tmp_path):
    source = str(tmp_path / "source.dcm")
    with pytest.raises(PermissionError), staged_folder(tmp_path / "out"):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), source)


def test_an_unwritable_place_is_an_output_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError), staged_folder(tmp_path / "file" / "out"):
        pytest.fail("entered")


@pytest.mark.parametrize("kind", [OSError, KeyboardInterrupt])
def test_files_take_their_places_all_or_none(tmp_path, monkeypatch, kind):
    """The third of three moves fails: the first two are undone, and what was there is there."""
    finals = [tmp_path / name for name in ("a.json", "b.png", "c.csv")]
    finals[0].write_text("old")
    original = staging.rename_new

    def fails_on_the_table(source, target):
        if source.name == "c.csv":
            raise kind("in between")
        original(source, target)

    monkeypatch.setattr(staging, "rename_new", fails_on_the_table)

    def write_all():
        with staged_files(finals, overwrite=True) as folder:
            for path in finals:
                (folder / path.name).write_text("new")

    with pytest.raises((kind, OutputError)):
        write_all()
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert finals[0].read_text() == "old"


def test_an_interrupt_between_the_two_renames_gives_the_old_back(tmp_path, monkeypatch):
    final = tmp_path / "maps"
    final.mkdir()
    (final / "precious").write_text("mine")
    original = staging.rename_new

    def interrupted(source, target):
        if ".partial-" in source.name:
            raise KeyboardInterrupt
        original(source, target)

    monkeypatch.setattr(staging, "rename_new", interrupted)
    with pytest.raises(KeyboardInterrupt), staged_folder(final, overwrite=True) as folder:
        (folder / "new").write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["maps"]
    assert (final / "precious").read_text() == "mine"


# What appears at the place while a run goes on.


@pytest.fixture(params=["system call", "hard link", "claim"])
def way(request, monkeypatch):
    """Each way of renaming that there is, whatever the system has."""
    if request.param != "system call":
        monkeypatch.setattr(rename_module, "_exclusive_rename", lambda: None)
    if request.param == "claim":

        def no_links(*_args, **_options):
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))

        monkeypatch.setattr(os, "link", no_links)
    return request.param


APPEARS = {
    "file": lambda path: path.write_text("theirs"),
    "folder": lambda path: (path.mkdir(), (path / "file").write_text("theirs")),
    "empty folder": lambda path: path.mkdir(),
    "dangling link": lambda path: path.symlink_to("nowhere"),
}


def state(path):
    """What stands at a place, to compare."""
    status = path.lstat()
    return status.st_ino, status.st_mtime_ns, sorted(path.rglob("*")) if path.is_dir() else None


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("appears", APPEARS)
@pytest.mark.usefixtures("way")
def test_what_appears_is_left_as_it_is(tmp_path, appears, overwrite):
    final = tmp_path / "out"

    def run():
        with staged_folder(final, command="map", overwrite=overwrite) as folder:
            write(folder)
            APPEARS[appears](final)
            before.append(state(final))

    before = []
    with pytest.raises(OutputError, match="appeared") as error:
        run()
    assert str(final) in str(error.value)
    assert [state(final)] == before
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("appears", APPEARS)
@pytest.mark.usefixtures("way")
def test_what_appears_at_the_place_of_a_file_is_left_as_it_is(tmp_path, appears, overwrite):
    """The first of two files is in place when the second fails: it goes again."""
    finals = [tmp_path / "t.json", tmp_path / "t.csv"]

    def run():
        with staged_files(finals, overwrite=overwrite) as folder:
            for path in finals:
                (folder / path.name).write_text("new")
            APPEARS[appears](finals[1])
            before.append(state(finals[1]))

    before = []
    with pytest.raises(OutputError, match="appeared"):
        run()
    assert [state(finals[1])] == before
    assert names(tmp_path) == ["t.csv"]


@pytest.mark.usefixtures("way")
def test_a_file_in_the_empty_folder_makes_the_run_fail(tmp_path):
    final = tmp_path / "out"
    final.mkdir()

    def run():
        with staged_folder(final) as folder:
            write(folder)
            (final / "theirs").touch()

    with pytest.raises(OutputError, match="appeared"):
        run()
    assert names(final) == ["theirs"]
    assert names(tmp_path) == ["out"]


@pytest.mark.usefixtures("way")
def test_overwriting_replaces_what_was_there_and_no_other(tmp_path):
    """The old output is taken away during the run, and something else put there."""
    final = tmp_path / "out"
    with staged_folder(final, command="map") as folder:
        write(folder, "old")

    def run():
        with staged_folder(final, overwrite=True, command="map") as folder:
            write(folder)
            final.rename(tmp_path / "kept")
            final.mkdir()
            write(final, "theirs")

    with pytest.raises(OutputError, match="appeared"):
        run()
    assert (final / "file").read_text() == "theirs"
    assert names(tmp_path) == ["kept", "out"]


def test_a_file_that_was_edited_meanwhile_is_not_replaced(tmp_path):
    final = tmp_path / "t.csv"
    final.write_text("old")

    def run():
        with staged_files([final], overwrite=True) as folder:
            (folder / "t.csv").write_text("new")
            final.write_text("edited by hand")

    with pytest.raises(OutputError, match="changed"):
        run()
    assert final.read_text() == "edited by hand"
    assert names(tmp_path) == ["t.csv"]


def test_a_link_in_the_place_of_a_file_is_refused(tmp_path):
    (tmp_path / "target.csv").write_text("old")
    (tmp_path / "t.csv").symlink_to(tmp_path / "target.csv")
    with (
        pytest.raises(OutputError, match=r"target\.csv"),
        staged_files([tmp_path / "t.csv"], overwrite=True),
    ):
        pytest.fail("entered")
    assert (tmp_path / "t.csv").is_symlink()


def test_new_folders_above_the_output_go_with_a_failure(tmp_path):
    with pytest.raises(RuntimeError):
        write_and_fail(tmp_path / "a" / "b" / "out", RuntimeError())
    assert names(tmp_path) == []


RACE = """
import sys, time
from pathlib import Path
from gsigpu.errors import OutputError
from gsigpu.output import rename_new
from gsigpu.output.staging import staged_files, staged_folder

place, number, kind, way = Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
if way == "claim":
    rename_new._exclusive_rename = lambda: None
ready, start = place.parent / f"ready{number}", place.parent / "start"
staged = staged_folder(place) if kind == "folder" else staged_files([place])
try:
    with staged as folder:
        for name in (["a", "b"] if kind == "folder" else [place.name]):
            (folder / name).write_text(number)
        ready.touch()
        while not start.exists():
            time.sleep(0.001)
except OutputError as error:
    sys.exit(str(error))
"""


@pytest.mark.parametrize("way", ["system call", "claim"])
@pytest.mark.parametrize("kind", ["folder", "file"])
def test_of_runs_with_the_same_output_one_wins(tmp_path, kind, way):
    """Four processes pass their checks, and rename at the same moment."""
    place = tmp_path / "out"
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, str(place), str(number), kind, way],
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    while any(run.poll() is None for run in runs) and len(list(tmp_path.glob("ready*"))) < 4:
        time.sleep(0.005)
    (tmp_path / "start").touch()
    errors = [run.communicate()[1] for run in runs]
    winners = [number for number, run in enumerate(runs) if run.returncode == 0]
    assert len(winners) == 1, errors
    assert all("appeared" in text for number, text in enumerate(errors) if number not in winners)
    written = [place / "a", place / "b"] if kind == "folder" else [place]
    assert {path.read_text() for path in written} == {str(winners[0])}
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"out", "start", *(f"ready{number}" for number in range(4))}


# What killed runs leave.


def test_partial_output_of_a_killed_run_is_told_at_the_next(tmp_path):
    code = (
        "import os, signal, sys; from pathlib import Path;"
        "from gsigpu.output.staging import staged_folder\n"
        "with staged_folder(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'file').touch(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path / "out")], check=False)
    assert killed.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    with pytest.warns(GsigpuWarning, match="killed") as told, staged_folder(tmp_path / "out"):
        pass
    (warning,) = told
    remedy = str(warning.message).rpartition("remove it with: ")[2]
    subprocess.run(shlex.split(remedy), check=True)
    assert not left.exists()
    with staged_folder(tmp_path / "other"):  # nothing to tell any more; warnings are errors here
        pass


@pytest.mark.parametrize(
    ("name", "age_s", "is_told"),
    [
        (f".out.partial-01234567-{HOST}-{os.getpid()}", 0, False),
        (f".out.partial-01234567-{HOST}-{2**22 + 1}", 0, True),
        (f".out.old-01234567-{HOST}-{2**22 + 1}", 0, True),
        (".out.partial-01234567-fedcba98-1", 3600, False),
        (".out.partial-01234567-fedcba98-1", 2 * 86400, True),
        (".notes.partial-of-mine", 0, False),
    ],
    # Processes of one test run must give a case the same name.
    ids=["running", "killed", "killed later", "elsewhere", "elsewhere, old", "another's file"],
)
def test_only_runs_that_ended_are_told_of(tmp_path, name, age_s, is_told):
    (tmp_path / name).mkdir()
    then = time.time() - age_s
    os.utime(tmp_path / name, (then, then))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with staged_folder(tmp_path / "out"):
            pass
    assert [name in str(warning.message) for warning in told] == [True] * is_told
