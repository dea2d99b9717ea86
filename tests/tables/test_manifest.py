"""The manifest is checked whole, and every problem names its line."""

import pickle

import pandas as pd
import pytest

from gsigpu.errors import InputError
from gsigpu.tables.manifest import ManifestProblems, read_manifest

HEADER = "case_id,patient_id,group,phase,study,mask,reader,age,confirmed,slope"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "s1").mkdir()
    (tmp_path / "s2").mkdir()
    (tmp_path / "m1.nii").touch()
    (tmp_path / "m2.nii").touch()
    (tmp_path / "m3.nii").touch()
    return tmp_path


def problems(folder, *lines, header=HEADER):
    path = folder / "manifest.csv"
    path.write_text("\n".join((header, *lines)) + "\n", "utf-8")
    with pytest.raises(ManifestProblems) as error:
        read_manifest(path)
    return error.value.problems


def test_a_letter_is_one_however_it_is_composed(folder):
    """But for names of files, which are what the disk says."""
    path, composed, apart = folder / "manifest.csv", "M\u00fcller", "Mu\u0308ller"
    (folder / apart).mkdir()
    lines = [HEADER, f"c1,{composed},{composed},PVP,s1,m1.nii,,,,", f"c2,{apart},{apart},PVP,{apart},m2.nii,,,,"]  # fmt: skip
    path.write_text("\n".join(lines), "utf-8")
    first, second = read_manifest(path)
    assert (second.patient_id, second.group) == (first.patient_id, first.group) == (composed,) * 2
    assert second.study.name == apart


def test_what_a_row_says(folder):
    path = folder / "manifest.csv"
    lines = (
        "\ufeff" + HEADER,
        "c1,p1,lung,PVP,s1,m1.nii;m2.nii,A,045Y,Yes,40-100",
        "",
        'c2,p2,"lung,\nleft",AP,s2,m3.nii,,,,',
        "c3,p1,lung,AP,s2/../s1,m2.nii,,61.0,0,",
    )
    path.write_text("\n".join(lines), "utf-8")
    first, second, third = read_manifest(path)
    assert (first.line, second.line, third.line) == (2, 4, 6)
    assert first.masks == (folder / "m1.nii", folder / "m2.nii")
    assert (first.age, first.confirmed, first.slope) == (45.0, True, "40-100")
    assert (second.group, second.age, second.confirmed) == ("lung,\nleft", None, None)
    assert (third.age, third.confirmed) == (61.0, False)
    assert third.study == first.study
    assert third.study.is_absolute()


def test_everything_at_once(folder):
    lines = problems(
        folder,
        "c1,,lung,PVP,s1,m1.nii,A,,,",
        "c2,p2,lung,PVP,nowhere,m1.nii;m9.nii,A,abc,maybe,100-60",
        "c3,p3,lung,PVP",
        "c4,p4,lung,PVP,s1,m1.nii,,,,",
        "c4,p4,lung,PVP,s1,m1.nii,,,,",
        "c4,p5,breast,AP,s1,m1.nii,,,,",
        "c8,p8,breast,AP,vmi_{kev}.nii.gz,m1.nii,,,,",
    )
    text = "\n".join(lines)
    for words in (
        "line 2: patient_id is empty",
        "line 3: study 'nowhere' is not there",
        "line 3: mask 'm9.nii' is not there",
        "line 3: age 'abc'",
        "line 3: confirmed 'maybe'",
        "line 3: slope '100-60'",
        "line 4: 4 cells under 10 columns",
        "line 6: case c4, phase PVP, reader (none) is on line 5 already",
        "line 7: case c4 has another patient on line 5",
        "line 7: its study is that of another patient on line 5",
        "line 8: study 'vmi_{kev}.nii.gz' is an image in a volume: a row's study is of DICOM files, and measure takes --nifti",
    ):
        assert words in text, words


def test_rows_that_do_not_go_together(folder):
    lines = problems(
        folder,
        "c1,p1,lung,PVP,s1,m1.nii,,,,",
        "c2,p1,breast,PVP,s1,m1.nii,,,,",
    )
    assert lines == [
        "line 3: study, phase, reader and mask are those of case c1 on line 2",
        "one patient has several values of group, lines 2 (lung) and 3 (breast)",
    ]


def test_columns(folder):
    assert problems(folder, "c1", header="case_id") == [
        f"no column {name}" for name in ("patient_id", "group", "phase", "study", "mask")
    ]
    line = "c1,p1,lung,PVP,s1,m1.nii,x"
    for extra, words in (
        ("livermask", "unknown column 'livermask'"),
        ("phase", "stands there twice"),
    ):
        header = f"case_id,patient_id,group,phase,study,mask,{extra}"
        assert words in "\n".join(problems(folder, line, header=header))
    assert problems(folder) == ["no row"]


def test_semicolons_and_parquet_say_the_same(folder):
    text = "case_id,patient_id,group,phase,study,mask,age,confirmed\n7,12,lung,AP,s1,m1.nii,60,yes\n8,13,lung,AP,s2,m2.nii,,no\n"
    (folder / "a.csv").write_text(text)
    (folder / "b.csv").write_text(text.replace(",", ";"))
    table = pd.read_csv(folder / "a.csv")
    table["confirmed"] = table.confirmed == "yes"
    table.to_parquet(folder / "c.parquet")
    rows = read_manifest(folder / "a.csv")
    assert [row.patient_id for row in rows] == ["12", "13"]
    assert read_manifest(folder / "b.csv") == rows
    assert read_manifest(folder / "c.parquet") == rows


def test_what_cannot_be_read(folder):
    (folder / "latin.csv").write_bytes(HEADER.encode() + "\nc1,Müller".encode("latin-1"))
    (folder / "broken.parquet").write_bytes(b"PAR1 no")
    for name in ("latin.csv", "broken.parquet"):
        with pytest.raises(InputError, match="cannot be read"):
            read_manifest(folder / name)
    with pytest.raises(InputError, match="no such manifest"):
        read_manifest(folder / "nowhere.csv")
    error = ManifestProblems(folder, ["a", "b"])
    assert pickle.loads(pickle.dumps(error)).problems == ["a", "b"]


def test_further_columns_series_and_energies(folder):
    path = folder / "manifest.csv"
    path.write_text(
        "case_id;patient_id;group;phase;study;mask;series;energies;notes;kernel\n"
        'c1;p1;lung;PVP;s1;"m1.nii;m2.nii";"1.2.3; 1.2.4";"40;70 keV";"a, b";STND\n'
    )
    (row,) = read_manifest(path)
    assert row.masks == (folder / "m1.nii", folder / "m2.nii")
    assert row.series == ("1.2.3", "1.2.4")
    assert row.energies == (40.0, 70.0)
    assert row.extra == (("notes", "a, b"), ("kernel", "STND"))
    texts = problems(
        folder,
        "c1,p1,lung,PVP,s1,m1.nii,seventy",
        header="case_id,patient_id,group,phase,study,mask,energies",
    )
    assert texts == ["line 2: energy 'seventy' is no energy in keV; write 40;70;100"]


def test_excel_and_the_index_of_pandas(folder):
    table = pd.DataFrame(
        {
            "case_id": [7, 8], "patient_id": ["007", "008"], "group": "lung", "phase": "AP",
            "study": ["s1", "s2"], "mask": ["m1.nii", "m2.nii"], "age": [60.0, None],
        }
    )  # fmt: skip
    table.to_excel(folder / "a.xlsx", index=False)
    table.to_excel(folder / "b.xlsx")
    table.to_csv(folder / "c.csv")
    table.to_csv(folder / "d.csv", sep=";", encoding="utf-8-sig")
    rows = read_manifest(folder / "a.xlsx")
    assert [(row.case_id, row.patient_id, row.age) for row in rows] == [
        ("7", "007", 60.0), ("8", "008", None),
    ]  # fmt: skip
    for name in ("b.xlsx", "c.csv", "d.csv"):
        assert read_manifest(folder / name) == rows, name
    (folder / "e.xlsx").write_bytes(b"no Excel file")
    with pytest.raises(InputError, match="cannot be read"):
        read_manifest(folder / "e.xlsx")


def test_what_is_missing_may_be_skipped(folder):
    path = folder / "manifest.csv"
    lines = (
        "case_id,patient_id,group,phase,study,mask",
        "c1,p1,lung,PVP,s1,m1.nii",
        "c2,p2,lung,PVP,gone,m2.nii",
        "c3,p3,lung,PVP,s2,",
        "c4,p4,lung,PVP,s2,gone.nii",
    )
    path.write_text("\n".join(lines))
    with pytest.raises(ManifestProblems) as error:
        read_manifest(path)
    assert len(error.value.problems) == 3
    with pytest.raises(ManifestProblems, match="its study is that of another patient"):
        read_manifest(path, skip_missing=True)
    path.write_text("\n".join(lines).replace("c4,p4", "c4,p3"))
    rows = read_manifest(path, skip_missing=True)
    assert [row.missing for row in rows] == [(), ("study",), ("mask",), ("mask",)]


def test_groups_and_masks_that_are_doubtful(folder):
    texts = problems(
        folder,
        "c1,p1,Lung cancer,PVP,s1,m1.nii,,,,",
        "c2,p2,lung  cancer,PVP,s2,m1.nii,,,,",
    )
    assert texts == [
        (
            "one group or several? 'Lung cancer' (line 2) and 'lung  cancer' (line 3) differ in case or blanks alone;"
            " write them alike, or call one otherwise"
        ),
        "line 3: its mask is that of another patient on line 2",
    ]


def test_labels_that_some_file_system_takes_for_one_are_refused(folder):
    """Cases have folders, phases have partitions: macOS and Windows know no case."""
    for labels, what in (
        ("c1,p1,lung,PVP {}C1,p2,lung,PVP", "case"),
        ("\u212b1,p1,lung,PVP {}\u00e51,p2,lung,PVP", "case"),
        ("c1,p1,lung,PVP {}c2,P1,lung,PVP", "patient"),
        ("c1,p1,lung,Late {}c2,p2,lung,late", "phase"),
    ):
        first, second = labels.split(" {}")
        texts = problems(folder, f"{first},s1,m1.nii,,,,", f"{second},s2,m2.nii,,,,")
        assert len(texts) == 1, texts
        assert texts[0].startswith(f"one {what} or several? ")


def test_a_row_says_nothing_of_the_patient_where_it_is_printed(folder):
    path = folder / "manifest.csv"
    path.write_text("case_id,patient_id,group,phase,study,mask\nc1,Doe^Jane,lung,PVP,s1,m1.nii\n")
    assert repr(read_manifest(path)) == "[ManifestRow(line 2)]"
