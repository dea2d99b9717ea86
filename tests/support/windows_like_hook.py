"""Runs at the start of a Python: modules of gsigpu see a standard library as Windows has it, all others the true one.

What Windows lacks is missing, `os.name` and `sys.platform` say Windows, a folder cannot be opened, and `msvcrt` locks
bytes. The libraries below keep what they need to run on the machine that this is.
"""

import builtins
import errno
import importlib
import importlib.util
import json
import os
import sys
from pathlib import Path

from windows_like_locks import MSVCRT as _MSVCRT

_LACKING = {
    module: frozenset(names)
    for module, names in json.loads(
        Path(__file__).with_name("windows_names.json").read_text("utf-8")
    ).items()
}
_ABSENT = {module for module, names in _LACKING.items() if not names}


class _Seen:
    """A module with names hidden and others replaced."""

    def __init__(self, module, **replaced):
        vars(self).update(_module=module, _replaced=replaced)

    def __getattr__(self, name):
        if name in self._replaced:
            return self._replaced[name]
        if name in _LACKING.get(self._module.__name__, ()):
            raise AttributeError(f"Windows has no {self._module.__name__}.{name}")
        return getattr(self._module, name)

    def __setattr__(self, name, value):
        setattr(self._module, name, value)


def _open(path, flags, mode=0o777, **more):
    if Path(path).is_dir():
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
    return os.open(path, flags, mode, **more)


def _import_module(name, package=None):
    if name == "msvcrt":
        return _MSVCRT
    if name in _ABSENT:
        raise ModuleNotFoundError(f"Windows has no {name}", name=name)
    return importlib.import_module(name, package)


def _find_spec(name, package=None):
    return None if name in _ABSENT else importlib.util.find_spec(name, package)


_UTIL = _Seen(importlib.util, find_spec=_find_spec)
_SEEN = {
    "os": _Seen(os, name="nt", open=_open),
    "sys": _Seen(sys, platform="win32"),
    "importlib": _Seen(importlib, import_module=_import_module, util=_UTIL),
    "importlib.util": _UTIL,
}
_real_import = builtins.__import__


def _seen(module):
    name = module.__name__
    if name not in _SEEN and _LACKING.get(name):
        _SEEN[name] = _Seen(module)
    return _SEEN.get(name, module)


def _import(name, globals=None, locals=None, fromlist=(), level=0):  # noqa: A002  # the names that Python calls it by
    package = str((globals or {}).get("__package__") or "")
    if level or package.partition(".")[0] != "gsigpu":
        return _real_import(name, globals, locals, fromlist, level)
    if name == "msvcrt":
        return _MSVCRT
    if name in _ABSENT:
        raise ModuleNotFoundError(f"Windows has no {name}", name=name)
    return _seen(_real_import(name, globals, locals, fromlist, level))


builtins.__import__ = _import
