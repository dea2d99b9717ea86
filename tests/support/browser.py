"""The system's Chromium, through Playwright: a page that complains fails the test."""

import shutil
from contextlib import contextmanager

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


@contextmanager
def launched():
    """A browser; one at a time in a process."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=ARGUMENTS,
            ignore_default_args=["--hide-scrollbars"],  # they take room of a page, as at a reader's
        )
        yield browser
        browser.close()


@contextmanager
def open_page(browser, address, *, forgive=None, width=1500, height=1000):
    """A page of a browser.

    forgive : text of a console error that the test provokes, or several
    """
    errors = []
    forgiven = (forgive,) if isinstance(forgive, str) else forgive or ()

    def hear(text):
        if not any(known in text for known in forgiven):
            errors.append(text)

    page = browser.new_page(viewport={"width": width, "height": height})
    page.on("console", lambda message: hear(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: hear(str(error)))
    page.goto(address)
    try:
        yield page
    finally:
        page.close()
    assert errors == [], errors
