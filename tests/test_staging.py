"""Output is whole or not there."""

import errno
import os
from pathlib import Path

import pytest

from gsigpu.errors import OutputError
from gsigpu.staging import staged_files, staged_folder


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


@pytest.mark.parametrize("taken", ["file", "folder", "link"])
def test_what_is_there_is_refused_before_anything_is_done(tmp_path, taken):
    final = tmp_path / "out"
    if taken == "file":
        final.write_text("old")
    elif taken == "folder":
        final.mkdir()
        write(final, "old")
    else:
        final.symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputError, match="--overwrite"), staged_folder(final):
        pytest.fail("entered")
    assert names(tmp_path) == ["out"]


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


def test_overwriting_a_link_leaves_its_target(tmp_path):
    target = tmp_path / "target"
    target.mkdir()
    write(target, "old")
    (tmp_path / "out").symlink_to(target)
    with staged_folder(tmp_path / "out", overwrite=True) as folder:
        write(folder)
    assert (target / "file").read_text() == "old"
    assert (tmp_path / "out" / "file").read_text() == "new"


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


def test_a_folder_that_is_not_ours_is_never_overwritten(tmp_path):
    final = tmp_path / "out"
    final.mkdir()
    with staged_folder(final, overwrite=True, mark="mark") as folder:  # an empty folder is no loss
        (folder / "mark").touch()
    with staged_folder(final, overwrite=True, mark="mark") as folder:
        (folder / "thesis.tex").touch()
    with (
        pytest.raises(OutputError, match="holds no mark"),
        staged_folder(final, overwrite=True, mark="mark"),
    ):
        pytest.fail("entered")
    assert (final / "thesis.tex").exists()


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
    original = Path.replace

    def fails_on_the_table(self, target):
        if self.name == "c.csv":
            raise kind("in between")
        return original(self, target)

    monkeypatch.setattr(Path, "replace", fails_on_the_table)

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
    rename = Path.rename

    def interrupted(self, target):
        if ".partial-" in self.name:
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt), staged_folder(final, overwrite=True) as folder:
        (folder / "new").write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["maps"]
    assert (final / "precious").read_text() == "mine"
