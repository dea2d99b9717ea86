"""A row's maps and measurement come from one reading, on the backend that the run names."""

import numpy as np
import pytest

from gsigpu.dicom.study.read_study import read_study
from gsigpu.errors import MaskError
from gsigpu.pipeline.cohort_run.checks import CohortOptions, backend_of_rows
from gsigpu.pipeline.cohort_run.cohort_task import CohortSettings, StudyTask
from gsigpu.pipeline.cohort_run.redaction import redactor_for
from gsigpu.pipeline.cohort_run.row_files import row_files
from gsigpu.pipeline.cohort_run.row_measurement import RowJob
from gsigpu.pipeline.cohort_run.row_picture import save_picture
from gsigpu.pipeline.map.map_study import map_study
from gsigpu.pipeline.measure import shown_slices
from gsigpu.pipeline.measure.given_masks import MaskFiles
from gsigpu.pipeline.review.lesion_cards import lesion_cards
from gsigpu.tables.manifest import read_manifest
from tests.support import host_cupy
from tests.support.planes_read import counted_planes

WITH_MAPS = CohortSettings(maps=("lambda-hu", "iodine"))


@pytest.fixture
def make_job(make_cohort, tmp_path):
    (row,) = read_manifest(make_cohort(1).manifest)
    study = read_study(row.study)

    def job(settings=WITH_MAPS, backend="cpu", accept=lambda measurement: measurement, stages=None):
        return RowJob(
            task=StudyTask(out=tmp_path, rows=(row,), settings=settings, backend=backend),
            row=row,
            study=study,
            masks=MaskFiles(row.masks, liver=row.liver_mask),
            files=row_files(tmp_path, row),
            redact=redactor_for(row, study, pseudonymous=False),
            tell_stage=(lambda _stage: None) if stages is None else stages.append,
            accept=accept,
        )

    return job


def values(measurement):
    """As text, in which NaN is equal to NaN."""
    return [
        (row.lesion_id, row.region, row.parameter, row.statistic, repr(row.value))
        for row in measurement.rows
    ]


def test_each_plane_is_read_once_and_nothing_differs(make_job, tmp_path, monkeypatch):
    alone, no_warnings = make_job(CohortSettings()).run()
    assert no_warnings == []
    reads = counted_planes(monkeypatch)
    stages = []
    job = make_job(stages=stages)
    job.files.folder.mkdir(parents=True)
    together, _ = job.run()
    assert set(reads.values()) == {1}
    assert len(reads) == sum(len(series.planes) for series in together.stack.series)
    assert values(together) == values(alone)
    assert stages == ["measure", "maps", "measure"]
    map_study(
        job.study,
        tmp_path / "maps",
        maps=job.task.settings.maps,
        output_format="nifti",
        backend="cpu",
    )
    written = sorted((tmp_path / "maps").rglob("*.nii*"))
    assert len(written) == 2
    for path in written:
        assert (job.files.maps / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("maps", [(), ("lambda-hu", "iodine")], ids=["alone", "with maps"])
def test_pictures_come_from_the_same_reading(make_job, tmp_path, monkeypatch, maps):
    """No file is opened for them, and they are those of a measurement that kept nothing."""
    measurement, _ = make_job(CohortSettings(maps=maps)).run()
    assert measurement.kept_planes == {}
    save_picture(tmp_path / "again.png", measurement)
    cards = [card.image for card in lesion_cards(measurement)]
    job = make_job(CohortSettings(maps=maps, pictures=True, review=True))
    job.files.folder.mkdir(parents=True, exist_ok=True)
    reads = counted_planes(monkeypatch)
    measurement, _ = job.run()
    assert set(reads.values()) == {1}
    reads.clear()
    save_picture(tmp_path / "kept.png", measurement)
    for card, again in zip(lesion_cards(measurement), cards, strict=True):
        np.testing.assert_array_equal(card.image, again)
    assert reads == {}
    assert (tmp_path / "kept.png").read_bytes() == (tmp_path / "again.png").read_bytes()


def test_slices_beyond_a_bound_are_read_again(make_job, monkeypatch):
    monkeypatch.setattr(shown_slices, "MOST_KEPT", 0)
    measurement, _ = make_job(CohortSettings(pictures=True, review=True)).run()
    assert measurement.kept_planes == {}
    reads = counted_planes(monkeypatch)
    assert lesion_cards(measurement)
    assert reads


def test_no_maps_are_left_of_a_row_whose_measurement_is_refused(make_job):
    def refuse(_measurement):
        raise MaskError("two masks of one lesion", remedy="keep one")

    job = make_job(accept=refuse)
    job.files.folder.mkdir(parents=True)
    with pytest.raises(MaskError):
        job.run()
    assert not job.files.maps.exists()


@pytest.mark.parametrize("settings", [CohortSettings(), WITH_MAPS], ids=["alone", "with maps"])
def test_rows_are_measured_on_the_card_that_was_chosen(make_job, monkeypatch, settings):
    cupy = host_cupy.install(monkeypatch, delay_s=0)
    job = make_job(settings, backend="gpu")
    job.files.folder.mkdir(parents=True, exist_ok=True)
    measurement, _ = job.run()
    cupy.card.check()
    assert measurement.backend == "gpu"
    assert {"distance_transform", "linear_maps", "segment_moments"} <= set(cupy.card.launches)


def test_auto_takes_a_card_for_maps_alone():
    assert backend_of_rows(CohortSettings(), CohortOptions()) == "cpu"
    assert backend_of_rows(WITH_MAPS, CohortOptions()) == "auto"
    assert backend_of_rows(CohortSettings(), CohortOptions(backend="gpu")) == "gpu"
