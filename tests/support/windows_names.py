"""What the standard library has on Linux and lacks on another system, as typeshed, which comes with mypy, says it."""

import ast
import functools
import sys
from pathlib import Path

import mypy

STUBS = Path(mypy.__file__).parent / "typeshed" / "stdlib"
# Modules whose names differ between systems and that a program of ours may well use.
MODULES = (
    "asyncio", "errno", "fcntl", "grp", "mmap", "multiprocessing", "os", "posix", "pty", "pwd", "readline", "resource",
    "select", "shutil", "signal", "socket", "ssl", "subprocess", "syslog", "termios", "threading", "time", "tty",
)  # fmt: skip


@functools.cache
def lacking(module, platform):
    """Names that a module has on Linux and not on a platform."""
    path = next(
        path for path in (STUBS / f"{module}.pyi", STUBS / module / "__init__.pyi") if path.exists()
    )
    tree = ast.parse(path.read_text("utf-8"))
    return frozenset(_names(tree.body, "linux") - _names(tree.body, platform))


@functools.cache
def is_absent(module, platform):
    """Whether a platform has nothing of a module that Linux has."""
    path = next(
        path for path in (STUBS / f"{module}.pyi", STUBS / module / "__init__.pyi") if path.exists()
    )
    body = ast.parse(path.read_text("utf-8")).body
    return bool(_names(body, "linux")) and not _names(body, platform)


def _names(body, platform):
    names = set()
    for node in body:
        match node:
            case ast.If():
                names |= _names(node.body if _holds(node.test, platform) else node.orelse, platform)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names.add(node.name)
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
            case ast.Assign():
                names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
            case ast.ImportFrom():
                names |= {item.asname for item in node.names if item.asname}
    return {name for name in names if not name.startswith("_") and name != "TYPE_CHECKING"}


def _holds(test, platform):
    """The value of a condition, as `sys.platform != "win32" and sys.version_info >= (3, 12)`."""
    code = compile(ast.Expression(test), "stub", "eval")

    class System:
        version_info = sys.version_info

    System.platform = platform
    return eval(code, {"sys": System, "TYPE_CHECKING": True})
