"""What the mask files of a study gave: regions by role, and what could not be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gsigpu.caution import Caution
from gsigpu.dicom.model import SpectralStack
from gsigpu.errors import (
    GsigpuError,
)
from gsigpu.masks.roles import Role
from gsigpu.pipeline.measure.registration_cuts import Cut
from gsigpu.regions.region_layout import StudyMasks
from gsigpu.regions.region_mask import RegionMask


@dataclass(frozen=True, slots=True)
class Failure:
    """A lesion, or a file of lesions, that could not be measured, or not in all its regions.

    lesion_id : the file's name where no lesion of it could be read; the region's where it is of no lesion
    region : the first that could not be measured
    """

    lesion_id: str
    n_voxels: int
    error: GsigpuError
    region: str = "lesion"


@dataclass(frozen=True, slots=True)
class RegionRole:
    """What a region of a lesion file was taken for, and what said so (see `Assigned.by`)."""

    file: str
    name: str
    label: int
    role: Role
    by: str = ""


@dataclass(frozen=True, slots=True)
class CarriedLesion:
    """How a lesion came from the phase that it was drawn on to the one that is measured.

    shift_mm : from the middle of its mask there to that here
    volume_ratio : of its volume here to that there
    proven_offset_mm, possible_offset_mm : range of what registration left, see gsigpu.registration.offset
    """

    lesion_id: str
    shift_mm: float
    volume_ratio: float
    proven_offset_mm: float
    possible_offset_mm: float


@dataclass(frozen=True, slots=True)
class AutomaticMask:
    """A mask that is as a program drew it.

    region : the lesion's id, or the role of an organ
    task : the program's model
    folder : where the program's masks are kept; None where it was found out from the mask alone
    energy_kev : of the images that the program saw; None likewise
    """

    region: str
    program: str
    version: str
    task: str
    folder: Path | None = None
    energy_kev: float | None = None

    @property
    def as_dict(self) -> dict[str, object]:
        """Plain data without the place."""
        return {
            "region": self.region,
            "program": self.program,
            "version": self.version,
            "task": self.task,
            "energy_kev": self.energy_kev,
        }


@dataclass(frozen=True, slots=True, repr=False)
class DrawnMasks:
    """Masks before they were carried over.

    stack : that they were drawn on
    masks : lesion's id -> mask on its grid
    cuts : lesion's id -> what a picture of its registration shows, where one was to be made
    """

    stack: SpectralStack
    masks: Mapping[str, RegionMask]
    cuts: Mapping[str, tuple[Cut, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CollectedMasks:
    """The masks of a study by role, and what could not be used.

    files : all that were read, each with the role that named it
    parts : the files that these consist of, voxels and label names beside them included
    digests : SHA-256 of what was read of each of `files`
    phases : of each of `files` that says them, those of the images that it was drawn on
    named_files : (name, file) of regions that the user named
    automatic : masks that are as a program drew them
    drawn_on, carried, drawn : the phase that masks were carried over from, how each lesion was, and the masks there; "" where
        none was
    """

    masks: StudyMasks
    roles: tuple[RegionRole, ...]
    failures: tuple[Failure, ...]
    warnings: tuple[Caution, ...]
    files: tuple[tuple[Role, Path], ...]
    parts: tuple[Path, ...] = ()
    digests: Mapping[Path, str] = field(default_factory=dict)

    @property
    def lesion_files(self) -> list[Path]:
        """Files with a lesion in them; not those of organs that lie in the same folder."""
        names = {region.file for region in self.roles if region.role is Role.LESION}
        return [path for role, path in self.files if role is Role.LESION and path.name in names]

    @property
    def paths(self) -> list[Path]:
        """Every file that was read, each once."""
        files = [*(path for _, path in self.files), *(path for _, path in self.named_files)]
        return list(dict.fromkeys([*files, *self.parts]))

    phases: tuple[frozenset[str], ...] = ()
    drawn_on: str = ""
    carried: tuple[CarriedLesion, ...] = ()
    named_files: tuple[tuple[str, Path], ...] = ()
    automatic: tuple[AutomaticMask, ...] = ()
    drawn: DrawnMasks | None = None
