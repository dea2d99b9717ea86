"""Images in NIfTI, NRRD and MetaImage: the tables and maps of the DICOM study that they were made of."""

import gzip
import json
import re

import nibabel
import numpy as np
import pytest
import SimpleITK
from typer.testing import CliRunner

import gsigpu
from gsigpu.cli.app import app
from gsigpu.cli.volume_options import volumes_named
from gsigpu.errors import GridMismatch, GsigpuError, PixelDataError, SettingsError
from gsigpu.phantom import PhantomSettings, write_phantom
from gsigpu.vmi_volumes import is_of_volumes, read_volumes

STUDY = PhantomSettings(
    shape=(8, 64, 72),
    spacing_mm=(8.0, 4.0, 4.0),
    n_lesions=2,
    diameter_mm=(22.0, 30.0),
    phases=("PVP",),
    energies_kev=(40.0, 60.0, 70.0, 100.0),
    extras=(),
    seed=3,
)
SUFFIXES = {40: "nii.gz", 60: "nrrd", 70: "mha", 100: "nii"}


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return write_phantom(tmp_path_factory.mktemp("volumes") / "phantom", STUDY)


@pytest.fixture(scope="module")
def study(truth):
    return gsigpu.scan(truth.dicom_folder)


@pytest.fixture(scope="module")
def files(truth, study):
    """Written by SimpleITK, one format for each energy."""
    folder = truth.lesion_mask.parents[1] / "volumes"
    folder.mkdir()
    paths = {kev: folder / f"vmi_{kev}.{suffix}" for kev, suffix in SUFFIXES.items()}
    for kev, path in paths.items():
        volume = study.volume(kev)
        hu = np.where(np.isnan(volume.array), -3024, volume.array)  # as dcm2niix leaves it
        image = SimpleITK.GetImageFromArray(hu.astype(np.int16))
        image.CopyInformation(volume.to_sitk())
        SimpleITK.WriteImage(image, str(path), useCompression=kev == 60)
    return paths


def run(*words):
    """In this process: exit code, output, and what is told on the way or at the end."""
    done = CliRunner().invoke(app, [str(word) for word in words])
    told = done.stderr + (str(done.exception) if isinstance(done.exception, GsigpuError) else "")
    return done.exit_code, done.stdout, told


def named(files):
    return [part for kev, path in files.items() for part in ("--nifti", f"{kev}={path}")]


def test_the_table_is_that_of_the_dicom_study(truth, study, files, tmp_path):
    masks = gsigpu.MaskFiles((truth.lesion_mask,), liver=truth.liver_mask)
    of_dicom = gsigpu.measure(study, masks).table
    code, _, errors = run(
        "measure", *named(files), "--phase", "portal", "--mask", truth.lesion_mask, "--liver-mask", truth.liver_mask,
        "--patient", "P7", "-o", tmp_path / "t.csv",
    )  # fmt: skip
    assert (code, errors) == (0, "")
    table = gsigpu.measure(gsigpu.read_volumes(files, phase="PVP"), masks).table
    for ours in (table, read_csv(tmp_path / "t.csv")):
        assert set(ours.phase) == {"PVP"}
        columns = ["lesion_id", "region", "parameter", "statistic", "unit", "definition", "n_valid"]
        assert ours[columns].fillna("").equals(of_dicom[columns].fillna(""))
        assert ours.value.to_numpy() == pytest.approx(
            of_dicom.value, rel=1e-4, abs=1e-3, nan_ok=True
        )
    record = json.loads((tmp_path / "t.json").read_text())
    for series, path in zip(record["series"], files.values(), strict=True):
        digest = digest_of(path)
        assert series["uid"] == f"sha256:{digest}"
        assert series["sop_instance_uids"] == [series["uid"]]


def read_csv(path):
    from gsigpu.tables.measurement_table import read_table

    return read_table(path)


def digest_of(path):
    from hashlib import sha256

    return sha256(path.read_bytes()).hexdigest()[:32]


def test_maps_by_a_pattern_lie_where_the_images_lie(study, files, tmp_path):
    of_dicom = gsigpu.map(study, maps=["iodine"])["iodine"]
    for kev, path in files.items():  # one folder, one kind of name
        image = SimpleITK.ReadImage(str(path))
        SimpleITK.WriteImage(image, str(tmp_path / f"p_{kev}.nii.gz"))
    code, _, _ = run("map", "--nifti", tmp_path / "p_{kev}.nii.gz", "--format", "nifti", "--maps", "iodine", "-o", tmp_path / "maps")  # fmt: skip
    assert code == 0
    image = SimpleITK.ReadImage(str(tmp_path / "maps/iodine.nii"))
    assert image.GetOrigin() == pytest.approx(of_dicom.to_sitk().GetOrigin(), abs=1e-3)
    assert image.GetDirection() == pytest.approx(of_dicom.to_sitk().GetDirection(), abs=1e-6)
    written = nibabel.load(tmp_path / "maps/iodine.nii").get_fdata().T
    np.testing.assert_allclose(written, of_dicom.array, atol=1e-3)


def test_what_needs_dicom_headers_is_refused_and_leaves_nothing(truth, files, tmp_path):
    for arguments, remedy in (
        (("map", *named(files)), "use --format nifti, or nrrd"),
        (("map", *named(files), "--format", "pm"), "use --format nifti, or nrrd"),
        (("measure", *named(files), "--mask", truth.lesion_mask, "--dicom"), "leave --dicom out"),
    ):
        out = tmp_path / ("t.csv" if arguments[0] == "measure" else "maps")
        code, _, errors = run(*arguments, "-o", out)
        assert code != 0
        assert f"the images were read from vmi_40.nii.gz; {remedy}" in errors
        assert list(tmp_path.iterdir()) == []


def test_images_are_not_taken_away_with_the_output(files, tmp_path):
    out = tmp_path / "maps"
    assert run("map", *named(files), "--format", "nrrd", "-o", out)[0] == 0
    inside = {**files, 100: out / files[100].name}
    inside[100].write_bytes(files[100].read_bytes())
    code, _, errors = run("map", *named(inside), "--format", "nrrd", "-o", out, "--overwrite")
    assert code != 0
    assert "vmi_100.nii is in it" in errors
    assert inside[100].exists()


@pytest.mark.parametrize(
    ("values", "exact", "note"),
    [
        (np.int16([-1024, 0, 3071]), True, ""),
        (np.float32([-1024, 0, 3071]), True, ""),
        (np.float32([-1000.25, 0.5, 3000]), True, ""),
        (np.float64([-1000.1, 0.3, 3000]), False, "v.nrrd: decimal HU are kept in steps of 0.125 HU"),
        (np.int32([-1024, 0, 60_000]), True, ""),
        (np.uint16([0, 24, 4095]), True, "v.nrrd: no value is below 0"),
        (np.float32([np.nan, -700.0, 50.0]), True, ""),
        (np.float32([-3024.0, -700.0, 50.0]), True, ""),
    ],
)  # fmt: skip
@pytest.mark.parametrize("suffix", ["nrrd", "nii.gz"])
def test_values_are_kept_or_the_step_is_told(tmp_path, suffix, values, exact, note):
    note = note.replace("nrrd", suffix)
    image = SimpleITK.GetImageFromArray(np.broadcast_to(values, (2, 3, 3)).copy())
    image.SetOrigin((5, 6, 7))
    SimpleITK.WriteImage(image, str(tmp_path / f"v.{suffix}"))
    study = gsigpu.read_volumes({70: tmp_path / f"v.{suffix}"})
    expected = np.where(values <= -1500, np.nan, values.astype(np.float64))
    got = study.volume(70).array[1, 2]
    np.testing.assert_allclose(got, expected, atol=0 if exact else 0.0625)
    assert [str(line)[: len(note)] for line in study.warnings] == ([note] if note else [])
    assert is_of_volumes(study)
    assert "v." not in repr(study)


def other(path, folder, change):
    """A copy of an image, changed by SimpleITK."""
    image = SimpleITK.ReadImage(str(path))
    image = change(image) or image
    SimpleITK.WriteImage(image, str(folder / "other.nii.gz"))
    return folder / "other.nii.gz"


def test_files_that_are_no_such_images_are_refused(files, tmp_path):
    whole = files[40].read_bytes()
    cut = tmp_path / "cut.nii.gz"
    cut.write_bytes(whole[:-40])
    flipped = tmp_path / "flipped.nii.gz"
    flipped.write_bytes(gzip.compress(gzip.decompress(whole)[:-2]))
    moved = other(files[40], tmp_path, lambda image: image.SetOrigin((0.5, 0.0, 0.0)))
    text = tmp_path / "a.txt"
    text.write_text("no image")
    for file, error, line in (
        (cut, PixelDataError, "is damaged.*copy or export the image again"),
        (flipped, PixelDataError, "holds .* bytes of voxels"),
        (tmp_path / "none.nii", PixelDataError, "is not there; correct the file's name"),
        (moved, GridMismatch, "lies on another grid than vmi_40.nii.gz; resample the images"),
        (text, SettingsError, "no NIfTI, NRRD or MetaImage file; name a file that ends in .nii"),
    ):
        with pytest.raises(error, match=line):
            gsigpu.read_volumes({40: files[40], 70: file})
    origin = other(files[40], tmp_path, lambda image: image.SetOrigin((0, 0, 0)))
    header = bytearray(gzip.decompress(origin.read_bytes()))
    header[252:256] = bytes(4)  # qform_code and sform_code: neither counts
    nowhere = tmp_path / "nowhere.nii"
    nowhere.write_bytes(header)
    with pytest.raises(PixelDataError, match=r"does not say where .* save it again with one position"):  # fmt: skip
        gsigpu.read_volumes({70: nowhere})
    with pytest.raises(PixelDataError, match="holds no HU"):
        gsigpu.read_volumes({70: other(files[40], tmp_path, lambda image: SimpleITK.Cast(image, SimpleITK.sitkFloat32) * 1e6)})  # fmt: skip
    with pytest.raises(SettingsError, match="name them with --nifti 70=FILE"):
        read_volumes({})


def test_names_of_images(tmp_path):
    for name in ("a_40.nii", "a_40.5keV.nii", "a_70.nii", "b_70.nii"):
        (tmp_path / name).touch()
    assert volumes_named([f"{tmp_path}/a_{{kev}}.nii", "100=x=y.nii"]).keys() == {40.0, 70.0, 100.0}
    for text, line in (
        ("a.nii", "names no energy; write --nifti 70=a.nii"),
        ("x=a.nii", r"x=a.nii names no energy in 35-200 keV; write --nifti 70=a.nii"),
        (f"{tmp_path}/c_{{kev}}.nii", "fits no file; write the names as they are"),
    ):
        with pytest.raises(SettingsError, match=re.escape(line)):
            volumes_named([text])
    with pytest.raises(SettingsError, match=r"two images at 70 keV.*name one for each energy"):
        volumes_named(["70=a.nii", "70=b.nii"])


def test_a_study_or_images_and_what_is_of_series_alone(truth, files, tmp_path):
    out = ("-o", tmp_path / "t.csv")
    for arguments, line in (
        ((), "neither a study nor images are given; name a folder, or images with --nifti"),
        ((truth.dicom_folder, "--nifti", f"70={files[70]}"), "a study and images are given"),
        (("--nifti", f"70={files[70]}", "--phase-of", "3=AP"), "--phase-of is for series of a folder; leave it out"),
    ):  # fmt: skip
        code, _, errors = run("measure", *arguments, "--mask", truth.lesion_mask, *out)
        assert code != 0
        assert line in errors
