"""What a person should know of a result though nothing failed: a line of text that carries its kind and its lesion.

Both are given where the line is written, by who knows what it is about, and go with it to the tables; nobody
recognises them by its words. As a `str` it is printed and stored as its text.
"""

from __future__ import annotations

from typing import Literal, get_args

Kind = Literal[
    # of masks
    "resampled", "gaps", "outside-study", "chosen-position", "registration", "empty-contours", "unusable-region",
    # of what regions are, and of lesions
    "ignored-region", "uncertain-role", "absent-structure", "separate-parts", "renamed", "doubled-name", "overlap", "in-air",
    # of a study and its series
    "phase", "copied-files", "damaged-files", "uneven-slices", "left-out-series", "label-check",
    "reading-series",
    # of parameters and maps
    "rounded-values", "no-negative-values", "vendor-unit", "not-calibrated", "clipped",
    # of the machine
    "backend",
]  # fmt: skip
KINDS: tuple[str, ...] = get_args(Kind)


class Caution(str):
    """A warning as text, with its kind and the lesion that it is of; pickles with them.

    lesion_id : as in the measurement table; "" where it is of none, or of several

    >>> told = Caution("gaps", "m.nii: label 2: 3 slices stay empty").of_lesion("2")
    >>> told, told.kind, told.lesion_id
    ('m.nii: label 2: 3 slices stay empty', 'gaps', '2')
    """

    __slots__ = ("kind", "lesion_id")
    kind: Kind
    lesion_id: str

    def __new__(cls, kind: Kind, text: str, lesion_id: str = "") -> Caution:
        """A line of a kind."""
        line = super().__new__(cls, text)
        line.kind, line.lesion_id = kind, lesion_id
        return line

    def of_lesion(self, lesion_id: str) -> Caution:
        """The same line, of a lesion whose name was not known where it was written."""
        return Caution(self.kind, str(self), lesion_id)

    def __reduce__(self) -> tuple[type[Caution], tuple[Kind, str, str]]:
        """Across processes."""
        return Caution, (self.kind, str(self), self.lesion_id)
