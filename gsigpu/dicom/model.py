"""What the reading side knows about a study.

A `Plane` is one two-dimensional image: a file of a classic series or a frame of a multi-frame
object. Planes that belong together form a `Series`: one kind, one energy, one phase, one grid.
The monoenergetic series of one phase form a `SpectralStack`.

Stored values. Whatever the file holds (signed or unsigned, 12 bits in 16), readers deliver int16.
Unsigned 16-bit data are shifted by -32768 to fit; `Plane.slope`, `Plane.intercept` and
`Plane.padding` already speak of the delivered values: HU = slope * delivered + intercept.

No `repr` tells whose images these are: no patient ID, no UID, no path. They end up in logs and notebooks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gsigpu.caution import Caution
from gsigpu.errors import GsigpuError
from gsigpu.file_state import FileState
from gsigpu.phase_words import phase_name
from gsigpu.volume import Vector, VolumeGeometry


class SeriesKind(StrEnum):
    """What the pixels of a series mean."""

    VMI = "vmi"
    IODINE = "iodine"
    WATER = "water"
    VNC = "vnc"
    ZEFF = "zeff"
    ELECTRON_DENSITY = "electron-density"
    CONVENTIONAL = "conventional"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """How the pixels of a plane are stored in its file."""

    transfer_syntax_uid: str
    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    samples_per_pixel: int = 1
    photometric: str = "MONOCHROME2"

    @property
    def bias(self) -> int:
        """Subtracted from stored values so that they fit int16: 32768 for full unsigned 16 bits."""
        return 32768 if not self.signed and self.bits_stored == 16 else 0

    @property
    def n_bytes(self) -> int:
        """Bytes of one uncompressed plane."""
        return self.rows * self.columns * self.samples_per_pixel * (self.bits_allocated // 8)


@dataclass(frozen=True, slots=True)
class OddPadding:
    """Padding that is no single range of delivered values; the reader delivers -32768 in its place.

    values : closed range of delivered values that mean "no data"
    words : closed range of 16-bit words of the file that mean it, bits above High Bit included
    only_if_in_corner : `values` count only where a corner of the image holds one
    """

    values: tuple[int, int] | None = None
    words: tuple[int, int] | None = None
    only_if_in_corner: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class Evidence:
    """The header values that tell what a series is. One object serves all its planes.

    Values are stripped; an absent one is "" or None.
    """

    sop_class_uid: str
    modality: str
    study_uid: str
    series_uid: str
    frame_of_reference_uid: str
    patient_id: str = ""
    manufacturer: str = ""
    model: str = ""
    series_number: int | None = None
    series_description: str = ""
    protocol: str = ""
    image_comments: str = ""
    image_type: tuple[str, ...] = ()
    kvp: float | None = None
    mono_energy_kev: float | None = None  # (0018,937C)
    multienergy: str = ""  # (0018,9361) YES or NO
    materials: tuple[
        str, ...
    ] = ()  # meanings of the coded materials that a multi-energy image shows or lacks
    rescale_type: str = ""
    is_lossy: bool = (
        False  # (0028,2110) says that values were lost when it was compressed, at some time
    )
    derivation: str = ""
    acquisition_number: int | None = None
    acquisition_datetime: str = (
        ""  # YYYYMMDDHHMMSS.FFFFFF from the best of (0008,002A), date + time
    )
    contrast_agent: str = ""
    convolution_kernel: str = ""
    gantry_tilt_deg: float | None = None
    private: tuple[tuple[str, str], ...] = ()  # (("GEMS_PARM_01:10xx", value), ...)
    n_frames: int = 1

    def __repr__(self) -> str:
        """Without identity."""
        return f"<Evidence: {self.modality or 'no modality'}, {self.manufacturer or 'no manufacturer'}>"


@dataclass(frozen=True, slots=True, repr=False)
class Plane:
    """One two-dimensional image and where its pixels lie.

    file_name, frame : the file, by its path as text, and the frame in it from 0
    position_mm : LPS of the centre of the first voxel; None where the header has none
    orientation : row and column direction cosines; None where the header has none
    pixel_spacing_mm : (between rows, between columns)
    slope, intercept, padding : of the delivered int16 values; `padding` is the closed range that
        means "no data", None where nothing does
    odd_padding : what else means it, and is made -32768 when the plane is read
    pixel_offset, pixel_length : where an uncompressed plane's bytes lie in the file;
        offset -1: only a general reader can find them
    state : of the file when its header was read; None where nobody read one, and nothing is checked
    values : the delivered values, where they are in memory and the file is not read again
    """

    file_name: str
    evidence: Evidence
    format: PixelFormat
    sop_instance_uid: str
    position_mm: Vector | None
    orientation: tuple[float, float, float, float, float, float] | None
    pixel_spacing_mm: tuple[float, float] | None
    slice_thickness_mm: float | None
    slope: float
    intercept: float
    padding: tuple[int, int] | None
    pixel_offset: int
    pixel_length: int
    frame: int = 0
    instance_number: int | None = None
    odd_padding: OddPadding | None = None
    state: FileState | None = None
    values: NDArray[np.int16] | None = field(default=None, compare=False)

    @property
    def path(self) -> Path:
        """Of the file. Made when it is asked for: thousands of planes take longer to make paths for than to read the headers of."""
        return Path(self.file_name)

    @property
    def place(self) -> tuple[str, int]:
        """File and frame, which no other plane has."""
        return self.file_name, self.frame

    def __repr__(self) -> str:
        """Without identity."""
        return f"<Plane: {self.format.rows} x {self.format.columns}, frame {self.frame + 1}>"


@dataclass(frozen=True, slots=True, repr=False)
class Skipped:
    """A file that is not an image of a study, and why; `damaged` if it should have been one."""

    path: Path
    reason: str
    damaged: bool = False

    def __repr__(self) -> str:
        """Without the file's name, nor the reason, which may quote its header."""
        return f"<Skipped: {'damaged' if self.damaged else 'no image'}>"


@dataclass(frozen=True, slots=True, repr=False)
class HeaderScan:
    """All planes of a folder, in no particular order, and the files that hold none."""

    planes: tuple[Plane, ...]
    skipped: tuple[Skipped, ...]
    n_files: int

    def __repr__(self) -> str:
        """Counts."""
        return (
            f"<HeaderScan: {len(self.planes)} planes and {len(self.skipped)} other files"
            f" among {self.n_files} files>"
        )


@dataclass(frozen=True, slots=True, repr=False)
class Series:
    """Planes of one kind, energy, phase and grid, ordered along the slice direction.

    key : the SeriesInstanceUID, with "#70keV" or the like added where one DICOM series holds several
    energy_kev : of a VMI, else None
    geometry : None where `problem` tells why there is none
    evidence_used : one line per decision, for a person to read
    problem : why this series cannot be used; raised when it is asked for
    """

    key: str
    kind: SeriesKind
    energy_kev: float | None
    phase: str
    geometry: VolumeGeometry | None
    planes: tuple[Plane, ...]
    evidence_used: tuple[str, ...] = ()
    problem: GsigpuError | None = None

    @property
    def evidence(self) -> Evidence:
        """Header values of the first plane."""
        return self.planes[0].evidence

    @property
    def title(self) -> str:
        """Kind, energy and phase in words: `vmi, 70 keV, PVP`."""
        energy = "" if self.energy_kev is None else f"{self.energy_kev:g} keV"
        return ", ".join(part for part in (str(self.kind), energy, self.phase) if part)

    def __repr__(self) -> str:
        """Without identity."""
        problem = "" if self.problem is None else f"; problem: {self.problem.code}"
        return f"<Series: {self.title}; {len(self.planes)} slices{problem}>"


@dataclass(frozen=True, slots=True, repr=False)
class SpectralStack:
    """Monoenergetic series of one phase on one grid, ascending in energy."""

    phase: str
    geometry: VolumeGeometry
    series: tuple[Series, ...]

    @property
    def energies_kev(self) -> tuple[float, ...]:
        """(E,) ascending, keV."""
        return tuple(float(series.energy_kev or 0.0) for series in self.series)

    def __repr__(self) -> str:
        """Without identity."""
        energies = ", ".join(f"{kev:g}" for kev in self.energies_kev)
        shape = " x ".join(map(str, self.geometry.shape))
        return f"<SpectralStack: {phase_name(self.phase)}; {energies} keV; {shape}>"


@dataclass(frozen=True, slots=True, repr=False)
class Study:
    """What a folder holds, as far as a spectral analysis cares."""

    root: Path
    series: tuple[Series, ...]
    skipped: tuple[Skipped, ...] = ()
    warnings: tuple[Caution, ...] = field(default_factory=tuple)
    # (phase, what its words look like): another word for a phase means what it meant to the scan.
    phase_patterns: tuple[tuple[str, re.Pattern[str]], ...] = field(default=(), repr=False)

    def __repr__(self) -> str:
        """Without identity."""
        counts = (
            f"{len(self.series)} series",
            f"{len(self.skipped)} skipped files",
            f"{len(self.warnings)} warnings",
        )
        return f"<Study: {', '.join(counts)}>"

    def _repr_html_(self) -> str:
        """A table of the series, for a notebook; without identity."""
        rows = "".join(_html_row("td", _cells(series)) for series in self.series)
        damaged = sum(skipped.damaged for skipped in self.skipped)
        caption = (
            f"{len(self.series)} series, {len(self.skipped)} skipped files ({damaged} damaged)"
        )
        return (
            f"<table><caption>{caption}</caption>"
            f"<thead>{_html_row('th', _HTML_COLUMNS)}</thead><tbody>{rows}</tbody></table>"
        )


_HTML_COLUMNS = (
    "number",
    "kind",
    "keV",
    "phase",
    "slices",
    "grid (z, y, x)",
    "spacing (mm)",
    "problem",
)


def _cells(series: Series) -> tuple[str, ...]:
    number = series.evidence.series_number
    grid = series.geometry
    return (
        "" if number is None else str(number),
        str(series.kind),
        "" if series.energy_kev is None else f"{series.energy_kev:g}",
        series.phase,
        str(len(series.planes)),
        "" if grid is None else " x ".join(map(str, grid.shape)),
        "" if grid is None else " x ".join(f"{mm:g}" for mm in grid.spacing_mm),
        "" if series.problem is None else series.problem.code,
    )


def _html_row(tag: str, cells: tuple[str, ...]) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"
