"""Commands that are imported when they are called look as they would if they had been there from the start."""

import inspect
from importlib import import_module

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from gsigpu.cli.app import _Program, app
from gsigpu.cli.cohort import _Cohort

ENTRIES = [*_Program.entries.items(), *_Cohort.entries.items()]


@pytest.mark.parametrize(("name", "entry"), ENTRIES, ids=[name for name, _ in ENTRIES])
def test_a_line_of_help_is_the_first_sentence_of_the_command(name, entry):
    command = getattr(import_module(entry.module), entry.name)
    text = command.info.help if isinstance(command, typer.Typer) else inspect.getdoc(command)
    assert entry.help == " ".join(text.split("\n\n")[0].split())


def test_the_help_of_a_group_is_what_the_parser_makes_of_its_commands():
    program = get_command(app)
    for group in (program, program.commands["cohort"]):
        context = typer.Context(group, terminal_width=100)
        lazy, whole = context.make_formatter(), context.make_formatter()
        group.format_commands(context, lazy)
        super(type(group).__mro__[1], group).format_commands(context, whole)
        assert lazy.getvalue() == whole.getvalue() != ""


def test_a_word_that_is_no_command_is_told_with_one_that_is_near():
    done = CliRunner().invoke(app, ["mesure"])
    assert done.exit_code == 2
    assert "No such command 'mesure'" in done.output
    assert "measure" in done.output
