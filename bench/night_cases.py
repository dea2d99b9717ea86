"""The cases of `night.py`: copies of one small study, each with a mask of its own, some broken for good."""

from __future__ import annotations

import csv
import gzip
import os
import shutil
from pathlib import Path

from gsigpu.phantom import PhantomSettings, write_phantom

SMALL = PhantomSettings(
    shape=(10, 48, 60),
    spacing_mm=(12.0, 5.8, 5.8),
    n_lesions=2,
    diameter_mm=(24.0, 34.0),
    energies_kev=(60.0, 70.0, 100.0),
    phases=("PVP",),
    extras=(),
)
GROUPS = ("colorectal", "gastric", "pancreatic", "lung", "breast")
# One case in so many is broken for good, each kind in turn; of few cases more.
BROKEN_EVERY, BROKEN_EVERY_OF_FEW, FEW = 25, 3, 50
BROKEN = ("slice cut off", "slice missing", "empty mask", "mask cut off")


class Cases:
    """Copies of one study, their manifest, and what is wrong with some of them."""

    def __init__(self, folder: Path, n: int) -> None:
        self.folder = folder
        truth = write_phantom(folder / "template", SMALL)
        self._mask = bytearray(gzip.decompress(truth.lesion_mask.read_bytes()))
        self.broken: dict[str, str] = {}
        rows = []
        every = BROKEN_EVERY if n > FEW else BROKEN_EVERY_OF_FEW
        for number in range(n):
            name = f"C{number:05d}"
            shutil.copytree(truth.folder, folder / name)
            self.mark_mask(name, "first")
            patient = number // 2
            row = {"case_id": name, "patient_id": f"P{patient:05d}", "group": GROUPS[patient % 5]}
            masks = {
                "mask": f"{name}/masks/lesions.nii.gz",
                "liver_mask": f"{name}/masks/liver.nii.gz",
            }
            rows.append({**row, "phase": "PVP", "study": f"{name}/dicom", **masks})
            if number % every == every - 1:
                self._break(name, BROKEN[number // every % len(BROKEN)])
        self.names = [row["case_id"] for row in rows]
        self.manifest = folder / "manifest.csv"
        with self.manifest.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        shutil.rmtree(folder / "template")

    def mark_mask(self, name: str, words: str) -> None:
        """A mask of its own: the same lesions, other bytes."""
        content = bytearray(self._mask)
        content[148:228] = f"{name} {words}".encode().ljust(80, b"\0")  # `descrip` of NIfTI-1
        self._put_mask(name, gzip.compress(bytes(content), 1, mtime=0))

    def _put_mask(self, name: str, content: bytes) -> None:
        mask = self.folder / name / "masks/lesions.nii.gz"
        partial = mask.with_name("new")
        partial.write_bytes(content)
        partial.replace(mask)

    def middle_slice(self, name: str) -> Path:
        """Of a series that every map needs."""
        slices = sorted(min((self.folder / name / "dicom").iterdir()).iterdir())
        return slices[len(slices) // 2]

    def _break(self, name: str, how: str) -> None:
        self.broken[name] = how
        path = self.middle_slice(name)
        if how == "slice cut off":
            os.truncate(path, path.stat().st_size // 2)
        elif how == "slice missing":
            path.unlink()
        elif how == "empty mask":
            empty = bytearray(self._mask)
            empty[352:] = bytes(len(empty) - 352)
            empty[148:228] = name.encode().ljust(80, b"\0")
            self._put_mask(name, gzip.compress(bytes(empty), mtime=0))
        else:
            mask = self.folder / name / "masks/lesions.nii.gz"
            os.truncate(mask, mask.stat().st_size // 2)

    def cut_slice(self, name: str) -> bytes:
        """Cuts a slice of a case off; returns what it held."""
        path = self.middle_slice(name)
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        return content

    def whole_cases(self) -> list[str]:
        """Those that nothing is wrong with."""
        return [name for name in self.names if name not in self.broken]
