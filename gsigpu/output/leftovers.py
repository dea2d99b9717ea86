"""Partial output of runs that were killed: how it is named, and how the next run tells of it.

`.OUT.partial-TOKEN-HOST-PID` is output that is being written; `.OUT.old-TOKEN-HOST-PID` is what it replaces, for
the moment between two renames.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shlex
import socket
import warnings
from pathlib import Path
from time import time
from typing import Literal

from gsigpu.errors import GsigpuWarning

# A run on another machine cannot be asked whether it still goes on; one that wrote nothing for a day does not.
STALE_S = 24 * 3600.0
HOST = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
_NAME = re.compile(
    r"\.(?P<name>.+)\.(?P<what>partial|old)-[0-9a-f]{8}-(?P<host>[0-9a-f]{8})-(?P<pid>\d+)"
)


def unfinished_name(final: Path, what: Literal["partial", "old"]) -> Path:
    """A new name beside `final`, which tells whose it is."""
    return final.with_name(f".{final.name}.{what}-{secrets.token_hex(4)}-{HOST}-{os.getpid()}")


def is_unfinished_name(name: str) -> bool:
    """Whether a file or folder is named as unfinished output.

    >>> is_unfinished_name(unfinished_name(Path("maps"), "partial").name), is_unfinished_name("maps")
    (True, False)
    """
    return _NAME.fullmatch(name) is not None


def is_leftover(path: Path) -> bool:
    """Whether a file or folder is unfinished output of a run that has ended."""
    match = _NAME.fullmatch(path.name)
    return match is not None and is_abandoned(path, match["host"], int(match["pid"]))


def warn_of_leftovers(folder: Path) -> None:
    """Warns of what killed runs left in a folder, and how to remove it or get it back.

    Warns GsigpuWarning, once for each.
    """
    try:
        paths = sorted(folder.iterdir())
    except OSError:
        return
    for path in paths:
        match = _NAME.fullmatch(path.name)
        if match is None or not is_leftover(path):
            continue
        if match["what"] == "partial":
            text = f"{path} is partial output of a run that was killed; remove it with: {_remove(path)}"
        else:
            text = (
                f"{path} is the earlier {match['name']}, which a killed run was replacing;"
                f" remove it with: {_remove(path)}, or get it back by renaming it"
            )
        warnings.warn(text, GsigpuWarning, stacklevel=4)


def is_abandoned(path: Path, host: str, pid: int) -> bool:
    """Whether the run that names a file or folder by its host and process has ended."""
    if host == HOST:
        import psutil

        return pid != os.getpid() and not psutil.pid_exists(pid)
    try:
        return time() - path.stat().st_mtime > STALE_S
    except OSError:
        return False


def _remove(path: Path) -> str:
    if os.name == "nt":
        return f'{"rmdir /s /q" if path.is_dir() else "del"} "{path}"'
    return f"rm -r {shlex.quote(str(path))}"
