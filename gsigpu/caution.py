"""What a person should know of a result though nothing failed: a line of text that carries its kind.

The kind is given where the line is written, by who knows what it is about, and goes with it to the tables; nobody
recognises it by its words. As a `str` it is printed and stored as its text.
"""

from __future__ import annotations

from typing import Literal, get_args

Kind = Literal[
    # of masks
    "resampled", "gaps", "outside-study", "chosen-position", "empty-contours", "unusable-region",
    # of what regions are, and of lesions
    "ignored-region", "uncertain-role", "absent-structure", "separate-parts", "renamed", "doubled-name", "overlap", "in-air",
    # of a study and its series
    "phase", "copied-files", "damaged-files", "uneven-slices", "left-out-series", "label-check",
    "reading-series",
    # of parameters and maps
    "vendor-unit", "not-calibrated", "clipped",
    # of the machine
    "backend",
]  # fmt: skip
KINDS: tuple[str, ...] = get_args(Kind)


class Caution(str):
    """A warning as text, with its kind; pickles with it.

    >>> told = Caution("gaps", "m.nii: liver: 3 slices stay empty")
    >>> told, told.kind
    ('m.nii: liver: 3 slices stay empty', 'gaps')
    """

    __slots__ = ("kind",)
    kind: Kind

    def __new__(cls, kind: Kind, text: str) -> Caution:
        """A line of a kind."""
        line = super().__new__(cls, text)
        line.kind = kind
        return line

    def __reduce__(self) -> tuple[type[Caution], tuple[Kind, str]]:
        """Across processes."""
        return Caution, (self.kind, str(self))
