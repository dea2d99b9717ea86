"""Every error gsigpu raises on purpose.

A message is one line that says what is wrong, where, and what to do about it.

GsigpuError
├── InputError                 the input cannot give what was asked
│   ├── StudyError             what the folder holds
│   │   ├── NoSpectralStack        no monoenergetic series
│   │   ├── AmbiguousStack         two candidate stacks where one was asked
│   │   ├── EnergyConflict         evidence for a series' energy disagrees
│   │   └── TooFewEnergies         the asked map needs energies that are not there
│   ├── GeometryError          where the slices lie
│   │   ├── MissingSlices
│   │   ├── DuplicateSlices
│   │   ├── NonUniformSpacing
│   │   ├── MixedOrientations
│   │   ├── GantryTilt
│   │   └── GridMismatch           two grids that must be equal are not
│   ├── FileChanged            a file was changed between two readings
│   ├── PixelDataError         what the pixel data hold
│   │   ├── TruncatedPixelData
│   │   └── UnsupportedPixelData   a transfer syntax or layout nothing here decodes
│   └── MaskError              what a mask holds, or where it belongs
│       ├── WrongPatient           a mask of another patient or study
│       ├── WrongPhase             a mask drawn on another contrast phase
│       ├── DamagedMask            cut off, or altered
│       ├── EmptyMask
│       ├── OutsideStudy           no voxel of it lies in the study
│       ├── UnmappedLabel          a label that the mapping of roles does not name
│       ├── UnclearRole            what a region is cannot be told from its name or size
│       ├── UnclearPosition        where a mask lies cannot be told from its file
│       └── NoValidVoxels          none of its voxels has a value
├── SettingsError              an option or argument that makes no sense
├── OutputError                the output exists already, or cannot be written
├── BackendError               the processor asked for
│   ├── GpuUnavailable
│   └── DeviceOutOfMemory
├── ProgramFailed              a program of others that was called
├── MissingDependency          an optional package is not installed
└── PlugInError                what another package adds to gsigpu failed
"""

import re


class GsigpuError(Exception):
    """Base of all; ``str(error)`` is one line: what, where, remedy."""

    def __init__(self, what: str, *, where: object = None, remedy: str = "") -> None:
        """`what` is wrong, `where` (a file, a folder, a series), and the `remedy`."""
        self.what = what
        self.where = None if where is None else str(where)
        self.remedy = remedy
        line = f"{self.where}: {what}" if self.where else what
        super().__init__(
            " ".join(f"{line}; {remedy}".split()) if remedy else " ".join(line.split())
        )

    @property
    def code(self) -> str:
        """The kind of error as a word for tables: `wrong-patient`.

        >>> WrongPatient("belongs to another patient").code
        'wrong-patient'
        """
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", type(self).__name__).lower()

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the keyword arguments when an error crosses a process boundary."""
        return _rebuild, (type(self), self.what, self.where, self.remedy)


def _rebuild(kind: type[GsigpuError], what: str, where: str | None, remedy: str) -> GsigpuError:
    return kind(what, where=where, remedy=remedy)


class InputError(GsigpuError):
    """The input cannot give what was asked."""


class StudyError(InputError):
    """What the folder holds."""


class NoSpectralStack(StudyError):
    """No monoenergetic series."""


class AmbiguousStack(StudyError):
    """Two candidate stacks where one was asked."""


class EnergyConflict(StudyError):
    """Evidence for a series' energy disagrees."""


class TooFewEnergies(StudyError):
    """The asked map needs energies that are not there."""


class GeometryError(InputError):
    """Where the slices lie."""


class MissingSlices(GeometryError):
    """A gap of one or more whole slices."""


class DuplicateSlices(GeometryError):
    """Two slices of one series at the same place."""


class NonUniformSpacing(GeometryError):
    """Slice distances that differ and are not multiples of one another."""


class MixedOrientations(GeometryError):
    """Slices of one series that are not parallel."""


class GantryTilt(GeometryError):
    """Slices stacked along a direction that is not their normal."""


class GridMismatch(GeometryError):
    """Two grids that must be equal are not."""


class FileChanged(InputError):
    """A file was changed between two readings of it."""


class PixelDataError(InputError):
    """What the pixel data hold."""


class TruncatedPixelData(PixelDataError):
    """Fewer bytes than rows, columns and bits ask for."""


class UnsupportedPixelData(PixelDataError):
    """A transfer syntax or layout that nothing here decodes."""


class MaskError(InputError):
    """What a mask holds, or where it belongs."""


class WrongPatient(MaskError):
    """A mask of another patient or study."""


class WrongPhase(MaskError):
    """A mask drawn on another contrast phase."""


class PoorRegistration(MaskError):
    """A lesion that was carried over from another phase and does not lie in its place."""


class DamagedMask(MaskError):
    """A mask file that was cut off or altered."""


class EmptyMask(MaskError):
    """A mask, or a region named in one, without voxels."""


class OutsideStudy(MaskError):
    """No voxel of a region lies in the study."""


class UnmappedLabel(MaskError):
    """A label that the mapping of roles does not name."""


class UnclearRole(MaskError):
    """What a region is cannot be told from its name or size."""


class UnclearPosition(MaskError):
    """Where a mask lies cannot be told from its file."""


class NoValidVoxels(MaskError):
    """None of a region's voxels has a value."""


class SettingsError(GsigpuError):
    """An option or argument that makes no sense."""


class OutputError(GsigpuError):
    """The output exists already, or cannot be written."""


class BackendError(GsigpuError):
    """The processor asked for."""


class GpuUnavailable(BackendError):
    """No usable CUDA device."""


class DeviceOutOfMemory(BackendError):
    """Even one slice does not fit on the device."""


class ProgramFailed(GsigpuError):
    """A program of others was called, and failed or left something else than it should."""


class MissingDependency(GsigpuError):
    """An optional package is not installed."""


class PlugInError(GsigpuError):
    """What another package adds to gsigpu failed."""

    @classmethod
    def of(cls, group: str, name: str, error: Exception, *, where: object = None) -> "PlugInError":
        """An exception that it raised."""
        return cls(
            f"{name!r}, which a package adds to {group}, failed ({type(error).__name__}: {error})",
            where=where,
            remedy="leave it out, or repair its package",
        )


class GsigpuWarning(UserWarning):
    """What a person should know though nothing failed; the command line prints it as a line on stderr."""
