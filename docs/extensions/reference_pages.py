"""Pages made from the program itself: commands, Python API, core modules, errors.

They are written to `docs/reference/generated/`, which git does not keep, so that they cannot be out of date.
"""

from __future__ import annotations

import ast
import pkgutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import typer
from result_columns import columns_page

import gsigpu
from gsigpu import errors
from gsigpu.cli.app import app as command_line

ROOT = Path(__file__).parents[2]
GENERATED = ROOT / "docs" / "reference" / "generated"
CORE = ("physics", "maps", "regions", "cohort_statistics")


def _commands(group, names: tuple[str, ...]) -> Iterator[tuple[str, object]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, (*names, name))
        else:
            yield " ".join((*names, name)), command


def all_commands() -> dict[str, object]:
    """Every command of the application by its whole name: `gsigpu cohort run`."""
    return dict(_commands(typer.main.get_command(command_line), ("gsigpu",)))


def _option(option, context) -> Iterator[str]:
    shown, text = option.get_help_record(context)
    yield f"`{shown}`"
    yield f": {' '.join(text.split()).replace('*', chr(92) + '*').replace('[', chr(92) + '[')}"
    yield ""


def command_page() -> str:
    """Every command with its arguments and options, from the application."""
    lines = [
        "# Commands",
        "",
        "Made from the program's own help; `gsigpu COMMAND --help` says the same.",
        "",
    ]
    lines += [
        "The exit code is 0 only on full success: 1 for an error of the input or the machine, 2 for a command line",
        "that cannot be understood, 130 after Ctrl-C, 143 after SIGTERM. Results go to standard output or to what",
        "`-o` names, messages to standard error. `-q`, `-v`, `--debug`, `--json` and `gsigpu.toml` work for every command:",
        "see [](../command-line.md).",
        "",
    ]
    for name, command in all_commands().items():
        context = typer.Context(command, info_name=name)
        lines += [f"## {name}", ""]
        for paragraph in (command.help or "").split("\n\n"):
            text = " ".join(paragraph.replace("\b", "").split())
            if text.startswith("Example: "):
                lines += ["```", text.removeprefix("Example: "), "```", ""]
            else:
                lines += [text.replace("*", r"\*"), ""]
        for parameter in command.params:
            if parameter.name != "help" and parameter.get_help_record(context):
                lines += _option(parameter, context)
    return "\n".join(lines)


def python_page() -> str:
    """Every public name of the package root."""
    lines = [
        "# Python API", "",
        "The verbs of the command line are functions of the package, and the options are settings.",
        "They are imported when first used: `import gsigpu` costs nothing.", "",
    ]  # fmt: skip
    for name in gsigpu.__all__:
        if name.startswith("_"):
            continue
        thing = getattr(gsigpu, name)
        kind = "autoclass" if isinstance(thing, type) else "autofunction"
        lines += [f"## gsigpu.{name}", "", "```{eval-rst}", f".. {kind}:: gsigpu.{name}"]
        if isinstance(thing, type):
            lines.append("   :members:")
        lines += ["```", ""]
    return "\n".join(lines)


def _modules(package: str) -> Iterator[str]:
    yield package
    module = import_module(package)
    for member in pkgutil.walk_packages(getattr(module, "__path__", []), f"{package}."):
        if not member.name.rpartition(".")[2].startswith("_"):
            yield member.name


def core_pages() -> dict[str, str]:
    """A page per package of the core, its public functions from their docstrings."""
    pages = {}
    for part in CORE:
        lines = [f"# gsigpu.{part}", ""]
        for module in _modules(f"gsigpu.{part}"):
            if module != f"gsigpu.{part}":
                lines += [f"## {module.removeprefix('gsigpu.')}", ""]
            lines += ["```{eval-rst}", f".. automodule:: {module}", "   :members:", "```", ""]
        pages[f"core-{part}.md"] = "\n".join(lines)
    return pages


def _constant_text(node: ast.expr) -> str:
    """A string of the source as a reader knows it, with … where it is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(
            part.value if isinstance(part, ast.Constant) else "…" for part in node.values
        )
    return "…"


def raised_errors() -> list[tuple[str, str, str]]:
    """(class, what, remedy) of every error of `gsigpu.errors` that the package raises."""
    kinds = {name for name in vars(errors) if isinstance(getattr(errors, name), type)}
    rows = set()
    for path in (ROOT / "gsigpu").rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(call, ast.Call) and call.args:
                name = getattr(call.func, "id", getattr(call.func, "attr", ""))
                remedies = [word.value for word in call.keywords if word.arg == "remedy"]
                if name in kinds and remedies:
                    rows.add((name, _constant_text(call.args[0]), _constant_text(remedies[0])))
    return sorted(rows)


def error_page() -> str:
    """The tree of errors, and what each message says to do."""
    tree = (errors.__doc__ or "").split("\n\n", 2)[2]
    lines = [
        "# Errors", "",
        "A message is one line: what is wrong, where, and what to do. Every error derives from `GsigpuError`:", "",
        "```python",
        "from gsigpu.errors import GsigpuError",
        "```", "",
        "```", tree.rstrip(), "```", "",
        "## What they say", "",
        "`…` stands for what is filled in. Made from the source.", "",
        "| error | what is wrong | what to do |",
        "|---|---|---|",
    ]  # fmt: skip
    for kind, what, remedy in raised_errors():
        cells = [
            text.replace("|", r"\|").replace("*", r"\*").replace("<", "&lt;")
            for text in (what, remedy)
        ]
        lines.append(f"| `{kind}` | {cells[0]} | {cells[1]} |")
    return "\n".join(lines) + "\n"


def write_pages() -> None:
    """Writes what changed."""
    pages = {
        "commands.md": command_page(),
        "python.md": python_page(),
        "errors.md": error_page(),
        "result-columns.md": columns_page(),
        **core_pages(),
    }
    GENERATED.mkdir(parents=True, exist_ok=True)
    for stale in set(GENERATED.glob("*.md")) - {GENERATED / name for name in pages}:
        stale.unlink()
    for name, text in pages.items():
        path = GENERATED / name
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


def setup(app):
    app.connect("builder-inited", lambda _app: write_pages())
    return {"parallel_read_safe": True}
