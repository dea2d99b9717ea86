"""What is known about a phantom: its settings, its lesions, and the numbers to be found again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gsigpu.errors import OutputError
from gsigpu.maps.slope import parse_slope
from gsigpu.phantom import tissues as t
from gsigpu.phantom.anatomy import upper_abdomen
from gsigpu.phantom.dicom_files import phantom_uid
from gsigpu.phantom.lesions import Lesion, place_lesions
from gsigpu.phantom.motion import Motion
from gsigpu.phantom.painting import Composition, Painter
from gsigpu.phantom.phantom_settings import PhantomSettings
from gsigpu.physics import iodine_water_hu
from gsigpu.version import __version__
from gsigpu.volume import VolumeGeometry

TRUTH_FILE = "truth.json"
SLOPE_PRESETS = ("paper", "60-100", "40-100")
ORGANS = (
    t.LIVER,
    t.AORTA,
    t.PORTAL_VEIN,
    t.HEPATIC_VEIN,
    t.VENA_CAVA,
    t.SPLEEN,
    t.KIDNEY,
    t.MUSCLE,
)


def expected(
    water_mg_per_ml: float, iodine_mg_per_ml: float, energies_kev: tuple[float, ...]
) -> dict[str, Any]:
    """What measuring a region of known water and iodine must give.

    Returns `water_mg_per_ml`, `iodine_mg_per_ml`, `hu` by energy, `lambda_hu` by preset.
    """
    lambda_hu = {}
    for name in SLOPE_PRESETS:
        slope = parse_slope(name)
        ends = (slope.low_kev, slope.high_kev)
        hu = iodine_water_hu(
            ends, water_mg_per_ml=water_mg_per_ml, iodine_mg_per_ml=iodine_mg_per_ml
        )
        lambda_hu[name] = float((slope.rows(ends).weights @ hu)[0])
    hu = iodine_water_hu(
        energies_kev, water_mg_per_ml=water_mg_per_ml, iodine_mg_per_ml=iodine_mg_per_ml
    )
    return {
        "water_mg_per_ml": water_mg_per_ml,
        "iodine_mg_per_ml": iodine_mg_per_ml,
        "hu": {f"{kev:g}": float(value) for kev, value in zip(energies_kev, hu, strict=True)},
        "lambda_hu": lambda_hu,
    }


@dataclass(frozen=True, repr=False)
class PhantomTruth:
    """A phantom: its settings, where its lesions lie, and every voxel before noise.

    geometry : of the images and masks
    folder : where it was written; None for one that exists in memory alone
    """

    settings: PhantomSettings
    geometry: VolumeGeometry
    lesions: tuple[Lesion, ...]
    folder: Path | None = None

    def __repr__(self) -> str:
        """Without identity and paths."""
        shape = " x ".join(map(str, self.geometry.shape))
        return f"<PhantomTruth: {len(self.lesions)} lesions of {self.settings.primary} cancer, {shape}>"

    @property
    def dicom_folder(self) -> Path:
        """What a PACS export would be."""
        return self._in_folder("dicom")

    @property
    def lesion_mask(self) -> Path:
        """NIfTI with one integer per lesion."""
        return self._in_folder("masks/lesions.nii.gz")

    @property
    def liver_mask(self) -> Path:
        """NIfTI, 1 in the liver with its lesions and vessels."""
        return self._in_folder("masks/liver.nii.gz")

    @property
    def vessel_mask(self) -> Path:
        """NIfTI, 1 in portal vein, hepatic veins and vena cava."""
        return self._in_folder("masks/vessels.nii.gz")

    @property
    def aorta_mask(self) -> Path:
        """NIfTI, 1 in the aorta."""
        return self._in_folder("masks/aorta.nii.gz")

    def _in_folder(self, name: str) -> Path:
        if self.folder is None:
            raise OutputError(
                f"{name} was not written", where="phantom", remedy="use write_phantom first"
            )
        return self.folder / name

    def lesion_mask_of(self, phase: str) -> Path:
        """NIfTI of the lesions where they lie in a phase; that of the phase at rest where it has not moved."""
        moved = self._in_folder(f"masks/{phase}/lesions.nii.gz")
        return moved if self.settings.has_moved(phase) else self.lesion_mask

    def painter(self, phase: str = "") -> Painter:
        """Paints slices of this phantom: of the phases that are at rest, or of one that moved."""
        settings = self.settings
        has_moved = settings.has_moved(phase)
        at_rest = tuple(name for name in settings.phases if not settings.has_moved(name))
        return Painter(
            anatomy=upper_abdomen(),
            lesions=self.lesions,
            geometry=self.geometry,
            phases=(phase,) if has_moved else at_rest,
            motion=Motion(*settings.motion_mm) if has_moved else None,
            partial_volume=self.settings.partial_volume,
            texture_mg_per_ml=self.settings.texture_mg_per_ml,
            seed=self.settings.seed,
        )

    def composition(self, phase: str = "") -> Composition:
        """Water, calcium and iodine of every voxel, (z, y, x), of the phases that `painter` paints; all in memory."""
        painter = self.painter(phase)
        slices = [painter.paint(z).composition for z in range(self.geometry.shape[0])]
        return Composition(
            np.stack([composition.water for composition in slices]),
            np.stack([composition.calcium for composition in slices]),
            {
                name: np.stack([composition.iodine[name] for composition in slices])
                for name in slices[0].iodine
            },
        )

    def as_dict(self) -> dict[str, Any]:
        """What truth.json holds."""
        settings = self.settings
        return {
            "format": "gsigpu-phantom-1",
            "gsigpu_version": __version__,
            "settings": asdict(settings),
            "geometry": asdict(self.geometry),
            "axes": "shape and spacing (z, y, x); positions (x, y, z) in LPS mm",
            "primary": settings.primary,
            "lesions": [self._lesion_dict(lesion) for lesion in self.lesions],
            **self._motion_dict(),
            "organs": {
                tissue.name: self._by_phase(tissue.water_mg_per_ml, tissue.iodine_mg_per_ml)
                for tissue in ORGANS
            },
        }

    def _lesion_dict(self, lesion: Lesion) -> dict[str, Any]:
        return {
            "label": lesion.label,
            "primary": self.settings.primary,
            "centre_mm": lesion.centre_mm,
            "diameters_mm": tuple(2.0 * radius for radius in lesion.radii_mm),
            "longest_axial_diameter_mm": lesion.longest_axial_diameter_mm,
            "rim_mm": lesion.rim_mm,
            "volume_ml": lesion.volume_ml,
            "core_volume_ml": lesion.core_volume_ml,
            "core": self._by_phase(lesion.core_water_mg_per_ml, lesion.core_iodine_mg_per_ml),
            "rim": self._by_phase(lesion.rim_water_mg_per_ml, lesion.rim_iodine_mg_per_ml),
        }

    def _motion_dict(self) -> dict[str, Any]:
        """Where lesions lie in the phases that moved; nothing where none did."""
        settings = self.settings
        if not any(settings.motion_mm):
            return {}
        motion = Motion(*settings.motion_mm)
        return {
            "phase_at_rest": settings.phases[-1],
            "moved_centres_mm": {
                phase: {
                    str(lesion.label): motion.moved(lesion.centre_mm) for lesion in self.lesions
                }
                for phase in settings.phases[:-1]
            },
        }

    def _by_phase(self, water: float, iodine: Mapping[str, float]) -> dict[str, Any]:
        energies = self.settings.energies_kev
        return {phase: expected(water, iodine[phase], energies) for phase in self.settings.phases}

    def write_json(self, path: Path) -> None:
        """Write `as_dict`, the same bytes for the same phantom."""
        path.write_text(json.dumps(self.as_dict(), indent=1) + "\n", encoding="utf-8")


def plan_phantom(
    settings: PhantomSettings, *, lesions: tuple[Lesion, ...] | None = None
) -> PhantomTruth:
    """A phantom that is not written: its grid, and its lesions placed.

    lesions : instead of random ones
    Raises SettingsError if the lesions do not fit.

    >>> truth = plan_phantom(PhantomSettings(n_lesions=2))
    >>> [lesion.label for lesion in truth.lesions]
    [1, 2]
    """
    origin_z, origin_y, origin_x = (
        -(n - 1) / 2.0 * mm for n, mm in zip(settings.shape, settings.spacing_mm, strict=True)
    )
    geometry = VolumeGeometry(
        settings.shape,
        settings.spacing_mm,
        (origin_x, origin_y, origin_z),
        frame_of_reference_uid=phantom_uid(settings, "frame"),
    )
    if lesions is None:
        lesions = place_lesions(settings, upper_abdomen(), geometry)
    return PhantomTruth(settings, geometry, lesions)
