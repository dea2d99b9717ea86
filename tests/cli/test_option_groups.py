"""The help of a command with many options names them in groups, each option once."""

import re

import typer

from gsigpu.cli.app import app
from gsigpu.cli.option_groups import FEWEST_TO_GROUP, GROUPS, OF_COMMAND, REST, group_of, grouped


def commands(group, above=""):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{above}{name} ")
        else:
            yield f"{above}{name}", command


COMMANDS = dict(commands(typer.main.get_command(app)))


def test_every_option_of_a_group_is_one_of_some_command():
    known = {
        name for command in COMMANDS.values() for option in command.params for name in option.opts
    }
    assert {name for names in GROUPS.values() for name in names} <= known
    for command, groups in OF_COMMAND.items():
        has = {name for option in COMMANDS[command].params for name in option.opts}
        assert {name for names in groups.values() for name in names} <= has, command


def test_every_option_is_in_the_help_once():
    for name, command in COMMANDS.items():
        context = typer.Context(command, info_name=name)
        parameters = command.get_params(context)
        groups = grouped(parameters, context)
        shown = [record for records in groups.values() for record in records]
        assert len(shown) == len(set(shown)) == len(parameters), name


def test_commands_with_many_options_leave_none_without_a_group_but_help_itself():
    for name in ("map", "measure", "review", "phantom", "cohort run", "cohort stats"):
        options = [p for p in COMMANDS[name].params if p.param_type_name == "option"]
        assert len(options) >= FEWEST_TO_GROUP
        assert {option.name for option in options if group_of(option, name) == REST} <= {"help"}, (
            name
        )


def test_no_help_has_a_word_of_python_or_a_word_cut_in_two():
    """`--help` of every command in 80 columns: what stands in it can be copied."""
    for name, command in COMMANDS.items():
        context = typer.Context(command, info_name=name, terminal_width=80)
        text = command.get_help(context)
        assert not re.search(r"<(int|float|str|path|list)|x>=|x<=|\.\.\.\]\.\.\.", text), name
        assert all(len(line) <= 80 for line in text.splitlines()), name
        wide = typer.Context(command, info_name=name, terminal_width=500, max_content_width=500)
        assert set(text.split()) == set(command.get_help(wide).split()), name
