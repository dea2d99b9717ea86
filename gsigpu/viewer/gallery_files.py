"""The gallery of a cohort as files: one page, its style and script, its cards as data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from gsigpu.viewer.page_files import PAGE


def write_gallery(
    folder: Path, cards: Sequence[Mapping[str, Any]], *, title: str, run: str
) -> Path:
    """Writes index.html with what it needs into `folder`; the pictures are there already.

    cards : plain data, one per lesion, in the order of the manifest; `image` is relative to the page
    run : tells the decisions of one run from those of another, in the reader's browser
    Returns the path of the document.
    """
    here = files("gsigpu.viewer")
    (folder / "page").mkdir(exist_ok=True)
    for name in ("gallery.css", "gallery.js"):
        (folder / "page" / name).write_bytes(here.joinpath(name).read_bytes())
    text = json.dumps(
        {"run": run, "cards": list(cards)},
        ensure_ascii=True,
        separators=(",", ":"),
        allow_nan=False,
    )
    (folder / "page" / "cards.js").write_text(f"window.gsigpuCards={text};\n", "ascii")
    document = here.joinpath("gallery.html").read_text("utf-8")
    (folder / PAGE).write_text(document.replace("{{title}}", escape(title)), "utf-8")
    return folder / PAGE
