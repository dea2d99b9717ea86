"""The names and defaults that options offer, one definition for the command line and for what computes.

Nothing but text stands here, so that a command can say what it offers without importing what does the work.
"""

from __future__ import annotations

# Maps: what `--slope` means when it is not given, and the maps that `map` writes.
DEFAULT_SLOPE = "paper"
DEFAULT_MAPS = ("lambda-hu", "iodine")
# How `map` may compress CT series, without loss; names of transfer syntaxes.
COMPRESSIONS = ("htj2k", "jpeg-ls", "rle")
# The table beside the maps of `map --mask`; the same name with .json tells how it was made.
MEASUREMENTS = "measurements.csv"

# What may draw masks that nobody gives.
PROGRAMS = ("totalsegmentator",)

# Regions: of each lesion, and those that lesions are compared with.
LESION_REGIONS = ("lesion", "rim", "core", "perilesional")
REFERENCE_REGIONS = ("parenchyma", "aorta")
REGIONS = (*LESION_REGIONS, *REFERENCE_REGIONS, "profile")

# Synthetic studies: where the metastases come from, contrast phases, whose headers, and how they are stored.
PRIMARIES = ("colorectal", "gastric", "pancreatic", "lung", "breast")
PHASES = ("NC", "AP", "PVP", "DP")
VENDORS = ("ge", "siemens", "philips", "canon")
LAYOUTS = ("classic", "interleaved", "enhanced", "enhanced-interleaved")
TRANSFER_SYNTAXES = (
    "explicit", "implicit", "deflated", "rle", "jpeg-lossless", "jpeg-ls", "jpeg2000", "htj2k",
)  # fmt: skip
EXTRAS = (
    "iodine", "water", "conventional", "localizer", "secondary-capture", "report", "text", "dicomdir",
)  # fmt: skip
