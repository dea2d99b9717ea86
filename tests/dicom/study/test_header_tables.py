"""Headers of spectral series, as real DICOM files, through the whole reading path."""

from dataclasses import replace

import pytest

from gsigpu.dicom.study.classify import classify
from gsigpu.dicom.study.patterns import load_patterns
from tests.support.headers import differences, rows
from tests.support.planes import evidence


@pytest.mark.parametrize("row", rows("spectral-headers.csv"), ids=lambda row: row["id"])
def test_series_of_the_header_table_are_what_it_says(row, tmp_path):
    assert differences(row, tmp_path) == {}


@pytest.mark.parametrize("row", rows("spectral-headers-more.csv"), ids=lambda row: row["id"])
def test_series_of_the_second_table_are_what_it_says(row, tmp_path):
    assert differences(row, tmp_path) == {}


# What sites add to a description: kernels, thickness, recon numbers, body parts.
_ADDED = (
    "1.25mm", "0.625 mm", "Br40", "B30f", "Qr36 Q3", "ASIR-V 50%", "STND", "AX", "COR MPR", "THIN", "Abdomen", "ABD/PEL",
    "Leber", "5.0", "iDose (3)", "iMAR", "LUNG", "BONE", "DLIR-H", "(2)", "[A,1]_0", "肝", "CT", "GSI", "C+", "2 x 0.6", "FC18", "30 s",
)  # fmt: skip


@pytest.mark.parametrize("added", _ADDED)
def test_what_sites_add_to_a_description_changes_neither_kind_nor_energy_nor_phase(added):
    patterns = load_patterns()
    for row in [*rows("spectral-headers.csv"), *rows("spectral-headers-more.csv")]:
        description = row["series_description"]
        header = evidence(
            description,
            "1.2",
            manufacturer=row["manufacturer"],
            image_type=tuple(row["image_type"].split("\\")),
            kvp=float(row["kvp"] or 0),
            rescale_type=row["rescale_type"],
        )
        expected = classify(header, patterns)
        for changed in (
            f"{added} {description}",
            f"{description} {added}",
            f"{description}_{added}",
        ):
            classification = classify(replace(header, series_description=changed), patterns)
            assert (classification.kind, classification.energy_kev, classification.phase) == (
                expected.kind,
                expected.energy_kev,
                expected.phase,
            ), changed
