"""Reads the mask files of a study, several at once where that helps: unpacking them is most of the work."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from gsigpu.masks import MaskSet, read_masks
from gsigpu.masks.layers import Owner
from gsigpu.masks.positions import PositionChoice
from gsigpu.volume import VolumeGeometry


class MaskReader:
    """`read_masks` on one grid; what is begun ahead gives the same masks, and the same errors where it is asked for.

    n_workers : threads; 1 for no reading ahead
    """

    def __init__(
        self,
        geometry: VolumeGeometry,
        owner: Owner,
        *,
        fill_between: bool,
        position: PositionChoice | None,
        threshold: float | None = None,
        n_workers: int,
    ) -> None:
        self._geometry, self._owner = geometry, owner
        self._fill_between, self._position = fill_between, position
        self._threshold = threshold
        self._pool = ThreadPoolExecutor(n_workers, "gsigpu-masks") if n_workers > 1 else None
        self._begun: dict[Path, Future[MaskSet]] = {}

    def __enter__(self) -> MaskReader:
        """Nothing is read yet."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """What was begun and is not wanted any more is left."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def read_ahead(self, paths: Iterable[Path]) -> None:
        """Begins files that will be asked for, in their order."""
        if self._pool is not None:
            for path in dict.fromkeys(paths):
                self._begun[path] = self._pool.submit(self._read, path)

    def read(self, path: Path) -> MaskSet:
        """The regions of a file.

        Raises what `read_masks` raises.
        """
        begun = self._begun.pop(path, None)
        return self._read(path) if begun is None else begun.result()

    def _read(self, path: Path) -> MaskSet:
        return read_masks(
            path,
            self._geometry,
            owner=self._owner,
            fill_between=self._fill_between,
            position=self._position,
            threshold=self._threshold,
        )
