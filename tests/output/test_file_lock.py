"""Locks of files, as POSIX takes them and as Windows does."""

import errno
import fcntl
import os
import subprocess
import sys

import pytest

from gsigpu.errors import OutputError
from gsigpu.output import file_lock
from gsigpu.output.file_lock import NoLocks, Taken, open_lock, read_at_once, take, wait_for
from tests.support.windows_like_locks import MSVCRT


@pytest.fixture(params=["POSIX", "Windows"])
def path(request, tmp_path, monkeypatch):
    if request.param == "Windows":
        monkeypatch.setattr(file_lock, "_POSIX", None)
        monkeypatch.setitem(sys.modules, "msvcrt", MSVCRT)
    return tmp_path / "lock"


def test_one_has_it_until_it_is_closed(path):
    with open_lock(path) as first, open_lock(path) as second:
        take(first)
        for shared in (False, True):
            with pytest.raises(Taken):
                take(second, shared=shared)
        first.close()
        take(second)


def test_many_share_it_and_keep_one_alone_out(path):
    with open_lock(path) as first, open_lock(path) as second, open_lock(path) as third:
        take(first, shared=True)
        take(second, shared=True)
        with pytest.raises(Taken):
            take(third)
        first.close()
        with pytest.raises(Taken):
            take(third)
        second.close()
        take(third)
        assert path.stat().st_size == 0


def test_two_that_share_may_meet_at_a_byte(path, monkeypatch):
    places = iter([5, 5, 7])
    monkeypatch.setattr(file_lock.secrets, "randbelow", lambda _span: next(places))
    with open_lock(path) as first, open_lock(path) as second:
        take(first, shared=True)
        take(second, shared=True)


def test_it_is_waited_for(path, monkeypatch):
    with open_lock(path) as first, open_lock(path) as second:
        take(first)
        monkeypatch.setattr(file_lock.time, "sleep", lambda _seconds: first.close())
        if file_lock._POSIX is None:
            wait_for(second)
            assert first.closed
            return
        # The system waits itself: a process that has the lock gives it back.
        code = f"import fcntl, sys, time; f = open({str(path)!r}); fcntl.flock(f, fcntl.LOCK_EX); print(1, flush=True); sys.stdin.read(1)"
        first.close()
        with subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as other:
            other.stdout.readline()
            with pytest.raises(Taken):
                take(second)
            other.stdin.write(b"x")
            other.stdin.flush()
            wait_for(second)


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK])
def test_a_file_system_without_locks_says_so(tmp_path, monkeypatch, number):
    def flock(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with open_lock(tmp_path / "lock") as file:
        for lock in (take, wait_for):
            with pytest.raises(NoLocks):
                lock(file)


def test_a_pipe_in_its_place_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "lock")
    with pytest.raises(OutputError, match="cannot be opened as a lock"):
        open_lock(tmp_path / "lock")
    assert read_at_once(tmp_path / "lock") == ""
