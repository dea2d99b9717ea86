"""The flow delivers every slice once, right, and stops cleanly, on the CPU and on a (host) device."""

import threading
import time

import numpy as np
import pytest

from gsigpu.maps.plan import maps_of_hu, plan_maps
from gsigpu.maps.registry import define_all
from gsigpu.pipeline.map.program import compile_program
from gsigpu.pipeline.map.stream import run_on_cpu
from gsigpu.pipeline.map.stream_gpu import run_on_gpu
from tests.support import host_cupy

ENERGIES = (40.0, 60.0, 80.0, 100.0)
N_SLICES, PLANE = 11, (6, 9)
RNG = np.random.default_rng(6)
SLOPES = RNG.uniform(0.5, 1.5, (N_SLICES, 4))
INTERCEPTS = RNG.uniform(-1030, -1000, (N_SLICES, 4))
STORED = RNG.integers(950, 1300, (N_SLICES, 4, *PLANE)).astype(np.int16)
STORED[2, 1, 0, 0] = STORED[7, 3, 5, 8] = 2000
PADDING = [[(2000, 2000) if e % 2 else None for e in range(4)] for _ in range(N_SLICES)]
NAMES = ["residual", "lambda-hu", "iodine", "zeff"]


class Arrays:
    """Source and sink in memory; `fail_read`, `fail_write` : slices at which they raise."""

    def __init__(self, fail_read=(), fail_write=()):
        self.fail_read, self.fail_write = set(fail_read), set(fail_write)
        self.written = {}
        self.read_slices = []
        self.lock = threading.Lock()

    def read(self, z, out):
        if z in self.fail_read:
            raise ValueError(f"read {z}")
        if z > 5 and (self.fail_read or self.fail_write):
            time.sleep(0.01)  # so that an error is known before all is read
        with self.lock:
            self.read_slices.append(z)
        out[:] = STORED[z]

    def write(self, z, planes):
        if z in self.fail_write:
            raise OSError(f"write {z}")
        with self.lock:
            assert z not in self.written
            self.written[z] = [plane.copy() for plane in planes]


def program_for(names=NAMES, dtype=np.float32):
    plan = plan_maps(define_all(names), ENERGIES)
    index = [ENERGIES.index(kev) for kev in plan.energies_kev]
    assert index == [0, 1, 2, 3]
    return compile_program(
        plan, PLANE, np.dtype(dtype), slopes=SLOPES, intercepts=INTERCEPTS, padding=PADDING
    )


def expected(names=NAMES):
    hu = SLOPES[..., None, None] * STORED + INTERCEPTS[..., None, None]
    hu[2, :, 0, 0] = hu[7, :, 5, 8] = np.nan
    maps = maps_of_hu(plan_maps(define_all(names), ENERGIES), hu.transpose(1, 0, 2, 3))
    return [maps[name] for name in names]


@pytest.fixture(autouse=True, params=["cpu", "gpu"])
def backend(request, monkeypatch):
    """Every test on both: the GPU is the double of CuPy, with a schedule of its own for each test."""
    if request.param == "gpu":
        seed = request.node.name
        double = host_cupy.install(monkeypatch, seed=seed, delayed_share=0.2, late="-3" in seed)
        yield request.param
        double.card.check()
    else:
        yield request.param


def run(backend, program, arrays, **options):
    if backend == "cpu":
        return run_on_cpu(program, arrays, arrays, **options)
    return run_on_gpu(program, arrays, arrays, **{"chunk_slices": 2} | options)


@pytest.mark.parametrize("names", [NAMES, ["iodine"], ["residual"]])
def test_float_maps(backend, names):
    arrays = Arrays()
    run(backend, program_for(names), arrays)
    assert sorted(arrays.written) == list(range(N_SLICES))
    for k, true in enumerate(expected(names)):
        computed = np.stack([arrays.written[z][k] for z in range(N_SLICES)])
        np.testing.assert_allclose(computed, true, rtol=1e-3, atol=5e-3)


def test_integer_maps_are_within_half_a_step(backend):
    arrays = Arrays()
    program = program_for(dtype=np.int16)
    report = run(backend, program, arrays)
    n_beyond = []
    for k, (true, definition) in enumerate(zip(expected(), program.plan.definitions, strict=True)):
        stored = np.stack([arrays.written[z][k] for z in range(N_SLICES)])
        assert stored.dtype == np.int16
        np.testing.assert_array_equal(stored == -32768, np.isnan(true))
        kept = ~np.isnan(true) & (np.abs(true) < 32767 * definition.step)
        assert (
            np.abs(stored[kept] * definition.step - true[kept]).max()
            <= 0.5 * definition.step + 0.005
        )
        n_beyond.append(int((np.abs(true[~np.isnan(true)]) > 32767.5 * definition.step).sum()))
    np.testing.assert_array_equal(report.n_clipped, n_beyond)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_result_does_not_depend_on_workers_or_chunks(backend, workers):
    first, other = Arrays(), Arrays()
    run(backend, program_for(), first, n_workers=1)
    options = {"chunk_slices": workers} if backend == "gpu" else {}
    run(backend, program_for(), other, n_workers=workers, **options)
    for z in range(N_SLICES):
        np.testing.assert_array_equal(first.written[z], other.written[z])


def test_progress_counts_to_the_end(backend):
    seen = []
    run(backend, program_for(), Arrays(), progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (N_SLICES, N_SLICES)
    assert seen == sorted(seen)


@pytest.mark.parametrize(
    ("fault", "error"), [({"fail_read": {4}}, ValueError), ({"fail_write": {4}}, OSError)]
)
def test_first_error_stops_the_run_and_leaves_no_thread(backend, fault, error):
    arrays = Arrays(**fault)
    with pytest.raises(error, match="4"):
        run(backend, program_for(), arrays, n_workers=2)
    assert not [thread for thread in threading.enumerate() if "gsigpu-map" in thread.name]
    assert 4 not in arrays.written
    assert len(arrays.read_slices) < N_SLICES


@pytest.mark.gpu
@pytest.mark.parametrize("backend", ["cpu"], indirect=True)
@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_the_card_equals_the_cpu(backend, dtype):
    on_cpu, on_gpu = Arrays(), Arrays()
    run_on_cpu(program_for(dtype=dtype), on_cpu, on_cpu)
    run_on_gpu(program_for(dtype=dtype), on_gpu, on_gpu, chunk_slices=4)
    for z in range(N_SLICES):
        for cpu_plane, other in zip(on_cpu.written[z], on_gpu.written[z], strict=True):
            np.testing.assert_allclose(
                other.astype(float),
                cpu_plane.astype(float),
                rtol=1e-3,
                atol=1.01 if dtype == np.int16 else 5e-3,
            )
