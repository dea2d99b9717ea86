"""Enhanced CT."""

from __future__ import annotations

from pydicom.dataset import Dataset

from gsigpu.phantom.settings import PhantomSettings
from gsigpu.volume import VolumeGeometry


def enhanced_dataset(
    ds: Dataset,
    settings: PhantomSettings,
    geometry: VolumeGeometry,
    phase: str,
    energies_kev: tuple[float, ...],
) -> Dataset:
    """Todo."""
    raise NotImplementedError
