"""Masks that programs made, kept by content: the same images, program and task give them again without a run.

    CACHE/totalsegmentator/KEY/CLASS.nii.gz     as the program left them
    CACHE/totalsegmentator/KEY/record.json      program, version, task, and the image that it saw
    CACHE/logs/KEY.log                          what the program printed
    CACHE/regions/DIGEST                        program and version of each region that was read of them

CACHE is the folder in the environment variable GSIGPU_CACHE, else `gsigpu` in the user's folder of caches. A KEY is there or not:
its folder is made beside its place and renamed. Nobody's name is in it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gsigpu.automatic_masks.totalsegmentator import Installed, Task, run_task
from gsigpu.errors import OutputError
from gsigpu.output.leftovers import is_leftover, unfinished_name
from gsigpu.output.rename_new import rename_new
from gsigpu.regions.region_mask import RegionMask, trimmed
from gsigpu.volume import VolumeGeometry

PLACE = "GSIGPU_CACHE"
_RECORD = "record.json"
_DIGITS = 32  # of a key: 128 bits
# What the model was trained on holds air there.
_AIR_HU = -1024


@dataclass(frozen=True, slots=True)
class Source:
    """What a mask was made by.

    task : the program's model; "" where it is not known
    """

    program: str
    version: str
    task: str = ""


def cache_folder() -> Path:
    """Where masks of programs are kept; nothing is made.

    The variable, then XDG_CACHE_HOME, else what the system has for caches.
    """
    if place := os.environ.get(PLACE):
        return Path(place).expanduser().absolute()
    if sys.platform == "win32":
        home = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        home = Path.home() / "Library" / "Caches"
    else:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "gsigpu"


def stored_image(values_hu: NDArray[np.float32], grid: VolumeGeometry) -> bytes:
    """Images as the NIfTI that a program is given: whole CT numbers, air where there is no value.

    values_hu : (z, y, x) float32, HU
    """
    from gsigpu.volume_files import nifti_header  # which imports nibabel

    whole = np.where(np.isnan(values_hu), _AIR_HU, np.rint(values_hu))
    voxels = np.clip(whole, -32768, 32767).astype("<i2")
    return nifti_header(grid, np.int16) + voxels.tobytes()


def masks_of_task(
    program: Installed,
    task: Task,
    image: bytes,
    *,
    name: str,
    grid: VolumeGeometry,
    tell: Callable[[str], None] = lambda _line: None,
) -> Path:
    """The folder with the masks of a task, made now where it is not there.

    image : of `stored_image`; its bytes, the program's version and the task are the key
    Two calls at once both run the program, and the first that is done counts.
    Raises what `run_task` raises, OutputError where the folder cannot be written.
    """
    root = cache_folder()
    digest = hashlib.sha256(image)
    digest.update(json.dumps([name, program.version, task.arguments]).encode())
    key = digest.hexdigest()[:_DIGITS]
    final = root / name.lower() / key
    if (final / _RECORD).is_file():
        return final
    try:
        (root / "logs").mkdir(parents=True, exist_ok=True)
        final.parent.mkdir(parents=True, exist_ok=True)
        _sweep(final.parent)
        partial = unfinished_name(final, "partial")
        partial.mkdir()
        try:
            (partial / "ct.nii").write_bytes(image)
            run_task(
                program,
                task,
                partial / "ct.nii",
                partial / "masks",
                grid=grid,
                log=root / "logs" / f"{key}.log",
                tell=tell,
            )
            made = partial / "masks"
            _keep_only(made, [f"{name}.nii.gz" for name, _ in task.classes])
            record = asdict(Source(name, program.version, task.name))
            (made / _RECORD).write_text(json.dumps(record, indent=1) + "\n", "utf-8")
            with suppress(FileExistsError):  # another run was first, with the same masks
                rename_new(made, final)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise OutputError(
            f"cannot keep masks of {name} ({error.strerror or error})",
            where=error.filename or root,
            remedy=f"name another folder in the environment variable {PLACE}",
        ) from error
    return final


def _keep_only(folder: Path, names: list[str]) -> None:
    for path in folder.iterdir():
        if path.name not in names:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _sweep(folder: Path) -> None:
    """Removes what killed runs left."""
    for path in folder.iterdir():
        if is_leftover(path):
            shutil.rmtree(path, ignore_errors=True)


def region_digest(mask: RegionMask, grid: VolumeGeometry) -> str:
    """SHA-256 of which voxels a region has, and where these lie; its name and file do not count.

    mask : on the host, with a voxel
    """
    tight = trimmed(mask)
    place = [tight.origin, tight.voxels.shape, np.round(grid.affine_lps, 2).tolist()]
    digest = hashlib.sha256(json.dumps(place).encode())
    digest.update(np.packbits(tight.voxels).tobytes())
    return digest.hexdigest()[:_DIGITS]


def remember_region(mask: RegionMask, grid: VolumeGeometry, source: Source) -> None:
    """Keeps that a region is as a program made it."""
    folder = cache_folder() / "regions"
    final = folder / region_digest(mask, grid)
    if final.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    partial = unfinished_name(final, "partial")
    partial.write_text(json.dumps(asdict(source)) + "\n", "utf-8")
    partial.replace(final)


def source_of_region(mask: RegionMask, grid: VolumeGeometry) -> Source | None:
    """The program that made a region just so; None where none did, or it is not known here."""
    folder = cache_folder() / "regions"
    if not folder.is_dir():
        return None
    try:
        content = json.loads((folder / region_digest(mask, grid)).read_text("utf-8"))
        return Source(**content)
    except (OSError, ValueError, TypeError):
        return None
