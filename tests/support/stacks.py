"""Spectral stacks to write maps of: small, oblique, real, multi-frame. Files by pydicom alone."""

import subprocess
from pathlib import Path

import numpy as np
from pydicom import dcmread

from gsigpu.dicom.study.read_study import read_study
from gsigpu.dicom.study.stack import select_stack
from tests.support.dicom_files import ct_dataset, save, uid
from tests.support.enhanced import enhanced_ct
from tests.support.places import DATA

ROWS, COLUMNS, SLICES = 16, 25, 3
ENERGIES = (40, 60, 70, 100)
LIVER_CT = DATA / "liver-ct"

# A grid turned about two axes, as a head scan may be; anisotropic.
_TILT, _TURN = np.deg2rad(20), np.deg2rad(-35)
OBLIQUE_ROW = np.array([np.cos(_TURN), np.sin(_TURN), 0.0])
OBLIQUE_COLUMN = np.array(
    [-np.sin(_TURN) * np.cos(_TILT), np.cos(_TURN) * np.cos(_TILT), np.sin(_TILT)]
)


def stored_pixels(seed, shape=(ROWS, COLUMNS)):
    return np.random.default_rng(seed).integers(-100, 300, shape).astype(np.int16)


def oblique_stack(folder, **attributes):
    """Three slices 2.5 mm apart along a slanting normal, pixels of 0.7 x 0.9 mm."""
    normal = np.cross(OBLIQUE_ROW, OBLIQUE_COLUMN)
    for kev in ENERGIES:
        for z in range(SLICES):
            position = np.array([-101.5, -87.25, 13.0]) + 2.5 * z * normal
            dataset = ct_dataset(
                stored_pixels(kev * 10 + z),
                series=f"mono{kev}",
                description=f"Mono {kev} keV",
                position_mm=tuple(np.round(position, 6)),
                instance_number=SLICES - z,
                ImageOrientationPatient=[
                    f"{value:.9g}" for value in (*OBLIQUE_ROW, *OBLIQUE_COLUMN)
                ],
                PixelSpacing=["0.7", "0.9"],
                **attributes,
            )
            save(dataset, Path(folder) / f"{kev}" / f"{z}.dcm")
    return select_stack(read_study(folder))


def real_stack(folder):
    """The three real GE slices, implicit VR, as two monoenergetic series."""
    for kev in (60, 100):
        for path in sorted(LIVER_CT.glob("0?.dcm")):
            dataset = dcmread(path)
            dataset.SeriesInstanceUID = uid("real", kev)
            dataset.SOPInstanceUID = uid("real", kev, path.name)
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
            dataset.SeriesDescription = f"Mono {kev} keV"
            dataset.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
            (Path(folder) / f"{kev}").mkdir(parents=True, exist_ok=True)
            dataset.save_as(Path(folder) / f"{kev}" / path.name)
    return select_stack(read_study(folder))


def enhanced_stack(folder):
    """Two multi-frame files."""
    for kev in (60, 100):
        volume = np.stack([stored_pixels(kev * 10 + z) for z in range(SLICES)])
        dataset = enhanced_ct(
            volume,
            z_mm=[5.0, 0.0, 2.5],
            energies_kev=[kev] * SLICES,
            series=f"mono{kev}",
            description=f"Mono {kev} keV",
        )
        save(dataset, Path(folder) / f"{kev}.dcm")
    return select_stack(read_study(folder))


STACKS = {"oblique": oblique_stack, "real": real_stack, "enhanced": enhanced_stack}


def float_map(stack, seed, *, largest):
    """(z, y, x) float32 values of either sign, with some NaN."""
    values = np.random.default_rng(seed).uniform(-largest, largest, stack.geometry.shape)
    values[:, 0, :3] = np.nan
    return values.astype(np.float32)


def errors_found_by_dciodvfy(path):
    """The lines of its verdict that say Error."""
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
    return [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]
