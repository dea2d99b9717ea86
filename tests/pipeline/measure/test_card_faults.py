"""Measuring on a double of CuPy: no injected fault survives, memory may run out anywhere, and a share of a card is kept."""

import itertools
from functools import partial
from importlib import import_module

import numpy as np
import pytest

import gsigpu
from gsigpu import backends
from gsigpu.backends.device import SHARE_VARIABLE
from gsigpu.dicom.study.read_study import read_study
from gsigpu.errors import DeviceOutOfMemory
from gsigpu.phantom import PhantomSettings, write_phantom
from gsigpu.pipeline.map import chunk_size, stream_gpu
from gsigpu.pipeline.measure import map_companion, processor, region_numbers, stored_voxels
from gsigpu.pipeline.measure import measure_study as measuring
from gsigpu.pipeline.measure.given_masks import MaskFiles
from gsigpu.pipeline.measure.measurement import MeasureSettings
from gsigpu.pipeline.measure.parameters import ParameterSettings
from gsigpu.regions.region_layout import RegionSettings
from tests.support import host_cupy
from tests.support.mutants import mutated

SETTINGS = MeasureSettings(
    ParameterSettings(maps=("iodine", "residual", "sigma-iodine")),
    RegionSettings(regions=("rim", "core", "parenchyma", "profile")),
)


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """A study, its masks, and what the CPU measures."""
    settings = PhantomSettings(
        shape=(6, 40, 48),
        spacing_mm=(8.0, 5.0, 5.0),
        n_lesions=1,
        diameter_mm=(26.0, 30.0),
        phases=("PVP",),
        energies_kev=(60.0, 70.0, 100.0),
        seed=8,
    )
    truth = write_phantom(tmp_path_factory.mktemp("faults") / "phantom", settings)
    study = read_study(truth.dicom_folder)
    # The last slices have a rescale of their own: a run of equal tables each.
    for series in study.series:
        for plane in series.planes[3:]:
            object.__setattr__(plane, "intercept", plane.intercept - 10.0)
            if (
                series.energy_kev == 70.0
            ):  # some voxels have no value at one energy, and leave the curve
                object.__setattr__(plane, "padding", (40, 60))
    masks = MaskFiles((truth.lesion_mask,), liver=truth.liver_mask)
    on_cpu = measuring.measure_study(study, masks, settings=SETTINGS, backend="cpu")
    assert len(on_cpu.layout.regions) > 8
    return study, masks, on_cpu


def measured(patch, case, fault=None, *, backend="gpu", share=1, fail_at=(), **card):
    """(card, measurement) on a double with these settings, with a fault in one of the modules."""
    study, masks, _ = case
    cupy = host_cupy.install(patch, **card)
    cupy.card.fail_at = set(fail_at)
    patch.setenv(SHARE_VARIABLE, str(share))
    if fault is not None:
        inject(patch, *fault)
    measurement = measuring.measure_study(
        study, masks, settings=SETTINGS, backend=backend, n_workers=1
    )
    cupy.card.check()
    return cupy.card, measurement


def inject(patch, name, before, after):
    if name == "gpu":
        mutant = mutated(import_module("gsigpu.backends.gpu"), before, after)
        patch.setitem(import_module("sys").modules, "gsigpu.backends.gpu", mutant)
        patch.setattr(backends, "gpu", mutant)
    elif name == "device":
        mutant = mutated(stream_gpu, before, after)
        patch.setattr(stream_gpu, "CupyDevice", mutant.CupyDevice)
    elif name == "processor":
        mutant = mutated(processor, before, after)
        patch.setattr(measuring, "Processor", mutant.Processor)
        patch.setattr(map_companion, "Processor", mutant.Processor)
    else:
        mutant = mutated(region_numbers, before, after)
        patch.setattr(measuring, "region_numbers", mutant.region_numbers)
        patch.setattr(measuring, "around_maps", mutant.around_maps)


def require_right(measurement, case, backend="gpu"):
    *_, on_cpu = case
    assert measurement.backend == backend
    for ours, theirs in zip(measurement.layout.regions, on_cpu.layout.regions, strict=True):
        np.testing.assert_array_equal(ours.mask.voxels, theirs.mask.voxels)
    for ours, theirs in zip(measurement.layout.lesions, on_cpu.layout.lesions, strict=True):
        assert (ours.rim_mm, ours.largest_depth_mm) == (theirs.rim_mm, theirs.largest_depth_mm)
    assert [row.value for row in measurement.rows] == pytest.approx(
        [row.value for row in on_cpu.rows], nan_ok=True, rel=1e-4, abs=1e-3
    )


# Scenarios: a right measurement passes all of them.


def _all_at_once(patch, case, fault):
    card, measurement = measured(patch, case, fault, late=True)
    require_right(measurement, case)
    assert card.launches.count("distance_transform") > 3


def _in_pieces(patch, case, fault):
    """A quarter of a card that has room for some slices, some rows and some regions at a time."""
    card, measurement = measured(patch, case, fault, room=ROOM, share=4, delay_s=0.0005)
    require_right(measurement, case)
    assert card.peak["device"] <= ROOM / 4
    assert card.launches.count("segment_moments") > 20
    assert card.launches.count("linear_maps") > 10


def _memory_runs_out(patch, case, fault, number=150):
    """In the middle; as memory goes back nothing holds it, and the CPU finishes."""
    held = []
    with patch.context() as inner:
        cupy = host_cupy.install(inner)
        pool = type(cupy.get_default_memory_pool())
        free = pool.free_all_blocks

        def release(self, stream=None):
            free(self, stream)
            held.append(self.total_bytes())

        inner.setattr(pool, "free_all_blocks", release)
        _, measurement = measured(inner, case, fault, backend="auto", fail_at={number})
    require_right(measurement, case, "cpu")
    assert held == [0], "bytes that the pool still holds"
    (note,) = [warning for warning in measurement.warnings if "no room" in warning]
    assert note.endswith("measured on the CPU")


def _one_pass(patch, case, fault):
    """Along with maps, whose slots and threads are at work when memory runs out for a map of whole planes."""
    study, masks, _ = case
    patch.setattr(
        chunk_size, "_CHUNK_BYTES", 1
    )  # two slices at a time, so that reading goes on beside the card
    for seed, gathers_there in enumerate((False, True)):
        with patch.context() as inner:
            if not gathers_there:
                inner.setattr(stored_voxels, "fits_at_once", lambda *_sizes: False)
            cupy = host_cupy.install(inner, delayed_share=0.5, delay_s=0.004, seed=seed)
            if fault is not None:
                inject(inner, *fault)
            _fail_in_slice(inner, cupy, 5)
            result = gsigpu.map(
                study,
                maps=("lambda-hu", "sigma-iodine"),
                masks=masks,
                settings=SETTINGS,
                n_workers=2,
                backend="auto",
            )
            cupy.card.check()
        assert result.report.backend == "gpu"
        require_right(result.measurement, case, "cpu")
        assert sum("no room" in warning for warning in result.warnings) == 1


def _fail_in_slice(patch, cupy, number):
    """Memory runs out where the n-th array of three axes goes up: first the lesion's box, then the planes of slices."""
    put, counted = stream_gpu.CupyDevice.array, itertools.count(1)

    def array(self, host):
        if host.ndim == 3 and next(counted) == number:
            raise cupy.cuda.memory.OutOfMemoryError(host.nbytes, 0)
        return put(self, host)

    patch.setattr(stream_gpu.CupyDevice, "array", array)


ROOM = 1_400_000
SCENARIOS = {
    "all": _all_at_once,
    "pieces": _in_pieces,
    "memory": _memory_runs_out,
    "memory for distances": partial(_memory_runs_out, number=6),
    "one pass": _one_pass,
}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_scenarios_pass_without_a_fault(case, monkeypatch, scenario):
    SCENARIOS[scenario](monkeypatch, case, None)


def test_memory_may_run_out_at_any_allocation(case, monkeypatch):
    """`auto` finishes on the CPU and says so; `gpu` is one error."""
    with monkeypatch.context() as patch:
        n_allocations = measured(patch, case, delayed_share=0.0)[0].n_allocations
    for number in range(0, n_allocations, n_allocations // 6):
        with monkeypatch.context() as patch:
            settings = {"fail_at": {number}, "delayed_share": 0.0}
            _, measurement = measured(patch, case, backend="auto", **settings)
            require_right(measurement, case, "cpu")
            assert sum("on the CPU" in warning for warning in measurement.warnings) == 1
    with monkeypatch.context() as patch, pytest.raises(DeviceOutOfMemory, match="no room"):
        measured(patch, case, fail_at={n_allocations // 2}, delayed_share=0.0)


_ON_ANOTHER = "with cupy.cuda.Stream(non_blocking=True):\n"
MUTATIONS = {
    "an axis reads what it writes": (
        "all", "gpu", "kernel((blocks,), (_THREADS,), (squared, other,", "kernel((blocks,), (_THREADS,), (squared, squared,",
    ),
    "every axis begins anew": ("all", "gpu", "        squared, other = other, squared\n", ""),
    "an axis on a stream of its own": (
        "all", "gpu", "        kernel((blocks,), (_THREADS,), (squared,",
        f"        {_ON_ANOTHER}            kernel((blocks,), (_THREADS,), (squared,",
    ),
    "steps of the axes in another order": ("all", "gpu", "in enumerate(spacing_mm,", "in enumerate(spacing_mm[::-1],"),
    "moments on a stream of their own": (
        "all", "gpu", "    kernel(\n        (n_segments, n_rows),", f"    {_ON_ANOTHER}      kernel(\n        (n_segments, n_rows),",
    ),
    "moments that nobody waits for": ("all", "gpu", "sums.sum(axis=2).get()", "sums.sum(axis=2).get(blocking=False)"),
    "keys are sorted on a stream of their own": ("all", "gpu", "        keys.sort()\n", f"        {_ON_ANOTHER}            keys.sort()\n"),
    "keys without their segment": ("all", "gpu", "segments | _flipped", "_flipped"),
    "bins without their segment": ("all", "gpu", "segments * n_bins + bins,", "bins,"),
    "columns of a run begin at the first": ("all", "numbers", "slice(int(gathered.starts[first]),", "slice(0,"),
    "tables of the first slice for all": ("all", "numbers", "planes[gathered.slices[first]]", "planes[gathered.slices[0]]"),
    "what is computed stays on the card": ("pieces", "numbers", "values if self._is_whole else on_host(values)", "values"),
    "stored voxels stay on the host": ("pieces", "numbers", "part if self._is_whole else self._place.put(part)", "part"),
    "statistics of the first rows": ("pieces", "numbers", "rows[a:b]", "rows[: b - a]"),
    "statistics of the first regions": ("pieces", "numbers", "regions[c:d]", "regions[: d - c]"),
    "the share is not looked at": ("pieces", "processor", " / n_sharing())", ")"),
    "arrays go up on a stream of their own": (
        "all", "processor", "        return self._device.array(array)",
        "        with self._device.stream():\n            return self._device.array(array)",
    ),
    "the exception keeps the memory": ("memory", "processor", "        return [], (str(error)", "        _attempt.kept = error\n        return [], (str(error)"),
    "memory is not given back": ("memory", "processor", "CupyDevice().give_back()", "CupyDevice()"),
    "memory goes back while it is used": ("memory for distances", "device", "        stream.synchronize()\n        self._cupy.get", "        self._cupy.get"),
    "memory goes back while others are at work": ("one pass", "processor", "if self._ran_out and not self._n_on_card:", "if self._ran_out:"),
    "memory of other streams goes back": ("one pass", "device", "free_all_blocks(stream=stream)", "free_all_blocks()"),
    "the card is tried again": (
        "memory", "processor", '                self.name = "cpu"\n', "                self.notes.clear()\n",
    ),
    "another error": ("memory", "processor", "not device.is_out_of_memory(error)", "True"),
}  # fmt: skip


@pytest.mark.parametrize("fault", MUTATIONS)
def test_no_fault_survives(case, monkeypatch, fault):
    scenario, *of_module = MUTATIONS[fault]
    with pytest.raises(BaseException) as caught:  # noqa: PT011  # whatever a card's user would have seen
        SCENARIOS[scenario](monkeypatch, case, of_module)
    assert not isinstance(caught.value, SyntaxError | NameError | KeyboardInterrupt), caught.value
