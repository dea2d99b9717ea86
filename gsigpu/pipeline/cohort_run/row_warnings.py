"""The kinds of warnings of a row, so that they can be counted, and the lesions that they are of."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

COLUMNS = ("case_id", "phase", "reader", "lesion_id", "kind", "text")
OTHER = "other"
AS_NUMBER = "id-as-number"
# Words of the warnings of `gsigpu measure` -> kind, the first that fits. A wording that is not here is `other`.
_KINDS = (
    ("resampled", re.compile(r"resampled")),
    ("overlap", re.compile(r"overlap")),
    ("doubled-name", re.compile(r"second lesion")),
    ("gaps", re.compile(r"no neighbours|fill-between|were filled")),
    ("outside-study", re.compile(r"outside the study")),
    ("ignored-region", re.compile(r"is ignored: its name is unknown")),
    ("absent-structure", re.compile(r"taken as absent")),
    (
        "uncertain-role",
        re.compile(r"taken for a lesion|does not say|as in LiTS|by its name, and is coded"),
    ),
    ("chosen-position", re.compile(r"--mask-position")),
    ("renamed", re.compile(r"is called '.*', which programs read as text")),
    ("in-air", re.compile(r"are air or lung")),
    ("separate-parts", re.compile(r"separate parts")),
    ("too-wide", re.compile(r"mm wide")),
    ("vendor-unit", re.compile(r"vendor-iodine-unit|times the computed iodine")),
    ("label-check", re.compile(r"\bkeV\b")),
    ("damaged-files", re.compile(r"damaged|cannot be read|cut off|lost")),
    ("phase", re.compile(r"\bphases?\b")),
)


def kind_of_warning(text: str) -> str:
    """The kind of a warning, by its words.

    >>> kind_of_warning("lesions.nii: label 1 was resampled; its volume changed by +45.0 %")
    'resampled'
    """
    return next((kind for kind, pattern in _KINDS if pattern.search(text)), OTHER)


def lesion_of_warning(text: str, lesion_ids: Collection[str]) -> str:
    """The lesion that a warning names, "" where it names none, or several.

    >>> lesion_of_warning("m.nii: label 2 was resampled", ["1", "2"])
    '2'
    """
    named = {
        lesion_id
        for lesion_id in lesion_ids
        if re.search(rf"(?:label|lesions?) '?{re.escape(lesion_id)}(?![\w.])", text)
        or (
            not lesion_id.isdigit()
            and re.search(rf"(?<![\w.]){re.escape(lesion_id)}(?![\w.])", text)
        )
    }
    return named.pop() if len(named) == 1 else ""


def as_number(ids: Sequence[str]) -> str:
    """A warning of ids that programs which guess the types of a CSV's columns take for something else than text.

    >>> as_number(["007"])
    '007 is read as a number or as missing by programs that guess types; read ids as text, or take measurements/'
    """
    verb = "is" if len(ids) == 1 else "are"
    return (
        f"{' and '.join(dict.fromkeys(ids))} {verb} read as a number or as missing by programs that guess types;"
        " read ids as text, or take measurements/"
    )
