"""Packages that only some of the work needs: which extra of the installation brings them, and an error that names it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from gsigpu.errors import MissingDependency

# Module -> extra, for the extras that pyproject.toml has beside the GPU's; tests hold the two together.
EXTRA_OF = {
    "SimpleITK": "masks",
    "skimage": "masks",
    "pyarrow": "stats",
    "sklearn": "stats",
    "statsmodels": "stats",
    "docx": "report",
    "jinja2": "report",
    "openpyxl": "report",
    "tableone": "report",
    "distributed": "cluster",
}


@contextmanager
def named_where_absent(what: str) -> Iterator[None]:
    """Within it, an import of a package that an extra brings and that is not there raises MissingDependency.

    what : needs it

    >>> with named_where_absent("--register"):
    ...     raise ModuleNotFoundError("No module named 'SimpleITK'", name="SimpleITK")
    Traceback (most recent call last):
        ...
    gsigpu.errors.MissingDependency: --register needs SimpleITK; pip install 'gsigpu[masks]'
    """
    try:
        yield
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in EXTRA_OF:
            raise
        raise _missing(what, module) from error


def require_modules(what: str, *modules: str) -> None:
    """Raises MissingDependency where a package that an extra brings is not installed: before the work begins."""
    for module in modules:
        if find_spec(module) is None:
            raise _missing(what, module)


def require_extra(what: str, extra: str) -> None:
    """Raises MissingDependency where an extra is not installed; one that includes others has been installed with them."""
    require_modules(what, *(module for module, name in EXTRA_OF.items() if name == extra))


def _missing(what: str, module: str) -> MissingDependency:
    return MissingDependency(
        f"{what} needs {module}", remedy=f"pip install 'gsigpu[{EXTRA_OF[module]}]'"
    )
