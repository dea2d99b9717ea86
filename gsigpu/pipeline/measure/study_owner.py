"""Whom the masks of a study must belong to."""

from __future__ import annotations

from gsigpu.dicom.model import SpectralStack, Study
from gsigpu.masks.layers import Owner


def owner_of(study: Study, stack: SpectralStack, *, any_phase: bool) -> Owner:
    """Whom DICOM masks must belong to, to be laid over a stack."""
    first = stack.series[0].evidence
    return Owner(
        patient_id=first.patient_id,
        study_uid=first.study_uid,
        phase=stack.phase,
        phase_of_series={series.evidence.series_uid: series.phase for series in study.series},
        grid_of_series={
            series.evidence.series_uid: series.geometry
            for series in study.series
            if series.geometry is not None
        },
        series_of_image={
            plane.sop_instance_uid: series_uid
            for series in study.series
            for series_uid in [series.evidence.series_uid]
            for plane in series.planes
        },
        any_phase=any_phase,
    )
