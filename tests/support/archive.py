"""Orthanc on a free port of this machine, with DICOMweb where it is asked for."""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest

_START_S = 30.0
_DICOMWEB = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"


def missing(what, package):
    """Fails where the tools are required, else skips."""
    if os.environ.get("GSIGPU_REQUIRE_TOOLS") == "1":
        pytest.fail(f"required program is missing: {what}")
    pytest.skip(f"needs {what} ({package})")


class Archive:
    """Orthanc's REST interface."""

    def __init__(self, port):
        self.root = f"http://127.0.0.1:{port}"
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def get(self, path, data=None):
        with self._opener.open(f"{self.root}{path}", data, timeout=30) as answer:
            return answer.read()

    def json(self, path, data=None):
        return json.loads(self.get(path, data))


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def running_archive(folder, *, dicomweb=False):
    """An archive that keeps what it gets in `folder`."""
    program = shutil.which("Orthanc", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        missing("Orthanc", "Debian package orthanc")
    if dicomweb and not os.path.exists(_DICOMWEB):  # noqa: PTH110  # a path of the system
        missing("Orthanc's DICOMweb plugin", "Debian package orthanc-dicomweb")
    port = free_port()
    settings = {
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "HttpPort": port,
        "HttpBindAddresses": ["127.0.0.1"],
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomServerEnabled": False,
        "Plugins": [_DICOMWEB] if dicomweb else [],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "EnableWado": True},
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with (folder / "log").open("w") as log:
        server = subprocess.Popen([program, str(folder / "orthanc.json")], stdout=log, stderr=log)
        try:
            archive = Archive(port)
            deadline = time.monotonic() + _START_S
            while True:
                try:
                    archive.get("/system")
                    break
                except (urllib.error.URLError, ConnectionError):
                    if server.poll() is not None or time.monotonic() > deadline:
                        pytest.fail(f"Orthanc does not start: {(folder / 'log').read_text()}")
                    time.sleep(0.1)
            yield archive
        finally:
            server.terminate()
            server.wait(30)
