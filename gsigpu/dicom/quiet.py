"""Odd headers read without complaint."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """What is odd in the source is not this program's to mend, nor to complain of twice."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
