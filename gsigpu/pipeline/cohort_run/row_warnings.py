"""warnings.csv: its columns, and what the tables themselves warn of."""

from __future__ import annotations

from collections.abc import Sequence

COLUMNS = ("case_id", "phase", "reader", "lesion_id", "kind", "text")
AS_NUMBER = "id-as-number"


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
