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
from collections.abc import Callable, Sequence
from typing import Annotated, ClassVar, TextIO

import typer

from gsigpu.cli.completion import tell_completion
from gsigpu.cli.config_file import config_path, read_config
from gsigpu.cli.failures import (
    NOT_DONE,
    NOT_UNDERSTOOD,
    ParserError,
    UnexpectedError,
    is_call_for_help,
    usage_error,
)
from gsigpu.cli.lazy_commands import Entry, LazyGroup
from gsigpu.cli.messages import Tone, fail, note, speak, warn
from gsigpu.cli.once import decided
from gsigpu.cli.waiting import LINE
from gsigpu.errors import GsigpuError, GsigpuWarning
from gsigpu.optional_packages import named_where_absent
from gsigpu.version import __version__


class _Program(LazyGroup):
    entries: ClassVar = {
        "demo": Entry(
            "gsigpu.cli.demo",
            "demo",
            "Run the whole flow on synthetic data: a study scanned, mapped and measured, then a cohort to its report.",
        ),
        "scan": Entry(
            "gsigpu.cli.scan",
            "scan",
            "Show what a folder holds: series, kind, energy, phase, slices, and what cannot be used.",
        ),
        "map": Entry(
            "gsigpu.cli.map_command",
            "map_command",
            "Compute λHU, iodine and other maps of a spectral study, and write them.",
        ),
        "measure": Entry(
            "gsigpu.cli.measure_command",
            "measure_command",
            "Measure lesions, rim, core and surroundings from masks, into a table.",
        ),
        "review": Entry(
            "gsigpu.cli.review_command",
            "review_command",
            "Write a page that shows maps, regions and values of a study; it opens without a server.",
        ),
        "phantom": Entry(
            "gsigpu.cli.phantom",
            "phantom",
            "Write a synthetic spectral study of the liver, its masks, and the truth; or a whole cohort.",
        ),
        "info": Entry(
            "gsigpu.cli.info",
            "info",
            "Show version, backends, why the GPU is or is not usable, and the available codecs.",
        ),
        "cohort": Entry(
            "gsigpu.cli.cohort",
            "cohort",
            "Thousands of studies: measure them, watch it, compare the groups.",
        ),
    }


app = typer.Typer(
    name="gsigpu",
    cls=_Program,
    help="Spectral CT slope (λHU) and iodine maps of the liver, from the DICOM files.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


# Words that mean the same wherever they stand on the command line.
_QUIET, _VERBOSE, _DEBUG = ("-q", "--quiet"), ("-v", "--verbose"), ("--debug",)
_ANYWHERE = "works after any command"


def _tell_version(value: bool) -> None:
    if value:
        typer.echo(f"gsigpu {__version__}")
        raise typer.Exit


@app.callback()
def common(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_tell_version, help="Show the version."),
    ] = False,
    quiet: Annotated[
        bool,
        typer.Option("-q", "--quiet", help=f"Say nothing but results and errors; {_ANYWHERE}."),
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option(
            "-v", "--verbose", help=f"Say what each step took, in a pipe too; {_ANYWHERE}."
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help=f"Show the traceback of an error; {_ANYWHERE}.")
    ] = False,
) -> None:
    """Spectral CT slope (λHU) and iodine maps of the liver, from the DICOM files."""
    del version, quiet, verbose, debug  # `run` takes the last three out before the parser sees them


def run(*, was_interrupted: Callable[[], bool] = lambda: False) -> None:
    """Run the command that `sys.argv` names, and leave with its exit code.

    was_interrupted : whether Ctrl-C was pressed; an error after it is the interrupt in another dress
    """
    warnings.simplefilter("always", GsigpuWarning)
    warnings.showwarning = _show_warning
    words = sys.argv[1:]
    debug = any(word in _DEBUG for word in words)
    quiet = any(word in _QUIET for word in words)
    verbose = any(word in _VERBOSE for word in words)
    speak(Tone(quiet=quiet, verbose=verbose, as_json="--json" in words))
    sys.argv[1:] = [word for word in words if word not in (*_QUIET, *_VERBOSE, *_DEBUG)]
    with LINE.watching(quiet=quiet):
        _run_or_fail(words, debug=debug, was_interrupted=was_interrupted)


def _run_or_fail(words: Sequence[str], *, debug: bool, was_interrupted: Callable[[], bool]) -> None:
    try:
        with named_where_absent(" ".join(["gsigpu", *commands_of(words)])):
            if not tell_completion(sys.argv[1:]):
                _run_program()
    except GsigpuError as error:
        if was_interrupted():
            raise KeyboardInterrupt from error
        _fail(error, debug=debug)
    except ParserError as error:
        if is_call_for_help(error):
            error.show()
            sys.exit(NOT_UNDERSTOOD)
        _fail(usage_error(error), debug=debug, exit_code=NOT_UNDERSTOOD)
    except BrokenPipeError:  # the reader of a pipe went away: nothing to tell it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:  # the last place that can say something useful
        if was_interrupted():
            raise KeyboardInterrupt from error
        _fail(
            UnexpectedError(
                f"unexpected {type(error).__name__}: {' '.join(str(error).split())}",
                remedy="run again with --debug and report the traceback",
            ),
            debug=debug,
        )


def commands_of(words: Sequence[str]) -> list[str]:
    """The names of the command in a command line.

    >>> commands_of(["cohort", "stats", "cohort", "-o", "report"]), commands_of(["map", "STUDY"])
    (['cohort', 'stats'], ['map'])
    """
    names = [word for word in words if not word.startswith("-")]
    return names[: 2 if names[:1] == ["cohort"] else 1]


def _run_program() -> None:
    """The command, with what a configuration file gives it."""
    program = typer.main.get_command(app)
    for parameter in program.params:
        if getattr(parameter, "is_flag", False):
            decided(parameter)
    path = config_path()
    config, defaults = None, {}
    if path is not None:
        config = read_config(path, program)
        if told := config.told(sys.argv[1:]):
            note(told)
        defaults = config.defaults
    # Not standalone: the parser would print its errors in a form of its own, also to a program that reads JSON.
    if code := program(default_map=defaults, standalone_mode=False, prog_name="gsigpu", obj=config):
        sys.exit(code)


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
        warn([str(message)])
    else:
        text = warnings.formatwarning(message, category, filename, lineno, line)
        (file or sys.stderr).write(text)


def _fail(error: GsigpuError, *, debug: bool, exit_code: int = NOT_DONE) -> None:
    if debug:
        traceback.print_exc()
    fail([error], exit_code=exit_code)
