"""What goes along with a run of `map`: it sees every slice once it is read, so that nothing is read or decoded twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gsigpu.caution import Caution
from gsigpu.dicom.model import Plane, Series
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

    @property
    def planes(self) -> Sequence[Plane]:
        """The planes that it takes, once it has begun; those of the maps may be among them."""

    @property
    def written(self) -> Sequence[str]:
        """Names of the files that `finish` writes, once it has begun."""

    @property
    def warnings(self) -> Sequence[Caution]:
        """What is to be known before the run, once it has begun; `finish` tells it too."""

    def take(
        self, z: int, planes: Mapping[int, NDArray[np.int16]], *, goes_up: bool = False
    ) -> None:
        """Slice z was read; from several threads, in any order.

        planes : (rows, columns) stored values by `id` of their series; they hold only during the call
        goes_up : whether `take_uploaded` is going to be told of these planes
        """

    def take_uploaded(
        self, first: int, planes: Mapping[int, tuple[NDArray[np.int16], Any]], stream: Any
    ) -> None:
        """Slices from `first` on lie on the card, behind what is queued on a stream.

        planes : by `id` of their series (S, rows, columns) on the host and (S, N) on the card; they hold for what
            is queued on the stream during the call
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

    def read_to_go_up(self, z: int, out: NDArray[np.int16]) -> None:
        """As the source does; the slice goes to a card."""
        self._source.read(z, out)
        self._companion.take(z, dict(zip(self._keys, out, strict=True)), goes_up=True)

    def is_there(self, first: int, host: NDArray[np.int16], stored: Any, stream: Any) -> None:
        """The companion takes what it needs of them on the card."""
        planes = {key: (host[:, e], stored[:, e]) for e, key in enumerate(self._keys)}
        self._companion.take_uploaded(first, planes, stream)
