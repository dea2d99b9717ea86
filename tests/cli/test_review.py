"""`gsigpu review`, as a user calls it."""

import json
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request

import pytest
from typer.testing import CliRunner

from gsigpu.cli.app import app
from gsigpu.phantom import PhantomSettings, write_phantom
from gsigpu.pipeline.review.serve import page_server
from tests.support.processes import started_program


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    settings = PhantomSettings(
        shape=(6, 64, 64), spacing_mm=(10.0, 6.0, 6.0), n_lesions=1, diameter_mm=(28.0, 30.0),
        energies_kev=(60.0, 100.0), phases=("PVP",), extras=(),
    )  # fmt: skip
    return write_phantom(tmp_path_factory.mktemp("phantom") / "study", settings)


def call(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_a_page_and_what_it_says(truth, tmp_path):
    out = tmp_path / "page"
    told = call("review", truth.dicom_folder, "--mask", truth.lesion_mask, "-o", out, "--json")
    assert told.exit_code == 0, told.output
    summary = json.loads(told.stdout)
    assert summary["phases"] == ["PVP"]
    assert summary["n_lesions"] == 1
    assert summary["pictures"] is None
    assert (out / "index.html").is_file()
    again = call("review", truth.dicom_folder, "-o", out)
    assert again.exit_code != 0
    assert "is there already" in str(again.exception)
    assert call("review", truth.dicom_folder, "-o", out, "--overwrite").exit_code == 0


def test_somewhere_it_must_go(truth):
    told = call("review", truth.dicom_folder)
    assert told.exit_code != 0
    assert "add -o OUT, or --serve" in str(told.exception)


def test_pictures_are_of_lesions(truth, tmp_path):
    told = call("review", truth.dicom_folder, "--pictures", "-o", tmp_path / "page")
    assert told.exit_code != 0
    assert "add --mask, or leave out --pictures" in str(told.exception)
    assert not (tmp_path / "page").exists()


@pytest.fixture
def served(tmp_path):
    (tmp_path / "index.html").write_text("the page", "utf-8")
    (tmp_path / "data").mkdir()
    server, address = page_server(tmp_path)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield address
    server.shutdown()
    server.server_close()
    thread.join()


def fetched(address):
    with urllib.request.urlopen(address, timeout=10) as answer:
        return answer.read().decode()


def test_only_who_knows_the_token_gets_the_page(served):
    assert served.startswith("http://127.0.0.1:")
    assert fetched(served) == "the page"
    root = "/".join(served.split("/")[:3])
    token = served.split("/")[3]
    for path in (
        "",
        "/index.html",
        "/wrong/index.html",
        f"/{token}",
        f"/{token}/data/",
        f"/{token}x/index.html",
    ):
        with pytest.raises(urllib.error.HTTPError) as refused:
            fetched(root + path)
        assert refused.value.code == 404
        refused.value.close()


def test_nothing_outside_the_folder_is_served(served):
    base = served.removesuffix("/index.html")
    for path in ("/../secret", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            fetched(base + path)
        refused.value.close()


def test_served_until_interrupted(truth):
    with started_program(
        [sys.executable, "-m", "gsigpu", "review", truth.dicom_folder, "--serve"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        address = ""
        for line in process.stdout:
            if line.startswith("open "):
                address = line.split()[1]
                break
        assert "gsigpuStudy" in fetched(address.replace("index.html", "page/study.js"))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    with pytest.raises(urllib.error.URLError):
        fetched(address)
