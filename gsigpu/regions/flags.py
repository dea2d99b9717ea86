"""What a user should know of a value or a region, as words: the flags of the measurement table.

They stand in the column `flags`, in the table that `measure` prints, in the structured report, on the cards and pages
of `review`, and counted in the report of a cohort. `docs/reference/measurement-table.md` explains each of them.
"""

from __future__ import annotations

FEW_VOXELS = "few-voxels"
THICK_SLICES = "thick-slices"
IN_PLANE = "2d-roi"
ONE_SLICE = "one-slice"
TOUCHES_EDGE = "touches-edge"
TOUCHES_LESION = "touches-lesion"
OVERLAPS_LESION = "overlaps-lesion"
NO_LIVER_MASK = "no-liver-mask"
AIR_LEFT_OUT = "air-left-out"
NO_VALID = "no-valid-voxels"
UNIT_UNKNOWN = "unit-unknown"
_EMPTY, _FAILED, _AUTOMATIC = "-empty", "failed:", "automatic:"

MEANINGS = {
    FEW_VOXELS: "fewer than 10 voxels: noise of 12 HU leaves a standard error of 4 HU and more",
    THICK_SLICES: (
        "slices are thicker than the rim: on 5 mm slices the core of a 10, 15, 20, 30 mm lesion takes on"
        " 62, 22, 11, 6 % of the difference between rim and core"
    ),
    IN_PLANE: "a region of interest on slices of a larger lesion: depth is taken within each slice",
    ONE_SLICE: "the mask is on one slice",
    TOUCHES_EDGE: "the mask reaches the edge of the images, beyond which the lesion may go on",
    TOUCHES_LESION: "the mask lies against that of another lesion, where no boundary can be told",
    OVERLAPS_LESION: "voxels of the mask are another lesion's too, and count for both",
    NO_LIVER_MASK: "reaches out of the lesion without a liver mask that would stop it at the liver's surface",
    AIR_LEFT_OUT: "voxels at or below -300 HU at 70 keV were left out",
    NO_VALID: "no voxel has a value",
    UNIT_UNKNOWN: "the header of the scanner's map does not say its unit",
    f"rim{_EMPTY}": "the lesion has no voxel in the rim",
    f"core{_EMPTY}": "the lesion has no voxel deeper than the rim",
    f"perilesional{_EMPTY}": "no voxel around the lesion is liver and no other lesion's",
    f"profile{_EMPTY}": "no shell has a voxel",
    f"{_AUTOMATIC}PROGRAM-VERSION": "a mask that it rests on is as a program drew it: nobody has changed it",
    f"{_FAILED}REASON": "the lesion or region could not be measured; the reason is the error's name",
}


def empty(region: str) -> str:
    """The flag of a lesion of which a region has no voxels.

    >>> empty("core") in MEANINGS
    True
    """
    return f"{region}{_EMPTY}"


def failed(code: str) -> str:
    """The flag of what could not be measured, from the code of its error.

    >>> failed("empty-mask")
    'failed:empty-mask'
    """
    return f"{_FAILED}{code}"


def automatic(program: str, version: str) -> str:
    """The flag of what rests on a mask that a program drew and nobody changed.

    >>> automatic("TotalSegmentator", "2.18.0")
    'automatic:totalsegmentator-2.18.0'
    """
    return f"{_AUTOMATIC}{program.lower()}-{version}"


def is_automatic(flag: str) -> bool:
    """Whether a flag is one of `automatic`."""
    return flag.startswith(_AUTOMATIC)
