"""The outline of a region in a slice, along the edges of its voxels.

A polygon runs with the region on its right (rows count downwards), so that outer edges run clockwise on the screen and
the edges of holes the other way. Voxels that touch at a corner alone are apart, as in the regions' own connectivity of
faces. Laws, tested on random masks: the signed areas sum up to the number of voxels, and the voxels whose centres a
polygon encloses by the even-odd rule are the mask.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_Corner = tuple[int, int]
# Steps (row, column) along an edge, from one to the next by a turn to the right.
_STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))


def outlines(mask: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Closed polygons around the parts and holes of a plane's mask.

    mask : (rows, columns) bool
    Returns (n, 2) corners each, (row, column), the corner (0, 0) being the outer one of voxel [0, 0]; the first is not
    repeated at the end, and no corner lies on a straight line.

    >>> outlines(np.array([[False, True]]))[0].tolist()
    [[0, 1], [0, 2], [1, 2], [1, 1]]
    """
    edges = _directed_edges(np.pad(np.asarray(mask, bool), 1))
    polygons = []
    while edges:
        start = place = min(edges)  # the first corner of a part is of one voxel alone
        (first,) = edges[start]
        step = first
        corners: list[_Corner] = []
        while not corners or place != start:
            edges[place].remove(step)
            if not edges[place]:
                del edges[place]
            place = (place[0] + _STEPS[step][0], place[1] + _STEPS[step][1])
            onward = first if place == start else _rightmost(step, edges[place])
            if onward != step:
                corners.append(place)
            step = onward
        polygons.append(np.array([corners[-1], *corners[:-1]]) - 1)
    return polygons


def _directed_edges(padded: NDArray[np.bool_]) -> dict[_Corner, set[int]]:
    """Corner -> directions of the edges that begin there, with the mask on their right."""
    edges: dict[_Corner, set[int]] = {}

    def add(places: NDArray[Any], offset: _Corner, step: int) -> None:
        for row, column in places.tolist():
            edges.setdefault((row + offset[0], column + offset[1]), set()).add(step)

    inside = padded[1:-1, 1:-1]
    add(np.argwhere(inside & ~padded[:-2, 1:-1]) + 1, (0, 0), 0)  # above it, to the right
    add(np.argwhere(inside & ~padded[1:-1, 2:]) + 1, (0, 1), 1)  # right of it, down
    add(np.argwhere(inside & ~padded[2:, 1:-1]) + 1, (1, 1), 2)  # below it, to the left
    add(np.argwhere(inside & ~padded[1:-1, :-2]) + 1, (1, 0), 3)  # left of it, up
    return edges


def _rightmost(step: int, onward: set[int]) -> int:
    """Where two voxels touch at a corner, the turn that stays with this one: to the right."""
    for turn in (1, 0, 3):
        if (step + turn) % 4 in onward:
            return (step + turn) % 4
    raise AssertionError("an outline ends")
