"""Every plane that a command needs is read once, with whatever options: its maps, measurement, masks, pages and pictures share a reading.

The exceptions, each with a test here:
- `cohort run` reads a study for each of its rows: a row is done or failed by itself, perhaps by another process, and the next
  run may find it done. What rows share is the registration of their phases.
- What is looked at before the pass, for a registration or a program that draws, is kept up to `MOST_KEPT_BYTES`.
- Slices that are kept for pictures are at most `shown_slices.MOST_KEPT`.
- A measurement in memory that nobody said to be pictured is read again for a picture of its registration.
"""

import csv
from collections import Counter
from dataclasses import replace

import pytest
from typer.testing import CliRunner

import gsigpu
from gsigpu.cli.app import app
from gsigpu.pipeline import stack_source
from gsigpu.pipeline.measure import profile_plot, shown_slices
from gsigpu.pipeline.measure.registration_picture import save_registration
from gsigpu.pipeline.review import paper_pictures
from gsigpu.registration import register as registering
from tests.support.automatic import put_on_path, written_masks
from tests.support.planes_read import counted_planes
from tests.support.true_motion import true_registration

SETTINGS = gsigpu.PhantomSettings(
    shape=(20, 48, 64), spacing_mm=(7.5, 5.0, 5.0), energies_kev=(60.0, 70.0, 100.0), n_lesions=2,
    diameter_mm=(24.0, 30.0), motion_mm=(10.0, 2.0), extras=("conventional", "iodine"), seed=3,
)  # fmt: skip
N_SLICES, N_ENERGIES = SETTINGS.shape[0], len(SETTINGS.energies_kev)
GIVEN = ("--mask", "LESIONS", "--liver-mask", "LIVER", "--any-mask-phase")
CARRIED = ("--mask", "LESIONS", "--liver-mask", "LIVER", "--mask-phase", "PVP", "--register")
DRAWN = ("--segment", "totalsegmentator")
REGION = ("--region", "vessel=AORTA")
COMMANDS = [
    *(("map", "--format", name) for name in ("ct", "pm", "rgb", "nifti")),
    ("map", "--maps", "lambda-hu,zeff,residual,sigma-lambda-hu,sigma-iodine"),
    ("map", "--outside", "blank", "--compress", "rle", "--dicom"),
    ("map", *GIVEN, "--dicom"),
    ("map", *DRAWN),
    ("map", *CARRIED),
    ("map", *REGION),
    ("measure", *GIVEN),
    ("measure", *GIVEN, "--maps", "iodine,sigma-iodine,zeff"),
    ("measure", *GIVEN, "--ct-value", "conventional", "--no-curve"),
    ("measure", *GIVEN, "--plot", "--dicom", "--wide"),
    ("measure", *REGION),
    ("measure", *DRAWN),
    ("measure", *CARRIED),
    ("measure", *CARRIED, "--plot", "--dicom"),
    ("review",),
    ("review", "--maps", "sigma-iodine,lambda-hu", "--outside", "keep"),
    ("review", *GIVEN, "--with-identity"),
    ("review", *GIVEN, "--pictures"),
    ("review", *DRAWN, "--pictures"),
    ("review", *CARRIED, "--pictures"),
]
# Phases are read one after the other; of one alone these go another way.
ALONE = [("map", *GIVEN), ("map", *CARRIED), ("measure", *GIVEN), ("measure", *CARRIED, "--plot")]
CALLS = [
    *((words, "AP") for words in ALONE),
    *((words, "all") for words in COMMANDS),
]


def _call(given):
    return given if isinstance(given, str) else " ".join(given)


OF_A_ROW = ((), ("pictures",), ("review",), ("pictures", "review"))
ROWS = [
    *((maps, made, "carried") for maps in ((), ("lambda-hu",)) for made in OF_A_ROW),
    *((maps, OF_A_ROW[-1], "as drawn") for maps in ((), ("lambda-hu",))),
]


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    return gsigpu.write_phantom(tmp_path_factory.mktemp("study") / "phantom", SETTINGS)


@pytest.fixture(scope="module")
def drawn(phantom, tmp_path_factory):
    return written_masks(tmp_path_factory.mktemp("drawn") / "masks", phantom)


@pytest.fixture
def times(monkeypatch):
    """Registration is the phantom's own field, since its images are read all the same; drawings that read nothing are coarse."""
    monkeypatch.setattr(profile_plot, "save_profiles", lambda path, _: path.touch())
    monkeypatch.setattr(paper_pictures, "DPI", 20)
    monkeypatch.setattr(paper_pictures, "KINDS", ("png",))
    monkeypatch.setattr(registering, "register", true_registration(SETTINGS.motion_mm))
    return counted_planes(monkeypatch)


def again(times):
    """How many planes were read more than once, by how often."""
    return {n: count for n, count in Counter(times.values()).items() if n > 1}


@pytest.mark.parametrize(("words", "phase"), CALLS, ids=_call)
def test_a_command_reads_each_plane_once(
    phantom, drawn, tmp_path, monkeypatch, times, words, phase
):
    (tmp_path / "program").mkdir()
    put_on_path(monkeypatch, tmp_path / "program", drawn)
    command, *options = words
    names = {"LESIONS": phantom.lesion_mask, "LIVER": phantom.liver_mask, "vessel=AORTA": f"vessel={phantom.aorta_mask}"}  # fmt: skip
    options = [str(names.get(word, word)) for word in options]
    phase_words = [] if command == "review" else ["--phase", phase]  # a page has all of itself
    out = tmp_path / ("m.csv" if command == "measure" else "out")
    done = CliRunner().invoke(
        app, [command, str(phantom.dicom_folder), *phase_words, *options, "-o", str(out)]
    )
    assert done.exit_code == 0, done.exception or done.output
    assert again(times) == {}
    assert len(times) >= (1 if command == "measure" else N_SLICES)


@pytest.fixture(scope="module")
def manifest(phantom, tmp_path_factory):
    path = tmp_path_factory.mktemp("cohort") / "manifest.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["case_id", "patient_id", "group", "phase", "study", "mask", "liver_mask", "mask_phase"])  # fmt: skip
        writer.writerow(["c", "p", "lung", "AP", phantom.dicom_folder, phantom.lesion_mask, phantom.liver_mask, "PVP"])  # fmt: skip
    return path


@pytest.fixture
def run_rows(inline, tmp_path, times):
    def run(path, **settings):
        done = gsigpu.cohort_run(path, tmp_path / "out", settings=gsigpu.CohortSettings(**settings))
        assert done.is_complete
        return times

    return run


@pytest.mark.parametrize(("maps", "made", "masks"), ROWS, ids=str)
def test_a_row_reads_each_plane_once(manifest, tmp_path, run_rows, maps, made, masks):
    """Whatever is made of it; with its masks on its own phase or carried over from another."""
    path = manifest
    if masks == "as drawn":
        path = tmp_path / "manifest.csv"
        path.write_text(manifest.read_text("utf-8").replace(",AP,", ",PVP,"), "utf-8")
    times = run_rows(path, register=True, maps=maps, **dict.fromkeys(made, True))
    assert again(times) == {}


def test_rows_read_for_themselves(phantom, manifest, tmp_path, run_rows):
    """Two readers of one case; their phases are registered once, so the other phase is read once."""
    path = tmp_path / "manifest.csv"
    head, row = manifest.read_text("utf-8").splitlines()
    path.write_text(f"{head},reader\n{row},A\n{row},B\n", "utf-8")
    times = run_rows(path, register=True)
    assert set(again(times)) == {2}
    study = gsigpu.scan(phantom.dicom_folder)
    of_other = {plane.file_name for series in study.series if series.phase == "PVP" for plane in series.planes}  # fmt: skip
    assert {n for (name, _), n in times.items() if name in of_other} == {1}


def test_what_is_beyond_the_bound_is_read_again(phantom, monkeypatch, times):
    masks = gsigpu.MaskFiles((phantom.lesion_mask,), drawn_on="PVP", register=True)
    plenty = gsigpu.measure(phantom.dicom_folder, masks, phase="AP")
    assert again(times) == {}
    times.clear()
    monkeypatch.setattr(stack_source, "MOST_KEPT_BYTES", 10 * 2 * 48 * 64)
    little = gsigpu.measure(phantom.dicom_folder, masks, phase="AP")
    assert again(times)
    assert little.table.to_csv() == plenty.table.to_csv()


def test_pictured_slices_beyond_their_number_are_read_again(phantom, tmp_path, monkeypatch, times):
    monkeypatch.setattr(shown_slices, "MOST_KEPT", 0)
    masks = gsigpu.MaskFiles((phantom.lesion_mask,), any_phase=True)
    gsigpu.review(
        phantom.dicom_folder, tmp_path / "out", masks=masks, phases=["PVP"], pictures=True
    )
    assert again(times) == {2: N_ENERGIES}


def test_a_registration_that_nobody_said_to_picture_is_read_for_it(phantom, tmp_path, times):
    """Each plane once for all its lesions, and the picture is the same."""
    masks = gsigpu.MaskFiles((phantom.lesion_mask,), drawn_on="PVP", register=True)
    measured = gsigpu.measure(phantom.dicom_folder, masks, phase="AP")
    times.clear()
    save_registration(tmp_path / "read.png", measured)
    assert times
    assert again(times) == {}
    said_so = gsigpu.measure(phantom.dicom_folder, replace(masks, pictured=True), phase="AP")
    times.clear()
    save_registration(tmp_path / "cut.png", said_so)
    assert times == {}
    assert (tmp_path / "cut.png").read_bytes() == (tmp_path / "read.png").read_bytes()
