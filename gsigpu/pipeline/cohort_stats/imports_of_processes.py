"""What a process of `cohort stats` needs, imported when this module is.

Without looks for garbage, of which an import leaves none: they take a fifth of its time.
"""

from __future__ import annotations

import gc
from contextlib import suppress
from importlib import import_module

_MODULES = (
    "gsigpu.pipeline.cohort_stats.family_tasks",
    "gsigpu.pipeline.cohort_stats.draw_figures",
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_pdf",
    "matplotlib.backends.backend_svg",
    "sklearn.linear_model",
    "sklearn.model_selection",
    "statsmodels.genmod.generalized_linear_model",
    "threadpoolctl",
)


def _import_all() -> None:
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        for name in _MODULES:
            with suppress(ImportError):  # who needs it tells
                import_module(name)
    finally:
        if was_enabled:
            gc.enable()


_import_all()
