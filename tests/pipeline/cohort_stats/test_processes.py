"""What the processes of `cohort stats` begin with."""

import gc
import sys

from gsigpu.pipeline.cohort_stats import imports_of_processes


def test_every_module_that_processes_import_is_there():
    assert [name for name in imports_of_processes._MODULES if name not in sys.modules] == []
    assert gc.isenabled()
