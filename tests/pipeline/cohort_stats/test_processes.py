"""What the processes of `cohort stats` begin with."""

import gc
import sys

from gsigpu.pipeline.cohort_stats import imports_of_processes
from gsigpu.pipeline.cohort_stats.processes import fewer_collections


def test_every_module_that_processes_import_is_there():
    assert [name for name in imports_of_processes._MODULES if name not in sys.modules] == []
    assert gc.isenabled()


def test_garbage_is_looked_for_as_before_afterwards():
    before = gc.get_threshold()
    with fewer_collections():
        assert gc.get_threshold() > before
    assert gc.get_threshold() == before
