"""A file that was changed between two readings is an error that names it."""

import os

import pytest

from gsigpu.errors import FileChanged
from gsigpu.file_state import FileState, open_unchanged, unchanged


def rewrite_longer(path):
    path.write_bytes(path.read_bytes() + b"more")


def rewrite_in_place(path):
    before = path.stat()
    with path.open("r+b") as file:
        file.write(b"X")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))


def replace_by_another(path):
    """Of the same length and time, as `cp -p` and a rename leave it."""
    before = path.stat()
    other = path.with_name("other")
    other.write_bytes(path.read_bytes()[::-1])
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "slice-7"
    path.write_bytes(b"header and pixels")
    return path


@pytest.mark.parametrize("change", [rewrite_longer, rewrite_in_place, replace_by_another])
def test_a_changed_file_is_not_opened(path, change):
    with path.open("rb") as file:
        state = FileState.of(file)
    with open_unchanged(path, state) as file:
        assert file.read() == b"header and pixels"
    change(path)
    with (
        pytest.raises(FileChanged, match=r"slice-7: was changed .*; run the command again"),
        open_unchanged(path, state),
    ):
        pytest.fail("the file was opened")
    with pytest.raises(FileChanged, match="slice-7"):
        state.check(path)


@pytest.mark.parametrize("change", [rewrite_longer, rewrite_in_place, replace_by_another])
def test_a_change_while_a_file_is_read_by_name(path, change, tmp_path):
    other = tmp_path / "slice-8"
    other.write_bytes(b"x")
    with unchanged(path, other):
        path.read_bytes()
    with pytest.raises(FileChanged, match="slice-7"), unchanged(path, other):
        change(path)


def test_a_file_that_is_gone_is_an_os_error(path):
    state = FileState.of(path)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        state.check(path)


def test_the_state_through_a_link_is_that_of_the_file(path, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(path)
    assert FileState.of(link) == FileState.of(path)
