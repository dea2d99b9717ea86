import numpy as np
import pytest

from gsigpu.dicom.study.read_study import read_study
from gsigpu.dicom.study.stack import select_stack
from tests.masks.test_read_masks import COLUMN, GRID, ROW
from tests.support.dicom_files import ct_dataset, save


@pytest.fixture
def ct(tmp_path):
    """A written CT on an oblique grid, as study geometry and as source datasets."""
    datasets = []
    for z in range(GRID.shape[0]):
        ds = ct_dataset(
            np.zeros(GRID.shape[1:], np.int16),
            position_mm=GRID.position_mm(z, 0, 0),
            instance_number=z + 1,
            ImageOrientationPatient=[round(float(x), 9) for x in (*ROW, *COLUMN)],
            PixelSpacing=list(GRID.spacing_mm[1:]),
        )
        save(ds, tmp_path / "ct" / f"{z}")
        datasets.append(ds)
    return select_stack(read_study(tmp_path / "ct")).geometry, datasets
