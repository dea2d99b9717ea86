"""warnings.csv: its columns, the lesions that warnings are of, and what the tables themselves warn of."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

COLUMNS = ("case_id", "phase", "reader", "lesion_id", "kind", "text")
AS_NUMBER = "id-as-number"


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
