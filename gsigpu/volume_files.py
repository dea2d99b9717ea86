"""Maps as float32 volumes in NIfTI and NRRD: a header, then slice after slice, in bounded memory."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, cast

import nibabel as nib
import numpy as np
from numpy.typing import DTypeLike, NDArray

from gsigpu.map_files import MapFiles, PlaneFile, map_names
from gsigpu.maps.definitions import MapDefinition
from gsigpu.volume import VolumeGeometry

# Of gzip: noise of float32 gets no smaller by trying harder, 0.893 of the bytes with 6 for 0.898 with 1.
_LEVEL = 1
_BLOCK_BYTES = 1 << 20


def volume_sink(
    folder: Path,
    definitions: Sequence[MapDefinition],
    geometry: VolumeGeometry,
    *,
    suffix: Literal[".nii", ".nii.gz", ".nrrd"],
) -> MapFiles:
    """Files in `folder`, one float32 volume per map; NaN where there is no value."""
    make_header = nrrd_header if suffix == ".nrrd" else map_nifti_header
    planes_in = GzipPlaneFile if suffix == ".nii.gz" else PlaneFile
    _, rows, columns = geometry.shape
    names = map_names(definitions, suffix=suffix)
    writers = [
        planes_in(
            folder / names[definition.name],
            make_header(definition, geometry),
            n_plane_bytes=rows * columns * 4,
        )
        for definition in definitions
    ]
    return MapFiles(definitions, writers, suffix=suffix)


class GzipPlaneFile(PlaneFile):
    """A file that is compressed once all of its planes are there: they come in any order, and gzip has but one.

    The same planes give the same bytes: no time and no name is in the file.
    """

    def __init__(self, path: Path, header: bytes, *, n_plane_bytes: int) -> None:
        """Creates what will be compressed, beside `path`."""
        self._final, self._plain = path, path.with_suffix(".part")
        super().__init__(self._plain, header, n_plane_bytes=n_plane_bytes)

    def finish(self) -> None:
        """Compresses."""
        with (
            self._plain.open("rb") as plain,
            self._final.open("xb") as file,
            gzip.GzipFile("", "wb", compresslevel=_LEVEL, fileobj=file, mtime=0) as compressed,
        ):
            shutil.copyfileobj(plain, compressed, _BLOCK_BYTES)

    def close(self) -> None:
        """After the last plane."""
        super().close()
        self._plain.unlink(missing_ok=True)


def map_nifti_header(definition: MapDefinition, geometry: VolumeGeometry) -> bytes:
    """The NIfTI-1 header of a map, float32, with its window, title and unit."""
    centre, width = definition.window
    return nifti_header(
        geometry,
        np.float32,
        display_range=(centre - width / 2, centre + width / 2),
        description=f"{definition.title} {definition.unit.display}".strip(),
    )


def nifti_header(
    geometry: VolumeGeometry,
    dtype: DTypeLike,
    *,
    display_range: tuple[float, float] = (0.0, 0.0),
    description: str = "",
) -> bytes:
    """The 352 bytes before the voxels of a NIfTI-1 file, (x, y, z) with x fastest, RAS mm."""
    header: Any = cast("Any", nib.Nifti1Header)(endianness="<")
    header.set_data_dtype(dtype)
    header.set_data_shape(geometry.shape[::-1])
    header.set_sform(geometry.affine_ras, code="scanner")
    header.set_qform(geometry.affine_ras, code="scanner")
    header.set_xyzt_units("mm")
    header["cal_min"], header["cal_max"] = display_range
    header["descrip"] = description.encode("ascii")[:79]
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
