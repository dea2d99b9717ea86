"""Label volumes: NIfTI, NRRD (also 3D Slicer's .seg.nrrd) and MetaImage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.errors import EmptyMask, MaskError, WrongPhase
from gsigpu.masks.integrity import whole_content
from gsigpu.masks.label_names import names_beside
from gsigpu.masks.layers import LARGEST_LABEL, Coded, Layer, Owner, ReadLayers, phase_remedy
from gsigpu.masks.placement import cropped
from gsigpu.masks.positions import PositionChoice, doubt, located, same_voxels
from gsigpu.masks.stored_volume import is_nifti, read_volume
from gsigpu.masks.volume_headers import VolumeHeader, read_volume_header
from gsigpu.phase_words import phase_words
from gsigpu.regions.region_boxes import box_of_set
from gsigpu.volume import VolumeGeometry


@dataclass(frozen=True, slots=True)
class _SlicerSegments:
    """Segments of a 3D Slicer segmentation, by layer and label."""

    names: dict[int, dict[int, str]]
    codes: dict[int, dict[int, Coded]]


def read_volume_masks(
    path: Path,
    geometry: VolumeGeometry,
    owner: Owner,
    *,
    header: VolumeHeader | None = None,
    position: PositionChoice | None = None,
    threshold: float | None = None,
) -> ReadLayers:
    """The layers of a label volume; 3D Slicer's overlapping segments are channels of one.

    header : of the file, if it was read
    position : what to take a doubtful position from
    threshold : from which value on a voxel of a map of probabilities is inside: each of its channels is a region, labelled
        from 1. A file of whole numbers is one of labels, unless the threshold is above 1
    Raises MaskError if it cannot be read, or does not hold
    labels, DamagedMask, UnclearPosition, and WrongPhase if it lies on the grid of another phase.
    """
    header = header or read_volume_header(path)
    content = whole_content(path, header)
    volume = read_volume(path, content=content, all_volumes=threshold is not None)
    values = volume.values
    if (
        is_nifti(path) and values.dtype.kind == "f" and np.isnan(values).any()
    ):  # programs write NaN around a mask, which ITK has for 0
        values = np.where(np.isnan(values), values.dtype.type(0), values)
    segments = _slicer_segments(volume.texts)
    if volume.n_components > 1 and not segments.names and threshold is None:
        raise MaskError(
            f"has {volume.n_components} values per voxel",
            where=path,
            remedy="save a volume of labels",
        )
    is_of_probabilities = (
        threshold is not None and not segments.names and not _are_labels(values, threshold)
    )
    if threshold is not None and is_of_probabilities:
        values = _from_threshold(values, threshold, path)
    channels = values[..., None] if values.ndim == 3 else values
    boxes = [box_of_set(channels[..., layer]) for layer in range(channels.shape[-1])]
    if any(box is not None for box in boxes):
        grid, note = located(path, header, volume.grid, geometry, position)
        phases = _phases_of_grid(grid, geometry, owner)
        _require_phase_of_grid(path, phases, owner)
    else:  # nothing lies nowhere: no question of its place
        grid, note = replace(geometry, shape=values.shape[:3]), ""
        phases = frozenset()
    unnamed = {} if segments.names else (header.label_names or names_beside(path))
    layers = []
    for layer, box in enumerate(boxes):
        labels = cropped(
            channels[..., layer], grid, box=box, check=lambda values: _require_labels(values, path)
        )
        names = segments.names.get(layer, {})
        if unnamed:  # a data set names all its labels, and a file of it holds some
            present = set(np.flatnonzero(np.bincount(labels.labels.ravel())).tolist())
            names = {label: name for label, name in unnamed.items() if label in present}
        layers.append(Layer((labels,), names, segments.codes.get(layer, {})))
    return ReadLayers(layers, phases, note, is_of_probabilities=is_of_probabilities)


def position_doubt(path: Path, geometry: VolumeGeometry) -> tuple[str, tuple[PositionChoice, ...]]:
    """Why the position of a label volume is doubtful, and which choices there are; "" and none where it is not."""
    return doubt(read_volume_header(path), read_volume(path).grid, geometry)


def _are_labels(values: NDArray[Any], threshold: float) -> bool:
    """Whether a file holds labels in spite of a threshold: whole numbers are no probabilities from 0 to 1."""
    is_whole = values.dtype.kind != "f" or np.array_equal(values, np.rint(values))
    return is_whole and threshold <= 1


def _from_threshold(values: NDArray[Any], threshold: float, path: Path) -> NDArray[Any]:
    """Labels of a map of probabilities: a region for each channel, where it reaches the threshold.

    values : (z, y, x) or (z, y, x, channels)
    """
    if not np.isfinite(values).all():
        raise MaskError(
            "holds probabilities that are no numbers", where=path, remedy="write the map again"
        )
    largest = float(values.max(initial=0.0))
    if threshold <= 1 < largest:
        raise MaskError(
            f"holds values up to {largest:g}, which are no probabilities from 0 to 1",
            where=path,
            remedy=f"give the threshold in the file's unit, e.g. --threshold {largest / 2:g}",
        )
    if largest < threshold:
        raise EmptyMask(
            f"no value reaches the threshold of {threshold:g}; the largest is {largest:g}",
            where=path,
            remedy="lower --threshold",
        )
    channels = values[..., None] if values.ndim == 3 else values
    numbers = np.arange(1, channels.shape[-1] + 1, dtype=np.int32)
    labels = (channels >= threshold) * numbers
    return labels[..., 0] if values.ndim == 3 else labels


def _phases_of_grid(grid: VolumeGeometry, geometry: VolumeGeometry, owner: Owner) -> frozenset[str]:
    """The phases whose images have a mask's voxels; none where the measured ones have them, or no image has."""
    if same_voxels(grid, geometry):
        return frozenset()
    drawn_on = [uid for uid, other in owner.grid_of_series.items() if same_voxels(grid, other)]
    return owner.phases_of(drawn_on)


def _require_phase_of_grid(path: Path, phases: frozenset[str], owner: Owner) -> None:
    """Refuses a mask whose voxels are those of another phase's images, and not of the measured ones."""
    if not owner.accepts(phases):
        phase = sorted(phases)[0]
        raise WrongPhase(
            f"lies on the grid of {phase_words(phase)}, and {phase_words(owner.phase)} is measured on another",
            where=path,
            remedy=phase_remedy(phase),
        )


def _slicer_segments(texts: Mapping[str, str]) -> _SlicerSegments:
    """Names and terminology of a 3D Slicer segmentation; nothing for any other file."""
    segments = _SlicerSegments({}, {})
    number = 0
    while f"Segment{number}_Name" in texts:

        def value(what: str, prefix: str = f"Segment{number}_") -> str:
            return texts.get(prefix + what, "")

        layer, label = int(value("Layer") or 0), int(value("LabelValue") or number + 1)
        segments.names.setdefault(layer, {})[label] = value("Name")
        segments.codes.setdefault(layer, {})[label] = _terminology(value("Tags"))
        number += 1
    return segments


def _terminology(tags: str) -> Coded:
    """What a segment's tags say: context~category~type~modifier~context~anatomy~modifier, codes as scheme^value^meaning."""
    entry = next(
        (tag.partition(":")[2] for tag in tags.split("|") if tag.startswith("TerminologyEntry:")),
        "",
    )
    parts = [*entry.split("~"), *[""] * 7][:7]

    def code(part: str) -> str:
        scheme, _, rest = part.partition("^")
        return f"{scheme}:{rest.partition('^')[0]}" if scheme and rest else ""

    return Coded(category=code(parts[1]), kind=code(parts[2]), anatomy=code(parts[5]))


def _require_labels(values: NDArray[np.generic], path: Path) -> None:
    """Raises MaskError unless the values are whole numbers of 0 and more, whatever type they are stored as."""
    is_whole = values.dtype.kind in "iub" or (
        values.dtype.kind == "f" and np.array_equal(values, np.rint(values))
    )
    if not is_whole:
        raise MaskError(
            "holds values that are no labels",
            where=path,
            remedy=(
                "save a label map, not an image; for probabilities say from which on with --threshold 0.5"
            ),
        )
    fits = values.dtype.kind in "ub" and values.dtype.itemsize <= 2  # bytes, as LARGEST_LABEL
    if values.size and not fits and (values.min() < 0 or values.max() > LARGEST_LABEL):
        raise MaskError(
            f"holds labels outside 0-{LARGEST_LABEL}",
            where=path,
            remedy="number the regions from 1",
        )
