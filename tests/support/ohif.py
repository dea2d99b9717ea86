"""OHIF's published page before an archive: one address that serves both, as a hospital's proxy does.

The page comes from the npm package @ohif/app (its dist folder), unpacked once into the user's cache.
"""

import mimetypes
import os
import shutil
import subprocess
import tarfile
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.support.archive import missing

VERSION = "3.12.10"
_CONFIG = """
window.config = {
  routerBasename: '/', showStudyList: true, extensions: [], modes: [],
  investigationalUseDialog: { option: 'never' },
  maxNumberOfWebWorkers: 1, showWarningMessageForCrossOrigin: false, showCPUFallbackMessage: false,
  useSharedArrayBuffer: 'FALSE', strictZSpacingForVolumeViewport: false,
  defaultDataSourceName: 'dicomweb',
  dataSources: [{
    namespace: '@ohif/extension-default.dataSourcesModule.dicomweb', sourceName: 'dicomweb',
    configuration: {
      friendlyName: 'archive', name: 'archive', wadoUriRoot: '/dicom-web', qidoRoot: '/dicom-web', wadoRoot: '/dicom-web',
      qidoSupportsIncludeField: false, supportsReject: false, imageRendering: 'wadors', thumbnailRendering: 'wadors',
      enableStudyLazyLoad: true, supportsFuzzyMatching: false, supportsWildcard: true, dicomUploadEnabled: false,
      omitQuotationForMultipartRequest: true,
    },
  }],
};
"""


def ohif_folder():
    """The page's folder; downloaded from the npm registry where it is not there yet."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "gsigpu-tests"
    dist = cache / f"ohif-{VERSION}" / "package" / "dist"
    if not (dist / "index.html").is_file():
        npm = shutil.which("npm")
        if npm is None:
            missing("npm", "Node.js's package manager, for OHIF's page")
        partial_folder = cache / f"ohif-{VERSION}.partial"
        shutil.rmtree(partial_folder, ignore_errors=True)
        partial_folder.mkdir(parents=True)
        done = subprocess.run(
            [npm, "pack", "--silent", f"@ohif/app@{VERSION}"],
            cwd=partial_folder, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        archives = list(partial_folder.glob("*.tgz"))
        if done.returncode or not archives:
            missing(f"@ohif/app {VERSION}", f"npm: {done.stderr.strip()[-200:]}")
        with tarfile.open(archives[0]) as archive:
            archive.extractall(partial_folder, filter="data")
        archives[0].unlink()
        shutil.rmtree(cache / f"ohif-{VERSION}", ignore_errors=True)
        partial_folder.rename(cache / f"ohif-{VERSION}")
    return dist


class _Proxy(BaseHTTPRequestHandler):
    """The page's files; everything below /dicom-web comes from the archive."""

    protocol_version = "HTTP/1.1"

    def __init__(self, *arguments, dist, archive):
        self._dist, self._archive = dist, archive
        super().__init__(*arguments)

    def do_GET(self):
        path = self.path.split("?")[0]
        if path.startswith("/dicom-web"):
            self._forward()
        elif path == "/app-config.js":
            self._answer(200, _CONFIG.encode(), "text/javascript")
        else:
            file = (self._dist / path.lstrip("/")).resolve()
            if not file.is_relative_to(self._dist.resolve()) or not file.is_file():
                file = self._dist / "index.html"  # the page's own routes
            self._answer(200, file.read_bytes(), mimetypes.guess_type(file.name)[0] or "text/html")

    def _forward(self):
        headers = {"Accept": self.headers.get("Accept", "*/*"), "Host": self.headers["Host"]}
        request = urllib.request.Request(f"{self._archive}{self.path}", headers=headers)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=60) as answer:
                self._answer(answer.status, answer.read(), answer.headers["Content-Type"])
        except urllib.error.HTTPError as error:
            with error:
                self._answer(error.code, error.read(), "text/plain")

    def _answer(self, status, content, kind):
        self.send_response(status)
        self.send_header("Content-Type", kind or "application/octet-stream")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        """Nothing."""


@contextmanager
def ohif_before(archive):
    """The address of OHIF before an archive."""
    handler = partial(_Proxy, dist=ohif_folder(), archive=archive.root)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
