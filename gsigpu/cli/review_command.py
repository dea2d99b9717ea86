"""`gsigpu review`: look at the maps, regions and values of a study in a browser."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gsigpu.choices import DEFAULT_SLOPE
from gsigpu.cli import options, several_studies
from gsigpu.cli.console import TerminalWatcher, split_numbers
from gsigpu.cli.mask_options import MaskOptions
from gsigpu.cli.messages import fail, warn
from gsigpu.cli.spread import spread
from gsigpu.cli.study_places import StudyPlace
from gsigpu.cli.waiting import LINE
from gsigpu.errors import SettingsError

if TYPE_CHECKING:
    from gsigpu.pipeline.review.review_study import ReviewResult


@spread("masks", MaskOptions, without=("region",))
def review_command(
    folders: several_studies.Reviewed,
    *,
    masks: MaskOptions,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="OUT", help="Folder to write; open index.html in it."),
    ] = None,
    serve: Annotated[
        bool,
        typer.Option(
            "--serve",
            help="Show the page at an address of this machine until Ctrl-C; without -o it is kept nowhere.",
        ),
    ] = False,
    phase: Annotated[
        list[str], options.list_option("--phase", text="Phases to show; all that the study has.")
    ],
    maps: Annotated[
        list[str],
        options.list_option("--maps", text="Maps beside water and iodine", default="lambda-hu"),
    ],
    slope: Annotated[
        str, typer.Option("--slope", help="Definition of lambda-hu, as for gsigpu map.")
    ] = DEFAULT_SLOPE,
    case: Annotated[
        str, typer.Option("--case", help="The case's name on the page; the folder's if not given.")
    ] = "",
    with_identity: Annotated[
        bool,
        typer.Option(
            "--with-identity",
            help="Also the patient ID and date, and regions of interest can be saved as DICOM SEG.",
        ),
    ] = False,
    outside: Annotated[
        options.Outside, typer.Option("--outside", help="What lies around the patient.")
    ] = options.Outside.blank,
    pictures: Annotated[
        bool,
        typer.Option(
            "--pictures",
            help="Also pictures of each lesion for a paper, PNG and PDF, in the folder pictures.",
        ),
    ] = False,
    series: options.SeriesChoice,
    energies: options.Energies,
    workers: options.Threads = None,
    energy: options.Energy,
    phase_of: options.PhaseOf,
    kind: options.KindOf,
    patterns: options.PatternFile = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a page that is there.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Write a page that shows maps, regions and values of a study; it opens without a server.

    Without a mask the page has no regions. Several studies go to OUT/NAME each; - reads their names from standard input. In
    a path of a mask {study} stands for the study's path and {name} for its name.

    Example: gsigpu review /data/study-0042 --mask lesions.nii.gz --liver-mask liver.nii.gz -o review-0042
    """
    from gsigpu.pipeline.review.review_study import review_study
    from gsigpu.pipeline.review.serve import page_folder, serve_page

    if out is None and not serve:
        raise SettingsError("nothing says where the page goes", remedy="add -o OUT, or --serve")
    studies = several_studies.given_studies(folders)
    several_studies.require_one(studies, {"--serve": serve, "--case": case})
    if len(studies.paths) > 1:
        masks.require_of_each_study()
    watcher = TerminalWatcher(
        {
            "scan": "reading headers",
            "measure": "measuring",
            "volumes": "computing maps",
            "pictures": "drawing pictures",
        }
    )

    def reviewed(folder: Path | None, out: Path) -> several_studies.Outcome:
        assert folder is not None
        place = StudyPlace.of(folder)
        files = masks.files(place)
        study = options.read_folder(
            folder, watcher, energy=energy, phase_of=phase_of, kind=kind, patterns=patterns
        )
        result = review_study(
            study,
            out,
            masks=files if files.named or files.segment else None,
            phases=phase,
            maps=maps,
            slope=slope,
            case_id=case or place.name,
            series=series,
            energies_kev=split_numbers(energies, "--energies"),
            with_identity=with_identity,
            inside_body=outside is options.Outside.blank,
            pictures=pictures,
            n_workers=workers,
            overwrite=overwrite,
            watcher=watcher,
        )
        warn(result.warnings)
        return several_studies.Outcome(_as_dict(result), summary(result), result.failures)

    if studies.are_several:
        assert out is not None
        several_studies.run_studies(studies, out, reviewed, as_json=as_json)
        return
    with page_folder(out) as page:
        outcome = reviewed(studies.only, page)
        several_studies.tell(replace(outcome, failures=()), as_json=as_json)
        if serve:
            with LINE.held():
                serve_page(page, tell=typer.echo)
    if outcome.failures:
        fail(outcome.failures)


def _as_dict(result: ReviewResult) -> dict[str, object]:
    return {
        "page": str(result.page),
        "pictures": None if result.pictures is None else str(result.pictures),
        "phases": list(result.phases),
        "n_lesions": result.n_lesions,
        "n_bytes": result.n_bytes,
        "seconds": result.seconds,
        "warnings": list(result.warnings),
        "failures": [str(error) for error in result.failures],
    }


def summary(result: ReviewResult) -> str:
    """What was written, for a person."""
    lines = [
        f"page     {result.page}",
        f"shows    {', '.join(result.phases)}; {result.n_lesions} lesion{'s' if result.n_lesions != 1 else ''}",
        f"size     {result.n_bytes / 2**20:.1f} MiB",
    ]
    if result.pictures is not None:
        lines.append(f"pictures {result.pictures}")
    return "\n".join(lines)
