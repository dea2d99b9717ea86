"""Which run owns the results in a folder.

A run writes a random token beside its results and gives it to its tasks. A task looks at it before it puts anything
into place: one that still runs elsewhere after its run was lost, while a later run has begun, finds another token
and leaves the results alone.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from pathlib import Path

from gsigpu.pipeline.cohort_run.row_files import put_text

_FILE = "token"


class NotOwner(Exception):
    """A later run owns the results."""


def take_over(out: Path, shard: str = "") -> str:
    """Makes this run the owner of a folder, or of one shard of it; returns its token.

    shard : `i-of-n`, "" for the whole
    """
    whole = _read(out, "")
    token = f"{secrets.token_hex(8)}"
    put_text(token_file(out, shard), token)
    return f"{whole}/{token}" if shard else token


def token_file(out: Path, shard: str = "") -> Path:
    """Where the token of a folder, or of a shard of it, lies."""
    return out / (f"{_FILE}-{shard}" if shard else _FILE)


def require_owner(out: Path, token: str, shard: str = "") -> None:
    """Raises NotOwner if the token of a task is not that of the folder any more."""
    if token and token != _current(out, shard):
        raise NotOwner


def forget_cases(out: Path) -> None:
    """Removes what calls for single cases left beside the results; for a whole run, beside which none is at work."""
    for pattern in (f"{_FILE}-case-*", "status-case-*.json", ".lock-case-*"):
        for path in out.glob(pattern):
            path.unlink(missing_ok=True)


def _current(out: Path, shard: str) -> str:
    whole = _read(out, "")
    return f"{whole}/{_read(out, shard)}" if shard else whole


def _read(out: Path, shard: str) -> str:
    try:
        return token_file(out, shard).read_text("utf-8", "replace")
    except FileNotFoundError:
        return ""


def was_taken(names: Collection[str]) -> bool:
    """Whether a run, or a shard of one, ever owned the folder with these names in it."""
    return any(name == _FILE or name.startswith(f"{_FILE}-") for name in names)
