"""Masks in formats that other packages read, by the entry point group `gsigpu.mask_readers`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from gsigpu.errors import GeometryError, GsigpuError, MaskError, PlugInError
from gsigpu.masks.layers import LARGEST_LABEL, Layer, ReadLayers
from gsigpu.masks.placement import cropped
from gsigpu.plug_ins import MASK_READERS, plug_in, plug_in_names
from gsigpu.volume import VolumeGeometry

_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, slots=True)
class LabelImage:
    """What a reader of a package gives: labels, and where they lie.

    labels : (z, y, x) whole numbers; 0 is outside
    affine_ras : (4, 4) from voxel index (x, y, z, 1) to RAS mm, as NIfTI has it
    names : label -> name, which says what a region is as in any other mask
    """

    labels: NDArray[np.integer[Any]]
    affine_ras: NDArray[np.float64]
    names: Mapping[int, str] = field(default_factory=dict)


def added_suffix(path: Path) -> str | None:
    """The suffix without its dot by which a package reads a file, `npz`; None where none does."""
    name = path.name.lower()
    return next((s for s in plug_in_names(MASK_READERS) if name.endswith(f".{s.lower()}")), None)


def read_added(path: Path, suffix: str) -> ReadLayers:
    """The layers of a file that a package reads.

    suffix : of `added_suffix`
    Raises PlugInError where the package fails, MaskError for what it gives and is no mask.
    """
    reader = cast("Callable[[Path], object]", plug_in(MASK_READERS, suffix))
    try:
        image = reader(path)
    except GsigpuError:
        raise
    except Exception as error:
        raise PlugInError.of(MASK_READERS, suffix, error, where=path) from error
    if not isinstance(image, LabelImage):
        raise PlugInError(
            f"the reader of .{suffix} gives {type(image).__name__}, and no LabelImage",
            where=path,
            remedy="repair its package, or save the mask as NIfTI",
        )
    labels = np.asarray(image.labels)
    if labels.ndim != 3 or labels.dtype.kind not in "biu":
        raise MaskError(
            f"holds no (z, y, x) labels: {labels.dtype} of shape {labels.shape}",
            where=path,
            remedy="save a volume of labels",
        )
    if labels.size and not 0 <= int(labels.min()) <= int(labels.max()) <= LARGEST_LABEL:
        raise MaskError(
            f"has labels outside 0-{LARGEST_LABEL}", where=path, remedy="save a volume of labels"
        )
    z, y, x = labels.shape
    try:
        grid = VolumeGeometry.from_affine(_LPS @ np.asarray(image.affine_ras), (z, y, x))
    except (GeometryError, ValueError) as error:
        raise MaskError(
            f"lies nowhere ({error})", where=path, remedy="write a (4, 4) affine to RAS mm"
        ) from error
    return ReadLayers([Layer((cropped(labels, grid),), dict(image.names))])
