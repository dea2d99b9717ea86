"""`gsigpu phantom`: synthetic studies with known truth."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gsigpu.choices import EXTRAS, LAYOUTS, PHASES, PRIMARIES, TRANSFER_SYNTAXES, VENDORS
from gsigpu.cli import options
from gsigpu.cli.console import TerminalWatcher, split_list, split_numbers, split_pairs
from gsigpu.errors import InputError, SettingsError

if TYPE_CHECKING:
    from gsigpu.phantom import PhantomSettings

# Options that say how every study of a cohort looks, and the settings that they are.
_OF_A_STUDY = {
    "shape": "shape",
    "spacing": "spacing_mm",
    "energies": "energies_kev",
    "phases": "phases",
    "motion": "motion_mm",
    "diameter": "diameter_mm",
    "rim": "rim_mm",
    "noise": "noise_hu",
    "vendor": "vendor",
    "layout": "layout",
    "transfer_syntax": "transfer_syntax",
    "supplement_188": "supplement_188",
    "extras": "extras",
    "shuffle_names": "shuffle_names",
}


def phantom(
    context: typer.Context,
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder to write.", show_default=False)
    ],
    *,
    shape: Annotated[str, typer.Option("--shape", metavar="Z,Y,X", help="Voxels.")] = "40,256,256",
    spacing: Annotated[
        str, typer.Option("--spacing", metavar="Z,Y,X", help="Voxel size, mm.")
    ] = "3,1.5,1.5",
    energies: Annotated[
        str, typer.Option("--energies", metavar="KEV,KEV", help="Monoenergetic series to write.")
    ] = ", ".join(map(str, range(40, 141, 10))),
    phases: Annotated[
        str, typer.Option("--phases", help=f"Some of {', '.join(PHASES)}.")
    ] = "AP,PVP",
    motion: Annotated[
        str,
        typer.Option(
            "--motion",
            metavar="SHIFT,DEFORMATION",
            help="mm that the phases before the last lie off it, as after another breath, by a known field.",
        ),
    ] = "0,0",
    primary: Annotated[
        str, typer.Option("--primary", help=f"One of {', '.join(PRIMARIES)}.")
    ] = PRIMARIES[0],
    lesions: Annotated[int, typer.Option("--lesions", min=0, help="How many metastases.")] = 5,
    diameter: Annotated[
        str, typer.Option("--diameter", metavar="MIN,MAX", help="Lesion diameters, mm.")
    ] = "8,30",
    rim: Annotated[float, typer.Option("--rim", help="Rim thickness, mm.")] = 3.0,
    noise: Annotated[
        float, typer.Option("--noise-hu", help="Noise SD at 70 keV, HU; 0 for none.")
    ] = 12.0,
    seed: Annotated[int, typer.Option("--seed", help="Of everything random.")] = 0,
    vendor: Annotated[
        str, typer.Option("--vendor", help=f"One of {', '.join(VENDORS)}.")
    ] = VENDORS[0],
    layout: Annotated[
        str, typer.Option("--layout", help=f"One of {', '.join(LAYOUTS)}.")
    ] = LAYOUTS[0],
    transfer_syntax: Annotated[
        str, typer.Option("--transfer-syntax", help=f"One of {', '.join(TRANSFER_SYNTAXES)}.")
    ] = TRANSFER_SYNTAXES[0],
    supplement_188: Annotated[
        bool, typer.Option("--supplement-188", help="Write DICOM's multi-energy attributes.")
    ] = False,
    extras: Annotated[
        str, typer.Option("--extras", help=f"Some of {', '.join(EXTRAS)}.")
    ] = ", ".join(EXTRAS[:-1]),
    shuffle_names: Annotated[
        bool, typer.Option("--shuffle-names", help="File names without order or extension.")
    ] = False,
    anatomy: Annotated[
        Path | None,
        typer.Option(
            "--anatomy",
            metavar="DIR",
            help="A real CT series: its anatomy, noise and headers instead of synthetic ones.",
        ),
    ] = None,
    disc: Annotated[
        list[str] | None,
        typer.Option(
            "--disc",
            metavar="X,Y,RADIUS=C",
            help="With --anatomy: C mg/mL of iodine within RADIUS mm of (X, Y) mm, LPS; repeatable.",
        ),
    ] = None,
    cohort: Annotated[
        str,
        typer.Option(
            "--cohort",
            metavar="N,N,N,N,N",
            help=f"A cohort with a manifest: patients with {', '.join(PRIMARIES)}; small studies by default.",
            show_default=False,
        ),
    ] = "",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a phantom that is there.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Write a synthetic spectral study of the liver, its masks, and the truth; or a whole cohort.

    Example: gsigpu phantom phantom-lung --primary lung --vendor philips --noise-hu 10
    """
    from gsigpu.phantom import PhantomSettings, write_phantom

    if anatomy is not None:
        record, lines = _from_ct(
            anatomy,
            out,
            disc or [],
            tuple(split_numbers(energies, "--energies")),
            overwrite=overwrite,
        )
        _tell(record, lines, as_json=as_json)
        return
    if disc:
        raise SettingsError("--disc needs a real CT", remedy="add --anatomy DIR")
    settings = PhantomSettings(
        shape=_three_whole(shape),
        spacing_mm=_three(spacing, "--spacing"),
        energies_kev=tuple(split_numbers(energies, "--energies")),
        phases=tuple(split_list(phases)),
        primary=primary,
        n_lesions=lesions,
        diameter_mm=_two(diameter, "--diameter", "8,30"),
        motion_mm=_two(motion, "--motion", "10,3"),
        rim_mm=rim,
        noise_hu=noise,
        seed=seed,
        vendor=vendor,
        layout=layout,
        transfer_syntax=transfer_syntax,
        supplement_188=supplement_188,
        extras=tuple(split_list(extras)),
        shuffle_names=shuffle_names,
    )
    if cohort:
        record, lines = _cohort(out, cohort, settings, _given(context), overwrite=overwrite)
        _tell(record, lines, as_json=as_json)
        return
    with TerminalWatcher({"phantom": "writing slices"}).stage("phantom") as progress:
        truth = write_phantom(out, settings, overwrite=overwrite, progress=progress)
    masks, truth_file = truth.lesion_mask.parent, out / "truth.json"
    lines = [
        f"{truth.dicom_folder}  the study, as a PACS exports it",
        f"{masks}  masks: lesions, liver, vessels, aorta",
        f"{truth_file}  what measuring must find",
    ]
    record = _record(out, dicom=truth.dicom_folder, masks=masks, truth_file=truth_file)
    _tell({**record, "truth": truth.as_dict()}, lines, as_json=as_json)


def _record(out: Path, **written: Path) -> dict[str, Any]:
    """What was written where, for `--json`."""
    return {"out": str(out), **{name: str(path) for name, path in written.items()}}


def _tell(record: dict[str, Any], lines: Sequence[str], *, as_json: bool) -> None:
    typer.echo(json.dumps(record, indent=2) if as_json else "\n".join(lines))


def _given(context: typer.Context) -> set[str]:
    """The options on the command line."""
    return {
        name
        for name in context.params
        if (source := context.get_parameter_source(name)) is not None
        and source.name == "COMMANDLINE"
    }


def _cohort(
    out: Path, cohort: str, settings: PhantomSettings, given: set[str], *, overwrite: bool
) -> tuple[dict[str, Any], list[str]]:
    """Studies of many patients; what the command line says of a study holds for each."""
    from gsigpu.phantom import PhantomCohortSettings, write_phantom_cohort

    if given & {"primary", "lesions"}:
        raise SettingsError(
            "--primary and --lesions are of one study", remedy="leave them out with --cohort"
        )
    of_study = {
        field: getattr(settings, field) for name, field in _OF_A_STUDY.items() if name in given
    }
    whole = PhantomCohortSettings(n_patients=_whole(cohort), seed=settings.seed)
    whole = replace(whole, study=replace(whole.study, **of_study))
    with TerminalWatcher({"phantom": "writing studies"}).stage("phantom") as progress:
        written = write_phantom_cohort(out, whole, overwrite=overwrite, progress=progress)
    n_lesions = sum(len(truth.lesions) for truth in written.truths)
    studies, truth_file = out / "studies", out / "truth.csv"
    record = {
        **_record(out, manifest=written.manifest, studies=studies, truth_file=truth_file),
        "n_patients": len(written.truths),
        "n_lesions": n_lesions,
        "settings": asdict(whole),
    }
    return record, [
        f"{written.manifest}  {len(written.truths)} patients, {n_lesions} lesions",
        f"{studies}  a study of each, with masks and truth",
    ]


def _whole(text: str) -> tuple[int, ...]:
    numbers = split_numbers(text, "--cohort")
    if any(number != int(number) for number in numbers):
        raise SettingsError(
            f"--cohort {text!r} is not whole numbers", remedy="write --cohort 11,6,9,8,5"
        )
    return tuple(int(number) for number in numbers)


def _from_ct(
    anatomy: Path, out: Path, discs: list[str], energies_kev: tuple[float, ...], *, overwrite: bool
) -> tuple[dict[str, Any], list[str]]:
    """A spectral study on the slices of a real CT."""
    from gsigpu.dicom.study.read_study import read_study
    from gsigpu.phantom.from_ct import IodineRegion, disc_mask, write_spectral_from_ct

    study = read_study(anatomy)
    usable = [series for series in study.series if series.problem is None]
    if len(usable) != 1:
        raise InputError(
            f"holds {len(usable)} usable CT series", where=anatomy, remedy="name a folder with one"
        )
    geometry = usable[0].geometry
    assert geometry is not None
    regions = []
    for place, value in split_pairs(discs, "--disc", "0,0,10=2.5").items():
        x_mm, y_mm, radius_mm = _three(place, "--disc")
        centre_mm = (x_mm, y_mm, geometry.origin_mm[2])
        (iodine_mg_per_ml,) = split_numbers(value, "--disc")
        regions.append(
            IodineRegion(
                f"disc {place}", disc_mask(geometry, centre_mm, radius_mm), iodine_mg_per_ml
            )
        )
    truth = write_spectral_from_ct(
        [plane.path for plane in usable[0].planes],
        out,
        regions=regions,
        energies_kev=energies_kev,
        overwrite=overwrite,
    )
    truth_file = out / "truth.json"
    record = _record(out, dicom=truth.dicom_folder, truth_file=truth_file)
    return {**record, "truth": json.loads(truth_file.read_text("utf-8"))}, [
        f"{truth.dicom_folder}  the study",
        f"{truth_file}  what measuring must find",
    ]


def _three(text: str, option: str) -> tuple[float, float, float]:
    numbers = split_numbers(text, option)
    if len(numbers) != 3:
        raise SettingsError(
            f"{option} {text!r} is not three numbers", remedy=f"write {option} 3,1.5,1.5"
        )
    return (numbers[0], numbers[1], numbers[2])


def _three_whole(text: str) -> tuple[int, int, int]:
    z, y, x = _three(text, "--shape")
    if any(number != int(number) for number in (z, y, x)):
        raise SettingsError(
            f"--shape {text!r} is not whole numbers", remedy="write --shape 40,256,256"
        )
    return (int(z), int(y), int(x))


def _two(text: str, option: str, example: str) -> tuple[float, float]:
    numbers = split_numbers(text, option)
    if len(numbers) != 2:
        raise SettingsError(
            f"{option} {text!r} is not two numbers", remedy=f"write {option} {example}"
        )
    return (numbers[0], numbers[1])
