"""A measurement as files: the table, and what goes with it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gsigpu.caution import Caution
from gsigpu.errors import OutputError
from gsigpu.maps.registry import is_added
from gsigpu.masks.added_formats import added_suffix
from gsigpu.masks.read_files import content_digest
from gsigpu.output.staging import staged_files
from gsigpu.pipeline.choose_stack import require_dicom
from gsigpu.pipeline.measure.collected_masks import CollectedMasks
from gsigpu.pipeline.measure.given_masks import MaskFiles
from gsigpu.pipeline.measure.measurement import Measurement
from gsigpu.pipeline.measure.parameters import Measurand
from gsigpu.plug_ins import MAPS, MASK_READERS, STATISTICS, plug_in_record
from gsigpu.tables.measurement_table import require_suffix, wide, write_table
from gsigpu.version import __version__

_BESIDE = {
    "json": ".json",
    "wide": ".wide.csv",
    "seg": ".seg.dcm",
    "sr": ".sr.dcm",
    "presentation": ".pr.dcm",
    "plot": ".profile.png",
    "registration": ".registration.png",
}

COMMAND = "measure"
_LIBRARIES = ("numpy", "scipy", "pydicom", "highdicom", "pandas", "xraydb")


def files_beside(
    out: Path, *, with_wide: bool = False, with_dicom: bool = False, with_plot: bool = False
) -> list[Path]:
    """The files of a measurement, the table last.

    Raises SettingsError if `out` is no .csv or .parquet.
    """
    require_suffix(out)
    is_asked_of = {
        "json": True,
        "wide": with_wide,
        "seg": with_dicom,
        "sr": with_dicom,
        "presentation": with_dicom,
        "plot": with_plot,
        "registration": with_plot,
    }
    return [
        *(out.with_suffix(_BESIDE[what]) for what, is_asked in is_asked_of.items() if is_asked),
        out,
    ]


def files_of(
    measurand: Measurand,
    masks: CollectedMasks,
    out: Path,
    *,
    with_wide: bool = False,
    with_dicom: bool = False,
    with_plot: bool = False,
) -> list[Path]:
    """The files that a measurement leaves, the table last: `files_beside`, but for what there cannot be.

    A presentation state needs one rescale, and a picture of registration masks that were carried over.
    """
    files = files_beside(out, with_wide=with_wide, with_dicom=with_dicom, with_plot=with_plot)
    absent = {
        out.with_suffix(_BESIDE["presentation"]): not measurand.has_one_rescale,
        out.with_suffix(_BESIDE["registration"]): not masks.carried,
    }
    return [path for path in files if not absent.get(path, False)]


def was_measured(path: Path, out: Path) -> bool:
    """Whether a file that goes with the table `out` was written by `gsigpu measure`.

    The provenance beside the table names the files of a measurement.
    """
    return path.name in _measured_names(out)


def _measured_names(out: Path) -> list[str]:
    """Names of the files of an earlier table of that name, as its provenance has them."""
    try:
        record = json.loads(out.with_suffix(_BESIDE["json"]).read_text("utf-8"))
    except (OSError, ValueError):
        return []
    if not isinstance(record, dict) or record.get("command") != COMMAND:
        return []
    names = [str(name) for name in record.get("files", ())]
    return [name for name in names if Path(name).name == name and name.startswith(out.stem)]


@contextmanager
def replaced(out: Path, *, keep: Collection[Path], overwrite: bool) -> Iterator[list[Path]]:
    """What went with an earlier table of that name, and is not written now, goes too: it would pass for this one's.

    keep : resolved paths that are never removed
    Yields a list to fill with what is written.
    """
    earlier = [out.parent / name for name in _measured_names(out)] if overwrite else []
    written: list[Path] = []
    yield written
    for path in earlier:
        if path not in written and path.resolve() not in keep:
            path.unlink(missing_ok=True)


def write_measurement(
    measurement: Measurement,
    out: Path | str,
    *,
    masks: Any,
    with_wide: bool = False,
    with_dicom: bool = False,
    with_plot: bool = False,
    overwrite: bool = False,
) -> list[Path]:
    """Writes the table and what goes with it; all of it or nothing.

    out : .csv or .parquet; beside it OUT.json with the provenance and, if asked, OUT.wide.csv, OUT.seg.dcm
        and OUT.sr.dcm and OUT.pr.dcm (see `dicom_notes`), OUT.profile.png, and OUT.registration.png of masks that were carried over
    masks : that were measured, as they were given
    overwrite : replace an earlier measurement of that name; what went with it and is not written now goes too
    Returns the files written, the table first. Raises SettingsError and OutputError.
    """
    out, masks = Path(out), masks if isinstance(masks, MaskFiles) else MaskFiles(masks)
    beside = {what: out.with_suffix(suffix) for what, suffix in _BESIDE.items()}
    finals = files_of(
        measurement.measurand,
        measurement.masks,
        out,
        with_wide=with_wide,
        with_dicom=with_dicom,
        with_plot=with_plot,
    )
    read = require_no_mask(finals, measurement.masks)
    with (
        replaced(out, keep=read, overwrite=overwrite) as written,
        staged_files(
            finals, overwrite=overwrite, is_replaceable=lambda path: was_measured(path, out)
        ) as folder,
    ):
        write_table(measurement.table, folder / out.name)
        if with_wide:
            write_table(wide(measurement.table), folder / beside["wide"].name)
        notes = write_beside(
            measurement, folder / out.name, with_dicom=with_dicom, with_plot=with_plot
        )
        record = provenance(measurement, masks, files=[path.name for path in finals], notes=notes)
        text = json.dumps(record, indent=2)
        (folder / beside["json"].name).write_text(text + "\n", "utf-8")
        written.extend(finals)
    return [out, *finals[:-1]]


def require_no_mask(finals: Sequence[Path], masks: CollectedMasks) -> set[Path]:
    """The mask files that were read; raises OutputError where an output would be written over one of them."""
    read = {path.resolve() for path in masks.paths}
    for path in finals:
        if path.resolve() in read:
            raise OutputError(
                "is a mask that was measured", where=path, remedy="choose another output"
            )
    return read


def write_beside(
    measurement: Measurement, table: Path, *, with_dicom: bool, with_plot: bool
) -> list[Caution]:
    """Writes what goes with a table of one phase: SEG, SR, presentation state where there is one, plot.

    Returns warnings of what was written.
    """
    notes: list[Caution] = []
    if with_dicom:
        require_dicom(measurement.stack, "--dicom", "leave --dicom out")
        from gsigpu.pipeline.measure.dicom_results import (
            dicom_notes,
            write_dicom,
        )

        notes = dicom_notes(measurement)
        presentation = table.with_suffix(_BESIDE["presentation"])
        write_dicom(
            measurement,
            table.with_suffix(_BESIDE["seg"]),
            table.with_suffix(_BESIDE["sr"]),
            presentation if measurement.measurand.has_one_rescale else None,
        )
    if with_plot:
        from gsigpu.pipeline.measure.profile_plot import save_profiles

        save_profiles(table.with_suffix(_BESIDE["plot"]), measurement)
        if measurement.masks.carried:
            from gsigpu.pipeline.measure.registration_picture import save_registration

            save_registration(table.with_suffix(_BESIDE["registration"]), measurement)
    return notes


def _plug_ins(measurement: Measurement) -> list[dict[str, str]]:
    """What other packages gave: maps, statistics, readers of masks."""
    maps = [definition.name for definition in measurement.measurand.definitions]
    suffixes = [suffix for path in measurement.masks.paths if (suffix := added_suffix(path))]
    return [
        *plug_in_record(MAPS, [name for name in maps if is_added(name)]),
        *plug_in_record(STATISTICS, measurement.settings.statistics),
        *plug_in_record(MASK_READERS, suffixes),
    ]


@cache
def _versions() -> dict[str, str]:
    """Read once: a cohort asks for every row."""
    return {name: version(name) for name in _LIBRARIES}


def provenance(
    measurement: Measurement,
    masks: MaskFiles,
    *,
    files: Sequence[str] = (),
    notes: Sequence[Caution] = (),
) -> dict[str, Any]:
    """What the table was made from and how; plain data, without names or dates of the patient.

    files : names of the files of the measurement, which a later one may replace
    notes : warnings of what was written, beside those of the measurement
    """
    return {
        "software": f"gsigpu {__version__}",
        "command": COMMAND,
        "files": list(files),
        "versions": {**_versions()},
        "backend": measurement.backend,
        "case": asdict(measurement.labels),
        "phase": measurement.stack.phase,
        "settings": asdict(measurement.settings),
        "plug_ins": _plug_ins(measurement),
        "study_uid": measurement.stack.series[0].evidence.study_uid,
        "frame_of_reference_uid": measurement.stack.geometry.frame_of_reference_uid,
        "grid": {
            "shape": measurement.stack.geometry.shape,
            "spacing_mm": measurement.stack.geometry.spacing_mm,
        },
        "slices_read": list(measurement.slices),
        "series": [
            {
                "uid": series.evidence.series_uid,
                "kind": series.kind.value,
                "energy_kev": series.energy_kev,
                "sop_instance_uids": list(
                    dict.fromkeys(series.planes[z].sop_instance_uid for z in measurement.slices)
                ),
            }
            for series in measurement.measurand.series
        ],
        "masks": [
            {
                "file": path.name,
                "role": role.value,
                "sha256": measurement.masks.digests.get(path) or content_digest(path),
            }
            for role, path in measurement.masks.files
        ],
        "region_masks": [
            {
                "file": path.name,
                "region": name,
                "sha256": measurement.masks.digests.get(path) or content_digest(path),
            }
            for name, path in measurement.masks.named_files
        ],
        "split_lesions": masks.split,
        "any_mask_phase": masks.any_phase,
        "fill_between": masks.fill_between,
        "threshold": masks.threshold,
        "mask_position": masks.position,
        "mask_phase": measurement.masks.drawn_on,
        "carried": [asdict(lesion) for lesion in measurement.masks.carried],
        "automatic_masks": [mask.as_dict for mask in measurement.masks.automatic],
        "regions": [asdict(role) for role in measurement.masks.roles],
        "definitions": {
            definition.parameter: {"formula": definition.formula, "ucum": definition.unit.ucum}
            for definition in measurement.measurand.definitions
        },
        "vendor_iodine": [asdict(vendor) for vendor in measurement.vendor_iodine],
        "failures": [
            {"lesion_id": failure.lesion_id, "reason": str(failure.error)}
            for failure in measurement.failures
        ],
        "warnings": [*measurement.warnings, *notes],
    }
