"""The first screen: which pairs are told apart; and what is said where nothing can be."""

import re
import zipfile
from dataclasses import replace
from pathlib import Path

import docx
import matplotlib
import numpy as np
import pandas as pd
import pytest
from docx.enum.text import WD_ALIGN_PARAGRAPH
from docx.oxml.ns import qn

from gsigpu.pipeline.cohort_stats.family_members import analyse
from gsigpu.report.cohort_results import ALPHA, StatisticsSettings
from gsigpu.report.methods import methods
from gsigpu.report.other_tables import readings_table
from gsigpu.report.page import tables_of
from gsigpu.report.pairs_told_apart import n_told_apart, pairs_told_apart
from gsigpu.report.paper_tables import areas_of
from gsigpu.report.sentences import _question, summary
from gsigpu.report.table_cells import Cell, Table, head, text
from gsigpu.report.word_file import MOST_ROWS, write_word_file
from gsigpu.tables.observations import Choice, read_observations
from tests.support.cohort_tables import measurement_table

SETTINGS = StatisticsSettings(replicates=100)


def compared(table, folder, **choice):
    table.to_csv(folder / "t.csv", index=False)
    observations = read_observations(folder / "t.csv", Choice(regions=("rim",), **choice))
    return observations, analyse(observations, SETTINGS, progress=lambda _done, _total: None)


@pytest.fixture(scope="module")
def strong(tmp_path_factory):
    table = measurement_table(
        groups=("breast", "pancreatic", "lung"), patients=(14, 14, 14), phases=("AP",),
        curves=False, profiles=False, seed=4,
    )  # fmt: skip
    return compared(table[table["parameter"].isin(["iodine"])], tmp_path_factory.mktemp("strong"))


def test_each_pair_has_the_area_that_is_farthest_from_a_half(strong):
    observations, results = strong
    areas = areas_of(results.frames.roc, "recommended")
    table = pairs_told_apart(observations, results)
    rows = {row[0].text: [cell.text for cell in row] for row in table.rows}
    assert list(rows) == ["breast v pancreatic", "breast v lung", "pancreatic v lung"]
    n = 0
    for pair, cells in rows.items():
        a, b = pair.split(" v ")
        of_pair = areas[(areas["group_a"] == a) & (areas["group_b"] == b)]
        held = of_pair[of_pair["p_holm_all"] < ALPHA]
        assert cells[1] == ("not shown" if held.empty else "yes")
        assert cells[2] == "iodine (mg/mL)"
        assert cells[8] == "14 v 14"
        if held.empty:
            continue
        n += 1
        best = (held["auc"] - 0.5).abs().max() + 0.5
        assert cells[5] == f"{best:.2f}"
        low, high = (float(end) for end in cells[6].split(" to "))
        assert low <= best <= high
    assert n >= 2
    assert n_told_apart(observations, results) == (n, 3, 3)


def test_above_and_below_follow_the_means(strong):
    observations, results = strong
    means = observations.table.groupby("group")["value"].mean()
    for row in pairs_told_apart(observations, results).rows:
        if len(row) > 2:
            a, b = row[0].text.split(" v ")
            assert row[4].text == ("above" if means[a] > means[b] else "below")


@pytest.fixture(scope="module")
def lonely(tmp_path_factory):
    """One patient in each group: nothing can be tested with patients as units."""
    table = measurement_table(
        groups=("breast", "lung"),
        patients=(1, 1),
        phases=("AP",),
        curves=False,
        profiles=False,
        seed=5,
    )
    table = table[table["parameter"].isin(["iodine"])]
    # Enough lesions for the paper track to find something.
    more = pd.concat(
        [
            table.assign(lesion_id=table["lesion_id"] + f"-{k}", value=table["value"] + 0.01 * k)
            for k in range(6)
        ]
    )
    return compared(more, tmp_path_factory.mktemp("lonely"))


def test_what_cannot_be_tested_is_never_no_difference(lonely):
    observations, results = lonely
    words = summary(observations, results)
    sentences = " ".join([*words.findings, *words.trust])
    assert "cannot be tested" in sentences
    assert "no difference" not in sentences
    assert "decide alike" not in sentences
    assert "= –" not in sentences
    assert "because the data cannot" not in sentences
    tiles = dict(words.tiles[-2:])
    assert set(tiles) == {"–"}, tiles
    assert "none of 1 pairwise tests can be tested" in words.tiles[-1]
    assert "none of 1 pairs of groups can be tested" in words.tiles[-2]
    table = pairs_told_apart(observations, results)
    assert all("cannot be tested" in row[1].text for row in table.rows)


def test_an_exact_p_that_cannot_pass_is_said(tmp_path):
    """Three patients against three, far apart: the exact p cannot go below 2 / C(6, 3) = .1."""
    table = measurement_table(
        groups=("breast", "lung"),
        patients=(3, 3),
        phases=("AP",),
        curves=False,
        profiles=False,
        seed=6,
    )
    table = table[table["parameter"].isin(["iodine"])]
    far = table.assign(value=table["value"] + 100.0 * (table["group"] == "breast"))
    observations, results = compared(far, tmp_path)
    (row,) = pairs_told_apart(observations, results).rows
    assert "cannot go below p = 0.1" in row[1].text
    assert row[1].text.startswith("not shown")


def test_a_unit_the_table_does_not_have_is_not_printed(tmp_path):
    table = measurement_table(
        groups=("breast", "lung"),
        patients=(5, 5),
        phases=("AP",),
        curves=False,
        profiles=False,
        seed=7,
    )
    table = table[table["parameter"].isin(["iodine"])].assign(unit="")
    observations, results = compared(table, tmp_path)
    assert any(
        "Iodine (unit not stated) was compared" in paragraph
        for paragraph in methods(observations, results)
    )
    assert not any("mg/mL" in paragraph for paragraph in methods(observations, results))


def test_methods_name_what_was_done_and_nothing_else(strong):
    observations, results = strong
    text_ = " ".join(methods(observations, results))
    n_lesions = sum(n for _, n in observations.flow.analysed.values())
    assert f"{n_lesions} lesions in 42 patients of 3 groups" in text_
    assert "CR2" in text_
    assert "Obuchowski" in text_
    assert "100 bootstrap samples" in text_
    assert "No direction was declared" in text_
    assert "Shrout" not in text_  # one reader: no agreement was computed
    numbers = [
        int(line.split(".")[0])
        for line in methods(observations, results)
        if line[0].isdigit() and ". " in line[:4]
    ]
    assert numbers == list(range(1, len(numbers) + 1))
    assert all(f"[{k}]" in text_ for k in numbers)


def test_methods_do_not_claim_what_could_not_be_done(strong):
    """With one patient a group they named every test, its variances and its bootstrap."""
    observations, results = strong
    frames = results.frames
    nothing = {
        name: getattr(frames, name).assign(p=np.nan, ci_low=np.nan)
        for name in ("omnibus", "pairwise", "roc")
    }
    nothing["roc"] = nothing["roc"].assign(cutoff_low=np.nan)
    for name in ("omnibus", "pairwise"):
        paper = (
            frames.omnibus["track"] == "paper"
            if name == "omnibus"
            else frames.pairwise["track"] == "paper"
        )
        nothing[name].loc[paper, "p"] = 0.5
    models = frames.models.assign(auc=np.nan)
    without = replace(results, frames=replace(frames, **nothing, models=models))
    text_ = " ".join(methods(observations, without))
    assert "CR2" not in text_
    assert "bootstrap samples" not in text_
    assert "Obuchowski" not in text_
    assert "cross-validation" not in text_
    assert (
        "Too few patients were there for the mixed model, Welch's ANOVA, Games-Howell tests"
        in text_
    )
    assert "one-way ANOVA" in text_


def test_methods_name_the_readers_who_were_tested(strong):
    observations, results = strong
    three = replace(observations, readers=("A", "B", "C"))

    def first_paragraph(*tested):
        return methods(replace(three, readers_tested=tested), results)[0]

    assert "Of 3 readers, the values of B were tested." in first_paragraph("B")
    assert (
        "Of 3 readers, the means of A and C, who measured all or nearly all, were tested."
        in first_paragraph("A", "C")
    )
    assert "the means of what all of them measured were tested" in first_paragraph("A", "B", "C")


def test_methods_name_the_phases_of_a_lesion_only_where_they_were_compared(strong):
    observations, results = strong
    within = results.frames.within
    assert "phase" not in set(within["comparison"])
    written = " ".join(methods(observations, results))
    assert "phases of one region" not in written
    both = pd.concat([within, within.assign(comparison="phase")])
    more = replace(results, frames=replace(results.frames, within=both))
    assert "Regions of one lesion and phases of one region were compared" in " ".join(
        methods(observations, more)
    )


def test_the_question_is_a_sentence(strong):
    observations, _ = strong
    asked_of = replace(observations, parameters=("iodine",), regions=("rim", "lesion"))
    assert _question(asked_of).startswith("Does iodine of rim and the whole lesion in ")
    both = replace(asked_of, parameters=("iodine", "lambda_hu"))
    assert _question(both).startswith("Do iodine and λHU of rim ")


def test_the_textbook_p_stands_below_the_models_own(strong):
    observations, results = strong
    (table,) = (
        t
        for t in tables_of(observations, results).by_parameter["iodine"]
        if "recommended" in t.name
    )
    (row,) = (row for row in table.rows if row[0].text == "textbook mixed model, p")
    expected = results.frames.omnibus.query("parameter == 'iodine' and test == 'mixed'")[
        "p_classical"
    ]
    assert [cell.values[0] for cell in row[1:]] == expected.tolist()
    assert any("lmerTest" in note and "Welch’s F" in note for note in table.notes)


def test_methods_count_sensitivity_analyses_that_gave_a_result(strong):
    observations, results = strong

    def counted(sensitivity):
        more = replace(results, frames=replace(results.frames, sensitivity=sensitivity))
        return " ".join(methods(observations, more))

    primary = results.frames.sensitivity.query("analysis == 'all lesions'")
    assert "sensitivity anal" not in counted(primary)
    done = primary.assign(analysis="reader A alone")
    failed = primary.assign(analysis="reader B alone", p=np.nan)
    assert "was repeated in 1 sensitivity analysis." in counted(pd.concat([primary, done]))
    written = counted(pd.concat([primary, done, failed]))
    assert "in 1 sensitivity analysis. 1 sensitivity analysis could not be computed." in written


def test_methods_say_how_cut_offs_were_used(strong):
    observations, results = strong
    settings = replace(results.settings, prevalence=0.2, equivalence_margin=0.1)
    decisions = results.frames.decisions.assign(source="roc.csv", ppv=0.5)
    written = " ".join(
        methods(
            observations,
            replace(
                results, settings=settings, frames=replace(results.frames, decisions=decisions)
            ),
        )
    )
    assert "Cut-offs of another study (roc.csv) were applied as they are." in written
    assert "Predictive values are for a prevalence of 0.2." in written
    assert "Cut-offs of another study" not in " ".join(methods(observations, results))


TABLE = Table(
    name="t",
    caption="Means",
    header=[[head("", 1), head("AP", 2)], [head("group"), head("core"), head("rim")]],
    rows=[[text("lung"), Cell("1.2", mark="a"), Cell("2.3", strong=True)]],
    notes=["a differs"],
)


def test_the_word_document_has_tables_to_edit(tmp_path):
    write_word_file(tmp_path / "a.docx", title="Title", paragraphs=["We did."], tables=[TABLE])
    document = docx.Document(tmp_path / "a.docx")
    (table,) = document.tables
    assert [[cell.text for cell in row.cells] for row in table.rows] == [
        ["", "AP", "AP"], ["group", "core", "rim"], ["lung", "1.2a", "2.3"],
    ]  # fmt: skip
    mark = table.rows[2].cells[1].paragraphs[0].runs[1]
    assert (mark.text, mark.font.superscript) == ("a", True)
    assert table.rows[2].cells[2].paragraphs[0].runs[0].bold
    assert [paragraph.text for paragraph in document.paragraphs][-1] == "a differs"


def test_a_long_table_of_the_word_document_is_named_with_its_file(tmp_path):
    long = replace(TABLE, rows=[*TABLE.rows] * (MOST_ROWS + 1), name="long")
    write_word_file(tmp_path / "a.docx", title="T", paragraphs=[], tables=[long, TABLE])
    document = docx.Document(tmp_path / "a.docx")
    assert len(document.tables) == 1
    assert "101 rows: see tables/long.csv." in [line.text for line in document.paragraphs]


def test_no_number_of_the_word_document_is_broken(tmp_path, strong):
    """Helvetica's own widths, which Arial has; columns lie between the margins, headers stand on every page."""
    metrics = Path(matplotlib.get_data_path()) / "fonts" / "afm"
    regular, bold = (
        {
            chr(int(code)): int(width) / 1000
            for code, width in re.findall(
                r"C (\d+) ; WX (\d+)", (metrics / name).read_text("latin-1")
            )
        }
        for name in ("phvr8a.afm", "phvb8a.afm")
    )
    tables = tables_of(*strong).files()
    write_word_file(tmp_path / "a.docx", title="T", paragraphs=["We did."], tables=tables)
    document = docx.Document(tmp_path / "a.docx")
    page = document.sections[-1]
    room = page.page_width - page.left_margin - page.right_margin
    n_numbers = 0
    assert len(document.tables) > 5
    for table in document.tables:
        assert sum(column.width for column in table.columns) <= room * 1.001
        for row in table.rows:
            assert row._tr.trPr.find(qn("w:cantSplit")) is not None
            for cell in row.cells:
                for run in cell.paragraphs[0].runs[:1]:
                    is_number = cell.paragraphs[0].alignment == WD_ALIGN_PARAGRAPH.RIGHT
                    letters = bold if run.bold else regular
                    for words in [run.text] if is_number and not run.bold else run.text.split():
                        em = sum(letters.get(letter, 0.584) for letter in words)
                        assert em * run.font.size.pt + 6.0 <= cell.width.pt + 0.1, words
                    n_numbers += is_number
        assert table.rows[0]._tr.trPr.find(qn("w:tblHeader")) is not None
    assert n_numbers > 200


def test_the_same_tables_give_the_same_document(tmp_path):
    for name in ("a", "b"):
        write_word_file(tmp_path / name, title="T", paragraphs=["We did."], tables=[TABLE])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with zipfile.ZipFile(tmp_path / "a") as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_interval_of_the_best_area_is_turned_with_it(strong):
    observations, results = strong
    for row in pairs_told_apart(observations, results).rows:
        if len(row) > 2:
            assert float(row[5].text) >= 0.5
            assert np.all(np.array([float(end) for end in row[6].text.split(" to ")]) >= 0.0)


def test_what_each_reader_measured_stands_in_the_report(tmp_path):
    table = measurement_table(
        groups=("breast", "lung"), patients=(6, 6), phases=("AP",), readers=("A", "B"), curves=False,
        profiles=False, seed=8,
    )  # fmt: skip
    table = table[table["parameter"].isin(["iodine"])]
    # Reader B measured the lungs alone.
    table = table[(table["reader"] == "A") | (table["group"] == "lung")]
    table.to_csv(tmp_path / "t.csv", index=False)
    observations = read_observations(tmp_path / "t.csv", Choice(regions=("rim",), reader="A"))
    shown = {
        row[0].text: [cell.text for cell in row[1:]] for row in readings_table(observations).rows
    }
    n = {
        group: (
            of_group["patient_id"].nunique(),
            len(of_group[["patient_id", "lesion_id"]].drop_duplicates()),
        )
        for group, of_group in table[table["reader"] == "A"].groupby("group")
    }
    assert shown["A"] == [f"{n[group][0]}, {n[group][1]}" for group in observations.groups]
    assert shown["B"] == [
        "–" if group == "breast" else shown["A"][k] for k, group in enumerate(observations.groups)
    ]
