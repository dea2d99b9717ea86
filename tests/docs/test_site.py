"""The documentation builds without a warning, reads offline, and its links and anchors lead somewhere."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import gsigpu
from tests.support.places import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"),
            *("-d", str(out / "doctrees"), str(ROOT / "docs"), str(out / "html")),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return out / "html"


class _Page(HTMLParser):
    """Targets and anchors of a page, and what it loads."""

    def __init__(self):
        super().__init__()
        self.targets, self.anchors, self.loaded = [], set(), []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if values.get("id"):
            self.anchors.add(values["id"])
        if tag == "a" and values.get("href"):
            self.targets.append(values["href"])
        if tag in ("script", "img") and values.get("src"):
            self.loaded.append(values["src"])
        if tag == "link" and values.get("rel") in ("stylesheet", "preload", "icon"):
            self.loaded.append(values["href"])


@pytest.fixture(scope="module")
def pages(site):
    parsed = {}
    for path in site.rglob("*.html"):
        page = _Page()
        page.feed(path.read_text("utf-8"))
        parsed[path] = page
    return parsed


def test_links_and_anchors(pages):
    assert len(pages) > 40
    broken = []
    n_anchors = 0
    for path, page in pages.items():
        for target in page.targets:
            parts = urlsplit(target)
            if parts.scheme or path.name in ("search.html", "genindex.html"):
                continue
            aim = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not aim.exists():
                broken.append(f"{path.name}: {target}")
            elif parts.fragment and aim in pages:
                n_anchors += 1
                if unquote(parts.fragment) not in pages[aim].anchors:
                    broken.append(f"{path.name}: {target}: no such anchor")
    assert broken == []
    assert n_anchors > 100


def test_nothing_is_loaded_from_elsewhere(site, pages):
    assert [src for page in pages.values() for src in page.loaded if urlsplit(src).scheme] == []
    for style in site.rglob("*.css"):
        addresses = re.findall(r"url\(\s*['\"]?(https?:|//)", style.read_text("utf-8"))
        assert addresses == [], style


def test_every_public_name_has_its_place(site):
    page = (site / "reference" / "generated" / "python.html").read_text("utf-8")
    for name in gsigpu.__all__:
        if not name.startswith("_"):
            assert f'id="gsigpu.{name}"' in page or f'id="gsigpu-{name}"' in page, name


def test_docstrings_are_shown_as_they_are_meant(site):
    page = (site / "reference" / "generated" / "core-physics.html").read_text("utf-8")
    formula = re.search(r"<pre>.*?1000 \+ HU\(E\).*?</pre>", page, re.S)
    assert formula is not None  # a formula keeps its lines
    assert "<strong>Returns</strong>" in page
    assert "<strong>energies_kev</strong>" in page


def test_no_page_that_is_made_is_kept_by_git():
    ignored = (ROOT / ".gitignore").read_text("utf-8").splitlines()
    for folder in ("docs/_build/", "docs/project/", "docs/reference/generated/"):
        assert folder in ignored
        assert not Path(ROOT, folder).is_file()
