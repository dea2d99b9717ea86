"""What fits into a kernel's parameters."""

import numpy as np
import pytest

from gsigpu.backends.kernel_source import linear_maps_tables, map_groups
from gsigpu.errors import BackendError


def test_tables_of_the_most_energies_fit_and_more_are_refused():
    assert map_groups(2, 335) == [(0, 1), (1, 1)]
    tables = linear_maps_tables(np.zeros((1, 335)), np.zeros(1), np.zeros((335, 2), np.int16))
    assert tables.nbytes <= 4096 - 64 < tables.nbytes + 12
    with pytest.raises(BackendError, match="at most 335 energies, not 336; use --backend cpu"):
        map_groups(1, 336)
