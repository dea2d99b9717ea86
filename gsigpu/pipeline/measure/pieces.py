"""In which pieces the numbers of regions are computed, where the memory of a card is not enough for all at once.

Nothing depends on the pieces: a value comes from its own voxel, and a statistic from the values of its own row and region.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from numpy.typing import NDArray

# Of the room: stored voxels, their rows of values, and what computing them takes beside. The rest is for statistics.
FOR_VALUES = 0.5
# Stored voxels and rows stand there twice while a part of them is computed.
_COPIES = 2
# Bytes per voxel of a region and row of values: gathered, and sorted.
_IN_ROWS = 8
# Bytes per voxel of a region while one row is sorted or counted: its column, its segment, two buffers of 64-bit keys, and for
# the bins their lows and widths, places and numbers.
_OF_A_ROW = 72


def bytes_per_voxel(n_channels: int, n_rows: int) -> int:
    """Of the stored int16 of C series and of R float32 rows, with what computing them takes."""
    return _COPIES * (2 * n_channels + 4 * n_rows)


def fits_at_once(n_voxels: int, n_channels: int, n_rows: int, room_bytes: int) -> bool:
    """Whether stored voxels, and all rows of values of all of them, have room on the card.

    >>> fits_at_once(1_000_000, 11, 14, 400_000_000), fits_at_once(1_000_000, 11, 14, 300_000_000)
    (True, False)
    """
    return n_voxels <= most_at_once(n_channels, n_rows, room_bytes)


def most_at_once(n_channels: int, n_rows: int, room_bytes: int) -> int:
    """How many voxels can be computed at once."""
    return int(FOR_VALUES * room_bytes) // bytes_per_voxel(n_channels, n_rows)


def slices_in_pieces(
    starts: NDArray[Any], first: int, end: int, most: int
) -> Iterator[tuple[int, int]]:
    """The slices from `first` to `end` in pieces of `most` voxels, or of one slice where that has more.

    starts : the column at which each slice begins

    >>> list(slices_in_pieces([0, 4, 6, 7, 20], 0, 4, 7))
    [(0, 3), (3, 4)]
    """
    begin = first
    for z in range(first + 1, end + 1):
        if z == end or starts[z + 1] - starts[begin] > most:
            yield begin, z
            begin = z


def statistics_in_pieces(
    n_rows: int, sizes: Sequence[int], n_voxels: int, room_bytes: int | None
) -> list[tuple[tuple[int, int], list[tuple[int, int]]]]:
    """Rows, and for each piece of them the regions, from one to another.

    sizes : of the regions, in voxels
    n_voxels : that have to be brought there for a row; 0 where the rows lie there
    room_bytes : None for no limit

    >>> statistics_in_pieces(5, [10, 10, 30], 0, None)
    [((0, 5), [(0, 3)])]
    >>> statistics_in_pieces(5, [10, 10, 30], 0, 6000)
    [((0, 3), [(0, 2), (2, 3)]), ((3, 5), [(0, 2), (2, 3)])]
    """
    if room_bytes is None or not n_rows or not sizes:
        return [((0, n_rows), [(0, len(sizes))])]
    budget = int((1.0 - FOR_VALUES) * room_bytes)
    most = max((budget - 4 * n_voxels) // (_OF_A_ROW + _IN_ROWS), 1)
    groups: list[tuple[int, int]] = []
    begin = 0
    for i in range(1, len(sizes) + 1):
        if i == len(sizes) or sum(sizes[begin : i + 1]) > most:
            groups.append((begin, i))
            begin = i
    largest = max(sum(sizes[a:b]) for a, b in groups)
    per_row = max(_IN_ROWS * largest + 4 * n_voxels, 1)
    rows = min(max((budget - _OF_A_ROW * largest) // per_row, 1), n_rows)
    return [((a, min(a + rows, n_rows)), groups) for a in range(0, n_rows, rows)]
