"""Statistics of regions that other packages add, by the entry point group `gsigpu.statistics`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.errors import PlugInError, SettingsError
from gsigpu.plug_ins import STATISTICS as GROUP
from gsigpu.plug_ins import plug_in, plug_in_names
from gsigpu.regions.statistics import STATISTICS


@dataclass(frozen=True, slots=True)
class RegionStatistic:
    """A number of the voxels of a region.

    name : in the column `statistic`
    compute : of (n,) float64 valid values, one or more
    formula : in words, for the column `definition`
    unit : "" for that of the parameter, "1" for a pure number
    """

    name: str
    compute: Callable[[NDArray[np.float64]], float]
    formula: str
    unit: str = ""

    def of(self, values: NDArray[Any]) -> float:
        """Its value; NaN where no value is valid.

        values : (n,), NaN where there is none
        Raises PlugInError where the package fails, or gives no number.
        """
        valid = np.asarray(values, dtype=np.float64)
        valid = valid[~np.isnan(valid)]
        if not valid.size:
            return float("nan")
        try:
            return float(self.compute(valid))
        except Exception as error:
            raise PlugInError.of(GROUP, self.name, error) from error


def added_statistics(names: Sequence[str]) -> list[RegionStatistic]:
    """The statistics of installed packages, by name.

    Raises SettingsError for a name that nobody adds, or that is one of gsigpu's own; MissingDependency where a package
    cannot be imported, PlugInError where it gives something else.
    """
    statistics = []
    for name in names:
        if name in STATISTICS:
            raise SettingsError(
                f"the statistic {name!r} is measured anyway", remedy="leave it out of --statistics"
            )
        added = plug_in(GROUP, name)
        if added is None:
            known = ", ".join(plug_in_names(GROUP)) or "none"
            raise SettingsError(
                f"no installed package adds the statistic {name!r} (there is {known})",
                remedy="leave it out of --statistics, or install its package",
            )
        if not isinstance(added, RegionStatistic) or added.name != name:
            raise PlugInError(
                f"the package that adds the statistic {name!r} gives {added!r}",
                remedy=f"let it give a RegionStatistic whose name is {name!r}",
            )
        statistics.append(added)
    return statistics
