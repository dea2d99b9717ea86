"""What a measurement is asked for, and what it gives."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd

from gsigpu.dicom.model import SpectralStack, Study
from gsigpu.pipeline.measure.gather import Gathered
from gsigpu.pipeline.measure.measurement_rows import CaseLabels
from gsigpu.pipeline.measure.parameters import Measurand, ParameterSettings
from gsigpu.pipeline.measure.study_masks import CollectedMasks, Failure
from gsigpu.regions.region_layout import Layout, RegionSettings
from gsigpu.tables.measurement_table import MeasurementRow, frame


@dataclass(frozen=True, slots=True)
class MeasureSettings:
    """What is measured, and in which regions.

    with_se : also standard errors that account for the correlation of noise
    """

    parameters: ParameterSettings = field(default_factory=ParameterSettings)
    regions: RegionSettings = field(default_factory=RegionSettings)
    with_se: bool = False


@dataclass(frozen=True, slots=True)
class VendorIodine:
    """How the vendor's iodine goes with the computed: vendor = factor * computed + offset."""

    parameter: str
    factor: float
    offset_mg_per_ml: float
    correlation: float
    n_voxels: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a measurement found.

    rows : of the table, see gsigpu.tables.measurement_table
    """

    labels: CaseLabels
    settings: MeasureSettings
    study: Study
    stack: SpectralStack
    masks: CollectedMasks
    layout: Layout
    gathered: Gathered
    measurand: Measurand
    rows: tuple[MeasurementRow, ...]
    failures: tuple[Failure, ...]
    warnings: tuple[str, ...]
    vendor_iodine: tuple[VendorIodine, ...]
    seconds: dict[str, float]

    @property
    def table(self) -> pd.DataFrame:
        """The rows as a data frame."""
        return frame(self.rows)

    @property
    def slices(self) -> tuple[int, ...]:
        """Indices of the slices that were read."""
        return self.gathered.slices
