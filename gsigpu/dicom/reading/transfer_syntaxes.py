"""The compressed transfer syntaxes that are read, and what of imagecodecs decodes each.

Apart from `codecs`, which decodes: `gsigpu info` tells what can be read without importing what reads.
"""

from __future__ import annotations

import importlib.util
from importlib.machinery import PathFinder
from typing import NamedTuple

from gsigpu.installed import installed_version


class CompressedSyntax(NamedTuple):
    """A transfer syntax: DICOM's name of it (PS3.6, table A-1), and imagecodecs' name of its codec."""

    name: str
    codec: str


RLE_LOSSLESS = "1.2.840.10008.1.2.5"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.57"
JPEG_LOSSLESS_SV1 = "1.2.840.10008.1.2.4.70"
JPEG_LS_LOSSLESS = "1.2.840.10008.1.2.4.80"
JPEG_LS_NEAR_LOSSLESS = "1.2.840.10008.1.2.4.81"
JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.90"
JPEG_2000 = "1.2.840.10008.1.2.4.91"
HTJ2K_LOSSLESS = "1.2.840.10008.1.2.4.201"
HTJ2K_LOSSLESS_RPCL = "1.2.840.10008.1.2.4.202"
HTJ2K = "1.2.840.10008.1.2.4.203"

COMPRESSED_SYNTAXES: dict[str, CompressedSyntax] = {
    RLE_LOSSLESS: CompressedSyntax("RLE Lossless", "DICOMRLE"),
    JPEG_LOSSLESS: CompressedSyntax("JPEG Lossless, Non-Hierarchical (Process 14)", "JPEG8"),
    JPEG_LOSSLESS_SV1: CompressedSyntax(
        "JPEG Lossless, Non-Hierarchical, First-Order Prediction (Process 14 [Selection Value 1])",
        "JPEG8",
    ),
    JPEG_LS_LOSSLESS: CompressedSyntax("JPEG-LS Lossless Image Compression", "JPEGLS"),
    JPEG_LS_NEAR_LOSSLESS: CompressedSyntax(
        "JPEG-LS Lossy (Near-Lossless) Image Compression", "JPEGLS"
    ),
    JPEG_2000_LOSSLESS: CompressedSyntax("JPEG 2000 Image Compression (Lossless Only)", "JPEG2K"),
    JPEG_2000: CompressedSyntax("JPEG 2000 Image Compression", "JPEG2K"),
    HTJ2K_LOSSLESS: CompressedSyntax(
        "High-Throughput JPEG 2000 Image Compression (Lossless Only)", "JPEG2K"
    ),
    HTJ2K_LOSSLESS_RPCL: CompressedSyntax(
        "High-Throughput JPEG 2000 with RPCL Options Image Compression (Lossless Only)", "JPEG2K"
    ),
    HTJ2K: CompressedSyntax("High-Throughput JPEG 2000 Image Compression", "JPEG2K"),
}

# Those in which every decoder gives the same values.
LOSSLESS_SYNTAXES = frozenset(COMPRESSED_SYNTAXES) - {JPEG_LS_NEAR_LOSSLESS, JPEG_2000, HTJ2K}


# imagecodecs' name of a codec -> the compiled module that holds it.
_COMPILED = {"DICOMRLE": "_imcd", "JPEG8": "_jpeg8", "JPEGLS": "_jpegls", "JPEG2K": "_jpeg2k"}


def available_codecs() -> dict[str, str]:
    """Transfer syntax name -> what decodes it here.

    imagecodecs is looked at and not imported, which would take longer than all else that `info` tells: a codec is there
    where its compiled module is.
    """
    package = importlib.util.find_spec("imagecodecs")
    places = (package.submodule_search_locations if package else None) or []
    release = installed_version("imagecodecs") if package else ""
    return {
        syntax.name: f"imagecodecs {release}"
        if PathFinder.find_spec(_COMPILED[syntax.codec], list(places))
        else "pydicom's plugins, if any"
        for syntax in COMPRESSED_SYNTAXES.values()
    }
