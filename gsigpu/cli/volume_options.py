"""Images in volumes in the place of a study: the option of `scan`, `map` and `measure`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gsigpu.cli.console import TerminalWatcher
from gsigpu.cli.options import ALL_PHASES, number_in, read_folder
from gsigpu.errors import SettingsError

if TYPE_CHECKING:
    from gsigpu.dicom.model import Study

Volumes = Annotated[
    list[str] | None,
    typer.Option(
        "--nifti",
        metavar="KEV=FILE",
        help="In place of DIR: a monoenergetic image as NIfTI, NRRD or MetaImage, repeated for each energy; or a pattern,"
        " 'vmi_{kev}.nii.gz'.",
    ),
]


def read_images(
    folder: Path | None,
    volumes: list[str] | None,
    watcher: TerminalWatcher,
    *,
    phase: str | None,
    **told: Any,
) -> Study:
    """The study of a folder, or of images in volumes.

    phase : of the volumes, which do not say it themselves; all is none
    told : as for `read_folder`
    Raises SettingsError where neither or both are given, and what the readers raise.
    """
    from gsigpu.vmi_volumes import read_volumes

    if (folder is None) != bool(volumes):
        raise SettingsError(
            "neither a study nor images are given"
            if folder is None
            else "a study and images are given",
            remedy="name a folder, or images with --nifti 70=FILE",
        )
    if folder is not None:
        return read_folder(folder, watcher, **told)
    for option, value in told.items():
        if value:
            name = f"--{option.replace('_', '-')}"
            raise SettingsError(
                f"{name} is for series of a folder", remedy="leave it out with --nifti"
            )
    word = "" if phase in (None, ALL_PHASES) else str(phase)
    with watcher.stage("scan") as progress:
        return read_volumes(volumes_named(volumes or []), phase=word, progress=progress)


def volumes_named(texts: list[str]) -> dict[float, Path]:
    """Files by keV, of `70=FILE` and of patterns with `{kev}`.

    Raises SettingsError for what is neither, an energy that is none or is named twice, and a pattern without files.
    """
    pairs: list[tuple[str, Path]] = []
    for text in texts:
        kev, equals, name = text.partition("=")
        if "{kev}" in text:
            pairs += _of_pattern(text)
        elif equals and kev and name:
            pairs.append((kev, Path(name)))
        else:
            raise SettingsError(
                f"--nifti {text!r} names no energy", remedy=f"write --nifti 70={text}"
            )
    files: dict[float, Path] = {}
    for kev, file in pairs:
        energy = _energy_given("--nifti", kev, str(file))
        if energy in files:
            raise SettingsError(
                f"--nifti names two images at {energy:g} keV, {files[energy]} and {file}",
                remedy="name one for each energy",
            )
        files[energy] = file
    return files


def _of_pattern(pattern: str) -> list[tuple[str, Path]]:
    """(keV, file) of the files whose path is the pattern with a number in the place of `{kev}`."""
    before, _, after = Path(pattern).name.partition("{kev}")
    folder = Path(pattern).parent
    name = re.compile(re.escape(before) + r"(\d+(?:\.\d+)?)" + re.escape(after))
    files = sorted(folder.iterdir()) if folder.is_dir() and "{" not in str(folder) else []
    pairs = [(match[1], file) for file in files if (match := name.fullmatch(file.name))]
    if not pairs:
        raise SettingsError(
            f"--nifti {pattern!r} fits no file",
            remedy="write the names as they are, with {kev} where the energy stands in the file's name",
        )
    return pairs


def _energy_given(option: str, text: str, file: str) -> float:
    from gsigpu.dicom.study.classify import HIGHEST_KEV, LOWEST_KEV

    energy_kev = number_in(text.strip().lower().removesuffix("kev"))
    if not LOWEST_KEV <= energy_kev <= HIGHEST_KEV:
        raise SettingsError(
            f"{option} {text}={file} names no energy in {LOWEST_KEV:g}-{HIGHEST_KEV:g} keV",
            remedy=f"write {option} 70={file}",
        )
    return energy_kev
