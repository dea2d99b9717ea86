"""From shapes to voxels: how much water, calcium and iodine each voxel holds.

Organs are painted slice by slice, each covering what lies under it by its coverage: 0 or 1, or with
partial volume the share of the voxel inside. For organs that share is 0.5 + depth / voxel width,
clipped; for lesions, whose volume must be right, it is counted on 4 × 4 × 4 points per voxel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gsigpu.phantom.anatomy import VESSELS, Anatomy
from gsigpu.phantom.lesions import Lesion
from gsigpu.phantom.motion import Motion
from gsigpu.phantom.shapes import Box, Ellipsoid, Shape
from gsigpu.phantom.tissues import Tissue, calcium_hu_per_mg_per_ml
from gsigpu.physics import iodine_hu_per_mg_per_ml
from gsigpu.volume import VolumeGeometry

Plane = NDArray[np.float32]
Line = NDArray[np.float64]

_N_SUBSAMPLES = 4  # along each axis of a voxel on a lesion's boundary: shares to a percent or so
_N_WAVES = 24  # enough for a texture without visible stripes
_WAVELENGTHS_MM = (15.0, 60.0)  # of the texture: slower than noise, faster than organs
_INSIDE = 0.5  # share of a voxel from which it belongs to a mask


@dataclass(frozen=True, slots=True)
class Composition:
    """What the voxels of a slice or a volume hold.

    water, calcium : (..., y, x) float32 mg/mL
    iodine : the same, by phase
    """

    water: Plane = field(repr=False)
    calcium: Plane = field(repr=False)
    iodine: Mapping[str, Plane] = field(repr=False)

    def hu(self, phase: str, energy_kev: float) -> Plane:
        """HU(E) = ρw + c r(E) + h r_h(E) - 1000, float32."""
        r = np.float32(iodine_hu_per_mg_per_ml([energy_kev])[0])
        r_h = np.float32(calcium_hu_per_mg_per_ml([energy_kev])[0])
        hu: Plane = self.water + r * self.iodine[phase] + r_h * self.calcium - np.float32(1000.0)
        return hu


@dataclass(frozen=True, slots=True)
class PaintedSlice:
    """One slice: its composition, and masks (y, x) uint8: lesion labels, liver, vessels, aorta."""

    composition: Composition = field(repr=False)
    masks: Mapping[str, NDArray[np.uint8]] = field(repr=False)


class Painter:
    """Paints any slice of one phantom, in any order."""

    def __init__(
        self,
        anatomy: Anatomy,
        lesions: Sequence[Lesion],
        geometry: VolumeGeometry,
        phases: Sequence[str],
        *,
        partial_volume: bool = True,
        texture_mg_per_ml: float = 0.0,
        seed: int = 0,
        motion: Motion | None = None,
    ) -> None:
        """`phases` : whose iodine to paint. `texture_mg_per_ml` : SD of ρw, drawn from `seed`.

        motion : how these phases moved; None for the phase at rest
        """
        self.geometry = geometry
        self._anatomy = anatomy
        self._lesions = lesions
        self._phases = tuple(phases)
        self._partial_volume = partial_volume
        self._motion = motion
        n_z, n_y, n_x = geometry.shape
        x0, y0, z0 = geometry.origin_mm
        self._z: Line = z0 + geometry.spacing_mm[0] * np.arange(n_z, dtype=float)
        self._y: Line = y0 + geometry.spacing_mm[1] * np.arange(n_y, dtype=float)
        self._x: Line = x0 + geometry.spacing_mm[2] * np.arange(n_x, dtype=float)
        self._width_mm = (geometry.spacing_mm[1] + geometry.spacing_mm[2]) / 2.0
        rng = np.random.default_rng((seed, 2))
        directions = rng.normal(size=(_N_WAVES, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        self._waves = directions * (2.0 * np.pi / rng.uniform(*_WAVELENGTHS_MM, (_N_WAVES, 1)))
        self._offsets = rng.uniform(0.0, 2.0 * np.pi, _N_WAVES)
        self._wave_height = texture_mg_per_ml * np.sqrt(2.0 / _N_WAVES)

    def paint(self, z_index: int) -> PaintedSlice:
        """Slice `z_index`."""
        z = float(self._z[z_index])
        shape = self.geometry.shape[1:]
        # Planes: ρw, h, texture, then iodine per phase.
        planes = np.zeros((3 + len(self._phases), *shape), np.float32)
        masks = {
            name: np.zeros(shape, np.uint8) for name in ("lesions", "liver", "vessels", "aorta")
        }
        self._paint_organs(z, planes, masks)
        self._paint_lesions(z, planes, masks)
        planes[0] += planes[2] * self._texture(z)
        iodine_planes = dict(zip(self._phases, planes[3:], strict=True))
        return PaintedSlice(Composition(planes[0], planes[1], iodine_planes), masks)

    def _paint_organs(
        self, z: float, planes: NDArray[np.float32], masks: Mapping[str, NDArray[np.uint8]]
    ) -> None:
        for organ in self._anatomy.organs:
            covered = self._coverage(organ.shape, z)
            if covered is None:
                continue
            window, coverage = covered
            _cover(planes[:, *window], coverage, self._values(organ.tissue))
            inside = coverage >= _INSIDE
            if organ.name in VESSELS:
                masks["vessels"][window][inside] = 1
            elif organ.name == "aorta":
                masks["aorta"][window][inside] = 1
            else:  # what is painted over the liver is no part of it, but for its vessels
                masks["liver"][window][inside] = organ.name == "liver"

    def _paint_lesions(
        self, z: float, planes: NDArray[np.float32], masks: Mapping[str, NDArray[np.uint8]]
    ) -> None:
        for lesion in self._lesions:
            if (shares := self._lesion_coverage(lesion, z)) is None:
                continue
            window, whole, core = shares
            under = planes[:, *window]
            rim, centre = (self._values(tissue)[:, None, None] for tissue in _tissues_of(lesion))
            planes[:, *window] = (1.0 - whole) * under + (whole - core) * rim + core * centre
            masks["lesions"][window][whole >= _INSIDE] = lesion.label

    def lesion_labels(self, z_index: int) -> NDArray[np.uint8]:
        """Labels (y, x) uint8 of the lesions in slice `z_index`, as `paint` leaves them in its masks."""
        labels = np.zeros(self.geometry.shape[1:], np.uint8)
        for lesion in self._lesions:
            shares = self._lesion_coverage(lesion, float(self._z[z_index]))
            if shares is not None:
                window, whole, _ = shares
                labels[window][whole >= _INSIDE] = lesion.label
        return labels

    def _values(self, tissue: Tissue) -> NDArray[np.float32]:
        iodine = (tissue.iodine_mg_per_ml[phase] for phase in self._phases)
        return np.array(
            [tissue.water_mg_per_ml, tissue.calcium_mg_per_ml, tissue.texture, *iodine], np.float32
        )

    def _points(self, z: float, rows: slice, columns: slice) -> tuple[Line, Line, Line]:
        """Where at rest the voxels of a window lie, broadcastable x, y, z."""
        x, y, z_mm = self._x[None, columns], self._y[rows, None], np.full((1, 1), z)
        return (x, y, z_mm) if self._motion is None else self._motion.at_rest(x, y, z_mm)

    def _window(self, box: Box, z: float, margin_mm: float) -> tuple[slice, slice] | None:
        """The rows and columns that a box may touch, None where it misses the slice."""
        (x_low, y_low, z_low), (x_high, y_high, z_high) = box
        margin_mm += 0.0 if self._motion is None else self._motion.reach_mm
        if not z_low - margin_mm <= z <= z_high + margin_mm:
            return None
        rows = np.searchsorted(self._y, (y_low - margin_mm, y_high + margin_mm))
        columns = np.searchsorted(self._x, (x_low - margin_mm, x_high + margin_mm))
        if rows[0] == rows[1] or columns[0] == columns[1]:
            return None
        return slice(int(rows[0]), int(rows[1])), slice(int(columns[0]), int(columns[1]))

    def _coverage(self, shape: Shape, z: float) -> tuple[tuple[slice, slice], Plane] | None:
        window = self._window(shape.box, z, self._width_mm)
        if window is None:
            return None
        rows, columns = window
        depth = shape.depth_mm(*self._points(z, rows, columns))
        if self._partial_volume:
            coverage = np.clip(0.5 + depth / self._width_mm, 0.0, 1.0)
        else:
            coverage = (depth >= 0.0).astype(float)
        return (window, coverage.astype(np.float32)) if coverage.any() else None

    def _lesion_coverage(
        self, lesion: Lesion, z: float
    ) -> tuple[tuple[slice, slice], Plane, Plane] | None:
        """Shares of each voxel inside the whole lesion and inside its core."""
        spacing = self.geometry.spacing_mm
        box = Ellipsoid(lesion.centre_mm, lesion.radii_mm).box
        window = self._window(box, z, max(spacing))
        if window is None:
            return None
        rows, columns = window
        n = _N_SUBSAMPLES if self._partial_volume else 1
        steps = (np.arange(n) + 0.5) / n - 0.5

        x, y, z_mm = self._points(z, rows, columns)

        def squares(centres: Line, axis: int, radius_mm: float) -> Line:
            """(y, x, n) by point of a voxel along one axis; the field is taken as even within a voxel."""
            points = centres[..., None] + steps * spacing[2 - axis] - lesion.centre_mm[axis]
            return np.asarray((points / radius_mm) ** 2)

        def share(radii_mm: tuple[float, ...]) -> Plane:
            if min(radii_mm) <= 0.0:
                return np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.float32)
            x2 = squares(x, 0, radii_mm[0])[:, :, None, None, :]
            y2 = squares(y, 1, radii_mm[1])[:, :, None, :, None]
            z2 = squares(z_mm, 2, radii_mm[2])[:, :, :, None, None]
            inside = x2 + y2 + z2 <= 1.0
            return np.asarray(inside.mean(axis=(2, 3, 4), dtype=np.float32))

        whole = share(lesion.radii_mm)
        return (window, whole, share(lesion.core_radii_mm)) if whole.any() else None

    def _texture(self, z: float) -> Plane:
        """A sum of plane waves of 15-60 mm; a product of e^(i k_y y) and e^(i k_x x), so a matmul at rest."""
        k_x, k_y, k_z = self._waves.T
        if self._motion is not None:
            whole = slice(None)
            x, y, z_mm = self._points(z, whole, whole)
            waves = zip(k_x, k_y, k_z, self._offsets, strict=True)
            total = sum(np.cos(a * x + b * y + c * z_mm + offset) for a, b, c, offset in waves)
            return np.asarray(self._wave_height * total, np.float32)
        rows = np.exp(1j * np.outer(self._y, k_y))
        columns = np.exp(1j * (np.outer(k_x, self._x) + (k_z * z + self._offsets)[:, None]))
        return np.asarray(self._wave_height * (rows @ columns).real, np.float32)


def _cover(planes: NDArray[np.float32], coverage: Plane, values: NDArray[np.float32]) -> None:
    """Mix `values` (n,) into `planes` (n, y, x) in place by their coverage."""
    planes += coverage * (values[:, None, None] - planes)


def _tissues_of(lesion: Lesion) -> tuple[Tissue, Tissue]:
    """Rim and core."""
    return (
        Tissue("rim", lesion.rim_water_mg_per_ml, iodine_mg_per_ml=lesion.rim_iodine_mg_per_ml),
        Tissue("core", lesion.core_water_mg_per_ml, iodine_mg_per_ml=lesion.core_iodine_mg_per_ml),
    )
