"""TotalSegmentator as a program: its tasks, its command line, and what must come of it.

Interface as of its version 2.18 (Wasserthal et al., Radiology: Artificial Intelligence 2023; command line, class names and
licences as the program documents them). It is called by its command line, never imported: it brings PyTorch, and lives in an
environment of its own as well as in ours.

    TotalSegmentator -i ct.nii -o FOLDER -ta TASK [-rs CLASS ...]      FOLDER/CLASS.nii.gz, 0 and 1, on the grid of the images
    TotalSegmentator --version                                         2.18.0
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from gsigpu.errors import GridMismatch, MissingDependency, ProgramFailed
from gsigpu.masks.roles import Role
from gsigpu.volume import VolumeGeometry

PROGRAM = "TotalSegmentator"
# Limits, each with its reason.
_VERSION_S = 120.0  # importing PyTorch from a cold network disk took half a minute
_SAME_PLACE_MM = 0.01  # affines are float32 in the file


@dataclass(frozen=True, slots=True)
class Task:
    """A model of the program.

    name : of `-ta`
    classes : (name of the class and of its file, role)
    is_subset : the model knows more classes, and is asked for these alone
    since : the version of the program that has it first
    """

    name: str
    classes: tuple[tuple[str, Role], ...]
    is_subset: bool = False
    since: tuple[int, int] = (2, 4)

    @property
    def arguments(self) -> list[str]:
        """Of the command line, beside input and output."""
        subset = ["-rs", *(name for name, _ in self.classes)] if self.is_subset else []
        return ["-ta", self.name, *subset]


# None of these needs a licence number. Of `liver_vessels` the class liver_tumor is left out: the task for lesions is later,
# and was trained on more of them.
TASKS = (
    Task("liver_lesions", (("liver_lesions", Role.LESION),), since=(2, 13)),
    Task("liver_vessels", (("liver_vessels", Role.VESSELS),)),
    Task(
        "total",
        (
            ("liver", Role.LIVER),
            ("aorta", Role.AORTA),
            ("portal_vein_and_splenic_vein", Role.VESSELS),
        ),
        is_subset=True,
    ),
)


@dataclass(frozen=True, slots=True)
class Installed:
    """The program as it is installed here."""

    executable: Path
    version: str


def installed() -> Installed:
    """The program on the search path, or beside the Python that runs.

    Raises MissingDependency where it is neither, ProgramFailed where it does not say its version.
    """
    beside = Path(sys.executable).parent
    name = shutil.which(PROGRAM) or shutil.which(PROGRAM, path=str(beside))
    if name is None:
        raise MissingDependency(
            f"--segment needs the program {PROGRAM}, which is not on the search path",
            remedy="install it: pip install TotalSegmentator, or pip install 'gsigpu[segment]'",
        )
    path = Path(name)
    return Installed(path, _version(path, path.stat().st_mtime_ns))


@cache
def _version(executable: Path, _changed_ns: int) -> str:
    """What `--version` prints; asked once, because it takes the program seconds to start."""
    try:
        done = subprocess.run(  # noqa: S603  # the user's program
            [executable, "--version"],
            capture_output=True,
            text=True,
            timeout=_VERSION_S,
            check=False,
        )
        told = re.findall(r"^v?(\d+(?:\.\w+)+)\s*$", done.stdout, re.MULTILINE)
        problem = _last_line(done.stderr or done.stdout) or f"exit code {done.returncode}"
    except (OSError, subprocess.TimeoutExpired) as error:
        told, problem = [], str(error)
    if not told:
        raise ProgramFailed(
            f"does not say its version: {problem}",
            where=executable,
            remedy="start it by hand to see why",
        )
    return str(told[-1])


def run_task(
    program: Installed,
    task: Task,
    image: Path,
    folder: Path,
    *,
    grid: VolumeGeometry,
    log: Path,
    tell: Callable[[str], None] = lambda _line: None,
) -> None:
    """Has the program draw the masks of a task: `folder` then holds CLASS.nii.gz of each class.

    image : NIfTI of CT numbers
    folder : is made
    log : takes what the program prints; it stays where the program fails
    Raises MissingDependency where it is too old for the task, ProgramFailed where it fails, is killed, or leaves a class out,
    GridMismatch where a mask lies on another grid.
    """
    major, minor = (int(number) for number in re.findall(r"\d+", program.version)[:2])
    if (major, minor) < task.since:
        raise MissingDependency(
            f"{PROGRAM} {program.version} has no task {task.name}",
            remedy="take a later one: pip install --upgrade TotalSegmentator",
        )
    command = [str(program.executable), "-i", str(image), "-o", str(folder), *task.arguments]
    tell(f"{PROGRAM} {task.name}")
    folder.mkdir(parents=True)
    with log.open("w", encoding="utf-8") as file:
        file.write(" ".join(command) + "\n")
        file.flush()
        try:
            code = subprocess.call(command, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)  # noqa: S603  # fmt: skip
        except OSError as error:
            code, problem = 1, str(error)
            file.write(problem + "\n")
    if code:
        raise _failure(task, code, log)
    for name, _ in task.classes:
        _require_mask(folder / f"{name}.nii.gz", task, grid, log)


def _failure(task: Task, code: int, log: Path) -> ProgramFailed:
    text = log.read_text("utf-8", "replace").partition("\n")[2]
    if code < 0:
        what = f"{PROGRAM} -ta {task.name} was killed (signal {-code})"
        remedy = "give it more memory, or run fewer at once, and try again"
    else:
        what = f"{PROGRAM} -ta {task.name} failed: {_last_line(text) or f'exit code {code}'}"
        remedy = f"read what it printed: {log}"
    return ProgramFailed(what, where=log if code < 0 else None, remedy=remedy)


def _last_line(text: str) -> str:
    """Which names the error: of a trace, and of an option that is refused."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def _require_mask(path: Path, task: Task, grid: VolumeGeometry, log: Path) -> None:
    """Raises ProgramFailed and GridMismatch unless a mask of the program is there and lies on the grid."""
    import nibabel as nib

    by_hand = f"read what it printed: {log}"
    if not path.is_file():
        raise ProgramFailed(
            f"{PROGRAM} -ta {task.name} ended well and left no {path.name}", remedy=by_hand
        )
    try:
        image: Any = nib.load(path)
        shape, affine = image.shape, image.affine
    except (OSError, EOFError, ValueError, nib.filebasedimages.ImageFileError) as error:
        raise ProgramFailed(
            f"{PROGRAM} -ta {task.name} left {path.name}, which cannot be read ({error})",
            remedy=by_hand,
        ) from error
    is_there = np.allclose(affine, grid.affine_ras, rtol=0.0, atol=_SAME_PLACE_MM)
    if tuple(shape) != grid.shape[::-1] or not is_there:
        raise GridMismatch(
            f"{PROGRAM} -ta {task.name} left {path.name} on another grid than that of the images"
            f" ({' x '.join(map(str, shape))} voxels for {' x '.join(map(str, grid.shape[::-1]))})",
            remedy=by_hand,
        )


def tasks_for(roles: Sequence[Role]) -> list[Task]:
    """The tasks that give masks of some roles.

    >>> [task.name for task in tasks_for([Role.AORTA])], [task.name for task in tasks_for([Role.VESSELS])]
    (['total'], ['liver_vessels', 'total'])
    """
    return [task for task in TASKS if any(role in roles for _, role in task.classes)]
