"""The mask files of a study, and what the user said of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gsigpu.choices import PROGRAMS, REGIONS
from gsigpu.errors import SettingsError
from gsigpu.masks.positions import PositionChoice
from gsigpu.masks.roles import RoleMap
from gsigpu.pipeline.measure.kept_registrations import KeptRegistrations
from gsigpu.volume import VolumeGeometry


@dataclass(frozen=True, slots=True)
class MaskFiles:
    """Mask files of one study.

    lesions : files whose regions are lesions, unless their names or `roles` say otherwise; also folders of
        such files, whose regions go by the file's name where they have none
    liver, vessels, aorta, normal : files whose regions, all together, are that
    roles : what the user said of labels and names in the lesion files
    split : every separate part of a lesion's mask is a lesion of its own
    any_phase : accept masks that were drawn on another phase
    fill_between : fill what lies between the drawn slices of regions
    position : what to take a doubtful position from
    threshold : from which probability on a voxel is inside, of files that hold probabilities
    maps_in_file : the user maps roles by a file alone, which messages must know
    called : what to call a region in tables and messages, where its name may be that of a person
    drawn_on : the phase that the masks were drawn on, "" for the one that is measured
    register : carry the masks from there to the phase that is measured
    regions : (name, file) of further regions of the study, whose statistics are told as they are: no lesion is needed
    segment : the program that draws what is not given of lesions, liver, vessels and aorta; "" for none
    registrations : keeps those of the study's phases, where several measurements take masks of one liver; None to keep none
    pictured : whether pictures of a registration are going to be made: what they show is cut while its images are at hand
    require_axes : raises MaskError where an array in memory lies on a study's grid with its axes turned round
    Every path may be a string or, for `gsigpu.measure` and the like, an image in memory; one file of lesions may stand
    alone, and regions may be a mapping.
    Raises SettingsError where they are to be carried from nowhere.
    """

    lesions: tuple[Path, ...] = ()
    liver: Path | None = None
    vessels: Path | None = None
    aorta: Path | None = None
    normal: Path | None = None
    roles: RoleMap = field(default_factory=RoleMap)
    split: bool = False
    any_phase: bool = False
    fill_between: bool = False
    position: PositionChoice | None = None
    threshold: float | None = None
    maps_in_file: bool = False
    called: Callable[[str], str] = str
    drawn_on: str = ""
    register: bool = False
    regions: tuple[tuple[str, Path], ...] = ()
    segment: str = ""
    registrations: KeptRegistrations | None = None
    pictured: bool = False
    require_axes: Callable[[VolumeGeometry], None] | None = None

    def __post_init__(self) -> None:
        """Strings become paths. Raises SettingsError."""
        lesions: Any = self.lesions
        several = isinstance(lesions, Sequence) and not isinstance(lesions, str)
        # (array, affine) is one mask in memory.
        if several and lesions and hasattr(lesions[0], "ndim"):
            several = False
        paths = tuple(_path_or_image(path) for path in (lesions if several else (lesions,)))
        object.__setattr__(self, "lesions", paths)
        given: Any = self.regions
        pairs = given.items() if isinstance(given, Mapping) else given
        regions = tuple((name, _path_or_image(path)) for name, path in pairs)
        object.__setattr__(self, "regions", regions)
        names = [name for name, _ in regions]
        for name in names:
            if name in REGIONS or not name.strip() or names.count(name) > 1:
                raise SettingsError(
                    f"a region cannot be called {name!r}: the name is taken or empty",
                    remedy="write another name",
                )
        for name in ("liver", "vessels", "aorta", "normal"):
            path = getattr(self, name)
            object.__setattr__(self, name, None if path is None else _path_or_image(path))
        if self.threshold is not None and not 0.0 < self.threshold < float("inf"):
            raise SettingsError(
                f"a threshold of {self.threshold:g} lets every voxel in, or none",
                remedy="give a probability, as --threshold 0.5",
            )
        if self.segment not in ("", *PROGRAMS):
            raise SettingsError(
                f"unknown program {self.segment!r} to draw masks",
                remedy=f"use --segment {', '.join(PROGRAMS)}",
            )
        if self.register and not self.drawn_on:
            raise SettingsError(
                "--register without the phase that the masks were drawn on",
                remedy="name it with --mask-phase",
            )

    def require_used(self, *, threshold: bool, position: bool) -> None:
        """Raises SettingsError for an option that no mask needed; a cohort has one for masks of all kinds."""
        if self.maps_in_file:
            return
        if self.threshold is not None and not threshold:
            raise SettingsError(
                "--threshold is for masks of probabilities, and none is",
                remedy="leave --threshold out",
            )
        if self.position is not None and not position:
            raise SettingsError(
                f"--mask-position {self.position} is for masks whose position is doubtful, and none is",
                remedy="leave --mask-position out",
            )

    @property
    def are_files(self) -> bool:
        """Whether all are paths, and none an image in memory."""
        return all(isinstance(path, Path) for path, _ in self.named)

    @property
    def named(self) -> list[tuple[Path, str]]:
        """Each file, and what to call it where its name may say a patient's."""
        organs = {
            "liver_mask": self.liver,
            "vessel_mask": self.vessels,
            "aorta_mask": self.aorta,
            "normal_mask": self.normal,
        }
        lesions = [(path, f"mask-{i}") for i, path in enumerate(self.lesions, start=1)]
        named = [(path, f"region-{i}") for i, (_, path) in enumerate(self.regions, start=1)]
        return named + lesions + [(path, name) for name, path in organs.items() if path is not None]


def _path_or_image(given: Any) -> Any:
    """A path where a path or a text is given."""
    return Path(given) if isinstance(given, str | Path) else given
