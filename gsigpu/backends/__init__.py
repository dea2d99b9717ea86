"""The hot functions, twice: NumPy on all cores (`cpu`) and CUDA kernels through CuPy (`gpu`).

Both modules export the functions of `Backend` with the same names and signatures. `backend_for`
picks the module that an array belongs to; `choose` picks the one to run a whole job on.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

from gsigpu.errors import SettingsError

if TYPE_CHECKING:  # `gsigpu info` asks for the card without NumPy
    from numpy.typing import NDArray

BackendName = Literal["auto", "cpu", "gpu"]

# What integer maps store where there is no value, and the largest magnitude that is one.
PADDING = -32768
LARGEST_STORED = 32767
# Of a bin's width: a value that is so little below an edge of a histogram lies on it. Slopes of whole HU fall on a lattice
# that meets the edges, and float32 puts a value 1e-5 of a bin to either side, on every processor differently.
BIN_EDGE = 1e-4
# mm. Sums of squares of multiples of it are whole numbers of its square, below 2^53 of them up to 362 mm: exact in float64 in
# whatever order. SciPy compares products of them, and picks the nearest voxel without error below 2^50 of them.
DISTANCE_UNIT_MM = 2.0**-18


class Backend(Protocol):
    """The functions that both backends export. Arrays live where the backend computes."""

    def linear_maps(
        self, stored: Any, weights: Any, offsets: Any, out: Any, *, padding: Any = None
    ) -> Any:
        """K linear maps of a slab of stored values, in one pass.

        out[s, k, i] = Σ_e weights[s, k, e] stored[s, e, i] + offsets[s, k]

        stored : (S, E, N) int16, C-contiguous; S slices, E energies, N voxels of a slice
        weights : (S, K, E) float32; offsets : (S, K) float32. They differ between slices where
            the DICOM rescale does.
        out : (S, K, N) float32 or int16, C-contiguous, overwritten. int16 values are rounded half
            to even, and clipped to ±32767.
        padding : (S, E, 2) int16, the closed range of stored values that mean "no data"
            (low > high: none), or None. A voxel padded at any energy is NaN (int16: -32768).
        The tables (weights, offsets, padding) are small, and NumPy arrays on either backend.
        Returns (K,) int64, how many voxels of each map were clipped (0 for float32).
        Raises GridMismatch if the shapes disagree.
        """

    def gather_voxels(
        self, planes: Any, starts: Any, indices: Any, out: Any, *, origin: int = 0
    ) -> None:
        """Voxels of planes by their indices.

        out[i] = planes[s, indices[i] - origin] for starts[s] <= i < starts[s + 1]

        planes : (S, N) int16, each plane C-contiguous
        starts : (S + 1,) int64, ascending, within `out`; on a card it lies there too
        indices : (M,) of voxels in a whole plane, of which the first `origin` are not here; int32 on a card
        out : (M,) int16, C-contiguous, written between starts[0] and starts[S]
        """

    # Segments of rows. values : (P, N) float32; starts : (S + 1,) int64, a NumPy array, ascending from 0 to N: segment s of
    # every row is [starts[s]:starts[s + 1]]. What is as small as the segments comes back as NumPy arrays.

    def sort_segments(self, values: Any, starts: Any) -> Any:
        """(P, N) float32, each segment of each row ascending, NaN last."""

    def segment_moments(self, values: Any, starts: Any, centres: Any, *, order: int) -> Any:
        """Sums of powers of the values that are no NaN, in float64.

        centres : (P, S) float64, a NumPy array
        Returns (P, S, order + 1) float64: Σ (x - centre)^j for j = 0 (how many values), 1, …, order.
        """

    def segment_histograms(
        self, values: Any, starts: Any, low: Any, width: Any, n_bins: int
    ) -> Any:
        """Counts of values that are no NaN in bins of equal width; the last one is closed.

        low, width : (P, S) float64, NumPy arrays, of the whole range; width > 0
        Returns (P, S, n_bins) int64: of the values with floor(n_bins (x - low) / width + BIN_EDGE) = b.
        """

    def distance_transform(self, mask: Any, spacing_mm: tuple[float, ...]) -> Any:
        """Distance of the True voxels to the nearest False one, in as many of the last axes as there are spacings.

        mask : (..., y, x) bool; what lies beyond the array is no background
        spacing_mm : multiples of `DISTANCE_UNIT_MM`: results are equal to the bit on both backends then, up to
            128 mm
        Returns (..., y, x) float64, mm; 0 outside, infinite where there is no False voxel.
        """


def backend_for(array: Any) -> Backend:
    """The backend that `array` belongs to; a NumPy array never imports CuPy.

    >>> import numpy as np
    >>> backend_for(np.zeros(3)).__name__
    'gsigpu.backends.cpu'
    """
    name = "gpu" if type(array).__module__.partition(".")[0] == "cupy" else "cpu"
    return cast("Backend", import_module(f"gsigpu.backends.{name}"))


def on_host(array: Any) -> NDArray[Any]:
    """An array as NumPy's: itself, or a copy of one that lies on a card."""
    host: NDArray[Any] = array.get() if hasattr(array, "get") else array
    return host


def choose(name: BackendName) -> Literal["cpu", "gpu"]:
    """The backend to run a job on: `auto` takes the GPU where one is usable.

    Raises GpuUnavailable for `gpu` without a usable device, SettingsError for an unknown name.

    >>> choose("cpu")
    'cpu'
    """
    if name == "cpu":
        return "cpu"
    if name not in ("auto", "gpu"):
        raise SettingsError(f"unknown backend {name!r}", remedy="use auto, cpu or gpu")
    from gsigpu.backends.device import require_gpu, why_no_gpu

    if name == "gpu":
        require_gpu()
        return "gpu"
    return "cpu" if why_no_gpu() else "gpu"
