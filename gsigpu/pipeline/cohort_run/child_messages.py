"""Messages between a run and its child processes: pickled, with their length before them."""

from __future__ import annotations

import pickle
import struct
from typing import Any

_HEADER = struct.Struct("<Q")


def send(stream: Any, message: object) -> None:
    """Writes a message, all of it."""
    data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    rest = memoryview(_HEADER.pack(len(data)) + data)
    while rest:
        rest = rest[stream.write(rest) :]
    stream.flush()


def receive(stream: Any) -> Any:
    """The next message. Raises EOFError where the stream ends."""
    return pickle.loads(receive_bytes(stream))  # noqa: S301  # from our own process


def receive_bytes(stream: Any) -> bytes:
    """A message as it was sent. Raises EOFError where the stream ends."""
    (size,) = _HEADER.unpack(_exactly(stream, _HEADER.size))
    return _exactly(stream, size)


def _exactly(stream: Any, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = stream.read(size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)
