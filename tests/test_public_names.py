"""Whatever a user may have to name can be named as gsigpu.NAME."""

import ast
import inspect
from pathlib import Path

import typer

import gsigpu
from gsigpu import errors
from gsigpu.cli.app import app
from gsigpu.pipeline.map.map_study import map_study
from gsigpu.pipeline.measure.measure_study import measure_study
from tests.support.places import ROOT

# Of settings that a user does not make: what a run keeps, and how the command line speaks.
_INTERNAL = {"PlanSettings"}


def test_every_error_can_be_caught_by_name():
    classes = {
        name for name, kind in vars(errors).items()
        if inspect.isclass(kind) and issubclass(kind, (Exception, Warning)) and kind.__module__ == errors.__name__
    }  # fmt: skip
    assert classes <= set(gsigpu.__all__)


def test_every_class_of_settings_can_be_made_by_name():
    named = set()
    for path in (ROOT / "gsigpu").rglob("*.py"):
        if path.relative_to(ROOT / "gsigpu").parts[0] == "cli":
            continue
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef) and node.name.endswith(
                ("Settings", "Options", "Rules")
            ):
                named.add(node.name)
    assert len(named) > 8
    assert {name for name in named if not name.startswith("_")} - _INTERNAL <= set(gsigpu.__all__)


def test_all_names_are_there_once_and_resolve():
    assert len(set(gsigpu.__all__)) == len(gsigpu.__all__)
    for name in gsigpu.__all__:
        assert getattr(gsigpu, name) is not None
    assert dir(gsigpu) == gsigpu.__all__


def test_files_of_masks_may_be_strings():
    files = gsigpu.MaskFiles("lesions.nii.gz", liver="liver.nii.gz")
    assert files.lesions == (Path("lesions.nii.gz"),)
    assert files.liver == Path("liver.nii.gz")
    several = gsigpu.MaskFiles(["a.nii", Path("b.nii")])
    assert several.lesions == (Path("a.nii"), Path("b.nii"))


def test_strings_are_taken_where_paths_are():
    """By every function; dataclasses are tried below."""
    for name in gsigpu.__all__:
        function = getattr(gsigpu, name)
        if inspect.isfunction(function):
            for parameter in inspect.signature(function).parameters.values():
                kind = str(parameter.annotation)
                assert "Path" not in kind or "str" in kind, f"{name}: {parameter}"
    assert gsigpu.CohortSettings(patterns="patterns.toml").patterns == Path("patterns.toml")


def test_settings_have_short_reprs_or_none_of_a_path():
    """What a person sees of an object of no arguments fits a few lines."""
    for name in gsigpu.__all__:
        kind = getattr(gsigpu, name)
        if inspect.isclass(kind):
            try:
                made = kind()
            except TypeError:
                continue
            assert len(repr(made)) < 800, name


# Option -> the argument of the same meaning, where that is called otherwise; with the reason.
OTHERWISE = {
    "--dicom": "with_dicom",  # what is written beside, as in write_measurement
    "--format": "output_format",  # format is a function of Python
    "--workers": "n_workers",  # a count says so
    "--energies": "energies_kev",  # the unit stands in the name
    "--energy": "energy_overrides",  # said of series of a folder
    "--phase-of": "phase_overrides",
    "--kind": "kind_overrides",
    "--wide": "with_wide",
    "--plot": "with_plot",
    "--curve": "curve",
    "--se": "with_se",
    "--mask": "masks",
    "--liver-mask": "liver",
    "--vessel-mask": "vessels",
    "--aorta-mask": "aorta",
    "--normal-mask": "normal",
    "--role": "roles",  # a RoleMap holds all of these
    "--roles": "roles",
    "--name": "roles",
    "--split-lesions": "split",
    "--any-mask-phase": "any_phase",
    "--mask-phase": "drawn_on",
    "--mask-position": "position",
    "--region": "regions",
    "--perilesional": "perilesional_mm",
    "--slope": "slopes",  # of a measurement: several
    "--case": "case_id",
    "--patient": "patient_id",
}
# Options that no argument has, with the reason.
OF_THE_PROGRAM_ALONE = {
    "--json": "the result is an object",
    "--dry-run": "gsigpu.pipeline.dry_run gives what the command prints",
    "--patterns": "of gsigpu.scan",
    "--nifti": "gsigpu.read_volumes",
    "--help": "docstrings",
}


def _arguments(*kinds):
    """Names of all arguments and fields that functions and classes of settings have together."""
    names = set()
    for kind in kinds:
        names |= set(inspect.signature(kind).parameters)
    return names


def _options(command):
    return {
        next(name for name in parameter.opts if name.startswith("--"))
        for parameter in typer.main.get_command(app).commands[command].params
        if parameter.param_type_name == "option"
    }


def test_options_and_arguments_agree():
    """Every option of map and measure is an argument of that name, or stands above with the reason."""
    of_measure = _arguments(
        measure_study, gsigpu.measure_phases, gsigpu.write_measurement, gsigpu.MaskFiles, gsigpu.MeasureSettings,
        gsigpu.ParameterSettings, gsigpu.RegionSettings, gsigpu.CaseLabels,
    )  # fmt: skip
    of_map = _arguments(map_study, gsigpu.map, gsigpu.map_phases) | of_measure
    for command, arguments in (("map", of_map), ("measure", of_measure)):
        for option in _options(command) - set(OF_THE_PROGRAM_ALONE):
            name = option.removeprefix("--").replace("-", "_")
            same = name in arguments
            assert same or OTHERWISE.get(option) in arguments, f"{command} {option}"
    used = _options("map") | _options("measure") | {"--help"}
    assert set(OTHERWISE) | set(OF_THE_PROGRAM_ALONE) <= used
