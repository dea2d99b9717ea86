"""pydicom's decoders, and a child process to run them in.

pydicom hands compressed frames to plugins written in C and C++. A damaged frame can make one of them
abort or write where it must not, which ends its process. Frames that only a plugin can decode are
therefore decoded in a child: if that dies, one frame is lost and named, not the run.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import pickle
import struct
import subprocess
import sys
import threading
import warnings
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.errors import FileChanged, PixelDataError
from gsigpu.file_state import FileState, open_unchanged

_LENGTH = struct.Struct("<Q")
# A frame takes some ten ms, and starting a child a second or two; what takes longer has gone astray.
_TIMEOUT_S = 60.0


class DecoderCrashed(Exception):
    """The process that decoded a frame died, or did not end; the reader tells of which file."""


def stored_values(file: FileIO, transfer_syntax_uid: str, frame: int | None) -> NDArray[Any]:
    """Stored values of a frame by pydicom, in this process.

    transfer_syntax_uid : for a file that names none
    frame : from 0; None if the file holds one image
    Raises whatever pydicom and its plugins do.
    """
    from pydicom import dcmread
    from pydicom.pixels.utils import pixel_array
    from pydicom.uid import UID

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # padding bytes and the like; what matters is the result
        ds = dcmread(file, force=True)
        if "TransferSyntaxUID" not in ds.file_meta:
            ds.file_meta.TransferSyntaxUID = UID(transfer_syntax_uid)
        return pixel_array(ds, index=frame, raw=True)


def stored_values_isolated(
    path: Path, state: FileState | None, transfer_syntax_uid: str, frame: int | None
) -> NDArray[Any]:
    """As `stored_values`, in a child process.

    state : in which the file must be
    Raises DecoderCrashed if the child dies of the frame, FileChanged, and what `stored_values` raises
    there, as the nearest built-in exception with the same words.
    """
    absolute = Path(os.path.abspath(path))  # noqa: PTH100  the child may have another working folder
    answer = _child().ask((absolute, state, transfer_syntax_uid, frame))
    if isinstance(answer, Exception):
        raise answer
    data, dtype, shape = answer
    return np.frombuffer(data, dtype).reshape(shape)


class _Child:
    """A process that decodes a frame at a time; started when first needed, and again after it died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        atexit.register(self.close)

    def ask(self, question: object) -> Any:
        """The answer of `_answer`."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self.close()
                self._process = _start()
            process = self._process
            guard = threading.Timer(_TIMEOUT_S, process.kill)
            guard.start()
            try:
                _send(process.stdin, question)
                return _receive(process.stdout)
            except (OSError, EOFError) as error:
                in_time = guard.is_alive()
                self.close()
                how = f"exit status {process.returncode}" if in_time else f"{_TIMEOUT_S:g} s"
                raise DecoderCrashed(how) from error
            finally:
                guard.cancel()

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    pipe.close()  # type: ignore[union-attr]  # both are pipes
            try:
                process.wait(1.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _start() -> subprocess.Popen[bytes]:
    paths = os.pathsep.join(path for path in sys.path if path)
    return subprocess.Popen(  # noqa: S603  this very program
        [sys.executable, "-c", f"from {__name__} import serve; serve()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # what a dying decoder says helps nobody
        env={**os.environ, "PYTHONPATH": paths},
    )


_CHILDREN: dict[int, _Child] = {}
_CHILDREN_LOCK = threading.Lock()


def _child() -> _Child:
    """The same for all readers of this process; a forked process gets another."""
    with _CHILDREN_LOCK:
        if os.getpid() not in _CHILDREN:
            _CHILDREN[os.getpid()] = _Child()
        return _CHILDREN[os.getpid()]


def serve() -> None:
    """What the child does: decode frames until the parent closes the pipe."""
    stream_out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a plugin that prints must not write between the answers
    with contextlib.suppress(EOFError, OSError, KeyboardInterrupt):
        while True:
            _send(stream_out, _answer(*_receive(sys.stdin.buffer)))


def _answer(
    path: Path, state: FileState | None, syntax: str, frame: int | None
) -> tuple[bytes, str, tuple[int, ...]] | Exception:
    try:
        with open_unchanged(path, state) as file:
            values = np.ascontiguousarray(stored_values(file, syntax, frame))
        return values.tobytes(), values.dtype.str, values.shape
    except (FileChanged, PixelDataError) as error:
        return error
    except Exception as error:  # noqa: BLE001  # pydicom and its plugins raise anything
        kinds = (NotImplementedError, RuntimeError, MemoryError, OSError)
        return next((kind for kind in kinds if isinstance(error, kind)), ValueError)(str(error))


def _send(stream: Any, message: object) -> None:
    data = pickle.dumps(message, protocol=5)
    stream.write(_LENGTH.pack(len(data)) + data)
    stream.flush()


def _receive(stream: Any) -> Any:
    (length,) = _LENGTH.unpack(_read_fully(stream, _LENGTH.size))
    return pickle.loads(_read_fully(stream, length))  # noqa: S301  written at the other end of a pipe


def _read_fully(stream: Any, n_bytes: int) -> bytes:
    data: bytes = stream.read(n_bytes)
    if len(data) < n_bytes:
        raise EOFError
    return data
