"""What two phases say together, against mixtures whose answer is known by hand."""

import numpy as np
import pandas as pd
import pytest

from gsigpu.errors import SettingsError
from gsigpu.physics import iodine_hu_per_mg_per_ml
from gsigpu.tables.measurement_table import MeasurementRow, frame
from gsigpu.tables.phase_pairs import between_phases


def row(phase, parameter, value, *, lesion="1", region="core", **more):
    cells = {"case_id": "c", "patient_id": "p", "group": "lung", "reader": "r", "phase": phase,
             "lesion_id": lesion, "region": region, "parameter": parameter, "statistic": "mean", "value": value,
             "unit": "", "definition": "d", "n_voxels": 90, "n_valid": 80, "flags": ""}  # fmt: skip
    return MeasurementRow(**{**cells, **more})


def made(*rows, **options):
    pairs = between_phases(frame(rows), **options)
    return {(r.phase, r.region, r.parameter): r for r in pairs.itertuples()}


def value(pairs, phase, parameter, region="core"):
    return pairs[phase, region, parameter].value


def test_iodine_of_three_phases():
    pairs = made(row("PVP", "iodine", 2.0), row("AP", "iodine", 0.5), row("DP", "iodine", 1.5))
    assert value(pairs, "AP-PVP", "iodine_wash_in") == 1.5
    assert value(pairs, "PVP-DP", "iodine_wash_in") == -0.5
    assert value(pairs, "PVP-DP", "iodine_wash_out") == 0.25
    assert value(pairs, "AP-PVP", "ratio_iodine") == 0.25
    assert value(pairs, "AP-PVP", "arterial_enhancement_fraction") == 0.25
    assert ("PVP-DP", "core", "arterial_enhancement_fraction") not in pairs
    assert not any(phase == "AP-DP" for phase, _, _ in pairs)


def test_the_enhancement_fraction_is_that_of_ct_numbers():
    """Of mixtures of water and iodine, at any energy: Kim's definition by attenuation, with an unenhanced phase."""
    for kev in (40.0, 70.0, 120.0):
        hu = lambda c, kev=kev: 1040.0 + c * iodine_hu_per_mg_per_ml([kev])[0] - 1000.0  # noqa: E731
        by_hu = (hu(0.6) - hu(0.0)) / (hu(2.2) - hu(0.0))
        pairs = made(row("AP", "iodine", 0.6), row("PVP", "iodine", 2.2))
        assert value(pairs, "AP-PVP", "arterial_enhancement_fraction") == pytest.approx(by_hu)


def test_extracellular_volume_of_blood_itself_is_plasma():
    rows = [
        row("DP", "iodine", 2.4, lesion="", region="aorta"),
        row("DP", "iodine", 1.2, lesion="", region="parenchyma"),
        row("DP", "iodine", 2.4, lesion="2", region="lesion"),
        row("PVP", "iodine", 9.9, lesion="", region="parenchyma"),
    ]
    pairs = made(*rows, haematocrit=0.4)
    assert value(pairs, "DP", "extracellular_volume", "lesion") == pytest.approx(0.6)  # as blood
    assert value(pairs, "DP", "extracellular_volume", "parenchyma") == pytest.approx(0.3)
    assert ("PVP", "parenchyma", "extracellular_volume") not in pairs


def test_a_haematocrit_without_what_it_needs():
    rows = (row("AP", "iodine", 1.0), row("PVP", "iodine", 2.0))
    with pytest.raises(SettingsError) as told:
        made(*rows, haematocrit=0.4)
    assert str(told.value) == (
        "the extracellular volume needs iodine of a delayed phase, and of the aorta in it;"
        " measure it with --aorta-mask, or leave --haematocrit out"
    )
    delayed = (row("DP", "iodine", 1.0), row("DP", "iodine", 2.0, lesion="", region="aorta"))
    with pytest.raises(SettingsError) as told:
        made(*delayed, haematocrit=42.0)
    assert (
        str(told.value)
        == "haematocrit 42 is no share of the blood's volume; write --haematocrit 0.42"
    )


def test_without_iodine_there_is_no_share():
    pairs = made(row("AP", "iodine", -0.1), row("PVP", "iodine", 0.0))
    assert np.isnan(value(pairs, "AP-PVP", "arterial_enhancement_fraction"))
    assert np.isnan(value(pairs, "AP-PVP", "iodine_wash_out"))
    assert value(pairs, "AP-PVP", "iodine_wash_in") == pytest.approx(0.1)


def test_other_lesions_definitions_and_readers_are_not_mixed():
    pairs = made(
        row("AP", "lambda_hu", 1.0, definition="paper"),
        row("PVP", "lambda_hu", 2.0, definition="40-100"),
        row("AP", "iodine", 1.0, lesion="1"),
        row("PVP", "iodine", 2.0, lesion="2"),
        row("AP", "ct_value", 1.0, reader="a"),
        row("PVP", "ct_value", 2.0, reader="b"),
    )
    assert pairs == {}


def test_counts_flags_and_columns():
    table = frame([
        row("AP", "iodine", 1.0, n_valid=70, flags="small;thin"),
        row("PVP", "iodine", 2.0, n_voxels=85, flags="thin"),
    ])  # fmt: skip
    pairs = between_phases(table.assign(site="x"))
    assert list(pairs.columns) == [*table.columns, "site"]
    first = pairs.iloc[0]
    assert (first.n_voxels, first.n_valid, first["flags"], first.site) == (
        85,
        70,
        "small;thin",
        "x",
    )
    assert pd.concat([table, pairs]).n_valid.dtype == "int64"
