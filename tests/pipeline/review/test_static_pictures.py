"""A study page in a browser that cannot draw it: pictures, values and warnings without a script."""

import re
from dataclasses import replace
from pathlib import Path

import imagecodecs
import nibabel as nib
import numpy as np
import pytest

from gsigpu.pictures import REGION_COLOURS, REGION_INKS, hex_colour
from gsigpu.pipeline.measure.measure_study import measure_study
from gsigpu.pipeline.review.lesion_cards import lesion_cards
from gsigpu.pipeline.review.review_study import review_study
from gsigpu.viewer.page_files import SCRIPTS
from gsigpu.viewer.static_section import static_section
from tests.pipeline.review.conftest import CASE
from tests.pipeline.review.test_review_study import study_data
from tests.support.browser import open_page
from tests.test_pictures import lightness

VIEWER = Path(static_section.__code__.co_filename).parent


def pictures_of(result):
    document = result.page.read_text("utf-8")
    return [result.page.parent / place for place in re.findall(r'<img src="([^"]+)"', document)]


def test_a_picture_per_lesion_and_phase_stands_in_the_document(reviewed):
    paths = pictures_of(reviewed)
    assert len(paths) == 4
    assert sum(path.stat().st_size for path in paths) < 4 * 20_000


def test_they_are_the_pictures_of_the_gallery(reviewed, truth, masks):
    """Drawn from the page's own planes, not from the study: rounding and the fit to water and iodine are all that differ."""
    measured = measure_study(truth.dicom_folder, masks, phase="PVP")
    names = [phase["name"] for phase in study_data(reviewed)["phases"]]
    paths = pictures_of(reviewed)[2 * names.index("PVP") :]
    for card, path in zip(lesion_cards(measured), paths, strict=False):
        shown = np.asarray(imagecodecs.jpeg8_decode(path.read_bytes()), float)
        assert shown.shape == card.image.shape
        inside = card.image.max(axis=2) > 40  # what is outside the body is blank on the page
        assert np.abs(shown - card.image)[inside].mean() < 12


def test_values_flags_and_warnings_are_told_and_names_stay_text(reviewed):
    document = reviewed.page.read_text("utf-8")
    data = study_data(reviewed)
    section = document[document.index('<section id="static"') :]
    for phase in data["phases"]:
        for lesion in phase["lesions"]:
            of = lesion["regions"]["core"]["values"]["iodine"]
            assert f"Iodine {of['mean']:.2f} ± {of['sd']:.2f} mg/mL" in section
            assert f"flags: {', '.join(lesion['flags'])}" in section
    assert "<b>7</b>" not in section
    marked = static_section(
        {
            **data,
            "warnings": ["<script>x</script>"],
            "phases": [dict(data["phases"][0], name='"<i>')],
        }
    )
    assert "<script>" not in marked
    assert "<i>" not in marked


def test_a_phase_without_lesions_shows_a_whole_slice(truth, tmp_path):
    result = review_study(truth.dicom_folder, tmp_path / "page", phases=["AP"])
    (path,) = pictures_of(result)
    assert "No lesions in this phase; a whole slice." in result.page.read_text("utf-8")
    picture = np.asarray(imagecodecs.jpeg8_decode(path.read_bytes()))
    assert 0.2 < (picture.max(axis=2) > 60).mean() < 0.8


def test_a_mask_without_lesions_gives_a_page_that_says_so(truth, masks, tmp_path):
    image = nib.load(truth.lesion_mask)
    empty = tmp_path / "empty.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros(image.shape, np.uint8), image.affine), empty)
    result = review_study(
        truth.dicom_folder,
        tmp_path / "page",
        phases=["AP"],
        masks=replace(masks, lesions=(empty,)),
        pictures=True,
    )
    (note,) = [line for line in result.warnings if line.startswith("No regions are shown")]
    assert "empty.nii.gz: holds no region" in note
    assert "no pictures were written: no lesion was measured" in result.warnings
    assert not (result.page.parent / "pictures").exists()
    assert len(pictures_of(result)) == 1
    assert "holds no region" in result.page.read_text("utf-8")


def test_a_title_that_looks_like_a_place_is_a_title(truth, tmp_path):
    result = review_study(
        truth.dicom_folder, tmp_path / "page", phases=["AP"], case_id="{{static}}"
    )
    assert "<title>{{static}}: spectral review</title>" in result.page.read_text("utf-8")


@pytest.mark.browser
def test_without_javascript_the_pictures_are_what_is_seen(browser, reviewed):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(reviewed.page.as_uri())
    assert page.is_visible("#static")
    assert not page.is_visible("main")
    assert "needs JavaScript" in page.inner_text("#static")
    assert CASE.split(" <")[0] in page.inner_text("#static h1")
    assert page.locator("#static img").count() == 4
    context.close()


@pytest.mark.browser
@pytest.mark.parametrize(
    "lack",
    ["HTMLCanvasElement.prototype.getContext = () => null", "delete window.DecompressionStream"],
)
def test_without_a_canvas_too(browser, reviewed, lack):
    page = browser.new_page()
    page.add_init_script(lack)
    page.goto(reviewed.page.as_uri())
    page.wait_for_load_state("load")
    assert page.is_visible("#static")
    assert not page.is_visible("main")
    page.close()


@pytest.mark.browser
def test_where_the_page_draws_the_pictures_do_not_show(browser, reviewed):
    with open_page(browser, reviewed.page.as_uri()) as page:
        page.wait_for_selector("#views canvas")
        assert not page.is_visible("#static")
        assert page.is_visible("main")
        colours = page.evaluate("({ ...REGION_COLOURS })")
    assert colours == {name: hex_colour(REGION_COLOURS[name]) for name in colours}


def test_colours_of_regions_are_written_down_once():
    """Scripts get them with the data; the gallery's style, which has no data, repeats two of them."""
    values = {hex_colour(colour) for name, colour in REGION_COLOURS.items() if name != "lesion"}
    for name in SCRIPTS:
        text = (VIEWER / name).read_text("utf-8")
        assert not values & set(re.findall(r"#[0-9a-f]{6}\b", text)), name
    style = (VIEWER / "gallery.css").read_text("utf-8")
    for name in ("core", "rim"):
        assert f".{name} {{ color: {hex_colour(REGION_COLOURS[name])}; }}" in style


@pytest.mark.parametrize("name", REGION_INKS)
def test_inks_of_regions_show_on_white(name):
    """A contrast of 3:1 with white (WCAG 2, 1.4.11); L* of 59 and less is that."""
    rgb = np.array([int(REGION_INKS[name][i : i + 2], 16) / 255 for i in (1, 3, 5)])
    luminance = ((lightness(rgb) + 16) / 116) ** 3
    assert 1.05 / (luminance + 0.05) >= 3.0
