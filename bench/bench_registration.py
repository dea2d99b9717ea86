"""Masks carried from one phase to another: how long, and how well do they lie?

A phantom that a known field moved by 10 mm and bent by 3 mm. What `measure --register` does beside `measure` is taken
apart: the reading of both phases, the registration, the carrying. Dice and error at the middle are against the masks
as the field moves them.

--study DIR : a folder that this script's phantom was written to, instead of a new one; it is kept
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter, process_time

import nibabel
import numpy as np
from common import report, scratch

from gsigpu.phantom import PhantomSettings, PhantomTruth, plan_phantom, write_phantom
from gsigpu.pipeline.choose_stack import choose_stack
from gsigpu.pipeline.measure.carried_masks import masks_on_stack
from gsigpu.pipeline.measure.collected_masks import CollectedMasks
from gsigpu.pipeline.measure.given_masks import MaskFiles

LIMIT_S, LEAST_DICE, LEAST_MM = 60.0, 0.9, 10.0
MOTION_MM = (10.0, 3.0)


@dataclass(frozen=True)
class Round:
    """One run: seconds by the clock and of the processor, and the masks."""

    clock_s: float
    processor_s: float
    masks: CollectedMasks


def options() -> argparse.Namespace:
    """What to measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny sizes: only shows that it runs")
    parser.add_argument("--save", action="store_true", help="also write it to bench/results/")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1, help="of the phantom")
    parser.add_argument("--study", type=Path, help="where the phantom is, or is to be kept")
    return parser.parse_args()


def phantom(chosen: argparse.Namespace, folder: Path) -> PhantomTruth:
    """The study to work on, with what is known about it."""
    settings = PhantomSettings(
        shape=(30, 60, 76) if chosen.quick else (100, 512, 512),
        spacing_mm=(5.0, 4.0, 4.0) if chosen.quick else (2.5, 0.75, 0.75),
        energies_kev=(70.0, 140.0),
        n_lesions=2 if chosen.quick else 8,
        diameter_mm=(20.0, 25.0) if chosen.quick else (LEAST_MM, 25.0),
        motion_mm=MOTION_MM,
        extras=(),
        seed=chosen.seed,
    )
    written = chosen.study if chosen.study is not None else folder / "study"
    if (written / "truth.json").exists():
        return replace(plan_phantom(settings), folder=written)
    return write_phantom(written, settings)


def carried(truth: PhantomTruth, *, with_liver: bool) -> Round:
    """The masks of PVP on the grid of AP, timed; headers are read before."""
    files = MaskFiles(
        (truth.lesion_mask,),
        liver=truth.liver_mask if with_liver else None,
        drawn_on="PVP",
        register=True,
    )
    chosen = choose_stack(truth.dicom_folder, phase="AP")
    clock, processor = perf_counter(), process_time()
    masks = masks_on_stack(files, chosen.study, chosen.stack)
    return Round(perf_counter() - clock, process_time() - processor, masks)


def how_they_lie(truth: PhantomTruth, masks: CollectedMasks) -> tuple[list[str], float]:
    """A row per lesion, and the least Dice."""
    there = np.asarray(nibabel.load(truth.lesion_mask_of("AP")).dataobj).T
    drawn = np.asarray(nibabel.load(truth.lesion_mask).dataobj).T
    told = {lesion.lesion_id: lesion for lesion in masks.carried}
    rows, least = [], 1.0
    for lesion in masks.masks.lesions:
        label = int(lesion.lesion_id)
        here = np.zeros(there.shape, bool)
        here[lesion.mask.box] = lesion.mask.voxels
        true = there == label
        dice, before = (
            2.0 * (a & true).sum() / (a.sum() + true.sum()) for a in (here, drawn == label)
        )
        middles = [
            np.array(truth.geometry.position_mm(*np.argwhere(mask).mean(axis=0)))
            for mask in (here, true)
        ]
        error = float(np.linalg.norm(middles[0] - middles[1]))
        figures = told[lesion.lesion_id]
        diameter = truth.lesions[label - 1].longest_axial_diameter_mm
        rows.append(
            f"| {label} | {diameter:.1f} | {before:.3f} | {dice:.3f} | {error:.2f} |"
            f" {figures.proven_offset_mm:.0f} to {figures.possible_offset_mm:.0f} | {figures.volume_ratio:.2f} |"
        )
        least = min(least, float(dice))
    rows += [
        f"| {failure.lesion_id} | refused: {failure.error.what} | | | | | |"
        for failure in masks.failures
    ]
    return rows, least if not masks.failures else 0.0


def main() -> None:
    """Runs it."""
    chosen = options()
    repeats = 1 if chosen.quick else chosen.repeats
    lines: list[str] = []
    with scratch() as folder:
        truth = phantom(chosen, folder)
        shape = " x ".join(str(n) for n in reversed(truth.geometry.shape))
        shift, deformation = MOTION_MM
        lines.append(
            f"{shape} voxels, {shift:g} mm of shift, {deformation:g} mm of deformation, seed {chosen.seed}."
        )
        for with_liver in (True, False):
            rounds = [carried(truth, with_liver=with_liver) for _ in range(repeats)]
            rows, least = how_they_lie(truth, rounds[-1].masks)
            clock = statistics.median(run.clock_s for run in rounds)
            processor = statistics.median(run.processor_s for run in rounds)
            verdict = "holds" if clock <= LIMIT_S else "MISSED"
            lines += [
                "",
                (
                    f"{'With' if with_liver else 'Without'} a mask of the liver: {clock:.1f} s by the clock"
                    f" (median of {repeats}; aim {LIMIT_S:g} s: {verdict}), {processor:.1f} CPU s; least Dice {least:.3f}"
                    f" (aim {LEAST_DICE:g}: {'holds' if least >= LEAST_DICE else 'MISSED'})."
                ),
                "",
                "| lesion | mm | Dice as drawn | Dice | error at the middle, mm | offset told, mm | volume ratio |",
                "|---:|---:|---:|---:|---:|---:|---:|",
                *rows,
            ]
    report("registration", lines, save=chosen.save)


if __name__ == "__main__":
    main()
