"""The command line: parse, call, print.

This module imports nothing heavy, because `main` must own Ctrl-C before the second of imports begins: an
interrupt inside the import of a compiled extension may surface as any other error, or be swallowed.
"""

import os
import signal
import sys
from types import FrameType

_INTERRUPTED = 128 + signal.SIGINT


class _Interrupt:
    """Ctrl-C: leave at once while importing, else raise KeyboardInterrupt and remember it."""

    def __init__(self) -> None:
        self.importing = True
        self.seen = False

    def __call__(self, signal_number: int, frame: FrameType | None) -> None:
        del signal_number, frame
        if self.importing:  # nothing has been written yet
            os._exit(_INTERRUPTED)
        self.seen = True
        raise KeyboardInterrupt


def main() -> None:
    """Entry point of the `gsigpu` program; its exit codes are told in `gsigpu.cli.app`."""
    interrupt = _Interrupt()
    if (
        signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
    ):  # started with nohup or in a shell's `&`
        signal.signal(signal.SIGINT, interrupt)
    from gsigpu.cli.app import run

    interrupt.importing = False
    try:
        run(was_interrupted=lambda: interrupt.seen)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


__all__ = ["main"]
