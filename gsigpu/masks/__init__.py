"""Masks from files onto the grid of a study."""

from gsigpu.masks.reading import MaskSet, file_stem, masks_in, read_masks

__all__ = ["MaskSet", "file_stem", "masks_in", "read_masks"]
