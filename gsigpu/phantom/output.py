"""A folder that is there whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gsigpu.errors import OutputError

TRUTH_FILE = "truth.json"


@contextmanager
def output_folder(out: Path, *, overwrite: bool) -> Iterator[Path]:
    """A temporary folder beside `out` that becomes `out` when all went well, and vanishes when not.

    Raises OutputError if `out` holds something; with `overwrite`, something other than a phantom.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        if not overwrite:
            raise OutputError(
                "exists already and is not empty",
                where=out,
                remedy="choose another folder, or overwrite it",
            )
        if not (out / TRUTH_FILE).is_file():
            raise OutputError(
                "holds no phantom, so it is not overwritten",
                where=out,
                remedy="choose another folder",
            )
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        raise OutputError(
            f"cannot be made ({error.strerror})", where=partial, remedy="check the folder above it"
        ) from error
    try:
        yield partial
        if out.exists():
            shutil.rmtree(out)
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
