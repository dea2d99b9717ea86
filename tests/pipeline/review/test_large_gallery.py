"""A gallery of 1,000 lesions: only what is in sight is loaded, filters and order are right, and it holds its size."""

import json

import numpy as np
import pytest

from gsigpu.pipeline.review.cohort_gallery import RowCards, write_cohort_gallery
from gsigpu.pipeline.review.lesion_cards import CARD_BYTES, PANEL_PIXELS, LesionCard, write_card
from tests.support.browser import open_page

N_ROWS, PER_ROW = 250, 4
N_CARDS = N_ROWS * PER_ROW
DATA_BYTES = 1000  # of a card beside its picture
WIDTH, HEIGHT = 1500, 1000
GROUPS = ("lung", "colorectal", "breast")


def value(card):
    """λHU of the rim of the n-th card: all different, and in no order."""
    return round((card * 389 % N_CARDS) / 200.0, 6)


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    """Rows as a run leaves them; the picture is the worst there is, noise, and one file for all."""
    out = tmp_path_factory.mktemp("large")
    rng = np.random.default_rng(1)
    picture = out / "picture.jpg"
    noise = rng.integers(0, 256, (PANEL_PIXELS, 3 * PANEL_PIXELS, 3), np.uint8)
    write_card(picture, LesionCard(lesion_id="1", image=noise, slice_number=1))
    rows = []
    for number in range(N_ROWS):
        folder = out / "cases" / f"case-{number}" / "key.cards"
        folder.mkdir(parents=True)
        cards = []
        for k in range(PER_ROW):
            (folder / f"{k + 1}.jpg").hardlink_to(picture)
            index = number * PER_ROW + k
            cards.append(
                {
                    "lesion": str(k + 1),
                    "image": f"{k + 1}.jpg",
                    "slice": 12,
                    "diameter_mm": None if index % 100 == 99 else 10.0 + index % 20,
                    "volume_ml": 1.2345678,
                    "flags": ["small-core"] if index % 10 == 0 else [],
                    "values": {
                        f"{parameter} {region}": value(index)
                        for parameter in ("lambda_hu", "iodine", "ct_value")
                        for region in ("core", "rim")
                    },
                }
            )
        (folder / "cards.json").write_text(json.dumps(cards), "utf-8")
        rows.append(
            RowCards(
                case_id=f"case-{number}",
                group=GROUPS[number % 3],
                phase="AP" if number % 2 else "PVP",
                reader="A",
                cards=folder,
                page=folder.with_suffix(".page"),
            )
        )
    return out, write_cohort_gallery(out, rows, run="0123")


def test_a_card_holds_its_budget(gallery):
    out, page = gallery
    assert (out / "picture.jpg").stat().st_size <= CARD_BYTES
    data = (page.parent / "page" / "cards.js").stat().st_size
    assert data <= N_CARDS * DATA_BYTES


@pytest.mark.browser
def test_a_thousand_cards_load_what_is_in_sight_and_filter_right(gallery, browser):
    _, path = gallery
    loaded = "[...document.images].filter((image) => image.naturalWidth > 0).length"
    in_sight = """(() => [...document.querySelectorAll("article")].filter((card) => {
        const box = card.getBoundingClientRect(); return box.bottom > 0 && box.top < innerHeight; }))()"""
    all_drawn = (
        f"{in_sight}.every((card) => card.querySelector('img').naturalWidth === {3 * PANEL_PIXELS})"
    )
    with open_page(browser, path.as_uri(), width=WIDTH, height=HEIGHT) as page:
        page.wait_for_function(f"{in_sight}.length > 0 && {all_drawn}")
        assert page.locator("article").count() == N_CARDS
        assert page.locator("article a").count() == 0  # there are no study pages
        assert page.evaluate(loaded) < N_CARDS / 10
        for part in (0.5, 1.0):
            page.evaluate(f"scrollTo(0, {part} * document.documentElement.scrollHeight)")
            page.wait_for_function(f"{in_sight}.length > 0 && {all_drawn}")
        assert page.evaluate(loaded) < N_CARDS / 4
        assert page.text_content(".band:last-child article:last-child h2").startswith(
            f"case-{N_ROWS - 1}, lesion {PER_ROW}"
        )

        def shown():
            return page.evaluate("Gallery.visible().map((card) => [card.case, card.lesion])")

        def expected(holds, key=None, reverse=False):
            chosen = [i for i in range(N_CARDS) if holds(i // PER_ROW, i)]
            if key:
                chosen.sort(key=key, reverse=reverse)
            return [[f"case-{i // PER_ROW}", str(i % PER_ROW + 1)] for i in chosen]

        page.select_option("#group", "breast")
        page.select_option("#phase", "AP")
        assert shown() == expected(lambda row, _: row % 3 == 2 and row % 2 == 1)
        assert page.locator("article").count() == len(shown())
        page.select_option("#flag", "small-core")
        assert shown() == expected(lambda row, i: row % 3 == 2 and row % 2 == 1 and i % 10 == 0)
        for name in ("group", "phase", "flag"):
            page.select_option(f"#{name}", "")
        page.fill("#name", "case-24")
        assert shown() == expected(lambda row, _: "case-24" in f"case-{row}")
        page.fill("#name", "")
        page.select_option("#sort", "lambda_hu rim")
        page.check("#descending")
        assert shown() == expected(lambda row, i: True, key=value, reverse=True)
        page.select_option("#sort", "diameter")
        page.uncheck("#descending")
        known = expected(lambda row, i: i % 100 != 99, key=lambda i: 10.0 + i % 20)
        assert shown() == known + expected(lambda row, i: i % 100 == 99)
        assert page.inner_text("#count").startswith(f"{N_CARDS} of {N_CARDS} lesions shown")
