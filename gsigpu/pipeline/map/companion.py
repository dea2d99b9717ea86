"""What goes along with a run of `map`: it sees every slice once it is read, so that nothing is read or decoded twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gsigpu.caution import Caution
from gsigpu.dicom.model import Series
from gsigpu.dicom.writing.presentation import OutlinedRegion
from gsigpu.pipeline.choose_stack import ChosenStack
from gsigpu.pipeline.map.stream import Source
from gsigpu.pipeline.stack_source import PlaneStore


class Companion(Protocol):
    """Work on the slices of a run of maps."""

    def begin(self, chosen: ChosenStack, store: PlaneStore) -> Sequence[Path]:
        """Before the run: prepares for a stack, whose planes `store` reads.

        Returns files that are read and so must not be replaced by the output.
        """

    def take(self, z: int, planes: Mapping[int, NDArray[np.int16]]) -> None:
        """Slice z was read; from several threads, in any order.

        planes : (rows, columns) stored values by `id` of their series; they hold only during the call
        """

    def finish(self, folder: Path) -> Sequence[Caution]:
        """After the last slice: writes what it has into the output, which is complete or absent as a whole.

        Returns warnings.
        """

    def outlined(self) -> Sequence[OutlinedRegion]:
        """What states over the maps outline, once it is finished."""


class SharedSource:
    """A source whose slices a companion sees."""

    def __init__(self, source: Source, series: Sequence[Series], companion: Companion) -> None:
        """`series` : of the source, in its order."""
        self._source, self._companion = source, companion
        self._keys = [id(channel) for channel in series]

    def read(self, z: int, out: NDArray[np.int16]) -> None:
        """As the source does."""
        self._source.read(z, out)
        self._companion.take(z, dict(zip(self._keys, out, strict=True)))
