"""What a run is said to write is never less than it writes, and at most 2.5 times that."""

import csv
import os
from dataclasses import replace

import pytest

import gsigpu
from gsigpu.pipeline.cohort_run import cohort_plan
from gsigpu.pipeline.cohort_run.checks import CohortOptions
from gsigpu.pipeline.cohort_run.cohort_task import CohortSettings
from gsigpu.pipeline.cohort_run.disk_room import written_bytes
from gsigpu.pipeline.cohort_run.predicted_size import (
    UNKNOWN_LESIONS,
    lesions_of_a_row,
    predicted_bytes,
)
from gsigpu.pipeline.cohort_run.run_cohort import run_cohort
from gsigpu.pipeline.measure.measurement import MeasureSettings
from gsigpu.pipeline.measure.parameters import ParameterSettings
from gsigpu.tables.manifest import read_manifest

SLOPES = ParameterSettings(slopes=("paper", "40-100", "fit:40-140"))
CASES = {
    "one lesion": (1, (12, 64, 80), CohortSettings()),
    "many lesions, pictures and cards": (18, (24, 96, 128), CohortSettings(pictures=True, review=True)),
    "slopes and maps": (5, (12, 64, 80), CohortSettings(measure=MeasureSettings(parameters=SLOPES), maps=("iodine", "vnc"))),
    "pages, maps for a PACS": (5, (24, 64, 80), CohortSettings(study_pages=True, maps=("iodine",), map_format="ct")),
}  # fmt: skip


@pytest.mark.parametrize(("n_lesions", "shape", "settings"), CASES.values(), ids=list(CASES))
def test_a_run_writes_at_most_what_was_predicted(inline, tmp_path, n_lesions, shape, settings):
    spacing_mm = (120.0 / shape[0], 280.0 / shape[1], 352.0 / shape[2])
    truth = gsigpu.write_phantom(
        tmp_path / "phantom",
        gsigpu.PhantomSettings(shape=shape, spacing_mm=spacing_mm, n_lesions=n_lesions,
                               diameter_mm=(9.0, 24.0), phases=("PVP",), extras=()),
    )  # fmt: skip
    columns = (
        "case_id",
        "patient_id",
        "group",
        "phase",
        "study",
        "mask",
        "liver_mask",
        "aorta_mask",
    )
    cells = ("C1", "P1", "lung", "PVP", truth.dicom_folder, truth.lesion_mask, truth.liver_mask, truth.aorta_mask)  # fmt: skip
    manifest = tmp_path / "manifest.csv"
    with manifest.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, cells])
    result = run_cohort(manifest, tmp_path / "out", settings=settings)
    rows = read_manifest(manifest)
    predicted = predicted_bytes(rows, settings, lesions_of_a_row(rows, settings))
    assert result.predicted_bytes == predicted
    written = written_bytes([tmp_path / "out"])
    assert written <= predicted <= 2.5 * written


def test_a_mask_that_cannot_be_looked_at_is_one_of_twelve_lesions(tmp_path, make_cohort):
    row = read_manifest(make_cohort(1).manifest)[0]
    whole = lesions_of_a_row([row], CohortSettings())
    (tmp_path / "broken.nii.gz").write_bytes(b"no mask")
    broken = replace(row, masks=(tmp_path / "broken.nii.gz",))
    assert lesions_of_a_row([broken], CohortSettings()) == UNKNOWN_LESIONS > whole
    assert lesions_of_a_row([row, broken], CohortSettings()) == UNKNOWN_LESIONS


def test_nothing_is_written_of_no_row():
    assert predicted_bytes([], CohortSettings(), 3) == 0


def test_masks_that_hang_do_not_keep_a_run_from_its_plan(make_cohort, monkeypatch, tmp_path):
    monkeypatch.setattr(cohort_plan, "_MASKS_S", 0.5)
    cohort = make_cohort(1)
    mask = read_manifest(cohort.manifest)[0].masks[0]
    mask.unlink()
    os.mkfifo(mask)
    plan = cohort_plan.plan_cohort(
        cohort.manifest, tmp_path / "out", settings=CohortSettings(), options=CohortOptions()
    )
    rows = plan.rows
    assert plan.predicted_bytes == predicted_bytes(rows, CohortSettings(), UNKNOWN_LESIONS)
