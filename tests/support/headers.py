"""DICOM files with the headers of a table of spectral series, by pydicom alone."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from tests.support.dicom_files import ct_dataset, save

DATA = Path(__file__).parents[1] / "data"
# What no column of the table holds: named in its `source`.
_EXTRAS = {"M02": "energy", "M05": "calcium"}


def rows(name: str) -> list[dict[str, str]]:
    """The rows of a table in tests/data."""
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def code(value: str, meaning: str, scheme: str = "SCT") -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def with_material(ds: Dataset, *materials: Dataset, keyword="MultienergyCTCharacteristicsSequence"):
    """Coded materials in a multi-energy sequence."""
    items = []
    for material in materials:
        item = Dataset()
        item.MaterialCodeSequence = [material]
        items.append(item)
    outer = Dataset()
    outer.DecompositionMaterialSequence = items
    setattr(ds, keyword, [outer])


def write_row(row: dict[str, str], folder: Path, *, n_slices: int = 2, series: str = "") -> None:
    """A series whose header says what a row says; an empty cell is an absent attribute."""
    for z in range(n_slices):
        ds = ct_dataset(
            np.full((4, 4), 100, np.int16),
            series=series or row["id"],
            position_mm=(-10.0, -10.0, 2.5 * z),
            instance_number=z + 1,
            SpecificCharacterSet=_character_set(row["character_set"]),
            SeriesDescription=row["series_description"] or None,
            Manufacturer=row["manufacturer"],
            ManufacturerModelName=row["model"],
            ImageType=row["image_type"].split("\\") if row["image_type"] else None,
            KVP=row["kvp"] or None,
            RescaleType=row["rescale_type"] or None,
            RescaleSlope=row["rescale_slope"] or "1",
            RescaleIntercept=row["rescale_intercept"] or "0",
        )
        if row["image_comments"]:
            ds.ImageComments = row["image_comments"]
        if row["protocol_name"]:
            ds.ProtocolName = row["protocol_name"]
        _add_extra(ds, row)
        save(ds, folder / f"{row['id']}-{z}.dcm")


def _character_set(text: str) -> object:
    if not text:
        return "ISO_IR 192"
    return text.split("\\") if "\\" in text else text


def _add_extra(ds: Dataset, row: dict[str, str]) -> None:
    extra = _EXTRAS.get(row["id"], row["more"])
    if extra == "energy":
        ds.MonoenergeticEnergyEquivalent = 70.0
    elif extra == "calcium":
        with_material(ds, code("5540006", "Calcium"))
    elif extra == "iodine":
        with_material(ds, code("44588005", "Iodine"))
    elif extra == "water":
        with_material(ds, code("11713004", "Water"))
    elif extra == "iodine-water-basis":
        with_material(
            ds,
            code("11713004", "Water"),
            code("44588005", "Iodine"),
            keyword="MultienergyCTProcessingSequence",
        )
    elif extra.startswith("private:"):
        block = ds.private_block(0x0053, "GEHC_CT_ADVAPP_001", create=True)
        block.add_new(0x20, "LO", extra.removeprefix("private:"))
    elif extra not in ("", "extra"):
        raise ValueError(f"unknown extra {extra!r}")


def differences(row: dict[str, str], folder: Path) -> dict[str, tuple[str, str]]:
    """What a scan of the row's series finds other than the row says: {column: (found, expected)}."""
    from gsigpu.dicom.study.read_study import read_study

    write_row(row, folder)
    (series,) = read_study(folder).series
    told_by_scan = {
        "kind": series.kind.value,
        "energy_kev": f"{series.energy_kev:g}" if series.energy_kev is not None else "",
        "phase": series.phase,
    }
    expected = {"kind": row["kind"], "energy_kev": row["energy_kev"], "phase": row["phase"]}
    if row["energy_kev"] == "?":
        # Unknown stays unknown, and is said: the problem names the way out.
        told = series.problem is not None and "--energy" in str(series.problem)
        told_by_scan["energy_kev"] = (
            "?" if not told_by_scan["energy_kev"] and told else told_by_scan["energy_kev"]
        )
    return {
        column: (told_by_scan[column], expected[column])
        for column in told_by_scan
        if told_by_scan[column] != expected[column]
    }
