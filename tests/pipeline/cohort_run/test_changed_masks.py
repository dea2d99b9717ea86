"""A mask that is changed between the hash that names its row's results and its measuring is noticed."""

import json

import nibabel
import numpy as np
import pandas as pd
import pytest
import SimpleITK

from gsigpu.pipeline.cohort_run import case, row_measurement
from gsigpu.pipeline.cohort_run.run_cohort import run_cohort


def beside(path):
    """Puts another file in the place of one, as programs save."""
    other = path.with_name(f"{path.name}.new")
    other.write_bytes(path.read_bytes())
    other.replace(path)


def less_of_lesion_1(path, write):
    image = SimpleITK.ReadImage(str(path))
    labels = SimpleITK.GetArrayFromImage(image)
    where = np.argwhere(labels == 1)
    labels[tuple(where[: len(where) // 2].T)] = 0
    smaller = SimpleITK.GetImageFromArray(labels)
    smaller.CopyInformation(image)
    write(smaller)


def volumes(out):
    table = pd.read_csv(out / "measurements.csv", keep_default_na=False, dtype={"lesion_id": str})
    chosen = table[(table.parameter == "volume") & (table.region == "lesion")]
    return dict(zip(chosen.lesion_id, chosen.value, strict=True))


@pytest.fixture
def masks(make_cohort, monkeypatch, tmp_path):
    """A cohort of one row; the folder of its masks; what happens to it just before it is measured."""
    monkeypatch.setattr(case, "_WAITS_S", (0.0, 0.0))
    cohort = make_cohort(1)
    folder = cohort.folder / "C01/masks"
    to_do = []
    real = row_measurement.measure_study

    def measure_study(*arguments, **named):
        measurement = real(*arguments, **named)
        if to_do:
            to_do.pop()()
        return measurement

    def measure_after(*arguments, **named):
        if to_do:
            to_do.pop()()
        return real(*arguments, **named)

    def when(moment, *actions):
        changed = measure_after if moment == "before" else measure_study
        monkeypatch.setattr(row_measurement, "measure_study", changed)
        to_do.extend(actions)

    return cohort, folder, when


@pytest.mark.parametrize("moment", ["before", "after"])
def test_it_is_measured_again_under_its_own_hash(masks, inline, tmp_path, moment):
    cohort, folder, when = masks
    path, out = folder / "lesions.nii.gz", tmp_path / "out"
    before = path.read_bytes()
    whole = volumes_of(cohort, tmp_path / "reference")

    def change():
        less_of_lesion_1(path, lambda image: SimpleITK.WriteImage(image, str(path)))

    when(moment, change)
    result = run_cohort(cohort.manifest, out)
    assert result.is_complete
    assert volumes(out)["1"] < 0.6 * whole["1"], "what is on disk now is not what was measured"
    assert run_cohort(cohort.manifest, out).n_skipped == 1
    path.write_bytes(before)
    again = run_cohort(cohort.manifest, out)
    assert again.n_done == 1, "the first mask's hash names results of the second"
    assert volumes(out) == whole


def volumes_of(cohort, out):
    run_cohort(cohort.manifest, out)
    return volumes(out)


def detached(folder, suffix):
    """The lesions in a header and a file of voxels; which of them is changed."""
    image = SimpleITK.ReadImage(str(folder / "lesions.nii.gz"))
    if suffix == ".nhdr":
        SimpleITK.WriteImage(image, str(folder / "les.nhdr"))
        return folder / "les.nhdr", next(folder.glob("les.raw*"))
    SimpleITK.WriteImage(image, str(folder / "les.mhd"))
    return folder / "les.mhd", next(folder.glob("les.*raw"))


def roles_file(cohort, folder):
    (cohort.folder / "roles.yaml").write_text("lesion: [1, 2]\n")
    cohort.rows[0]["roles"] = "roles.yaml"
    return cohort.folder / "roles.yaml"


def voxels(cohort, folder, suffix):
    header, data = detached(folder, suffix)
    cohort.rows[0]["mask"] = f"C01/masks/{header.name}"
    return data


def liver(cohort, folder):
    return folder / "liver.nii.gz"


def in_folder(cohort, folder):
    """A folder of masks to which one is added."""
    beside_them = folder.parent / "lesions"
    beside_them.mkdir()
    image = nibabel.load(folder / "lesions.nii.gz")
    labels = np.asarray(image.dataobj)
    for number in (1, 2):
        part = nibabel.Nifti1Image((labels == number).astype(np.uint8), image.affine)
        nibabel.save(part, beside_them / f"met_{number}.nii.gz")
    cohort.rows[0]["mask"] = "C01/lesions"
    return beside_them


def add_file(folder):
    (folder / "met_9.nii.gz").write_bytes((folder / "met_1.nii.gz").read_bytes())


def names_beside(cohort, folder):
    return folder


def add_names(folder):
    content = {"numTraining": 1, "channel_names": {}, "labels": {"background": 0, "liver": 1}}
    (folder / "dataset.json").write_text(json.dumps(content))


CHANGES = {
    "the voxels of an .mhd": (lambda c, f: voxels(c, f, ".mhd"), beside),
    "the voxels of an .nhdr": (lambda c, f: voxels(c, f, ".nhdr"), beside),
    "the file of roles": (roles_file, beside),
    "the liver": (liver, beside),
    "a file more in a folder": (in_folder, add_file),
    "names of labels beside it": (names_beside, add_names),
}


@pytest.mark.parametrize("what", CHANGES)
def test_every_file_that_is_read_counts(masks, inline, tmp_path, what):
    """One that is changed at each try leaves a row that is not done, and no result under any key."""
    cohort, folder, when = masks
    prepare, change = CHANGES[what]
    path = prepare(cohort, folder)
    cohort.write()
    out = tmp_path / "out"

    def change_again():
        for suffix in ("met_9.nii.gz", "dataset.json"):
            (path / suffix).unlink(missing_ok=True) if path.is_dir() else None
        change(path)

    def undo():
        for suffix in ("met_9.nii.gz", "dataset.json"):
            (path / suffix).unlink(missing_ok=True) if path.is_dir() else None

    # Popped from the end: add, take away, add.
    when("after", change_again, undo if path.is_dir() else change_again, change_again)
    result = run_cohort(cohort.manifest, out)
    failures = pd.read_csv(out / "failures.csv", keep_default_na=False)
    assert (result.n_failed, list(failures.kind)) == (1, ["passing"])
    assert "was changed while its row was measured" in failures.reason[0]
    assert list((out / "cases").rglob("*.parquet")) == []
    undo()
    assert run_cohort(cohort.manifest, out).is_complete
