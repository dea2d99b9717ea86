"""Programs that tests start and interrupt."""

import signal
import subprocess
from contextlib import contextmanager


@contextmanager
def started_program(words, **options):
    """A program that signals can reach, and that is gone afterwards: a test that fails must not wait for ever.

    What is started in the background of a shell ignores Ctrl-C, and what nohup starts a hangup; so do their children: here they
    do not.
    """

    def heed_signals():
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)

    process = subprocess.Popen(
        [*map(str, words)],
        preexec_fn=heed_signals,  # noqa: PLW1509  # no thread runs here
        **options,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()
