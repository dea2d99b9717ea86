"""UIDs that follow from what they name: same input and settings, same UIDs (PS3.5 B.2)."""

from __future__ import annotations

import hashlib
import uuid

_NAMESPACE = uuid.UUID("6f3c1a52-8b1d-5d0e-9a54-0c2b1d7e4f91")
# Bits of a UUID that say its version and variant (RFC 9562), and what they say here.
_NOT_HASHED = 0xF << 76 | 0x3 << 62
_VERSION_5 = 0x5 << 76 | 0x2 << 62


def derived_uid(*parts: object) -> str:
    """A UID under 2.25 that depends on all parts and their order, and on nothing else.

    >>> derived_uid("series", 1) == derived_uid("series", 1) != derived_uid("series", 2)
    True
    """
    name = "\0".join(map(str, parts))
    # uuid.uuid5(_NAMESPACE, name).int, without an object for each of some thousand names
    digest = hashlib.sha1(_NAMESPACE.bytes + name.encode(), usedforsecurity=False).digest()
    number = int.from_bytes(digest[:16]) & ~_NOT_HASHED | _VERSION_5
    return f"2.25.{number}"
