"""What the header of a label volume says of its own file: where the voxels lie, how many there are, in which patient space.

NIfTI, NRRD and MetaImage headers are read here beside SimpleITK, which fills voxels that a damaged file does
not hold, takes one of two positions that disagree, and puts a file without a position at the scanner's origin.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import unescape
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.errors import DamagedMask, MaskError

# Bytes of a file that are looked at for its header: the largest is that of an NRRD with the tags of some
# hundred segments, about 100 kB; a NIfTI's extensions with the names of 120 labels take 10 kB.
_HEADER_BYTES = 2**22
# A NIfTI-1 header with the four bytes that say whether extensions follow.
_NIFTI_BYTES = 352
GZIP_MAGIC = b"\x1f\x8b"
_NRRD_SIZES = {
    "int8": 1, "signed char": 1, "int8_t": 1, "uchar": 1, "unsigned char": 1, "uint8": 1, "uint8_t": 1,
    "short": 2, "short int": 2, "signed short": 2, "signed short int": 2, "int16": 2, "int16_t": 2,
    "ushort": 2, "unsigned short": 2, "unsigned short int": 2, "uint16": 2, "uint16_t": 2,
    "int": 4, "signed int": 4, "int32": 4, "int32_t": 4, "uint": 4, "unsigned int": 4, "uint32": 4,
    "uint32_t": 4, "longlong": 8, "long long": 8, "long long int": 8, "signed long long": 8,
    "signed long long int": 8, "int64": 8, "int64_t": 8, "ulonglong": 8, "unsigned long long": 8,
    "unsigned long long int": 8, "uint64": 8, "uint64_t": 8, "float": 4, "double": 8,
}  # fmt: skip
_NRRD_ENCODINGS = {
    "raw": "raw", "gz": "gzip", "gzip": "gzip", "bz2": "bzip2", "bzip2": "bzip2",
    "txt": "text", "text": "text", "ascii": "text", "hex": "hex",
}  # fmt: skip
_META_SIZES = {
    "MET_CHAR": 1, "MET_UCHAR": 1, "MET_SHORT": 2, "MET_USHORT": 2, "MET_INT": 4, "MET_UINT": 4,
    "MET_LONG": 4, "MET_ULONG": 4, "MET_LONG_LONG": 8, "MET_ULONG_LONG": 8, "MET_FLOAT": 4, "MET_DOUBLE": 8,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class VolumeHeader:
    """What a volume's header says.

    data_files : that hold the voxels, each its equal share; the file itself where nothing else is named
    offset : bytes before the voxels in each data file; -1 for "as many as leave just the voxels"
    encoding : raw, gzip, zlib, bzip2, text or hex
    n_values, value_bytes : of all data files together
    affines_ras : form -> (4, 4) from index (x, y, z, 1) to RAS mm; `sform` and `qform` of a NIfTI that
        has them, nothing for other formats
    has_position : whether the header says where in the patient the volume lies
    label_names : label -> name, where the header says them
    """

    data_files: tuple[Path, ...]
    offset: int
    encoding: str
    n_values: int
    value_bytes: int
    affines_ras: Mapping[str, NDArray[np.float64]]
    has_position: bool
    label_names: Mapping[int, str]


def read_volume_header(path: Path) -> VolumeHeader:
    """The header of a NIfTI, NRRD or MetaImage file, by the end of its name, which is one of VOLUME_SUFFIXES.

    Raises DamagedMask if it cannot be read.
    """
    name = path.name.lower()
    try:
        with path.open("rb") as file:
            start = file.read(_HEADER_BYTES)
        return next(read for suffix, read in _READERS.items() if name.endswith(suffix))(path, start)
    except DamagedMask:
        raise
    except (ValueError, KeyError, IndexError, UnicodeDecodeError, zlib.error, EOFError) as error:
        raise damaged(path, f"its header cannot be read: {' '.join(str(error).split())}") from error


def damaged(path: Path, reason: str) -> DamagedMask:
    """The error of a file that is not whole."""
    return DamagedMask(f"is damaged ({reason})", where=path, remedy="copy or export the mask again")


def _nifti(path: Path, start: bytes) -> VolumeHeader:
    from nibabel.nifti1 import Nifti1Header

    is_gzip = start[:2] == GZIP_MAGIC
    if is_gzip:
        start = _unzipped_header(start)
    sizes = {int.from_bytes(start[:4], "little"), int.from_bytes(start[:4], "big")}
    if not sizes & {348, 540}:
        raise damaged(path, "it does not begin as a NIfTI")
    if 540 in sizes:
        raise MaskError(
            "is a NIfTI-2 file, which is not read",
            where=path,
            remedy="save it as NIfTI-1, or as NRRD",
        )
    if is_gzip and not path.name.lower().endswith(".gz"):
        raise MaskError(
            "is compressed, and its name says that it is not", where=path, remedy="name it .nii.gz"
        )
    _require_voxels_behind_header(path, start)
    try:
        kind: Any = Nifti1Header
        header = kind.from_fileobj(BytesIO(start))
    except Exception as error:  # nibabel has errors of its own for what is no header
        raise ValueError(str(error)) from error
    if not bytes(header["magic"]).startswith((b"n+1", b"n+2")):
        raise MaskError(
            "keeps its voxels in another file (.img)", where=path, remedy="save it as .nii.gz"
        )
    shape = [int(n) for n in header.get_data_shape()]
    value_bytes = int(header["bitpix"]) // 8
    if value_bytes != header.get_data_dtype().itemsize:
        raise ValueError("its data type and its bits per voxel disagree")
    if not shape or min(shape) < 1:
        raise ValueError(f"it has {shape} voxels")
    forms = {
        name: np.asarray(affine, dtype=np.float64)
        for name, affine in (
            ("sform", header.get_sform(coded=True)[0]),
            ("qform", _qform(header)),
        )
        if affine is not None
    }
    return VolumeHeader(
        data_files=(path,),
        offset=int(header["vox_offset"]),
        encoding="gzip" if is_gzip else "raw",
        n_values=prod(shape),
        value_bytes=value_bytes,
        affines_ras=forms,
        has_position=bool(forms),
        label_names=_nifti_names(header),
    )


def _unzipped_header(start: bytes) -> bytes:
    """The bytes before the voxels: what names the labels lies between header and voxels, and a mask has megabytes of these."""
    stream = zlib.decompressobj(wbits=31)
    header = stream.decompress(start, _NIFTI_BYTES)
    offset = _voxel_offset(header)
    if not _NIFTI_BYTES < offset < np.inf:
        return header
    n_more = min(int(offset), _HEADER_BYTES) - len(header)
    return header + stream.decompress(stream.unconsumed_tail, max(n_more, 1))


def _voxel_offset(header: bytes) -> float:
    """Where a NIfTI-1 header says that voxels begin; NaN where it is too short for that."""
    if len(header) < _NIFTI_BYTES:
        return float("nan")
    order = "<" if int.from_bytes(header[:4], "little") == 348 else ">"
    offset: float = struct.unpack(f"{order}f", header[108:112])[0]
    return offset


def _require_voxels_behind_header(path: Path, start: bytes) -> None:
    """Raises DamagedMask where voxels of one file with its header begin inside that, or nowhere.

    nibabel takes 0 for "right behind the header", SimpleITK takes it by the letter, and has the header as voxels.
    """
    if len(start) < _NIFTI_BYTES or start[344:347] != b"n+1":
        return
    offset = _voxel_offset(start)
    if not _NIFTI_BYTES <= offset < np.inf or offset != int(offset):
        raise damaged(
            path, f"its voxels begin at byte {offset:g}, and its header ends at {_NIFTI_BYTES}"
        )


def _qform(header: Any) -> NDArray[np.float64] | None:
    affine = header.get_qform(coded=True)[0]
    return None if affine is None else np.asarray(affine, dtype=np.float64)


def _nifti_names(header: Any) -> dict[int, str]:
    """Label names of an extension in Caret's XML, as TotalSegmentator writes them into one file of all labels."""
    names: dict[int, str] = {}
    for extension in header.extensions:
        content = extension.get_content()
        text = content.decode("utf-8", "replace") if isinstance(content, bytes) else str(content)
        if "<LabelTable" in text:
            for key, name in re.findall(
                r'<Label\b[^>]*\bKey="(\d+)"[^>]*>(.*?)</Label>', text, re.DOTALL
            ):
                plain = re.sub(r"<!\[CDATA\[(.*?)\]\]>", r"\1", name, flags=re.DOTALL)
                names[int(key)] = unescape(plain).strip()
    return {label: name for label, name in names.items() if label and name}


def _nrrd(path: Path, start: bytes) -> VolumeHeader:
    if not start.startswith(b"NRRD000"):
        raise damaged(path, "it does not begin as an NRRD")
    end, skip = min(
        (
            (position, len(blank))
            for blank in (b"\n\n", b"\r\n\r\n")
            if (position := start.find(blank)) >= 0
        ),
        default=(len(start), 0),
    )
    lines = start[:end].decode("utf-8").splitlines()[1:]
    fields: dict[str, str] = {}
    data_lines: list[str] | None = None
    for line in lines:
        if data_lines is not None:
            data_lines.append(line.strip())
        elif line.startswith("#") or ":=" in line.split(": ", 1)[0]:
            continue
        elif ":" in line:
            key, _, value = line.partition(":")
            key = key.strip().lower()
            fields[key] = value.strip()
            if key in ("data file", "datafile") and value.split()[:1] == ["LIST"]:
                data_lines = []
    named = fields.get("data file", fields.get("datafile"))
    if named is None and not skip:
        raise ValueError("no empty line ends it")
    sizes = [int(size) for size in fields["sizes"].split()]
    if len(sizes) != int(fields["dimension"]) or min(sizes) < 1:
        raise ValueError(f"it has sizes {sizes} in {fields['dimension']} dimensions")
    if "line skip" in fields or "lineskip" in fields:
        raise ValueError("a line skip, which nothing here writes")
    byte_skip = int(fields.get("byte skip", fields.get("byteskip", "0")))
    return VolumeHeader(
        data_files=(path,) if named is None else _named_files(path, named, data_lines),
        offset=byte_skip if byte_skip < 0 or named is not None else end + skip + byte_skip,
        encoding=_NRRD_ENCODINGS[fields["encoding"].lower()],
        n_values=prod(sizes),
        value_bytes=_NRRD_SIZES[fields["type"].lower()],
        affines_ras={},
        has_position={"space", "space directions", "space origin"} <= set(fields),
        label_names={},
    )


def _meta(path: Path, start: bytes) -> VolumeHeader:
    fields: dict[str, str] = {}
    position, data_lines = 0, None
    while "ElementDataFile" not in fields:
        end = start.find(b"\n", position)
        if end < 0:
            raise ValueError("no ElementDataFile")
        key, equals, value = start[position:end].decode("utf-8").partition("=")
        if not equals:
            raise ValueError(f"the line {key.strip()[:40]!r}")
        fields[key.strip()] = value.strip()
        position = end + 1
    named = fields["ElementDataFile"]
    is_local = named.upper() == "LOCAL"
    if named.split()[0] == "LIST":
        data_lines = start[position:].decode("utf-8").split("\n")
    sizes = [int(size) for size in fields["DimSize"].split()]
    if len(sizes) != int(fields["NDims"]) or min(sizes) < 1:
        raise ValueError(f"it has sizes {sizes} in {fields['NDims']} dimensions")
    is_compressed = fields.get("CompressedData", "False").lower() in ("true", "1")
    is_text = fields.get("BinaryData", "True").lower() in ("false", "0")
    skip = int(fields.get("HeaderSize", "0"))
    keys = set(fields)
    return VolumeHeader(
        data_files=(path,) if is_local else _named_files(path, named, data_lines),
        offset=position if is_local else skip,
        encoding="zlib" if is_compressed else "text" if is_text else "raw",
        n_values=prod(sizes) * int(fields.get("ElementNumberOfChannels", "1")),
        value_bytes=_META_SIZES[fields["ElementType"].removesuffix("_ARRAY")],
        affines_ras={},
        has_position=bool(keys & {"Offset", "Position", "Origin"})
        and bool(keys & {"TransformMatrix", "Rotation", "Orientation"})
        and bool(keys & {"ElementSpacing", "ElementSize"}),
        label_names={},
    )


def _named_files(path: Path, named: str, lines: Sequence[str] | None) -> tuple[Path, ...]:
    """The data files that a header names: one, a list, or a pattern with first, last and step."""
    words = named.split()
    if lines is not None:
        names = [line.strip() for line in lines if line.strip()]
    elif len(words) >= 4 and "%" in words[0]:
        first, last, step = (int(word) for word in words[1:4])
        names = [words[0] % number for number in range(first, last + 1, step)]
    else:
        names = [named]
    if not names:
        raise ValueError("it names no file of voxels")
    return tuple(path.parent / name for name in names)


# Every format of label volumes, by the end of its name; `stored_volume.py` reads the voxels.
_READERS: dict[str, Callable[[Path, bytes], VolumeHeader]] = {
    ".nii": _nifti,
    ".nii.gz": _nifti,
    ".nrrd": _nrrd,
    ".nhdr": _nrrd,
    ".mha": _meta,
    ".mhd": _meta,
}
VOLUME_SUFFIXES = tuple(_READERS)
