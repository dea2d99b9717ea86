"""RT Structure Sets for tests, written by pydicom alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage
from skimage.measure import find_contours

from gsigpu.volume import VolumeGeometry
from tests.support.dicom_files import uid


@dataclass(frozen=True)
class Drawn:
    """A contour: (n, 3) LPS mm, and what kind it is."""

    points_mm: np.ndarray
    kind: str = "CLOSED_PLANAR"


def to_lps(points: np.ndarray, geometry: VolumeGeometry) -> np.ndarray:
    """(n, 3) index (x, y, z) as LPS mm."""
    affine = geometry.affine_lps
    return np.asarray(points, float) @ affine[:3, :3].T + affine[:3, 3]


def drawn_on_slice(rows_columns: np.ndarray, z: float, geometry: VolumeGeometry) -> Drawn:
    """A polygon of (row, column) vertices on the plane of slice index `z`."""
    y, x = np.asarray(rows_columns, float).T
    return Drawn(to_lps(np.column_stack([x, y, np.full_like(x, z)]), geometry))


def contours_of(mask: np.ndarray, geometry: VolumeGeometry) -> list[Drawn]:
    """The outlines of a (z, y, x) bool mask on the grid of `geometry`; holes are outlines too."""
    contours = []
    for z, plane in enumerate(mask):
        for outline in find_contours(np.pad(plane, 1).astype(float), 0.5):
            contours.append(drawn_on_slice(outline[:-1] - 1, z, geometry))
    return contours


def structure_set(
    rois: Mapping[int, tuple[str, Sequence[Drawn] | None]],
    *,
    frame_uid: str = "1.2.9",
    frame_of_roi: Mapping[int, str] | None = None,
    series_uids: Sequence[str] = (),
    patient_id: str = "P1",
    study_uid: str = "1.2.3",
) -> FileDataset:
    """An RT Structure Set.

    rois : number -> name and contours; None for a structure that is named and has no contour item
    frame_uid : of all structures but those in `frame_of_roi`
    series_uids : of the images it refers to
    """
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = RTStructureSetStorage
    meta.MediaStorageSOPInstanceUID = uid("rtstruct", *sorted(rois))
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset("", Dataset(), file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID = RTStructureSetStorage
    ds.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    ds.Modality = "RTSTRUCT"
    ds.PatientName = "Planted^Identity"
    ds.PatientID = patient_id
    ds.StudyInstanceUID = study_uid
    ds.SeriesInstanceUID = uid("rtstruct-series")
    ds.StructureSetLabel = "drawn"
    ds.ReferencedFrameOfReferenceSequence = [_referred(frame_uid, study_uid, series_uids)]
    ds.StructureSetROISequence = []
    ds.ROIContourSequence = []
    for number, (name, contours) in rois.items():
        roi = Dataset()
        roi.ROINumber = number
        roi.ReferencedFrameOfReferenceUID = (frame_of_roi or {}).get(number, frame_uid)
        roi.ROIName = name
        roi.ROIGenerationAlgorithm = "MANUAL"
        ds.StructureSetROISequence.append(roi)
        if contours is not None:
            ds.ROIContourSequence.append(_contour_item(number, contours))
    return ds


def _referred(frame_uid: str, study_uid: str, series_uids: Sequence[str]) -> Dataset:
    study = Dataset()
    study.ReferencedSOPInstanceUID = study_uid
    study.RTReferencedSeriesSequence = []
    for series_uid in series_uids:
        series = Dataset()
        series.SeriesInstanceUID = series_uid
        study.RTReferencedSeriesSequence.append(series)
    frame = Dataset()
    frame.FrameOfReferenceUID = frame_uid
    frame.RTReferencedStudySequence = [study]
    return frame


def _contour_item(number: int, contours: Sequence[Drawn]) -> Dataset:
    item = Dataset()
    item.ReferencedROINumber = number
    item.ContourSequence = []
    for drawn in contours:
        contour = Dataset()
        contour.ContourGeometricType = drawn.kind
        contour.NumberOfContourPoints = len(drawn.points_mm)
        contour.ContourData = [f"{value:.6f}" for value in drawn.points_mm.ravel()]
        item.ContourSequence.append(contour)
    return item
