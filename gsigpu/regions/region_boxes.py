"""Where in an array something lies: the box of what is not 0, and of each label how many voxels it has and their box.

Computed by NumPy and SciPy, or by a compiled loop that gives the same (kernels/region_boxes.cpp).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gsigpu.backends import compiled_regions

Box = tuple[slice, slice, slice]


class LabelBox(NamedTuple):
    """A label that occurs, how often, and the smallest box that holds it."""

    label: int
    n_voxels: int
    box: Box


def box_of_set(values: Any) -> Box | None:
    """The smallest box with all that is not 0; None where nothing is.

    values : (z, y, x) of numbers or bool, NumPy or CuPy

    >>> box_of_set(np.eye(3, dtype=bool)[None, 1:])
    (slice(0, 1, None), slice(0, 2, None), slice(1, 3, None))
    """
    if isinstance(values, np.ndarray):
        ends = compiled_regions.ends_of_set(values)
        if ends is not None:
            return _box(ends) if ends[0] < ends[1] else None
    return box_in_numpy(values)


def box_in_numpy(values: Any) -> Box | None:
    """The same; the truth that the loop is tested against. By one look at the array, then at what is left of it."""
    if values.size == 0:
        return None
    if values.dtype.kind not in "bu":  # whose largest value says nothing of the others
        values = values != 0
    z = _side(values.reshape(len(values), -1).max(axis=1))
    if z is None:
        return None
    plane = values[z].max(axis=0)
    y, x = _side(plane.max(axis=1)), _side(plane.max(axis=0))
    assert y is not None  # as there is something
    assert x is not None
    return z, y, x


def label_boxes(labels: NDArray[np.integer[Any]]) -> list[LabelBox]:
    """Of each label above 0 that occurs, in their order.

    labels : (z, y, x), on the host

    >>> label_boxes(np.array([[[0, 3, 3], [0, 0, 3]]]))
    [LabelBox(label=3, n_voxels=3, box=(slice(0, 1, None), slice(0, 2, None), slice(1, 3, None)))]
    """
    n_labels = int(labels.max(initial=0))
    numbers = compiled_regions.label_numbers(labels, n_labels)
    if numbers is None:
        return labels_in_scipy(labels)
    counts, ends = numbers
    return [
        LabelBox(label, n, _box(ends[label]))
        for label, n in enumerate(counts.tolist())
        if n and label
    ]


def labels_in_scipy(labels: NDArray[np.integer[Any]]) -> list[LabelBox]:
    """The same; the truth that the loop is tested against."""
    from scipy.ndimage import find_objects

    if labels.size == 0:  # which SciPy does not take
        return []
    return [
        LabelBox(label, int(np.count_nonzero(labels[box] == label)), box)
        for label, box in enumerate(find_objects(labels), start=1)
        if box is not None
    ]


def _box(ends: NDArray[np.int64]) -> Box:
    z0, z1, y0, y1, x0, x1 = ends.tolist()
    return slice(z0, z1), slice(y0, y1), slice(x0, x1)


def _side(largest: Any) -> slice | None:
    """From the first to the last that is not 0."""
    where = [i for i, value in enumerate(largest.tolist()) if value]
    return slice(where[0], where[-1] + 1) if where else None
