"""The flow on a card: memory that runs out anywhere, and faults of ordering that a test must see.

The second half injects faults into a copy of `stream_gpu.py`, one at a time. Each is of a kind that gives wrong voxels on
a card now and then. A fault that no scenario notices is a gap in the scenarios or in the double.
"""

import random
import threading
import time
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from gsigpu.backends.device import SHARE_VARIABLE
from gsigpu.errors import BackendError, DeviceOutOfMemory
from gsigpu.maps.plan import maps_of_hu, plan_maps
from gsigpu.maps.registry import define_all
from gsigpu.pipeline.map import auto_choice, stream_gpu
from gsigpu.pipeline.map.program import Block, MapProgram, compile_program
from gsigpu.pipeline.map.run_program import run_program
from gsigpu.pipeline.map.stream import run_on_cpu
from tests.support import host_cupy
from tests.support.mutants import mutated

ENERGIES = (40.0, 60.0, 80.0, 100.0)
N_SLICES, PLANE = 9, (5, 8)
NAMES = ["residual", "lambda-hu", "iodine", "zeff"]
RNG = np.random.default_rng(12)
SLOPES = RNG.uniform(0.5, 1.5, (N_SLICES, 4))
INTERCEPTS = RNG.uniform(-1030, -1000, (N_SLICES, 4))
STORED = RNG.integers(950, 1300, (N_SLICES, 4, *PLANE)).astype(np.int16)
STORED[2, 1, 0, 0] = STORED[7, 3, 4, 7] = 2000
PADDING = [[(2000, 2000) if z in (2, 7) else None] * 4 for z in range(N_SLICES)]


def program_for(dtype, names=NAMES):
    plan = plan_maps(define_all(names), ENERGIES)
    return compile_program(
        plan, PLANE, np.dtype(dtype), slopes=SLOPES, intercepts=INTERCEPTS, padding=PADDING
    )


class Arrays:
    """Source and sink in memory, each call after a moment, the writing of the first slice after `stall_s`."""

    def __init__(self, *, fail_write=None, slow_s=0.002, stall_s=0.0, first_read_s=0.0):
        self.fail_write, self.slow_s, self.stall_s = fail_write, slow_s, stall_s
        self.first_read_s, self.was_read = first_read_s, set()
        self.written, self.lock, self.random = {}, threading.Lock(), random.Random(1)
        self.n_reading = 0

    def read(self, z, out):
        with self.lock:
            self.n_reading += 1
            is_first = z not in self.was_read
            self.was_read.add(z)
        time.sleep(self.slow_s * self.random.random() + self.first_read_s * is_first)
        out[:] = STORED[z]
        with self.lock:
            self.n_reading -= 1

    def write(self, z, planes):
        time.sleep(self.slow_s * self.random.random() + self.stall_s * (z == 0))
        if z == self.fail_write:
            raise OSError(f"write {z}")
        with self.lock:
            assert z not in self.written, "a slice was written twice"
            self.written[z] = [np.array(plane) for plane in planes]


def reference(dtype):
    arrays = Arrays(slow_s=0)
    report = run_on_cpu(program_for(dtype), arrays, arrays, n_workers=1)
    return arrays.written, report.n_clipped


REFERENCE = {dtype: reference(dtype) for dtype in (np.int16, np.float32)}


def require_right(arrays, report, dtype, names=NAMES):
    """The CPU's maps up to float32's last bits, or to a step where these fall on a tie; its counts."""
    written, n_clipped = REFERENCE[dtype]
    order = [NAMES.index(name) for name in names]
    assert sorted(arrays.written) == list(range(N_SLICES))
    for z, planes in written.items():
        for i, other in zip(order, arrays.written[z], strict=True):
            if dtype == np.int16:
                assert np.abs(planes[i].astype(int) - other).max() <= 1
            else:
                np.testing.assert_allclose(other, planes[i], rtol=1e-3, atol=5e-3)
    np.testing.assert_allclose(report.n_clipped, n_clipped[order], atol=1)


def on_the_double(monkeypatch, run, *, dtype, workers=3, chunk=2, arrays=None, **settings):
    """One run; returns the module `cupy` and the arrays, after all checks."""
    cupy = host_cupy.install(monkeypatch, delayed_share=0.3, **settings)
    arrays = arrays or Arrays()
    report = run(program_for(dtype), arrays, arrays, n_workers=workers, chunk_slices=chunk)
    cupy.card.check()
    require_right(arrays, report, dtype)
    return cupy, report


@pytest.mark.parametrize("late", [True, False])
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_the_maps_are_those_of_the_cpu(monkeypatch, dtype, late):
    cupy, report = on_the_double(monkeypatch, stream_gpu.run_on_gpu, dtype=dtype, late=late)
    assert report.n_clipped.sum() > 0 or dtype == np.float32
    assert (
        cupy.card.launches.count("linear_maps") == 2 * N_SLICES
    )  # each slice has a rescale of its own


def test_tables_are_parameters_and_nothing_else_goes_up(monkeypatch):
    """Slices that share their rescale take one launch per chunk; the only copies up are the slices."""
    cupy = host_cupy.install(monkeypatch)
    plan = plan_maps(define_all(["lambda-hu", "iodine"]), ENERGIES)
    same = np.ones((N_SLICES, 4))
    program = compile_program(
        plan, PLANE, np.dtype(np.int16), slopes=same, intercepts=-1024 * same, padding=[[None] * 4] * N_SLICES
    )  # fmt: skip
    arrays = Arrays(slow_s=0)
    stream_gpu.run_on_gpu(program, arrays, arrays, chunk_slices=3)
    assert cupy.card.launches == ["linear_maps"] * 3
    up = [n_bytes for direction, n_bytes, _ in cupy.card.copies if direction == "in"]
    assert up == [STORED[:3].nbytes] * 3


def test_all_nonlinear_maps_run_on_a_card(monkeypatch):
    """Zeff, residual and the sigma maps, quantised, on planes wide enough for their tiles."""
    from gsigpu.maps.local_noise import local_noise_sd, measure_grain
    from gsigpu.maps.quantise import quantise

    cupy = host_cupy.install(monkeypatch, late=True)
    hu = np.stack([RNG.normal(60 + 1000 / kev, 9, (64, 80)) for kev in ENERGIES]).astype(np.float32)
    hu[:, :5] = np.nan
    grain = measure_grain(RNG.normal(size=(3, 160, 160)))
    values = RNG.normal(0, 2000, 500).astype(np.float32)
    values[::7] = np.nan
    stored, n_clipped = quantise(values, 0.1)
    on_card, n_on_card = quantise(cupy.asarray(values), 0.1)
    np.testing.assert_array_equal(on_card.get(), stored)
    assert int(n_on_card) == n_clipped
    np.testing.assert_allclose(
        local_noise_sd(cupy.asarray(hu[1]), grain).get(), local_noise_sd(hu[1], grain), rtol=1e-5
    )
    plan = plan_maps(define_all(["zeff", "residual"]), ENERGIES)
    expected = maps_of_hu(plan, hu[:, None])
    rows = np.einsum("ke,eyx->kyx", plan.nonlinear.weights, hu.astype(float))
    rows += plan.nonlinear.offsets[:, None, None]
    for step in plan.nonlinear_steps:
        plane = step.combine(cupy.asarray(rows[step.first : step.last].astype(np.float32)))
        np.testing.assert_allclose(
            plane.get(), expected[step.definition.name][0], rtol=2e-4, atol=1e-3
        )
    cupy.card.check()


# Memory


def test_memory_may_run_out_at_any_allocation(monkeypatch):
    """The run goes on behind what is done, every slice is written once, and nothing queued is cut off."""
    names = ["iodine", "zeff"]  # a linear and a nonlinear one, of all energies

    def run(fail_at, **settings):
        with monkeypatch.context() as patch:
            card = host_cupy.install(patch, delayed_share=0.1, **settings).card
            card.fail_at = fail_at
            arrays = Arrays(slow_s=0)
            program = program_for(np.int16, names)
            report = stream_gpu.run_on_gpu(program, arrays, arrays, chunk_slices=2)
            card.check()
            require_right(arrays, report, np.int16, names)
        return card.n_allocations, report.slab_slices

    n_allocations, _ = run(set())
    assert n_allocations > 150
    for n in [*range(15), *range(15, n_allocations, 61)]:
        _, slab_slices = run({n}, late=n % 2 == 0)
        assert slab_slices == 1


def test_a_small_card_gets_smaller_chunks_and_has_all_its_memory_for_them(monkeypatch):
    cupy = host_cupy.install(monkeypatch, room=6656)
    arrays = Arrays(slow_s=0)
    program = program_for(np.int16, ["lambda-hu", "iodine"])
    report = stream_gpu.run_on_gpu(program, arrays, arrays, chunk_slices=9)
    assert report.slab_slices == 2
    assert sorted(arrays.written) == list(range(N_SLICES))
    cupy.card.check()


@pytest.mark.parametrize("memory", ["room", "pinned_room"])
def test_a_card_without_room_is_an_error_for_gpu_and_a_warning_for_auto(monkeypatch, memory):
    cupy = host_cupy.install(monkeypatch, **{memory: 1024})
    arrays = Arrays(slow_s=0)
    options = {"processor": "gpu", "n_workers": 2}
    with pytest.raises(
        DeviceOutOfMemory, match="no room for three single slices of 4 energies"
    ) as told:
        run_program(program_for(np.int16), arrays, arrays, backend="gpu", **options)
    assert "--backend cpu" in told.value.remedy
    report, notes = run_program(program_for(np.int16), arrays, arrays, backend="auto", **options)
    assert report.backend == "cpu"
    assert len(notes) == 1
    assert "all slices were computed on the CPU" in notes[0]
    require_right(arrays, report, np.int16)
    cupy.card.check()


def test_memory_that_another_program_takes_in_mid_run_leaves_the_rest_to_the_cpu(monkeypatch):
    cupy = host_cupy.install(monkeypatch)
    cupy.card.fail_at = set(range(150, 100_000))
    arrays = Arrays(slow_s=0)
    seen = []
    report, note = stream_gpu.run_on_gpu_or_cpu(
        program_for(np.int16), arrays, arrays, chunk_slices=1, progress=lambda n, of: seen.append((n, of))
    )  # fmt: skip
    assert report.backend == "gpu"
    assert "to 9 were computed on the CPU" in note
    assert seen == [(n, N_SLICES) for n in range(1, N_SLICES + 1)]
    require_right(arrays, report, np.int16)


def test_processes_that_share_a_card_take_a_quarter_of_it_together(monkeypatch):
    """Each of n takes an n-th of what it would take alone; chunks, and what lies on the card, follow."""
    program = program_for(np.int16, ["lambda-hu", "iodine"])
    peaks = {}
    for n in (1, 2, 6):
        with monkeypatch.context() as patch:
            cupy = host_cupy.install(patch, room=60_000)
            patch.setenv(SHARE_VARIABLE, str(n))
            arrays, peak = Arrays(slow_s=0), []
            read = arrays.read

            def watched(z, out, read=read, peak=peak, card=cupy.card):
                peak.append(card.used("device"))
                read(z, out)

            arrays.read = watched
            report = stream_gpu.run_on_gpu(program, arrays, arrays, n_workers=9)
            cupy.card.check()
            peaks[n] = (report.slab_slices, max(peak))
    assert [slices for slices, _ in peaks.values()] == [9, 5, 1]
    for n, (_, peak) in peaks.items():
        # of each chunk's three buffers the pool rounds up to 512 bytes, and the counts take some
        assert peak <= 60_000 / 4 / n + 3 * 4 * 512


@pytest.mark.parametrize(
    ("left", "backend"), [(10_000, "gpu"), (1000, "cpu")], ids=["little", "nothing"]
)
def test_a_neighbour_takes_the_card_between_the_look_and_the_allocation(monkeypatch, left, backend):
    """Another process of the run; chunks get smaller, and with no room at all `auto` goes on and says so."""
    cupy = host_cupy.install(monkeypatch, room=1 << 20)

    class Taken(stream_gpu.CupyDevice):
        def free_bytes(self):
            free = super().free_bytes()
            cupy.card.taken = (1 << 20) - left
            return free

    arrays = Arrays(slow_s=0)
    program = program_for(np.int16, ["residual", "lambda-hu", "iodine"])
    report, note = stream_gpu.run_on_gpu_or_cpu(program, arrays, arrays, device=Taken())
    cupy.card.check()
    assert sorted(arrays.written) == list(range(N_SLICES))
    assert report.backend == backend
    if backend == "gpu":
        assert report.slab_slices == 1
    else:
        assert "no room for three single slices" in note
        assert "all slices were computed on the CPU" in note


def test_a_context_that_does_not_fit_is_told_by_auto(monkeypatch):
    from gsigpu.backends import choose, device

    cupy = host_cupy.install(monkeypatch)
    cupy.card.fail_at = {0}  # the probe's one array
    probe = device.why_no_gpu
    assert choose("auto") == "cpu"
    assert "OutOfMemoryError" in probe()
    arrays = Arrays(slow_s=0)
    _, notes = run_program(program_for(np.int16), arrays, arrays, backend="auto", processor="cpu")
    assert "computed on the CPU" in notes[0]
    assert "cannot run a kernel on it (OutOfMemoryError" in notes[0]
    monkeypatch.setattr(device, "why_no_gpu", lambda: None)
    _, notes = run_program(program_for(np.int16), Arrays(slow_s=0), Arrays(slow_s=0), backend="auto", processor="cpu")  # fmt: skip
    assert notes == []


def test_more_energies_than_the_kernel_holds_are_an_error_for_gpu_and_a_warning_for_auto(
    monkeypatch,
):
    """336 energies; 335 would fit. Nobody has them, and `auto` still gives the maps."""
    cupy = host_cupy.install(monkeypatch)
    program = many_energies(336)
    arrays = Arrays(slow_s=0)
    arrays.read = lambda z, out: out.fill(7)
    with pytest.raises(BackendError, match="at most 335 energies"):
        run_program(program, arrays, arrays, backend="gpu", processor="gpu")
    report, notes = run_program(program, arrays, arrays, backend="auto", processor="gpu")
    assert report.backend == "cpu"
    assert notes == ["computed on the CPU: the GPU takes at most 335 energies, not 336"]
    np.testing.assert_allclose(arrays.written[0][0], 7 * 336)
    assert auto_choice.processor_for(many_energies(335)) == ("gpu", None)
    cupy.card.check()


def many_energies(n_energies):
    """The sum over all energies, of one slice of eight voxels."""
    plan = plan_maps(define_all(["lambda-hu"]), ENERGIES)
    ones = np.ones((1, 1, n_energies), np.float32)
    return MapProgram(
        plan=replace(plan, energies_kev=tuple(range(n_energies))),
        plane_shape=(1, 8),
        dtype=np.dtype(np.float32),
        linear=Block(ones, np.zeros((1, 1), np.float32)),
        nonlinear=None,
        padding=None,
        n_slices=1,
    )


def test_a_program_too_small_for_the_card_goes_to_the_cpu_by_the_rule_in_one_place(monkeypatch):
    monkeypatch.setattr(auto_choice, "LEAST_STORED_VALUES", STORED.size + 1)
    host_cupy.install(monkeypatch)
    program = program_for(np.int16)
    assert auto_choice.processor_for(program) == ("cpu", None)
    report, notes = run_program(
        program, Arrays(slow_s=0), Arrays(slow_s=0), backend="auto", processor="gpu"
    )
    assert (report.backend, notes) == ("cpu", [])
    monkeypatch.setattr(auto_choice, "LEAST_STORED_VALUES", STORED.size)
    assert auto_choice.processor_for(program) == ("gpu", None)


def test_chunks_follow_the_stated_rule():
    program = program_for(np.int16)
    large = 1 << 34
    per_slice_in = 2 * 4 * 40
    assert stream_gpu.chunk_size(program, 2, large) == N_SLICES
    assert stream_gpu.chunk_size(program, 2, 0) == 1
    assert stream_gpu.chunk_size(program, 2, 4 * 3 * 3 * (per_slice_in + 40 * 8 + 160 * 16)) in (
        2,
        3,
    )


# Faults


_SLOTS = "slots = [_Slot(self.program, self.device, size) for _ in range(N_SLOTS)]\n"


def _shared(attribute):
    return (
        _SLOTS,
        f"{_SLOTS}        for slot in slots: slot.{attribute} = slots[0].{attribute}\n",
    )


_WAIT = """        with self.watch.stage("compute"):
            self.device.synchronize(slot.stream)
"""
_KERNEL = """            counts = device.linear_maps(stored, block, out, padding, slot.stream)
"""
_COPY_OUT = """            device.copy_out(slot.device_linear[:n], slot.host_linear[:n], slot.stream)
"""
MUTATIONS = {
    "one slot for all chunks": (_SLOTS, "slots = [_Slot(self.program, self.device, size)] * N_SLOTS\n"),
    "slots share the pinned buffer of what goes in": _shared("host_in"),
    "slots share the device buffer of what goes in": _shared("device_in"),
    "slots share the device buffer of linear maps": _shared("device_linear"),
    "slots share the pinned buffer of linear maps": _shared("host_linear"),
    "slots share the rows of nonlinear maps": _shared("device_rows"),
    "slots share the pinned buffer of nonlinear maps": _shared("host_finished"),
    "slots share the clip counts": _shared("host_clipped"),
    "a chunk is handed out before it is done": (_WAIT, ""),
    "clip counts are read early": (
        _WAIT, f"        early = slot.host_clipped.copy()\n{_WAIT}        slot.host_clipped[:] = early\n",
    ),
    "clip counts of the last chunk alone": ("self.clipped += ", "self.clipped[:] = "),
    "a slot is filled while its planes are written": ("                finish_all(slot.emptied)\n", ""),
    "a chunk is queued before it is read": ("                finish_all(slot.filled)\n", "                pass\n"),
    "a slot too many is on the card": ("if len(queued) == N_SLOTS - 1:", "if len(queued) == N_SLOTS + 1:"),
    "the copy in is on the default stream": ("device.set(host, stream=stream)", "device.set(host)"),
    "the copy out is on the default stream": ("device.get(stream=stream, out=host", "device.get(out=host"),
    "the kernel is on the default stream": ("        with stream:\n            return self._gpu", "        if stream:\n            return self._gpu"),
    "the nonlinear maps are on the default stream": ("        with stream:\n            finished", "        if stream:\n            finished"),
    "a slice's nonlinear maps are on a stream of their own": (
        "        with stream:\n            finished", "        with self.stream():\n            finished",
    ),
    "the copy out comes before the kernel": (_KERNEL + _COPY_OUT, _COPY_OUT + _KERNEL),
    "a host array goes to the kernel": (
        "stored = slot.device_in[:n].reshape", "stored = slot.host_in[:n].reshape",
    ),
    "a device array goes to the sink": (
        "self.program.in_order(slot.host_linear[i]", "self.program.in_order(slot.device_linear[i]",
    ),
    "a whole buffer is copied where a part is filled": (
        "device.copy_in(slot.host_in[:n], slot.device_in[:n]", "device.copy_in(slot.host_in, slot.device_in[:n]",
    ),
    "weights of the first slices": ("program.linear.slices(start, start + n)", "program.linear.slices(0, n)"),
    "padding of the first slices": ("program.padding[start : start + n]", "program.padding[:n]"),
    "a chunk counts as done before it is queued": (
        "            self._queue(slot, start, n)\n",
        "            self.n_done = start + n\n            self._queue(slot, start, n)\n",
    ),
    "streams are not waited for when memory runs out": (
        "        for slot in slots:\n            self.device.synchronize(slot.stream)\n", "",
    ),
    "threads still read when the buffers go back": ("        wait(filled)\n", ""),
    "the exception keeps the buffers": (
        "            return (str(error)", "            self.kept = error\n            return (str(error)",
    ),
    "pinned memory that runs out is another error": (
        'type(error).__name__ in ("CUDARuntimeError", "CUDADriverError")', "False",
    ),
    "errors of the last writes are lost": (
        "            finish_all([future for slot in slots for future in slot.emptied])\n", "",
    ),
}  # fmt: skip


def _maps_are_right(patch, run, number):
    """`number` : of the scenario; with it the writing of the first slice takes longer."""
    dtype = (np.int16, np.float32, np.int16)[number]
    arrays = Arrays(stall_s=0.08 * number)
    on_the_double(patch, run, dtype=dtype, arrays=arrays, late=number == 0, seed=number)


def _pinned_memory_is_for_one_slice(patch, run):
    host_cupy.install(patch, pinned_room=6656)
    arrays = Arrays(slow_s=0)
    report = run(program_for(np.int16), arrays, arrays, n_workers=1, chunk_slices=2)
    require_right(arrays, report, np.int16)


def _the_last_write_fails(patch, run):
    host_cupy.install(patch)
    arrays = Arrays(fail_write=N_SLICES - 1)
    with pytest.raises(OSError, match="write 8"):
        run(program_for(np.int16), arrays, arrays, n_workers=3, chunk_slices=2)


def _require_rest_when_memory_runs_out(patch, run, number):
    """As buffers go back no thread still reads into them, and nothing holds them."""
    cupy = host_cupy.install(patch, late=number == 95)
    cupy.card.fail_at = {number}
    arrays = Arrays(slow_s=0, first_read_s=0.05)
    at_release = []
    pool_type = type(cupy.get_default_memory_pool())
    free = pool_type.free_all_blocks

    def release(self, stream=None):
        free(self, stream)
        at_release.append((arrays.n_reading, self.total_bytes()))

    patch.setattr(pool_type, "free_all_blocks", release)
    report = run(program_for(np.int16), arrays, arrays, n_workers=3, chunk_slices=2)
    cupy.card.check()
    require_right(arrays, report, np.int16)
    assert at_release == [(0, 0), (0, 0)], "(threads that read, bytes still held) of both pools"


SCENARIOS = [
    *(partial(_maps_are_right, number=number) for number in range(3)),
    # memory runs out while the first chunk is being queued, or a later one
    *(partial(_require_rest_when_memory_runs_out, number=number) for number in (30, 95)),
    _pinned_memory_is_for_one_slice,
    _the_last_write_fails,
]
# Faults that only running out of memory shows, or an error: for them the last scenarios go first, to be done sooner.
SHOWN_LATE = {
    "a chunk counts as done before it is queued",
    "streams are not waited for when memory runs out",
    "threads still read when the buffers go back",
    "the exception keeps the buffers",
    "pinned memory that runs out is another error",
    "errors of the last writes are lost",
}


def run_scenarios(monkeypatch, run, scenarios):
    for scenario in scenarios:
        with monkeypatch.context() as patch:
            scenario(patch, run)


def test_the_scenarios_pass_without_a_fault(monkeypatch):
    run_scenarios(monkeypatch, stream_gpu.run_on_gpu, SCENARIOS)


@pytest.mark.parametrize("fault", MUTATIONS)
def test_no_fault_of_ordering_survives(monkeypatch, fault):
    """A right flow survives all scenarios; the order decides only how soon a fault is seen."""
    assert set(MUTATIONS) >= SHOWN_LATE
    module = mutated(stream_gpu, *MUTATIONS[fault])
    scenarios = SCENARIOS[::-1] if fault in SHOWN_LATE else SCENARIOS
    with pytest.raises(BaseException) as caught:  # noqa: PT011  # whatever a card's user would have seen
        run_scenarios(monkeypatch, module.run_on_gpu, scenarios)
    assert not isinstance(caught.value, SyntaxError | NameError | KeyboardInterrupt), caught.value
