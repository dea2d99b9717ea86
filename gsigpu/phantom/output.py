"""Where phantoms go."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gsigpu.errors import OutputError
from gsigpu.staging import staged_folder

TRUTH_FILE = "truth.json"


@contextmanager
def phantom_folder(out: Path, *, overwrite: bool, n_bytes: int) -> Iterator[Path]:
    """A folder that becomes `out` when complete (gsigpu.staging).

    Raises OutputError if `out` holds something; with `overwrite`, something other than a phantom:
    the name of a folder is easily mistaken, and synthetic data are never worth anything else.
    """
    taken = out.exists() and (not out.is_dir() or any(out.iterdir()))
    if overwrite and taken and not (out / TRUTH_FILE).is_file():
        raise OutputError(
            "holds no phantom, so it is not overwritten", where=out, remedy="choose another folder"
        )
    with staged_folder(out, overwrite=overwrite, n_bytes=n_bytes) as folder:
        yield folder
