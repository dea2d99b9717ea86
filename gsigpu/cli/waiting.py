"""A line on the terminal while a command works and prints nothing, so that no step of over two seconds is silent.

Stages tell of themselves by bars (`console.TerminalWatcher`). Between them lie imports, the end of a compressed file, the
look at a manifest: after two seconds without a print a line says how long it is since which stage, and goes with the next
print. It holds for every command, because `app.run` begins it. In a pipe and with --quiet there is none.
"""

from __future__ import annotations

import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any, TextIO

# How long nothing may be printed before the line comes, and how often it is looked at.
AFTER_S, LOOK_S = 2.0, 0.25


class _Heard:
    """A stream that tells the line of every print on it."""

    def __init__(self, stream: TextIO, line: WaitingLine) -> None:
        self._stream, self._line = stream, line

    def write(self, text: str) -> int:
        """Passes the text on, once the line is taken away."""
        with self._line.out_of_the_way():
            return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class WaitingLine:
    """The line of one program; it is there where standard error is a terminal."""

    def __init__(self) -> None:
        """Nothing is watched yet."""
        self._lock = threading.RLock()
        self._since = "the start"
        self._begun = self._printed = perf_counter()
        self._shown = 0  # letters on the screen
        self._held = 0
        self._terminal: TextIO | None = None

    @contextmanager
    def watching(self, *, quiet: bool) -> Iterator[None]:
        """Shows the line inside the block whenever nothing is printed for a time."""
        if quiet or not sys.stderr.isatty():
            yield
            return
        streams = sys.stdout, sys.stderr
        self._terminal, self._since = sys.stderr, "the start"
        self._begun = self._printed = perf_counter()
        sys.stdout, sys.stderr = (_Heard(stream, self) for stream in streams)
        ended = threading.Event()
        watch = threading.Thread(target=self._watch, args=(ended,), daemon=True)
        watch.start()
        try:
            yield
        finally:
            ended.set()
            watch.join()
            with self.out_of_the_way():
                sys.stdout, sys.stderr = streams
                self._terminal = None

    def stage_ended(self, title: str) -> None:
        """From here on the line counts from the end of this stage."""
        with self._lock:
            self._since, self._begun = title, perf_counter()

    @contextmanager
    def held(self) -> Iterator[None]:
        """No line inside the block: it waits for a person, or shows what is done in another way."""
        with self.out_of_the_way():
            self._held += 1
        try:
            yield
        finally:
            with self.out_of_the_way():
                self._held -= 1

    @contextmanager
    def out_of_the_way(self) -> Iterator[None]:
        """Takes the line away, and keeps it away for a time."""
        with self._lock:
            if self._shown and self._terminal is not None:
                self._terminal.write(f"\r{' ' * self._shown}\r")
                self._terminal.flush()
            self._shown = 0
            yield
            self._printed = perf_counter()

    def _watch(self, ended: threading.Event) -> None:
        while not ended.wait(LOOK_S):
            with self._lock:
                if perf_counter() - self._printed >= AFTER_S and not self._held:
                    self._show()

    def _show(self) -> None:
        assert self._terminal is not None
        text = f"at work, {perf_counter() - self._begun:.0f} s since {self._since}"
        text = text[: shutil.get_terminal_size().columns - 1]
        self._terminal.write(f"\r{text:{self._shown}}")
        self._terminal.flush()
        self._shown = max(self._shown, len(text))


LINE = WaitingLine()
