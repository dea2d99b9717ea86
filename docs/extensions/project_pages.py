"""Pages that stand elsewhere in the project (design, benchmarks, CONTRIBUTING), as pages of the site.

They are copied into `docs/project/`, which git does not keep. Links are written so that they lead somewhere
in the checkout; here they are turned to where the site has the page.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

ROOT = Path(__file__).parents[2]
COPIES = ROOT / "docs" / "project"
_LINK = re.compile(r"\[(?P<text>[^\[\]]*)\]\((?P<target>[^)#:\s]+)(?P<anchor>#[^)]*)?\)")

_HIDDEN_CONTENTS = "\n```{{toctree}}\n:hidden:\n:glob:\n\n{}\n```\n"
# The pages that stand below a page of the project.
_CONTENTS = {
    "project/design/README": _HIDDEN_CONTENTS.format("*"),
    "project/bench/README": _HIDDEN_CONTENTS.format("results/*"),
}


def project_files() -> list[Path]:
    """What is copied, by its place in the project."""
    return sorted(
        [
            ROOT / "CONTRIBUTING.md",
            ROOT / "CHANGELOG.md",
            *(ROOT / "design").glob("*.md"),
            *(ROOT / "design").glob("*.png"),
            *(ROOT / "bench").glob("*.md"),
            *(ROOT / "bench" / "results").glob("*.md"),
        ]
    )


def copy_pages() -> None:
    """Copies what changed, and removes what is no more."""
    copies = {COPIES / path.relative_to(ROOT): path for path in project_files()}
    for copy, path in copies.items():
        if not copy.exists() or copy.read_bytes() != path.read_bytes():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    for stale in [path for path in COPIES.rglob("*") if path.is_file() and path not in copies]:
        stale.unlink()


def with_links_of_the_site(text: str, page: Path) -> str:
    """The page's text, its links to other pages as the site has them.

    page : where the site has it, below docs/
    """
    original = ROOT / page.relative_to(COPIES) if page.is_relative_to(COPIES) else page

    def turned(link: re.Match[str]) -> str:
        target = (original.parent / link["target"]).resolve()
        if target.is_relative_to(ROOT / "docs"):
            place = target
        elif target in project_files():
            place = COPIES / target.relative_to(ROOT)
        elif target.exists():  # a folder, a file of the code: named, not linked
            return link["text"]
        else:
            return link[0]
        return f"[{link['text']}]({os.path.relpath(place, page.parent)}{link['anchor'] or ''})"

    return _LINK.sub(turned, text)


def setup(app):
    def turn_links(app, docname, source):
        page = Path(app.env.doc2path(docname))
        source[0] = with_links_of_the_site(source[0], page) + _CONTENTS.get(docname, "")

    app.connect("builder-inited", lambda _app: copy_pages())
    app.connect("source-read", turn_links)
    return {"parallel_read_safe": True}
