"""TOML files that a user writes: options, a plan, patterns. One reader, so that what one takes all take."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gsigpu.errors import InputError


@dataclass(frozen=True, slots=True)
class UserToml:
    """The bytes of a file, and what they say. The bytes are kept for the hash: what is hashed is what was read."""

    content: bytes
    table: dict[str, Any]


def read_user_toml(path: Path, *, what: str, remedy: str) -> UserToml:
    """A TOML file (https://toml.io) in UTF-8, with or without the byte order mark that Windows' editors write.

    what : what the file should be ("a plan"), for the message
    Raises InputError if it cannot be opened or is no TOML.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"cannot be read ({error.strerror or error})", where=path, remedy="check the path"
        ) from error
    try:
        table = toml_table(content)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(
            f"cannot be read as {what} ({error})", where=path, remedy=remedy
        ) from error
    return UserToml(content, table)


def toml_table(content: bytes) -> dict[str, Any]:
    """What the bytes of a file say. Raises UnicodeDecodeError or TOMLDecodeError."""
    return tomllib.loads(content.decode("utf-8-sig"))
