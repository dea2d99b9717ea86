"""The command line: parse, call, print.

This module imports nothing heavy, because `main` must own Ctrl-C before the second of imports begins: an
interrupt inside the import of a compiled extension may surface as any other error, or be swallowed.
SIGTERM, by which a scheduler or `timeout` ends a job, and SIGHUP, by which a closed terminal does, are treated
alike: nothing half-written stays.
"""

import io
import os
import signal
import sys
from types import FrameType

from gsigpu.fewer_collections import collect_rarely

_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


class _Interrupt:
    """A signal to end: leave at once while importing; raise KeyboardInterrupt in the command, and remember it; after
    the command, when the interpreter only tidies up, nothing.
    """

    def __init__(self) -> None:
        self.importing = True
        self.ended = False
        self.exit_code = 0  # that the signal asks for

    def __call__(self, signal_number: int, frame: FrameType | None) -> None:
        del frame
        if self.importing:  # nothing has been written yet
            os._exit(128 + signal_number)
        if not self.ended:
            self.exit_code = 128 + signal_number
            raise KeyboardInterrupt


def print_what_the_stream_takes() -> None:
    """Signs that the standard streams have no code for, as λ in the code page of a Windows pipe, become `?`.

    A command whose work is done must not fail because it tells of it.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")


def main() -> None:
    """Entry point of the `gsigpu` program; its exit codes are told in `gsigpu.cli.app`."""
    print_what_the_stream_takes()
    interrupt = _Interrupt()
    for signal_number in _SIGNALS:
        if (
            signal.getsignal(signal_number) is not signal.SIG_IGN
        ):  # started with nohup or in a shell's `&`
            signal.signal(signal_number, interrupt)
    collect_rarely()
    from gsigpu.cli.app import run

    try:
        interrupt.importing = False
        try:
            run(was_interrupted=lambda: interrupt.exit_code != 0)
        finally:
            interrupt.ended = True
    except (KeyboardInterrupt, SystemExit):
        if interrupt.exit_code:
            sys.exit(interrupt.exit_code)
        raise
    finally:
        # While it ends, the interpreter gives its handlers back to the system, which would kill.
        signal.signal(signal.SIGINT, signal.SIG_IGN)


__all__ = ["main"]
