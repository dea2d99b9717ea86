"""An option of one value that is given twice is an error in every command, and never the last wins."""

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from gsigpu.cli.app import app
from gsigpu.cli.once import takes_one_value
from gsigpu.errors import SettingsError


def leaves(command, words=()):
    """(words, command) of every command that does something."""
    subcommands = getattr(command, "commands", None)
    if subcommands is None:
        yield words, command
    else:
        for name, sub in subcommands.items():
            yield from leaves(sub, (*words, name))


OPTIONS = [
    (words, parameter.opts[-1])
    for words, command in leaves(get_command(app))
    for parameter in command.params
    if takes_one_value(parameter)
]


def test_options_of_one_value_are_known():
    assert (("map",), "--slope") in OPTIONS
    assert (("cohort", "stats"), "--out") in OPTIONS
    assert not {"--maps", "--json", "--overwrite"} & {option for _, option in OPTIONS}
    assert len(OPTIONS) > 40


@pytest.mark.parametrize(
    ("words", "option"),
    OPTIONS,
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value,
)
def test_given_twice_is_refused(words, option):
    done = CliRunner().invoke(app, [*words, option, "1", option, "2"])
    assert isinstance(done.exception, SettingsError)
    assert f"{option} is given 2 times" in str(done.exception)


def test_short_and_long_forms_count_together(tmp_path):
    done = CliRunner().invoke(app, ["map", str(tmp_path), "-o", "a", "--out=b"])
    assert "--out is given 2 times" in str(done.exception)
