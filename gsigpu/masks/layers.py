"""What every mask format is read into, before it is placed on a study's grid."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gsigpu.caution import Caution
from gsigpu.errors import GeometryError, GridMismatch, MaskError, WrongPatient, WrongPhase
from gsigpu.masks.placement import LabelVolume
from gsigpu.phase_words import phase_words
from gsigpu.volume import VolumeGeometry

# The largest value of an unsigned 16-bit label map, which every format can hold.
LARGEST_LABEL = 65535


@dataclass(frozen=True, slots=True)
class Coded:
    """What a region is in a terminology: "SCHEME:CODE" each, "" where the file says nothing.

    category : of the property, such as SCT:49755003, Morphologically Abnormal Structure
    kind : of the property, such as SCT:10200004, Liver
    anatomy : where it lies
    program : that made the region, where it says so
    """

    category: str = ""
    kind: str = ""
    anatomy: str = ""
    program: str = ""


@dataclass(frozen=True, slots=True)
class Layer:
    """Labels that do not overlap, and their names.

    volumes : that hold them together; several where their slices are not evenly spaced
    names : label -> name; a label that is named and has no voxels is an empty region
    codes : label -> what it is in a terminology
    notes : what a user should know of the layer's regions, without file and name
    error : why its regions cannot be laid over the study; None where they can
    """

    volumes: tuple[LabelVolume, ...]
    names: Mapping[int, str]
    codes: Mapping[int, Coded] = field(default_factory=dict)
    notes: tuple[Caution, ...] = ()
    error: MaskError | None = None


@dataclass(frozen=True, slots=True)
class ReadLayers:
    """What a mask file was read into.

    phases : of the images that it was drawn on, as far as it says; empty where it says none
    note : on its position, where that was chosen
    is_of_probabilities : it says how far a voxel is inside, and a threshold made regions of it
    """

    layers: Sequence[Layer]
    phases: frozenset[str] = frozenset()
    note: str = ""
    is_of_probabilities: bool = False


@dataclass(frozen=True, slots=True)
class Owner:
    """Whom a mask must belong to, and which images it may refer to. What is "" or empty is not checked.

    phase : of the images that are measured
    phase_of_series : SeriesInstanceUID -> phase, of all series of the study
    grid_of_series : SeriesInstanceUID -> grid, of all series of the study that have one
    series_of_image : SOPInstanceUID -> SeriesInstanceUID, of all images of the study
    any_phase : accept a mask that was drawn on another phase
    """

    patient_id: str = ""
    study_uid: str = ""
    phase: str = ""
    phase_of_series: Mapping[str, str] = field(default_factory=dict)
    grid_of_series: Mapping[str, VolumeGeometry] = field(default_factory=dict)
    series_of_image: Mapping[str, str] = field(default_factory=dict)
    any_phase: bool = False

    def phases_of(self, series_uids: Iterable[str]) -> frozenset[str]:
        """The phases of series, those of the study that have one."""
        phases = {self.phase_of_series.get(uid, "") for uid in series_uids}
        return frozenset(phases - {""})

    def accepts(self, phases: frozenset[str]) -> bool:
        """Whether a mask that was drawn on these phases may be laid over the measured one; none is any."""
        return self.any_phase or not self.phase or not phases or self.phase in phases

    def slice_spacing_mm(
        self, image_uids: Iterable[str], series_uids: Iterable[str]
    ) -> float | None:
        """Distance between the slices that a mask was drawn on; None where the study does not hold them.

        image_uids : the images that the mask refers to; where the study holds none of them, its series count
        The smallest, where they are of several series.
        """
        series = {self.series_of_image[uid] for uid in image_uids if uid in self.series_of_image}
        grids = [
            self.grid_of_series[uid] for uid in series or series_uids if uid in self.grid_of_series
        ]
        return min((grid.spacing_mm[0] for grid in grids), default=None)


def require_owner(
    header: Any, series_uids: set[str], frame_uids: set[str], geometry: VolumeGeometry, owner: Owner
) -> None:
    """Whether a DICOM mask may be laid over a study.

    header : a pydicom dataset
    series_uids : of the images it refers to
    frame_uids : its frames of reference
    Raises WrongPatient, GridMismatch or WrongPhase. No identity is in the message.
    """
    patient_id = str(header.get("PatientID", "") or "").strip()
    if owner.patient_id and patient_id and patient_id != owner.patient_id:
        raise WrongPatient(
            "belongs to another patient than the study",
            remedy="use a mask that was drawn on this study",
        )
    known = geometry.frame_of_reference_uid
    if known and frame_uids and known not in frame_uids:
        raise GridMismatch(
            "has another frame of reference than the study",
            remedy="use a mask that was drawn on this study",
        )
    study_uid = str(header.get("StudyInstanceUID", "") or "")
    if not (known and frame_uids) and owner.study_uid and study_uid not in ("", owner.study_uid):
        raise WrongPatient(
            "belongs to another study, and no frame of reference says that they share a space",
            remedy="use a mask that was drawn on this study",
        )
    _require_phase(series_uids, owner)


def _require_phase(series_uids: set[str], owner: Owner) -> None:
    phases = owner.phases_of(series_uids)
    if owner.accepts(phases):
        return
    drawn = " and ".join(map(phase_words, sorted(phases)))
    raise WrongPhase(
        f"was drawn on {drawn}, and {phase_words(owner.phase)} is measured",
        remedy=phase_remedy(sorted(phases)[0]),
    )


def phase_remedy(phase: str) -> str:
    """What to do with a mask of another phase."""
    return f"use --phase {phase}, or accept the shift between breaths with --any-mask-phase"


def with_file(error: MaskError | GeometryError, path: object) -> MaskError | GeometryError:
    """The same error, naming the file where it names no place yet."""
    return type(error)(error.what, where=error.where or path, remedy=error.remedy)
