"""The forms that maps are written in, by name."""

from __future__ import annotations

from collections.abc import Sequence
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


def open_sink(
    name: FormatName,
    folder: Path,
    definitions: Sequence[MapDefinition],
    stack: SpectralStack,
    *,
    settings_key: str = "",
) -> MapSink:
    """The sink of a format, writing into `folder`, which exists and is empty.

    definitions : what the planes are, as `planes_for` gave them
    stack : the series that the maps are made of
    settings_key : whatever beside source, definitions and version decides about the output; it goes
        into the UIDs
    """
    if name == "ct":
        from gsigpu.dicom.write_ct import CtSeriesSink

        return CtSeriesSink(folder, definitions, stack, settings_key=settings_key)
    from gsigpu.volume_files import VolumeSink

    return VolumeSink(folder, definitions, stack.geometry, suffix=SUFFIXES[name])


SUFFIXES = {"nifti": ".nii", "nrrd": ".nrrd"}
