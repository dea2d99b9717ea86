"""A DICOMDIR in the place of a folder gives the files that it names, and tells of those that are not there."""

import shutil
import zipfile
from dataclasses import replace

import pytest
from pydicom import dcmread
from typer.testing import CliRunner

from gsigpu.cli.app import app
from gsigpu.dicom.reading.headers import files_below
from gsigpu.dicom.study.read_study import read_study
from gsigpu.errors import InputError
from gsigpu.phantom import write_phantom
from gsigpu.pipeline.cohort_init.propose import propose_manifest
from gsigpu.pipeline.cohort_run.row_files import study_fingerprint
from gsigpu.tables.manifest import read_manifest
from tests.support.cohort import TINY


@pytest.fixture(scope="module")
def disc(tmp_path_factory):
    """A disc with its index, and an image beside that the index does not name."""
    root = tmp_path_factory.mktemp("disc")
    settings = replace(TINY, extras=("dicomdir",), patient_id="P1", energies_kev=(60.0, 100.0))
    truth = write_phantom(root / "made", settings)
    (dicomdir,) = truth.dicom_folder.rglob("DICOMDIR")
    shutil.copytree(dicomdir.parent, root / "disc")
    image = read_study(root / "disc").series[0].planes[0].path
    shutil.copy(image, root / "disc" / "STRAY")
    return root / "disc"


def test_the_files_that_it_names_and_no_others(disc):
    names = files_below(disc / "DICOMDIR")
    assert set(names) == {*files_below(disc)} - {str(disc / "STRAY")}
    with_stray, study = read_study(disc), read_study(disc / "DICOMDIR")
    assert [s.key for s in study.series] == [s.key for s in with_stray.series]
    assert not any("copies" in line or "copy" in line for line in study.warnings)


def test_names_in_other_case(disc, tmp_path):
    for path in (path for path in disc.rglob("*") if path.is_file()):
        copy = tmp_path / str(path.relative_to(disc)).lower()
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    study = read_study(tmp_path / "dicomdir")
    assert [s.key for s in study.series] == [s.key for s in read_study(disc).series]


def test_a_file_that_is_not_there_is_told(disc, tmp_path):
    root = tmp_path / "disc"
    shutil.copytree(disc, root)
    before = study_fingerprint(root / "DICOMDIR")
    lost = read_study(root).series[0].planes[-1].path
    lost.unlink()
    study = read_study(root / "DICOMDIR")
    assert any(
        "1 damaged file is left out" in line and lost.name in line for line in study.warnings
    )
    assert study_fingerprint(root / "DICOMDIR") != before


def test_in_an_archive_in_a_manifest_and_as_a_tree(disc, tmp_path):
    archive = tmp_path / "P1.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in disc.rglob("*"):
            packed.write(path, path.relative_to(disc))
    names = files_below(archive / "DICOMDIR")
    assert len(names) == len(files_below(disc / "DICOMDIR"))
    (row,) = propose_manifest(disc / "DICOMDIR").rows
    assert (row["case_id"], row["study"]) == ("P1", str(disc))
    manifest = tmp_path / "m.csv"
    (tmp_path / "m.nii.gz").write_bytes(b"")
    manifest.write_text(
        f"case_id,patient_id,group,phase,study,mask\nc,p,g,PVP,{disc / 'DICOMDIR'},m.nii.gz\n"
    )
    assert read_manifest(manifest)[0].study == disc / "DICOMDIR"
    done = CliRunner().invoke(app, ["scan", str(disc / "DICOMDIR")])
    assert done.exit_code == 0, done.output
    assert "Mono 60 keV" in done.output


@pytest.mark.filterwarnings("ignore:Invalid value for VR CS")
@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            lambda ds: setattr(last(ds), "ReferencedFileID", ["..", "..", "x"]),
            "outside of its folder",
        ),
        (lambda ds: ds.DirectoryRecordSequence.clear(), "names no file"),
        (lambda ds: delattr(ds, "DirectoryRecordSequence"), "is no DICOMDIR that can be read"),
    ],
)
def test_one_that_cannot_be_used(disc, tmp_path, change, match):
    ds = dcmread(disc / "DICOMDIR")
    change(ds)
    ds.save_as(tmp_path / "DICOMDIR")
    with pytest.raises(InputError, match=match):
        files_below(tmp_path / "DICOMDIR")


def last(ds):
    return ds.DirectoryRecordSequence[-1]
