"""DICOM SEG: binary, fractional and label map; segments may overlap.

A frame fills its own slice. How thick that is, the images say that the frame was drawn on, where the study
holds them; else Spacing Between Slices; else a frame on a slice of the study fills this slice. The distance
between two frames says nothing: a segment may have been drawn on every fifth slice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.errors import GeometryError, MaskError
from gsigpu.masks.layers import Coded, Layer, Owner, ReadLayers, require_owner
from gsigpu.masks.placement import LabelVolume
from gsigpu.masks.slice_runs import DrawnSlice, boxed, slice_volumes
from gsigpu.masks.volume_headers import damaged
from gsigpu.volume import VolumeGeometry

SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
# Tolerances.
#   _FRACTION_INSIDE   a voxel of a fractional segment is inside from half its full value, as highdicom and
#                      3D Slicer take it
#   _ON_SLICE          slices of the study: a frame within a hundredth of a slice lies on it
_FRACTION_INSIDE = 0.5
_ON_SLICE = 0.01
# Schemes that name the same codes: SRT is what DICOM called SNOMED before 2019.
_SCHEMES = {"99SDM": "SRT", "SNM3": "SRT"}


def read_segmentation(
    path: Path,
    seg: Any,
    geometry: VolumeGeometry,
    owner: Owner,
    *,
    fill_between: bool = False,
    least_fraction: float | None = None,
) -> ReadLayers:
    """One layer per segment of a DICOM SEG; one layer for a label map.

    seg : the dataset, with pixels
    fill_between : the caller fills what lies between the frames
    least_fraction : of its full value from which on a voxel of a fractional segment is inside; a half if None
    Raises MaskError if it cannot be read, and what `require_owner` raises.
    """
    if seg.get("SOPClassUID") not in SEGMENTATIONS:
        raise MaskError(
            "cannot be read as DICOM SEG (it is another kind of object)",
            where=path,
            remedy="use DICOM SEG, RTSTRUCT, .nii, .nii.gz, .nrrd, .nhdr, .mha or .mhd",
        )
    frame_uid = str(seg.get("FrameOfReferenceUID", "") or "")
    series_uids = _series_referred(seg)
    require_owner(seg, series_uids, {frame_uid} - {""}, geometry, owner)
    try:
        frames = _Frames(
            path,
            seg,
            geometry,
            owner,
            series_uids,
            fill_between=fill_between,
            least_fraction=_FRACTION_INSIDE if least_fraction is None else least_fraction,
        )
        return ReadLayers(
            frames.layers(),
            owner.phases_of(series_uids),
            is_of_probabilities=seg.get("SegmentationType") == "FRACTIONAL",
        )
    except MaskError:
        raise
    except Exception as error:  # pydicom and its decoders raise many types on what is no SEG
        raise MaskError(
            f"cannot be read as DICOM SEG ({' '.join(str(error).split())})",
            where=path,
            remedy="export the segmentation again",
        ) from error


class _Frames:
    """The frames of a SEG, by segment."""

    def __init__(
        self,
        path: Path,
        seg: Any,
        geometry: VolumeGeometry,
        owner: Owner,
        series_uids: set[str],
        *,
        fill_between: bool,
        least_fraction: float,
    ) -> None:
        self._least_fraction = least_fraction
        self._path, self._seg, self._geometry = path, seg, geometry
        self._fill_between = fill_between
        self._groups = list(seg.PerFrameFunctionalGroupsSequence)
        shared = seg.get("SharedFunctionalGroupsSequence", None) or []
        self._shared = shared[0] if shared else None
        if len(self._groups) != int(seg.NumberOfFrames):
            raise damaged(path, f"it describes {len(self._groups)} of {seg.NumberOfFrames} frames")
        images = {uid for groups in self._groups for uid in _images_referred(groups)}
        self._spacing_mm = owner.slice_spacing_mm(images, series_uids)

    def layers(self) -> list[Layer]:
        """Raises MaskError where frames are not parallel."""
        seg = self._seg
        items = {int(item.SegmentNumber): item for item in seg.SegmentSequence}
        is_label_map = seg.get("SegmentationType") == "LABELMAP"
        if is_label_map:
            items.pop(0, None)  # the background
        names = {
            number: str(item.get("SegmentLabel", "") or f"label {number}")
            for number, item in items.items()
        }
        program = _program(seg)
        codes = {number: _coded(item, program) for number, item in items.items()}
        drawn: dict[int, list[DrawnSlice]] = defaultdict(list)
        plane: VolumeGeometry | None = None
        is_shared = not any(self._has_plane(groups) for groups in self._groups)
        for groups, pixels in zip(self._groups, self._pixels(), strict=True):
            position_mm = self._position_mm(groups)
            if plane is None or not is_shared:
                this_plane = self._plane(groups, pixels.shape, position_mm)
                plane = plane or this_plane
                self._require_same(plane, this_plane)
            number = 0 if is_label_map else self._segment_of(groups, names)
            box = boxed(pixels, position_mm, label=number)
            if box is not None:
                drawn[number].append(box)
        if plane is None:
            raise damaged(self._path, "it holds no frame")
        if is_label_map:
            return [self._layer(drawn[0], plane, names, codes)]
        return [
            self._layer(drawn[number], plane, {number: name}, {number: codes[number]})
            for number, name in names.items()
        ]

    def _layer(
        self,
        slices: Sequence[DrawnSlice],
        plane: VolumeGeometry,
        names: dict[int, str],
        codes: dict[int, Coded],
    ) -> Layer:
        nothing = LabelVolume(
            np.zeros((1, 1, 1), np.int32), replace(self._geometry, shape=(1, 1, 1))
        )
        if not slices:
            return Layer((nothing,), names, codes)
        try:
            thickness_mm = self._thickness_mm(slices, plane)
        except MaskError as error:
            return Layer((nothing,), names, codes, error=error)
        return Layer(slice_volumes(slices, plane, thickness_mm), names, codes)

    def _pixels(self) -> Iterator[NDArray[np.generic]]:
        """(y, x) of each frame: bool, or labels of a label map."""
        from pydicom.pixels.utils import iter_pixels

        seg = self._seg
        kind = seg.get("SegmentationType")
        least = (
            self._least_fraction * int(seg.MaximumFractionalValue) if kind == "FRACTIONAL" else 1
        )
        self._require_length()
        for frame in iter_pixels(seg):
            yield frame if kind == "LABELMAP" else frame >= least

    def _require_length(self) -> None:
        """Raises DamagedMask unless uncompressed pixel data are as long as the frames."""
        seg = self._seg
        if "PixelData" not in seg:
            raise damaged(self._path, "it holds no pixel data")
        if seg.file_meta.TransferSyntaxUID.is_encapsulated:
            return
        n_bits = int(seg.NumberOfFrames) * int(seg.Rows) * int(seg.Columns) * int(seg.BitsAllocated)
        n_bytes = (n_bits + 7) // 8
        if len(seg.PixelData) not in (n_bytes, n_bytes + n_bytes % 2):
            raise damaged(
                self._path, f"its pixel data are {len(seg.PixelData)} bytes, not {n_bytes}"
            )

    def _segment_of(self, groups: Any, names: dict[int, str]) -> int:
        item = self._macro(groups, "SegmentIdentificationSequence")
        number = int(item.ReferencedSegmentNumber)
        if number not in names:
            raise damaged(
                self._path, f"a frame belongs to segment {number}, which it does not describe"
            )
        return number

    def _macro(self, groups: Any, keyword: str) -> Any:
        """The item of a functional group, of the frame or shared by all."""
        for place in (groups, self._shared):
            items = place.get(keyword, None) if place is not None else None
            if items:
                return items[0]
        raise damaged(self._path, f"its frames have no {keyword}")

    def _position_mm(self, groups: Any) -> NDArray[np.float64]:
        """(3,) LPS mm of a frame's first pixel."""
        position = self._macro(groups, "PlanePositionSequence").ImagePositionPatient
        position_mm = np.array([float(x) for x in position])
        if position_mm.shape != (3,) or not np.isfinite(position_mm).all():
            raise damaged(self._path, "a frame has no place")
        return position_mm

    def _has_plane(self, groups: Any) -> bool:
        """Whether a frame has rows, columns or a pixel size of its own; mostly all frames share them."""
        return any(
            keyword in groups for keyword in ("PlaneOrientationSequence", "PixelMeasuresSequence")
        )

    def _plane(
        self, groups: Any, shape: tuple[int, ...], position_mm: NDArray[np.float64]
    ) -> VolumeGeometry:
        """A frame's rows and columns in space, one slice of no particular thickness."""
        rows = [
            float(x)
            for x in self._macro(groups, "PlaneOrientationSequence").ImageOrientationPatient
        ]
        y_mm, x_mm = (float(x) for x in self._macro(groups, "PixelMeasuresSequence").PixelSpacing)
        normal = np.cross(rows[:3], rows[3:])
        normal = normal / (np.linalg.norm(normal) or 1.0)
        try:
            return VolumeGeometry(
                (1, shape[0], shape[1]),
                (1.0, y_mm, x_mm),
                (float(position_mm[0]), float(position_mm[1]), float(position_mm[2])),
                row_direction=(rows[0], rows[1], rows[2]),
                column_direction=(rows[3], rows[4], rows[5]),
                slice_direction=(float(normal[0]), float(normal[1]), float(normal[2])),
            )
        except GeometryError as error:
            raise damaged(self._path, f"a frame has no place: {error}") from error

    def _require_same(self, first: VolumeGeometry, other: VolumeGeometry) -> None:
        if not replace(other, origin_mm=first.origin_mm).same_grid(first):
            raise MaskError(
                "has frames that are not parallel",
                where=self._path,
                remedy="export the segmentation on the slices of this study",
            )

    def _thickness_mm(self, slices: Sequence[DrawnSlice], plane: VolumeGeometry) -> float:
        """How thick the segment's slices are.

        Raises MaskError where nothing says it.
        """
        study = self._geometry
        to_study = study.inverse_affine_lps
        heights = np.array(
            [(to_study[:3, :3] @ drawn.position_mm + to_study[:3, 3])[2] for drawn in slices]
        )
        is_parallel = abs(float(np.dot(plane.slice_direction, study.slice_direction))) > 1.0 - 1e-4
        is_on_slices = is_parallel and bool(np.abs(heights - np.rint(heights)).max() <= _ON_SLICE)
        given_mm = self._spacing_mm or self._spacing_between_slices()
        if given_mm is not None:
            return max(given_mm, study.spacing_mm[0]) if is_on_slices else given_mm
        if is_on_slices or self._fill_between:
            return study.spacing_mm[0]
        raise MaskError(
            "does not say how far apart its slices are, and they are not those of this study",
            where=self._path,
            remedy="fill what lies between them with --fill-between",
        )

    def _spacing_between_slices(self) -> float | None:
        spacing = self._macro(self._groups[0], "PixelMeasuresSequence").get("SpacingBetweenSlices")
        return float(spacing) if spacing is not None and float(spacing) > 0.0 else None


def _images_referred(groups: Any) -> Iterator[str]:
    """SOP Instance UIDs of the images that a frame was drawn on."""
    for derivation in groups.get("DerivationImageSequence", None) or []:
        for image in derivation.get("SourceImageSequence", None) or []:
            yield str(image.get("ReferencedSOPInstanceUID", ""))


def _coded(item: Any, program: str) -> Coded:
    """What a segment is in a terminology."""
    return Coded(
        category=_code(item, "SegmentedPropertyCategoryCodeSequence"),
        kind=_code(item, "SegmentedPropertyTypeCodeSequence"),
        anatomy=_code(item, "AnatomicRegionSequence"),
        program=program,
    )


def _program(seg: Any) -> str:
    return f"{seg.get('Manufacturer', '') or ''} {seg.get('ContentLabel', '') or ''}".strip()


def _code(item: Any, keyword: str) -> str:
    codes = item.get(keyword, None) or []
    if not codes:
        return ""
    scheme = str(codes[0].get("CodingSchemeDesignator", ""))
    return f"{_SCHEMES.get(scheme, scheme)}:{codes[0].get('CodeValue', '')}"


def _series_referred(seg: Any) -> set[str]:
    items = seg.get("ReferencedSeriesSequence", None) or []
    return {str(item.get("SeriesInstanceUID", "")) for item in items} - {""}
