"""From a measurement table to tests, tables, figures and the page."""

import csv
import hashlib
import html.parser
import json
import re
import zipfile
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import openpyxl
import pandas as pd
import pytest
from scipy.stats import f_oneway
from sklearn.metrics import roc_auc_score

from gsigpu.cohort_statistics.frames import INTERVALS
from gsigpu.errors import InputError, OutputError, SettingsError
from gsigpu.output.marks import MARK_FILE
from gsigpu.pipeline.cohort_stats import family_members, processes
from gsigpu.pipeline.cohort_stats.applied_cutoffs import applied_cutoffs
from gsigpu.pipeline.cohort_stats.write_statistics import cohort_stats
from gsigpu.report import figures_roc
from gsigpu.report.cohort_results import StatisticsSettings
from gsigpu.report.figure_style import Drawing, house_style, new_figure, save
from gsigpu.report.table_files import FIRST_COLUMNS
from gsigpu.tables.cutoff_table import CUTOFF, MEANING
from gsigpu.tables.observations import Choice, read_observations
from tests.support.cohort_tables import measurement_table
from tests.support.compared import compared, figures_of_the_page_alone, without_figures

GROUPS = ("pancreatic", "lung", "breast")
CHOICE = Choice(groups=GROUPS, parameters=("iodine", "lambda_hu"), regions=("core", "rim"))
SETTINGS = StatisticsSettings(
    replicates=100,
    pair_directions={("iodine", "breast", "lung"): "higher"},
    directions={"lambda_hu": "lower"},
)
KEY = ["phase", "region", "parameter"]


@pytest.fixture(scope="module")
def table():
    return measurement_table(
        groups=GROUPS, patients=(9, 8, 6), phases=("AP",), readers=("A", "B"), seed=5
    )


@pytest.fixture(scope="module")
def run(table, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stats")
    (folder / "run").mkdir()
    table.to_csv(folder / "run" / "measurements.csv", index=False)
    (folder / "run" / "exclusions.csv").write_text(
        "case_id,lesion_id,rule,reason\nc1,2,max-diameter,longest axial diameter 31 mm\n"
    )
    return cohort_stats(
        folder / "run", folder / "out", choice=CHOICE, settings=SETTINGS, n_workers=1
    )


@pytest.fixture(scope="module")
def page(run):
    return run.report.read_text("utf-8")


def means_of_readers(table):
    key = ["patient_id", "lesion_id", "group", "region", "parameter"]
    chosen = table[(table["statistic"] == "mean") & table["region"].isin(["core", "rim"])]
    return chosen.groupby(key, sort=False)["value"].mean().reset_index()


def test_the_contract_of_the_files(run):
    for name, columns in FIRST_COLUMNS.items():
        with (run.out / f"{name}.csv").open(encoding="utf-8") as file:
            header = next(csv.reader(file))
        assert tuple(header[: len(columns)]) == columns, name
    for name in ("models", "power", "bland_altman", "roc_curves", "calibration", "flow"):
        assert len(pd.read_csv(run.out / f"{name}.csv")), name
    omnibus = pd.read_csv(run.out / "omnibus.csv")
    assert set(zip(omnibus["track"], omnibus["test"], strict=True)) == {
        ("paper", "anova"), ("recommended", "mixed"), ("recommended", "welch"),
        ("recommended", "kruskal"),
    }  # fmt: skip
    pairwise = pd.read_csv(run.out / "pairwise.csv")
    assert set(pairwise["test"]) == {"lsd", "mixed", "games-howell", "dunn"}
    assert list(dict.fromkeys(zip(pairwise["group_a"], pairwise["group_b"], strict=True))) == [
        ("pancreatic", "lung"), ("pancreatic", "breast"), ("lung", "breast"),
    ]  # fmt: skip


def test_intervals_contain_their_estimates_in_every_file(run):
    """And no file has an interval that INTERVALS does not name."""
    without_estimate = {"roc_curves": {"tpr_low"}}
    for path in sorted(run.out.glob("*.csv")):
        frame, name = pd.read_csv(path), path.stem
        named = {low for low, _, _ in INTERVALS.get(name, ())}
        named |= without_estimate.get(name, set()) | {"loa_low"}
        assert {column for column in frame.columns if column.endswith("_low")} <= named, name
        for low, estimate, high in INTERVALS.get(name, ()):
            known = frame[frame[estimate].notna() & frame[low].notna()]
            slack = 1e-9 * known[estimate].abs()
            assert (known[low] <= known[estimate] + slack).all(), (name, estimate)
            assert (known[estimate] <= known[high] + slack).all(), (name, estimate)


def test_tests_agree_with_scipy_and_sklearn(run, table):
    values = means_of_readers(table)
    omnibus = run.frame("omnibus").query("test == 'anova'").set_index(KEY)
    for (region, parameter), of_one in values.groupby(["region", "parameter"]):
        if parameter not in CHOICE.parameters:
            continue
        groups = [of_one.loc[of_one["group"] == group, "value"] for group in GROUPS]
        assert omnibus.loc[("AP", region, parameter), "p"] == pytest.approx(
            f_oneway(*groups).pvalue, rel=1e-8
        )
    roc = run.frame("roc").query("method == 'obuchowski' and region == 'rim'")
    rim = values.query("region == 'rim' and parameter == 'iodine'")
    for row in roc[roc["parameter"] == "iodine"].to_dict("records"):
        pair = rim[rim["group"].isin([row["group_a"], row["group_b"]])]
        area = roc_auc_score(pair["group"] == row["group_a"], pair["value"])
        turned = area if row["direction"] == "higher" else 1 - area
        assert row["auc"] == pytest.approx(turned, abs=1e-12)


def test_declared_directions_are_kept(run):
    roc = run.frame("roc")
    recommended = roc[roc["track"] == "recommended"]
    assert set(recommended.loc[recommended["parameter"] == "lambda_hu", "direction"]) == {"lower"}
    turned = recommended.query(
        "parameter == 'iodine' and group_a == 'lung' and group_b == 'breast'"
    )
    assert set(turned["direction"]) == {"lower"}
    assert (turned["auc"] > 0.5).all()


def test_cells_of_table_1_are_those_of_pandas(run, table):
    described = (
        means_of_readers(table)
        .query("parameter == 'iodine'")
        .groupby(["group", "region"])["value"]
        .agg(["mean", "std", "count"])
    )
    path = run.out / "tables" / "table_1_iodine_paper.csv"
    with path.open(encoding="utf-8-sig") as file:
        lines = list(csv.reader(file))
    rows = {line[0][1:].strip(): line for line in lines if line and line[0][:1] in "abc"}
    for group in GROUPS:
        n, *cells = rows[group][1:]
        assert int(n) == described.loc[(group, "core"), "count"]
        for region, cell in zip(("core", "rim"), cells, strict=True):
            mean, sd = described.loc[(group, region), ["mean", "std"]]
            assert cell.startswith(f"{mean:.2f} ± {sd:.2f}")


def digests(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


class Listener:
    """Keeps what a Watcher hears."""

    def __init__(self):
        self.heard = {}

    def stage(self, name):
        calls = self.heard.setdefault(name, [])
        return nullcontext(lambda done, total: calls.append((done, total)))


def test_same_bytes_in_any_order_of_rows_and_number_of_processes(run, table, tmp_path, monkeypatch):
    # Enough for the tests, whose tasks hold each value several times, and too much for the figures of the page alone.
    monkeypatch.setattr(processes, "WORTH_A_PROCESS", len(run.observations.table) + 1)
    listener = Listener()
    shuffled = table.sample(frac=1, random_state=1)
    (tmp_path / "run").mkdir()
    shuffled.to_csv(tmp_path / "run" / "measurements.csv", index=False)
    source = run.observations.source
    (tmp_path / "run" / "exclusions.csv").write_bytes(
        (source.parent / "exclusions.csv").read_bytes()
    )
    with figures_of_the_page_alone():
        again = cohort_stats(
            tmp_path / "run",
            tmp_path / "out",
            choice=CHOICE,
            settings=SETTINGS,
            n_workers=2,
            watcher=listener,
        )
    assert list(listener.heard) == ["read", "test", "report"]
    for calls in listener.heard.values():
        assert calls[0] == (0, calls[-1][1])
        assert calls[-1][0] == calls[-1][1]
    first, second = digests(run.out), digests(again.out)
    # Of the drawings the text was written again; pictures of one drawing are compared below.
    first = {name: each for name, each in first.items() if not name.endswith((".pdf", ".png"))}
    assert first.pop(MARK_FILE) != second.pop(MARK_FILE)  # which are fewer here
    # The hash of the table, whose rows stand in another order, is in these second.
    different = {name for name in first if first[name] != second.get(name)}
    assert different == {"provenance.json", "report.html"}
    old, new = (
        each.report.read_text("utf-8").replace(each.observations.sha256, "HASH")
        for each in (run, again)
    )
    assert old == new
    assert first.keys() == second.keys()


def test_a_drawing_has_the_same_bytes_each_time(tmp_path):
    for name in ("a", "b"):
        with house_style():
            figure = new_figure(2, 1)
            figure.subplots().plot([0, 1], [0, 1], label="a")
            save(Drawing(name="f", title="t", caption="c", figure=figure), tmp_path / name)
    first, second = digests(tmp_path / "a"), digests(tmp_path / "b")
    assert first == second
    assert sorted(first) == ["f.pdf", "f.png", "f.svg"]


def test_every_member_has_its_own_seed(run):
    tasks = family_members.tasks_of(run.observations, SETTINGS)
    assert len({tuple(task.seed.entropy) for task in tasks}) == len(tasks)


class References(html.parser.HTMLParser):
    """What a page would fetch, and the identifiers that it has."""

    def __init__(self):
        super().__init__()
        self.fetched, self.within, self.ids, self.tags = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            elif name.removeprefix("xlink:") in ("href", "src", "srcset", "data", "action"):
                (self.within if value.startswith("#") else self.fetched).append(value)


def test_the_page_needs_nothing_else(page):
    references = References()
    references.feed(page)
    embedded = [
        target for target in references.fetched if not target.startswith("data:image/png;base64,")
    ]
    assert embedded == []
    assert {target[1:] for target in references.within} <= set(references.ids)
    assert len(references.ids) == len(set(references.ids))
    assert not {"script", "link", "iframe", "object", "img"} & set(references.tags)
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", page))
    assert "@import" not in page


def test_the_page_says_what_it_must(page, run):
    for heading in (
        "Patients and lesions", "Groups compared", "Pairs told apart", "Parameters combined",
        "Curves and profiles", "Readers", "Power", "What to keep in mind", "Checklists",
        "Provenance",
    ):  # fmt: skip
        assert f">{heading}</h2>" in page
    for words in (
        "Trust the recommended track",
        "highest in breast",
        "lowest in pancreatic",
        "2 readers (A, B): tests take the mean over them",
        "max diameter: 1 patient, 1 lesion named",
        "37.41",
        "author must state",
        "divides by 40",
        run.observations.sha256,
        "STARD 2015",
        "CLAIM",
        "METRICS",
    ):
        assert words in page, words
    assert not re.search(r"[>=] *\.000<", page)


def test_every_figure_is_there_three_times_and_on_the_page(run, page):
    stems = {path.stem for path in (run.out / "figures").iterdir()}
    assert stems >= {
        "distribution_iodine", "distribution_lambda_hu", "spectral_curves", "profiles",
        "forest_AP", "roc_iodine", "roc_lambda_hu", "calibration", "bland_altman_iodine",
    }  # fmt: skip
    for stem in stems:
        kinds = {
            kind: (run.out / "figures" / f"{stem}.{kind}").read_bytes()
            for kind in ("svg", "pdf", "png")
        }
        assert kinds["pdf"].startswith(b"%PDF")
        assert kinds["png"].startswith(b"\x89PNG")
        assert b"<svg" in kinds["svg"]
        assert f'id="{stem}-figure_1"' in page
    # Colours follow the reader's scheme: none of the ink of the files is left on the page.
    figures = "".join(re.findall(r"<svg.*?</svg>", page, re.S))
    assert "#1f2430" not in figures
    assert "var(--ink)" in figures


def test_workbooks_hold_the_tables(run):
    book = openpyxl.load_workbook(run.out / "results.xlsx", read_only=True)
    for name in ("omnibus", "pairwise", "roc", "icc", "models", "descriptives"):
        rows = list(book[name].iter_rows(values_only=True))
        frame = pd.read_csv(run.out / f"{name}.csv")
        assert list(rows[0]) == list(frame.columns)
        assert len(rows) == len(frame) + 1
        for column in ("p", "auc", "icc", "mean"):
            if column in frame:
                at = list(frame.columns).index(column)
                got = np.array([row[at] for row in rows[1:]], dtype=float)
                # A workbook holds 16 digits.
                np.testing.assert_allclose(got, frame[column].to_numpy(), rtol=1e-15)
    with zipfile.ZipFile(run.out / "results.xlsx") as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    tables = openpyxl.load_workbook(run.out / "tables" / "tables.xlsx", read_only=True)
    written = {path.stem[:31] for path in (run.out / "tables").glob("*.csv")}
    assert set(tables.sheetnames) == written
    assert set(book.sheetnames) == {path.stem for path in run.out.glob("*.csv")}


def test_the_sheets_of_the_tables_hold_numbers(run):
    """Means, SDs, p values and intervals in full precision, each in a cell of its own."""
    tables = openpyxl.load_workbook(run.out / "tables" / "tables.xlsx")
    rows = list(tables["table_1_iodine_recommended"].iter_rows(values_only=True))
    assert rows[1][:4] == ("group", "n", "core, mean", "core, SD")
    described = pd.read_csv(run.out / "descriptives.csv").query(
        "track == 'recommended' and parameter == 'iodine' and region == 'core'"
    )
    for row, group in zip(rows[2:5], GROUPS, strict=True):
        (mean,) = described[described["group"] == group]["mean"]
        assert row[2] == pytest.approx(mean, rel=1e-14)
    roc = list(tables["table_3_roc_core_recommended"].iter_rows(values_only=True))
    low = roc[1].index("95% interval, low")
    assert {type(row[low]) for row in roc[2:] if row[1]} <= {float, int, type(None)}
    assert any(isinstance(row[low], float) for row in roc[2:])
    # What looks like a number is one.
    for sheet in tables:
        for row in sheet.iter_rows(min_row=3, values_only=True):
            for value in row:
                assert not re.fullmatch(
                    r"[−-]?\d*\.\d+", str(value) if isinstance(value, str) else ""
                ), (
                    sheet.title,
                    row,
                )


def test_provenance(run):
    told = json.loads((run.out / "provenance.json").read_text("utf-8"))
    assert told["table"]["sha256"] == run.observations.sha256
    assert told["settings"]["seed"] == 0
    assert told["settings"]["directions"]["iodine:breast:lung"] == "higher"
    assert told["choice"]["reader"] == "mean"
    assert "statsmodels" in told["libraries"]


def test_nothing_is_found_where_nothing_is(tmp_path):
    table = measurement_table(
        groups=GROUPS, patients=(9, 8, 9), phases=("",), curves=False, profiles=False, effect=0.0
    )
    table.to_csv(tmp_path / "t.csv", index=False)
    observations = read_observations(tmp_path / "t.csv", CHOICE)
    results = family_members.analyse(observations, SETTINGS, progress=lambda _done, _total: None)
    mixed = results.frames.omnibus.query("test == 'mixed'")
    assert len(mixed) == 4
    assert (mixed["p_holm_all"] > 0.05).all()
    assert results.frames.icc.empty


def test_what_is_there_is_not_lost(run, tmp_path):
    kept = tmp_path / "out" / "mine.txt"
    kept.parent.mkdir()
    kept.write_text("x")
    with pytest.raises(OutputError, match="is there already"):
        cohort_stats(run.observations.source, tmp_path / "out", choice=CHOICE)
    with pytest.raises(SettingsError, match="--direction names zeff"):
        cohort_stats(
            run.observations.source,
            tmp_path / "new",
            choice=CHOICE,
            settings=StatisticsSettings(directions={"zeff": "higher"}),
        )
    assert kept.read_text() == "x"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_more_pairs_than_a_figure_has_places_for(tmp_path):
    """Eleven groups are 55 pairs; the tests themselves run with 2 to 15 groups elsewhere."""
    groups = {f"{chr(97 + k)}{k:02d}": 2 for k in range(11)}
    table = measurement_table(
        groups=tuple(groups), patients=tuple(groups.values()), phases=("AP",), curves=False,
        profiles=False,
    )  # fmt: skip
    table = table[(table["region"] == "core") & (table["parameter"] == "iodine")]
    done = compared(table, tmp_path)
    assert (done.frame("roc")["method"] == "obuchowski").sum() == 55
    assert "k10" in done.page()
    with house_style():
        for draw in (figures_roc.roc_figures, figures_roc.forest):
            (drawing,) = draw(done.observations, done.results)
            assert "The first 45 of 55 pairs" in drawing.caption
            if draw is figures_roc.roc_figures:
                lines = [line for axis in drawing.figure.axes for line in axis.get_lines()]
                starts = [
                    line.get_xydata()[0].tolist() for line in lines if len(line.get_xydata()) > 1
                ]
                assert len(starts) >= 2 * 45
                assert starts == [[0.0, 0.0]] * len(starts)


def test_cutoffs_of_another_study_are_judged_on_these_lesions(tmp_path):
    def few(seed):
        table = measurement_table(
            groups=("colorectal", "lung"), patients=(8, 7), phases=("AP",), curves=False,
            profiles=False, seed=seed,
        )  # fmt: skip
        return table[(table["region"] == "core") & (table["parameter"] == "iodine")]

    few(1).to_csv(tmp_path / "first.csv", index=False)
    few(2).to_csv(tmp_path / "second.csv", index=False)
    quick = {"settings": StatisticsSettings(replicates=100), "n_workers": 1}
    cutoffs = tmp_path / "both.csv"
    with without_figures():
        first = cohort_stats(tmp_path / "first.csv", tmp_path / "one", **quick)
        roc = pd.read_csv(tmp_path / "one" / "roc.csv")
        pd.concat([roc, roc.assign(phase="PVP")]).to_csv(cutoffs, index=False)
        second = cohort_stats(tmp_path / "second.csv", tmp_path / "two", cutoffs=cutoffs, **quick)
    applied = second.frame("decisions")
    applied = applied[applied["source"] == "both.csv"].reset_index(drop=True)
    n = len(applied)
    assert f"{n} of {2 * n} cut-offs of both.csv belong to what is not compared here" in str(
        second.warnings
    )
    key = ["track", "group_a", "group_b"]
    there = first.frame("roc").dropna(subset="cutoff").drop_duplicates(key)
    np.testing.assert_array_equal(applied["cutoff"], there["cutoff"])
    row = applied.iloc[0]
    values = few(2)[few(2)["group"] == row["group_a"]]["value"]
    above = values > row["cutoff"] if row["direction"] == "higher" else values < row["cutoff"]
    assert row["true_positive"] == above.sum()
    with pytest.raises(InputError, match="no column track"):
        cohort_stats(tmp_path / "second.csv", tmp_path / "x", cutoffs=tmp_path / "first.csv")
    there.assign(phase="PVP").to_csv(tmp_path / "other.csv", index=False)
    with pytest.raises(SettingsError, match="--apply: no phase"):
        cohort_stats(tmp_path / "second.csv", tmp_path / "x", cutoffs=tmp_path / "other.csv")


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        (("mg/mL", "by least squares"), ()),
        (("", ""), ("roc.csv does not say the unit of iodine",)),
        (("mg/mL", "by hand"), ("iodine is by hand in roc.csv, by least squares here",)),
    ],
)
def test_cutoffs_are_of_the_same_quantity_or_it_is_told(tmp_path, there, expected):
    observations = SimpleNamespace(
        phases=("PVP",), regions=("rim",), parameters=("iodine",), groups=("lung", "breast"),
        units={"iodine": "mg/mL"}, definitions={"iodine": "by least squares"},
    )  # fmt: skip
    path = tmp_path / "roc.csv"
    row = ("paper", "PVP", "rim", "iodine", "lung", "breast", "higher", 1.5)
    columns = [*CUTOFF, *MEANING]
    pd.DataFrame([(*row, *there)], columns=columns).to_csv(path, index=False)
    cutoffs, warnings = applied_cutoffs(path, observations)
    assert [*cutoffs.columns] == [*CUTOFF, "source"]
    assert len(warnings) == len(expected)
    assert all(words in told for words, told in zip(expected, warnings, strict=True))
    pd.DataFrame([(*row, "100 µg/cm³", "")], columns=columns).to_csv(path, index=False)
    with pytest.raises(SettingsError, match="are in 100 µg/cm³, values here in mg/mL"):
        applied_cutoffs(path, observations)
