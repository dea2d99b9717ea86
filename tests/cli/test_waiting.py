"""Work that prints nothing is told on a terminal, whichever work it is, and nowhere else."""

import io
import sys
from time import sleep

import pytest

from gsigpu.cli import waiting
from gsigpu.cli.console import TerminalWatcher
from gsigpu.cli.messages import Tone, speak, warn
from tests.cli.test_cli import COMMANDS
from tests.cli.test_messages import called


class Terminal(io.StringIO):
    def isatty(self):
        return True


def a_terminal(monkeypatch):
    """One terminal for both streams, and a line that does not wait long; pytest takes the streams of a fixture back."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(waiting, "AFTER_S", 0.05)
    monkeypatch.setattr(waiting, "LOOK_S", 0.01)
    return stream


def on_screen(text):
    """The lines that a person sees at the end: what stands behind a carriage return goes over what was there."""
    lines = []
    for line in text.split("\n"):
        screen = ""
        for part in line.split("\r"):
            screen = part + screen[len(part) :]
        lines.append(screen.rstrip())
    return lines


def until(stream, words):
    for _ in range(500):
        if words in stream.getvalue():
            return
        sleep(0.01)
    pytest.fail(f"{words!r} does not come: {stream.getvalue()!r}")


def test_silent_work_is_told_and_leaves_nothing_in_the_results(monkeypatch):
    terminal = a_terminal(monkeypatch)
    with waiting.WaitingLine().watching(quiet=False):
        until(terminal, "at work, 0 s since the start")
        sys.stdout.write("the result\n")
        warn(["and a warning"])
    assert on_screen(terminal.getvalue()) == ["the result", "gsigpu: warning: and a warning", ""]
    assert isinstance(sys.stderr, Terminal)


def test_the_line_says_after_which_stage_it_is(monkeypatch):
    terminal = a_terminal(monkeypatch)
    line = waiting.WaitingLine()
    monkeypatch.setattr("gsigpu.cli.console.LINE", line)
    with line.watching(quiet=False):
        with TerminalWatcher({}).stage("masks"):
            pass
        until(terminal, "at work, 0 s since reading masks")


def test_no_line_while_a_person_is_waited_for(monkeypatch):
    terminal = a_terminal(monkeypatch)
    line = waiting.WaitingLine()
    with line.watching(quiet=False), line.held():
        sleep(0.2)
    assert "at work" not in terminal.getvalue()


def test_none_in_a_pipe_and_none_where_quiet(monkeypatch):
    terminal = a_terminal(monkeypatch)
    with waiting.WaitingLine().watching(quiet=True):
        sleep(0.2)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with waiting.WaitingLine().watching(quiet=False):
        sleep(0.2)
    assert (terminal.getvalue(), sys.stderr.getvalue()) == ("", "")


@pytest.mark.parametrize("command", [*COMMANDS, "cohort init", "cohort run", "cohort stats"])
def test_every_command_has_it(command, monkeypatch, capsys):
    """It is begun for all at once, before a command knows of it: here the look for a configuration file takes long."""
    terminal = a_terminal(monkeypatch)

    def slow():
        until(terminal, "at work")

    monkeypatch.setattr("gsigpu.cli.app.config_path", slow)
    called(monkeypatch, capsys, *command.split(), "--help")
    speak(Tone())
    assert any("Usage: gsigpu" in line for line in on_screen(terminal.getvalue()))
    assert not any("at work" in line for line in on_screen(terminal.getvalue()))
