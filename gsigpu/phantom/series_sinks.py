"""Series on disk: a file per slice, or one multi-frame file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pydicom.dataset import Dataset

from gsigpu.dicom.writing.encoding import Stored, encode_frame
from gsigpu.phantom.dicom_files import FileTemplate, phantom_uid
from gsigpu.phantom.phantom_settings import PhantomSettings
from gsigpu.phantom.vendor_headers import decimal_mm
from gsigpu.volume import VolumeGeometry

# What differs between the files of a classic series.
_CHANGING = ("SOPInstanceUID", "InstanceNumber", "ImagePositionPatient", "SliceLocation")


class Sink(Protocol):
    """Takes the stored slices of a series in any order, from any thread."""

    def write(self, z_index: int, image: int, stored: Stored) -> None:
        """Slice `z_index` of the `image`-th energy of the series."""

    def close(self) -> None:
        """Everything was written."""


def export_path(folder: Path, header: Dataset, instance: int, settings: PhantomSettings) -> Path:
    """Where the `instance`-th file of a series goes.

    SER00301/IMG00012.dcm; without extension where a DICOMDIR names it, since its file identifiers
    allow no dot; with shuffled names neither order nor extension, as some exports have it. Folders
    and files have at most 8 characters, which those identifiers ask for too.
    """
    if settings.shuffle_names:
        name = hashlib.sha256(f"{header.SeriesInstanceUID}/{instance}".encode()).hexdigest().upper()
        return folder / name[:2] / name[2:10]
    suffix = "" if "dicomdir" in settings.extras else ".dcm"
    return folder / f"SER{int(header.SeriesNumber):05d}" / f"IMG{instance:05d}{suffix}"


@dataclass
class ClassicSink:
    """One file per slice and energy.

    header : everything but the pixels; what differs from slice to slice is set here
    geometry : where slices lie
    path_of : instance number -> file
    per_image : elements of the i-th image of a slice, by keyword; more than one if interleaved
    """

    header: Dataset
    geometry: VolumeGeometry
    transfer_syntax: str
    path_of: Callable[[int], Path]
    per_image: tuple[dict[str, Any], ...] = ({},)
    _templates: list[FileTemplate] = field(init=False)

    def __post_init__(self) -> None:
        """Encode the header, once per image of a slice."""
        self._templates = []
        for elements in self.per_image:
            header = Dataset(self.header)
            for keyword, value in elements.items():
                setattr(header, keyword, value)
            _, n_y, n_x = self.geometry.shape
            self._templates.append(
                FileTemplate(
                    header, self.transfer_syntax, changing=_CHANGING, n_pixel_bytes=2 * n_y * n_x
                )
            )

    def write(self, z_index: int, image: int, stored: Stored) -> None:
        """Slices are numbered from the head down, as most scanners do."""
        n_z = self.geometry.shape[0]
        instance = (n_z - 1 - z_index) * len(self.per_image) + image + 1
        position = self.geometry.position_mm(z_index, 0, 0)
        frame = encode_frame(stored, self.transfer_syntax)
        changes = {
            "SOPInstanceUID": phantom_uid(self.header.SeriesInstanceUID, instance),
            "InstanceNumber": str(instance),
            "ImagePositionPatient": "\\".join(decimal_mm(mm) for mm in position),
            "SliceLocation": decimal_mm(position[2]),
        }
        path = self.path_of(instance)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(self._templates[image].file_parts(changes, [frame])))

    def close(self) -> None:
        """Nothing is left to do."""


@dataclass
class MultiframeSink:
    """All slices of one or more energies in one file.

    Frames wait as files of their own until all are there, so that memory stays bounded.
    """

    header: Dataset
    geometry: VolumeGeometry
    transfer_syntax: str
    path: Path
    n_images: int = 1

    def _frame_path(self, frame: int) -> Path:
        return self.path.with_name(f"{self.path.name}.frame{frame}")

    def write(self, z_index: int, image: int, stored: Stored) -> None:
        """Frames run over slices, and within a slice over energies."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        encoded = encode_frame(stored, self.transfer_syntax)
        self._frame_path(z_index * self.n_images + image).write_bytes(encoded)

    def close(self) -> None:
        """Put the frames together."""
        n_z, n_y, n_x = self.geometry.shape
        n_frames = n_z * self.n_images

        def frames() -> Iterator[bytes]:
            for frame in range(n_frames):
                yield self._frame_path(frame).read_bytes()
                self._frame_path(frame).unlink()

        template = FileTemplate(
            self.header,
            self.transfer_syntax,
            changing=["SOPInstanceUID"],
            n_pixel_bytes=2 * n_frames * n_y * n_x,
        )
        changes = {"SOPInstanceUID": self.header.SOPInstanceUID}
        with self.path.open("wb") as file:
            file.writelines(template.file_parts(changes, frames()))
