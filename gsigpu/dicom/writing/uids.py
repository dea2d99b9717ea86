"""UIDs that follow from what they name: same input and settings, same UIDs (PS3.5 B.2)."""

from __future__ import annotations

import uuid

_NAMESPACE = uuid.UUID("6f3c1a52-8b1d-5d0e-9a54-0c2b1d7e4f91")


def derived_uid(*parts: object) -> str:
    """A UID under 2.25 that depends on all parts and their order, and on nothing else.

    >>> derived_uid("series", 1) == derived_uid("series", 1) != derived_uid("series", 2)
    True
    """
    name = "\0".join(str(part) for part in parts)
    return f"2.25.{uuid.uuid5(_NAMESPACE, name).int}"
