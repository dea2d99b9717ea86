"""The tutorials run as they stand, and show what is printed today."""

import doctest

import pytest

from tests.support.pages import OMITTED, is_shortened, pages_that_run, run_page
from tests.support.places import ROOT


@pytest.mark.parametrize("page", pages_that_run(), ids=lambda page: page.stem)
def test_the_page_shows_what_is_printed_today(page, tmp_path):
    """To bring a page up to date: python -m tests.support.pages."""
    assert run_page(page, tmp_path) == page.read_text("utf-8")


def test_a_page_that_shows_something_else_is_noticed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```console\n$ gsigpu cohort status --help\nUsage: something else\n```\n")
    assert run_page(page, tmp_path) != page.read_text("utf-8")


@pytest.mark.parametrize("kind", ["python", "pycon"])
def test_an_example_that_fails_is_noticed(kind, tmp_path):
    body = {"python": "assert 1 + 1 == 3\n", "pycon": ">>> 1 + 1\n3\n"}[kind]
    page = tmp_path / "page.md"
    page.write_text(f"```{kind}\n{body}```\n")
    with pytest.raises((AssertionError, doctest.DocTestFailure)):
        run_page(page, tmp_path)


def test_lines_left_out_are_marked():
    assert is_shortened(["a", OMITTED, "d"], ["a", "b", "c", "d"])
    assert not is_shortened(["a", "d"], ["a", "b", "d"])
    assert not is_shortened(["a", OMITTED], ["a"])


def test_a_tutorial_for_each_reader():
    names = {page.stem for page in pages_that_run()}
    assert names >= {"pacs", "cohort", "arrays"}
    for page in pages_that_run():
        assert page.relative_to(ROOT).as_posix().removeprefix("docs/").removesuffix(".md") in (
            ROOT / "docs" / "index.md"
        ).read_text("utf-8")
