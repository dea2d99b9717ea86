"""The files of a study page beside its volumes: the document, its scripts, its style, its data."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from gsigpu.viewer.static_section import static_section

PAGE = "index.html"
# In the order in which the document runs them.
SCRIPTS = (
    "able.js",
    "store.js",
    "grids.js",
    "render.js",
    "plots.js",
    "segmentation.js",
    "roi.js",
    "app.js",
)
VENDORED = ("uPlot.iife.min.js", "uPlot.min.css", "uPlot.LICENSE.txt")


def write_page(folder: Path, study: Mapping[str, Any], *, title: str = "Spectral review") -> Path:
    """Writes index.html with what it needs into `folder`, which holds the volumes under data/.

    study : plain data, as gsigpu.pipeline.review.page_data makes it; the case comes with `write_names`
    Returns the path of the document. Texts reach the page as data and are shown as text, never as markup.
    """
    here = files("gsigpu.viewer")
    (folder / "page").mkdir()
    for name in (*SCRIPTS, "viewer.css"):
        (folder / "page" / name).write_bytes(here.joinpath(name).read_bytes())
    for name in VENDORED:
        (folder / "page" / name).write_bytes(here.joinpath("vendor").joinpath(name).read_bytes())
    text = json.dumps(study, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    (folder / "page" / "study.js").write_text(f"window.gsigpuStudy={text};\n", "ascii")
    document = here.joinpath("page.html").read_text("utf-8")
    parts = {"title": escape(title), "static": static_section(study)}
    document = re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], document)
    (folder / PAGE).write_text(document, "utf-8")
    return folder / PAGE


def write_names(folder: Path, case_id: str, *, back: Mapping[str, Any] | None = None) -> None:
    """Writes what a page is called: its case, and the gallery that it belongs to.

    back : `gallery`, an address relative to the page, and `row`, what a card's link says of the row
    """
    text = json.dumps({"case": case_id, "back": back}, ensure_ascii=True)
    path = folder / "page" / "names.js"
    path.unlink(missing_ok=True)  # it may be linked to the page of another name
    path.write_text(f"window.gsigpuNames={text};\n", "ascii")
