"""A manifest proposed from a tree: what is not sure stays empty, with the candidates in a note."""

import shutil
import zipfile
from dataclasses import replace

import pytest
from pydicom import dcmread
from typer.testing import CliRunner

from gsigpu.cli.app import app
from gsigpu.dicom.study.read_study import read_study
from gsigpu.dicom.study.stack import select_stack
from gsigpu.errors import SettingsError
from gsigpu.phantom import write_phantom
from gsigpu.pipeline.cohort_init.propose import propose_manifest
from gsigpu.tables.manifest import ManifestProblems, read_manifest
from tests.support.cohort import TINY


def study(folder, patient_id, **settings):
    """A study's DICOM folder, without its masks; `date` is that of the examination."""
    date = settings.pop("date", "")
    truth = write_phantom(folder, replace(TINY, patient_id=patient_id, **settings))
    for path in (truth.dicom_folder).rglob("*") if date else ():
        if path.is_file():
            header = dcmread(path)
            header.StudyDate = date
            header.save_as(path)
    masks = folder.parent / f"{folder.name} masks"
    (folder / "masks").rename(masks)
    return masks


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("tree")
    for number, (patient, time) in enumerate(
        [("P001", "baseline"), ("P001", "followup"), ("P002", "baseline")]
    ):
        folder = root / "dicom" / patient / time
        masks = study(folder, patient, seed=number)
        (root / "masks").mkdir(exist_ok=True)
        (masks / "lesions.nii.gz").rename(root / "masks" / f"{patient}_{time}.nii.gz")
        shutil.rmtree(masks)
    (root / "masks" / "P002_baseline.nii.gz").unlink()
    return root


def by_study(root):
    proposal = propose_manifest(root)
    return {
        row["study"].removeprefix(f"{root}/"): row["mask"].removeprefix(f"{root}/")
        for row in proposal.rows
    }, "\n".join(proposal.notes)


def test_no_mask_of_another_patient(tree):
    rows, notes = by_study(tree)
    assert rows == {
        "dicom/P001/baseline/dicom": "masks/P001_baseline.nii.gz",
        "dicom/P001/followup/dicom": "masks/P001_followup.nii.gz",
        "dicom/P002/baseline/dicom": "",
    }
    assert "P002/baseline/dicom, phase PVP: no mask of lesions found" in notes


def test_candidates_are_told(tree):
    mask = tree / "masks/P001_lesions.nii.gz"
    shutil.copy(tree / "masks/P001_baseline.nii.gz", mask)
    other = tree / "masks/P001_baseline.nii.gz"
    aside = other.rename(tree / "aside.nii.gz")
    rows, notes = by_study(tree)
    assert rows["dicom/P001/baseline/dicom"] == ""
    assert "candidates whose names do not say for sure: P001_lesions.nii.gz" in notes
    aside.rename(other)
    mask.unlink()


def test_dicom_masks_by_reference_and_never_our_own(tree):
    """Wherever a SEG lies, and whatever it is called."""
    words = [
        "measure", tree / "dicom/P001/followup/dicom", "--mask", tree / "masks/P001_followup.nii.gz",
        "-o", tree / "masks/P002_baseline.csv", "--dicom",
    ]  # fmt: skip
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    rows, _ = by_study(tree)
    assert rows["dicom/P002/baseline/dicom"] == ""
    assert rows["dicom/P001/followup/dicom"] == "masks/P001_followup.nii.gz"  # not the SEG of it
    seg = tree / "masks/P002_baseline.seg.dcm"
    header = dcmread(seg)
    header.Manufacturer = header.ManufacturerModelName = "Slicer"
    header.save_as(seg)
    (tree / "masks/P001_followup.nii.gz").rename(tree / "aside.nii.gz")
    rows, _ = by_study(tree)
    assert rows["dicom/P002/baseline/dicom"] == ""
    assert rows["dicom/P001/followup/dicom"] == "masks/P002_baseline.seg.dcm"
    (tree / "aside.nii.gz").rename(tree / "masks/P001_followup.nii.gz")
    for path in (tree / "masks").glob("P002_baseline*"):
        path.unlink()


def test_phases_in_studies_of_their_own_are_one_case(tmp_path):
    for number, phase in enumerate(("AP", "PVP")):
        study(tmp_path / phase, "P1", phases=(phase,), seed=number, date="20240501")
    study(tmp_path / "later", "P1", phases=("PVP",), seed=7, date="20240801")
    rows = propose_manifest(tmp_path).rows
    assert {(row["case_id"], row["phase"], row["study"].split("/")[-2]) for row in rows} == {
        ("P1-1", "AP", "AP"), ("P1-1", "PVP", "PVP"), ("P1-2", "PVP", "later"),
    }  # fmt: skip


def test_everybody_is_anonymous_and_folders_are_groups(tmp_path):
    for number, name in enumerate(("lung/a1", "lung/a2", "breast/b1", "breast/b2")):
        study(tmp_path / name, "ANONYMOUS", seed=number)
    proposal = propose_manifest(tmp_path)
    notes = "\n".join(proposal.notes)
    assert "4 studies have the Patient ID 'ANONYMOUS'" in notes
    assert "folders that may be groups, with their patients: breast" in notes
    assert {row["group"] for row in proposal.rows} == {""}
    grouped = propose_manifest(tmp_path, groups_from_folders=True).rows
    assert {row["group"] for row in grouped} == {"lung", "breast"}


def packed(folder, path):
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))


def test_one_archive_per_patient(tree, tmp_path):
    root = tmp_path / "in"
    root.mkdir()
    packed(tree / "dicom/P001/baseline/dicom", root / "P001.zip")
    packed(tree / "dicom/P002/baseline/dicom", root / "P002.ZIP")
    (root / "P003.zip").write_bytes((root / "P001.zip").read_bytes()[:5000])
    shutil.copytree(tree / "dicom/P001/baseline/dicom", root / "unpacked")
    shutil.copy(tree / "masks/P001_baseline.nii.gz", root / "P001_lesions.nii.gz")
    with zipfile.ZipFile(root / "P002.ZIP", "a") as archive:
        archive.write(tree / "masks/P001_baseline.nii.gz", "lesions.nii.gz")
    rows, notes = by_study(root)
    assert rows == {"P001.zip": "P001_lesions.nii.gz", "P002.ZIP": ""}
    assert "P003.zip: is damaged, cut off or no archive" in notes
    assert f"{root}/unpacked: holds the study of {root}/P001.zip again; left out" in notes
    assert f"{root}/P002.ZIP: 1 file in it may be masks: unpack them beside it" in notes


def test_a_study_in_an_archive_per_phase_and_words_of_the_site(tmp_path):
    study(tmp_path / "whole", "P1", phases=("AP", "PVP"), date="20240501")
    root = tmp_path / "in"
    for number, name in ((301, "AP.zip"), (304, "PVP.zip")):
        part = root / name.removesuffix(".zip")
        for more in range(3):
            source = tmp_path / f"whole/dicom/SER{number + more:05d}"
            shutil.copytree(source, part / source.name)
        packed(part, root / name)
        shutil.rmtree(part)
    rows = propose_manifest(root).rows
    assert {(row["case_id"], row["phase"], row["study"].rsplit("/", 1)[1]) for row in rows} == {
        ("P1", "AP", "AP.zip"), ("P1", "PVP", "PVP.zip"),
    }  # fmt: skip
    words = tmp_path / "words.toml"
    words.write_text('[[phase]]\nfield = "series_description"\nwords = ["pvp"]\nphase = "late"\n')
    out = tmp_path / "m.csv"
    command = ["cohort", "init", str(root), "-o", str(out), "--patterns", str(words)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    # As in `scan`: words that name two phases name none.
    assert {line.split(",")[3] for line in out.read_text().splitlines()[1:]} == {"AP", ""}


@pytest.fixture(scope="module")
def flat(tree, tmp_path_factory):
    """All files of two patients, three studies, in one folder, with names that say nothing."""
    root = tmp_path_factory.mktemp("flat")
    files = sorted(path for path in (tree / "dicom").rglob("*") if path.is_file())
    for number, path in enumerate(files):
        shutil.copy(path, root / f"{number * 7919 % 1000:06d}")
    shutil.copy(tree / "masks/P001_baseline.nii.gz", root / "P002_lesions.nii.gz")
    return root


def test_studies_that_lie_mixed_in_one_folder(tree, flat, tmp_path):
    proposal = propose_manifest(flat)
    rows = {row["case_id"]: row for row in proposal.rows}
    assert set(rows) == {"P001-1", "P001-2", "P002"}
    assert {row["study"] for row in rows.values()} == {str(flat)}
    assert len({row["series"] for row in rows.values()}) == 3
    assert {name: row["mask"].rsplit("/", 1)[-1] for name, row in rows.items()} == {
        "P001-1": "", "P001-2": "", "P002": "P002_lesions.nii.gz",
    }  # fmt: skip
    assert proposal.n_studies == 3
    assert "holds 3 studies; the column series tells them apart" in "\n".join(proposal.notes)
    # The manifest is taken, and each row finds its own stack and no other.
    manifest = tmp_path / "m.csv"
    proposal.rows[:] = [row | {"group": "g", "mask": rows["P002"]["mask"]} for row in proposal.rows]
    proposal.rows[:] = [row for row in proposal.rows if row["case_id"] in ("P001-1", "P002")]
    manifest.write_text(proposal.as_csv(tmp_path))
    with pytest.raises(ManifestProblems, match="its mask is that of another patient"):
        read_manifest(manifest)  # and nothing else is wrong with it
    mixed = read_study(flat)
    for row in rows.values():
        stack = select_stack(mixed, series=(row["series"],))
        assert stack.energies_kev == (60.0, 70.0, 100.0)
        assert {member.evidence.study_uid for member in stack.series} == {row["series"]}


def test_nobody_is_guessed_where_all_are_anonymous_in_one_folder(tree, tmp_path):
    for number, folder in enumerate(("P001/baseline", "P002/baseline")):
        for path in (tree / "dicom" / folder).rglob("*.dcm"):
            header = dcmread(path)
            header.PatientID = "ANONYMOUS"
            header.save_as(tmp_path / f"{number}{path.parent.name}{path.name}")
    proposal = propose_manifest(tmp_path)
    assert [(row["case_id"], row["patient_id"]) for row in proposal.rows] == [("", "")] * 2
    assert "whose each is cannot be told; fill in patient_id and case_id" in "\n".join(
        proposal.notes
    )


@pytest.fixture
def two_kernels(tree, tmp_path):
    """A study whose phase was reconstructed twice, once for bone."""
    root = tmp_path / "in"
    for folder in sorted((tree / "dicom/P001/baseline/dicom").iterdir()):
        shutil.copytree(folder, root / folder.name)
        bone = root / "bone" / folder.name
        bone.mkdir(parents=True)
        for path in folder.iterdir():
            header = dcmread(path)
            header.SeriesInstanceUID += ".7"
            header.SOPInstanceUID += ".7"
            header.SeriesNumber += 100
            header.ConvolutionKernel = "BONE"
            header.save_as(bone / path.name)
    shutil.copy(tree / "masks/P001_baseline.nii.gz", root / "lesions.nii.gz")
    return root


def test_two_kernels_of_a_phase_are_a_row_each_until_one_is_chosen(two_kernels, tmp_path):
    proposal = propose_manifest(two_kernels)
    assert [(row["case_id"], row["phase"], row["series"]) for row in proposal.rows] == [
        ("P001", "PVP", "301;302;303"), ("P001", "PVP", "401;402;403"),
    ]  # fmt: skip
    assert all(row["mask"].endswith("lesions.nii.gz") for row in proposal.rows)
    assert proposal.n_studies == 1
    (note,) = [note for note in proposal.notes if "holds 2 stacks" in note]
    assert "series 401;402;403: phase PVP, 3 energies" in note
    assert "kernel BONE" in note
    # Nothing is measured twice by oversight: the manifest is taken when one row is left, or both are cases.
    manifest = tmp_path / "m.csv"
    rows = [row | {"group": "g"} for row in proposal.rows]
    manifest.write_text(replace(proposal, rows=rows).as_csv(tmp_path))
    with pytest.raises(ManifestProblems, match="is on line 2 already"):
        read_manifest(manifest)
    for kept in (rows[1:], [rows[0], rows[1] | {"case_id": "P001 bone"}]):
        manifest.write_text(replace(proposal, rows=kept).as_csv(tmp_path))
        for row in read_manifest(manifest):
            stack = select_stack(read_study(row.study), phase=row.phase, series=row.series)
            numbers = [str(member.evidence.series_number) for member in stack.series]
            assert tuple(numbers) == row.series


def test_a_single_energy_beside_a_stack_is_no_row(two_kernels):
    for folder in sorted((two_kernels / "bone").iterdir())[:2]:
        shutil.rmtree(folder)
    proposal = propose_manifest(two_kernels)
    assert [row["series"] for row in proposal.rows] == ["301;302;303"]
    assert "the others hold one energy each" in "\n".join(proposal.notes)


def test_whose_a_mask_is_and_what_it_is_of_are_words_of_one_name(tree, tmp_path):
    """Patient, study and reader stand in the name, in any order and between other words."""
    root = tmp_path / "in"
    shutil.copytree(tree / "dicom", root / "dicom")
    mask = tree / "masks/P001_baseline.nii.gz"
    for name in (
        "P001_baseline_lesions", "P001-baseline-liver", "baseline_P001_aorta", "P001_baseline_spleen", "liver_P002",
        "reader1/P001_followup", "reader2/P001_followup_tumor", "P002_PVP", "P002_tumor",
    ):  # fmt: skip
        path = root / f"masks/{name}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(mask, path)
    proposal = propose_manifest(root)
    cells = {
        (row["study"].split("/dicom/")[1].removesuffix("/dicom"), row["reader"]): {
            name: row[name].removeprefix(f"{root}/masks/").removesuffix(".nii.gz")
            for name in ("mask", "liver_mask", "aorta_mask", "normal_mask", "vessel_mask")
            if row[name]
        }
        for row in proposal.rows
    }
    assert cells == {
        ("P001/baseline", ""): {
            "mask": "P001_baseline_lesions", "liver_mask": "P001-baseline-liver", "aorta_mask": "baseline_P001_aorta",
        },
        ("P001/followup", "1"): {"mask": "reader1/P001_followup"},
        ("P001/followup", "2"): {"mask": "reader2/P001_followup_tumor"},
        ("P002/baseline", ""): {"mask": "P002_PVP", "liver_mask": "liver_P002"},
    }  # fmt: skip
    # What was not taken is told, and a name that says what a mask is of is not called unsure.
    assert "P002_PVP.nii.gz taken for lesions, not P002_tumor.nii.gz" in "\n".join(proposal.notes)
    assert "names do not say" not in "\n".join(proposal.notes)


def test_a_folder_that_is_called_like_an_organ_says_nothing_of_the_owner(tree, tmp_path):
    shutil.copytree(tree / "dicom/P002/baseline/dicom", tmp_path / "liver/images")
    for name in ("liver", "lesions"):
        shutil.copy(tree / "masks/P001_baseline.nii.gz", tmp_path / f"liver/{name}.nii.gz")
    (row,) = propose_manifest(tmp_path).rows
    assert (row["mask"], row["liver_mask"]) == (
        f"{tmp_path}/liver/lesions.nii.gz", f"{tmp_path}/liver/liver.nii.gz",
    )  # fmt: skip


def test_a_mask_in_an_archive_is_refused_by_that_name(tree, tmp_path):
    packed(tree / "dicom/P001/baseline/dicom", tmp_path / "P001.zip")
    with zipfile.ZipFile(tmp_path / "P001.zip", "a") as archive:
        archive.write(tree / "masks/P001_baseline.nii.gz", "seg/lesions.nii.gz")
    manifest = tmp_path / "m.csv"
    manifest.write_text(
        "case_id,patient_id,group,phase,study,mask\nC,P,g,PVP,P001.zip,P001.zip/seg/lesions.nii.gz\n"
    )
    with pytest.raises(ManifestProblems, match="lies in an archive"):
        read_manifest(manifest)
    command = ["measure", "P001.zip", "--mask", "P001.zip/seg/lesions.nii.gz", "-o", "t.csv"]
    words = [str(tmp_path / word) if "." in word else word for word in command]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1, done.output
    assert "unpack it beside the archive" in str(done.exception)
    with zipfile.ZipFile(tmp_path / "P001.zip") as archive:
        archive.extract("seg/lesions.nii.gz", tmp_path)
    done = CliRunner().invoke(app, [word.replace("P001.zip/seg", "seg") for word in words])
    assert done.exit_code == 0, done.output


def test_masks_of_regions_that_are_asked_for_get_a_column(tree, tmp_path):
    """By whole names beside words for case and phase; what no mask is called, or may not be called, is told."""
    root = tmp_path / "tree"
    shutil.copytree(tree, root)
    for name in ("P001_baseline_spleen", "P002_baseline_Spleen_PVP", "P002_baseline_spleen_cyst"):
        (root / "masks" / f"{name}.nii.gz").touch()
    out = tmp_path / "manifest.csv"
    done = CliRunner().invoke(
        app, ["cohort", "init", str(root), "-o", str(out), "--region", "spleen"]
    )
    assert done.exit_code == 0, done.output
    header, *lines = [line.split(",") for line in out.read_text("utf-8").splitlines()]
    assert header[-1] == "region:spleen"
    cells = {line[header.index("study")]: line[-1].rpartition("/")[2] for line in lines}
    assert cells == {
        "tree/dicom/P001/baseline/dicom": "P001_baseline_spleen.nii.gz",
        "tree/dicom/P001/followup/dicom": "",
        "tree/dicom/P002/baseline/dicom": "P002_baseline_Spleen_PVP.nii.gz",
    }
    with pytest.raises(
        SettingsError, match="no file of a mask is called 'pancreas'; name the masks so, or fill in"
    ):
        propose_manifest(root, regions=["pancreas"])
    with pytest.raises(
        SettingsError, match=r"cannot be called 'aorta'.*; give --region another name"
    ):
        propose_manifest(root, regions=["aorta"])
