"""Options that take several values take commas and repeats alike."""

from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from gsigpu.cli.console import split_numbers
from gsigpu.cli.options import list_option
from gsigpu.errors import SettingsError

app = typer.Typer(rich_markup_mode=None)


@app.command()
def command(
    *,
    maps: Annotated[list[str], list_option("--maps", text="Maps.", default="a,b")],
    energies: Annotated[list[str], list_option("--energies", text="Energies.", metavar="KEV,KEV")],
) -> None:
    """Print what arrived."""
    typer.echo(f"{'|'.join(maps)} {split_numbers(energies, '--energies')}")


def printed(*words):
    result = CliRunner().invoke(app, list(words))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout.strip()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), "a|b []"),
        (("--maps", "c"), "c []"),
        (("--maps", "c,d"), "c|d []"),
        (("--maps", "c", "--maps", "d"), "c|d []"),
        (("--maps", "c, d", "--maps", "e,"), "c|d|e []"),
        (("--maps", "c,d", "--maps", "c"), "c|d []"),
        (("--energies", "50,70", "--energies", "100"), "a|b [50.0, 70.0, 100.0]"),
    ],
)
def test_commas_and_repeats_are_the_same(words, expected):
    assert printed(*words) == expected


def test_help_shows_default_and_both_forms():
    text = " ".join(printed("--help").split())
    assert "Maps; by comma, or repeated. [default: a, b]" in text


def test_what_is_no_number_is_refused_by_name():
    with pytest.raises(SettingsError, match=r"--energies '50,x' is not a list of numbers"):
        printed("--energies", "50,x")
