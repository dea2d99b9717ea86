"""How lesions were carried over from another phase, as rows of the measurement table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gsigpu.pipeline.measure.collected_masks import CarriedLesion
from gsigpu.tables.measurement_table import MeasurementRow

_DEFINITIONS = {
    "carried_shift": ("mm", "distance between the lesion's middles in the two phases"),
    "carried_volume_ratio": ("1", "volume in this phase / volume where it was drawn"),
    "carried_offset_proven": ("mm", "least offset from its place that the images allow"),
    "carried_offset_possible": ("mm", "largest offset from its place that the images allow"),
}


def carried_rows(blank: MeasurementRow, carried: Sequence[CarriedLesion]) -> list[MeasurementRow]:
    """A row for each figure of each lesion; none where no mask was carried.

    blank : with the labels of the case
    """
    rows = []
    for lesion in carried:
        values = {
            "carried_shift": lesion.shift_mm,
            "carried_volume_ratio": lesion.volume_ratio,
            "carried_offset_proven": lesion.proven_offset_mm,
            "carried_offset_possible": lesion.possible_offset_mm,
        }
        for parameter, (unit, definition) in _DEFINITIONS.items():
            rows.append(
                replace(
                    blank,
                    lesion_id=lesion.lesion_id,
                    region="lesion",
                    parameter=parameter,
                    statistic="value",
                    value=values[parameter],
                    unit=unit,
                    definition=definition,
                )
            )
    return rows
