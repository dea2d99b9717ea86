"""What a NIfTI, NRRD or MetaImage file holds: voxels, the place that they are read as, and the header's texts.

NIfTI is read by nibabel, which every installation has, the others by SimpleITK (extra `masks`). A NIfTI has the place
that ITK gives it, so that a mask lies where the program showed it that drew it: spacing from pixdim, axes and origin from
the sform, else the qform. Where these disagree is asked elsewhere (`positions.py`). Oracle: SimpleITK, of every file that
the tests have.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.errors import GeometryError, GsigpuError, MaskError
from gsigpu.optional_packages import named_where_absent
from gsigpu.volume import VolumeGeometry

_NIFTI = (".nii", ".nii.gz")
# Of the units in a NIfTI's header, millimetres in one; all else counts as mm, as ITK has it.
_METRE, _MICROMETRE = 1, 3
_UNIT_MM = {_METRE: 1000.0, _MICROMETRE: 1e-3}
# Intents of a NIfTI whose fifth dimension is of one voxel: symmetric matrix, displacement, vector.
_VECTORS = {1005, 1006, 1007}
# How far a NIfTI's axes may be from right angles, as ITK takes it.
_ORTHOGONAL = 1e-4
_TO_LPS = np.diag([-1.0, -1.0, 1.0])


@dataclass(frozen=True, slots=True)
class StoredVolume:
    """A file's content.

    values : (z, y, x), or (z, y, x, channels) where the file has several volumes or several values per voxel
    n_components : values per voxel; several volumes in a fourth dimension are channels, and one component
    texts : of an NRRD's header, by key
    """

    values: NDArray[Any]
    grid: VolumeGeometry
    n_components: int = 1
    texts: Mapping[str, str] = field(default_factory=dict)


def read_volume(
    path: Path, *, content: NDArray[np.uint8] | None = None, all_volumes: bool = False
) -> StoredVolume:
    """The volume of a file.

    content : of a NIfTI, unpacked, as `integrity.whole_content` gives it; the file is read where it is None
    all_volumes : of four dimensions are taken; else a file of several volumes is none of labels
    Raises MaskError where it cannot be read or has not three dimensions, MissingDependency.
    """
    volume, n_dimensions = _by_nibabel(path, content) if is_nifti(path) else _by_sitk(path)
    if n_dimensions == 4 and (all_volumes or volume.values.shape[-1] == 1):
        if volume.values.shape[-1] == 1:
            return StoredVolume(volume.values[..., 0], volume.grid, texts=volume.texts)
        return volume
    if n_dimensions != 3:
        raise _flat(path, n_dimensions)
    return volume


def read_grid(path: Path) -> VolumeGeometry:
    """Where the volume of a file lies, by its header alone. Raises MaskError, MissingDependency."""
    try:
        if is_nifti(path):
            import nibabel

            header: Any = nibabel.load(path).header
            shape = header.get_data_shape()
            n_dimensions, further = len(shape), shape[3:]
            grid = nifti_grid(header, shape[:3]) if n_dimensions >= 3 else None
        else:
            with named_where_absent(f"a mask in {path.suffix}"):
                import SimpleITK

            library: Any = SimpleITK
            reader = library.ImageFileReader()
            reader.SetFileName(str(path))
            reader.ReadImageInformation()
            n_dimensions, further = int(reader.GetDimension()), reader.GetSize()[3:]
            grid = sitk_grid(reader) if n_dimensions >= 3 else None
    except GsigpuError:
        raise
    except Exception as error:  # each library has errors of its own for what is no header
        raise _unreadable(path, error) from error
    if grid is None or any(extent != 1 for extent in further):
        raise _flat(path, n_dimensions)
    return grid


def is_nifti(path: Path) -> bool:
    """By the end of its name."""
    return path.name.lower().endswith(_NIFTI)


def nifti_grid(header: Any, shape_xyz: tuple[int, ...]) -> VolumeGeometry:
    """Where the voxels of a nibabel header lie. Raises ValueError, GeometryError."""
    unit_mm = _UNIT_MM.get(int(header["xyzt_units"]) & 7, 1.0)
    spacing_mm = np.abs(np.asarray(header["pixdim"][1:4], np.float64)) * unit_mm
    form = header.get_sform(coded=True)[0]
    if form is None:
        form = header.get_qform(coded=True)[0]
    if form is None:  # no place at all: only shape and spacing say something
        form = np.eye(4)
    columns = _TO_LPS @ np.asarray(form, np.float64)[:3, :3]
    lengths = np.linalg.norm(columns, axis=0)
    if not lengths.min() > 0.0:
        raise ValueError("its axes have no length")
    axes = columns / lengths
    if np.abs(axes.T @ axes - np.eye(3)).max() > _ORTHOGONAL:
        raise ValueError("its axes are not at right angles")
    affine = np.eye(4)
    affine[:3, :3] = axes * spacing_mm
    affine[:3, 3] = _TO_LPS @ np.asarray(form, np.float64)[:3, 3] * unit_mm
    x, y, z = shape_xyz
    return VolumeGeometry.from_affine(affine, (z, y, x))


def _by_nibabel(path: Path, content: NDArray[np.uint8] | None) -> tuple[StoredVolume, int]:
    """The volume, and how many dimensions the file has; those of one voxel at the end count for nothing."""
    import nibabel

    library: Any = nibabel
    try:
        header: Any = None
        values: NDArray[Any] | None = None
        if content is not None:
            header, values = _in_content(library, content)
        if values is None:
            image = library.Nifti1Image.from_filename(path, mmap=False)
            header, values = image.header, np.asanyarray(image.dataobj)
        shape = list(header.get_data_shape())
        while len(shape) > 3 and shape[-1] == 1:
            shape.pop()
        grid = nifti_grid(header, tuple(shape[:3])) if len(shape) >= 3 else None
    except (OSError, ValueError, EOFError, zlib.error, GeometryError) as error:
        raise _unreadable(path, error) from error
    except Exception as error:
        if type(error).__module__.startswith("nibabel"):
            raise _unreadable(path, error) from error
        raise
    if grid is None:
        raise _flat(path, len(shape))
    n_components = 1
    if values.dtype.names is not None:  # colours
        n_components = len(values.dtype.names)
        values = values[values.dtype.names[0]]
    elif len(shape) == 5 and shape[3] == 1 and int(header["intent_code"]) in _VECTORS:
        n_components = shape[4]
        shape = [*shape[:3], n_components]
    values = values.reshape(shape, order="F")
    spatial = values.transpose(2, 1, 0, *range(3, values.ndim))
    n_dimensions = 3 if n_components > 1 else len(shape)
    return StoredVolume(np.ascontiguousarray(spatial), grid, n_components), n_dimensions


def _in_content(library: Any, content: NDArray[np.uint8]) -> tuple[Any, NDArray[Any] | None]:
    """Header and voxels of a NIfTI where they lie; no voxels where they are scaled, which is nibabel's to do."""
    kind = library.Nifti1Header
    first = int(kind(content[: kind.sizeof_hdr].tobytes(), check=False)["vox_offset"])
    header = kind.from_fileobj(BytesIO(content[:first].tobytes()))  # with its extensions
    if header.get_slope_inter() not in {(None, None), (1.0, 0.0)}:
        return header, None
    dtype, shape = header.get_data_dtype(), header.get_data_shape()
    voxels = content[first : first + prod(shape) * dtype.itemsize].view(dtype)
    return header, voxels.reshape(shape, order="F")


def _by_sitk(path: Path) -> tuple[StoredVolume, int]:
    with named_where_absent(f"a mask in {path.suffix}"):
        import SimpleITK

    library: Any = SimpleITK
    try:
        image = library.ReadImage(str(path))
    except RuntimeError as error:
        raise _unreadable(path, error) from error
    n_dimensions = image.GetDimension()
    values = library.GetArrayFromImage(image)  # a copy: views of images die with them
    if n_dimensions < 3:
        raise _flat(path, n_dimensions)
    if n_dimensions == 4:
        values = np.moveaxis(values, 0, 3)
    texts = {str(key): str(image.GetMetaData(key)) for key in image.GetMetaDataKeys()}
    n_components = int(image.GetNumberOfComponentsPerPixel())
    return StoredVolume(values, sitk_grid(image), n_components, texts), n_dimensions


def sitk_grid(image: Any) -> VolumeGeometry:
    """Where the first three dimensions of an image of SimpleITK, or of a reader that has read its header, lie."""
    n = int(image.GetDimension())
    affine = np.eye(4)
    directions = np.array(image.GetDirection()).reshape(n, n)[:3, :3]
    affine[:3, :3] = directions * np.array(image.GetSpacing())[:3]
    affine[:3, 3] = np.array(image.GetOrigin())[:3]
    x, y, z = image.GetSize()[:3]
    return VolumeGeometry.from_affine(affine, (z, y, x))


def _flat(path: Path, n_dimensions: int) -> MaskError:
    return MaskError(f"has {n_dimensions} dimensions", where=path, remedy="save a volume of labels")


def _unreadable(path: Path, error: Exception) -> MaskError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[-1]
    return MaskError(
        f"cannot be read ({reason})", where=path, remedy="save the mask again, as .nii.gz"
    )
