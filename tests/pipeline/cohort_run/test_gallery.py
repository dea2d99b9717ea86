"""The gallery of a run: a card of every measured lesion; decisions leave lesions out and are counted."""

import csv
import json
import os
from urllib.parse import unquote

import pandas as pd
import pytest

from gsigpu.errors import SettingsError
from gsigpu.pipeline.cohort_run.checks import CohortOptions
from gsigpu.pipeline.cohort_run.cohort_task import CohortSettings
from gsigpu.pipeline.cohort_run.inclusion_rules import InclusionRules
from gsigpu.pipeline.cohort_run.run_cohort import run_cohort
from gsigpu.report.figure_style import inline_svg, save
from gsigpu.report.figures_values import distributions
from gsigpu.tables.observations import read_observations
from gsigpu.tables.review_decisions import read_decisions
from tests.support.browser import open_page

ONE = CohortOptions(workers=1)
DRAWN = "Number(document.getElementById('views')?.dataset.drawn || 0) >= 3"


@pytest.fixture(scope="module")
def cohort(make_cohort):
    made = make_cohort(3)
    for row in made.rows:
        row["patient_id"] = f"P-{row['case_id']}"
    # A name of which neither a file name nor an address is made as it stands.
    made.rows[2]["case_id"] = "C 3%/ö"
    made.write()
    return made


@pytest.fixture(scope="module")
def run(cohort, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "out"
    result = run_cohort(
        cohort.manifest, out, settings=CohortSettings(study_pages=True), options=ONE
    )
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
        assert (run / "review" / unquote(card["image"])).read_bytes()[:2] == b"\xff\xd8"  # JPEG
        for name, value in card["values"].items():
            parameter, region = name.split()
            expected = means[card["case"], card["lesion"], region, parameter]
            assert value == pytest.approx(expected, rel=1e-5)


@pytest.fixture(scope="module")
def decided(run, browser, tmp_path_factory):
    """Decisions made in the page, as a reader makes them."""
    path = tmp_path_factory.mktemp("decisions") / "exclusions.csv"
    with open_page(browser, (run / "review" / "index.html").as_uri()) as page:
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
def test_a_dot_of_the_report_leads_to_its_card(run, browser, tmp_path):
    observations = read_observations(run)
    gallery = os.path.relpath(run / "review" / "index.html", tmp_path / "figures")
    (drawing, *_) = distributions(observations, gallery)
    save(drawing, tmp_path / "figures")
    svg = (tmp_path / "figures" / f"{drawing.name}.svg").read_text("utf-8")
    report = tmp_path / "report.html"
    report.write_text(f"<!DOCTYPE html><title>r</title>{inline_svg(svg, drawing.name)}", "utf-8")
    with open_page(browser, report.as_uri()) as page:
        row = observations.table[observations.table["parameter"] == observations.parameters[0]]
        row = row[row["group"] == observations.groups[0]].iloc[0]
        dot = page.locator(f"a[*|href*='case={row['case_id']}&lesion={row['lesion_id']}']").first
        with page.expect_popup() as opened:
            dot.click()
        gallery_page = opened.value
        gallery_page.wait_for_selector("article.linked")
        words = gallery_page.text_content("article.linked h2")
        assert f"{row['case_id']}, lesion {row['lesion_id']}" in words
        assert gallery_page.locator("article.linked").count() == 1
        gallery_page.wait_for_function(
            "() => { const box = document.querySelector('article.linked').getBoundingClientRect();"
            " return box.bottom > 0 && box.top < innerHeight; }"
        )
        gallery_page.evaluate("location.hash = '#case=C99&lesion=1'")
        gallery_page.wait_for_function(
            "document.getElementById('count').textContent.includes('not in this gallery')"
        )
        gallery_page.close()


@pytest.mark.browser
def test_a_card_leads_to_the_study_page_at_its_lesion_and_back(run, browser):
    card = cards_of(run)[-1]
    assert card["case"] == "C 3%/ö"
    with open_page(browser, (run / "review" / "index.html").as_uri()) as page:
        page.locator(f"#{card['id']} a").first.click()
        page.wait_for_function(DRAWN)
        assert (
            page.inner_text("#case")
            == page.title().removesuffix(": spectral review")
            == card["case"]
        )
        chosen = page.evaluate(
            "Store.study.phases[0].lesions.find((e) => e.id === App.state.lesion)"
        )
        assert chosen["id"] == card["lesion"] == page.inner_text("tr.chosen td:first-child")
        assert page.evaluate("App.state.position") == chosen["centre"]
        assert chosen["centre"][0] + 1 == card["slice"]
        for name in ("core", "rim"):
            mean = chosen["regions"][name]["values"]["lambda_hu"]["mean"]
            assert mean == card["values"][f"lambda_hu {name}"]
        other = page.evaluate("Store.study.phases[0].lesions[0].id")
        page.click(f"#lesions tr[data-lesion='{other}']")
        page.click("#back")
        page.wait_for_selector("article.linked")
        heading = page.text_content("article.linked h2")
        assert heading.startswith(f"{card['case']}, lesion {other}")
        assert page.locator("article.linked").count() == 1


@pytest.mark.browser
def test_the_statistics_leave_out_and_count_what_was_decided(run, decided):
    observations = read_observations(run, decisions=read_decisions(decided))
    first = cards_of(run)[0]
    kept = observations.table
    assert not ((kept["case_id"] == first["case"]) & (kept["lesion_id"] == first["lesion"])).any()
    assert observations.flow.n_lesions == len(cards_of(run))
    n_analysed = sum(n for _, n in observations.flow.analysed.values())
    assert n_analysed == len(cards_of(run)) - 1
    assert observations.flow.decided == {"rejected": (1, 1, "motion, see slice 3")}


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
