"""What `gsigpu measure` says of a measurement, for a person and for a program."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from gsigpu.cli.console import entry, table

if TYPE_CHECKING:
    import pandas as pd

    from gsigpu.caution import Caution
    from gsigpu.pipeline.measure.measurement import Measurement
    from gsigpu.tables.measurement_table import MeasurementRow


def ids_to_read_as_text(table: pd.DataFrame, out: Path) -> list[str]:
    """A warning where a CSV does not say by itself that its ids are text."""
    from gsigpu.tables.measurement_table import ids_that_change_in_csv

    changed = ids_that_change_in_csv(table) if out.suffix.lower() == ".csv" else []
    if not changed:
        return []
    what = "this id" if len(changed) == 1 else "these ids"
    line = (
        f"{out}: {', '.join(changed)}: programs that guess types read {what} as numbers or missing values;"
        " read the column as text, or write -o OUT.parquet"
    )
    return [line]


def as_record(
    measurement: Measurement, written: list[Path], notes: Sequence[Caution] = ()
) -> dict[str, object]:
    """Plain data for `--json`; `notes` are warnings of what was written."""
    return {
        "files": [str(path) for path in written],
        "phase": measurement.stack.phase,
        "n_rows": len(measurement.rows),
        "lesions": [layout.lesion.lesion_id for layout in measurement.layout.lesions],
        "regions": [name for name, _ in measurement.masks.masks.named],
        "automatic_masks": [
            {**mask.as_dict, "folder": None if mask.folder is None else str(mask.folder)}
            for mask in measurement.masks.automatic
        ],
        "roles": [asdict(region_role) for region_role in measurement.masks.roles],
        "n_slices_read": len(measurement.slices),
        "backend": measurement.backend,
        "failures": [
            {"lesion_id": failure.lesion_id, "reason": str(failure.error)}
            for failure in measurement.failures
        ],
        "warnings": [*measurement.warnings, *notes],
        "vendor_iodine": [asdict(vendor) for vendor in measurement.vendor_iodine],
        "seconds": measurement.seconds,
    }


def summary(measurement: Measurement, written: list[Path]) -> str:
    """What was measured, for a person."""
    stack = measurement.stack
    lines = [
        entry(
            "read",
            f"{len(measurement.slices)} of {stack.geometry.shape[0]} slices, {len(measurement.measurand.series)} series"
            + (f", phase {stack.phase}" if stack.phase else ""),
        ),
        entry("regions", _roles(measurement)),
        *_drawn_by_program(measurement),
        *([entry("backend", "GPU")] if measurement.backend == "gpu" else []),
        *(
            entry(
                "vendor",
                f"{vendor.parameter} = {vendor.factor:.3f} x computed {vendor.offset_mg_per_ml:+.3f} mg/mL,"
                f" correlation {vendor.correlation:.3f}",
            )
            for vendor in measurement.vendor_iodine
        ),
        *([entry("wrote", written)] if written else []),
        "",
        lesion_table(measurement.rows),
    ]
    return "\n".join(lines)


def _roles(measurement: Measurement) -> str:
    masks = measurement.masks.masks
    others = [
        role for role in ("liver", "vessels", "aorta", "normal") if getattr(masks, role) is not None
    ]
    n = len(masks.lesions)
    lesions = [f"{n} lesion{'s' if n != 1 else ''}"] if n or not masks.named else []
    return ", ".join([*lesions, *others, *(name for name, _ in masks.named)])


def _drawn_by_program(measurement: Measurement) -> list[str]:
    """A line per folder of masks that a program drew, and one of those that came by a file, unchanged."""
    of: dict[str, list[str]] = {}
    for mask in measurement.masks.automatic:
        seen = "" if mask.energy_kev is None else f" on {mask.energy_kev:g} keV"
        where = "given" if mask.folder is None else str(mask.folder)
        of.setdefault(f"{mask.program} {mask.version} {mask.task}{seen}, unedited: {where}", []).append(mask.region)  # fmt: skip
    return [entry("drawn by", f"{told} ({', '.join(regions)})") for told, regions in of.items()]


def lesion_table(rows: Sequence[MeasurementRow]) -> str:
    """Size, λHU and iodine per lesion and region of the study, in text, and all flags of each.

    Of masks that a program drew it says that alone: which program it was stands above the table, and would not fit a line.
    """
    from gsigpu.tables.measurement_table import flags_of_lesions

    value = {
        (row.lesion_id, row.region, row.parameter): row.value
        for row in rows
        if row.statistic in ("mean", "value")
    }

    def shown(lesion: str, region: str, parameter: str, digits: int) -> str:
        number = value.get((lesion, region, parameter), math.nan)
        return "-" if math.isnan(number) else f"{number:.{digits}f}"

    flags_of_study = {
        row.region: row.flags.split(";")
        for row in rows
        if not row.lesion_id and row.parameter == "lambda_hu" and row.flags
    }
    reference = [
        [
            region,
            shown("", region, "volume", 2),
            shown("", region, "lambda_hu", 3),
            shown("", region, "iodine", 2),
            _in_short(flags_of_study.get(region, ())),
        ]
        for region in dict.fromkeys(row.region for row in rows if not row.lesion_id)
        if ("", region, "lambda_hu") in value
    ]
    by_lesion = flags_of_lesions(rows)
    if not by_lesion:
        return table(["region", "mL", "λHU", "iodine", "flags"], reference)
    body = [
        [
            lesion,
            shown(lesion, "lesion", "longest_axial_diameter", 1),
            shown(lesion, "lesion", "volume", 2),
            *(shown(lesion, region, "lambda_hu", 3) for region in ("core", "rim")),
            *(shown(lesion, region, "iodine", 2) for region in ("core", "rim")),
            _in_short(of_lesion),
        ]
        for lesion, of_lesion in by_lesion.items()
    ]
    body += [
        [name, "", ml, slope, "", iodine, "", told] for name, ml, slope, iodine, told in reference
    ]
    header = ["lesion", "diameter mm", "mL", "λHU core", "rim", "iodine core", "rim", "flags"]
    return table(header, body)


def _in_short(flags: Sequence[str]) -> str:
    """Flags side by side: `automatic` without the program, but with the regions that it names."""
    from gsigpu.regions.flags import is_automatic

    def short(flag: str) -> str:
        name, space, of_regions = flag.partition(" ")
        return name.partition(":")[0] + space + of_regions if is_automatic(name) else flag

    return "; ".join(map(short, flags))
