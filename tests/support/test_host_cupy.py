"""The double of CuPy finds what it is there to find, and lets pass what a card takes."""

import gc

import numpy as np
import pytest

from tests.support import host_cupy
from tests.support.host_cupy import Fault

TWICE = """
extern "C" __global__ void twice(const int *from, int *to, int n) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) to[i] = 2 * from[i];
}
"""
STRUCT = """
struct Pair { float weight; int number; };
extern "C" __global__ void put(Pair pair, float *to) { to[0] = pair.weight * pair.number; }
"""


@pytest.fixture(params=["random", "late"])
def cupy(monkeypatch, request):
    return host_cupy.install(
        monkeypatch, delayed_share=0.5, delay_s=0.003, late=request.param == "late"
    )


def pinned(cupy, values):
    import cupyx

    host = cupyx.empty_pinned(np.shape(values), np.asarray(values).dtype)
    host[...] = values
    return host


def test_numpy_takes_none_of_its_arrays_and_it_takes_none_of_numpy(cupy):
    array = cupy.asarray([1.0, 2.0])
    for work in (
        lambda: np.asarray(array),
        lambda: np.sort(array),
        lambda: np.add(array, 1),
        lambda: array + np.ones(2),
        lambda: cupy.add(np.ones(2), 1),
        lambda: array.__setitem__(slice(None), np.ones(2)),
        lambda: cupy.stack([array, np.ones(2)]),
    ):
        with pytest.raises(TypeError):
            work()
    with pytest.raises(AttributeError):
        cupy.nditer  # noqa: B018  # NumPy has it, CuPy has not
    with pytest.raises(TypeError):
        cupy.sort(array, order="x")
    with pytest.raises(TypeError):
        array.mean(where=array > 1)


def test_functions_views_and_operators_give_what_numpy_gives(cupy):
    host = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    array = cupy.asarray(host)
    np.testing.assert_array_equal((2 * array[1:, ::2] - 1).get(), 2 * host[1:, ::2] - 1)
    np.testing.assert_array_equal(cupy.sort(array, axis=1).T.get(), np.sort(host, axis=1).T)
    np.testing.assert_array_equal(array[array > 0].get(), host[host > 0])
    array[array > 0] = 0
    array += 1
    np.testing.assert_array_equal(array.get(), np.where(host > 0, 0, host) + np.float32(1))
    view = array.reshape(-1)
    view[:] = 3
    assert float(array.sum()) == 105
    out = cupy.empty((5, 7), np.float32)
    assert cupy.sqrt(array, out=out) is out
    assert int(cupy.isnan(out).sum()) == 0
    cupy.add.at(out, (0, 0), 5)
    cupy.card.check()


def test_memory_is_poison_until_it_is_written(cupy):
    assert np.isnan(cupy.empty(8, np.float32).get()).all()
    assert (np.abs(cupy.empty(8, np.int16).get().astype(int)) > 60).all()
    block = cupy.ones(100, np.float32).data.block
    gc.collect()
    array = cupy.empty(100, np.float32)
    assert array.data.block is block
    assert np.isnan(array.get()).all()


def test_copies_check_kind_type_shape_and_contiguity(cupy):
    array = cupy.zeros((4, 6), np.int16)
    for error, work in (
        (TypeError, lambda: array.set(cupy.ones((4, 6), np.int16))),
        (TypeError, lambda: array.set(np.ones((4, 6), np.int32))),
        (ValueError, lambda: array.set(np.ones((6, 4), np.int16))),
        (RuntimeError, lambda: array[:, ::2].set(np.ones((4, 3), np.int16))),
        (TypeError, lambda: array.get(out=cupy.ones((4, 6), np.int16))),
        (TypeError, lambda: array.get(out=np.ones((4, 6), np.float32))),
        (ValueError, lambda: array.get(out=np.ones((4, 5), np.int16))),
        (RuntimeError, lambda: array.get(out=np.ones((4, 12), np.int16)[:, ::2])),
        (AssertionError, lambda: array.get(out=np.ones((4, 6), np.int16), blocking=False)),
    ):
        with pytest.raises(error):
            work()


def test_a_result_is_poison_until_its_copy_was_waited_for(monkeypatch):
    cupy = host_cupy.install(monkeypatch, late=True)
    stream = cupy.cuda.Stream(non_blocking=True)
    out = pinned(cupy, np.zeros(4, np.float32))
    with stream:
        array = cupy.ones(4, np.float32)
    array.get(stream=stream, out=out, blocking=False)
    assert (out != 1).all()
    stream.synchronize()
    np.testing.assert_array_equal(out, 1)


def test_a_pinned_source_that_changes_too_early_is_a_fault(monkeypatch):
    cupy = host_cupy.install(monkeypatch, late=True)
    host = pinned(cupy, np.arange(4))
    array = cupy.empty(4, host.dtype)
    array.set(host)
    host[2] = 9
    with pytest.raises(AssertionError, match="changed before its copy"):
        cupy.card.check()


def test_a_pageable_source_is_taken_as_it_is(cupy):
    host = np.arange(4)
    array = cupy.empty(4, host.dtype)
    array.set(host)
    host[2] = 9
    np.testing.assert_array_equal(array.get(), np.arange(4))


@pytest.mark.parametrize("ordered", ["not", "event", "host", "default stream"])
def test_two_streams_on_the_same_bytes_must_be_ordered(cupy, ordered):
    blocking = ordered == "default stream"
    first = cupy.cuda.Stream.null if blocking else cupy.cuda.Stream(non_blocking=True)
    second = cupy.cuda.Stream(non_blocking=not blocking)
    with first:
        array = cupy.arange(1000)
    if ordered == "event":
        second.wait_event(first.record())
    if ordered == "host":
        first.synchronize()
    with second:
        if ordered == "not":
            with pytest.raises(
                Fault, match=r"add on stream 2 is not ordered after arange on stream 1"
            ):
                array + 1
            return
        result = array + 1
    np.testing.assert_array_equal(result.get(stream=second), np.arange(1, 1001))
    first.synchronize()
    second.synchronize()
    del array, result
    cupy.card.check()


def test_different_bytes_need_no_order(cupy):
    array = cupy.zeros(1000)
    cupy.cuda.Device().synchronize()
    for part in (array[:500], array[500:]):
        with cupy.cuda.Stream(non_blocking=True):
            part[:] = 1
    cupy.cuda.Device().synchronize()
    assert float(array.sum()) == 1000


def test_memory_of_one_stream_must_outlive_the_work_of_another(cupy):
    stream = cupy.cuda.Stream(non_blocking=True)
    weights = cupy.ones(8)  # of the default stream's arena
    cupy.cuda.get_current_stream().synchronize()
    with stream:
        doubled = weights * 2
    del weights
    gc.collect()
    with pytest.raises(
        Fault, match="the freeing of its memory on stream 0 is not ordered after mul"
    ):
        cupy.card.check()
    del doubled


def test_what_dies_on_its_own_stream_is_fine(cupy):
    with cupy.cuda.Stream(non_blocking=True) as stream:
        total = (cupy.ones(1000) * 2 + 1).sum()
        assert float(total) == 3000
        stream.synchronize()
    cupy.card.check()


@pytest.mark.parametrize("waited", [True, False])
def test_pinned_memory_and_the_drivers_memory_need_finished_work(cupy, waited):
    stream = cupy.cuda.Stream(non_blocking=True)
    host = pinned(cupy, np.arange(8))
    with stream:
        array = cupy.empty(8, host.dtype)
    array.set(host, stream=stream)
    if waited:
        stream.synchronize()
    del array, host
    gc.collect()
    cupy.get_default_memory_pool().free_all_blocks()
    if waited:
        cupy.card.check()
        return
    faults = " ".join(map(str, cupy.card.faults))
    assert "pinned memory was freed before a copy to the card" in faults
    assert "memory went back to the driver before a copy to the card" in faults


def test_memory_runs_out_where_it_is_told_to(cupy):
    import cupyx

    cupy.card.fail_at = {1, 2}
    cupy.empty(4)
    with pytest.raises(cupy.cuda.memory.OutOfMemoryError):
        cupy.empty(4)
    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="cudaErrorMemoryAllocation"):
        cupyx.empty_pinned(4)
    assert cupy.card.n_allocations == 3
    cupy.card.room["device"] = 1024
    with pytest.raises(cupy.cuda.memory.OutOfMemoryError):
        cupy.empty(1025, np.uint8)


def test_kernels_run_and_their_arguments_are_checked(cupy):
    kernel = cupy.RawKernel(TWICE, "twice")
    numbers, out = cupy.arange(300, dtype=np.int32), cupy.empty(300, np.int32)
    kernel((3,), (128,), (numbers, out, np.int32(300)))
    np.testing.assert_array_equal(out.get(), 2 * np.arange(300))
    assert cupy.card.launches == ["twice"]
    with pytest.raises(TypeError, match=r"takes arguments of \[8, 8, 4\] bytes, not \[8, 8, 8\]"):
        kernel((3,), (128,), (numbers, out, 300))
    with pytest.raises(TypeError, match=r"numpy\.ndarray of shape \(300,\)"):
        kernel((3,), (128,), (np.arange(300), out, np.int32(300)))
    small = cupy.empty(128, np.int32)  # 512 bytes, which the pool rounds to
    kernel((3,), (128,), (numbers, small, np.int32(300)))
    with pytest.raises(Fault, match="twice wrote beyond an array"):
        cupy.card.check()


def test_a_struct_goes_by_value(cupy):
    pair = np.array((2.5, 4), np.dtype([("weight", np.float32), ("number", np.int32)]))
    out = cupy.empty(1, np.float32)
    cupy.RawModule(code=STRUCT).get_function("put")((1,), (1,), (pair, out))
    assert float(out[0]) == 10


def test_the_backend_runs_on_it_and_is_itself_again_afterwards(cupy):
    from gsigpu import backends
    from gsigpu.backends import device

    assert device.why_no_gpu() is None
    assert backends.choose("auto") == "gpu"
    assert backends.backend_for(cupy.zeros(1)).cupy is cupy
    assert device.device_summary().name == "a double on the host"
