"""Voxels of regions gathered on a double of CuPy, from the chunks of a run of maps and from rows that go up for them alone.

The second half injects faults, one at a time; a right gathering passes every scenario, and none of the faults does.
"""

import threading
import time
from functools import partial

import numpy as np
import pytest

from gsigpu.errors import DeviceOutOfMemory
from gsigpu.maps.plan import plan_maps
from gsigpu.maps.registry import define_all
from gsigpu.pipeline.map import companion, stream_gpu
from gsigpu.pipeline.map.program import compile_program
from gsigpu.pipeline.map.stream import run_on_cpu
from gsigpu.pipeline.measure import processor, stored_voxels
from tests.support import host_cupy
from tests.support.mutants import mutated

RNG = np.random.default_rng(21)
N_SLICES, N_SERIES, PLANE = 9, 4, (6, 8)
ENERGIES = (60.0, 80.0, 100.0)
# Three series that maps need, in another order than they are measured in, and one that they do not.
CHANNELS, BESIDE = (2, 0, 3), 1
STUDY = RNG.integers(-1000, 2000, (N_SLICES, N_SERIES, *PLANE)).astype(np.int16)
# Slices without voxels, with a row of them, with all.
_CHOSEN = [np.sort(RNG.choice(48, n, replace=False)) for n in (0, 5, 48, 17, 1, 0, 0, 23, 9)]
STARTS = np.concatenate([[0], np.cumsum([len(of_slice) for of_slice in _CHOSEN])]).astype(np.int64)
INDICES = np.concatenate(_CHOSEN).astype(np.intp)
EXPECTED = np.concatenate(
    [STUDY[z].reshape(N_SERIES, -1)[:, of_slice] for z, of_slice in enumerate(_CHOSEN)], axis=1
)
# Of one series: rows of its planes from the first voxel to the last.
ROW_BYTES = [
    2 * 8 * (int(of_slice[-1] // 8) - int(of_slice[0] // 8) + 1)
    for of_slice in _CHOSEN
    if len(of_slice)
]
PROGRAM = compile_program(
    plan_maps(define_all(["lambda-hu", "iodine", "residual"]), ENERGIES),
    PLANE,
    np.dtype(np.int16),
    slopes=np.ones((N_SLICES, 3)),
    intercepts=np.zeros((N_SLICES, 3)),
    padding=[[None] * 3] * N_SLICES,
)


class Study:
    """Source, sink and companion of a run of maps, whose voxels go to `stored`."""

    def __init__(self, stored, *, source=companion.SharedSource):
        self.stored, self.keys = stored, [object() for _ in CHANNELS]
        self.channel_of = dict(zip(map(id, self.keys), CHANNELS, strict=True))
        self.source = source(self._Reader(), self.keys, self)
        self.lock, self.n_slices_up = threading.Lock(), 0

    class _Reader:
        def read(self, z, out):
            time.sleep(0.001)
            out[...] = STUDY[z, list(CHANNELS)]

    def take(self, z, planes, *, goes_up=False):
        by_channel = {BESIDE: STUDY[z, BESIDE]}
        if not (goes_up and self.stored.gathers_on_card):
            by_channel |= {self.channel_of[key]: plane for key, plane in planes.items()}
        self.stored.take(z, by_channel)

    def take_uploaded(self, first, planes, stream):
        self.n_slices_up += len(next(iter(planes.values()))[0])
        by_channel = {self.channel_of[key]: pair for key, pair in planes.items()}
        self.stored.take_uploaded(first, by_channel, stream)

    def write(self, z, planes):
        time.sleep(0.001)


def begun(backend="gpu", *, modules=(stored_voxels, processor)):
    """Voxels and their processor."""
    voxels, processors = modules
    where = processors.Processor(backend)
    return voxels.StoredVoxels(N_SERIES, STARTS, INDICES, processor=where, n_rows=7), where


def right(stored, where):
    """All values, wherever they lie and through whichever door they are looked at."""
    np.testing.assert_array_equal(stored.channel(2), EXPECTED[2])
    there = where.run(stored.at)
    np.testing.assert_array_equal(there.get() if where.name == "gpu" else there, EXPECTED)
    np.testing.assert_array_equal(stored.channel(BESIDE), EXPECTED[BESIDE])


# Scenarios


def _with_maps(patch, modules, flow, source, *, late=False, fail_at=(), seed=0):
    """Chunks of two slices in three slots, four times round."""
    cupy = host_cupy.install(patch, late=late, delayed_share=0.6, delay_s=0.003, seed=seed)
    patch.setattr(stream_gpu, "CupyDevice", flow.CupyDevice)
    stored, where = begun(modules=modules)
    cupy.card.fail_at = {cupy.card.n_allocations + n for n in fail_at}
    study = Study(stored, source=source)
    report = flow.run_on_gpu(PROGRAM, study.source, study, n_workers=3, chunk_slices=2)
    assert study.n_slices_up >= N_SLICES
    assert report.slab_slices == (1 if fail_at else 2)
    right(stored, where)
    assert where.name == "gpu"
    n_chunks, n_beside = 5, len(ROW_BYTES)
    if not fail_at:  # what goes up with the maps goes up once
        n_gatherings = n_chunks * len(CHANNELS) + n_beside
        assert cupy.card.launches.count("gather_voxels") == n_gatherings
    stored.close()
    cupy.card.check()


def _alone(patch, modules, flow, _source, *, seed=1):
    """`measure`: rows of every series go up, from several threads."""
    cupy = host_cupy.install(patch, delayed_share=0.6, delay_s=0.002, seed=seed)
    patch.setattr(stream_gpu, "CupyDevice", flow.CupyDevice)
    stored, where = begun(modules=modules)
    buffers = [np.empty(STUDY.shape[1:], np.int16) for _ in range(2)]

    def some(k):
        for z in range(k, N_SLICES, 2):
            buffers[k][...] = STUDY[z]  # a thread's buffers are those of its next slice
            stored.take(z, dict(enumerate(buffers[k])))

    threads = [threading.Thread(target=some, args=(k,)) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    went_up = sorted(n for direction, n, _ in cupy.card.copies if direction == "in")
    assert went_up == sorted([STARTS.nbytes, 4 * INDICES.size, *ROW_BYTES * N_SERIES])
    right(stored, where)
    stored.close()
    cupy.card.check()


def _leaves_in_the_middle(patch, modules, flow, source):
    """Memory runs out for the rows of a slice while maps are at work: what is there comes to the host, the rest goes there."""
    cupy = host_cupy.install(patch, delayed_share=0.6, delay_s=0.003, seed=5)
    patch.setattr(stream_gpu, "CupyDevice", flow.CupyDevice)
    stored, where = begun("auto", modules=modules)
    put, held = flow.CupyDevice.array, []

    def array(self, host):
        if np.array_equal(host.ravel(), STUDY[3, BESIDE].ravel()[: host.size]):
            raise cupy.cuda.memory.OutOfMemoryError(host.nbytes, 0)
        return put(self, host)

    patch.setattr(flow.CupyDevice, "array", array)
    patch.setattr(flow.CupyDevice, "give_back", lambda _self: held.append(stored.gathers_on_card))
    study = Study(stored, source=source)
    flow.run_on_gpu(PROGRAM, study.source, study, n_workers=3, chunk_slices=2)
    assert study.n_slices_up == N_SLICES
    assert held[0] is False, "memory goes back while the voxels keep it"
    right(stored, where)
    assert where.name == "cpu"
    (note,) = where.notes
    assert note.endswith("measured on the CPU")
    assert {kind.any() for kind in (stored._is_on_card, stored._is_on_host)} == {True}
    cupy.card.check()


def _others_are_still_there(patch, modules, flow, _source):
    """Memory runs out for one thread, which goes on on the host while another is at work on the card."""
    cupy = host_cupy.install(patch)
    patch.setattr(stream_gpu, "CupyDevice", flow.CupyDevice)
    stored, where = begun("auto", modules=modules)
    put, is_there, is_taken = flow.CupyDevice.array, threading.Event(), threading.Event()

    def array(self, host):
        if np.array_equal(host.ravel(), STUDY[2, 0].ravel()):
            is_there.set()
            is_taken.wait(10)
        elif np.array_equal(host.ravel()[-8:], STUDY[3, 0].ravel()[-8:]):
            is_there.wait(10)
            raise cupy.cuda.memory.OutOfMemoryError(host.nbytes, 0)
        return put(self, host)

    patch.setattr(flow.CupyDevice, "array", array)
    thread = threading.Thread(target=stored.take, args=(2, dict(enumerate(STUDY[2]))))
    thread.start()
    stored.take(3, dict(enumerate(STUDY[3])))
    is_taken.set()
    thread.join()
    for z in (1, *range(4, N_SLICES)):
        stored.take(z, dict(enumerate(STUDY[z])))
    right(stored, where)
    cupy.card.check()


def _looked_at_at_once(patch, modules, flow, _source):
    """Nobody has waited for the stream that brought the planes."""
    cupy = host_cupy.install(patch, late=True)
    patch.setattr(stream_gpu, "CupyDevice", flow.CupyDevice)
    stored, where = begun(modules=modules)
    stream = flow.CupyDevice().stream()
    with stream:
        there = cupy.asarray(STUDY.reshape(N_SLICES, N_SERIES, -1))
    planes = {c: (STUDY[:, c], there[:, c]) for c in range(N_SERIES)}
    stored.take_uploaded(0, planes, stream)
    right(stored, where)
    stored.close()
    again, _ = begun(modules=modules)
    again.take_uploaded(0, planes, stream)
    again.leave()
    np.testing.assert_array_equal(where.run(again.at), EXPECTED)
    cupy.card.check()


SCENARIOS = (
    _looked_at_at_once,
    _with_maps,
    partial(_with_maps, late=True, seed=2),
    partial(_with_maps, fail_at=(20,), seed=3),
    _alone,
    _leaves_in_the_middle,
    _others_are_still_there,
)


def run_scenarios(
    monkeypatch,
    modules=(stored_voxels, processor),
    flow=stream_gpu,
    source=companion.SharedSource,
    scenarios=SCENARIOS,
):
    for scenario in scenarios:
        with monkeypatch.context() as patch:
            scenario(patch, modules, flow, source)


def test_voxels_are_the_studys_wherever_they_are_gathered(monkeypatch):
    run_scenarios(monkeypatch)


def test_memory_may_run_out_at_any_allocation(monkeypatch):
    """In a run of maps too: of its own memory the flow makes smaller chunks, and at the end the CPU finishes."""

    def run(fail_at, backend="auto"):
        with monkeypatch.context() as patch:
            cupy = host_cupy.install(patch, delayed_share=0.0)
            cupy.card.fail_at = set(fail_at)
            stored, where = begun(backend)
            study = Study(stored)
            stream_gpu.run_on_gpu_or_cpu(PROGRAM, study.source, study, n_workers=2, chunk_slices=2)
            right(stored, where)
            stored.close()
            cupy.card.check()
            return cupy.card.n_allocations, where

    n_allocations, where = run(())
    assert where.name == "gpu"
    assert n_allocations > 40
    names = [run({n})[1].name for n in (*range(8), *range(8, n_allocations, n_allocations // 4))]
    assert set(names) == {"cpu", "gpu"}
    assert run(range(8, 1000))[1].name == "cpu"
    with pytest.raises(DeviceOutOfMemory, match="no room for the voxels of the regions"):
        run({3}, "gpu")


def test_without_room_for_what_is_computed_from_them_voxels_are_gathered_on_the_host(monkeypatch):
    cupy = host_cupy.install(monkeypatch, room=30_000)
    stored, where = begun()
    assert not stored.gathers_on_card
    study = Study(stored)
    run_on_cpu(PROGRAM, study.source, study, n_workers=2)
    assert (where.name, where.notes) == ("gpu", [])
    np.testing.assert_array_equal(where.run(stored.at), EXPECTED)
    assert "gather_voxels" not in cupy.card.launches
    assert repr(stored) == "StoredVoxels(4 series, 103 voxels, host)"


def test_what_is_closed_leaves_nothing_on_the_card(monkeypatch):
    cupy = host_cupy.install(monkeypatch)
    stored, _ = begun()
    assert repr(stored) == "StoredVoxels(4 series, 103 voxels, card)"
    assert cupy.card.live["device"] > 2 * EXPECTED.size
    stored.close()
    cupy.card.synchronize_all()
    cupy.empty(1)  # memory is counted when the next is asked for
    assert cupy.card.live["device"] <= 512


# Faults

_WAITS = "        self._device.wait_for(self._last, stream)\n"
_RECORDS = "            stream,\n        )\n        self._last = self._device.record(stream)\n"
_THERE = "            self.observer.is_there(start, slot.host_in[:n], stored, slot.stream)\n"
_COPY_IN = "        device.copy_in(slot.host_in[:n], slot.device_in[:n], slot.stream)\n"
_IS_THERE = (
    "        stored = slot.device_in[:n].reshape(n, program.n_energies, -1)\n"
    f"        if self.observer is not None:\n{_THERE}"
)
_GATHERS = "        with stream:\n            self._gpu.gather_voxels"
MUTATIONS = {
    "streams do not wait for each other": ("voxels", _WAITS, ""),
    "the last gathering is not remembered": ("voxels", _RECORDS, "            stream,\n        )\n"),
    "nobody waits for the last gathering": ("voxels", "        self._last.synchronize()\n", "        return\n"),
    "columns of the first slices": ("voxels", "self._starts[first : first + len(planes) + 1]", "self._starts[: len(planes) + 1]"),
    "every series is the first": ("voxels", "self.stored[series],\n            origin", "self.stored[0],\n            origin"),
    "rows begin with the plane": ("voxels", "origin = rows.start * plane.shape[1]", "origin = 0"),
    "whole planes are thought to go up": ("voxels", "place.put(plane[rows])", "place.put(plane[: rows.stop - rows.start])"),
    "a thread's stream is not that of its rows": ("voxels", "there, place.stream(),", "there, stream_of_its_own(),"),
    "what is there is left there": ("voxels", "                host[series, columns] = stored[series, columns]\n", "                pass\n"),
    "all that is there comes back": ("voxels", "for series, z in np.argwhere(self._is_on_card):", "for series, z in np.ndindex(self._is_on_card.shape):"),
    "slices that missed the card are lost": ("voxels", "if not self._is_on_host[series, first + i]:", "if self._is_on_host[series, first + i]:"),
    "one slice of a chunk": ("voxels", "first : first + len(planes)] = True", "first] = True"),
    "voxels keep the card's memory": ("processor", "                    resident.leave()\n", "                    pass\n"),
    "gathered on a stream of its own": ("flow", _GATHERS, _GATHERS.replace("stream:", "self.stream():", 1)),
    "gathered on the default stream": ("flow", _GATHERS, _GATHERS.replace("with", "if", 1)),
    "zeros come after the voxels": ("flow", "        return self._cupy.zeros(", "        with self.stream():\n            return self._cupy.zeros("),
    "an event of another stream": ("flow", "stream.record(self", "self.stream().record(self"),
    "the wait is another stream's": ("flow", "        stream.wait_event(event)", "        self.stream().wait_event(event)"),
    "gathered before the planes are there": ("flow", _COPY_IN + _IS_THERE, _IS_THERE + _COPY_IN),
    "gathered beside the slot's stream": ("flow", _THERE, _THERE.replace("slot.stream", "device.stream()")),
    "nobody is told that slices are there": ("flow", _THERE, "            pass\n"),
    "slices of the chunk before": ("flow", _THERE, _THERE.replace("start,", "max(start - 2, 0),")),
    "planes of the first series": ("source", "stored[:, e]", "stored[:, 0]"),
    "read as if it stayed": ("source", ", goes_up=True", ""),
}  # fmt: skip


@pytest.mark.parametrize("fault", MUTATIONS)
def test_no_fault_survives(monkeypatch, fault):
    where, before, after = MUTATIONS[fault]
    voxels = mutated(stored_voxels, before, after) if where == "voxels" else stored_voxels
    voxels.__dict__["stream_of_its_own"] = lambda: stream_gpu.CupyDevice().stream()
    processors = mutated(processor, before, after) if where == "processor" else processor
    flow = mutated(stream_gpu, before, after) if where == "flow" else stream_gpu
    source = mutated(companion, before, after) if where == "source" else companion
    with pytest.raises(BaseException) as caught:  # noqa: PT011  # whatever a card's user would have seen
        run_scenarios(monkeypatch, (voxels, processors), flow, source.SharedSource)
    assert not isinstance(caught.value, SyntaxError | NameError | KeyboardInterrupt), caught.value
