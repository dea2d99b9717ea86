"""From the stored voxels of regions to the numbers of the table, on either processor.

All parameters come from one array of values: the maps by the same linear maps as those of `gsigpu map`, each series
rescaled by itself, so that a value in the table is that of the float32 map at this voxel. Regions are columns of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.backends import backend_for, on_host
from gsigpu.backends.compiled_moments import whole_moments
from gsigpu.backends.kernel_source import runs_of_equal_slices
from gsigpu.dicom.model import Plane
from gsigpu.maps.nonlinear import array_namespace
from gsigpu.maps.plan import MapPlan
from gsigpu.pipeline.map.evaluate import evaluate
from gsigpu.pipeline.map.program import MapProgram, compile_program, padding_ranges
from gsigpu.pipeline.measure.gather import Gathered, MorePlanes
from gsigpu.pipeline.measure.parameters import Measurand, Measured, Parameter
from gsigpu.pipeline.measure.pieces import (
    most_at_once,
    slices_in_pieces,
    statistics_in_pieces,
)
from gsigpu.pipeline.measure.processor import Place, Processor
from gsigpu.pipeline.stack_source import rescale_of
from gsigpu.regions.region_layout import Layout
from gsigpu.regions.segment_statistics import Segments, segments_of, statistics_of_segments
from gsigpu.regions.statistics import spectral_curve
from gsigpu.tables.measurement_table import TABLE_STATISTICS

_BRIEF = ("mean", "sd")
_IN_PROFILE = ("lambda_hu", "iodine")
# Up to which float32 holds every whole number.
_LARGEST_EXACT = 2**24


@dataclass(frozen=True, slots=True)
class RegionNumbers:
    """What the table says of a region.

    n_voxels : all of it
    statistics : by parameter, in the order of the tables; `n_valid` among them
    curve_hu : (E,) mean HU at each energy over the voxels that are valid at all of them
    n_curve : how many those are
    """

    n_voxels: int
    statistics: Mapping[Parameter, Mapping[str, float]]
    curve_hu: NDArray[np.float64]
    n_curve: int


@dataclass(frozen=True, slots=True, repr=False)
class Numbers:
    """The numbers of all regions.

    regions : in the order of the layout; None where a slice of one could not be read
    measured : region, prefix of names -> values by parameter, on the host, for what is computed from voxels
    """

    regions: tuple[RegionNumbers | None, ...]
    measured: Callable[[int, str], Measured]

    def __repr__(self) -> str:
        """How many."""
        return f"Numbers({len(self.regions)} regions)"


def region_numbers(
    layout: Layout, gathered: Gathered, measurand: Measurand, processor: Processor
) -> Numbers:
    """The numbers of the regions of a layout, whose voxels were gathered."""
    return processor.run(lambda place: _Values(gathered, measurand, place).numbers(layout))


def around_maps(measurand: Measurand, processor: Processor) -> MorePlanes | None:
    """Computes the maps that need a voxel's neighbours, from whole planes; None where there are none."""
    plan = measurand.around_plan
    if plan is None:
        return None
    channels = measurand.channels(plan)
    program = _program(plan, [measurand.series[channel].planes for channel in channels])

    def values(
        z: int, planes: Sequence[NDArray[np.int16]], indices: NDArray[np.intp]
    ) -> NDArray[np.float32]:
        def work(place: Place) -> NDArray[np.float32]:
            stored = place.put(np.stack([planes[channel] for channel in channels]))
            xp = array_namespace(stored)
            results, _ = evaluate(program, z, stored)
            picked = xp.stack([plane.ravel()[place.put(indices)] for plane in results])
            return on_host(picked)

        return processor.run(work)

    return values


class _Values:
    """All parameters of all gathered voxels, (R, M) float32.

    They lie where they are computed, or on the host where the card has no room for all of them at once; then
    they are computed some slices at a time, and statistics of some rows and regions at a time.
    """

    def __init__(self, gathered: Gathered, measurand: Measurand, place: Place) -> None:
        self._gathered, self._measurand, self._place = gathered, measurand, place
        self._rows = measurand.rows()
        self._host_rows: dict[int, NDArray[np.float32]] = {}
        self._last_segments: tuple[tuple[int, ...], Segments] | None = None
        self._n_maps = 0 if measurand.plan is None else len(measurand.plan.definitions)
        n_channels, n_voxels = gathered.stored.shape
        n_rows = measurand.n_rows
        self._room = place.room_bytes()
        most = n_voxels
        if self._room is not None:
            most = most_at_once(n_channels, n_rows, self._room)
        self._is_whole = n_voxels <= most
        stored = gathered.stored.at(place)
        stored = place.put(stored) if self._is_whole else stored
        xp = array_namespace(stored)
        self._array = xp.empty((n_rows, n_voxels), np.float32)
        runs = self._runs() if gathered.slices else []
        # Series whose rows are computed when they are asked for: what most are asked for is had from stored values.
        self._waiting: set[int] = set()
        if xp is np and self._is_whole and len(runs) == 1:
            self._waiting = set(range(n_channels))
        self._stored = stored
        for run in runs:
            for first, end in slices_in_pieces(gathered.starts, *run, most):
                self._compute(stored, first, end)
        for channel in measurand.scaled_channels.keys() - self._waiting:
            self._scale(channel)
        if measurand.n_more:
            more = place.put(gathered.more) if self._is_whole else gathered.more
            self._array[self._n_maps + n_channels :] = more

    def _runs(self) -> list[tuple[int, int]]:
        """Slices in a row with the same rescale and padding, by their place among those read."""
        slices = self._gathered.slices
        channels = [[series.planes[z] for z in slices] for series in self._gathered.series]
        return runs_of_equal_slices(*_tables(channels))

    def _compute(self, stored: Any, first: int, end: int) -> None:
        """The maps and the series of some slices, straight into their rows where they are all there are."""
        gathered, array = self._gathered, self._array
        columns = slice(int(gathered.starts[first]), int(gathered.starts[end]))
        is_all = self._is_whole and columns == slice(0, array.shape[1])
        part = stored if is_all else self._part(stored, columns)
        planes = [[series.planes[gathered.slices[first]]] for series in gathered.series]
        n_channels, n = part.shape
        xp = array_namespace(part)
        if not self._waiting:
            series_rows = array[self._n_maps : self._n_maps + n_channels]
            out = series_rows if is_all else xp.empty((n_channels, n), np.float32)
            _rescale(part, planes, out)
            if not is_all:
                series_rows[:, columns] = self._where_rows_are(out)
        plan = self._measurand.plan
        if plan is None:
            return
        channels = self._measurand.channels(plan)
        if channels != list(range(n_channels)):
            part = xp.stack([part[channel] for channel in channels])
        in_place = is_all and not plan.nonlinear_steps
        results, _ = evaluate(
            _program(plan, [planes[channel] for channel in channels]),
            0,
            part.reshape(len(channels), 1, n),
            linear=array[: self._n_maps].reshape(-1, 1, n) if in_place else None,
        )
        if not in_place:
            for row, plane in zip(array, results, strict=False):
                row[columns] = self._where_rows_are(plane[0])

    def _need(self, rows: Iterable[int]) -> None:
        """Computes those rows of series that have waited for it."""
        for channel in {row - self._n_maps for row in rows} & self._waiting:
            planes = [[self._gathered.series[channel].planes[self._gathered.slices[0]]]]
            row = self._array[self._n_maps + channel]
            _rescale(self._stored[channel : channel + 1], planes, row[None])
            self._scale(channel)
            self._waiting.remove(channel)

    def _scale(self, channel: int) -> None:
        factor = self._measurand.scaled_channels.get(channel)
        if factor is not None:
            self._array[self._n_maps + channel] /= np.float32(factor)

    def _part(self, stored: Any, columns: slice) -> Any:
        """Some voxels, where they are computed."""
        return self._place.put(array_namespace(stored).ascontiguousarray(stored[:, columns]))

    def _where_rows_are(self, values: Any) -> Any:
        return values if self._is_whole else on_host(values)

    def numbers(self, layout: Layout) -> Numbers:
        """Of all regions; statistics of those that belong together are computed together."""
        regions = range(len(layout.regions))
        readable = [i for i in regions if self._gathered.errors[i] is None]
        profile = [i for i in readable if layout.regions[i].region == "profile"]
        others = [i for i in readable if layout.regions[i].region != "profile"]
        series_rows = [self._n_maps + c for c in range(len(self._measurand.energies_kev))]
        full = [p for p in self._rows if not p.name.startswith("mono_")]
        brief = [p for p in self._rows if p.name.startswith("mono_")]
        # The series first. A synthesised `mono_65` is a map.
        brief_rows = list(dict.fromkeys([*series_rows, *(self._rows[p] for p in brief)]))
        at_row = {row: k for k, row in enumerate(brief_rows)}
        by_region: dict[int, RegionNumbers] = {}
        in_profile = {p: self._rows[p] for p in full if p.name in _IN_PROFILE}
        of_shells = self._statistics(list(in_profile.values()), profile, _BRIEF)
        of_brief = self._brief(brief_rows, others)  # while all series wait
        of_regions = self._statistics([self._rows[p] for p in full], others, TABLE_STATISTICS)
        for s, region in enumerate(profile):
            statistics = {p: _of(of_shells, k, s) for k, p in enumerate(in_profile)}
            by_region[region] = self._region(region, statistics, (np.zeros(0), 0))
        for s, region in enumerate(others):
            by_parameter = {p: _of(of_regions, k, s) for k, p in enumerate(full)}
            by_parameter |= {p: _of(of_brief, at_row[self._rows[p]], s) for p in brief}
            statistics = {p: by_parameter[p] for p in self._rows}
            n_series = len(series_rows)
            means, n_valid = of_brief["mean"][:n_series, s], of_brief["n_valid"][:n_series, s]
            curve = self._curve(region, series_rows, means, n_valid)
            by_region[region] = self._region(region, statistics, curve)
        return Numbers(tuple(by_region.get(i) for i in regions), self._measured)

    def _region(
        self,
        region: int,
        statistics: Mapping[Parameter, Mapping[str, float]],
        curve: tuple[NDArray[np.float64], int],
    ) -> RegionNumbers:
        curve_hu, n_curve = curve
        return RegionNumbers(
            n_voxels=self._gathered.voxels[region].size,
            statistics=statistics,
            curve_hu=curve_hu,
            n_curve=n_curve,
        )

    def _statistics(
        self, rows: Sequence[int], regions: Sequence[int], names: Sequence[str]
    ) -> dict[str, NDArray[np.float64]]:
        """(rows, regions) by name."""
        sizes = [self._gathered.voxels[region].size for region in regions]
        n_voxels = 0 if self._is_whole else self._array.shape[1]
        parts = [
            [self._of_some(rows[a:b], regions[c:d], names) for c, d in groups]
            for (a, b), groups in statistics_in_pieces(len(rows), sizes, n_voxels, self._room)
        ]
        return {
            name: np.concatenate([np.concatenate([p[name] for p in row], axis=1) for row in parts])
            for name in (*names, "n_valid")
        }

    def _brief(self, rows: Sequence[int], regions: Sequence[int]) -> dict[str, NDArray[np.float64]]:
        """As `_statistics`, mean and SD; of series that wait, whose values are whole numbers, from these."""
        whole = [row for row in rows if row - self._n_maps in self._waiting]
        of_whole = self._of_whole_numbers(whole, regions) if whole and regions else None
        if of_whole is None:
            return self._statistics(rows, regions, _BRIEF)
        others = [row for row in rows if row not in set(whole)]
        if not others:
            return of_whole
        of_others = self._statistics(others, regions, _BRIEF)
        place = [[*whole, *others].index(row) for row in rows]
        return {name: np.concatenate([of_whole[name], of_others[name]])[place] for name in of_whole}

    def _of_whole_numbers(
        self, rows: Sequence[int], regions: Sequence[int]
    ) -> dict[str, NDArray[np.float64]] | None:
        """Mean and SD of series; None where float32 holds other values than they have, or there is no compiled loop."""
        channels = [row - self._n_maps for row in rows]
        first = self._gathered.slices[0]
        planes = [[self._gathered.series[channel].planes[first]] for channel in channels]
        slopes, intercepts, padding = (table[0] for table in _tables(planes))
        is_exact = (
            (slopes % 1 == 0)
            & (intercepts % 1 == 0)
            & (np.abs(slopes) * 2**15 + np.abs(intercepts) <= _LARGEST_EXACT)
        )
        if not is_exact.all() or self._measurand.scaled_channels.keys() & set(channels):
            return None
        segments = self._segments(tuple(regions))
        is_run = channels == list(range(channels[0], channels[-1] + 1))  # of which no copy is made
        stored = self._stored[slice(channels[0], channels[-1] + 1) if is_run else channels]
        moments = whole_moments(stored, segments.voxels, segments.starts, padding.astype(np.int16))
        if moments is None:
            return None
        n, mean, squares = np.moveaxis(moments, -1, 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            sd = np.abs(slopes)[:, None] * np.sqrt(squares / (n - 1))
        return {
            "mean": np.where(n > 0, slopes[:, None] * mean + intercepts[:, None], np.nan),
            "sd": np.where(n > 1, sd, np.nan),
            "n_valid": n,
        }

    def _of_some(
        self, rows: Sequence[int], regions: Sequence[int], names: Sequence[str]
    ) -> dict[str, NDArray[np.float64]]:
        there = self._segments(tuple(regions))
        self._need(rows)
        if self._is_whole:
            return statistics_of_segments(self._array, there, names, rows=rows)
        values = self._place.put(self._array[list(rows)])
        return statistics_of_segments(values, there, names)

    def _segments(self, regions: tuple[int, ...]) -> Segments:
        """Of regions, where they are computed; those of the last ones are kept."""
        if self._last_segments is None or self._last_segments[0] != regions:
            self._last_segments = None  # whose memory is needed
            segments = segments_of([self._gathered.voxels[region] for region in regions])
            there = Segments(self._place.put(segments.voxels), segments.starts)
            self._last_segments = regions, there
        return self._last_segments[1]

    def _curve(
        self,
        region: int,
        rows: Sequence[int],
        means: NDArray[np.float64],
        n_valid: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], int]:
        """Mean HU at each energy, and over how many voxels; one that is invalid at any energy is left out."""
        voxels = self._gathered.voxels[region]
        if (n_valid == voxels.size).all():
            return means, voxels.size
        self._need(rows)
        series = self._array[rows[0] : rows[-1] + 1]
        if self._is_whole:
            stack_hu = series[:, self._place.put(voxels)]
        else:
            stack_hu = self._place.put(series[:, voxels])
        curve_hu, _ = spectral_curve(stack_hu)
        xp = array_namespace(stack_hu)
        return curve_hu, int((~xp.isnan(stack_hu).any(axis=0)).sum())

    def _measured(self, region: int, prefix: str = "") -> Measured:
        voxels = self._gathered.voxels[region]
        return {
            parameter: self._host_row(row)[voxels]
            for parameter, row in self._rows.items()
            if parameter.name.startswith(prefix)
        }

    def _host_row(self, row: int) -> NDArray[np.float32]:
        """All of a row, on the host: that needs no room on the card."""
        self._need([row])
        if row not in self._host_rows:
            self._host_rows[row] = on_host(self._array[row])
        return self._host_rows[row]


def _rescale(part: Any, planes: list[list[Plane]], out: Any) -> None:
    """Every series by itself, as a slice of one energy and one map."""
    n_channels, n = part.shape
    slopes, intercepts, padding = (table[0] for table in _tables(planes))
    backend_for(part).linear_maps(
        part.reshape(n_channels, 1, n),
        slopes.astype(np.float32).reshape(-1, 1, 1),
        intercepts.astype(np.float32).reshape(-1, 1),
        out.reshape(n_channels, 1, n),
        padding=padding.reshape(-1, 1, 2),
    )


def _of(by_name: Mapping[str, NDArray[np.float64]], row: int, region: int) -> dict[str, float]:
    return {name: float(values[row, region]) for name, values in by_name.items()}


def _tables(channels: Sequence[Sequence[Plane]]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Slopes and intercepts (Z, C) and padding (Z, C, 2) of Z planes of C series."""
    tables = rescale_of(channels)
    return tables["slopes"], tables["intercepts"], padding_ranges(tables["padding"])


def _program(plan: MapPlan, channels: Sequence[Sequence[Plane]]) -> MapProgram:
    image = channels[0][0].format
    return compile_program(
        plan, (image.rows, image.columns), np.dtype(np.float32), **rescale_of(channels)
    )
