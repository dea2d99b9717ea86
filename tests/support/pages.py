"""The pages that users read, and the commands and output that they show.

`python -m tests.support.pages` runs every command that the pages show, and writes what it prints today into
them. Read the difference before it is committed.
"""

import difflib
import doctest
import os
import re
import shlex
import sys
import tempfile
from pathlib import Path

from tests.support.places import ROOT
from tests.support.warm_program import warm

DOCS = ROOT / "docs"
MADE_BY_THE_BUILD = {"_build", "generated", "project"}
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *(
        path
        for path in sorted(DOCS.rglob("*.md"))
        if not MADE_BY_THE_BUILD & set(path.relative_to(DOCS).parts)
    ),
    *sorted((ROOT / "design").glob("*.md")),
    *sorted((ROOT / "bench").glob("*.md")),
]
USER_PAGES = [page for page in PAGES if page.parent.name not in ("design", "bench")]
# Stands in a shown output for lines that are left out.
OMITTED = "…"
_BLOCK = re.compile(r"^```(?P<kind>console|python|pycon)\n(?P<body>.*?)^```$", re.S | re.M)


def user_text() -> str:
    """README and the pages of docs/, one after the other."""
    return "\n".join(page.read_text("utf-8") for page in USER_PAGES)


def shown(pattern: str) -> str:
    """The first group of a regular expression that matches in exactly one of the users' pages."""
    matches = [
        match
        for page in USER_PAGES
        if (match := re.search(pattern, page.read_text("utf-8"), re.S)) is not None
    ]
    assert len(matches) == 1, f"{pattern!r} is on {len(matches)} pages"
    return matches[0][1]


def without_what_differs(text: str) -> list[str]:
    """Times, rates, threads, the GPU's state, and the padding that path lengths cause."""
    text = re.sub(r"\d+\.\d+ s\b", "T s", text)
    text = re.sub(r"\d+ slices/s", "N slices/s", text)
    text = re.sub(r" in \d:\d\d:\d\d", " in T", text)
    text = re.sub(r"; \d+ rows/h.*(\n {9}.*)*", "; N rows/h", text)
    text = re.sub(r"(?m)^(backend|state|workers|stages) .*(\n {9}.*)*", r"\1", text)
    return [line.rstrip() for line in text.strip().splitlines()]


def is_shortened(shown_lines: list[str], real_lines: list[str]) -> bool:
    """Whether the shown lines are the real ones, with … where lines are left out and only there.

    >>> is_shortened(["a", "…", "d"], ["a", "b", "c", "d"]), is_shortened(["a", "d"], ["a", "b", "d"])
    (True, False)
    """
    if not shown_lines:
        return not real_lines
    if shown_lines[0] == OMITTED:
        return any(
            is_shortened(shown_lines[1:], real_lines[start:])
            for start in range(1, len(real_lines) + 1)
        )
    return (
        bool(real_lines)
        and shown_lines[0] == real_lines[0]
        and is_shortened(shown_lines[1:], real_lines[1:])
    )


def _today(shown_output: str, real_output: str) -> str:
    """The shown output brought to what is real, … kept where it stands."""
    if OMITTED not in shown_output.splitlines():
        return real_output
    real, place, lines = real_output.splitlines(), 0, []
    for line in shown_output.splitlines():
        if line == OMITTED:
            lines.append(line)
            continue
        closest = difflib.get_close_matches(line, real[place:], n=1, cutoff=0.0)
        found_at = real.index(closest[0], place)
        if found_at > place and (not lines or lines[-1] != OMITTED):
            lines.append(OMITTED)
        lines.append(real[found_at])
        place = found_at + 1
    if place < len(real) and lines[-1] != OMITTED:
        lines.append(OMITTED)
    return "\n".join(lines) + "\n"


def run_command(command: str, folder: Path) -> str:
    """What a shown command prints to standard output; it must succeed. `gsigpu` is the checkout's."""
    words = shlex.split(command)
    assert words[0] == "gsigpu", command
    done = warm(*words[1:], cwd=folder)
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return done.stdout


def run_page(page: Path, folder: Path) -> str:
    """The page with what its blocks print today; blocks run in order, in one folder.

    A `console` block holds one command after `$` and its output. `python` blocks and `pycon` examples of a
    page share their names; they raise where something fails.
    """
    namespace: dict[str, object] = {}
    text = page.read_text("utf-8")

    def run_block(block: re.Match[str]) -> str:
        body = block["body"]
        if block["kind"] == "console":
            prompt, output = body.split("\n", 1)
            real = run_command(prompt.removeprefix("$ "), folder)
            kept = is_shortened(without_what_differs(output), without_what_differs(real))
            return block[0] if kept else f"```console\n{prompt}\n{_today(output, real)}```"
        before = Path.cwd()
        os.chdir(folder)
        try:
            if block["kind"] == "python":
                exec(compile(body, str(page), "exec"), namespace)
            else:
                line = text[: block.start()].count("\n") + 1
                example = doctest.DocTestParser().get_doctest(
                    body, namespace, page.name, str(page), line
                )
                runner = doctest.DebugRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
                runner.run(example, clear_globs=False)
                namespace.update(example.globs)
        finally:
            os.chdir(before)
        return block[0]

    return _BLOCK.sub(run_block, text)


def pages_that_run() -> list[Path]:
    """Pages with blocks of commands or Python that are executed."""
    return sorted((DOCS / "tutorials").glob("*.md"))


if __name__ == "__main__":
    for page_path in pages_that_run():
        with tempfile.TemporaryDirectory() as scratch:
            updated = run_page(page_path, Path(scratch))
        if updated != page_path.read_text("utf-8"):
            page_path.write_text(updated, "utf-8")
            sys.stdout.write(f"{page_path.relative_to(ROOT)} brought up to date\n")
