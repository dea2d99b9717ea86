"""A plain installation scans, maps and measures; what needs more names the extra, at the start and in one line."""

import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib

import nibabel
import pytest

from gsigpu.optional_packages import EXTRA_OF
from gsigpu.phantom import write_phantom
from tests.support.cohort import TINY
from tests.support.places import ROOT
from tests.support.plain_install import environment, hidden, normalised, requirements

# Each line of arguments in one process, which an installation's imports are paid for once.
_CALLS = """
import json, sys, traceback
from gsigpu.cli import main
import io, contextlib
answers = []
for words in json.loads(sys.argv[1]):
    sys.argv = ["gsigpu", *words]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
    answers.append([code, out.getvalue(), err.getvalue()])
import gsigpu
try:
    gsigpu.cohort_run
except gsigpu.MissingDependency as error:
    answers.append([str(error), "", ""])
print(json.dumps(answers))
"""


def test_the_table_of_errors_is_that_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    modules = importlib.metadata.packages_distributions()
    for module, extra in EXTRA_OF.items():
        brought = {
            normalised(re.match(r"[\w-]+", line)[0])
            for line in project["optional-dependencies"][extra]
        }
        assert {normalised(name) for name in modules[module]} & brought, module
    named = set(EXTRA_OF.values())
    for extra in ("masks", "stats", "report"):
        assert extra in named
    everything = requirements("all")
    for extra in ("masks", "stats", "report"):
        assert set(requirements(extra)) <= set(everything)


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    write_phantom(folder / "phantom", TINY)
    image = nibabel.load(folder / "phantom/masks/lesions.nii.gz")
    (folder / "lesions.nrrd").write_bytes(nrrd_of(image))
    (folder / "table.csv").write_text("patient_id,lesion_id,group,phase,region,parameter,value\n")
    (folder / "hook").mkdir()
    mask = str(folder / "phantom/masks/lesions.nii.gz")
    dicom = str(folder / "phantom/dicom")
    calls = {
        "scan": ["scan", dicom],
        "map": ["map", dicom, "-o", str(folder / "maps")],
        "map of all formats": ["map", dicom, "-o", str(folder / "pm"), "--format", "pm"],
        "map with masks": ["map", dicom, "--mask", mask, "-o", str(folder / "both"), "--maps", "iodine"],
        "measure": ["measure", dicom, "--mask", mask, "-o", str(folder / "t.csv")],
        "review": ["review", dicom, "--mask", mask, "-o", str(folder / "page")],
        "info": ["info", "--json"],
        "mask in NRRD": ["measure", dicom, "--mask", str(folder / "lesions.nrrd"), "-o", str(folder / "n.csv")],
        "Parquet": ["measure", dicom, "--mask", mask, "-o", str(folder / "t.parquet")],
        "cohort run": ["cohort", "run", str(folder / "m.csv"), "-o", str(folder / "run")],
        "cohort stats": ["cohort", "stats", str(folder / "table.csv"), "-o", str(folder / "report")],
        "demo": ["demo", str(folder / "demo")],
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", _CALLS, json.dumps(list(calls.values()))],
        env=environment(folder / "hook"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    return folder, dict(zip([*calls, "gsigpu.cohort_run"], told, strict=True))


def nrrd_of(image):
    values = image.get_fdata().astype("uint8")
    head = (
        "NRRD0004\ntype: uint8\ndimension: 3\nspace: right-anterior-superior\n"
        f"sizes: {' '.join(map(str, values.shape))}\n"
        f"space directions: {' '.join(f'({x},{y},{z})' for x, y, z in image.affine[:3, :3].T)}\n"
        f"space origin: ({','.join(map(str, image.affine[:3, 3]))})\nencoding: raw\n\n"
    )
    return head.encode() + values.tobytes(order="F")


def test_what_is_hidden_is_what_the_extras_bring():
    assert set(EXTRA_OF) <= set(hidden()["modules"]) | {"distributed"}


@pytest.mark.parametrize(
    "call", ["scan", "map", "map of all formats", "map with masks", "measure", "review", "info"]
)
def test_a_plain_installation_does(answers, call):
    code, _, err = answers[1][call]
    assert (code, "needs" in err) == (0, False), err


ERRORS = {
    "mask in NRRD": ("a mask in .nrrd needs SimpleITK", "masks"),
    "Parquet": ("a Parquet file needs pyarrow", "stats"),
    "cohort run": ("gsigpu cohort run needs pyarrow", "stats"),
    "cohort stats": ("gsigpu cohort stats needs docx", "report"),
    "demo": ("gsigpu demo needs docx", "report"),
}


@pytest.mark.parametrize("call", ERRORS)
def test_what_needs_more_names_the_extra(answers, call):
    folder, told = answers
    what, extra = ERRORS[call]
    code, _, err = told[call]
    assert code == 1
    assert err.strip().endswith(f"{what}; pip install 'gsigpu[{extra}]'")
    assert len(err.strip().splitlines()) == 1
    assert not [name for name in ("n.csv", "t.parquet", "run", "report", "demo") if (folder / name).exists()]  # fmt: skip


def test_a_name_of_the_package_says_so_too(answers):
    assert answers[1]["gsigpu.cohort_run"][0] == "gsigpu.cohort_run needs pyarrow; pip install 'gsigpu[stats]'"  # fmt: skip
