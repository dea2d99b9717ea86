"""What runs in a child process: tasks in, messages out, until its parent is gone."""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import gc
import os
import signal
import sys
import threading
from typing import Any

import psutil

from gsigpu.fewer_collections import settle
from gsigpu.masks.stored_volume import is_nifti
from gsigpu.physics import iodine_water_hu
from gsigpu.pipeline.cohort_run.case import run_study
from gsigpu.pipeline.cohort_run.child_messages import receive, send
from gsigpu.pipeline.cohort_run.child_process import GRACE_S, Call
from gsigpu.pipeline.cohort_run.cohort_task import StudyTask
from gsigpu.pipeline.kept_memory import glibc, keep_memory

# What a case of 11 x 100 slices of 512 x 512 frees and takes again; larger arrays are few. Zeroing new pages took a third of
# a case's processor time.
_KEPT_BYTES = 2**29
# A worker between two studies has no more than the pool counts for it while it is at one (pool.py).
_MOST_KEPT_BYTES = 2**30
_PR_SET_PDEATHSIG = 1  # of prctl(2): the system kills a process whose parent has died


def _die_with_parent(parent: int) -> None:
    """Ends this process when its parent dies, whatever it hangs in: an orphan would finish what nobody waits for.

    Linux kills it. Elsewhere a thread waits for the parent's end: on Windows, between the two may be a launcher of the
    environment, so that the parent is not the one that the system names.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
    else:
        threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()


def _leave_with(process: int) -> None:
    with contextlib.suppress(psutil.Error):  # it is gone already
        psutil.Process(process).wait()
    os._exit(1)


def _give_back() -> None:
    """After a large study, what smaller ones do not need."""
    if (libc := glibc()) is not None and psutil.Process().memory_info().rss > _MOST_KEPT_BYTES:
        libc.malloc_trim(0)


def _warm_up(task: StudyTask) -> None:
    """What is imported at its first use, so that it counts as no case's time."""
    with contextlib.suppress(ImportError):  # of the extra `masks`
        if not all(is_nifti(mask) for row in task.rows for mask in row.masks):
            import SimpleITK  # noqa: F401
    import nibabel  # noqa: F401

    if task.settings.maps:
        import gsigpu.pipeline.map.map_study  # noqa: F401
    iodine_water_hu((70.0,), water_mg_per_ml=1000.0, iodine_mg_per_ml=1.0)


def serve(parent: int) -> None:
    """The child: tasks in, messages out, until its parent is gone."""
    faulthandler.enable()
    _die_with_parent(parent)
    keep_memory(_KEPT_BYTES)
    requests = sys.stdin.buffer
    # What a library prints must not fall into the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    is_settled = False
    while True:
        try:
            request = receive(requests)
        except EOFError:
            return
        if isinstance(request, Call):
            send(answers, _answer(request))
        else:
            _serve_task(request, answers)
            if is_settled:
                gc.collect()  # the study's
            else:  # what a study needs is imported
                settle()
                is_settled = True
            _give_back()
        send(answers, None)


def _answer(call: Call) -> tuple[bool, Any]:
    try:
        return False, call.function(*call.arguments)
    except Exception as error:  # noqa: BLE001  # raised where it was called
        return True, error


def _serve_task(task: StudyTask, answers: Any) -> None:
    if not task.survey_only:
        send(answers, (0, "start", None))
        _warm_up(task)
    if task.timeout_s is not None:
        clock_s = task.timeout_s * len(task.rows) + GRACE_S
        faulthandler.dump_traceback_later(clock_s, exit=True)
    run_study(
        task,
        lambda row, stage, inputs: send(answers, (row, stage, inputs)),
        lambda outcome: send(answers, outcome),
    )
    faulthandler.cancel_dump_traceback_later()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
