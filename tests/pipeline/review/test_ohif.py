"""What is written opens in OHIF before an archive: maps with their numbers, regions, colours."""

import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import TimeoutError  # noqa: A004  # of the browser
from pydicom import dcmread

from gsigpu.dicom.study.read_study import read_study
from gsigpu.phantom import PhantomSettings, write_phantom
from gsigpu.pipeline.map.map_study import map_study
from gsigpu.pipeline.measure.given_masks import MaskFiles
from gsigpu.pipeline.measure.measure_study import measure_study
from gsigpu.pipeline.measure.write_measurement import write_measurement
from tests.support.archive import running_archive
from tests.support.browser import open_page
from tests.support.ohif import ohif_before

pytestmark = [pytest.mark.tools, pytest.mark.browser]

SETTINGS = PhantomSettings(
    shape=(10, 96, 96),
    spacing_mm=(6.0, 4.0, 4.0),
    n_lesions=1,
    diameter_mm=(28.0, 30.0),
    phases=("PVP",),
    energies_kev=(60.0, 70.0, 100.0),
    extras=(),
)
_LOADING_MS = 60_000
# The page's tour for newcomers looks for elements that its own layout lacks.
_TOUR = ("advanceOn", "The element for this Shepherd step was not found")
_SHOWN = """() => {
  for (const engine of window.cornerstone.getRenderingEngines())
    for (const viewport of engine.getViewports()) {
      const image = viewport.getCornerstoneImage?.();
      if (image) return { id: image.imageId, rows: image.rows, columns: image.columns, values: Array.from(image.getPixelData()).slice(0, 4e6) };
    }
  return null;
}"""


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("outputs")
    phantom = write_phantom(folder / "phantom", SETTINGS)
    study = read_study(phantom.dicom_folder)
    for kind in ("ct", "rgb"):
        map_study(
            study, folder / kind, maps=["lambda-hu"], output_format=kind, backend="cpu", with_dicom=kind == "ct"
        )  # fmt: skip
    masks = MaskFiles((phantom.lesion_mask,), liver=phantom.liver_mask)
    measurement = measure_study(study, masks)
    write_measurement(measurement, folder / "m.csv", masks=masks, with_dicom=True)
    return folder


@pytest.fixture(scope="module")
def viewer(outputs, browser, tmp_path_factory):
    """OHIF with the study and all that was made of it."""
    with running_archive(tmp_path_factory.mktemp("orthanc"), dicomweb=True) as archive:
        for path in sorted(outputs.rglob("*.dcm")):
            archive.json("/instances", path.read_bytes())
        study_uid = str(dcmread(next((outputs / "ct").rglob("*.dcm"))).StudyInstanceUID)
        with (
            ohif_before(archive) as address,
            open_page(
                browser, f"{address}/viewer?StudyInstanceUIDs={study_uid}", forgive=_TOUR
            ) as page,
        ):
            wait_for_study(page)
            page.add_locator_handler(
                page.get_by_text("Skip all"), lambda: page.get_by_text("Skip all").click()
            )
            yield page


def wait_for_study(page):
    """Waits for the study's series and an image. On a machine with more to do OHIF once stayed without either for a minute: then as a
    user would, with the page loaded again."""
    for is_last in (False, True):
        try:
            page.wait_for_selector("[data-cy=study-browser-thumbnail]", timeout=_LOADING_MS)
            page.wait_for_selector("canvas.cornerstone-canvas", timeout=_LOADING_MS)
        except TimeoutError:
            if is_last:
                raise
            page.reload()
        else:
            return


def show(page, series_uid):
    """Opens a series by a double click on its thumbnail."""
    display_set = page.evaluate(
        """(uid) => window.services.displaySetService.getActiveDisplaySets()
             .find((set) => set.SeriesInstanceUID === uid).displaySetInstanceUID""",
        series_uid,
    )
    page.locator(f"[id='thumbnail-{display_set}']").dblclick()


def drawn(page, series_uid, words):
    """Waits until words are drawn over the image.

    OHIF draws a report once: what was not drawn then, as its images had not come, comes neither when
    the report is opened again nor after another series, but only with the page.
    """
    for is_last in (False, False, True):
        try:
            page.wait_for_function(
                """(words) => [...document.querySelectorAll("svg.svg-layer text")].some(
                     (text) => text.textContent.includes(words))""",
                arg=words,
                timeout=_LOADING_MS if is_last else _LOADING_MS / 3,
            )
        except TimeoutError:
            if is_last:
                raise
            page.reload()
            wait_for_study(page)
            show(page, series_uid)
        else:
            return


def shown_image(page, series_uid):
    """The image in the viewport, once it is of this series."""
    page.wait_for_function(
        f"(() => {{ const shown = ({_SHOWN})(); return shown && shown.id.includes('{series_uid}'); }})()",
        timeout=_LOADING_MS,
    )
    return page.evaluate(_SHOWN)


def keep(page, name):
    """A picture of the page for a person, where GSIGPU_KEEP_PICTURES names a folder."""
    folder = os.environ.get("GSIGPU_KEEP_PICTURES")
    if folder:
        page.wait_for_timeout(500)
        page.screenshot(path=Path(folder) / f"ohif-{name}.png")


def headers(folder):
    return {str(header.SOPInstanceUID): header for header in map(dcmread, folder.rglob("*.dcm"))}


def test_the_archive_lists_every_series(viewer):
    texts = viewer.locator(
        "[data-cy=study-browser-thumbnail], [data-cy=study-browser-thumbnail-no-image]"
    ).all_inner_texts()
    kinds = sorted(text.split("\n")[0] for text in texts)
    assert kinds == ["CT"] * 5 + ["PR", "PR", "SEG", "SR"]


def test_presentation_states_are_listed_as_what_this_version_cannot_show(viewer, outputs):
    """OHIF has no handler for them, says so, and shows what it showed before."""
    for name in ("m.pr.dcm", "ct/lambda-hu.pr.dcm"):
        state = dcmread(outputs / name)
        unsupported = viewer.evaluate(
            """(uid) => window.services.displaySetService.getActiveDisplaySets()
                 .filter((set) => set.SeriesInstanceUID === uid).map((set) => [set.unsupported, set.Modality])""",
            str(state.SeriesInstanceUID),
        )
        assert unsupported == [[True, "PR"]]


def test_the_map_shows_the_values_of_the_file(viewer, outputs):
    files = headers(outputs / "ct/lambda-hu")
    first = next(iter(files.values()))
    show(viewer, str(first.SeriesInstanceUID))
    image = shown_image(viewer, first.SeriesInstanceUID)
    header = files[image["id"].split("/instances/")[1].split("/")[0]]
    exact = header.pixel_array * float(header.RescaleSlope) + float(header.RescaleIntercept)
    values = np.array(image["values"]).reshape(image["rows"], image["columns"])
    assert 0.2 < exact[40:52, 24:34].mean() < 3.0  # HU/keV of the liver
    np.testing.assert_allclose(values, exact, atol=1e-4)
    keep(viewer, "map")


def test_colours_open(viewer, outputs):
    files = headers(outputs / "rgb")
    first = next(iter(files.values()))
    show(viewer, str(first.SeriesInstanceUID))
    image = shown_image(viewer, first.SeriesInstanceUID)
    assert len(image["values"]) == image["rows"] * image["columns"] * 3
    keep(viewer, "colours")


def test_regions_open_over_the_images(viewer, outputs):
    show(viewer, str(dcmread(outputs / "m.seg.dcm").SeriesInstanceUID))
    viewer.wait_for_selector("text=Do you want to open this Segmentation?", timeout=_LOADING_MS)
    viewer.click("text=Yes")
    viewer.wait_for_function(
        "window.services.segmentationService.getSegmentations().length > 0", timeout=_LOADING_MS
    )
    labels = viewer.evaluate(
        """() => window.services.segmentationService.getSegmentations().flatMap(
             (segmentation) => Object.values(segmentation.segments).map((segment) => segment.label))"""
    )
    assert "lesion 1 core" in labels
    assert "lesion 1 rim" in labels
    keep(viewer, "regions")


def test_the_report_opens_lists_and_draws_the_lesion(viewer, outputs):
    report = dcmread(outputs / "m.sr.dcm")
    show(viewer, str(report.SeriesInstanceUID))
    viewer.wait_for_function(
        """() => {
          const shown = window.services.displaySetService.getActiveDisplaySets().find((set) => set.Modality === "SR");
          return shown.isLoaded && shown.measurements.length && shown.measurements.every((entry) => entry.loaded);
        }""",
        timeout=_LOADING_MS,
    )
    labels = viewer.evaluate(
        """() => window.services.displaySetService.getActiveDisplaySets().find((set) => set.Modality === "SR")
             .measurements.find((entry) => entry.TrackingIdentifier === "lesion 1")
             .labels.map((entry) => `${entry.label}: ${entry.value}`)"""
    )
    table = pd.read_csv(outputs / "m.csv", dtype={"lesion_id": str})
    of_lesion = table[table["lesion_id"] == "1"].set_index(["region", "parameter", "statistic"])
    diameter = of_lesion.loc["lesion", "longest_axial_diameter", "value"]["value"]
    slope = of_lesion.loc["rim", "lambda_hu", "mean"]["value"]
    assert f"Long Axis: {diameter:.2f} mm" in labels
    assert f"λHU of the rim, mean: {slope:.2f} [hnsf'U]/keV" in labels
    drawn(viewer, str(report.SeriesInstanceUID), "λHU of the rim")
    assert viewer.locator("svg.svg-layer line, svg.svg-layer polyline").count() > 0
    keep(viewer, "report")


_VOXEL = """([column, row]) => {
  for (const engine of window.cornerstone.getRenderingEngines())
    for (const viewport of engine.getViewports()) {
      const image = viewport.getCornerstoneImage?.();
      if (!image) continue;
      const world = window.cornerstone.utilities.imageToWorldCoords(image.imageId, [column, row]);
      const [x, y] = viewport.worldToCanvas(world);
      const box = viewport.canvas.getBoundingClientRect();
      return [box.left + x, box.top + y];
    }
}"""


def test_a_probe_on_the_map_shows_the_value_of_the_file(viewer, outputs):
    """In HU/keV; OHIF writes HU behind every value of a CT series, whatever Rescale Type says."""
    files = headers(outputs / "ct/lambda-hu")
    show(viewer, str(next(iter(files.values())).SeriesInstanceUID))
    image = shown_image(viewer, next(iter(files.values())).SeriesInstanceUID)
    header = files[image["id"].split("/instances/")[1].split("/")[0]]
    viewer.evaluate(
        "window.commandsManager.runCommand('setToolActiveToolbar', { toolName: 'Probe', toolGroupIds: ['default'] })"
    )
    viewer.mouse.click(*viewer.evaluate(_VOXEL, [30, 46]))
    viewer.wait_for_function(
        """() => [...document.querySelectorAll("svg.svg-layer text")].some((text) => text.textContent.includes("HU"))""",
        timeout=_LOADING_MS,
    )
    keep(viewer, "probe")
    told = " ".join(viewer.locator("svg.svg-layer text").all_text_contents())
    column, row, _, value = re.search(r"\((\d+), (\d+), (\d+)\)\s*([-.\d]+) HU", told).groups()
    exact = int(header.pixel_array[int(row), int(column)]) * float(header.RescaleSlope)
    assert float(value) == pytest.approx(exact, abs=1e-3)
    assert 0.2 < exact < 3.0  # HU/keV of the liver
    viewer.get_by_role("button", name="No", exact=True).click()  # a question whether to track it
