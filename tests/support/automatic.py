"""A program on the search path that draws the masks of a phantom, and a cache of its own."""

import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np

from tests.support.places import ROOT

SCRIPT = ROOT / "tests" / "support" / "totalsegmentator_stand_in.py"


@dataclass(frozen=True)
class StandIn:
    """The program, what it finds, and how often it was called."""

    masks: Path
    calls_file: Path
    cache: Path

    @property
    def calls(self):
        return self.calls_file.read_text().splitlines() if self.calls_file.exists() else []


def put_on_path(monkeypatch, folder, masks):
    """The stand-in as the only TotalSegmentator there is.

    masks : folder of `written_masks`
    """
    programs = folder / "bin"
    programs.mkdir()
    program = programs / "TotalSegmentator"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -I {SCRIPT} "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}/usr/bin{os.pathsep}/bin")
    monkeypatch.setenv("STAND_IN_MASKS", str(masks))
    monkeypatch.setenv("STAND_IN_CALLS", str(folder / "calls"))
    monkeypatch.setenv("GSIGPU_CACHE", str(folder / "cache"))
    return StandIn(masks, folder / "calls", folder / "cache")


def written_masks(folder, truth):
    """What the program finds in a phantom: its lesions as one mask, as the program draws them, liver and aorta; no vessel."""
    folder.mkdir()
    lesions = nibabel.load(truth.lesion_mask)
    labels = np.asarray(lesions.dataobj)
    kept = {"liver_lesions": labels > 0, "empty": np.zeros(labels.shape, bool)}
    for name, path in (("liver", truth.liver_mask), ("aorta", truth.aorta_mask)):
        kept[name] = np.asarray(nibabel.load(path).dataobj) > 0
    for name, voxels in kept.items():
        nibabel.save(nibabel.Nifti1Image(voxels.astype(np.uint8), lesions.affine), folder / f"{name}.nii.gz")  # fmt: skip
    moved = nibabel.Nifti1Image(kept["liver"].astype(np.uint8)[:-1], lesions.affine)
    nibabel.save(moved, folder / "elsewhere.nii.gz")
    return folder
