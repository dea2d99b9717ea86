"""Presentation states beside the series of `map --dicom`: each map in colour over the images that a person reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from gsigpu.caution import Caution
from gsigpu.dicom.model import SpectralStack
from gsigpu.dicom.writing.blending import WrittenImages, has_colours, write_blendings
from gsigpu.dicom.writing.formats import FormatName
from gsigpu.dicom.writing.presentation import OutlinedRegion
from gsigpu.dicom.writing.slice_files import SliceFiles
from gsigpu.errors import SettingsError
from gsigpu.map_files import MapFiles, file_name
from gsigpu.maps.definitions import MapDefinition
from gsigpu.pictures import ANATOMY_WINDOW
from gsigpu.pipeline.reading_series import other_energy, reading_series

_SUFFIX = ".pr.dcm"


def require_series(output_format: FormatName) -> None:
    """Raises SettingsError for a form that states do not lie over."""
    if output_format != "ct":
        raise SettingsError(
            f"presentation states (--dicom) are of CT series, not of {output_format}",
            remedy="use --format ct, or leave --dicom out",
        )


def state_names(definitions: Sequence[MapDefinition], stack: SpectralStack) -> dict[str, str]:
    """Map name -> the name of its state, for every map that has colours; none where map and image may not fit."""
    if not _names_a_frame(stack):
        return {}
    return {
        definition.name: file_name(definition.name) + _SUFFIX
        for definition in definitions
        if has_colours(definition)
    }


def write_states(
    folder: Path,
    sink: MapFiles,
    names: Mapping[str, str],
    definitions: Sequence[MapDefinition],
    stack: SpectralStack,
    regions: Sequence[OutlinedRegion],
) -> list[Caution]:
    """Writes the states that `state_names` named.

    sink : of CT series, all written and named
    stack : all energies of the study, of which one is the anatomy
    regions : to outline in each state
    Returns what to know of them.
    """
    if not _names_a_frame(stack):
        line = "no presentation states with --dicom: the study names no frame of reference, so nothing says that map and image fit"
        return [Caution("reading-series", line)]
    paths = {}
    for definition, writer in zip(definitions, sink.writers, strict=True):
        if definition.name in names:
            assert isinstance(writer, SliceFiles)
            images = WrittenImages(writer.series_uid, writer.sop_class_uid, writer.image_uids)
            paths[folder / names[definition.name]] = (definition, images)
    anatomy = reading_series(stack)
    write_blendings(paths, anatomy, stack.geometry, anatomy_window=ANATOMY_WINDOW, regions=regions)
    return other_energy(stack, "presentation states") if paths else []


def _names_a_frame(stack: SpectralStack) -> bool:
    return bool(reading_series(stack).evidence.frame_of_reference_uid)
