"""What the flow of `map` on a GPU knows of CUDA."""

from __future__ import annotations

from typing import Any, Protocol

from numpy.typing import NDArray

from gsigpu.pipeline.map.program import Block, MapProgram


class Device(Protocol):
    """The operations on a device that the flow needs."""

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Whether an exception means that device or pinned memory, or the context, did not fit."""

    def free_bytes(self) -> int:
        """Device memory that can still be had."""

    def pinned(self, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """Page-locked host memory."""

    def empty(self, shape: tuple[int, ...], dtype: Any, stream: Any) -> Any:
        """Device memory for work on a stream."""

    def stream(self) -> Any:
        """A new stream."""

    def copy_in(self, host: NDArray[Any], device: Any, stream: Any) -> None:
        """Queues host -> device."""

    def copy_out(self, device: Any, host: NDArray[Any], stream: Any) -> None:
        """Queues device -> host."""

    def linear_maps(
        self, stored: Any, block: Block, out: Any, padding: NDArray[Any] | None, stream: Any
    ) -> Any:
        """Queues the kernel; returns the clipped counts, on the device."""

    def finish(self, program: MapProgram, rows: Any, stream: Any) -> tuple[Any, Any]:
        """Queues the nonlinear maps of a chunk: (S, R, y, x) -> (S, K2, y, x) and clipped (K2,)."""

    def synchronize(self, stream: Any) -> None:
        """Waits until all that is queued on the stream is done."""

    def release(self) -> None:
        """Gives unused memory back, after it ran out."""
