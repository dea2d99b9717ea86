"""The settings of a measurement, and its result."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from math import isnan
from typing import TYPE_CHECKING, Literal

from gsigpu.caution import Caution
from gsigpu.dicom.model import SpectralStack, Study
from gsigpu.one_or_more import set_one_or_more
from gsigpu.pipeline.measure.collected_masks import CollectedMasks, Failure
from gsigpu.pipeline.measure.gather import KeptPlanes
from gsigpu.pipeline.measure.measurement_rows import CaseLabels
from gsigpu.pipeline.measure.parameters import Measurand, ParameterSettings
from gsigpu.regions.region_layout import Layout, RegionSettings
from gsigpu.tables.measurement_table import MeasurementRow, flags_of_lesions, frame

if TYPE_CHECKING:
    import pandas as pd

# Of a notebook's table: region, parameter, title.
_SHOWN = (
    ("lesion", "longest_axial_diameter", "diameter"),
    ("core", "lambda_hu", "λHU core"),
    ("rim", "lambda_hu", "λHU rim"),
    ("core", "iodine", "iodine core"),
    ("rim", "iodine", "iodine rim"),
)


@dataclass(frozen=True, slots=True)
class MeasureSettings:
    """What is measured, and in which regions.

    with_se : also standard errors that account for the correlation of noise
    statistics : further ones by name, which installed packages add; see gsigpu.plug_ins
    """

    parameters: ParameterSettings = field(default_factory=ParameterSettings)
    regions: RegionSettings = field(default_factory=RegionSettings)
    with_se: bool = False
    statistics: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """One name is a list of one."""
        set_one_or_more(self, "statistics")


@dataclass(frozen=True, slots=True)
class VendorIodine:
    """How the vendor's iodine goes with the computed: vendor = factor * computed + offset."""

    parameter: str
    factor: float
    offset_mg_per_ml: float
    correlation: float
    n_voxels: int


@dataclass(frozen=True, slots=True, repr=False)
class Measurement:
    """What a measurement gives.

    slices : indices of those that were read
    rows : of the table, see gsigpu.tables.measurement_table
    backend : where values and statistics were computed
    kept_planes : (path, frame) -> stored values of planes that were to be kept for pictures
    """

    labels: CaseLabels
    settings: MeasureSettings
    study: Study
    stack: SpectralStack
    masks: CollectedMasks
    layout: Layout
    slices: tuple[int, ...]
    measurand: Measurand
    rows: tuple[MeasurementRow, ...]
    failures: tuple[Failure, ...]
    warnings: tuple[Caution, ...]
    vendor_iodine: tuple[VendorIodine, ...]
    backend: Literal["cpu", "gpu"]
    seconds: dict[str, float]
    kept_planes: KeptPlanes = field(default_factory=dict)

    def __repr__(self) -> str:
        """What was measured, without whose it is or where its files are."""
        n_lesions = len(self.layout.lesions)
        regions = [region.region for region in self.layout.regions if not region.lesion_id]
        lesions = [f"{n_lesions} lesion{'s' if n_lesions != 1 else ''}"]
        parts = [*(lesions if n_lesions or not regions else []), *regions]
        if self.stack.phase:
            parts.append(f"phase {self.stack.phase}")
        parts.append(f"{len(self.rows)} rows")
        if self.failures:
            parts.append(f"{len(self.failures)} failed")
        return f"Measurement({', '.join(parts)})"

    def _repr_html_(self) -> str:
        """Size, λHU and iodine of each lesion; ids that are words are left out, because they may name a person."""
        values = {
            (row.lesion_id, row.region, row.parameter): (row.value, row.unit)
            for row in self.rows
            if row.statistic in ("mean", "value")
        }
        body = []
        flags = flags_of_lesions(self.rows)
        for number, layout in enumerate(self.layout.lesions, start=1):
            lesion_id = layout.lesion.lesion_id
            is_number = all(part.isdigit() for part in lesion_id.split("-"))
            cells = [lesion_id if is_number else f"({number})"]
            for region, parameter, _ in _SHOWN:
                value, unit = values.get((lesion_id, region, parameter), (float("nan"), ""))
                cells.append("" if isnan(value) else f"{value:.3g} {unit}")
            cells.append("; ".join(flags.get(lesion_id, ())))
            body.append("".join(f"<td>{escape(cell)}</td>" for cell in cells))
        titles = ("lesion", *(title for _, _, title in _SHOWN), "flags")
        head = "".join(f"<th>{title}</th>" for title in titles)
        rows = "".join(f"<tr>{cells}</tr>" for cells in body)
        return (
            f"<table><caption>{escape(repr(self))}</caption>"
            f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        )

    @property
    def table(self) -> pd.DataFrame:
        """The rows as a data frame."""
        return frame(self.rows)
