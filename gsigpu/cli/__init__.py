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
    """Ctrl-C: leave at once while importing; raise KeyboardInterrupt in the command, and remember it; after
    the command, when the interpreter only tidies up, nothing.
    """

    def __init__(self) -> None:
        self.importing = True
        self.ended = False
        self.seen = False

    def __call__(self, signal_number: int, frame: FrameType | None) -> None:
        del signal_number, frame
        if self.importing:  # nothing has been written yet
            os._exit(_INTERRUPTED)
        self.seen = True
        if not self.ended:
            raise KeyboardInterrupt


def main() -> None:
    """Entry point of the `gsigpu` program; its exit codes are told in `gsigpu.cli.app`."""
    interrupt = _Interrupt()
    if (
        signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
    ):  # started with nohup or in a shell's `&`
        signal.signal(signal.SIGINT, interrupt)
    from gsigpu.cli.app import run

    try:
        interrupt.importing = False
        try:
            run(was_interrupted=lambda: interrupt.seen)
        finally:
            interrupt.ended = True
    except KeyboardInterrupt:
        interrupt.ended = True
        sys.exit(_INTERRUPTED)
    finally:
        # While it ends, the interpreter gives handlers of its own back to the system, which would kill.
        signal.signal(signal.SIGINT, signal.SIG_IGN)


__all__ = ["main"]
