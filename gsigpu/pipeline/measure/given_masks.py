"""The mask files of a study, and what the user said of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from gsigpu.choices import PROGRAMS, REGIONS
from gsigpu.errors import SettingsError
from gsigpu.masks.positions import PositionChoice
from gsigpu.masks.roles import RoleMap
from gsigpu.pipeline.measure.kept_registrations import KeptRegistrations


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
    Every path may be a string, and one file of lesions may stand alone.
    Raises SettingsError where they are to be carried from nowhere.
    """

    lesions: tuple[Path, ...]
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

    def __post_init__(self) -> None:
        """Strings become paths. Raises SettingsError."""
        lesions: object = self.lesions
        alone = isinstance(lesions, str | Path)
        paths = tuple(Path(path) for path in ((lesions,) if alone else self.lesions))  # type: ignore[arg-type]
        object.__setattr__(self, "lesions", paths)
        regions = tuple((name, Path(path)) for name, path in self.regions)
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
            object.__setattr__(self, name, None if path is None else Path(path))
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
