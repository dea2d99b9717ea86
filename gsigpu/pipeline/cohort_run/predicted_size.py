"""How many bytes a run will write, from what its rows and settings ask for: an upper bound that is not far off."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from gsigpu.dicom.study.read_study import read_study
from gsigpu.errors import GsigpuError
from gsigpu.pipeline.cohort_run.cohort_task import CohortSettings
from gsigpu.regions.statistics import STATISTICS
from gsigpu.tables.manifest import ManifestRow

# Values of the measurement table. A region has every statistic of each parameter and two of each energy; beside them its
# volume, size, ratios to other regions and the fitted slope. A lesion across 30 mm has 25 shells of four values.
_VALUES_BESIDE, _OF_A_PROFILE, _ENERGIES = 10, 100, 11
_OF_THE_STUDY = 3  # parenchyma, aorta, liver
_OF_A_LESION = ("lesion", "core", "rim", "perilesional")
# Bytes of one value: its line of the CSV without the labels of the row (line by line 120 to 150), and its part of two Parquet
# files (10 and 15); and of a row: the fixed part of these files, its record and the state of its study, and a lesion's part.
_LINE_BYTES, _PACKED_BYTES = 150, 25
_ROW_BYTES, _LESION_BYTES = 45_000, 1_500
# A run's own: flow diagram, status, record, lists.
_RUN_BYTES = 100_000
_PICTURE_BYTES = 300_000
_CARD_BYTES = 18_000  # see gsigpu.pipeline.review.lesion_cards
_PAGE_BYTES = 30_000  # beside its volumes and cards
_BYTES_PER_VOXEL = {"ct": 2, "rgb": 3}
_SLICE_HEADER_BYTES = 6_000  # of every format of DICOM
# Masks and studies that are looked at, spread over the manifest.
_TRIED = 3
# Where no mask can be looked at: few patients have more lesions that are measured.
UNKNOWN_LESIONS = 12
_MOST_LABELS = 1000


def predicted_bytes(rows: Sequence[ManifestRow], settings: CohortSettings, n_lesions: int) -> int:
    """What so many rows will write: tables twice (by row and together), CSV, provenance, pictures, maps, pages.

    n_lesions : of a row; see `lesions_of_a_row`
    The size of maps and pages is that of the largest of three studies, which are read here: call it in a child, since a
    mount may hang. Tested against what phantom cohorts of 1 to 20 lesions a row write: 1 to 2.5 times that.
    """
    if not rows:
        return 0
    per_row = _ROW_BYTES + n_lesions * _LESION_BYTES
    per_row += settings.pictures * _PICTURE_BYTES
    per_row += settings.review * n_lesions * _CARD_BYTES
    if settings.maps or settings.study_pages:
        from gsigpu.pipeline.review.page_volumes import predicted_bytes as page_bytes

        n_slices, n_voxels = max(map(_size_of, _tried(rows)), key=lambda size: size[1])
        per_row += len(settings.maps) * _map_bytes(settings.map_format, n_slices, n_voxels)
        if settings.study_pages:
            per_row += page_bytes(n_voxels) + _PAGE_BYTES + n_lesions * _CARD_BYTES
    return _RUN_BYTES + sum(per_row + _table_bytes(row, settings, n_lesions) for row in rows)


def lesions_of_a_row(rows: Sequence[ManifestRow], settings: CohortSettings) -> int:
    """The largest number of lesions in the masks of three rows, which are read here: call it in a child."""
    if settings.segment or not rows:
        return UNKNOWN_LESIONS
    return max(_lesions_in(row, settings) for row in _tried(rows))


def _tried(rows: Sequence[ManifestRow]) -> Sequence[ManifestRow]:
    return rows[:: max(1, len(rows) // _TRIED)][:_TRIED]


def _table_bytes(row: ManifestRow, settings: CohortSettings, n_lesions: int) -> int:
    measure = settings.measure
    n_parameters = len(measure.parameters.slopes) + len(measure.parameters.maps) + 1  # CT value
    n_statistics = len(STATISTICS) + len(measure.statistics) + measure.with_se
    of_region = n_parameters * n_statistics + _VALUES_BESIDE
    if measure.parameters.curve:
        of_region += 2 * (len(row.energies) or _ENERGIES)
    names = measure.regions.regions
    of_lesion = of_region * sum(name in names for name in _OF_A_LESION)
    of_lesion += _OF_A_PROFILE * ("profile" in names)
    n_values = n_lesions * of_lesion + (_OF_THE_STUDY + len(row.regions)) * of_region
    labels = (row.case_id, row.patient_id, row.group, row.reader, row.phase)
    line = _LINE_BYTES + sum(len(label.encode()) for label in labels)
    return n_values * (line + _PACKED_BYTES)


def _map_bytes(map_format: str, n_slices: int, n_voxels: int) -> int:
    header = 0 if map_format in ("nifti", "nrrd") else n_slices * _SLICE_HEADER_BYTES
    return n_voxels * _BYTES_PER_VOXEL.get(map_format, 4) + header


def _size_of(row: ManifestRow) -> tuple[int, int]:
    """Slices and voxels of a study's largest series; 0 where its headers cannot be read."""
    try:
        study = read_study(row.study)
    except GsigpuError:
        return 0, 0
    shapes = [series.geometry.shape for series in study.series if series.geometry is not None]
    largest = max(shapes, key=math.prod, default=(0, 0, 0))
    return largest[0], math.prod(largest)


def _lesions_in(row: ManifestRow, settings: CohortSettings) -> int:
    """How many labels the masks of a row have; `UNKNOWN_LESIONS` for a file that does not say."""
    return sum(_labels_in(path, may_split=settings.split_lesions) for path in row.masks)


def _labels_in(path: Path, *, may_split: bool) -> int:
    import numpy as np

    from gsigpu.masks.read_files import is_volume
    from gsigpu.masks.stored_volume import read_volume

    if not is_volume(path):
        return UNKNOWN_LESIONS
    try:
        values = read_volume(path).values
    except GsigpuError:
        return UNKNOWN_LESIONS
    n_labels = np.unique(values[values > 0]).size
    # Of probabilities every voxel has its own; of lesions that are to be split all may have one.
    return n_labels if may_split < n_labels < _MOST_LABELS else UNKNOWN_LESIONS
