"""What the reading side knows about a study.

A `Plane` is one two-dimensional image: a file of a classic series or a frame of a multi-frame
object. Planes that belong together form a `Series`: one kind, one energy, one phase, one grid.
The monoenergetic series of one phase form a `SpectralStack`.

Stored values. Whatever the file holds (signed or unsigned, 12 bits in 16), readers deliver int16.
Unsigned 16-bit data are shifted by -32768 to fit; `Plane.slope`, `Plane.intercept` and
`Plane.padding` already speak of the delivered values: HU = slope * delivered + intercept.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from gsigpu.errors import GsigpuError
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


@dataclass(frozen=True, slots=True)
class Plane:
    """One two-dimensional image and where its pixels lie.

    path, frame : the file, and the frame in it from 0
    position_mm : LPS of the centre of the first voxel; None where the header has none
    orientation : row and column direction cosines; None where the header has none
    pixel_spacing_mm : (between rows, between columns)
    slope, intercept, padding : of the delivered int16 values; `padding` is the closed range that
        means "no data", None where the header names none
    pixel_offset, pixel_length : where an uncompressed plane's bytes lie in the file;
        offset -1: only a general reader can find them
    """

    path: Path
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


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that is not an image of a study, and why; `damaged` if it should have been one."""

    path: Path
    reason: str
    damaged: bool = False


@dataclass(frozen=True, slots=True)
class HeaderScan:
    """All planes of a folder, in no particular order, and the files that hold none."""

    planes: tuple[Plane, ...]
    skipped: tuple[Skipped, ...]
    n_files: int


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class SpectralStack:
    """Monoenergetic series of one phase on one grid, ascending in energy."""

    phase: str
    geometry: VolumeGeometry
    series: tuple[Series, ...]

    @property
    def energies_kev(self) -> tuple[float, ...]:
        """(E,) ascending, keV."""
        return tuple(float(series.energy_kev or 0.0) for series in self.series)


@dataclass(frozen=True, slots=True)
class Study:
    """What a folder holds, as far as a spectral analysis cares."""

    root: Path
    series: tuple[Series, ...]
    skipped: tuple[Skipped, ...] = ()
    warnings: tuple[str, ...] = field(default_factory=tuple)
    # (phase, what its words look like): another word for a phase means what it meant to the scan.
    phase_patterns: tuple[tuple[str, re.Pattern[str]], ...] = field(default=(), repr=False)
