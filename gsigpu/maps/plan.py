"""From the names of maps to the numbers that a backend multiplies with.

A `MapPlan` says which energies to read and holds one weight table over them: the rows of the
linear maps, then the rows that the nonlinear maps start from. `fold_rescale` carries a slice's
DICOM rescale, and the step of integer maps, into the weights, so that stored values go in and
stored values come out of a single multiplication:

    map = Σ_e w_e (slope_e stored_e + intercept_e) + b
    stored_out = map / step = Σ_e (w_e slope_e / step) stored_e + (Σ_e w_e intercept_e + b) / step
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.maps.definitions import Combine, Energies, LinearRows, MapDefinition
from gsigpu.maps.nonlinear import array_namespace


@dataclass(frozen=True, slots=True)
class NonlinearStep:
    """One nonlinear map: which rows of the plan's nonlinear block it starts from.

    definition : the map
    first, last : its rows are [first:last] of the block
    combine : (last - first, y, x) planes -> (y, x) plane
    """

    definition: MapDefinition
    first: int
    last: int
    combine: Combine


@dataclass(frozen=True, slots=True, repr=False)
class MapPlan:
    """What to read and what to multiply with.

    definitions : in the order of the request
    energies_kev : (E,) to read, ascending
    linear : rows of the linear maps, in the order of the request; weights (K, E)
    steps : (K,) integer steps of those maps
    nonlinear : rows the nonlinear maps start from, weights (R, E); R = 0 where there are none
    nonlinear_steps : one per nonlinear map, in the order of the request
    """

    definitions: tuple[MapDefinition, ...]
    energies_kev: Energies
    linear: LinearRows
    steps: NDArray[np.float64]
    nonlinear: LinearRows
    nonlinear_steps: tuple[NonlinearStep, ...]

    def __repr__(self) -> str:
        """Maps and energies, in a line."""
        names = ", ".join(definition.name for definition in self.definitions)
        return f"MapPlan({names}; {', '.join(f'{kev:g}' for kev in self.energies_kev)} keV)"

    @property
    def linear_definitions(self) -> tuple[MapDefinition, ...]:
        """The linear maps, in the order of `linear`."""
        return tuple(definition for definition in self.definitions if definition.is_linear)


def plan_maps(definitions: Sequence[MapDefinition], available_kev: Energies) -> MapPlan:
    """The plan for `definitions` on a stack with `available_kev`, ascending.

    Raises TooFewEnergies if a map needs energies that are not available.

    >>> from gsigpu.maps.registry import define
    >>> plan_maps([define("lambda-hu")], (40.0, 60.0, 100.0)).energies_kev
    (60.0, 100.0)
    """
    energies_of = {
        definition.name: definition.energies_for(available_kev) for definition in definitions
    }
    energies = tuple(sorted({kev for chosen in energies_of.values() for kev in chosen}))

    def spread(definition: MapDefinition) -> LinearRows:
        rows = definition.rows(energies_of[definition.name])
        weights = np.zeros((rows.weights.shape[0], len(energies)))
        weights[:, [energies.index(kev) for kev in energies_of[definition.name]]] = rows.weights
        return LinearRows(weights, rows.offsets)

    linear = [definition for definition in definitions if definition.is_linear]
    steps: list[NonlinearStep] = []
    blocks: list[LinearRows] = []
    for definition in definitions:
        if definition.combine is not None:
            first = sum(len(block.offsets) for block in blocks)
            blocks.append(spread(definition))
            last = first + len(blocks[-1].offsets)
            steps.append(
                NonlinearStep(
                    definition=definition,
                    first=first,
                    last=last,
                    combine=definition.combine(energies_of[definition.name]),
                )
            )
    return MapPlan(
        definitions=tuple(definitions),
        energies_kev=energies,
        linear=_stacked([spread(definition) for definition in linear], len(energies)),
        steps=np.array([definition.step for definition in linear]),
        nonlinear=_stacked(blocks, len(energies)),
        nonlinear_steps=tuple(steps),
    )


def _stacked(blocks: Sequence[LinearRows], n_energies: int) -> LinearRows:
    return LinearRows(
        np.concatenate([np.zeros((0, n_energies)), *(block.weights for block in blocks)]),
        np.concatenate([np.zeros(0), *(block.offsets for block in blocks)]),
    )


def fold_rescale(
    rows: LinearRows,
    slopes: NDArray[np.float64],
    intercepts: NDArray[np.float64],
    steps: NDArray[np.float64] | float = 1.0,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weights and offsets for stored values.

    rows : K rows over E energies, per HU
    slopes, intercepts : (S, E) of each slice, HU = slope * stored + intercept
    steps : (K,) or scalar; 1 for float maps
    Returns weights (S, K, E) float32 and offsets (S, K) float32, folded in float64.
    Tested against the maps of HU in float64.
    """
    scale = 1.0 / np.broadcast_to(np.asarray(steps, dtype=float), rows.offsets.shape)
    weights = rows.weights[None] * slopes[:, None, :] * scale[None, :, None]
    offsets = (intercepts @ rows.weights.T + rows.offsets) * scale
    return weights.astype(np.float32), offsets.astype(np.float32)


def maps_of_hu(plan: MapPlan, stack_hu: Any) -> dict[str, Any]:
    """The maps of a stack that is already in HU: the plain form of what the backends do fused.

    stack_hu : (E, y, x) or (E, z, y, x) float, HU, NumPy or CuPy, energies as in the plan; NaN where
        there is no value, which makes every map NaN there
    Returns float32 arrays (y, x) or (z, y, x) by map name, in the order of the request.

    >>> from gsigpu.maps.registry import define
    >>> plan = plan_maps([define("lambda-hu[60-100]")], (60.0, 100.0))
    >>> maps_of_hu(plan, np.array([[[120.0, np.nan]], [[40.0, 10.0]]]))["lambda-hu[60-100]"]
    array([[ 2., nan]], dtype=float32)
    """
    xp = array_namespace(stack_hu)
    shape = stack_hu.shape[1:]
    flat = stack_hu.reshape(stack_hu.shape[0], -1)

    def apply(rows: LinearRows) -> Any:
        planes = xp.asarray(rows.weights) @ flat + xp.asarray(rows.offsets)[:, None]
        return planes.astype(xp.float32).reshape(-1, *shape)

    linear = apply(plan.linear)
    maps = {definition.name: linear[k] for k, definition in enumerate(plan.linear_definitions)}
    if plan.nonlinear_steps:
        rows = apply(plan.nonlinear)
        for step in plan.nonlinear_steps:
            mine = rows[step.first : step.last]
            if mine.ndim == 3:
                maps[step.definition.name] = step.combine(mine)
            else:
                maps[step.definition.name] = xp.stack(
                    [step.combine(mine[:, z]) for z in range(shape[0])]
                )
    return {definition.name: maps[definition.name] for definition in plan.definitions}
