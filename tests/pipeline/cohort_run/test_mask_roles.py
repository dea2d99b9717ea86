"""What regions of masks were taken for goes with a cohort to its end."""

import nibabel
import numpy as np
import pandas as pd

from gsigpu.pipeline.cohort_run.run_cohort import run_cohort


def test_a_folder_of_organs_and_lesions_is_measured_and_what_was_left_out_is_told(
    make_cohort, tmp_path, inline
):
    """As a program that segments organs leaves it, with the lesions drawn by hand beside it."""
    cohort = make_cohort(1)
    masks = cohort.folder / "C01" / "masks"
    image = nibabel.load(masks / "lesions.nii.gz")
    labels = np.asarray(image.dataobj)
    folder = cohort.folder / "C01" / "all"
    folder.mkdir()
    for name, region in (
        ("met_1", labels == 1), ("odd", labels == 2), ("spleen", labels == 2), ("aorta", labels < 0), ("met_9", labels < 0),
    ):  # fmt: skip
        nibabel.save(
            nibabel.Nifti1Image(region.astype(np.uint8), image.affine), folder / f"{name}.nii.gz"
        )
    cohort.rows[0]["mask"] = "C01/all"
    cohort.write()
    out = tmp_path / "out"
    result = run_cohort(cohort.manifest, out)
    assert result.is_complete, (out / "failures.csv").read_text()
    table = pd.read_csv(out / "measurements.csv", keep_default_na=False, dtype=str)
    assert set(table.lesion_id) - {""} == {"met_1"}
    warnings = pd.read_csv(out / "warnings.csv", keep_default_na=False, dtype=str)
    is_empty_file = warnings.text.str.endswith("holds no region and is taken as absent")
    assert list(warnings.kind[is_empty_file]) == ["absent-structure"]
    warnings = warnings[~is_empty_file]
    told = dict(zip(warnings.kind, warnings.text, strict=True))
    assert "'odd' is ignored" in told["ignored-region"]
    assert "aorta is empty and taken as absent" in told["absent-structure"]
    # What the message says to write is what the row's file takes, and it helps.
    assert (
        "write `lesion: [odd]` in the file of the manifest's column roles" in told["ignored-region"]
    )
    (cohort.folder / "roles.yaml").write_text("lesion: [odd]\n")
    cohort.rows[0]["roles"] = "roles.yaml"
    cohort.write()
    assert run_cohort(cohort.manifest, out).is_complete
    table = pd.read_csv(out / "measurements.csv", keep_default_na=False, dtype=str)
    assert set(table.lesion_id) - {""} == {"met_1", "odd"}


def test_a_row_whose_only_mask_is_empty_fails_by_that_reason(make_cohort, tmp_path, inline):
    cohort = make_cohort(2)
    path = cohort.folder / "C01/masks/lesions.nii.gz"
    image = nibabel.load(path)
    nibabel.save(nibabel.Nifti1Image(np.zeros(image.shape, np.uint8), image.affine), path)
    cohort.rows[1]["patient_id"] = "007"
    cohort.write()
    out = tmp_path / "out"
    result = run_cohort(cohort.manifest, out)
    failures = pd.read_csv(out / "failures.csv", keep_default_na=False, dtype=str)
    assert (result.n_done, result.n_failed) == (1, 1)
    assert "holds no region; draw one on this study" in failures.reason[0]
    # Ids that a reader of CSV takes for numbers are told of the rows that are in the tables.
    warnings = pd.read_csv(out / "warnings.csv", keep_default_na=False, dtype=str)
    (text,) = warnings.text[warnings.kind == "id-as-number"]
    assert text.startswith("007 is read as a number")


def test_a_warning_is_of_the_lesion_that_raised_it_whatever_lesions_are_called(
    make_cohort, tmp_path, inline
):
    """The names are words of the warnings themselves, and one lesion is called otherwise in the table."""
    cohort = make_cohort(1)
    masks = cohort.folder / "C01" / "masks"
    image = nibabel.load(masks / "lesions.nii.gz")
    labels = np.asarray(image.dataobj)
    folder = cohort.folder / "C01" / "all"
    folder.mkdir()
    coarse = image.affine @ np.diag([2, 2, 1, 1])
    for name, region, affine in (
        ("grid", (labels == 1)[::2, ::2], coarse), ("007", (labels == 2)[::2, ::2], coarse), ("label", labels == 1, image.affine),
    ):  # fmt: skip
        mask = nibabel.Nifti1Image(region.astype(np.uint8), affine)
        nibabel.save(mask, folder / f"{name}.nii.gz")
    (cohort.folder / "roles.yaml").write_text("lesion: [grid, '007', label]\n")
    cohort.rows[0] |= {"mask": "C01/all", "roles": "roles.yaml"}
    cohort.write()
    run_cohort(cohort.manifest, tmp_path / "out")
    warnings = pd.read_csv(tmp_path / "out/warnings.csv", keep_default_na=False, dtype=str)
    of = {(row.kind, row.lesion_id) for row in warnings.itertuples()}
    assert {("resampled", "grid"), ("resampled", "lesion 007"), ("renamed", "lesion 007")} <= of
    assert {kind for kind, lesion_id in of if lesion_id == "label"} == set()
