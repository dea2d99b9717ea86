"""Garbage looked for less often: planes, rows and values are objects by the ten thousand, and none of them is garbage.

Python looks through all objects again and again while many are made, for cycles that nothing refers to any more: a tenth of
the time of `gsigpu map`, and a twentieth of a case of a cohort. Such cycles are few here, and are found all the same.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# Objects that may be made before garbage is looked for, and how often older ones are looked through. Python's 700, 10, 10
# take a twentieth of the time of the statistics of a large cohort.
_COLLECTED_AFTER = (20_000, 50, 50)

_lock = threading.Lock()
_n_inside = 0
_before = gc.get_threshold()


@contextmanager
def fewer_collections() -> Iterator[None]:
    """Garbage is looked for less often inside, in all threads, and as before when the last has left."""
    global _n_inside, _before  # noqa: PLW0603  as is what they are about
    with _lock:
        if _n_inside == 0:
            _before = gc.get_threshold()
            gc.set_threshold(*_COLLECTED_AFTER)
        _n_inside += 1
    try:
        yield
    finally:
        with _lock:
            _n_inside -= 1
            if _n_inside == 0:
                gc.set_threshold(*_before)


def collect_rarely() -> None:
    """Garbage is looked for less often, as long as this process lives."""
    gc.set_threshold(*_COLLECTED_AFTER)


def settle() -> None:
    """From now on this process does the same again and again: what it has imported stays, and garbage is looked for less often."""
    gc.collect()
    gc.freeze()
    collect_rarely()
