"""Mean and SD of series are taken from stored values where these are whole HU, and are those of the float32 values."""

from dataclasses import replace

import numpy as np
import pytest

from gsigpu.backends import compiled
from gsigpu.dicom.study.read_study import read_study
from gsigpu.phantom import PhantomSettings, write_phantom
from gsigpu.pipeline.measure import region_numbers
from gsigpu.pipeline.measure.given_masks import MaskFiles
from gsigpu.pipeline.measure.measure_study import measure_study
from gsigpu.pipeline.measure.measurement import MeasureSettings
from gsigpu.pipeline.measure.parameters import ParameterSettings

SETTINGS = PhantomSettings(
    shape=(12, 96, 96),
    spacing_mm=(5.0, 4.0, 4.0),
    n_lesions=2,
    diameter_mm=(26.0, 30.0),
    phases=("PVP",),
    energies_kev=(40.0, 60.0, 70.0, 100.0),
    extras=("iodine",),
    noise_hu=9.0,
)
# Slope, intercept, padding, and whether whole numbers serve.
RESCALES = {
    "as written": (None, True),
    "a slope": ({"slope": 3.0, "intercept": 17.0}, True),
    "a negative slope": ({"slope": -2.0, "intercept": -1.0}, True),
    "half HU": ({"slope": 0.5, "intercept": -1000.25}, False),
    "a large intercept": ({"slope": 1.0, "intercept": 2.0**24}, False),
    "padding in tissue": ({"padding": (40, 60)}, True),
}


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return write_phantom(tmp_path_factory.mktemp("study") / "phantom", SETTINGS)


def rescaled_study(truth, changes):
    """The study with its spectral series rescaled so; the vendor's iodine as it is."""
    study = read_study(truth.dicom_folder)
    if changes is None:
        return study
    series = tuple(
        replace(s, planes=tuple(replace(plane, **changes) for plane in s.planes))
        if s.energy_kev is not None
        else s
        for s in study.series
    )
    return replace(study, series=series)


def rows_by_key(measurement):
    return {
        (row.lesion_id, row.region, row.parameter, row.statistic, row.distance_mm if row.distance_mm == row.distance_mm else None): row
        for row in measurement.rows
    }  # fmt: skip


@pytest.mark.parametrize("rescale", RESCALES)
@pytest.mark.parametrize("maps", [("iodine", "mono-65"), ()])
def test_numbers_are_those_of_the_values(truth, monkeypatch, rescale, maps):
    if compiled.choose_loop()[0] is None:
        pytest.skip("no compiled loop was built")
    changes, is_whole = RESCALES[rescale]
    study = rescaled_study(truth, changes)
    masks = MaskFiles((truth.lesion_mask,), liver=truth.liver_mask, aorta=truth.aorta_mask)
    settings = MeasureSettings(ParameterSettings(maps=maps))
    taken = []

    def spy(*arguments):
        taken.append(len(arguments[0]))
        return whole_moments(*arguments)

    whole_moments = region_numbers.whole_moments
    monkeypatch.setattr(region_numbers, "whole_moments", spy)
    waiting = measure_study(study, masks, settings=settings, backend="cpu")
    assert taken == ([4] if is_whole else [])
    monkeypatch.setattr(region_numbers, "whole_moments", lambda *_: None)
    computed = measure_study(study, masks, settings=settings, backend="cpu")
    assert len(waiting.rows) == len(computed.rows) > 100
    expected = rows_by_key(computed)
    for key, row in rows_by_key(waiting).items():
        other = expected[key]
        assert row.value == pytest.approx(other.value, rel=1e-12, abs=1e-9, nan_ok=True), key
        assert replace(row, value=0.0) == replace(other, value=0.0) or np.isnan(row.distance_mm)
        assert (row.n_valid, row.flags) == (other.n_valid, other.flags)
