"""Planes of headers that differ from known ones by what each plane has of its own.

In a series of hundreds of slices every header but the first two says the same, but for a UID, a number and a position. The
compiled loop finds out which do, and where these three lie, many heads in a call; without it no header is alike, and
each is read by itself (gsigpu.dicom.reading.header_walk), which is the truth that this is tested against.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from gsigpu.backends.compiled_files import Heads
from gsigpu.backends.compiled_headers import Patterns, patterns_for
from gsigpu.dicom.model import Plane
from gsigpu.dicom.reading.file_heads import state_of
from gsigpu.dicom.reading.header_template import MAGIC, Likeness
from gsigpu.dicom.reading.planes import PLANE_TAGS, Common, plane_of

# Series side by side in a folder whose files are named by slice: eleven energies in two phases.
_KEPT = 24


class _Known(NamedTuple):
    likeness: Likeness
    common: Common


class AlikeHeaders:
    """What headers may be like, as far as it was seen twice."""

    def __init__(self) -> None:
        self._known: deque[_Known] = deque(maxlen=_KEPT)
        self._patterns: Patterns | None = None
        self.n_learned = 0
        self._seen: dict[tuple[object, ...], int] = {}

    def is_news(self, common_key: tuple[object, ...]) -> bool:
        """Whether a header of this key was met for the second time, so that others of it are to be expected."""
        times = self._seen[common_key] = self._seen.get(common_key, 0) + 1
        return times == 2

    def learn(self, likeness: Likeness, common: Common) -> None:
        """From now on headers may be like this; the one that was learned first may be forgotten."""
        self._known.append(_Known(likeness, common))
        self.n_learned += 1
        self._patterns = patterns_for(
            [known.likeness.pieces for known in self._known], len(PLANE_TAGS)
        )

    def planes(self, names: Sequence[str], heads: Heads) -> list[Plane | None]:
        """The plane of each file, by the first bytes of all; None of those that are not like others."""
        if self._patterns is None:
            return [None] * len(names)
        which, places = self._patterns.fitting(heads.heads, heads.n_read, MAGIC)
        every, n_apart = heads.heads.tobytes(), heads.heads.shape[1]
        known, states = list(self._known), heads.states.tolist()
        planes: list[Plane | None] = []
        for begin, name, at, (offset, *values), numbers in zip(
            range(0, len(every), n_apart), names, which, places, states, strict=True
        ):
            if at < 0:
                planes.append(None)
                continue
            (_, constant, length), common = known[at]
            if length >= 0 and offset + length != numbers[0]:
                planes.append(None)
                continue
            plane_values: list[bytes | None] = [
                every[begin + values[k] : begin + values[k] + values[k + 1]]
                for k in range(0, len(values), 2)
            ]
            for place, value in constant:
                plane_values[place] = value
            planes.append(
                plane_of(name, common, plane_values, offset, length, state=state_of(*numbers))
            )
        return planes
