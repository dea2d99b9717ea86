"""Where a measurement computes: on the CPU, or on the GPU as long as it has room."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import numpy as np

from gsigpu.backends import BackendName, choose
from gsigpu.caution import Caution
from gsigpu.errors import DeviceOutOfMemory

T = TypeVar("T")
# Work on arrays: it is given what takes a NumPy array to where it is to be computed.
Work = Callable[[Callable[[Any], Any]], T]


class Processor:
    """Runs work where the user wants it; `auto` goes over to the CPU where the card has no room, and says so.

    name : where the work is done, from now on
    notes : lines for the user where it did not go as was chosen
    """

    def __init__(self, backend: BackendName) -> None:
        """Raises GpuUnavailable for `gpu` without a usable device, SettingsError for an unknown name."""
        self._backend = backend
        self.name: Literal["cpu", "gpu"] = choose(backend)
        self.notes: list[Caution] = []
        self._lock = threading.Lock()
        if backend == "auto" and self.name == "cpu":
            from gsigpu.backends.device import why_device_is_unusable

            reason = why_device_is_unusable()
            self.notes += (
                [] if reason is None else [Caution("backend", f"measured on the CPU: {reason}")]
            )

    def run(self, work: Work[T]) -> T:
        """Does the work, on the CPU if the card has no room for it and `auto` was chosen.

        Raises DeviceOutOfMemory where `gpu` was.
        """
        if self.name == "gpu":
            results, why = _attempt(work)
            if why is None:
                return results[0]
            # Here the exception is gone, and with it the frames that held memory of the card.
            self._out_of_memory(why)
        return work(np.asarray)

    def _out_of_memory(self, why: str) -> None:
        from gsigpu.pipeline.map.stream_gpu import CupyDevice

        CupyDevice().release()
        if self._backend == "gpu":
            raise DeviceOutOfMemory(
                f"the GPU has no room for the voxels of the regions ({why})",
                remedy="free the GPU of other programs, or use --backend cpu",
            )
        with self._lock:
            if self.name == "gpu":
                self.name = "cpu"
                text = f"the GPU has no room for the voxels of the regions ({why}): measured on the CPU"
                self.notes.append(Caution("backend", text))


def _attempt(work: Work[T]) -> tuple[list[T], str | None]:
    """What the work gives on the card, or why memory ran out."""
    from gsigpu.pipeline.map.stream_gpu import CupyDevice

    device = CupyDevice()
    try:
        return [work(device.array)], None
    except Exception as error:
        if not device.is_out_of_memory(error):
            raise
        return [], (str(error).strip().splitlines() or [type(error).__name__])[0]
