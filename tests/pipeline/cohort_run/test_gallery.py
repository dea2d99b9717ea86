"""The gallery of a run: a card of every measured lesion; decisions leave lesions out and are counted."""

import csv
import json

import pandas as pd
import pytest

from gsigpu.errors import SettingsError
from gsigpu.pipeline.cohort_run.checks import CohortOptions
from gsigpu.pipeline.cohort_run.cohort_task import CohortSettings
from gsigpu.pipeline.cohort_run.inclusion_rules import InclusionRules
from gsigpu.pipeline.cohort_run.run_cohort import run_cohort
from gsigpu.tables.review_decisions import read_decisions
from tests.support.browser import launched, open_page

ONE = CohortOptions(workers=1)


@pytest.fixture(scope="module")
def cohort(make_cohort):
    return make_cohort(3)


@pytest.fixture(scope="module")
def run(cohort, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "out"
    result = run_cohort(cohort.manifest, out, settings=CohortSettings(review=True), options=ONE)
    assert result.n_failed == 0
    return out


def cards_of(out):
    text = (out / "review" / "page" / "cards.js").read_text("ascii")
    return json.loads(text.removeprefix("window.gsigpuCards=").removesuffix(";\n"))["cards"]


def test_a_card_for_every_lesion_with_the_values_of_the_table(run):
    table = pd.read_csv(run / "measurements.csv", dtype={"lesion_id": str})
    cards = cards_of(run)
    lesions = table[table["lesion_id"].notna()][["case_id", "lesion_id"]].drop_duplicates()
    assert {(card["case"], card["lesion"]) for card in cards} == set(map(tuple, lesions.to_numpy()))
    means = table[table["statistic"] == "mean"].set_index(
        ["case_id", "lesion_id", "region", "parameter"]
    )["value"]
    for card in cards:
        assert (run / "review" / card["image"]).read_bytes()[:2] == b"\xff\xd8"  # JPEG
        for name, value in card["values"].items():
            parameter, region = name.split()
            expected = means[card["case"], card["lesion"], region, parameter]
            assert value == pytest.approx(expected, rel=1e-5)


@pytest.fixture(scope="module")
def decided(run, tmp_path_factory):
    """Decisions made in the page, as a reader makes them."""
    path = tmp_path_factory.mktemp("decisions") / "exclusions.csv"
    with (
        launched() as browser,
        open_page(browser, (run / "review" / "index.html").as_uri()) as page,
    ):
        page.wait_for_selector("article")
        n = len(cards_of(run))
        assert page.locator("article").count() == n
        page.select_option("#group", "breast")
        assert 0 < page.locator("article").count() < n
        page.select_option("#group", "")
        page.select_option("#sort", "iodine rim")
        values = page.evaluate("Gallery.visible().map((card) => card.values['iodine rim'])")
        known = [value for value in values if value is not None]
        assert known == sorted(known)
        page.select_option("#sort", "")
        article = page.locator("article").first
        article.locator("select").select_option("rejected")
        article.locator("input").fill("motion, see slice 3")
        article.locator("input").blur()
        page.wait_for_function(
            "document.getElementById('count').textContent.includes('1 rejected')"
        )
        page.wait_for_function("[...document.images].slice(0, 2).every((image) => image.complete)")
        images = page.evaluate(
            "[...document.images].slice(0, 2).map((image) => image.complete && image.naturalWidth)"
        )
        assert images == [480, 480]
        with page.expect_download() as download:
            page.click("#save")
        download.value.save_as(path)
    return path


@pytest.mark.browser
def test_decisions_are_saved_as_the_run_reads_them(run, decided):
    first = cards_of(run)[0]
    with decided.open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row == {
        "case_id": first["case"], "lesion_id": first["lesion"], "phase": first["phase"], "reader": first["reader"],
        "decision": "rejected", "reason": "motion, see slice 3",
    }  # fmt: skip


@pytest.mark.browser
def test_a_rejected_lesion_is_left_out_and_counted(run, cohort, decided, tmp_path):
    rules = InclusionRules(decisions=read_decisions(decided))
    first = cards_of(run)[0]
    before = pd.read_csv(run / "measurements.csv", dtype=str)
    options = CohortOptions(workers=1, change_settings=True)
    run_cohort(cohort.manifest, run, rules=rules, options=options)
    after = pd.read_csv(run / "measurements.csv", dtype=str)
    is_first = (before["case_id"] == first["case"]) & (before["lesion_id"] == first["lesion"])
    assert len(after) == len(before) - is_first.sum()
    excluded = pd.read_csv(run / "exclusions.csv", dtype=str)
    assert excluded[["case_id", "lesion_id", "rule", "reason"]].to_numpy().tolist() == [
        [first["case"], first["lesion"], "review", "rejected at review: motion, see slice 3"]
    ]
    assert "at review" in (run / "flow.svg").read_text("utf-8")


def test_a_decision_on_what_is_not_in_the_manifest_is_an_error(cohort, tmp_path):
    rules = InclusionRules(decisions=(("C9", "1", "PVP", "A", "rejected", ""),))
    with pytest.raises(
        SettingsError, match="lesion 1 of C9 PVP A, which is no row of the manifest"
    ):
        run_cohort(cohort.manifest, tmp_path / "out", rules=rules, options=ONE)
