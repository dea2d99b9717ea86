"""`gsigpu review --pictures`: the pictures of every lesion for a paper, as files.

pictures/lesion-01-maps.png, .pdf     overview, anatomy, λHU and iodine of each phase, outlines, values, colour bars
pictures/lesion-01-curves.png, .pdf   spectral curves of core, rim and parenchyma
pictures/registration-AP.png          where the masks lay before and lie after they were carried over to a phase
pictures/pictures.csv                 which lesion, phases and slices each pair of files shows

Names of files have numbers and not the lesions' names, which may hold what a file name may not, or a person's name.
Same study, masks and settings: same bytes. PDF is vector but for the images, with fonts embedded.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from gsigpu.pipeline.choose_stack import phase_word
from gsigpu.pipeline.measure.measurement import Measurement
from gsigpu.pipeline.measure.registration_picture import save_registration
from gsigpu.pipeline.progress import Progress
from gsigpu.pipeline.review.paper_curves import draw_curves
from gsigpu.pipeline.review.paper_lesion import PaperLesion
from gsigpu.pipeline.review.paper_montage import draw_montage
from gsigpu.report.figure_style import Drawing, house_style, save

FOLDER = "pictures"
INDEX = "pictures.csv"
COLUMNS = ("number", "lesion_id", "phases", "slices", "maps", "curves")
KINDS = ("png", "pdf")
# What journals ask of pictures at their printed width.
DPI = 300


def write_pictures(
    folder: Path,
    lesions: Sequence[PaperLesion],
    *,
    carried: Mapping[str, Measurement],
    redact: Callable[[str], str],
    case_id: str,
    identity: Mapping[str, str],
    inside_body: bool,
    progress: Progress,
) -> dict[str, list[str]]:
    """Writes the pictures and their index into `folder`, which is not there yet.

    carried : phase -> its measurement, of phases that the masks were carried over to
    redact : takes out of a lesion's name what leads to the patient
    case_id : the only name in the pictures, but for `identity`
    identity : what else is said of the patient, where it is asked for
    Returns the addresses of the files of each lesion by its id, from the page beside the folder.
    """
    folder.mkdir()
    addresses: dict[str, list[str]] = {}
    about = "".join(f", {name} {value}" for name, value in identity.items())
    with (folder / INDEX).open("w", encoding="utf-8", newline="") as index, house_style():
        table = csv.writer(index, lineterminator="\n")
        table.writerow(COLUMNS)
        for done, lesion in enumerate(lesions):
            progress(done, len(lesions))
            stem = f"lesion-{lesion.number:0{max(2, len(str(len(lesions))))}d}"
            title = (f"{case_id}{about}", f"lesion {lesion.lesion_id}")
            figures = {
                "maps": draw_montage(lesion, title=title, inside_body=inside_body),
                "curves": draw_curves(lesion, title=title),
            }
            written: list[str] = []
            for what, figure in figures.items():
                drawing = Drawing(
                    name=f"{stem}-{what}", title=", ".join(title), caption="", figure=figure
                )
                written += [path.name for path in save(drawing, folder, kinds=KINDS, dpi=DPI)]
            addresses[lesion.lesion_id] = [f"{FOLDER}/{name}" for name in written]
            table.writerow(
                [
                    lesion.number,
                    lesion.lesion_id,
                    ";".join(phase.phase for phase in lesion.phases),
                    ";".join(str(phase.planes.z + 1) for phase in lesion.phases),
                    *(f"{stem}-{what}" for what in figures),
                ]
            )
        for phase, measurement in carried.items():
            name = f"registration-{phase_word(phase)}.png"
            save_registration(folder / name, measurement, name_shown=redact)
            for of_lesion in measurement.masks.carried:
                addresses.setdefault(redact(of_lesion.lesion_id), []).append(f"{FOLDER}/{name}")
        progress(len(lesions), len(lesions))
    return addresses
