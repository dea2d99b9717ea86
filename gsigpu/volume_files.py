"""Maps as float32 volumes in NIfTI and NRRD: a header, then slice after slice, in bounded memory."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from gsigpu.maps.definitions import MapDefinition
from gsigpu.volume import VolumeGeometry


def file_name(map_name: str) -> str:
    """A map's name as the name of a file or folder on any system.

    >>> file_name("lambda-hu[fit:40-100]"), file_name("lambda-hu[60-100/60]")
    ('lambda-hu_fit-40-100', 'lambda-hu_60-100_60')
    """
    return re.sub(
        r"[^A-Za-z0-9.-]+", lambda found: "-" if found[0] == ":" else "_", map_name
    ).strip("_")


class PlaneFile:
    """One file: a header, then planes of equal size, written in any order and from several threads."""

    def __init__(self, path: Path, header: bytes, *, plane_bytes: int) -> None:
        """Creates the file with its header."""
        self._file = path.open("xb", buffering=0)
        self._start, self._plane_bytes = len(header), plane_bytes
        self._lock = threading.Lock()
        self._write(0, memoryview(header))

    def write(self, z: int, plane: NDArray[Any]) -> None:
        """Plane z, as the bytes of a C-contiguous array."""
        contiguous: Any = np.ascontiguousarray(plane)
        pixels = memoryview(contiguous).cast("B")
        assert pixels.nbytes == self._plane_bytes
        self._write(self._start + z * self._plane_bytes, pixels)

    def _write(self, offset: int, data: memoryview) -> None:
        with self._lock:
            self._file.seek(offset)
            while data:
                data = data[self._file.write(data) :]

    def close(self) -> None:
        """After the last plane."""
        self._file.close()


class VolumeSink:
    """Writes each map as one volume file; NaN where there is no value.

    names : map name -> its file inside the output folder
    """

    dtype: np.dtype[Any] = np.dtype(np.float32)

    def __init__(
        self,
        folder: Path,
        definitions: Sequence[MapDefinition],
        geometry: VolumeGeometry,
        *,
        suffix: str,
    ) -> None:
        """Creates the files.

        suffix : `.nii` or `.nrrd`
        """
        make_header = {".nii": nifti_header, ".nrrd": nrrd_header}[suffix]
        _, rows, columns = geometry.shape
        self.names = {one.name: file_name(one.name) + suffix for one in definitions}
        self._files = [
            PlaneFile(
                folder / self.names[one.name],
                make_header(one, geometry),
                plane_bytes=rows * columns * 4,
            )
            for one in definitions
        ]

    def write(self, z: int, planes: Sequence[NDArray[Any]]) -> None:
        """Planes of slice z, (rows, columns) float32, one per map."""
        for file, plane in zip(self._files, planes, strict=True):
            file.write(z, plane.astype("<f4", copy=False))

    def __enter__(self) -> VolumeSink:
        """Nothing to do."""
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Closes the files."""
        for file in self._files:
            file.close()


def nifti_header(definition: MapDefinition, geometry: VolumeGeometry) -> bytes:
    """The 352 bytes before the voxels of a NIfTI-1 file, (x, y, z) with x fastest, RAS mm."""
    header: Any = cast("Any", nib.Nifti1Header)(endianness="<")
    header.set_data_dtype("<f4")
    header.set_data_shape(geometry.shape[::-1])
    header.set_sform(geometry.affine_ras, code="scanner")
    header.set_qform(geometry.affine_ras, code="scanner")
    header.set_xyzt_units("mm")
    centre, width = definition.window
    header["cal_min"], header["cal_max"] = centre - width / 2, centre + width / 2
    header["descrip"] = f"{definition.title} {definition.unit.display}".strip().encode("ascii")[:79]
    header.set_data_offset(352)
    return bytes(header.binaryblock) + bytes(4)


def nrrd_header(definition: MapDefinition, geometry: VolumeGeometry) -> bytes:
    """An attached NRRD header: fields after teem's definition of the format, axes x, y, z, LPS mm."""
    n_z, n_y, n_x = geometry.shape
    directions = " ".join(_nrrd_vector(column) for column in geometry.affine_lps[:3, :3].T)
    return (
        "NRRD0005\n"
        f"# {definition.title}: {definition.formula}\n"
        f"content: {definition.title}\n"
        "type: float\n"
        "dimension: 3\n"
        "space: left-posterior-superior\n"
        f"sizes: {n_x} {n_y} {n_z}\n"
        f"space directions: {directions}\n"
        "kinds: domain domain domain\n"
        "endian: little\n"
        "encoding: raw\n"
        f"space origin: {_nrrd_vector(geometry.affine_lps[:3, 3])}\n"
        f"unit:={definition.unit.ucum}\n"
        f"formula:={definition.formula}\n"
        "\n"
    ).encode("ascii")


def _nrrd_vector(vector: NDArray[np.float64]) -> str:
    return "(" + ",".join(repr(float(value)) for value in vector) + ")"
