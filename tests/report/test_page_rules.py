"""Rules that hold on the whole page: its words, its colours, what its marks mean, and what each figure says."""

import html
import itertools
import re
from importlib.resources import files

import pytest

from gsigpu.pipeline.cohort_stats.write_statistics import cohort_stats
from gsigpu.report.cohort_results import ALPHA, StatisticsSettings
from gsigpu.report.figure_style import LINES, PAPER, SERIES, SHADES, line_of
from gsigpu.report.table_cells import INTERVAL_NOTE
from gsigpu.tables.observations import Choice
from tests.support.browser import open_page
from tests.support.cohort_tables import measurement_table
from tests.support.compared import figures_of_the_page_alone

TEXT, GRAPHIC = 4.5, 3.0  # WCAG 2.1, 1.4.3 and 1.4.11, level AA


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rules")
    table = measurement_table(
        groups=("pancreatic", "lung", "breast"), patients=(9, 8, 6), readers=("A", "B"), seed=5
    )
    table.to_csv(folder / "measurements.csv", index=False)
    with figures_of_the_page_alone():
        return cohort_stats(
            folder / "measurements.csv",
            folder / "out",
            choice=Choice(regions=("core",)),
            settings=StatisticsSettings(replicates=100),
            n_workers=1,
        )


@pytest.fixture(scope="module")
def page(run):
    return run.report.read_text("utf-8")


def words_of(page):
    """What a person reads, labels for screen readers among it."""
    body = re.sub(r"<style>.*?</style>|<defs>.*?</defs>", "", page, flags=re.S)
    labels = re.findall(r'aria-label="([^"]*)"', body)
    return html.unescape(" ".join([re.sub(r"<[^>]+>", " ", body), *labels]))


def test_no_words_of_the_command_line_or_of_code(run, page):
    text = words_of(page)
    assert not re.findall(r"(?<![\w-])--[a-z][\w-]*", text)
    known = {path.name for path in run.out.rglob("*") if path.is_file()}
    stems = {name.rsplit(".", 1)[0] for name in known}
    code = set(re.findall(r"\b[A-Za-z0-9]+_[A-Za-z0-9_]+\b", text))
    # Names of files that lie beside the page are no code.
    assert code <= stems, code - stems


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(a, b):
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def schemes():
    style = files("gsigpu.report").joinpath("report.css").read_text("utf-8")
    for block in re.findall(r":root \{(.*?)\}", style, flags=re.S):
        colours = dict(re.findall(r"--([a-z0-9]+): (#[0-9a-f]{3,6})", block))
        yield {
            k: v if len(v) == 7 else "#" + "".join(2 * c for c in v[1:]) for k, v in colours.items()
        }


def test_contrast_of_the_colours():
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    every_scheme = list(schemes())
    assert len(every_scheme) == 3  # light, dark, print
    for scheme in every_scheme:
        for name in ("ink", "faint", "accent", "good"):
            for paper in ("paper", "raised"):
                assert contrast(scheme[name], scheme[paper]) >= TEXT, (name, paper)
        for name in [*(f"c{k}" for k in range(8)), "mid", "s1", "s2"]:
            assert contrast(scheme[name], scheme["paper"]) >= GRAPHIC, name
    assert all(contrast(colour, PAPER) >= GRAPHIC for colour in (*SERIES, *SHADES))


def test_colours_are_the_groups_alone():
    assert not set(SERIES) & set(SHADES)
    looks = [(SERIES[k % 8], str(line_of(k))) for k in range(len(SERIES) * len(LINES))]
    assert len(set(looks)) == len(looks)


def test_an_interval_beside_a_holm_p_has_its_note(run):
    n = 0
    for table in [*run.tables.files(), *(t for ts in run.tables.pairs.values() for t in ts)]:
        names = " ".join(cell.text for row in table.header for cell in row)
        if "interval" in names and "Holm" in names:
            n += 1
            assert INTERVAL_NOTE in table.notes, table.name
    assert n >= 5


def test_bold_and_letters_follow_one_family(run):
    """Every bold p, area or letter of the recommended track is below .05 after Holm over all tests."""
    frames = run.results.frames
    pairs = frames.pairwise.query("test == 'mixed'")
    for parameter, (paper, recommended) in run.tables.by_parameter.items():
        assert not any(cell.strong for row in paper.rows for cell in row)
        of_parameter = pairs[pairs["parameter"] == parameter]
        n_marks = sum(len(cell.mark) for row in recommended.rows for cell in row)
        assert n_marks == 2 * int((of_parameter["p_holm_all"] < ALPHA).sum())
    strong = [
        cell
        for table in [
            *run.tables.roc,
            run.tables.told_apart,
            run.tables.against_rest,
            run.tables.within,
        ]
        for row in table.rows
        for cell in row
        if cell.strong and "< .001" in cell.number_format
    ]
    assert strong
    assert all(cell.values[0] < ALPHA for cell in strong)
    paper_roc = [t for t in run.tables.roc if "paper" in t.caption]
    assert not any(cell.strong for t in paper_roc for row in t.rows for cell in row)


def test_figures_4_to_6_have_a_panel_per_pair(run, page):
    for k, name in enumerate(("CT value", "iodine", "λHU"), start=4):
        assert f"Figure {k}. ROC curves, {name}" in page
    for a, b in itertools.combinations(run.observations.groups, 2):
        assert page.count(f">{a} v {b}</text>") >= 3


def test_tables_stand_in_the_order_of_the_source_study(page):
    order = [page.index(words) for words in (
        "Table 1. CT value (HU), paper", "Table 2. iodine (mg/mL), paper", "Table 3. λHU (HU/keV), paper",
        "Table 4. ROC curves, core, paper",
    )]  # fmt: skip
    assert order == sorted(order)
    first = page[order[0] : order[0] + 3000]
    assert first.index(">AP<") < first.index(">PVP<")


@pytest.mark.browser
def test_nothing_is_cut_on_a_telephone_or_on_paper(run, browser):
    """On a screen wide tables and figures scroll in boxes of their own, on A4 (182 mm between margins) they fit."""
    with open_page(browser, run.report.as_uri(), width=400) as page:
        beyond = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(beyond) == 0
    with open_page(browser, run.report.as_uri(), width=1280) as page:
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert not page.evaluate(
            "[...document.querySelectorAll('.box')].filter(b => b.scrollWidth > b.clientWidth + 1)"
            ".map(b => [b.innerText.slice(0, 60), b.scrollWidth])"
        )
    with open_page(browser, run.report.as_uri(), width=688) as page:
        page.emulate_media(media="print")
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        cut = page.evaluate(
            "[...document.querySelectorAll('.box')].filter(box => "
            "box.querySelector('table').getBoundingClientRect().width > box.clientWidth + 1)"
            ".map(box => box.getAttribute('aria-label'))"
        )
        assert cut == []


def test_alternative_texts_hold_numbers_of_the_data(run, page):
    labels = [
        html.unescape(label) for label in re.findall(r'class="art"[^>]*aria-label="([^"]*)"', page)
    ]
    assert len(labels) == len(list((run.out / "figures").glob("*.svg")))
    assert all(re.search(r"\d", label.split(". ", 1)[1]) for label in labels)
    medians = (
        run.observations.table.query("parameter == 'iodine' and group == 'breast'")
        .groupby(["phase", "region"])["value"].median()
    )  # fmt: skip
    (label,) = (label for label in labels if label.startswith("iodine. "))
    assert any(f"breast {median:.2f}" in label for median in medians)
