"""The browser of the tests, for benchmarks of pages that gsigpu writes; drawing is done by the processor."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(
    0, str(Path(__file__).resolve().parent.parent)
)  # packages bring a `tests` of their own

from tests.support.browser import launched


def why_there_is_none() -> str:
    """What is missing for a browser; "" where nothing is."""
    try:
        import playwright  # noqa: F401  # of the extra dev
    except ImportError:
        return "Playwright is not installed"
    return "" if shutil.which("chromium") else "Chromium is not installed"


@contextmanager
def browser_page(width: int = 1500, height: int = 1000) -> Iterator[Any]:
    """A page of a browser that has just started."""
    with launched() as browser:
        yield browser.new_page(viewport={"width": width, "height": height})
