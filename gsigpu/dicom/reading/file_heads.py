"""The first bytes of many files, read some files ahead and side by side by the compiled loop.

Whoever parses them waits for no disk, and pays no turn of the interpreter for opening, asking and closing. Where there
is no compiled loop, or a file cannot be read, there are none: then it is opened the Python way, which tells why.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from gsigpu.backends.compiled_files import Heads, read_heads
from gsigpu.file_state import FileState

# Files in a call, and calls ahead: with fewer, threads wait for turns of the interpreter; more heads than these 4 x 0.5 MiB leave the cache.
_FILES_AT_ONCE = 128
_CALLS_AHEAD = 4
# What is shorter is not worth a thread. So many are read before the others: they show how long headers are.
_FEWEST_FILES = 16
_INODES = (1 << 64) - 1


class FileHead(NamedTuple):
    """How a file begins: `start` is the whole file where it is shorter than asked.

    state : from before it was read
    """

    start: bytes
    state: FileState


def with_heads(
    names: Sequence[str], how_much: Callable[[], int]
) -> Iterator[tuple[Sequence[str], Heads | None]]:
    """The names, in their order and some at a time, with the first bytes of their files; None where nobody reads ahead.

    how_much : how many bytes; asked again and again, as the first files show what is needed of the others
    """
    if len(names) < _FEWEST_FILES:
        yield names, None
        return
    ends = [*range(_FEWEST_FILES, len(names), _FILES_AT_ONCE), len(names)]
    batches = [names[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]
    with ThreadPoolExecutor(_CALLS_AHEAD, "gsigpu-heads") as pool:
        ahead: deque[Future[Heads | None]] = deque()
        try:
            for at, batch in enumerate(batches):
                n_ahead = _CALLS_AHEAD if at else 1
                while len(ahead) < n_ahead and at + len(ahead) < len(batches):
                    ahead.append(pool.submit(_read, batches[at + len(ahead)], how_much()))
                yield batch, ahead.popleft().result()
        finally:
            for call in ahead:
                call.cancel()


def head_of(heads: Heads, at: int) -> FileHead | None:
    """How one of the files begins; None where it could not be read."""
    n_read = int(heads.n_read[at])
    if n_read < 0:
        return None
    return FileHead(heads.heads[at, :n_read].tobytes(), state_of(*heads.states[at].tolist()))


def state_of(size: int, mtime_ns: int, inode: int) -> FileState:
    """Of a row of `Heads.states`."""
    return FileState(size, mtime_ns, inode & _INODES)


def _read(names: Sequence[str], n_bytes: int) -> Heads | None:
    return read_heads(os.fsencode("\0".join(names)).split(b"\0"), n_bytes)
