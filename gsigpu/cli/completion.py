"""`gsigpu --show-completion zsh`, `gsigpu --install-completion zsh`: for a shell that is named, whichever runs this."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import typer

from gsigpu.errors import SettingsError

SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")
_PROGRAM, _VARIABLE = "gsigpu", "_GSIGPU_COMPLETE"
_SHOW, _INSTALL = "--show-completion", "--install-completion"


def tell_completion(words: Sequence[str]) -> bool:
    """Shows or installs the completion for a shell that the command line names; False where it names none.

    The options without a shell are the parser's, which finds out what shell runs it.
    Raises SettingsError for a shell that is not known.
    """
    if len(words) != 2 or words[0] not in (_SHOW, _INSTALL):
        return False
    option, shell = words
    if shell not in SHELLS:
        raise SettingsError(f"no completion for {shell!r}", remedy=f"name {', '.join(SHELLS)}")
    scripts: Any = import_module("typer.completion")  # which lists no names as its own

    if option == _SHOW:
        typer.echo(
            scripts.get_completion_script(prog_name=_PROGRAM, complete_var=_VARIABLE, shell=shell)
        )
    else:
        _, path = scripts.install(shell=shell, prog_name=_PROGRAM, complete_var=_VARIABLE)
        typer.echo(f"{path}  completion for {shell}; it begins with the next shell")
    return True
