"""A run refuses masks of another patient or another study, and lesions that are there twice."""

import gzip
import shutil
from dataclasses import replace

import nibabel
import numpy as np
import pandas as pd
import pytest

from gsigpu.phantom import write_phantom
from gsigpu.pipeline.cohort_run.checks import CohortOptions
from gsigpu.pipeline.cohort_run.cohort_task import CohortSettings
from gsigpu.pipeline.cohort_run.run_cohort import run_cohort
from gsigpu.tables.manifest import ManifestProblems
from gsigpu.tables.measurement_table import read_table
from tests.support.cohort import TINY

pytestmark = pytest.mark.usefixtures("inline")


def failures(out):
    return pd.read_csv(out / "failures.csv", keep_default_na=False)


def test_one_file_for_two_patients(make_cohort, tmp_path):
    cohort = make_cohort(3)  # C01 and C02 are one patient's
    cohort.rows[2]["mask"] = cohort.rows[0]["mask"]
    cohort.write()
    with pytest.raises(
        ManifestProblems, match="line 4: its mask is that of another patient on line 2"
    ):
        run_cohort(cohort.manifest, tmp_path / "out")


def test_one_content_for_two_patients(make_cohort, tmp_path):
    cohort, out = make_cohort(3), tmp_path / "out"
    masks = [cohort.folder / row["mask"] for row in cohort.rows]
    shutil.copy(masks[0], masks[1])  # another study of the patient may have the same
    content = gzip.decompress(masks[0].read_bytes())
    masks[2].write_bytes(gzip.compress(content, compresslevel=6, mtime=77))  # and another time
    masks[0].write_bytes(gzip.compress(content, compresslevel=6, mtime=1))
    shutil.copy(masks[0], masks[1])
    result = run_cohort(cohort.manifest, out)
    assert result.n_failed == 3
    assert set(failures(out).stage) == {"masks"}
    assert "another patient (line 4)" in failures(out).reason[0]
    assert len(read_table(out / "measurements.csv")) == 0
    masks[2].write_bytes(gzip.compress(content[:148] + b"mended" + content[154:]))
    mended = run_cohort(cohort.manifest, out)
    assert (mended.n_done, mended.n_skipped, mended.n_failed) == (1, 2, 0)


def test_a_mask_that_was_packed_again_is_the_same_mask(make_cohort, tmp_path):
    """With another level, not at all, or in a folder beside an empty mask that both have."""
    cohort, out = make_cohort(4), tmp_path / "out"  # two patients, two cases each
    masks = [cohort.folder / row["mask"] for row in cohort.rows]
    empty = nibabel.Nifti1Image(np.zeros((4, 4, 4), np.uint8), np.eye(4))
    for number in (1, 3):
        folder = cohort.folder / f"folder{number}"
        folder.mkdir()
        shutil.copy(masks[number], folder / "lesions.nii.gz")
        nibabel.save(empty, folder / "spleen.nii.gz")
        cohort.rows[number]["mask"] = folder.name
    content = gzip.decompress(masks[0].read_bytes())
    masks[0].write_bytes(gzip.compress(content, compresslevel=1))
    cohort.write()
    assert run_cohort(cohort.manifest, out).n_failed == 0
    for name, data in (("m.nii", content), ("m.nii.gz", gzip.compress(content, compresslevel=9))):
        (cohort.folder / name).write_bytes(data)
        cohort.rows[2]["mask"] = name
        cohort.write()
        assert run_cohort(cohort.manifest, out).n_failed == 2
        refused = failures(out)
        assert list(refused.case_id) == ["C01", "C03"]
        assert "has the content of that of case C03, another patient" in refused.reason[0]
    (cohort.folder / "folder3/lesions.nii.gz").write_bytes(masks[0].read_bytes())
    cohort.rows[2]["mask"] = str(masks[2])
    cohort.write()
    run_cohort(cohort.manifest, out)
    assert list(failures(out).case_id) == ["C01", "C04"]


def test_a_mask_on_the_grid_of_another_study(make_cohort, template, tmp_path):
    cohort, out = make_cohort(2), tmp_path / "out"
    other = write_phantom(
        cohort.folder / "other", replace(TINY, spacing_mm=(10.0, 4.6, 4.6), seed=5)
    )
    row = {**cohort.rows[1], "case_id": "C03", "patient_id": "P09", "study": "other/dicom"}
    row |= {"mask": "other/masks/lesions.nii.gz", "liver_mask": ""}
    cohort.rows.append(row)
    shutil.copy(other.lesion_mask, cohort.folder / "C02/masks/lesions.nii.gz")
    content = gzip.decompress(other.lesion_mask.read_bytes())
    (cohort.folder / "C02/masks/lesions.nii.gz").write_bytes(
        gzip.compress(content[:148] + b"a copy" + content[154:])
    )
    cohort.write()
    result = run_cohort(cohort.manifest, out)
    assert (result.n_done, result.n_failed) == (2, 1)
    assert failures(out).case_id.tolist() == ["C02"]
    assert "lies on that of the study of case C03 (line 4)" in failures(out).reason[0]
    # Known at once, and at a later run too, when all are on disk.
    assert run_cohort(cohort.manifest, out).n_failed == 1
    # Without that study in the manifest nothing speaks against it but the change of volume.
    cohort.rows.pop()
    cohort.write()
    alone = run_cohort(cohort.manifest, out)
    assert alone.is_complete
    warnings = pd.read_csv(out / "warnings.csv", keep_default_na=False)
    assert list(warnings.columns) == ["case_id", "phase", "reader", "lesion_id", "kind", "text"]
    resampled = warnings[warnings.kind == "resampled"]
    assert set(resampled.case_id) == {"C02"}
    assert set(resampled.lesion_id) == {1, 2}
    assert "its volume changed by" in resampled.text.iloc[0]
    assert alone.tables.warnings["resampled"] == len(resampled)


def test_lesions_that_are_there_twice(make_cohort, tmp_path):
    """Two readers' masks in one folder: refused until it is said that both are meant."""
    cohort, out = make_cohort(1), tmp_path / "out"
    mask = cohort.folder / "C01/masks/lesions.nii.gz"
    folder = cohort.folder / "C01/readers"
    folder.mkdir()
    image = nibabel.Nifti1Image.from_filename(mask)
    labels = np.asarray(image.dataobj)
    for name, voxels in (("a", labels == 1), ("b", labels == 1), ("c", labels == 2)):
        nibabel.save(
            nibabel.Nifti1Image(voxels.astype(np.uint8), image.affine), folder / f"{name}.nii.gz"
        )
    cohort.rows[0]["mask"] = "C01/readers"
    cohort.write()
    result = run_cohort(cohort.manifest, out)
    assert result.tables.n_failed_lesions == 2
    assert set(failures(out).lesion_id) == {"a", "b"}
    assert "100% of the smaller lies in the other" in failures(out).reason[0]
    assert "--allow-overlap" in failures(out).reason[0]
    assert set(read_table(out / "measurements.csv").lesion_id) == {"", "c"}
    flow = pd.read_csv(out / "flow.csv")
    kept = dict(zip(flow.name, flow.n_lesions, strict=True))
    assert (kept["In the manifest"], kept["With values"]) == (3, 1)
    assert kept["could not be measured, see failures.csv"] == 2
    allowed = run_cohort(
        cohort.manifest, out, settings=CohortSettings(allow_overlap=True),
        options=CohortOptions(change_settings=True), named={"allow_overlap"},
    )  # fmt: skip
    assert allowed.is_complete
    assert allowed.tables.warnings["overlap"] == 1
    assert set(read_table(out / "measurements.csv").lesion_id) == {"", "a", "b", "c"}
