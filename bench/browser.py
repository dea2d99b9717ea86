"""The system's Chromium without a window, for pages that gsigpu writes; drawing is done by the processor."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Chromium's own traffic is refused on closed networks, many times a second.
ARGUMENTS = [
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


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
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=ARGUMENTS
        )
        yield browser.new_page(viewport={"width": width, "height": height})
        browser.close()
