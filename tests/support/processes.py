"""Programs that tests start and interrupt."""

import signal
import subprocess
from contextlib import contextmanager


@contextmanager
def started_program(words, **options):
    """A program that Ctrl-C can reach, and that is gone afterwards: a test that fails must not wait for ever.

    What is started in the background of a shell ignores Ctrl-C, and so do its children: here they do not.
    """
    process = subprocess.Popen(
        [*map(str, words)],
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  # no thread runs here
        **options,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()
