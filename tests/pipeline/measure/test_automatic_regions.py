"""Masks drawn by TotalSegmentator: called as it is documented, kept by content, told and marked wherever values rest on them."""

import json
import re

import nibabel
import numpy as np
import pydicom
import pytest
from typer.testing import CliRunner

import gsigpu
from gsigpu.automatic_masks import mask_cache, totalsegmentator
from gsigpu.cli.app import app
from gsigpu.errors import GridMismatch, MissingDependency, OutputError, ProgramFailed
from gsigpu.tables.measurement_table import read_table
from tests.support.automatic import put_on_path, written_masks

SETTINGS = gsigpu.PhantomSettings(
    shape=(8, 64, 80), spacing_mm=(15.0, 4.4, 4.4), n_lesions=2, diameter_mm=(28.0, 30.0),
    energies_kev=(60.0, 70.0, 100.0), phases=("AP", "PVP"), noise_hu=0.0, texture_mg_per_ml=0.0, extras=(),
)  # fmt: skip
FLAG = "automatic:totalsegmentator-2.18.0"
LINES = [
    "--segment needs the program TotalSegmentator, which is not on the search path; install it: pip install TotalSegmentator, or pip install 'gsigpu[segment]'",
    "unknown program 'monai' to draw masks; use --segment totalsegmentator",
    "TotalSegmentator 2.12.0 has no task liver_lesions; take a later one: pip install --upgrade TotalSegmentator",
    "TotalSegmentator: does not say its version: cannot import torch; start it by hand to see why",
    "TotalSegmentator -ta total was killed (signal 9); give it more memory, or run fewer at once, and try again",
    "TotalSegmentator -ta total failed: RuntimeError; read what it printed: total.log",
    "TotalSegmentator -ta total ended well and left no liver.nii.gz; read what it printed: total.log",
    "TotalSegmentator -ta total left liver.nii.gz, which cannot be read (eof); read what it printed: total.log",
    "TotalSegmentator -ta total left liver.nii.gz on another grid than that of the images (1 x 1 x 1 voxels for 1 x 1 x 2); read what it printed: total.log",
    "cannot keep masks of TotalSegmentator (Not a directory); name another folder in the environment variable GSIGPU_CACHE",
    "--dry-run has no masks drawn, and cannot tell which slices they will touch; leave --segment out, or --dry-run",
]


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return gsigpu.write_phantom(tmp_path_factory.mktemp("study") / "phantom", SETTINGS)


@pytest.fixture(scope="module")
def masks(tmp_path_factory, truth):
    return written_masks(tmp_path_factory.mktemp("masks") / "masks", truth)


@pytest.fixture
def stand_in(monkeypatch, tmp_path, masks):
    (tmp_path / "program").mkdir()
    return put_on_path(monkeypatch, tmp_path / "program", masks)


def run(truth, out, *words):
    phase = [] if "--phase" in words else ["--phase", "PVP"]
    command = ["measure", truth.dicom_folder, "-o", out, *phase, "--no-curve", *words]
    return CliRunner().invoke(app, [str(word) for word in command])


def segmented(truth, out, *words):
    return run(truth, out, "--segment", "totalsegmentator", *words)


def means(table):
    rows = table[(table.statistic == "mean") & (table.parameter == "iodine")]
    return {(row.lesion_id, row.region): row.value for row in rows.itertuples()}


def test_all_that_is_not_given_is_drawn_and_the_values_are_those_of_the_masks(
    truth, stand_in, tmp_path
):
    done = segmented(truth, tmp_path / "m.csv")
    assert done.exit_code == 0, done.output
    table = read_table(tmp_path / "m.csv")
    given = [
        "--mask",
        truth.lesion_mask,
        "--liver-mask",
        truth.liver_mask,
        "--aorta-mask",
        truth.aorta_mask,
    ]
    assert run(truth, tmp_path / "g.csv", *given, "--split-lesions").exit_code == 0
    drawn, by_hand = means(table), means(read_table(tmp_path / "g.csv"))
    assert {lesion for lesion, _ in drawn} == {"", "auto-PVP-01", "auto-PVP-02"}
    assert sorted(drawn.values()) == pytest.approx(sorted(by_hand.values()))
    assert stand_in.calls == [
        "-o OUT -ta liver_lesions".replace("OUT", stand_in.calls[0].split()[1]),
        "-o OUT -ta liver_vessels".replace("OUT", stand_in.calls[1].split()[1]),
        f"-o {stand_in.calls[2].split()[1]} -ta total -rs liver aorta portal_vein_and_splenic_vein",
    ]
    assert all(FLAG in flags.split(";") for flags in table["flags"])
    record = json.loads((tmp_path / "m.json").read_text("utf-8"))
    assert {(mask["region"], mask["task"]) for mask in record["automatic_masks"]} == {
        ("auto-PVP-01", "liver_lesions"), ("auto-PVP-02", "liver_lesions"), ("liver", "total"), ("aorta", "total"),
    }  # fmt: skip
    assert {(mask["version"], mask["energy_kev"]) for mask in record["automatic_masks"]} == {
        ("2.18.0", 70.0)
    }
    assert {mask["file"] for mask in record["masks"]} >= {"liver_lesions.nii.gz", "liver.nii.gz"}
    found_none = "TotalSegmentator 2.18.0 found no liver_vessels in the images of PVP at 70 keV"
    assert found_none in record["warnings"]
    assert "drawn by TotalSegmentator 2.18.0 liver_lesions on 70 keV, unedited" in done.output
    printed = done.stdout.split("\n\n")[-1].splitlines()  # the table of lesions
    assert max(map(len, printed)) <= 80
    assert sum("automatic" in line for line in printed) == 4  # lesions, parenchyma and aorta
    assert str(stand_in.cache) not in json.dumps(record)


def test_what_was_drawn_is_kept_by_images_version_and_task(truth, stand_in, tmp_path, monkeypatch):
    assert segmented(truth, tmp_path / "a.csv").exit_code == 0
    n_first = len(stand_in.calls)
    assert segmented(truth, tmp_path / "b.csv").exit_code == 0
    assert len(stand_in.calls) == n_first
    assert read_table(tmp_path / "a.csv").equals(read_table(tmp_path / "b.csv"))
    assert segmented(truth, tmp_path / "ap.csv", "--phase", "AP").exit_code == 0
    assert len(stand_in.calls) == 2 * n_first
    totalsegmentator._version.cache_clear()
    monkeypatch.setenv("STAND_IN_VERSION", "2.19.0")
    assert segmented(truth, tmp_path / "c.csv").exit_code == 0
    totalsegmentator._version.cache_clear()
    assert len(stand_in.calls) == 3 * n_first
    (mark,) = set.intersection(*read_table(tmp_path / "c.csv")["flags"].str.split(";").map(set))
    assert mark == FLAG.replace("2.18", "2.19")
    assert [path.name for path in stand_in.cache.rglob(".*")] == []


def test_masks_that_are_given_go_before(truth, stand_in, tmp_path):
    done = segmented(truth, tmp_path / "m.csv", "--mask", truth.lesion_mask, "--liver-mask", truth.liver_mask)  # fmt: skip
    assert done.exit_code == 0, done.output
    assert [call.split()[3] for call in stand_in.calls] == ["liver_vessels", "total"]
    table = read_table(tmp_path / "m.csv")
    of_lesions = table[table.lesion_id != ""]
    assert set(of_lesions.lesion_id) == {"1", "2"}
    assert set(table[table.region == "aorta"]["flags"]) == {FLAG}
    inside = of_lesions[of_lesions.region.isin(["lesion", "rim", "core"])]
    assert not inside[inside.parameter == "iodine"]["flags"].str.contains(FLAG).any()
    assert inside[inside.parameter == "nic"]["flags"].str.contains(FLAG).all()  # over the aorta


def test_the_mark_goes_with_the_first_changed_voxel(truth, stand_in, tmp_path):
    assert segmented(truth, tmp_path / "m.csv").exit_code == 0
    (folder,) = (path.parent for path in stand_in.cache.rglob("liver_lesions.nii.gz"))
    image = nibabel.load(folder / "liver_lesions.nii.gz")
    voxels = np.asarray(image.dataobj).copy()
    # Saved anew by another program, packed otherwise: the same mask.
    nibabel.save(nibabel.Nifti1Image(voxels.astype(np.int16), image.affine), tmp_path / "l.nii")
    words = ["--liver-mask", truth.liver_mask, "--split-lesions", "--mask", tmp_path / "l.nii"]
    assert run(truth, tmp_path / "same.csv", *words).exit_code == 0
    same = read_table(tmp_path / "same.csv")
    assert all(FLAG in told.split(";") for told in same[same.region == "lesion"]["flags"])
    # A voxel of one lesion changed: that one was looked at, the other not.
    labels = np.asarray(nibabel.load(truth.lesion_mask).dataobj)
    largest = max((1, 2), key=lambda label: (labels == label).sum())
    voxels[tuple(np.argwhere(labels == largest)[0])] = 0
    nibabel.save(nibabel.Nifti1Image(voxels, image.affine), tmp_path / "l.nii")
    assert run(truth, tmp_path / "edited.csv", *words).exit_code == 0
    edited = read_table(tmp_path / "edited.csv")
    of_lesion = edited[edited.region == "lesion"].groupby("lesion_id")["flags"].unique()
    assert sorted(FLAG in flags[0].split(";") for flags in of_lesion) == [False, True]
    record = json.loads((tmp_path / "edited.json").read_text("utf-8"))
    assert sorted(mask["region"] for mask in record["automatic_masks"])[-1] == "liver"


def test_no_lesion_is_a_result(truth, stand_in, tmp_path, monkeypatch):
    monkeypatch.setenv("STAND_IN_MASKS", str(tmp_path / "few"))
    (tmp_path / "few").mkdir()
    for name in ("liver", "empty"):
        (tmp_path / "few" / f"{name}.nii.gz").symlink_to(stand_in.masks / f"{name}.nii.gz")
    done = segmented(truth, tmp_path / "m.csv")
    assert done.exit_code == 0, done.output
    assert set(read_table(tmp_path / "m.csv").region) == {"parenchyma"}
    assert "found no liver_lesions in the images of PVP at 70 keV" in done.stderr
    nothing = segmented(truth, tmp_path / "n.csv", "--regions", "lesion,aorta")
    assert "none of the regions lesion, aorta can be made" in str(nothing.exception)


@pytest.mark.parametrize(
    ("fault", "kind", "told"),
    [
        ("fails", ProgramFailed, r"TotalSegmentator -ta liver_lesions failed: .*RuntimeError: CUDA out of memory.* GiB; read what it printed: .*/logs/\w+\.log"),
        ("killed", ProgramFailed, r"\.log: TotalSegmentator -ta liver_lesions was killed \(signal 9\); give it more memory"),
        ("absent", ProgramFailed, r"ended well and left no liver_lesions\.nii\.gz; read what it printed"),
        ("elsewhere", GridMismatch, r"left liver_lesions\.nii\.gz on another grid .*\(79 x 64 x 8 voxels for 80 x 64 x 8\)"),
        ("cut", ProgramFailed, r"left liver_lesions\.nii\.gz, which cannot be read"),
    ],
)  # fmt: skip
def test_what_goes_wrong_is_told_and_leaves_nothing(
    truth, stand_in, tmp_path, monkeypatch, fault, kind, told
):
    monkeypatch.setenv("STAND_IN_FAULT", fault)
    done = segmented(truth, tmp_path / "m.csv")
    assert isinstance(done.exception, kind)
    assert re.search(told, str(done.exception)), str(done.exception)
    (log,) = (stand_in.cache / "logs").iterdir()
    assert str(log) in str(done.exception)
    assert "ryai.230024" in log.read_text("utf-8")
    assert list((stand_in.cache / "totalsegmentator").iterdir()) == []
    assert not (tmp_path / "m.csv").exists()
    if fault == "killed":  # and the next run begins anew
        monkeypatch.delenv("STAND_IN_FAULT")
        assert segmented(truth, tmp_path / "m.csv").exit_code == 0


def test_two_at_once_leave_the_same(truth, stand_in, tmp_path, monkeypatch):
    assert segmented(truth, tmp_path / "a.csv").exit_code == 0
    (made,) = (path.parent for path in stand_in.cache.rglob("liver_lesions.nii.gz"))
    other = made.with_name("other")
    made.rename(other)
    run_task = totalsegmentator.run_task

    def overtaken(*arguments, **keywords):
        run_task(*arguments, **keywords)
        other.rename(made)  # another run is done just now

    monkeypatch.setattr(mask_cache, "run_task", overtaken)
    assert segmented(truth, tmp_path / "b.csv").exit_code == 0
    assert [path.name for path in made.parent.iterdir() if path.name.startswith(".")] == []
    assert read_table(tmp_path / "a.csv").equals(read_table(tmp_path / "b.csv"))


def test_without_the_program_or_with_another(truth, stand_in, tmp_path, monkeypatch):
    assert str(run(truth, tmp_path / "m.csv", "--segment", "monai").exception) == LINES[1]
    assert str(segmented(truth, tmp_path / "m.csv", "--dry-run").exception) == LINES[-1]
    monkeypatch.setenv("STAND_IN_VERSION", "2.12.0")
    totalsegmentator._version.cache_clear()
    old = segmented(truth, tmp_path / "m.csv").exception
    totalsegmentator._version.cache_clear()
    assert str(old) == (
        "TotalSegmentator 2.12.0 has no task liver_lesions; take a later one: pip install --upgrade TotalSegmentator"
    )
    monkeypatch.setenv("STAND_IN_VERSION", "cannot import torch")
    silent = segmented(truth, tmp_path / "m.csv").exception
    totalsegmentator._version.cache_clear()
    assert "does not say its version: cannot import torch" in str(silent)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(totalsegmentator.sys, "executable", str(tmp_path / "python"))
    absent = segmented(truth, tmp_path / "m.csv").exception
    assert isinstance(absent, MissingDependency)
    assert str(absent) == LINES[0]


def test_a_cache_that_cannot_be_written(truth, stand_in, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GSIGPU_CACHE", str(tmp_path / "file"))
    failed = segmented(truth, tmp_path / "m.csv").exception
    assert isinstance(failed, OutputError)
    assert "name another folder in the environment variable GSIGPU_CACHE" in str(failed)


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.delenv("GSIGPU_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert mask_cache.cache_folder() == tmp_path / "gsigpu"


def test_a_segmentation_says_which_segments_a_program_drew(truth, stand_in, tmp_path):
    words = ["--mask", truth.lesion_mask, "--regions", "lesion,aorta", "--dicom"]
    assert segmented(truth, tmp_path / "m.csv", *words).exit_code == 0
    segments = pydicom.dcmread(tmp_path / "m.seg.dcm").SegmentSequence
    told = {
        segment.SegmentLabel: (
            segment.SegmentAlgorithmType,
            segment.SegmentationAlgorithmIdentificationSequence[0].AlgorithmFamilyCodeSequence[0].CodeMeaning,
            segment.SegmentAlgorithmName,
        )
        for segment in segments
    }  # fmt: skip
    assert told == {
        "aorta": (
            "AUTOMATIC",
            "Artificial Intelligence",
            "gsigpu regions, totalsegmentator-2.18.0",
        ),
        "lesion 1": ("SEMIAUTOMATIC", "Manual Processing", "gsigpu regions"),
        "lesion 2": ("SEMIAUTOMATIC", "Manual Processing", "gsigpu regions"),
    }
