"""The study page of one row of a cohort: what its cards in the gallery lead to.

The page is made while the row is measured, from the same measurement, and says nothing that the row's name decides:
case and way back are a file of their own, written with the gallery, since results outlive a case's name.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from gsigpu.pipeline.measure.measurement import Measurement
from gsigpu.pipeline.review.page_data import study_entry
from gsigpu.pipeline.review.page_volumes import PAGE_MAPS, page_definitions, write_volumes
from gsigpu.pipeline.review.phase_files import write_phase
from gsigpu.pipeline.review.static_pictures import static_slices
from gsigpu.version import __version__
from gsigpu.viewer.page_files import PAGE, write_names, write_page


def write_row_page(folder: Path, measurement: Measurement, redact: Callable[[str], str]) -> None:
    """Writes the page of a measured row into a folder that is made anew; `name_row_page` completes it.

    redact : takes out of names, flags and warnings what leads to the patient
    """
    shutil.rmtree(folder, ignore_errors=True)
    data = folder / "data"
    data.mkdir(parents=True)
    slope, *_ = measurement.settings.parameters.slopes
    definitions = page_definitions(PAGE_MAPS, slope=slope)
    stack = measurement.stack
    kept, left_out = write_volumes(
        stack, definitions, data, "p0", keep=static_slices(stack, measurement.layout), n_workers=1
    )
    phase, _ = write_phase(
        data,
        "p0",
        stack,
        measurement,
        definitions=definitions,
        kept=kept,
        warnings=left_out,
        redact=redact,
    )
    write_page(
        folder,
        study_entry(
            software=f"gsigpu {__version__}",
            maps=definitions,
            phases=[phase],
            warnings=(),
            identity={},
        ),
    )


def name_row_page(folder: Path, case_id: str, gallery: str, row: Mapping[str, str]) -> Path | None:
    """Says on a row's page whose it is, and where its cards are.

    gallery : address of the gallery, relative to the page
    row : what a card's link says of the row
    Returns the page; None where there is none.
    """
    page = folder / PAGE
    if not page.exists():
        return None
    write_names(folder, case_id, back={"gallery": gallery, "row": dict(row)})
    return page
