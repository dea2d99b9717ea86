"""Options that several commands share, as one parameter of each: the fields of a dataclass, each an option of its own."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields
from functools import wraps
from typing import Any, get_type_hints


def spread(
    parameter: str, options: type[Any], *, without: tuple[str, ...] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command in whose place of `parameter` the parser sees the fields of a dataclass.

    parameter : of the command, by keyword; it gets the dataclass, filled
    options : a dataclass whose fields are annotated as a command's parameters are
    without : fields that the command does not offer, which keep their defaults

    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Window:
    ...     centre: float = 60.0
    ...     width: float = 400.0
    >>> @spread("window", Window)
    ... def show(*, window): print(window)
    >>> show(width=200.0), inspect.signature(show)
    Window(centre=60.0, width=200.0)
    (None, <Signature (*, centre: float = 60.0, width: float = 400.0)>)
    """
    hints = get_type_hints(options, include_extras=True)
    offered = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(options)
        if field.name not in without
    ]
    names = [option.name for option in offered]

    def with_options(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)

        @wraps(command)
        def called(*arguments: Any, **given: Any) -> None:
            values = {name: given.pop(name) for name in names if name in given}
            command(*arguments, **given, **{parameter: options(**values)})

        parameters: list[inspect.Parameter] = []
        for taken in signature.parameters.values():
            parameters += offered if taken.name == parameter else [taken]
        seen = signature.replace(parameters=parameters)
        called.__signature__ = seen  # type: ignore[attr-defined]  # what the parser looks at
        called.__annotations__ = {taken.name: taken.annotation for taken in parameters}
        return called

    return with_options
