"""`gsigpu.compute`: maps of images that are arrays already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import numpy as np

from gsigpu.backends import on_host
from gsigpu.choices import DEFAULT_SLOPE
from gsigpu.errors import GridMismatch, SettingsError
from gsigpu.maps.nonlinear import array_namespace
from gsigpu.maps.plan import maps_of_hu, plan_maps
from gsigpu.maps.registry import define_all
from gsigpu.pipeline.calibrate import calibrated


@overload
def compute_arrays(
    hu: Any, energies_kev: Sequence[float], maps: str, *, slope: str = DEFAULT_SLOPE
) -> Any: ...
@overload
def compute_arrays(
    hu: Any, energies_kev: Sequence[float], maps: Sequence[str], *, slope: str = DEFAULT_SLOPE
) -> dict[str, Any]: ...
def compute_arrays(
    hu: Any,
    energies_kev: Sequence[float],
    maps: str | Sequence[str],
    *,
    slope: str = DEFAULT_SLOPE,
) -> Any:
    """Maps of monoenergetic images that are arrays.

    hu : (E, …) with up to three axes behind the energies, HU, any real type; NaN where there is no value. An array of
        CuPy is computed on its device.
    energies_kev : (E,) keV of the images, in any order
    maps : a name, or several; see gsigpu.maps.registry
    slope : what plain `lambda-hu` means
    Returns float32 of the shape behind the energies, of the kind that came in: one array for one name, else a dictionary
    by name. To rounding the same as `gsigpu.map` on the study that the images are of (tested).
    Raises SettingsError for an unknown map or energies that make no sense, GridMismatch for axes that do not fit,
    TooFewEnergies for a map that needs others.

    >>> compute_arrays([[120.0, 70.0], [40.0, 30.0]], [60, 100], "lambda-hu", slope="60-100").round(3)
    array([2., 1.], dtype=float32)
    """
    names = [maps] if isinstance(maps, str) else list(maps)
    definitions = define_all(names, slope=slope)
    images, energies = _ascending(hu, energies_kev)
    xp = array_namespace(images)
    behind = images.shape[1:]
    if len(behind) < 2 and any(definition.needs_neighbours for definition in definitions):
        raise GridMismatch(
            "a map of the noise needs images with two or three axes",
            remedy="give (E, y, x) or (E, z, y, x)",
        )
    volume = images.reshape(len(energies), *(1,) * (3 - len(behind)), *behind)
    of_stack, _cautions = calibrated(
        definitions, energies, volume.shape[1], lambda z: on_host(volume[:, z])
    )
    plan = plan_maps(of_stack, energies)
    read = volume[[energies.index(kev) for kev in plan.energies_kev]]
    made = {
        name: xp.array(values.reshape(behind), order="C")
        for name, values in maps_of_hu(plan, read).items()
    }
    return made[definitions[0].name] if isinstance(maps, str) else made


def _ascending(hu: Any, energies_kev: Sequence[float]) -> tuple[Any, tuple[float, ...]]:
    """The images in the order of their energies."""
    energies = [float(kev) for kev in energies_kev]
    images = np.asarray(hu) if array_namespace(hu) is np else hu
    if images.dtype.kind not in "iuf":
        raise SettingsError(f"images of type {images.dtype} are no HU", remedy="give real numbers")
    if not 1 <= images.ndim <= 4 or images.shape[0] != len(energies):
        raise GridMismatch(
            f"an array of shape {tuple(images.shape)} is not {len(energies)} images",
            remedy="give (E, …) with the energies along the first axis",
        )
    if len(set(energies)) != len(energies) or not np.isfinite(energies).all():
        raise SettingsError(
            f"energies {energies} keV are not all different numbers",
            remedy="give each image's energy once",
        )
    order = np.argsort(energies)
    floats = images if images.dtype.kind == "f" else images.astype(np.float32)
    if (np.diff(order) < 0).any():
        floats = floats[order.tolist()]
    return floats, tuple(energies[int(k)] for k in order)
