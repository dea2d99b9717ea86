"""Every lesion without a value is counted under one reason."""

import pandas as pd

from gsigpu.tables import missing_values as module
from gsigpu.tables.missing_values import missing_values

CELLS = pd.DataFrame(
    [
        ("a", "1", "g", "AP", "core", "iodine", "A", "1.0", ""),
        ("a", "2", "g", "AP", "core", "iodine", "A", "", "no-valid-voxels"),
        ("a", "3", "g", "AP", "", "", "A", "", "failed:mask outside"),
        ("a", "4", "g", "PVP", "core", "iodine", "A", "2.0", ""),
        ("b", "1", "h", "AP", "rim", "iodine", "A", "1.5", ""),
        ("b", "2", "h", "AP", "core", "iodine", "B", "1.5", ""),
        ("b", "3", "h", "AP", "core", "iodine", "A", "", ""),
        ("c", "1", "other", "AP", "core", "iodine", "A", "", ""),
    ],
    columns=[
        "patient_id",
        "lesion_id",
        "group",
        "phase",
        "region",
        "parameter",
        "reader",
        "value",
        "flags",
    ],
)


def test_each_reason():
    tested = CELLS.iloc[[0]].assign(value=1.0)
    frame = missing_values(
        CELLS, tested, groups=["g", "h"], phases=["AP"], regions=["core"], parameters=["iodine"]
    )
    assert dict(zip(frame["reason"], frame["n_lesions"], strict=True)) == {
        "no-valid-voxels": 1,
        "mask outside": 1,
        module.NOT_IN_PHASE: 1,
        module.NO_ROW: 1,
        module.NOT_EVERY_READER: 1,
        module.NO_VALUE: 1,
    }
    assert set(frame.loc[frame["group"] == "g", "n_lesions_in_all"]) == {4}


def test_what_is_tested_and_what_is_missing_is_every_lesion():
    tested = CELLS[CELLS["value"] != ""].assign(value=1.0)
    frame = missing_values(
        CELLS,
        tested,
        groups=["g", "h"],
        phases=["AP", "PVP"],
        regions=["core"],
        parameters=["iodine"],
    )
    for phase, n_tested in (("AP", 2), ("PVP", 1)):
        assert frame.loc[frame["phase"] == phase, "n_lesions"].sum() + n_tested == 7
