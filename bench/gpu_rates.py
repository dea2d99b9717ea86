"""Parts of `gpu.py`: the kernel against a copy on the card, copies to the card and back, and the size that pays."""

from __future__ import annotations

import statistics
from time import perf_counter
from typing import Any

import numpy as np
from gpu_programs import (
    CASES,
    InMemory,
    Sizes,
    event_ms,
    padding_of,
    plan_of,
    program_of,
    stored_values,
    weights_of,
)

from gsigpu.pipeline.map import auto_choice
from gsigpu.pipeline.map.program import MapProgram
from gsigpu.pipeline.map.stream import run_on_cpu
from gsigpu.pipeline.map.stream_gpu import run_on_gpu

_OF_THE_CACHE = 8  # times the L2 cache, so that nothing is found there from the round before
_SHARE_OF_CARD = 0.25
_TOLERATED = 1.1  # the rule may take what is so much slower: near the crossover both are as good


def kernel_lines(sizes: Sizes) -> list[str]:
    """Every case, with and without padding, as int16 and as float32."""
    import cupy

    device = cupy.cuda.Device()
    cache = int(device.attributes.get("L2CacheSize", 0))
    n_bytes = max(sizes.kernel_bytes, _OF_THE_CACHE * cache)
    free, _ = cupy.cuda.runtime.memGetInfo()
    n_bytes = min(n_bytes, int(_SHARE_OF_CARD * free))
    nominal = nominal_bytes_per_s(device.attributes)
    table = [
        "| | MiB | copy ms | kernel ms | GB/s | time / copy | of the nominal bandwidth |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for case in CASES:
        table += _kernel_rows(case, sizes, n_bytes, nominal)
    return [
        *table,
        "",
        (
            f"Resident data, random, at least {_OF_THE_CACHE} times the L2 cache ({cache / 2**20:.0f} MiB); `copy` moves as many"
            " bytes from memory to memory on the card, and is the limit. Times by CUDA events, behind work that is still running."
        ),
        "Nominal: 2 x memory clock x bus width, as the driver tells them." if nominal else "",
    ]


def nominal_bytes_per_s(attributes: Any) -> float:
    """Of the memory, from the driver's clock (kHz) and bus width (bits); 0 where it does not tell them."""
    clock, width = (attributes.get(name, 0) for name in ("MemoryClockRate", "GlobalMemoryBusWidth"))
    return 2e3 * float(clock) * float(width) / 8


def _kernel_rows(case: str, sizes: Sizes, n_bytes: int, nominal: float) -> list[str]:
    import cupy

    from gsigpu.backends import gpu

    plan = plan_of(case)
    n_energies, n_maps, n_voxels = len(plan.energies_kev), len(plan.definitions), sizes.plane**2
    n_slices = min(max(n_bytes // (2 * (n_energies + n_maps) * n_voxels), 1), 65535)
    few = cupy.asarray(stored_values(min(n_slices, 8), n_energies, n_voxels))
    stored = cupy.empty((n_slices, n_energies, n_voxels), cupy.int16)
    for first in range(0, n_slices, len(few)):
        part = stored[first : first + len(few)]
        part[...] = few[: len(part)]
    rows = []
    for dtype in (np.int16, np.float32):
        out = cupy.empty((n_slices, n_maps, n_voxels), dtype)
        traffic = stored.nbytes + out.nbytes
        source, target = (cupy.empty(traffic // 2, cupy.uint8) for _ in range(2))
        weights, offsets = weights_of(plan, dtype, n_slices)
        for padding in (None, padding_of(n_slices, n_energies)):

            def copy(source: Any = source, target: Any = target) -> None:
                cupy.copyto(target, source)

            def kernel(
                weights: Any = weights,
                offsets: Any = offsets,
                out: Any = out,
                padding: Any = padding,
            ) -> None:
                gpu.linear_maps(stored, weights, offsets, out, padding=padding)

            copy_ms, kernel_ms = event_ms(sizes.repeats, copy, kernel, ahead=copy)
            rate = traffic / (kernel_ms / 1e3)
            share = f"{100 * rate / nominal:.0f} %" if nominal else "–"
            name = f"{case}, {np.dtype(dtype).name}{'' if padding is None else ', padding'}"
            rows.append(
                f"| {name} | {traffic / 2**20:.0f} | {copy_ms:.3f} | {kernel_ms:.3f} | {rate / 1e9:,.0f}"
                f" | {kernel_ms / copy_ms:.2f} | {share} |"
            )
    return rows


def transfer_lines(sizes: Sizes) -> list[str]:
    """Rates between pinned memory and the card: the limit of all that is read from files."""
    import cupy
    import cupyx

    n_bytes = min(sizes.kernel_bytes, 256 << 20)
    host = cupyx.empty_pinned((n_bytes,), np.uint8)
    host[...] = 7
    device = cupy.empty(n_bytes, cupy.uint8)
    stream = cupy.cuda.Stream(non_blocking=True)

    def up() -> None:
        device.set(host, stream=stream)

    def down() -> None:
        device.get(stream=stream, out=host, blocking=False)

    cupy.cuda.Device().synchronize()
    seconds: dict[str, list[float]] = {"to the card": [], "back": []}
    for _ in range(sizes.repeats + 1):
        for name, work in (("to the card", up), ("back", down)):
            begun = perf_counter()
            work()
            stream.synchronize()
            seconds[name].append(perf_counter() - begun)
    return [
        f"| pinned memory, {n_bytes / 2**20:.0f} MiB | GB/s |",
        "|---|---:|",
        *(
            f"| {name} | {n_bytes / statistics.median(taken[1:]) / 1e9:.1f} |"
            for name, taken in seconds.items()
        ),
    ]


def crossover_lines(sizes: Sizes) -> list[str]:
    """Runs from memory to memory on both, by size; and whether the rule of `auto` takes the faster."""
    table = [
        "| stored values | slices | case | CPU ms | GPU ms | GPU / CPU | `auto` takes |",
        "|---:|---:|---|---:|---:|---:|---|",
    ]
    against: list[str] = []
    for case in CASES:
        stored = stored_values(4, len(CASES[case][1]), sizes.plane**2)
        stack = InMemory(stored.reshape(4, -1, sizes.plane, sizes.plane))
        for n_slices in sizes.crossover_slices:
            program = program_of(plan_of(case), n_slices, sizes.plane, np.int16)
            on_cpu, on_gpu = _seconds(program, stack, sizes)
            taken, _ = auto_choice.processor_for(program)
            n_values = n_slices * program.n_energies * sizes.plane**2
            table.append(
                f"| {n_values:,} | {n_slices} | {case} | {1e3 * on_cpu:.1f} | {1e3 * on_gpu:.1f}"
                f" | {on_gpu / on_cpu:.2f} | {taken} |"
            )
            mine, other = (on_gpu, on_cpu) if taken == "gpu" else (on_cpu, on_gpu)
            if mine > _TOLERATED * other:
                against.append(f"{case}, {n_slices} slices")
    rule = (
        f"The rule of `auto` (gsigpu/pipeline/map/auto_choice.py: the GPU from {auto_choice.LEAST_STORED_VALUES:,}"
        " stored values on)"
    )
    verdict = (
        f"{rule} takes what is over {_TOLERATED:g} times slower for: {'; '.join(against)}."
        if against
        else f"{rule} **agrees** with all that was measured."
    )
    return [
        *table,
        "",
        "Stored values in memory to int16 maps in memory, no files, all cores; the kernel is compiled before.",
        verdict,
    ]


def _seconds(program: MapProgram, stack: InMemory, sizes: Sizes) -> tuple[float, float]:
    """(CPU, GPU), medians of rounds in which they take turns; one is not counted."""
    taken: tuple[list[float], list[float]] = ([], [])
    for round_ in range(min(sizes.repeats, 5) + 1):
        for times, run in zip(taken, (run_on_cpu, run_on_gpu), strict=True):
            begun = perf_counter()
            run(program, stack, stack)
            if round_:
                times.append(perf_counter() - begun)
    return statistics.median(taken[0]), statistics.median(taken[1])
