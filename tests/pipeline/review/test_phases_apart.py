"""Phases of two grids side by side: the cursor is a place in the patient, whatever the voxels of each phase."""

import nibabel
import numpy as np
import pytest

from gsigpu.dicom.study.read_study import read_study
from gsigpu.dicom.study.stack import select_stack
from gsigpu.physics import iodine_hu_per_mg_per_ml
from gsigpu.pipeline.measure.given_masks import MaskFiles
from gsigpu.pipeline.review.review_study import review_study
from tests.pipeline.review.conftest import DRAWN
from tests.support.browser import open_page
from tests.support.dicom_files import ct_dataset, save

ENERGIES_KEV = (60.0, 70.0, 100.0)
# Two balls in the patient: centre in LPS mm, radius in mm, iodine in mg/mL; nothing else holds iodine.
BALLS = {"1": ((-24.0, 9.0, 30.0), 11.0, 4.0), "2": ((31.0, -14.0, 52.0), 8.0, 2.0)}
# Shape and spacing (z, y, x), the first voxel in LPS mm, and the turn of the rows about z.
GRIDS = {
    "AP": ((16, 40, 44), (5.0, 4.0, 4.0), (-86.0, -78.0, 0.0), 0.0),
    "PVP": ((24, 44, 40), (2.0, 3.0, 3.5), (-60.0, -72.0, 20.5), np.deg2rad(12.0)),
}


def directions(turn):
    row = np.array([np.cos(turn), np.sin(turn), 0.0])
    return row, np.array([-row[1], row[0], 0.0])


def positions(phase, z):
    """(rows, columns, 3) LPS mm of a slice."""
    (_, rows, columns), (dz, dy, dx), first, turn = GRIDS[phase]
    row, column = directions(turn)
    y, x = np.mgrid[:rows, :columns]
    return (
        np.array([*first[:2], first[2] + z * dz])
        + x[..., None] * dx * row
        + y[..., None] * dy * column
    )


def write_phase(folder, phase):
    shape, spacing, _, turn = GRIDS[phase]
    ratios = iodine_hu_per_mg_per_ml(ENERGIES_KEV)
    row, column = directions(turn)
    for z in range(shape[0]):
        at = positions(phase, z)
        iodine = np.zeros(shape[1:])
        for centre, radius, mg_per_ml in BALLS.values():
            iodine[np.linalg.norm(at - centre, axis=-1) <= radius] = mg_per_ml
        for kev, ratio in zip(ENERGIES_KEV, ratios, strict=True):
            ds = ct_dataset(
                np.rint(50.0 + ratio * iodine).astype(np.int16),
                position_mm=tuple(at[0, 0]),
                instance_number=z + 1,
                series=f"{phase}{kev}",
                SeriesDescription=f"{phase} Mono {kev:g} keV",
                PixelSpacing=[spacing[1], spacing[2]],
                SliceThickness=spacing[0],
                ImageOrientationPatient=[float(f"{value:.8f}") for value in (*row, *column)],
            )
            save(ds, folder / f"{phase}-{kev:g}-{z}.dcm")


@pytest.fixture(scope="module")
def side_by_side(browser, tmp_path_factory):
    folder = tmp_path_factory.mktemp("apart")
    for phase in GRIDS:
        write_phase(folder / "dicom", phase)
    study = read_study(folder / "dicom")
    grid = select_stack(study, phase="AP").geometry
    labels = np.zeros(grid.shape, np.uint8)
    for z in range(grid.shape[0]):
        for label, (centre, radius, _) in BALLS.items():
            labels[z][np.linalg.norm(positions("AP", z) - centre, axis=-1) <= radius] = int(label)
    nibabel.save(nibabel.Nifti1Image(labels.T, grid.affine_ras), folder / "lesions.nii.gz")
    result = review_study(
        study,
        folder / "page",
        masks=MaskFiles((folder / "lesions.nii.gz",), any_phase=True),
        inside_body=False,
        case_id="apart",
    )
    with open_page(browser, result.page.as_uri()) as page:
        page.wait_for_function(DRAWN)
        page.get_by_role("button", name="phases side by side").click()
        page.wait_for_function("App.views().length === 2")
        yield page


def phase_numbers(page):
    names = page.evaluate("Store.study.phases.map((phase) => phase.name)")
    return {name: names.index(name) for name in GRIDS}


def cursor(page, number):
    """The voxel that a phase shows, its iodine, and how far the cursor lies outside."""
    return page.evaluate(
        """async (number) => {
          const { voxel, beyond_mm } = App.positionIn(number);
          return { voxel, beyond_mm, iodine: (await App.valuesAt(number, voxel)).maps.iodine };
        }""",
        number,
    )


@pytest.mark.parametrize("lesion", BALLS)
def test_a_chosen_lesion_lies_under_the_cursor_of_both_phases(side_by_side, lesion):
    page = side_by_side
    centre, _, iodine = BALLS[lesion]
    page.locator(f"#lesions tr[data-lesion='{lesion}']").click()
    for phase, number in phase_numbers(page).items():
        shown = cursor(page, number)
        z, y, x = shown["voxel"]
        # The lesion's place is a voxel of the other grid: half a voxel of each is between them.
        assert (
            np.linalg.norm(positions(phase, z)[y, x] - centre)
            < np.linalg.norm(GRIDS[phase][1]) + 4.0
        )
        assert shown["iodine"] == pytest.approx(iodine, abs=0.06)
        caption = page.locator("#views figcaption").nth(number).text_content()
        assert caption.startswith(f"{phase} axial {z + 1} of {GRIDS[phase][0][0]}")


@pytest.mark.parametrize("scrolled", GRIDS)
def test_each_phase_scrolls_by_its_own_slices_and_the_other_follows(side_by_side, scrolled):
    page = side_by_side
    page.locator("#lesions tr[data-lesion='1']").click()
    numbers = phase_numbers(page)
    (other,) = GRIDS.keys() - {scrolled}
    box = page.locator("#views canvas").nth(numbers[scrolled]).bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    for _ in range(4):
        before = cursor(page, numbers[scrolled])["voxel"]
        page.mouse.wheel(0, 100)
        page.wait_for_function(f"App.positionIn({numbers[scrolled]}).voxel[0] === {before[0] + 1}")
        after = cursor(page, numbers[scrolled])["voxel"]
        assert after[1:] == before[1:]
        height = positions(scrolled, after[0])[0, 0, 2]
        of_other = cursor(page, numbers[other])["voxel"][0]
        assert abs(positions(other, of_other)[0, 0, 2] - height) <= GRIDS[other][1][0] / 2 + 1e-6


def test_a_place_outside_a_phase_is_told_and_has_no_cross(side_by_side):
    """The first slices of AP lie below all of PVP."""
    page = side_by_side
    numbers = phase_numbers(page)
    page.evaluate(f"App.moveTo([0, 20, 20], {numbers['AP']})")
    shown = cursor(page, numbers["PVP"])
    below_mm = GRIDS["PVP"][2][2] - GRIDS["PVP"][1][0] / 2
    assert shown["beyond_mm"] == pytest.approx(below_mm, abs=1e-6)
    caption = page.locator("#views figcaption").nth(numbers["PVP"])
    page.wait_for_function(
        f"document.querySelectorAll('#views figcaption')[{numbers['PVP']}].textContent.includes('outside')"
    )
    assert f"the cursor lies {round(below_mm)} mm outside" in caption.text_content()
    lines = page.evaluate(
        """(number) => {
          const view = App.views()[number], context = view.canvas.getContext("2d");
          let n = 0;
          context.lineTo = () => { n++; };
          view.drawCursor(context, view.place(), 1);
          delete context.lineTo;
          return n;
        }""",
        numbers["PVP"],
    )
    assert lines == 0
    page.evaluate(f"App.setPhase({numbers['PVP']})")
    page.wait_for_function("document.getElementById('readout').textContent.includes('outside')")
    page.evaluate(f"App.setPhase({numbers['AP']})")


def test_affines_at_any_angle_are_undone(side_by_side):
    """A tilted gantry shears the grid; the index of a place is that of NumPy's inverse."""
    rng = np.random.default_rng(5)
    for _ in range(20):
        affine = np.eye(4)
        affine[:3] = rng.normal(size=(3, 4))
        index = rng.uniform(-3, 9, 3)
        mm = affine[:3, :3] @ index[::-1] + affine[:3, 3]
        found_index = side_by_side.evaluate(
            "([affine, mm]) => Grids.toIndex({ affine }, mm)", [affine.tolist(), mm.tolist()]
        )
        np.testing.assert_allclose(found_index, index, atol=1e-6)
