"""One derived series, one file per slice: the header is encoded once and filled in for each slice."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset

from gsigpu.backends.compiled_files import write_headers
from gsigpu.dicom.model import Plane
from gsigpu.dicom.writing.content_names import (
    PLACEHOLDER_IMAGE_UID,
    PLACEHOLDERS,
    ContentNames,
    header_digest,
    names_of,
    pixel_digest,
)
from gsigpu.dicom.writing.derived import DerivedSeries, source_image_items
from gsigpu.dicom.writing.encoding import (
    encapsulated,
    encode_frame,
    is_native,
    transfer_syntax_uid,
)
from gsigpu.dicom.writing.template import HeaderTemplate, decimal
from gsigpu.map_files import plane_bytes

# Headers in one call, when the names are written.
_HEADERS_AT_ONCE = 64
# What is named by content: its placeholder, and how often it stands in a header.
_PLACES = {
    "uid": (PLACEHOLDER_IMAGE_UID.encode("ascii"), 2),
    "series_uid": (PLACEHOLDERS.series_uid.encode("ascii"), 1),
    "number": (PLACEHOLDERS.number.encode("ascii"), 1),
}
# What source references look like in the header: for each source, its class and whether it has frames.
Layout = tuple[tuple[str, bool], ...]


class SliceFiles:
    """Writes the slices of one series, in any order and from several threads.

    A slice's header is the template with the values of the slice: `header` gives the same as pydicom
    holds it, and the bytes written are those that pydicom would write. The names of series and slices follow
    from the content of all slices; `finish` writes them over their placeholders.
    """

    def __init__(
        self,
        folder: Path,
        derived: DerivedSeries,
        describe: Callable[[FileDataset], None],
        *,
        n_pixel_bytes: int,
        pixel_vr: Literal["OB", "OW"] = "OW",
        transfer_syntax: str = "explicit",
    ) -> None:
        """Makes the folder.

        describe : adds what the kind of object needs beside identity, references and geometry
        transfer_syntax : by its name; planes are int16 where it compresses
        """
        self._folder, self._derived, self._describe = folder, derived, describe
        self._n_pixel_bytes, self._pixel_vr = n_pixel_bytes, pixel_vr
        self._transfer_syntax = transfer_syntax
        self._names: ContentNames | None = None
        self._digests: dict[int, bytes] = {}
        self._headers: dict[int, bytes] = {}  # with placeholders
        n_slices = derived.stack.geometry.shape[0]
        firsts = first_of_each(derived, n_slices)
        self._templates = {layout_of(derived.sources(z)): self._template(z) for z in firsts}
        self._only_template = self._template_at(0) if len(firsts) == 1 else None
        folder.mkdir()

    def holds_as_they_are(self, n_bytes: int) -> bool:
        """Whether the bytes of a plane are those of its file."""
        return is_native(self._transfer_syntax) and n_bytes == self._n_pixel_bytes

    def path(self, z: int) -> Path:
        """The file of slice z."""
        return self._folder / file_of_slice(z)

    def header_bytes(self, z: int) -> bytes:
        """What stands in the file of slice z before its pixels; with placeholders until the names are known."""
        template = self._only_template or self._template_at(z)
        return template.fill(self._values(z))

    def _template_at(self, z: int) -> HeaderTemplate:
        return self._templates[layout_of(self._derived.sources(z))]

    def note(self, z: int, header: bytes, digest: bytes) -> None:
        """The file of slice z was written.

        header : with placeholders
        digest : of its pixels
        """
        self._digests[z] = header_digest(header) + digest
        self._headers[z] = header

    def write(self, z: int, plane: NDArray[Any]) -> None:
        """The file of slice z."""
        header = self.header_bytes(z)
        if is_native(self._transfer_syntax):
            pixels = plane_bytes(plane)
            assert pixels.nbytes == self._n_pixel_bytes
            digest = pixel_digest(pixels)
        else:
            frame = encode_frame(np.ascontiguousarray(plane), self._transfer_syntax)
            pixels = memoryview(b"".join(encapsulated([frame])))
            digest = hashlib.sha256(pixels).digest()
        self.note(z, header, digest)
        self._write(z, os.O_CREAT | os.O_EXCL, [memoryview(header), pixels])

    def finish(self) -> None:
        """Names the series and its slices; call it once, after the last."""
        order = sorted(self._digests)
        self._names = names_of(self._digests[z] for z in order)
        for first in range(0, len(order), _HEADERS_AT_ONCE):
            some = order[first : first + _HEADERS_AT_ONCE]
            headers = [self._named_header(z, self._names) for z in some]
            n_done = write_headers([os.fsencode(self.path(z)) for z in some], headers)
            for z, header in zip(some[n_done:], headers[n_done:], strict=True):
                self._write(z, 0, [memoryview(header)])

    def _named_header(self, z: int, names: ContentNames) -> bytes:
        """The header of slice z with its names, which are as long as their placeholders."""
        header = self._headers.pop(z)
        for name, (placeholder, n) in _PLACES.items():
            if header.count(placeholder) != n:  # a source may be called so too
                return self.header_bytes(z)
            given = names.image_uid(z) if name == "uid" else getattr(names, name)
            header = header.replace(placeholder, given.encode("ascii"))
        return header

    @property
    def sop_class_uid(self) -> str:
        """What kind of objects the slices are."""
        return self._derived.sop_class_uid

    @property
    def series_uid(self) -> str:
        """Series Instance UID, once it is finished."""
        assert self._names is not None
        return self._names.series_uid

    @property
    def image_uids(self) -> tuple[str, ...]:
        """SOP Instance UIDs in the order of the slices, once it is finished."""
        assert self._names is not None
        return tuple(self._names.image_uid(z) for z in sorted(self._digests))

    def close(self) -> None:
        """Nothing to do: no file stays open."""

    def _write(self, z: int, flags: int, parts: list[memoryview]) -> None:
        descriptor = os.open(self.path(z), os.O_WRONLY | flags | _BINARY, 0o666)
        try:
            _write_fully(descriptor, parts)
        finally:
            os.close(descriptor)

    def header(self, z: int) -> FileDataset:
        """The header of slice z, without pixel data."""
        return self._dataset(z, self._values(z))

    def _values(self, z: int) -> dict[str, str]:
        """What differs between the slices of a series."""
        planes = self._derived.sources(z)
        grid = self._derived.stack.geometry
        position = planes[0].position_mm
        assert position is not None
        names = self._names or PLACEHOLDERS
        values = {
            "uid": PLACEHOLDER_IMAGE_UID if self._names is None else self._names.image_uid(z),
            "uid of series": names.series_uid,
            "series number": names.number,
            "instance number": str(z + 1),
            "position": "\\".join(map(decimal, position)),
            "location": decimal(float(np.dot(position, grid.slice_direction))),
            "thickness": decimal(planes[0].slice_thickness_mm or grid.spacing_mm[0]),
        }
        for i, plane in enumerate(planes):
            values[f"source {i}"] = plane.sop_instance_uid
            if plane.evidence.n_frames > 1:
                values[f"frame {i}"] = str(plane.frame + 1)
        return values

    def _template(self, z: int) -> HeaderTemplate:
        """The template of slices whose references have the layout of those of slice z."""
        markers = {name: marker(name, i) for i, name in enumerate(self._values(z))}
        return HeaderTemplate(
            self._dataset(z, markers),
            markers,
            n_pixel_bytes=self._n_pixel_bytes if is_native(self._transfer_syntax) else None,
            pixel_vr=self._pixel_vr if is_native(self._transfer_syntax) else "OB",
        )

    def _dataset(self, z: int, values: dict[str, str]) -> FileDataset:
        planes, grid = self._derived.sources(z), self._derived.stack.geometry
        ds = self._derived.dataset(values["uid"], values["uid of series"], values["series number"])
        ds.InstanceNumber = values["instance number"]
        ds.SourceImageSequence = source_image_items(
            planes,
            [values[f"source {i}"] for i in range(len(planes))],
            [values.get(f"frame {i}", "") for i in range(len(planes))],
        )
        ds["SourceImageSequence"].is_undefined_length = True
        ds.SliceThickness = values["thickness"]
        ds.ImagePositionPatient = values["position"].split("\\")
        ds.ImageOrientationPatient = [
            decimal(x) for x in (*grid.row_direction, *grid.column_direction)
        ]
        ds.SliceLocation = values["location"]
        ds.PixelSpacing = [decimal(size) for size in grid.spacing_mm[1:]]
        ds.Rows, ds.Columns = grid.shape[1:]
        self._describe(ds)
        ds.file_meta.TransferSyntaxUID = transfer_syntax_uid(self._transfer_syntax)
        return ds


_BINARY = getattr(os, "O_BINARY", 0)  # Windows


def layout_of(planes: tuple[Plane, ...]) -> Layout:
    """Of the references to the sources of a slice."""
    return tuple((plane.evidence.sop_class_uid, plane.evidence.n_frames > 1) for plane in planes)


def first_of_each(derived: DerivedSeries, n_slices: int) -> list[int]:
    """One slice of each layout: as a rule they all have the same, as the planes of a series share their evidence."""
    if all(len({id(plane.evidence) for plane in of.planes}) == 1 for of in derived.stack.series):
        return [0]
    return list({layout_of(derived.sources(z)): z for z in range(n_slices)}.values())


def marker(name: str, i: int) -> str:
    """A value of the right kind that stands nowhere else in a header."""
    if name == "position":
        return "-4242.4242\\4242.4242\\1"
    if name.startswith(("uid", "source")):
        return f"9.9.9.{i}.424242"
    return f"{1424242000 + i}"


def file_of_slice(z: int) -> str:
    """The name of the file of slice z.

    >>> file_of_slice(0)
    'IM00001.dcm'
    """
    return f"IM{z + 1:05d}.dcm"


def _write_fully(descriptor: int, parts: list[memoryview]) -> None:
    """All parts in one system call where the platform has one for it."""
    if hasattr(os, "writev"):
        n_written = os.writev(descriptor, parts)
        if n_written == sum(part.nbytes for part in parts):
            return
    else:
        n_written = 0
    rest = memoryview(b"".join(parts))[n_written:]
    while rest:
        rest = rest[os.write(descriptor, rest) :]
