"""Masks from files onto the grid of a study."""

from gsigpu.masks.reading import MaskSet, read_masks

__all__ = ["MaskSet", "read_masks"]
