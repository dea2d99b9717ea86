"""What a run computes, slice by slice, with everything folded in.

A `MapProgram` holds the weight tables of a plan with each slice's rescale in them. The linear maps
come out of one multiplication, in the type that the sink wants; the rows of the nonlinear maps come
out as float32 and are finished, and quantised if need be, where they were computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.maps.nonlinear import array_namespace
from gsigpu.maps.plan import MapPlan, fold_rescale
from gsigpu.maps.quantise import quantise

# A range that holds no value: low above high.
_NO_PADDING = (1, 0)


@dataclass(frozen=True, slots=True, repr=False)
class Block:
    """Weights of some rows for every slice: weights (Z, K, E) float32, offsets (Z, K) float32."""

    weights: NDArray[np.float32]
    offsets: NDArray[np.float32]

    def __repr__(self) -> str:
        """Its shape."""
        n_slices, n_rows, n_energies = self.weights.shape
        return f"Block({n_slices} slices, {n_rows} rows, {n_energies} energies)"

    @property
    def n_rows(self) -> int:
        """K."""
        return int(self.weights.shape[1])

    def slices(self, first: int, end: int | None = None) -> Block:
        """The weights of slices [first:end]."""
        return Block(self.weights[first:end], self.offsets[first:end])


@dataclass(frozen=True, slots=True, repr=False)
class MapProgram:
    """One run over a stack of Z slices, E energies, planes of (rows, columns).

    plan : the maps
    plane_shape : (rows, columns)
    dtype : of the planes that come out, int16 (value / step, -32768 where there is none) or float32
    linear : rows of the linear maps, steps folded in for int16; None where there are none
    nonlinear : rows of the nonlinear maps, in HU; None where there are none
    padding : (Z, E, 2) int16 closed ranges that mean "no data", None where no slice has any
    """

    plan: MapPlan
    plane_shape: tuple[int, int]
    dtype: np.dtype[Any]
    linear: Block | None
    nonlinear: Block | None
    padding: NDArray[np.int16] | None
    n_slices: int

    def __repr__(self) -> str:
        """What is computed, in a line."""
        names = ", ".join(definition.name for definition in self.plan.definitions)
        return (
            f"MapProgram({names}; {self.n_slices} slices, {self.n_energies} energies, {self.dtype})"
        )

    @property
    def n_energies(self) -> int:
        """E."""
        return len(self.plan.energies_kev)

    @property
    def n_maps(self) -> int:
        """Maps that come out per slice."""
        return len(self.plan.definitions)

    @property
    def n_nonlinear(self) -> int:
        """How many of them are nonlinear."""
        return len(self.plan.nonlinear_steps)

    def from_slice(self, first: int) -> MapProgram:
        """The same for the slices from one on."""
        return replace(
            self,
            linear=None if self.linear is None else self.linear.slices(first),
            nonlinear=None if self.nonlinear is None else self.nonlinear.slices(first),
            padding=None if self.padding is None else self.padding[first:],
            n_slices=self.n_slices - first,
        )

    def finish(self, rows: Any) -> tuple[Any, Any]:
        """The nonlinear maps of one slice.

        rows : (R, y, x) float32, NumPy or CuPy
        Returns (K2, y, x) planes of `dtype`, and (K2,) how many values were clipped.
        """
        xp = array_namespace(rows)
        planes, clipped = [], []
        for step in self.plan.nonlinear_steps:
            plane = step.combine(rows[step.first : step.last])
            if self.dtype == np.int16:
                plane, n_clipped = quantise(plane, step.definition.step)
                clipped.append(n_clipped)
            else:
                clipped.append(xp.zeros((), dtype=int))
            planes.append(plane)
        return xp.stack(planes), xp.stack(clipped)

    def in_order(self, linear: Iterable[Any], nonlinear: Iterable[Any]) -> list[Any]:
        """Items of the linear and the nonlinear maps, merged into the order of the definitions."""
        linear_left, nonlinear_left = iter(linear), iter(nonlinear)
        return [
            next(linear_left if definition.is_linear else nonlinear_left)
            for definition in self.plan.definitions
        ]


def padding_ranges(padding: Sequence[Sequence[tuple[int, int] | None]]) -> NDArray[np.int16]:
    """(Z, E, 2) closed ranges of delivered values, low above high for none."""
    return np.array(
        [[_NO_PADDING if interval is None else interval for interval in row] for row in padding],
        dtype=np.int16,
    )


def compile_program(
    plan: MapPlan,
    plane_shape: tuple[int, int],
    dtype: np.dtype[Any],
    *,
    slopes: NDArray[np.float64],
    intercepts: NDArray[np.float64],
    padding: Sequence[Sequence[tuple[int, int] | None]],
) -> MapProgram:
    """Folds each slice's rescale into the weights of a plan.

    slopes, intercepts : (Z, E) of the delivered values, HU = slope * delivered + intercept
    padding : Z x E closed ranges of delivered values, None for none
    """
    steps = plan.steps if dtype == np.int16 else 1.0
    ranges = padding_ranges(padding)
    linear = Block(*fold_rescale(plan.linear, slopes, intercepts, steps))
    nonlinear = Block(*fold_rescale(plan.nonlinear, slopes, intercepts))
    return MapProgram(
        plan=plan,
        plane_shape=plane_shape,
        dtype=np.dtype(dtype),
        linear=linear if linear.n_rows else None,
        nonlinear=nonlinear if nonlinear.n_rows else None,
        padding=ranges if np.any(ranges[..., 0] <= ranges[..., 1]) else None,
        n_slices=len(slopes),
    )
