"""Garbage is looked for less often where much is made, and as before afterwards."""

import gc
import subprocess
import sys
import threading

import pytest

from gsigpu.dicom.study.read_study import read_study
from gsigpu.errors import InputError
from gsigpu.fewer_collections import fewer_collections


@pytest.fixture
def before():
    """What Python begins with: another test may have run a program here, which leaves it otherwise."""
    at_first = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield gc.get_threshold()
    gc.set_threshold(*at_first)


def test_as_before_afterwards(before):
    with fewer_collections():
        assert gc.get_threshold() > before
        with fewer_collections():
            assert gc.get_threshold() > before
        assert gc.get_threshold() > before
    assert gc.get_threshold() == before


def test_as_before_after_an_error(before, tmp_path):
    with pytest.raises(InputError):
        read_study(tmp_path / "none")
    assert gc.get_threshold() == before


def test_threads_that_overlap_leave_it_as_before(before):
    entered, leave = threading.Event(), threading.Event()

    def other():
        with fewer_collections():
            entered.set()
            leave.wait(30)

    thread = threading.Thread(target=other)
    with fewer_collections():
        thread.start()
        entered.wait(30)
    assert gc.get_threshold() > before  # for the other one
    leave.set()
    thread.join()
    assert gc.get_threshold() == before


def test_what_a_user_has_switched_off_stays_off(before):
    gc.disable()
    try:
        with fewer_collections():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_program_collects_less_often_from_its_imports_on(before):
    program = """
import gc, sys
sys.argv = ["gsigpu", "--version"]
from gsigpu.cli import main
try:
    main()
finally:
    print(*gc.get_threshold())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert tuple(map(int, done.stdout.splitlines()[-1].split())) > before


def test_a_process_that_is_settled_still_finds_garbage():
    program = """
import gc, weakref
from gsigpu.fewer_collections import settle
class Thing: pass
settle()
assert gc.get_freeze_count() > 1000
one, other = Thing(), Thing()
one.other, other.one = other, one
seen = weakref.ref(one)
del one, other
assert seen() is not None
made = [[] for _ in range(50_000)]
assert seen() is None
"""
    subprocess.run([sys.executable, "-c", program], check=True)
