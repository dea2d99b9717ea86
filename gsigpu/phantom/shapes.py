"""Shapes as implicit functions, and how they are combined.

Definitions. A shape gives the depth of points: the distance to its surface in mm, positive inside,
negative outside. For the curved ones it is the first-order distance f / |∇f|: exact on the surface,
an estimate away from it, which is all that boundaries one voxel wide need. Points are given as
broadcastable x, y, z in mm.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gsigpu.volume import Vector

Array = NDArray[np.float64]
Box = tuple[Vector, Vector]

EVERYWHERE: Box = ((-math.inf,) * 3, (math.inf,) * 3)
_TINY = 1e-9


class Shape(Protocol):
    """What all shapes share."""

    @property
    def box(self) -> Box:
        """((x, y, z) lowest, (x, y, z) highest) mm; nothing of the shape lies outside."""

    def depth_mm(self, x: Array, y: Array, z: Array) -> Array:
        """Distance to the surface, positive inside."""


def _around(centre: Vector, radii: Vector) -> Box:
    low, high = (
        tuple(c + sign * r for c, r in zip(centre, radii, strict=True)) for sign in (-1, 1)
    )
    return (low[0], low[1], low[2]), (high[0], high[1], high[2])


@dataclass(frozen=True)
class Ellipsoid:
    """|p - centre| scaled by radii (x, y, z) is at most 1; larger exponents round less."""

    centre_mm: Vector
    radii_mm: Vector
    exponent: float = 2.0

    @property
    def box(self) -> Box:
        """See Shape."""
        return _around(self.centre_mm, self.radii_mm)

    def depth_mm(self, x: Array, y: Array, z: Array) -> Array:
        """See Shape; f = 1 - (Σ |u|^n)^(1/n), u the scaled coordinates."""
        n = self.exponent
        scaled = [
            np.abs(p - c) / r
            for p, c, r in zip((x, y, z), self.centre_mm, self.radii_mm, strict=True)
        ]
        radius = np.maximum(sum(u**n for u in scaled), _TINY) ** (1.0 / n)
        gradient = np.sqrt(
            sum(
                ((u / radius) ** (n - 1.0) / r) ** 2
                for u, r in zip(scaled, self.radii_mm, strict=True)
            )
        )
        depth: Array = (1.0 - radius) / np.maximum(gradient, _TINY)
        return depth


@dataclass(frozen=True)
class Column:
    """An elliptic cylinder along z; larger exponents make the ellipse more of a box."""

    centre_mm: tuple[float, float]
    radii_mm: tuple[float, float]
    exponent: float = 2.0

    @property
    def box(self) -> Box:
        """See Shape."""
        return _around((*self.centre_mm, 0.0), (*self.radii_mm, math.inf))

    def depth_mm(self, x: Array, y: Array, z: Array) -> Array:
        """See Shape."""
        flat = Ellipsoid((*self.centre_mm, 0.0), (*self.radii_mm, 1.0), self.exponent)
        return np.broadcast_to(flat.depth_mm(x, y, np.zeros(1)), np.broadcast(x, y, z).shape)


@dataclass(frozen=True)
class Tube:
    """Balls along a line from point to point, the radius growing linearly in between."""

    points_mm: tuple[Vector, ...]
    radii_mm: tuple[float, ...]

    @cached_property
    def box(self) -> Box:
        """See Shape."""
        points, radii = np.array(self.points_mm), np.array(self.radii_mm)[:, None]
        low, high = (points - radii).min(0).tolist(), (points + radii).max(0).tolist()
        return (low[0], low[1], low[2]), (high[0], high[1], high[2])

    def depth_mm(self, x: Array, y: Array, z: Array) -> Array:
        """See Shape; the deepest of all pieces."""
        depth = np.full(np.broadcast(x, y, z).shape, -np.inf)
        ends = list(zip(self.points_mm, self.radii_mm, strict=True))
        for (start, r0), (end, r1) in itertools.pairwise(ends):
            along = [b - a for a, b in zip(start, end, strict=True)]
            offset = [p - a for p, a in zip((x, y, z), start, strict=True)]
            length2 = max(sum(v * v for v in along), _TINY)
            t = np.clip(sum(o * v for o, v in zip(offset, along, strict=True)) / length2, 0.0, 1.0)
            away2 = sum((o - t * v) ** 2 for o, v in zip(offset, along, strict=True))
            depth = np.maximum(depth, r0 + t * (r1 - r0) - np.sqrt(away2))
        return depth


@dataclass(frozen=True)
class Blend:
    """All parts together; where two meet within `smooth_mm`, their seam is filled."""

    parts: tuple[Shape, ...]
    smooth_mm: float = 0.0

    @property
    def box(self) -> Box:
        """See Shape."""
        boxes = [part.box for part in self.parts]
        fill = self.smooth_mm / 4.0  # the most that the seam adds to two equal depths
        low = [min(box[0][axis] for box in boxes) - fill for axis in range(3)]
        high = [max(box[1][axis] for box in boxes) + fill for axis in range(3)]
        return (low[0], low[1], low[2]), (high[0], high[1], high[2])

    def depth_mm(self, x: Array, y: Array, z: Array) -> Array:
        """See Shape; polynomial smooth maximum of the depths."""
        depth = self.parts[0].depth_mm(x, y, z)
        for part in self.parts[1:]:
            other = part.depth_mm(x, y, z)
            if self.smooth_mm > 0.0:
                near = np.maximum(self.smooth_mm - np.abs(depth - other), 0.0) / self.smooth_mm
                depth = np.maximum(depth, other) + near**2 * self.smooth_mm / 4.0
            else:
                depth = np.maximum(depth, other)
        return depth


@dataclass(frozen=True)
class Common:
    """What lies in all `inside` and in none of `outside`."""

    inside: tuple[Shape, ...]
    outside: tuple[Shape, ...] = ()

    @property
    def box(self) -> Box:
        """See Shape."""
        boxes = [part.box for part in self.inside]
        low = [max(box[0][axis] for box in boxes) for axis in range(3)]
        high = [min(box[1][axis] for box in boxes) for axis in range(3)]
        return (low[0], low[1], low[2]), (high[0], high[1], high[2])

    def depth_mm(self, x: Array, y: Array, z: Array) -> Array:
        """See Shape."""
        depth = self.inside[0].depth_mm(x, y, z)
        for part in self.inside[1:]:
            depth = np.minimum(depth, part.depth_mm(x, y, z))
        for part in self.outside:
            depth = np.minimum(depth, -part.depth_mm(x, y, z))
        return depth


@dataclass(frozen=True)
class Below:
    """The half-space z <= height_mm + slope · (x, y): what lies under a sloping plane."""

    height_mm: float
    slope: tuple[float, float] = (0.0, 0.0)

    @property
    def box(self) -> Box:
        """See Shape."""
        return EVERYWHERE

    def depth_mm(self, x: Array, y: Array, z: Array) -> Array:
        """See Shape; exact."""
        a, b = self.slope
        return (self.height_mm + a * x + b * y - z) / math.sqrt(1.0 + a * a + b * b)
