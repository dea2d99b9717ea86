"""From composition and noise to stored values, slice by slice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from gsigpu.choices import PHASES
from gsigpu.dicom.writing.encoding import Stored
from gsigpu.phantom.export_layout import Image
from gsigpu.phantom.noise import BasisNoise, NoiseModel, basis_noise
from gsigpu.phantom.painting import Composition, Plane
from gsigpu.phantom.phantom_settings import GSI_ENERGIES_KEV
from gsigpu.phantom.tissues import calcium_hu_per_mg_per_ml
from gsigpu.phantom.truth import PhantomTruth
from gsigpu.phantom.vendor_headers import INTERCEPT_HU, PADDING, Quantity
from gsigpu.physics import iodine_hu_per_mg_per_ml

_MOST_STORED = 4095  # CT numbers are 12 bits wide, and scanners clip there


class SliceWriter:
    """Paints a slice, adds noise, and hands every image of it to its series."""

    def __init__(self, truth: PhantomTruth, images: Sequence[Image]) -> None:
        """`images` : of every slice."""
        settings = truth.settings
        self._settings = settings
        self._geometry = truth.geometry
        self._painter = truth.painter()
        self._moved = {
            phase: truth.painter(phase) for phase in settings.phases if settings.has_moved(phase)
        }
        self._images = images
        self._noise = NoiseModel(
            settings.noise_hu, settings.noise_ratio_40, settings.noise_independent
        )
        self._outside = _outside_circle(truth) if settings.with_padding else None
        self._calcium_as_water, self._calcium_as_iodine = _calcium_in_two_materials()

    def write(self, z_index: int) -> Mapping[str, NDArray[np.uint8]]:
        """All images of slice `z_index`, the same whatever was written before.

        Returns its masks: lesions, liver, vessels and aorta at rest, and the lesions of each phase that moved as
        `PHASE/lesions`.
        """
        at_rest = self._painter.paint(z_index)
        masks = dict(at_rest.masks)
        for phase in self._settings.phases:
            painted = at_rest
            if phase in self._moved:
                painted = self._moved[phase].paint(z_index)
                masks[f"{phase}/lesions"] = painted.masks["lesions"]
            noise = self._noise_of(phase, z_index)
            for image in self._images:
                if image.phase == phase:
                    stored = self._stored(image, painted.composition, noise)
                    if self._outside is not None:
                        stored[self._outside] = PADDING
                    image.sink.write(z_index, image.index_in_series, stored)
        return masks

    def _noise_of(self, phase: str, z_index: int) -> BasisNoise | None:
        if self._settings.noise_hu == 0.0:
            return None
        seed = self._settings.seed
        return basis_noise(
            self._noise,
            len(self._settings.energies_kev) + 1,
            self._geometry.shape[1:],
            self._geometry.spacing_mm[1:],
            self._settings.noise_peak_per_mm,
            # A third faster than the default generator; noise is most of the time it takes to write.
            np.random.Generator(np.random.SFC64([seed, 3, PHASES.index(phase), z_index])),
        )

    def _stored(self, image: Image, truth: Composition, noise: BasisNoise | None) -> Stored:
        if image.quantity is not None:
            return self._stored_map(image.quantity, image.phase, truth, noise)
        assert image.energy_kev is not None
        hu = truth.hu(image.phase, image.energy_kev)
        if noise is not None:
            hu += noise.hu(image.energy_kev, image.index_of_noise)
        return _rounded(hu - np.float32(INTERCEPT_HU), 0, _MOST_STORED)

    def _stored_map(
        self, quantity: Quantity, phase: str, truth: Composition, noise: BasisNoise | None
    ) -> Stored:
        if quantity.of_iodine:
            density = truth.iodine[phase] + self._calcium_as_iodine * truth.calcium
        else:
            density = truth.water + self._calcium_as_water * truth.calcium
        if noise is not None:
            density = density + (noise.iodine if quantity.of_iodine else noise.water)
        shown = (density + np.float32(quantity.offset)) * np.float32(quantity.factor)
        return _rounded(shown / np.float32(quantity.step), -32768, 32767)


def _rounded(values: Plane, least: int, most: int) -> Stored:
    stored: Stored = np.clip(np.rint(values), least, most).astype(np.int16)
    return stored


def _outside_circle(truth: PhantomTruth) -> NDArray[np.bool_]:
    """(y, x) True where the reconstruction circle, as wide as the longer side, does not reach."""
    sides = list(zip(truth.geometry.shape[1:], truth.geometry.spacing_mm[1:], strict=True))
    y, x = ((np.arange(n) - (n - 1) / 2.0) * mm for n, mm in sides)
    radius_mm = max(n * mm for n, mm in sides) / 2.0
    return np.asarray(np.hypot(y[:, None], x[None, :]) > radius_mm)


def _calcium_in_two_materials() -> tuple[np.float32, np.float32]:
    """What a scanner's water-iodine decomposition makes of 1 mg/mL of calcium."""
    energies = GSI_ENERGIES_KEV
    design = np.column_stack([np.ones(len(energies)), iodine_hu_per_mg_per_ml(energies)])
    water, iodine = np.linalg.pinv(design) @ calcium_hu_per_mg_per_ml(energies)
    return np.float32(water), np.float32(iodine)
