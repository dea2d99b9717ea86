"""Where a measurement computes: on the CPU, or on the GPU as long as it has room."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

import numpy as np

from gsigpu.backends import BackendName, choose, on_host
from gsigpu.backends.device import n_sharing
from gsigpu.caution import Caution
from gsigpu.errors import DeviceOutOfMemory
from gsigpu.regions.boundary import Dimensions, SignedDistances, signed_distance_mm
from gsigpu.regions.region_mask import Spacing

if TYPE_CHECKING:
    from gsigpu.pipeline.map.stream_gpu import CupyDevice

T = TypeVar("T")
# Of the card's memory that is free, shared by those that GSIGPU_CARD_SHARE names: what a measurement plans for. The rest is
# for what CuPy and CUB take beside it.
_PLANNED = 0.5


class Place(Protocol):
    """Where work is done."""

    is_card: bool

    def put(self, array: Any) -> Any:
        """An array, there; itself where it lies there already."""

    def stream(self) -> Any:
        """The stream of a card that the work is queued on."""

    def room_bytes(self) -> int | None:
        """How much memory the work should take there; None where nothing is known to limit it."""


class _Host:
    """The memory of this process."""

    is_card = False

    def put(self, array: Any) -> Any:
        return np.asarray(on_host(array))

    def stream(self) -> Any:
        raise NotImplementedError("the host has no streams")

    def room_bytes(self) -> int | None:
        return None


class _Card:
    """The memory of the current device."""

    is_card = True

    def __init__(self, device: CupyDevice) -> None:
        self._device = device

    def put(self, array: Any) -> Any:
        return self._device.array(array)

    def stream(self) -> Any:
        return self._device.current_stream()

    def room_bytes(self) -> int | None:
        return int(_PLANNED * self._device.free_bytes() / n_sharing())


Work = Callable[[Place], T]


class Resident(Protocol):
    """What keeps memory of the card from one work to the next."""

    def leave(self) -> None:
        """Brings it to the host; the card is no longer used."""


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
        self._n_on_card = 0  # works that are at it there
        self._ran_out = False
        self._residents: weakref.WeakSet[Resident] = weakref.WeakSet()
        if backend == "auto" and self.name == "cpu":
            from gsigpu.backends.device import why_device_is_unusable

            reason = why_device_is_unusable()
            self.notes += (
                [] if reason is None else [Caution("backend", f"measured on the CPU: {reason}")]
            )

    def run(self, work: Work[T]) -> T:
        """Does the work, on the CPU if the card has no room for it and `auto` was chosen; from several threads.

        Raises DeviceOutOfMemory where `gpu` was.
        """
        if self._begins_on_card():
            results: list[T] = []
            why: str | None = None
            try:
                results, why = _attempt(work)
            finally:
                # Here an exception of memory is gone, and with it the frames that held memory of the card.
                self._ends_on_card(why)
            if why is None:
                return results[0]
            if self._backend == "gpu":
                raise DeviceOutOfMemory(
                    f"the GPU has no room for the voxels of the regions ({why})",
                    remedy="free the GPU of other programs, or use --backend cpu",
                )
        return work(_Host())

    def tell_when_left(self, resident: Resident) -> None:
        """It leaves the card before its memory goes back, if memory runs out."""
        self._residents.add(resident)

    def _begins_on_card(self) -> bool:
        with self._lock:
            is_on_card = self.name == "gpu"
            self._n_on_card += is_on_card
            return is_on_card

    def _ends_on_card(self, why: str | None) -> None:
        """Memory goes back once nobody works on the card any more; the next work, if there is any, begins after that."""
        with self._lock:
            self._n_on_card -= 1
            self._ran_out |= why is not None
            if why is not None and self._backend == "auto" and self.name == "gpu":
                self.name = "cpu"
                text = f"the GPU has no room for the voxels of the regions ({why}): measured on the CPU"
                self.notes.append(Caution("backend", text))
            if self._ran_out and not self._n_on_card:
                from gsigpu.pipeline.map.stream_gpu import CupyDevice

                for resident in self._residents:
                    resident.leave()
                CupyDevice().give_back()


def signed_distances(processor: Processor) -> SignedDistances:
    """`signed_distance_mm` of boxes on the host, computed by a processor; the same to the bit on both."""

    def computed(voxels: Any, spacing_mm: Spacing, *, dimensions: Dimensions = "3d") -> Any:
        def work(place: Place) -> Any:
            return on_host(signed_distance_mm(place.put(voxels), spacing_mm, dimensions=dimensions))

        return processor.run(work)

    return computed


def _attempt(work: Work[T]) -> tuple[list[T], str | None]:
    """What the work gives on the card, or why memory ran out."""
    from gsigpu.pipeline.map.stream_gpu import CupyDevice

    device = CupyDevice()
    try:
        return [work(_Card(device))], None
    except Exception as error:
        if not device.is_out_of_memory(error):
            raise
        return [], (str(error).strip().splitlines() or [type(error).__name__])[0]
