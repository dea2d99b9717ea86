"""A study page at an address of this machine: for folders that a browser may not open, and for a quick look.

Only this machine is listened to (127.0.0.1), on a free port, and only under a path that holds a random
token: another user of the machine who does not know the address gets nothing.
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_HOST = "127.0.0.1"
_TOKEN_BYTES = 24


@contextmanager
def page_folder(out: Path | None) -> Iterator[Path]:
    """`out`, or a temporary folder that is gone afterwards."""
    if out is not None:
        yield out
        return
    with tempfile.TemporaryDirectory(prefix="gsigpu-review-") as folder:
        yield Path(folder) / "page"


class PageHandler(SimpleHTTPRequestHandler):
    """Files of one folder, below a path that is the token."""

    def __init__(self, *arguments: object, token: str, folder: Path) -> None:
        self._token = token
        super().__init__(*arguments, directory=str(folder))  # type: ignore[arg-type]

    def translate_path(self, path: str) -> str:
        """The file behind a path that opens with the token."""
        return super().translate_path(path.removeprefix(f"/{self._token}"))

    def do_GET(self) -> None:
        """Files to those who know the token."""
        if self._is_known():
            super().do_GET()

    def do_HEAD(self) -> None:
        """As GET."""
        if self._is_known():
            super().do_HEAD()

    def _is_known(self) -> bool:
        first = self.path.split("/")[1] if self.path.count("/") > 1 else ""
        if secrets.compare_digest(first.encode(), self._token.encode()):
            return True
        self.send_error(HTTPStatus.NOT_FOUND)
        return False

    def list_directory(self, path: object) -> None:
        """No folder is listed."""
        del path
        self.send_error(HTTPStatus.NOT_FOUND)

    def end_headers(self) -> None:
        """The page may load nothing from elsewhere, and is kept nowhere."""
        self.send_header(
            "Content-Security-Policy", "default-src 'self' 'unsafe-inline' blob: data:"
        )
        self.send_header("Cache-Control", "no-store")
        self.send_header("Referrer-Policy", "no-referrer")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing: the paths hold the token."""


def page_server(folder: Path) -> tuple[ThreadingHTTPServer, str]:
    """A server of a page's folder on a free port, not yet running, and the page's address."""
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    server = ThreadingHTTPServer((_HOST, 0), partial(PageHandler, token=token, folder=folder))
    server.daemon_threads = True
    return server, f"http://{_HOST}:{server.server_address[1]}/{token}/index.html"


def serve_page(folder: Path, *, tell: Callable[[str], None]) -> None:
    """Serves a page until Ctrl-C, which is its regular end.

    tell : gets the address
    """
    server, address = page_server(folder)
    tell(f"open     {address}\nstop     Ctrl-C")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()
