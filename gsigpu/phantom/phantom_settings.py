"""What a synthetic study is made of: every choice, in one place."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gsigpu.choices import EXTRAS, LAYOUTS, PHASES, PRIMARIES, TRANSFER_SYNTAXES, VENDORS
from gsigpu.errors import SettingsError
from gsigpu.physics import HIGH_KEV, LOW_KEV

# Of motion between phases: more than breathing does, and little enough that the field never folds.
LARGEST_SHIFT_MM = 40.0
LARGEST_DEFORMATION_MM = 10.0

GSI_ENERGIES_KEV = tuple(float(kev) for kev in range(40, 141, 10))


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomSettings:
    """A synthetic study; the same settings give the same bytes.

    shape, spacing_mm : of the grid, (z, y, x). The anatomy has a fixed size in mm and is centred
        in the grid: an abdomen 336 mm wide, 232 mm deep and 120 mm or more long.
    energies_kev : monoenergetic series written, 40-140 keV, ascending
    phases : of NC, AP, PVP, DP (none, arterial, portal venous, delayed)
    motion_mm : (shift, deformation) of all phases but the last, by the field of gsigpu.phantom.motion; the last is at
        rest, and `masks/` are of it
    primary : where the metastases come from; chooses their iodine (gsigpu.phantom.lesions)
    n_lesions, diameter_mm : how many, and (smallest, largest) longest axial diameter
    rim_mm : thickness of the enhancing rim; at most half the lesion's smallest radius is used
    iodine_variation : relative SD of a lesion's iodine around its primary's table value
    noise_hu : noise SD at 70 keV, where it is least; 0 for none
    noise_ratio_40 : noise SD at 40 keV over that at 70 keV
    noise_independent : part of the SD at 70 keV that differs from energy to energy
    noise_peak_per_mm : spatial frequency at which the noise power is largest, 1/mm
    texture_mg_per_ml : SD of the slow variation of ρw in soft tissue; iodine has none
    partial_volume : boundaries mix what they separate; False for hard boundaries
    seed : of everything random
    vendor : whose headers to imitate
    layout : a series per energy, all energies in one series, or multi-frame files of either kind
    transfer_syntax : how pixels are encoded
    supplement_188 : write the multi-energy attributes that DICOM added in 2018
    extras : what else the export holds; with a DICOMDIR no file name has an extension
    with_padding : outside the reconstruction circle hold PixelPaddingValue
    shuffle_names : file names without order or extension
    patient_id, patient_name : "" for ones made of the seed
    """

    shape: tuple[int, int, int] = (40, 256, 256)
    spacing_mm: tuple[float, float, float] = (3.0, 1.5, 1.5)
    energies_kev: tuple[float, ...] = GSI_ENERGIES_KEV
    phases: tuple[str, ...] = ("AP", "PVP")
    motion_mm: tuple[float, float] = (0.0, 0.0)
    primary: str = "colorectal"
    n_lesions: int = 5
    diameter_mm: tuple[float, float] = (8.0, 30.0)
    rim_mm: float = 3.0
    iodine_variation: float = 0.1
    noise_hu: float = 12.0
    noise_ratio_40: float = 2.5
    noise_independent: float = 0.1
    noise_peak_per_mm: float = 0.2
    texture_mg_per_ml: float = 3.0
    partial_volume: bool = True
    seed: int = 0
    vendor: str = "ge"
    layout: str = "classic"
    transfer_syntax: str = "explicit"
    supplement_188: bool = False
    extras: tuple[str, ...] = EXTRAS[:-1]
    with_padding: bool = True
    shuffle_names: bool = False
    patient_id: str = ""
    patient_name: str = ""

    def __post_init__(self) -> None:
        """Raise SettingsError for what makes no sense."""
        _check_choice("primary", self.primary, PRIMARIES)
        _check_choice("vendor", self.vendor, VENDORS)
        _check_choice("layout", self.layout, LAYOUTS)
        _check_choice("transfer syntax", self.transfer_syntax, TRANSFER_SYNTAXES)
        for phase in self.phases:
            _check_choice("phase", phase, PHASES)
        for extra in self.extras:
            _check_choice("extra", extra, EXTRAS)
        _check(
            len(set(self.phases)) == len(self.phases) > 0,
            f"phases {', '.join(self.phases) or '(none)'}",
            "name one phase or more, each once",
        )
        _check(
            len(self.energies_kev) > 0
            and all(LOW_KEV <= kev <= HIGH_KEV for kev in self.energies_kev)
            and all(a < b for a, b in zip(self.energies_kev, self.energies_kev[1:], strict=False)),
            f"energies {', '.join(f'{kev:g}' for kev in self.energies_kev) or '(none)'} keV",
            f"use ascending energies in {LOW_KEV:g}-{HIGH_KEV:g} keV",
        )
        _check(min(self.shape) >= 1, f"shape {self.shape}", "use one voxel or more along each axis")
        _check(
            all(0.0 < mm < math.inf for mm in self.spacing_mm),
            f"spacing {self.spacing_mm} mm",
            "use lengths above 0 mm",
        )
        shift, deformation = self.motion_mm
        _check(
            0.0 <= shift <= LARGEST_SHIFT_MM and 0.0 <= deformation <= LARGEST_DEFORMATION_MM,
            f"motion of {shift:g} mm and deformation of {deformation:g} mm",
            f"use up to {LARGEST_SHIFT_MM:g} and {LARGEST_DEFORMATION_MM:g} mm",
        )
        _check(self.n_lesions >= 0, f"{self.n_lesions} lesions", "use 0 or more")
        low, high = self.diameter_mm
        _check(
            0.0 < low <= high <= 100.0,
            f"diameters {low:g}-{high:g} mm",
            "give the smaller first, 100 mm at most",
        )
        for name in (
            "rim_mm", "iodine_variation", "noise_hu", "noise_independent", "texture_mg_per_ml",
        ):  # fmt: skip
            value = getattr(self, name)
            _check(0.0 <= value < math.inf, f"{name} {value:g}", "use 0 or more")
        _check(
            self.noise_independent <= 1.0,
            f"noise_independent {self.noise_independent:g}",
            "use a part of the whole, 0-1",
        )
        _check(
            self.noise_ratio_40 >= 1.0,
            f"noise_ratio_40 {self.noise_ratio_40:g}",
            "noise is least at 70 keV; use 1 or more",
        )
        _check(
            self.noise_peak_per_mm > 0.0,
            f"noise_peak_per_mm {self.noise_peak_per_mm:g}",
            "use a frequency above 0",
        )

    def has_moved(self, phase: str) -> bool:
        """Whether a phase is not at rest."""
        return any(self.motion_mm) and phase in self.phases[:-1]

    @property
    def effective_patient_id(self) -> str:
        """As set, or made of the seed."""
        return self.patient_id or f"GSIGPU-PHANTOM-{self.seed:04d}"

    @property
    def effective_patient_name(self) -> str:
        """As set, or made of the seed; obviously nobody's."""
        return self.patient_name or f"Phantom^Synthetic {self.seed:04d}"


def _check_choice(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise SettingsError(f"unknown {what} {value!r}", remedy=f"use one of {', '.join(known)}")


def _check(condition: bool, what: str, remedy: str) -> None:
    if not condition:
        raise SettingsError(f"{what} makes no phantom", remedy=remedy)
