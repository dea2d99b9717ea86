"""The forms that maps are written in, by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from gsigpu.dicom.model import SpectralStack
from gsigpu.map_files import PARAMETRIC_MAP_SUFFIX, MapFiles, map_names
from gsigpu.maps.definitions import MapDefinition

FormatName = Literal["ct", "pm", "nifti", "nii.gz", "nrrd", "rgb"]
FORMATS: tuple[FormatName, ...] = get_args(FormatName)
# Formats that are one volume file per map.
VOLUME_SUFFIXES: dict[str, Literal[".nii", ".nii.gz", ".nrrd"]] = {
    "nifti": ".nii",
    "nii.gz": ".nii.gz",
    "nrrd": ".nrrd",
}


def planes_for(
    name: FormatName, definitions: Sequence[MapDefinition], *, with_anatomy: bool = False
) -> tuple[MapDefinition, ...]:
    """The planes that the sink of a format takes: the maps, and after them what it needs beside.

    with_anatomy : the anatomical image too, whatever the format

    >>> from gsigpu.maps.registry import define_all
    >>> [definition.name for definition in planes_for("rgb", define_all(["iodine"]))]
    ['iodine', 'anatomy']
    """
    if name == "rgb" or with_anatomy:
        from gsigpu.dicom.writing.rgb import ANATOMY

        return (*definitions, ANATOMY)
    return tuple(definitions)


def names_in(name: FormatName, definitions: Sequence[MapDefinition]) -> dict[str, str]:
    """Map name -> the name of its file, or of the folder of its series, in a format.

    >>> from gsigpu.maps.registry import define_all
    >>> names_in("pm", define_all(["iodine"])), names_in("ct", define_all(["iodine"]))
    ({'iodine': 'iodine.dcm'}, {'iodine': 'iodine'})
    """
    suffixes: dict[str, str] = {**VOLUME_SUFFIXES, "pm": PARAMETRIC_MAP_SUFFIX}
    return map_names(definitions, suffix=suffixes.get(name, ""))


def output_bytes(stack: SpectralStack, n_maps: int, output_format: FormatName) -> int:
    """About how many bytes the maps of a stack take on disk."""
    per_voxel = {"ct": 2, "rgb": 3}.get(output_format, 4)
    n_slices, rows, columns = stack.geometry.shape
    return n_maps * n_slices * (rows * columns * per_voxel + 8192)


def open_sink(
    name: FormatName,
    folder: Path,
    definitions: Sequence[MapDefinition],
    stack: SpectralStack,
    *,
    compress: str | None = None,
) -> MapFiles:
    """The files of a format, in `folder`, which exists and is empty.

    definitions : what the planes are, as `planes_for` gave them
    stack : the series that the maps are made of
    compress : of CT series, one of gsigpu.choices.COMPRESSIONS
    """
    match name:
        case "nifti" | "nii.gz" | "nrrd":
            from gsigpu.volume_files import volume_sink

            return volume_sink(folder, definitions, stack.geometry, suffix=VOLUME_SUFFIXES[name])
        case "pm":
            from gsigpu.dicom.writing.pm import parametric_map_sink

            return parametric_map_sink(folder, definitions, stack)
        case "rgb":
            from gsigpu.dicom.writing.rgb import OverlayFiles

            return OverlayFiles(folder, definitions, stack)
        case "ct":
            from gsigpu.dicom.writing.ct import ct_sink

            return ct_sink(folder, definitions, stack, transfer_syntax=compress or "explicit")
