"""The forms that maps are written in, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from gsigpu.dicom.model import SpectralStack
from gsigpu.maps.definitions import MapDefinition

FormatName = Literal["ct", "pm", "nifti", "nrrd", "rgb"]
FORMATS: tuple[FormatName, ...] = get_args(FormatName)


class MapSink(Protocol):
    """Takes the planes of a run and leaves files in a folder.

    dtype : int16 (value / step, -32768 where there is none) or float32
    names : map name -> its file or folder inside the output folder
    """

    dtype: np.dtype[Any]
    names: dict[str, str]

    def write(self, z: int, planes: Sequence[NDArray[Any]]) -> None:
        """(rows, columns) planes of slice z, one per map; any thread, any order of z."""

    def __enter__(self) -> MapSink:
        """Nothing to do."""

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Completes the files if there was no error."""


def planes_for(name: FormatName, definitions: Sequence[MapDefinition]) -> tuple[MapDefinition, ...]:
    """The planes that the sink of a format takes: the maps, and after them what it needs beside.

    >>> from gsigpu.maps.registry import define_all
    >>> [one.name for one in planes_for("rgb", define_all(["iodine"]))]
    ['iodine', 'anatomy']
    """
    if name == "rgb":
        from gsigpu.dicom.writing.rgb import ANATOMY

        return (*definitions, ANATOMY)
    return tuple(definitions)


def open_sink(
    name: FormatName,
    folder: Path,
    definitions: Sequence[MapDefinition],
    stack: SpectralStack,
) -> MapSink:
    """The sink of a format, writing into `folder`, which exists and is empty.

    definitions : what the planes are, as `planes_for` gave them
    stack : the series that the maps are made of
    """
    if name in ("nifti", "nrrd"):
        from gsigpu.volume_files import VolumeSink

        suffix = ".nii" if name == "nifti" else ".nrrd"
        return VolumeSink(folder, definitions, stack.geometry, suffix=suffix)
    dicom_sink = _dicom_sink(name)
    return dicom_sink(folder, definitions, stack)


def _dicom_sink(name: FormatName) -> Callable[..., MapSink]:
    if name == "pm":
        from gsigpu.dicom.writing.pm import ParametricMapSink

        return ParametricMapSink
    if name == "rgb":
        from gsigpu.dicom.writing.rgb import OverlaySink

        return OverlaySink
    from gsigpu.dicom.writing.ct import CtSeriesSink

    return CtSeriesSink
