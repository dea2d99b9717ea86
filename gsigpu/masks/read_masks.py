"""Masks of every format on the grid of a study.

DICOM SEG, RT Structure Set, NIfTI, NRRD (also 3D Slicer's .seg.nrrd) and MetaImage end as
`RegionMask`s: overlapping segments stay apart, names are kept. A file that is not whole, or cannot belong to
the study, is refused; a region of a file that cannot be used is told, and the others are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gsigpu.caution import Caution
from gsigpu.errors import EmptyMask, GeometryError, MaskError, OutsideStudy
from gsigpu.file_state import unchanged
from gsigpu.masks.added_formats import added_suffix, read_added
from gsigpu.masks.dicom_integrity import require_whole_dicom
from gsigpu.masks.fill_between import fill_between as filled_between
from gsigpu.masks.fill_between import skipped_slices
from gsigpu.masks.layers import Coded, Layer, Owner, ReadLayers, with_file
from gsigpu.masks.placement import Placed, place
from gsigpu.masks.positions import PositionChoice
from gsigpu.masks.read_files import content_digest, files_and_header, is_volume
from gsigpu.masks.rtstruct import read_structures
from gsigpu.masks.segmentation import SEGMENTATIONS, read_segmentation
from gsigpu.masks.volume_headers import VOLUME_SUFFIXES, VolumeHeader
from gsigpu.masks.volume_masks import read_volume_masks
from gsigpu.regions.region_boxes import label_boxes
from gsigpu.regions.region_mask import RegionMask, union
from gsigpu.volume import VolumeGeometry

_RT_STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.481.3"


@dataclass(frozen=True, slots=True)
class MaskProblem:
    """A region that is in a file and cannot be used."""

    name: str
    label: int
    error: MaskError


@dataclass(frozen=True, slots=True)
class MaskNote:
    """What a user should know of a region, or of the file where the name is ""."""

    name: str
    label: int
    text: Caution


@dataclass(frozen=True, slots=True)
class MaskSet:
    """The regions of a file on the grid of a study, in the order of their labels.

    problems : regions that cannot be used, and why
    notes : what was resampled, filled, left out
    codes : (label, name) -> what a region is in a terminology
    digest : SHA-256 of all that was read, see `content_digest`
    files : that were read
    is_positioned_by_choice : its place was doubtful, and was taken from what the option says
    phases : of the images that it was drawn on, as far as it says; empty where it says none
    is_of_probabilities : see `ReadLayers`
    """

    masks: tuple[RegionMask, ...]
    problems: tuple[MaskProblem, ...]
    notes: tuple[MaskNote, ...]
    codes: Mapping[tuple[int, str], Coded]
    digest: str = ""
    files: tuple[Path, ...] = ()
    is_positioned_by_choice: bool = False
    phases: frozenset[str] = frozenset()
    is_of_probabilities: bool = False

    @property
    def warnings(self) -> tuple[Caution, ...]:
        """The notes as text."""
        return tuple(note.text for note in self.notes)


def read_masks(
    path: Path | str,
    geometry: VolumeGeometry,
    *,
    owner: Owner | None = None,
    fill_between: bool = False,
    position: PositionChoice | None = None,
    threshold: float | None = None,
) -> MaskSet:
    """The regions of a mask file on a study's grid.

    geometry : of the study
    owner : whom a mask must belong to
    fill_between : fill what lies between the drawn slices of a region
    position : what to take a doubtful position from
    threshold : from which probability on a voxel is inside, of files that hold probabilities
    Raises MaskError if the file is missing, empty, not of a known format or not of labels; DamagedMask if
    it is not whole; FileChanged if it is written to meanwhile; GridMismatch if it has another frame of
    reference; WrongPatient and WrongPhase; UnclearPosition; OutsideStudy if nothing in it overlaps the study.
    """
    path = Path(path)
    if not path.is_file():
        raise MaskError(
            "no such mask file",
            where=path,
            remedy="name a SEG, RTSTRUCT, NIfTI, NRRD or MetaImage file",
        )
    try:
        with unchanged(path):  # whose header says what else is read
            named, header = files_and_header(path)
            files = tuple(part for part in named if part.is_file())
            with unchanged(*files[1:]):
                read = _layers(
                    path,
                    header,
                    geometry,
                    owner or Owner(),
                    fill_between=fill_between,
                    position=position,
                    threshold=threshold,
                )
                digest = content_digest(path, named)
    except (MaskError, GeometryError) as error:
        raise with_file(error, path) from error
    masks: list[RegionMask] = []
    problems: list[MaskProblem] = []
    notes = (
        [MaskNote("", 0, Caution("chosen-position", f"{path}: {read.note}"))] if read.note else []
    )
    codes: dict[tuple[int, str], Coded] = {}
    for layer in read.layers:
        placed = [place(volume, geometry) for volume in layer.volumes]
        regions = _regions(placed, layer.names)
        counts = _counts(layer)
        notes += _notes(path, layer, counts, placed, regions, geometry)
        if fill_between:
            regions = [_filled(path, region, geometry, notes) for region in regions]
        else:
            notes += _gaps(path, regions)
        masks += regions
        problems += _problems(path, layer, counts, {region.label for region in regions})
        codes |= {(label, _name(layer.names, label)): code for label, code in layer.codes.items()}
    if not masks:
        if not problems:
            raise EmptyMask("holds no region", where=path, remedy="draw one on this study")
        if all(isinstance(problem.error, OutsideStudy) for problem in problems):
            raise OutsideStudy(
                "no slices of the mask overlap the study",
                where=path,
                remedy="use a mask that was drawn on this study",
            )
    return MaskSet(
        masks=tuple(sorted(masks, key=lambda mask: mask.label)),
        problems=tuple(problems),
        notes=tuple(notes),
        codes=codes,
        digest=digest,
        files=files,
        is_positioned_by_choice=bool(read.note),
        phases=read.phases,
        is_of_probabilities=read.is_of_probabilities,
    )


def _layers(
    path: Path,
    volume_header: VolumeHeader | None,
    geometry: VolumeGeometry,
    owner: Owner,
    *,
    fill_between: bool,
    position: PositionChoice | None,
    threshold: float | None,
) -> ReadLayers:
    """The layers of a file."""
    if is_volume(path):
        return read_volume_masks(
            path, geometry, owner, header=volume_header, position=position, threshold=threshold
        )
    if (suffix := added_suffix(path)) is not None:
        return read_added(path, suffix)
    if not _is_dicom(path):
        raise MaskError(
            "is no mask that can be read",
            where=path,
            remedy=f"use DICOM SEG, RTSTRUCT or {', '.join(VOLUME_SUFFIXES)}",
        )
    from pydicom import dcmread

    require_whole_dicom(path)
    header = dcmread(path)
    if header.get("SOPClassUID") == _RT_STRUCTURE_SET:
        return read_structures(path, header, geometry, owner, fill_between=fill_between)
    return read_segmentation(
        path,
        header,
        geometry,
        owner,
        fill_between=fill_between,
        least_fraction=threshold if threshold is not None and threshold <= 1 else None,
    )


def masks_in(folder: Path) -> list[Path]:
    """The mask files of a folder, by name; what else is in it is left out.

    Raises MaskError if there is none.
    """
    paths = [path for path in sorted(folder.iterdir()) if _is_mask(path)]
    if not paths:
        raise MaskError(
            "holds no mask file", where=folder, remedy="name a folder of SEG, NIfTI or NRRD files"
        )
    return paths


def _is_mask(path: Path) -> bool:
    if not path.is_file() or path.name.startswith("."):
        return False
    if is_volume(path) or added_suffix(path) is not None:
        return True
    if not _is_dicom(path):
        return False
    from gsigpu.dicom.reading.bounded_file import read_header

    try:
        header = read_header(path, ["SOPClassUID"])
    except Exception:  # noqa: BLE001  # pydicom raises anything on a broken header
        return False
    return header.get("SOPClassUID") in (_RT_STRUCTURE_SET, *SEGMENTATIONS)


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _regions(placed: Sequence[Placed], names: Mapping[int, str]) -> list[RegionMask]:
    """One region per label, by one pass over the labels of each volume."""
    pieces: dict[int, list[RegionMask]] = {}
    for volume in placed:
        for label, _, box in label_boxes(volume.labels):
            z, y, x = (o + side.start for o, side in zip(volume.origin, box, strict=True))
            piece = RegionMask(
                name=_name(names, label),
                label=label,
                origin=(z, y, x),
                voxels=volume.labels[box] == label,
            )
            pieces.setdefault(label, []).append(piece)
    regions = []
    for label in sorted(pieces):
        members = pieces[label]
        joined = union(members[0].name, members)
        regions.append(
            RegionMask(
                name=members[0].name, label=label, origin=joined.origin, voxels=joined.voxels
            )
        )
    return regions


def _counts(layer: Layer) -> dict[int, tuple[int, float]]:
    """Label -> its voxels in the file, and their volume in mL."""
    counts: dict[int, tuple[int, float]] = {}
    for volume in layer.volumes:
        for label, more, _ in label_boxes(volume.labels):
            n, ml = counts.get(label, (0, 0.0))
            counts[label] = n + more, ml + more * volume.geometry.voxel_volume_ml
    return counts


def _name(names: Mapping[int, str], label: int) -> str:
    known = names.get(label, "")
    return known or f"label {label}"


def _problems(
    path: Path, layer: Layer, counts: Mapping[int, tuple[int, float]], placed_labels: set[int]
) -> Iterator[MaskProblem]:
    """Regions that are in the file and not on the study's grid, or are named and have no voxels."""
    for label in sorted((set(counts) | set(layer.names)) - placed_labels):
        name = _name(layer.names, label)
        error: MaskError = layer.error or (
            OutsideStudy(
                f"{name} lies outside the study, or between its voxels",
                where=path,
                remedy="draw it on this study",
            )
            if label in counts
            else EmptyMask(f"{name} is empty", where=path, remedy="draw it, or delete it")
        )
        yield MaskProblem(name, label, error)


def _notes(
    path: Path,
    layer: Layer,
    counts: Mapping[int, tuple[int, float]],
    placed: Sequence[Placed],
    regions: Sequence[RegionMask],
    geometry: VolumeGeometry,
) -> Iterator[MaskNote]:
    """What was left out of a layer, and what was resampled."""
    for label, name in layer.names.items():
        for text in layer.notes:
            whose = f"{path}: {_name(layer.names, label)}"
            yield MaskNote(name, label, Caution(text.kind, f"{whose}: {text}"))
    outside = 0.0
    if any(volume.outside_share for volume in placed):
        sizes = [int(np.count_nonzero(volume.labels)) for volume in layer.volumes]
        shares = [n * volume.outside_share for n, volume in zip(sizes, placed, strict=True)]
        outside = sum(shares) / max(sum(sizes), 1)
    if 0.0 < outside < 1.0:
        of_layer = next(iter(layer.names.items())) if len(layer.names) == 1 else (0, "")
        yield MaskNote(
            of_layer[1],
            of_layer[0],
            Caution(
                "outside-study",
                f"{path}: {100 * outside:.1f} % of the mask lies outside the study and is left out",
            ),
        )
    if all(volume.is_exact for volume in placed):
        return
    for region in regions:
        before_ml = counts[region.label][1]
        after_ml = region.n_voxels * geometry.voxel_volume_ml
        change = round(100.0 * (after_ml / before_ml - 1.0), 1) + 0.0  # no -0.0
        yield MaskNote(
            region.name,
            region.label,
            Caution(
                "resampled",
                f"{path}: {region.name} was resampled to the study's grid, nearest label;"
                f" its volume changed by {change:+.1f} % to {after_ml:.2f} mL",
            ),
        )


def _filled(
    path: Path, region: RegionMask, geometry: VolumeGeometry, notes: list[MaskNote]
) -> RegionMask:
    """A region without gaps between its slices; told where there were some."""
    whole, n_filled = filled_between(region, geometry.spacing_mm)
    if n_filled:
        text = f"{path}: {region.name}: {n_filled} slices between drawn ones were filled (--fill-between)"
        notes.append(MaskNote(region.name, region.label, Caution("gaps", text)))
    return whole


def _gaps(path: Path, regions: Sequence[RegionMask]) -> Iterator[MaskNote]:
    for region in regions:
        n_skipped = skipped_slices(region)
        if n_skipped:
            n_drawn = int(region.voxels.any(axis=(1, 2)).sum())
            yield MaskNote(
                region.name,
                region.label,
                Caution(
                    "gaps",
                    f"{path}: {region.name} is drawn on {n_drawn} slices that are no neighbours;"
                    f" the {n_skipped} between them stay empty, and --fill-between fills them",
                ),
            )
