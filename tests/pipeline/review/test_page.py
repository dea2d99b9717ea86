"""The study page in a browser: it opens from the disk, shows what was measured, and saves what is drawn."""

import csv
import io
import shutil
import subprocess

import highdicom
import pytest

from gsigpu.pipeline.measure.given_masks import MaskFiles
from gsigpu.pipeline.measure.measure_study import measure_study
from gsigpu.tables.measurement_table import COLUMNS
from tests.pipeline.review.conftest import DRAWN
from tests.support.browser import open_page

pytestmark = pytest.mark.browser


def test_markup_in_a_name_stays_text(browser, reviewed):
    with open_page(browser, reviewed.page.as_uri()) as opened:
        opened.wait_for_function(DRAWN)
        assert "<b>7</b>" in opened.inner_text("#case")
        assert opened.evaluate("window.broken") is None


def test_a_lesion_moves_the_cursor_and_shows_its_values(page):
    page.click("#lesions tr[data-lesion='2']")
    position = page.evaluate("App.state.position")
    lesion = page.evaluate("Store.study.phases[App.state.phase].lesions[1]")
    assert position == lesion["centre"]
    page.wait_for_function("document.getElementById('readout').textContent.includes('lesion 2')")
    cells = page.locator("#lesions tr[data-lesion='2'] td").all_inner_texts()
    assert cells[2] == f"{lesion['regions']['core']['values']['lambda_hu']['mean']:.3f}"
    assert cells[5] == f"{lesion['regions']['rim']['values']['iodine']['mean']:.2f}"
    assert page.locator("#curve canvas").count() == 1
    assert page.locator("#profile canvas").count() == 1


def test_the_value_under_the_cursor_is_that_of_the_volumes(page):
    page.click("#lesions tr[data-lesion='1']")
    page.wait_for_function("document.getElementById('readout').textContent.includes('lesion 1')")
    values = page.evaluate("App.valuesAt(App.state.phase, App.state.position)")
    shown = page.inner_text("#readout")
    assert f"{values['maps']['iodine']:.2f} mg/mL" in shown.replace("\u2212", "-")
    assert f"{values['maps']['lambda_hu']:.3f} HU/keV" in shown.replace("\u2212", "-")


def test_the_energy_slider_changes_the_image(page):
    before = page.evaluate("App.views()[0].image.toDataURL()")
    high = page.evaluate("App.valuesAt(App.state.phase, App.state.position).then((v) => v.hu)")
    page.evaluate("App.setOverlay(-1)")
    page.fill("#kev", "40")
    page.wait_for_function("document.getElementById('readout').textContent.includes('40 keV')")
    low = page.evaluate("App.valuesAt(App.state.phase, App.state.position).then((v) => v.hu)")
    iodine = page.evaluate(
        "App.valuesAt(App.state.phase, App.state.position).then((v) => v.maps.iodine)"
    )
    # 82.4 and 26.0 HU per mg/mL at 40 and 70 keV (NIST, XrayDB).
    assert low - high == pytest.approx((82.4 - 26.0) * iodine, rel=0.01, abs=0.1)
    assert page.evaluate("App.views()[0].image.toDataURL()") != before
    page.fill("#kev", "70")


def test_the_wheel_scrolls(page):
    z = page.evaluate("App.state.position[0]")
    box = page.locator("#views canvas").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.wheel(0, 100)
    page.wait_for_function(f"App.state.position[0] === {z + 1}")


def test_phases_side_by_side_are_linked(page):
    page.click("text=phases side by side")
    page.wait_for_function("App.views().length === 2 && App.views().every((view) => view.rows)")
    captions = page.locator("#views figcaption").all_inner_texts()
    assert [caption.split()[0] for caption in captions] == ["AP", "PVP"]
    assert captions[0].split("axial")[1][:8] == captions[1].split("axial")[1][:8]
    page.click("text=3 planes")


@pytest.fixture(scope="module")
def drawn(page, tmp_path_factory):
    """A polygon around lesion 1, saved as CSV and as SEG."""
    folder = tmp_path_factory.mktemp("roi")
    z, y, x = page.evaluate("Store.study.phases[0].lesions[0].centre")
    points = [[y - 2.5, x - 3.5], [y - 2.5, x + 2.5], [y + 3.5, x + 2.5], [y + 3.5, x - 3.5]]
    page.evaluate("(points) => Rois.add(0, points.z, points.points)", {"z": z, "points": points})
    with page.expect_download() as download:
        page.click("text=Save all as CSV")
    download.value.save_as(folder / "roi.csv")
    with page.expect_download() as download:
        page.click("#rois >> text=SEG")
    download.value.save_as(folder / "roi.seg.dcm")
    return folder, (z, y, x)


def test_a_region_is_saved_as_seg(drawn):
    folder, _ = drawn
    seg = highdicom.seg.segread(folder / "roi.seg.dcm")
    assert seg.number_of_segments == 1
    assert int(seg.pixel_array.sum()) == 36
    assert str(seg.PatientID) == "IDENT-4711"


@pytest.mark.tools
def test_the_seg_is_conformant(drawn):
    folder, _ = drawn
    done = subprocess.run(
        ["dciodvfy", folder / "roi.seg.dcm"], capture_output=True, text=True, check=False
    )
    assert [line for line in done.stderr.splitlines() if line.startswith("Error")] == []


def test_means_of_a_region_are_those_of_measure_on_the_same_voxels(
    drawn, truth, reviewed_with_identity
):
    folder, _ = drawn
    phase = reviewed_with_identity.phases[0]
    measured = measure_study(truth.dicom_folder, MaskFiles((folder / "roi.seg.dcm",)), phase=phase)
    exact = {
        row.parameter: row.value
        for row in measured.rows
        if row.region == "lesion" and row.statistic == "mean"
    }
    with (folder / "roi.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["statistic"] == "mean"]
    page_means = {row["parameter"]: float(row["value"]) for row in rows}
    assert {row["n_voxels"] for row in rows} == {"36"}
    # Rounding to steps of 0.05 mg/mL and 0.01 HU/keV over 36 voxels: a standard deviation of step / 20.
    assert page_means["iodine"] == pytest.approx(exact["iodine"], abs=0.01)
    assert page_means["lambda_hu"] == pytest.approx(exact["lambda_hu"], abs=0.0025)
    # The page's images are those of the fit; the scanner's carry noise outside of it.
    assert page_means["mono_70"] == pytest.approx(exact["mono_70"], abs=3.0)


def test_the_lasso_marks_the_voxels_it_encloses(page):
    page.click("#lesions tr[data-lesion='1']")
    page.wait_for_timeout(300)
    box = page.locator("#scatter").bounding_box()
    page.locator("#scatter").scroll_into_view_if_needed()
    box = page.locator("#scatter").bounding_box()
    width, height = page.evaluate(
        "[document.getElementById('scatter').width, document.getElementById('scatter').height]"
    )
    # Iodine from 2.5 to 11 mg/mL, water within ±140 HU of zero.
    corners = [
        page.evaluate(f"Plots.toPixel({x}, {y})")
        for x, y in ((-140, 2.5), (-140, 11), (140, 11), (140, 2.5))
    ]
    points = [
        (box["x"] + px / width * box["width"], box["y"] + py / height * box["height"])
        for px, py in corners
    ]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=4)
    page.mouse.up()
    counts = page.evaluate(
        """async () => {
          const key = [...App.state.marks.keys()][0], [phase, z] = key.split("/").map(Number), marks = App.state.marks.get(key);
          const [, rows, columns] = Store.study.phases[phase].grid.shape, slice = await Store.voxels(phase, z), maps = Store.study.maps;
          let right = 0, wrong = 0, missed = 0;
          for (let y = 0; y < rows; y++) for (let x = 0; x < columns; x++) {
            const vnc = Store.at(slice, 0, y, x, maps[0].step), iodine = Store.at(slice, 1, y, x, maps[1].step);
            const surely = iodine > 2.7 && iodine < 10.8 && Math.abs(vnc) < 130, possibly = iodine > 2.3 && iodine < 11.2 && Math.abs(vnc) < 150;
            if (marks[y * columns + x]) { if (possibly) right++; else wrong++; } else if (surely) missed++;
          }
          return { right, wrong, missed };
        }"""
    )
    assert counts["right"] > 0
    assert counts["wrong"] == 0
    assert counts["missed"] == 0
    page.click("#clear-marks")


@pytest.mark.parametrize("height", [600, 1000, 1200, 1400])
def test_nothing_in_the_column_of_lesions_is_wider_than_it(browser, reviewed, height):
    """In a window of some heights its scroll bar comes with the first charts, which were as wide as the column before."""
    with open_page(browser, reviewed.page.as_uri(), width=1280, height=height) as opened:
        opened.wait_for_function(DRAWN)
        opened.wait_for_selector("#side .uplot canvas")
        beyond = opened.evaluate(
            "(({scrollWidth, clientWidth}) => scrollWidth - clientWidth)(document.getElementById('side'))"
        )
    assert beyond == 0


def test_a_missing_file_is_told(browser, reviewed, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(reviewed.page.parent, copy)
    shutil.rmtree(copy / "data" / "p0")
    with open_page(browser, (copy / "index.html").as_uri(), forgive="ERR_FILE_NOT_FOUND") as opened:
        opened.wait_for_selector("#warnings .failure")
        assert "copy the whole folder" in opened.inner_text("#warnings")


def test_csv_has_the_columns_of_the_measurement_table(page):
    header = next(csv.reader(io.StringIO(page.evaluate("Rois.csv()"))))
    assert header == [column for column in COLUMNS if column in header]
    assert {"case_id", "region", "parameter", "statistic", "value", "n_voxels", "flags"} <= set(
        header
    )
