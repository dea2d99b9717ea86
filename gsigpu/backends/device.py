"""Is there a usable GPU, and if not, why not."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
from dataclasses import dataclass
from functools import lru_cache

from gsigpu.errors import GpuUnavailable, SettingsError

# How many processes share a card: each takes that part of what a process would take alone.
SHARE_VARIABLE = "GSIGPU_CARD_SHARE"
# A process takes memory of a card before it computes anything: CUDA's context, CuPy's kernels. How much differs by card and
# driver, so it is measured; what other processes hold is part of that measure, and a context is taken to be no larger.
_LARGEST_CONTEXT = 1 << 30


@dataclass(frozen=True, slots=True)
class DeviceSummary:
    """What `gsigpu info` tells of the GPU; versions as 13000 for 13.0."""

    name: str
    memory_gib: float
    compute_capability: str
    driver_version: int
    runtime_version: int
    cupy_version: str


@lru_cache(maxsize=1)
def why_no_gpu() -> str | None:
    """One line that says why no GPU can be used, or None if it can."""
    if importlib.util.find_spec("cupy") is None:
        return "CuPy is not installed (pip install 'gsigpu[gpu]' for CUDA 13, 'gsigpu[gpu-cuda12]' for CUDA 12)"
    if not _driver_library():
        return "this machine has no NVIDIA driver (no library libcuda)"
    try:
        import cupy
    except Exception as error:  # noqa: BLE001  # a CuPy for another CUDA fails in many ways
        return f"CuPy is installed but cannot be imported ({_first_line(error)})"
    try:
        n_found = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # noqa: BLE001  # the driver's errors are of types of CuPy
        return (
            f"CuPy {cupy.__version__} is installed but finds no CUDA device ({_first_line(error)})"
        )
    if n_found == 0:
        return f"CuPy {cupy.__version__} is installed but the machine has no CUDA device"
    try:
        # Compiling and running one small kernel proves driver, runtime and NVRTC together.
        double = cupy.RawKernel('extern "C" __global__ void twice(int *a) { *a *= 2; }', "twice")
        value = cupy.ones(1, dtype=cupy.int32)
        double((1,), (1,), (value,))
        if int(value.get()[0]) != 2:
            return "the CUDA device computes wrong results"
    except Exception as error:  # noqa: BLE001  # as above
        return f"CuPy {cupy.__version__} finds a CUDA device but cannot run a kernel on it ({_first_line(error)})"
    return None


def _driver_library() -> bool:
    """Whether the library that every NVIDIA driver brings can be loaded; far quicker than importing CuPy."""
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


def why_device_is_unusable() -> str | None:
    """Why a CUDA device that is there cannot be used (no memory for a context, a driver too old …).

    None where one can be used, and where there is none: `auto` then takes the CPU without a word.
    """
    reason = why_no_gpu()
    if reason is None or importlib.util.find_spec("cupy") is None:
        return None
    try:
        import cupy

        return reason if cupy.cuda.runtime.getDeviceCount() > 0 else None
    except Exception:  # noqa: BLE001  # as above: CuPy or the driver are not there
        return None


def n_devices() -> int:
    """CUDA devices of this process; 0 where none can be used."""
    if why_no_gpu() is not None:
        return 0
    import cupy

    return int(cupy.cuda.runtime.getDeviceCount())


def n_contexts() -> int:
    """Processes that the cards of this machine have room for; 0 where none can be used.

    Called in a process that has a context and holds no arrays.
    """
    n = n_devices()
    if n == 0:
        return 0
    import cupy

    return sum(_n_fitting(*cupy.cuda.Device(i).mem_info) for i in range(n))


def _n_fitting(free: int, total: int) -> int:
    """Processes whose contexts take half of what is free of a card; the other half is for what they compute.

    >>> gib = 1 << 30
    >>> _n_fitting(int(79.5 * gib), 80 * gib), _n_fitting(int(19.5 * gib), 80 * gib), _n_fitting(gib // 4, 8 * gib)
    (79, 9, 1)
    """
    context = min(max(total - free, 1), _LARGEST_CONTEXT)
    return max(int(free) // 2 // int(context), 1)


def n_sharing() -> int:
    """Processes that share the card, this one included, as GSIGPU_CARD_SHARE says; 1 where it says nothing.

    `cohort run` sets it for its workers.
    Raises SettingsError for anything but a whole number from 1 on.
    """
    text = os.environ.get(SHARE_VARIABLE, "") or "1"
    if not (text.isascii() and text.isdigit() and int(text) >= 1):
        raise SettingsError(
            f"{SHARE_VARIABLE}={text} is no number of processes",
            remedy=f"set it to how many share a GPU, or unset {SHARE_VARIABLE}",
        )
    return int(text)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or ['no message'])[0]}"


def require_gpu() -> None:
    """Raises GpuUnavailable, saying why, if no GPU can be used."""
    if reason := why_no_gpu():
        raise GpuUnavailable(f"no usable GPU: {reason}", remedy="use --backend cpu, or auto")


def device_summary() -> DeviceSummary:
    """The current device.

    Raises GpuUnavailable if there is none.
    """
    require_gpu()
    import cupy

    device = cupy.cuda.Device()
    properties = cupy.cuda.runtime.getDeviceProperties(device.id)
    return DeviceSummary(
        name=properties["name"].decode(),
        memory_gib=properties["totalGlobalMem"] / 2**30,
        compute_capability=device.compute_capability,
        driver_version=cupy.cuda.runtime.driverGetVersion(),
        runtime_version=cupy.cuda.runtime.runtimeGetVersion(),
        cupy_version=cupy.__version__,
    )
