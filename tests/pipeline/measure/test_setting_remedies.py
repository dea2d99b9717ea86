"""What `measure` and `review` say to do about settings is done, and helps.

A problem is options on top of a call that works, or a call from Python. Its line is that of the command to the letter,
and every way out that the line names is taken.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from typer.testing import CliRunner

from gsigpu.cli.app import app
from gsigpu.errors import GsigpuError
from gsigpu.masks import read_masks
from gsigpu.masks.layers import Owner
from gsigpu.pipeline.measure.given_masks import MaskFiles
from gsigpu.pipeline.measure.mask_images import mask_files
from gsigpu.pipeline.measure.measure_study import measure_study
from gsigpu.pipeline.measure.measurement import MeasureSettings
from gsigpu.pipeline.measure.parameters import ParameterSettings, check_parameters
from gsigpu.pipeline.measure.profile_plot import save_profiles
from gsigpu.regions.boundary import chosen_dimensions
from gsigpu.regions.region_layout import RegionSettings
from gsigpu.regions.region_mask import RegionMask, region_mask
from gsigpu.regions.segment_statistics import segments_of, statistics_of_segments
from tests.pipeline.measure.test_remedies import probable
from tests.support.dicom_files import ct_dataset, save
from tests.support.mask_places import FIRST, SECOND, SHAPE, WIDE

CALL = {"--mask": "{here}/m.nii.gz", "--phase": "PVP", "--regions": "lesion", "--maps": "iodine"}
IN_MEASURE = {"-o": "{here}/t.csv", "--no-curve": "", "--overwrite": ""}
HOLE = (slice(2, 4), slice(40, 44), slice(40, 44))
BOX = tuple(slice(0, n) for n in SHAPE)
PIXEL = (slice(3, 4), slice(20, 21), slice(20, 21))
OF_VENDOR = {"--kind": "4=iodine"}
LIVER = {"--liver-mask": "{here}/liver.nii.gz"}
NORMAL = {"--normal-mask": "{here}/normal.nii.gz"}
AORTA = {"--aorta-mask": "{here}/normal.nii.gz"}


def measured_before(place):
    """A table, and the SEG that goes with it."""
    words = ["measure", str(place.study), "--mask", str(place.file("m.nii.gz")), "--phase", "PVP"]
    words += ["--regions", "lesion", "--no-curve", "--dicom", "-o", str(place.file("t.csv"))]
    assert CliRunner().invoke(app, words).exit_code == 0


@dataclass
class Problem:
    """Options that go wrong, the line that they print, and the ways out that it names.

    options : in the place of those of a call that works; None takes one away
    ways : options in the place of these; words that must be in the line, for those that a text names
    lesions : boxes of the labels
    study : "" for the usual one, "odd" for one with a hole and series of the scanner's own
    """

    options: dict
    line: str
    ways: list[dict]
    lesions: dict = field(default_factory=lambda: {1: FIRST})
    study: str = ""
    command: str = "measure"
    more: Callable = lambda place: None


PROBLEMS = {
    "a rim": Problem(
        {"--rim": "thick", "--regions": "lesion,rim"},
        "unknown rim 'thick'; use auto, a thickness such as 2mm, or a share such as 30%",
        [{"--rim": "auto"}, {"--rim": "2mm"}, {"--rim": "30%"}],
    ),
    "a rim that is more than all": Problem(
        {"--rim": "200%", "--regions": "lesion,rim"}, "rim '200%' is more than the lesion; use 1-100 %",
        [{"--rim": "1%"}, {"--rim": "100%"}],
    ),
    "a threshold": Problem(
        {"--threshold": "0", "--mask": "{here}/m.nrrd"},
        "a threshold of 0 lets every voxel in, or none; give a probability, as --threshold 0.5",
        [{"--threshold": "0.5"}], more=lambda place: probable(place, 0.9),
    ),
    "a region": Problem(
        {"--regions": "edge"}, "unknown region 'edge'; use lesion, rim, core, perilesional, parenchyma, aorta, profile",
        [{"--regions": "lesion,rim,core,perilesional,parenchyma,aorta,profile"}, *({"--regions": name} for name in ("lesion", "rim", "core", "perilesional", "profile"))],
    ),
    "dimensions": Problem(
        {"--rim-dimensions": "4d"}, "unknown dimensions '4d' of the rim; use --rim-dimensions auto, 2d, 3d",
        [{"--rim-dimensions": text} for text in ("auto", "2d", "3d")],
    ),
    "a shell from far to near": Problem(
        {"--perilesional": "5-0", "--regions": "perilesional"}, "perilesional range 5-0 mm is none; write the nearer distance first, as in 0-5",
        [{"--perilesional": "0-5"}],
    ),
    "a shell": Problem(
        {"--perilesional": "near"}, "--perilesional 'near' is no range; write --perilesional 0-5", [{"--perilesional": "0-5"}]
    ),
    "parenchyma without a liver": Problem(
        {"--regions": "parenchyma"},
        "none of the regions parenchyma can be made from these masks; give --liver-mask or --normal-mask (columns of a manifest), or add lesion to --regions",
        [LIVER, NORMAL, {"--regions": "parenchyma,lesion"}],
    ),
    "an aorta that is not drawn": Problem(
        {"--regions": "aorta"},
        "none of the regions aorta can be made from these masks; give --aorta-mask (a column of a manifest), or add lesion to --regions",
        [AORTA, {"--regions": "aorta,lesion"}],
    ),
    "parenchyma that is all lesion": Problem(
        {"--regions": "parenchyma", "--liver-mask": "{here}/m.nii.gz"},
        "none of the regions parenchyma can be made from these masks; give --normal-mask (a column of a manifest), or add lesion to --regions",
        [NORMAL, {"--regions": "parenchyma,lesion"}],
    ),
    "no parenchyma beside a lesion": Problem(
        {"--regions": "lesion,parenchyma"},
        "no parenchyma is measured: give --liver-mask or --normal-mask (columns of a manifest)", [LIVER, NORMAL],
    ),
    "no parenchyma left": Problem(
        {"--regions": "lesion,parenchyma", "--liver-mask": "{here}/m.nii.gz"},
        "no parenchyma is left beside lesions and vessels: give --normal-mask (a column of a manifest)", [NORMAL],
    ),
    "no aorta": Problem(
        {"--regions": "lesion,aorta"}, "no aorta is measured: give --aorta-mask (a column of a manifest)", [AORTA]
    ),
    "standard errors": Problem(
        {"--se": "", "--regions": "lesion,parenchyma"},
        "the standard error needs the noise of the parenchyma; give --liver-mask or --normal-mask (columns of a manifest), or leave out --se",
        [LIVER, NORMAL, {"--se": None}], study="odd",
    ),
    "standard errors of lesions alone": Problem(
        {"--se": ""},
        "the standard error needs the noise of the parenchyma; add parenchyma to --regions and give --liver-mask or --normal-mask (columns of a manifest), or leave out --se",
        [{"--regions": "lesion,parenchyma", **LIVER}, {"--regions": "lesion,parenchyma", **NORMAL}, {"--se": None}], study="odd",
    ),
    "standard errors of lesions alone in a liver": Problem(
        {"--se": "", **LIVER},
        "the standard error needs the noise of the parenchyma; add parenchyma to --regions, or leave out --se",
        [{"--regions": "lesion,parenchyma"}, {"--se": None}], study="odd",
    ),
    "standard errors without parenchyma left": Problem(
        {"--se": "", "--regions": "lesion,parenchyma", "--liver-mask": "{here}/m.nii.gz"},
        "the standard error needs the noise of the parenchyma; give --normal-mask (a column of a manifest), or leave out --se",
        [NORMAL, {"--se": None}], study="odd",
    ),
    "a lesion in the padding": Problem(
        {}, "lesion 2: none of its 32 voxels has a value; check that it lies inside the reconstruction circle of every series",
        [{"--mask": "{here}/right.nii.gz"}], lesions={1: FIRST, 2: HOLE}, study="odd",
        more=lambda place: place.nifti("right.nii.gz", {1: FIRST, 2: SECOND}),
    ),
    "a core of one voxel": Problem(
        {"--regions": "core", "--rim": "100%"}, "lesion 2: has no core, and nothing else is measured; add lesion to --regions",
        [{"--regions": "core,lesion"}], lesions={1: SECOND, 2: PIXEL},
    ),
    "a CT value": Problem(
        {"--ct-value": "bright", "--kind": "5=conventional"}, "unknown CT value 'bright'; use an energy in keV, or conventional",
        [{"--ct-value": "70"}, {"--ct-value": "conventional"}], study="odd",
    ),
    "a conventional image": Problem(
        {"--ct-value": "conventional"},
        "{study}: no conventional series lie on the grid of the monoenergetic ones; measure the CT value on a monoenergetic series with --ct-value 70",
        [{"--ct-value": "70"}],
    ),
    "a unit": Problem(
        {"--vendor-iodine-unit": "g", **OF_VENDOR}, "unknown unit 'g' of the vendor's iodine; use mg/mL or 100ug/mL",
        [{"--vendor-iodine-unit": "mg/mL"}, {"--vendor-iodine-unit": "100ug/mL"}], study="odd",
    ),
    "no unit": Problem(
        OF_VENDOR, "series 'PVP Third' in HU: its header does not say its unit (HU); name it with --vendor-iodine-unit",
        [{"--vendor-iodine-unit": "mg/mL"}], study="odd",
    ),
    "ten times the iodine": Problem(
        {"--vendor-iodine-unit": "mg/mL", **OF_VENDOR},
        "iodine[vendor] is 10 times the computed iodine (correlation 1.00), as in another unit; if the scanner's is 100ug/mL, add --vendor-iodine-unit 100ug/mL",
        [{"--vendor-iodine-unit": "100ug/mL"}], study="odd",
    ),
    "a tenth of the iodine": Problem(
        {"--vendor-iodine-unit": "100ug/mL", "--kind": "6=iodine"},
        "iodine[vendor] is 0.1 times the computed iodine (correlation 1.00), as in another unit; if the scanner's is mg/mL, add --vendor-iodine-unit mg/mL",
        [{"--vendor-iodine-unit": "mg/mL"}], study="odd",
    ),
    "the mask as output": Problem(
        {"--mask": "{here}/t.seg.dcm", "--dicom": ""}, "{here}/t.seg.dcm: is a mask that was measured; choose another output",
        [{"-o": "{here}/other.csv"}], more=measured_before,
    ),
    "a plot of nothing": Problem(
        {"--plot": ""}, "--plot shows the profile; add profile to --regions", [{"--regions": "lesion,profile"}]
    ),
    "a role without a label": Problem(
        {"--role": "lesion"}, "--role 'lesion' is not LABEL=VALUE; write --role 1=lesion", [{"--role": "1=lesion"}]
    ),
    "a name without a label": Problem(
        {"--name": "S4"}, "--name 'S4' is not LABEL=VALUE; write --name 1=S4", [{"--name": "1=S4"}]
    ),
    "a position": Problem(
        {"--mask-position": "left"}, "--mask-position 'left' is unknown; use sform, qform, file, index",
        [{"--mask-position": "index"}], more=lambda place: place.nifti("m.nii.gz", {1: FIRST}, sform=None),
    ),
    "a position at the origin": Problem(
        {"--mask-position": "left"}, "--mask-position 'left' is unknown; use sform, qform, file, index",
        [{"--mask-position": "file"}], more=lambda place: place.nifti("m.nii.gz", {1: BOX}, sform=np.eye(4), spacing_mm=(1, 1, 1)),
    ),
    "a position of a NIfTI": Problem(
        {"--mask-position": "left"}, "--mask-position 'left' is unknown; use sform, qform, file, index",
        [{"--mask-position": "sform"}, {"--mask-position": "qform"}],
        more=lambda place: place.nifti("m.nii.gz", {1: FIRST}, qform=place.shifted(12.0)),
    ),
    "nowhere to write a page": Problem(
        {"-o": None}, "nothing says where the page goes; add -o OUT, or --serve", [{"-o": "{here}/page"}], command="review"
    ),
    "pictures of no lesion": Problem(
        {"--mask": None, "--pictures": ""}, "pictures are of lesions, and there is no mask; add --mask, or leave out --pictures",
        [{"--mask": "{here}/m.nii.gz"}, {"--pictures": None}], command="review",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def odd_study(tmp_path_factory):
    """A hole without values, noise, and series that the scanner computed, of 10 and of one times the iodine."""
    folder = tmp_path_factory.mktemp("odd") / "study"
    random = np.random.default_rng(5)
    iodine = random.normal(3.0, 0.5, SHAPE)
    per_mg = {60: 36.8, 70: 26.0, 100: 11.4}
    hu = {f"Mono {kev} keV": 50.0 + factor * iodine for kev, factor in per_mg.items()}
    others = {"Third": 10 * iodine, "Fourth": 100.0 + iodine, "Fifth": iodine}
    for number, (name, values) in enumerate((hu | others).items(), start=1):
        scale = 1.0 if name in hu else 0.01
        stored = np.round(values / scale).astype(np.int16)
        stored[HOLE] = -2000 if name in hu else stored[HOLE]
        for z in range(SHAPE[0]):
            ds = ct_dataset(
                stored[z],
                position_mm=(-120.0, -118.0, 2.0 + 5.0 * z),
                instance_number=z + 1,
                series=name,
                slope=scale,
                SeriesDescription=f"PVP {name}",
                SeriesNumber=number,
                PixelSpacing=[4.0, 4.0],
            )
            save(ds, folder / name / f"{z}.dcm")
    return folder


@pytest.fixture
def call(place, odd_study):
    """Exit code and lines of a problem's command, with these options in the place of its own."""

    def run(problem, changed):
        study = odd_study if problem.study else place.study
        more = (
            IN_MEASURE if problem.command == "measure" else {"-o": "{here}/page", "--overwrite": ""}
        )
        options = {**CALL, **more, **problem.options, **changed}
        if problem.command == "review":
            options.pop("--regions")
        words = [problem.command, str(study)]
        for option, value in options.items():
            if value is not None:
                words += [option, *([value] if value else [])]
        done = CliRunner().invoke(
            app, [word.replace("{here}", str(place.folder)) for word in words]
        )
        lines = [re.sub(r"^warning: ", "", line) for line in done.stderr.splitlines() if line]
        if isinstance(done.exception, GsigpuError):
            lines.append(str(done.exception))
        elif done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        lines = [
            line.replace(str(place.folder), "{here}").replace(str(study), "{study}")
            for line in lines
        ]
        return done.exit_code, lines

    place.nifti("liver.nii.gz", {1: WIDE})
    place.nifti("normal.nii.gz", {1: (slice(2, 6), slice(5, 16), slice(5, 55))})
    return run


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_remedy_does_what_it_says(place, call, name):
    problem = PROBLEMS[name]
    place.nifti("m.nii.gz", problem.lesions)
    problem.more(place)
    _, lines = call(problem, {})
    assert any(line.endswith(problem.line) for line in lines), lines
    for way in problem.ways:
        code, lines = call(problem, way)
        assert code == 0, (way, lines)
        assert not [line for line in lines if line.endswith(problem.line)], way


BALL = np.ones((3, 3, 3), bool)


def plotted(place, *regions):
    place.nifti("m.nii.gz", {1: FIRST})
    settings = MeasureSettings(regions=RegionSettings(regions=regions))
    masks = MaskFiles((place.file("m.nii.gz"),))
    save_profiles(
        place.file("p.png"), measure_study(place.study, masks, settings=settings, phase="PVP")
    )


def given(mask):
    with mask_files(mask) as files:
        assert files.lesions


def of_segments(*names):
    statistics_of_segments(np.float32([[1, 3, 5, 9]]), segments_of([np.arange(4)]), names)


def dimensions(rule):
    chosen_dimensions(RegionMask("a", 1, (0, 0, 0), BALL), (1.0, 1.0, 1.0), rule)


OF_PYTHON = {
    "dimensions": (
        lambda place: dimensions("4d"), "unknown dimensions '4d' of the rim; use auto, 2d, 3d",
        [lambda place, rule=rule: dimensions(rule) for rule in ("auto", "2d", "3d")],
    ),
    "an empty mask": (
        lambda place: region_mask("a", 1, ~BALL), "mask 'a' is empty; draw it on this study, or leave it out",
        [lambda place: region_mask("a", 1, BALL)],
    ),
    "no mask": (
        lambda place: given(7), "int is no mask; give MaskFiles, a path, an image of SimpleITK or nibabel, or (array, affine)",
        [lambda place: given((BALL, np.eye(4))), lambda place: given(place.file("m.nii.gz"))],
    ),
    "a plane": (
        lambda place: given((BALL[0], np.eye(4))), "a mask of shape (3, 3) with an affine of shape (4, 4) is no volume; give (z, y, x) labels and a (4, 4) affine",
        [lambda place: given((BALL, np.eye(4)))],
    ),
    "a statistic of segments": (
        lambda place: of_segments("mode"), "no statistic 'mode' of segments; use mean, sd, skewness, kurtosis, median, p10, p90, iqr, min, max, entropy",
        [lambda place: of_segments("mean", "sd", "skewness", "kurtosis", "median", "p10", "p90", "iqr", "min", "max", "entropy")],
    ),
    "no slope": (
        lambda place: check_parameters(ParameterSettings(slopes=())), "no definition of the slope; use --slope paper",
        [lambda place: check_parameters(ParameterSettings(slopes=("paper",)))],
    ),
    "no profile": (
        lambda place: plotted(place, "lesion"), "no profile was measured, so none can be plotted; add profile to --regions, or leave out --plot",
        [lambda place: plotted(place, "lesion", "profile")],
    ),
    "no file": (
        lambda place: read_masks(place.file("absent.nii"), place.geometry["PVP"], owner=Owner()), "{here}/absent.nii: no such mask file; name a SEG, RTSTRUCT, NIfTI, NRRD or MetaImage file",
        [lambda place: (place.nifti("m.nii.gz", {1: FIRST}), read_masks(place.file("m.nii.gz"), place.geometry["PVP"], owner=Owner()))],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OF_PYTHON)
def test_a_remedy_of_a_function_does_what_it_says(place, name):
    wrong, line, ways = OF_PYTHON[name]
    with pytest.raises(GsigpuError) as told:
        wrong(place)
    assert str(told.value).replace(str(place.folder), "{here}") == line
    for way in ways:
        way(place)
