"""The transfer syntaxes whose headers the walk understands."""

from __future__ import annotations

from functools import cache

from gsigpu.dicom.reading.elements import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)
from gsigpu.dicom.reading.transfer_syntaxes import COMPRESSED_SYNTAXES

_COMMON = {IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN, *COMPRESSED_SYNTAXES}


def is_walkable(transfer_syntax_uid: str) -> bool:
    """Whether a header is implicit or explicit VR little endian: all of the standard but two; private ones may do as they like.

    >>> is_walkable("1.2.840.10008.1.2.1"), is_walkable("1.2.840.10008.1.2.2"), is_walkable("1.3.6.1.4.1.5962.300.1")
    (True, False, False)
    """
    return transfer_syntax_uid in _COMMON or transfer_syntax_uid in _others()


@cache
def _others() -> frozenset[str]:
    from pydicom.uid import AllTransferSyntaxes  # slow to import, and for rare files alone

    return frozenset(AllTransferSyntaxes) - {
        DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
        EXPLICIT_VR_BIG_ENDIAN,
    }
