"""Masks from files onto the grid of a study."""

from gsigpu.masks.read_files import file_stem, no_mask_file
from gsigpu.masks.read_masks import MaskSet, masks_in, read_masks

__all__ = ["MaskSet", "file_stem", "masks_in", "no_mask_file", "read_masks"]
