"""The study page: how large, how long beside `map` of the same study, and how long until a reader sees something?

Two phases, eleven energies, three maps on the page (water, iodine, λHU), the same three written by `map`. Both run in
one process in turn; seconds of the processor are those of all its threads.

--study DIR : a folder that `gsigpu phantom` wrote, instead of a new one
"""

from __future__ import annotations

import argparse
import shutil
import statistics
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time

from browser import browser_page, why_there_is_none
from common import report, scratch

from gsigpu.phantom import PhantomSettings, write_phantom
from gsigpu.pipeline.map.map_study import map_study
from gsigpu.pipeline.measure.given_masks import MaskFiles
from gsigpu.pipeline.review.page_volumes import BASIS, PAGE_MAPS
from gsigpu.pipeline.review.review_study import review_study

PHASES = ("AP", "PVP")
LIMIT_MB, LIMIT_RATIO, LIMIT_FIRST_S = 250, 1.5, 3.0
_DRAWN = "Number(document.getElementById('views')?.dataset.drawn || 0) >= {n} && performance.now()"


def options() -> argparse.Namespace:
    """What to measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny sizes: only shows that it runs")
    parser.add_argument("--save", action="store_true", help="also write it to bench/results/")
    parser.add_argument("--repeats", type=int, default=3, help="rounds that count, after one")
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--size", type=int, default=512, help="rows and columns")
    parser.add_argument("--study", type=Path, help="a phantom that is there")
    return parser.parse_args()


def phantom(chosen: argparse.Namespace, folder: Path) -> Path:
    """The study to work on."""
    if chosen.study is not None:
        return Path(chosen.study)
    slices, size = (8, 64) if chosen.quick else (chosen.slices, chosen.size)
    settings = PhantomSettings(
        shape=(slices, size, size),
        spacing_mm=(10.0, 6.4, 6.4) if chosen.quick else (1.25, 0.8, 0.8),
        n_lesions=1 if chosen.quick else 5,
        diameter_mm=(40.0, 45.0) if chosen.quick else (8.0, 30.0),
        extras=(),
    )
    write_phantom(folder / "phantom", settings)
    return folder / "phantom"


def masks_of(study: Path) -> MaskFiles:
    """All that a phantom has."""
    at = study / "masks"
    return MaskFiles(
        (at / "lesions.nii.gz",),
        liver=at / "liver.nii.gz",
        vessels=at / "vessels.nii.gz",
        aorta=at / "aorta.nii.gz",
    )


def rounds(
    n: int, out: Path, **contenders: Callable[[Path], object]
) -> dict[str, list[tuple[float, float]]]:
    """(seconds by the clock, of the processor) of each contender in turn; the first round is not counted."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for round_ in range(n + 1):
        for name, work in contenders.items():
            shutil.rmtree(out / name, ignore_errors=True)
            clock, processor = perf_counter(), process_time()
            work(out / name)
            if round_:
                taken[name].append((perf_counter() - clock, process_time() - processor))
    return taken


def first_picture(page_file: Path) -> list[str]:
    """Seconds from the address to the first view, and to all views, in a browser that has just started."""
    why_not = why_there_is_none()
    if why_not:
        return [f"First picture: not measured ({why_not})."]
    with browser_page() as page:
        page.goto(page_file.as_uri(), wait_until="commit")
        first, all_views = (
            page.wait_for_function(_DRAWN.format(n=n), polling="raf", timeout=120_000).json_value()
            / 1000
            for n in (1, 3)
        )
    verdict = "holds" if first <= LIMIT_FIRST_S else "MISSED"
    return [
        (
            f"First picture after {first:.2f} s (aim {LIMIT_FIRST_S:g} s: {verdict}), all three planes after {all_views:.2f} s,"
            " headless Chromium, drawn by the processor."
        )
    ]


def lines(taken: dict[str, list[tuple[float, float]]], n_bytes: int) -> list[str]:
    """The table."""
    rows = ["| | s (median) | CPU s (median) |", "|---|---:|---:|"]
    for name, seconds in taken.items():
        clock, processor = (statistics.median(column) for column in zip(*seconds, strict=True))
        rows.append(f"| {name} | {clock:.1f} | {processor:.1f} |")
    ratios = [
        [mine[i] / other[i] for mine, other in zip(taken["review"], taken["map"], strict=True)]
        for i in range(2)
    ]
    clock, processor = (statistics.median(ratio) for ratio in ratios)
    verdict = "holds" if clock <= LIMIT_RATIO else "MISSED"
    size = n_bytes / 1e6
    fits = "holds" if size <= LIMIT_MB else "MISSED"
    return [
        *rows,
        "",
        (
            f"review / map, in the same round: {clock:.2f} by the clock (worst {max(ratios[0]):.2f}; aim {LIMIT_RATIO:g}: {verdict}),"
            f" {processor:.2f} of the processor (worst {max(ratios[1]):.2f})."
        ),
        f"Page folder {size:.0f} MB (aim {LIMIT_MB} MB: {fits}).",
    ]


def main() -> None:
    """Runs it."""
    chosen = options()
    with scratch() as folder:
        study = phantom(chosen, folder)
        masks = masks_of(study)
        pages = []

        def mapped(out: Path) -> None:
            for phase in PHASES:
                map_study(
                    study / "dicom",
                    out / phase,
                    maps=[*BASIS, *PAGE_MAPS],
                    phase=phase,
                    backend="cpu",
                )

        def reviewed(out: Path) -> None:
            pages.append(review_study(study / "dicom", out, masks=masks))

        n = 1 if chosen.quick else chosen.repeats
        taken = rounds(n, folder, map=mapped, review=reviewed)
        n_slices = len(list((folder / "review" / "data" / "p0").iterdir()))
        head = [f"{n_slices} slices, phases {', '.join(PHASES)}, {n} rounds.", ""]
        result = [*head, *lines(taken, pages[-1].n_bytes), *first_picture(pages[-1].page)]
    report("review", result, save=chosen.save)


if __name__ == "__main__":
    main()
