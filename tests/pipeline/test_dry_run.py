"""What a dry run tells is what the run then does: the planes that it reads, the files that it leaves, and their size."""

import json

import pytest
from typer.testing import CliRunner

import gsigpu
from gsigpu.cli.app import app
from gsigpu.errors import GsigpuError
from tests.support.planes_read import counted_planes

SETTINGS = gsigpu.PhantomSettings(
    shape=(6, 64, 80), spacing_mm=(20.0, 4.4, 4.4), n_lesions=1, diameter_mm=(28.0, 30.0),
    energies_kev=(60.0, 70.0, 100.0), extras=("conventional",),
)  # fmt: skip
MAP = ("--phase", "PVP", "--maps", "lambda-hu,iodine")
MASKS = ("--mask", "LESIONS", "--any-mask-phase")


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return gsigpu.write_phantom(tmp_path_factory.mktemp("study") / "phantom", SETTINGS)


@pytest.fixture
def planes_read(monkeypatch):
    """Every plane that is read, once however often."""
    return counted_planes(monkeypatch)


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def told(*words):
    done = run(*words, "--dry-run", "--json")
    assert done.exit_code == 0, done.exception or done.output
    return json.loads(done.stdout)["phases"]


def left_in(folder, plans):
    """What lies there of what was told, files or folders, and what lies there beside; no marks of ours."""
    written = {path for plan in plans for path in plan["written"]}
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    reached = {name for name in written if any(_is_or_holds(name, path) for path in files)}
    beside = [path for path in files if not any(_is_or_holds(name, path) for name in written)]
    return written, reached, beside


def _is_or_holds(name, path):
    return str(path) == name or str(path).startswith(f"{name}/")


@pytest.mark.parametrize(
    "words",
    [
        ("map", *MAP),
        ("map", *MAP, "--format", "pm"),
        ("map", *MAP, "--format", "rgb"),
        ("map", *MAP, "--format", "nii.gz"),
        ("map", "--phase", "all", "--maps", "lambda-hu", "--format", "nrrd"),
        ("map", *MAP, "--compress", "rle", "--dicom"),
        ("map", *MAP, "--format", "nifti", *MASKS),
        ("map", "--phase", "all", "--maps", "lambda-hu,vnc", "--dicom", *MASKS, "--aorta-mask", "AORTA"),
        ("measure", "--phase", "PVP", *MASKS),
        ("measure", "--phase", "AP", *MASKS, "--ct-value", "conventional", "--no-curve", "--plot", "--dicom"),
        ("measure", "--phase", "all", *MASKS, "--regions", "lesion", "--wide"),
        ("measure", "--phase", "all", *MASKS, "--dicom"),
        ("measure", "--phase", "PVP", "--region", "vessel=AORTA"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_the_plan_is_what_is_done(truth, tmp_path, planes_read, words):
    """Exactly these planes and these files, and a size that holds."""
    command, *options = words
    names = {"LESIONS": truth.lesion_mask, "AORTA": truth.aorta_mask}
    options = [str(names.get(word, word)).replace("AORTA", str(truth.aorta_mask)) for word in options]  # fmt: skip
    out = tmp_path / "out" / ("maps" if command == "map" else "m.csv")
    out.parent.mkdir()
    call = [command, truth.dicom_folder, "-o", out, *options]
    plans = told(*call)
    assert list(out.parent.iterdir()) == []
    planes_read.clear()
    done = run(*call)
    assert done.exit_code == 0, done.exception or done.output
    assert sum(plan["n_planes"] for plan in plans) == len(planes_read)
    assert sum(plan["read_bytes"] for plan in plans) == len(planes_read) * 64 * 80 * 2
    written, reached, beside = left_in(out.parent, plans)
    assert (reached, beside) == (written, [])
    masks = {
        str(path)
        for path in (truth.lesion_mask, truth.aorta_mask)
        if str(path) in " ".join(options)
    }
    assert all(masks <= set(plan["masks"]) for plan in plans)
    n_bytes = sum(plan["written_bytes"] for plan in plans)
    if command == "map":
        size = sum(path.stat().st_size for path in out.rglob("*") if _is_map(path))
        assert size < 1.5 * n_bytes
        if not plans[0]["is_at_most"]:
            assert size > 0.3 * n_bytes


def _is_map(path):
    return path.is_file() and not path.name.startswith(("measurements", "provenance", "."))


def refusal(*words):
    error = run(*words).exception
    assert isinstance(error, GsigpuError)
    return str(error)


def test_what_the_run_refuses_is_refused(truth, tmp_path):
    """With the same words, before anything is read."""
    out = tmp_path / "maps"
    out.mkdir()
    (out / "note.txt").write_text("mine")
    of_map = ("map", truth.dicom_folder, "-o", out, *MAP)
    nested = tmp_path / "masks" / "lesions.csv"
    table = tmp_path / "m.csv"
    measure = ("measure", truth.dicom_folder, "--mask", truth.lesion_mask, "-o", table)
    for call in (
        of_map,
        (*of_map, "--overwrite"),
        ("map", truth.dicom_folder, "-o", tmp_path / "new", *MAP, "--mask", nested),
        ("map", truth.dicom_folder, "-o", tmp_path / "new", *MAP, "--energies", "65"),
        (*measure, "--phase", "late"),
        (*measure, "--phase", "all", "--any-mask-phase", "--haematocrit", "0.4"),
    ):
        assert refusal(*call, "--dry-run") == refusal(*call)
    assert run(*of_map[:3], tmp_path / "other", *MAP, "--dry-run").exit_code == 0


def test_for_a_person(truth, tmp_path):
    done = run("map", truth.dicom_folder, "-o", tmp_path / "maps", "--phase", "AP", "--dry-run")
    lines = done.stdout.splitlines()
    assert lines[0] == "phase  AP: 60, 70, 100 keV"
    assert lines[-2].startswith("size   about ")
    assert lines[-1] == "nothing was done (--dry-run)"
    assert max(map(len, lines[:2])) <= 80
