"""The gallery of a cohort run: a card of every lesion, made while its row is measured, on one page at the end."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gsigpu.pipeline.measure.measurement import Measurement
from gsigpu.pipeline.review.lesion_cards import lesion_cards, write_card
from gsigpu.pipeline.review.page_data import lesion_entries
from gsigpu.pipeline.review.row_page import name_row_page
from gsigpu.viewer.gallery_files import write_gallery
from gsigpu.viewer.page_files import PAGE

_CARDS = "cards.json"
_PARAMETERS = ("lambda_hu", "iodine", "ct_value")
_REGIONS = ("core", "rim")


@dataclass(frozen=True, slots=True)
class RowCards:
    """Where the cards and the study page of a row lie, and what the row is called."""

    case_id: str
    group: str
    phase: str
    reader: str
    cards: Path
    page: Path


def write_cards(folder: Path, measurement: Measurement, redact: Callable[[str], str]) -> None:
    """A picture of every lesion and what stands beside it, into a folder that is made anew.

    redact : takes out of names and flags what leads to the patient
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    cards = []
    pictures = lesion_cards(measurement)
    entries = lesion_entries(measurement, redact)
    for number, (card, entry) in enumerate(zip(pictures, entries, strict=True), start=1):
        name = f"{number}.jpg"
        write_card(folder / name, card)
        cards.append(
            {
                "lesion": entry["id"],
                "image": name,
                "slice": card.slice_number,
                "diameter_mm": entry["diameter_mm"],
                "volume_ml": entry["volume_ml"],
                "flags": entry["flags"],
                "values": _values(entry["regions"]),
            }
        )
    # Last: where it is, all is.
    (folder / _CARDS).write_text(json.dumps(cards) + "\n", "utf-8")


def _values(regions: dict[str, Any]) -> dict[str, float]:
    return {
        f"{parameter} {name}": statistics["mean"]
        for name in _REGIONS
        for parameter, statistics in regions.get(name, {}).get("values", {}).items()
        if parameter in _PARAMETERS and statistics.get("mean") is not None
    }


def write_cohort_gallery(out: Path, rows: Sequence[RowCards], *, run: str) -> Path:
    """Writes OUT/review with the cards of all rows, in their order; pictures and study pages stay where they are.

    Returns the page. Rows without cards (failed, or measured before cards were asked for) are left out.
    """
    folder = out / "review"
    folder.mkdir(exist_ok=True)
    cards: list[dict[str, Any]] = []
    for row in rows:
        try:
            of_row = json.loads((row.cards / _CARDS).read_text("utf-8"))
        except FileNotFoundError:
            continue
        page = name_row_page(
            row.page,
            row.case_id,
            _address(folder / PAGE, row.page),
            {"case": row.case_id, "phase": row.phase, "reader": row.reader},
        )
        for card in of_row:
            cards.append(
                card
                | {
                    "id": f"card-{len(cards) + 1}",
                    "case": row.case_id,
                    "group": row.group,
                    "phase": row.phase,
                    "reader": row.reader,
                    "image": _address(row.cards / card["image"], folder),
                    "page": page and _address(page, folder),
                }
            )
    return write_gallery(folder, cards, title="Lesions of the cohort", run=run)


def _address(path: Path, folder: Path) -> str:
    """Of a file, as a page in `folder` links to it: names of rows may hold what an address may not."""
    return quote(Path(os.path.relpath(path, folder)).as_posix())
