"""The commands and what they have in common.

Results go to stdout, messages and progress to stderr. The exit code is 0 only on full success: 1 for an
error of the input or the machine, 2 for a command line that cannot be understood, 130 for Ctrl-C, 143 for SIGTERM,
129 for SIGHUP.
"""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import Annotated, TextIO

import typer

from gsigpu.cli import (
    cohort,
    demo,
    info,
    map_command,
    measure_command,
    phantom,
    review_command,
    scan,
)
from gsigpu.cli.once import OnceCommand
from gsigpu.errors import GsigpuError, GsigpuWarning

app = typer.Typer(
    name="gsigpu",
    help="Spectral CT slope (λHU) and iodine maps of the liver, from the DICOM files.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def common(
    *,
    debug: Annotated[
        bool,
        typer.Option("--debug", help="Show the traceback of an error; works after any command."),
    ] = False,
) -> None:
    """Spectral CT slope (λHU) and iodine maps of the liver, from the DICOM files."""
    del debug  # `main` takes it out before the parser sees it


app.command("demo", cls=OnceCommand)(demo.demo)
app.command("scan", cls=OnceCommand)(scan.scan)
app.command("map", cls=OnceCommand)(map_command.map_command)
app.command("measure", cls=OnceCommand)(measure_command.measure_command)
app.command("review", cls=OnceCommand)(review_command.review_command)
app.command("phantom", cls=OnceCommand)(phantom.phantom)
app.command("info", cls=OnceCommand)(info.info)
app.add_typer(cohort.cohort)


def run(*, was_interrupted: Callable[[], bool] = lambda: False) -> None:
    """Run the command that `sys.argv` names, and leave with its exit code.

    was_interrupted : whether Ctrl-C was pressed; an error after it is the interrupt in another dress
    """
    warnings.simplefilter("always", GsigpuWarning)
    warnings.showwarning = _show_warning
    debug = "--debug" in sys.argv
    sys.argv[1:] = [word for word in sys.argv[1:] if word != "--debug"]
    try:
        app()
    except GsigpuError as error:
        if was_interrupted():
            raise KeyboardInterrupt from error
        _fail(str(error), debug=debug)
    except BrokenPipeError:  # the reader of a pipe went away: nothing to tell it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:  # the last place that can say something useful
        if was_interrupted():
            raise KeyboardInterrupt from error
        _fail(
            f"unexpected {type(error).__name__}: {' '.join(str(error).split())};"
            " run again with --debug and report the traceback",
            debug=debug,
        )


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Warnings of gsigpu as its other messages; those of libraries as Python shows them."""
    if issubclass(category, GsigpuWarning):
        typer.echo(f"gsigpu: warning: {message}", err=True)
    else:
        text = warnings.formatwarning(message, category, filename, lineno, line)
        (file or sys.stderr).write(text)


def _fail(line: str, *, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    typer.echo(f"gsigpu: error: {line}", err=True)
    sys.exit(1)
