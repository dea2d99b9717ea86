"""Pictures for papers: they show what was measured, in windows that never change, and whose it is only if asked."""

import csv
import re
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colorbar import Colorbar
from PIL import Image

from gsigpu.errors import SettingsError
from gsigpu.maps.registry import define
from gsigpu.pictures import ANATOMY_WINDOW, limits
from gsigpu.pipeline.measure.measure_study import measure_study
from gsigpu.pipeline.review import paper_curves
from gsigpu.pipeline.review.paper_curves import LEVELS_HU, draw_curves
from gsigpu.pipeline.review.paper_lesion import RegionValues, field_mm, paper_lesions
from gsigpu.pipeline.review.paper_montage import BLANK, FIELDS_MM, draw_montage
from gsigpu.pipeline.review.paper_pictures import COLUMNS, write_pictures
from gsigpu.pipeline.review.review_study import review_study
from gsigpu.report.figure_style import house_style
from tests.support.example_picture import MOST_BYTES
from tests.support.places import ROOT

TITLE = ("case-7", "lesion 1")


@pytest.fixture(scope="module")
def measurements(truth, masks):
    return {phase: measure_study(truth.dicom_folder, masks, phase=phase) for phase in ("AP", "PVP")}


@pytest.fixture(scope="module")
def lesions(measurements):
    return paper_lesions(measurements, inside_body=True)


@pytest.fixture(scope="module")
def montage(lesions):
    with house_style():
        figure = draw_montage(lesions[0], title=TITLE, inside_body=True)
        figure.draw_without_rendering()
    return figure


def written(folder, lesions, **changes):
    arguments = {"case_id": "case-7", "identity": {}, "inside_body": True} | changes
    return write_pictures(
        folder, lesions, carried={}, redact=str, progress=lambda *_: None, **arguments
    )


@pytest.fixture(scope="module")
def venous(lesions):
    """A lesion in one phase, which is drawn in half the time."""
    return replace(lesions[0], phases=lesions[0].phases[1:])


@pytest.fixture(scope="module")
def pictures(venous, tmp_path_factory):
    folder = tmp_path_factory.mktemp("paper") / "pictures"
    written(folder, [venous])
    return folder


def texts(figure):
    return [text.get_text() for text in figure.texts]


def mean_and_sd(measurement, lesion_id, region, parameter):
    of = {
        row.statistic: row.value
        for row in measurement.rows
        if (row.lesion_id, row.region, row.parameter) == (lesion_id, region, parameter)
    }
    return of["mean"], of["sd"]


def test_both_phases_of_each_lesion_are_in_one_montage(lesions, montage):
    assert [[phase.phase for phase in lesion.phases] for lesion in lesions] == [["AP", "PVP"]] * 2
    assert [text for text in texts(montage) if text in ("AP", "PVP")] == ["AP", "PVP"]
    assert "case-7, lesion 1" in texts(montage)
    panels = [axes for axes in montage.axes if axes.images]
    assert len(panels) == 2 * 4


@pytest.mark.parametrize(("parameter", "digits"), [("mono_70", 0), ("lambda_hu", 2), ("iodine", 2)])
def test_values_are_those_of_the_table(montage, measurements, parameter, digits):
    shown = texts(montage)
    for measurement in measurements.values():
        for lesion_id, region in (("1", "core"), ("1", "rim"), ("", "parenchyma")):
            mean, sd = mean_and_sd(measurement, lesion_id, region, parameter)
            assert f"{mean:.{digits}f} ± {sd:.{digits}f}".replace("-", "−") in shown


def test_windows_are_those_of_the_definitions_whatever_the_values(lesions, montage):
    louder = replace(
        lesions[0],
        phases=tuple(
            replace(phase, planes=replace(phase.planes, anatomy=3.0 * phase.planes.anatomy))
            for phase in lesions[0].phases
        ),
    )
    with house_style():
        other = draw_montage(louder, title=TITLE, inside_body=True)
    expected = [limits(ANATOMY_WINDOW)] * 2 + [
        limits(define(name).window) for name in ("lambda-hu", "iodine")
    ]
    for figure in (montage, other):
        shown = [axes.images[0].get_clim() for axes in figure.axes if axes.images]
        assert shown == expected * 2
    bars = [axes._colorbar for axes in montage.axes if hasattr(axes, "_colorbar")]
    assert all(isinstance(bar, Colorbar) for bar in bars)
    assert [(bar.vmin, bar.vmax) for bar in bars] == expected[1:]
    shown = texts(montage)
    for unit in ("HU", "HU/keV", "mg/mL"):
        assert unit in shown
    assert "(HU[60 keV] − HU[100 keV]) / 60 keV" in shown


def test_the_lesion_is_in_the_middle_in_mm_with_letters_and_a_scale(lesions, montage):
    zoomed = [axes for axes in montage.axes if axes.images][1:4]
    phase = lesions[0].phases[0]
    rows, columns = np.nonzero(phase.lesion_mask)
    for axes in zoomed:
        left, right = axes.get_xlim()
        assert right - left == FIELDS_MM[0]
        assert (left + right) / 2 == pytest.approx((columns.min() + columns.max() + 1) / 2 * 4.0)
        assert {text.get_text() for text in axes.texts} == {"R", "L", "A", "P", "2 cm"}
        (bar,) = axes.lines
        assert np.ptp(bar.get_xdata()) == 20.0
        pieces = [line for line in axes.collections if isinstance(line, LineCollection)]
        ends = np.concatenate([np.asarray(piece) for piece in pieces[0].get_segments()])
        assert ends[:, 1].min() == rows.min() * 4.0
        assert ends[:, 1].max() == (rows.max() + 1) * 4.0


def test_what_is_outside_the_body_is_blank_and_what_was_measured_is_not(
    lesions, montage, measurements
):
    kept = paper_lesions({"AP": measurements["AP"]}, inside_body=False)[0].phases[0]
    phase = lesions[0].phases[0]
    assert np.array_equal(kept.inside_mask, np.isfinite(kept.planes.anatomy))
    assert 0.2 < phase.inside_mask.mean() < 0.8 * kept.inside_mask.mean()
    iodine = [axes for axes in montage.axes if axes.images][3]
    assert np.array_equal(np.ma.getmaskarray(iodine.images[0].get_array()), ~phase.inside_mask)
    assert iodine.get_facecolor()[:3] == pytest.approx(
        [int(BLANK[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    )
    assert "outside the body, blank" in texts(montage)


def test_curves_are_those_of_the_table(lesions, measurements):
    with house_style():
        figure = draw_curves(lesions[0], title=TITLE)
    for axes, (phase, measurement) in zip(figure.axes, measurements.items(), strict=True):
        assert axes.get_title(loc="left") == phase
        assert axes.get_ylim() == LEVELS_HU
        lines = {line.get_label().split()[0]: line for line in axes.lines[1:]}
        for region, lesion_id in (("core", "1"), ("rim", "1"), ("parenchyma", "")):
            expected = [
                mean_and_sd(measurement, lesion_id, region, f"mono_{kev}")[0]
                for kev in (40, 60, 70, 100)
            ]
            assert list(lines[region].get_xdata()) == [40.0, 60.0, 70.0, 100.0]
            np.testing.assert_allclose(lines[region].get_ydata(), expected, rtol=1e-5)
            slope, _ = mean_and_sd(measurement, lesion_id, region, "lambda_hu")
            assert lines[region].get_label().endswith(f"{slope:.2f}".replace("-", "−"))


def test_a_curve_beyond_the_fixed_axis_widens_it_and_says_so(lesions):
    bright = RegionValues(means={}, curve=((40.0, 415.0, 40.0), (70.0, 200.0, None)))
    lesion = replace(lesions[0], phases=(replace(lesions[0].phases[0], values={"core": bright}),))
    with house_style():
        figure = draw_curves(lesion, title=TITLE)
    assert figure.axes[0].get_ylim() == (-50.0, 500.0)
    assert "The axis is wider than −50 to 350 HU." in figure._supxlabel.get_text()
    assert paper_curves.levels(()) == LEVELS_HU


def test_one_phase_one_slice_at_the_edge_of_the_volume(truth, tmp_path):
    """Nothing but a lesion of one slice, cut by the side of the images; parenchyma and the other phase are said to lack."""
    image = nib.load(truth.lesion_mask)
    drawn = np.zeros(image.shape, np.uint8)
    drawn[:3, 40:50, 0] = 1
    nib.save(nib.Nifti1Image(drawn, image.affine), tmp_path / "edge.nii.gz")
    from gsigpu.pipeline.measure.given_masks import MaskFiles

    measurement = measure_study(
        truth.dicom_folder, MaskFiles((tmp_path / "edge.nii.gz",)), phase="AP"
    )
    (lesion,) = paper_lesions({"AP": measurement, "PVP": None}, inside_body=True)
    assert lesion.absent == ("PVP",)
    (phase,) = lesion.phases  # outside the body, and shown
    assert phase.inside_mask[phase.lesion_mask].all()
    with house_style():
        figure = draw_montage(lesion, title=TITLE, inside_body=True)
        draw_curves(lesion, title=TITLE).draw_without_rendering()
        figure.draw_without_rendering()
    assert len([axes for axes in figure.axes if axes.images]) == 4
    (note,) = [text for text in texts(figure) if text.startswith("Not measured")]
    assert note == "Not measured: parenchyma in phase AP, the lesion in phase PVP."
    assert any("touches-edge" in text for text in texts(figure) if text.startswith("Flags"))


@pytest.mark.parametrize(
    ("size_mm", "side"), [(30.0, 80.0), (61.0, 120.0), (140.0, 200.0), (900.0, 400.0)]
)
def test_a_large_lesion_has_a_wider_field(lesions, monkeypatch, size_mm, side):
    monkeypatch.setattr(type(lesions[0].phases[0]), "size_mm", size_mm)
    assert field_mm(lesions[0].phases, FIELDS_MM, 0.75) == side


def test_files_are_what_a_journal_takes(pictures):
    with Image.open(pictures / "lesion-01-maps.png") as picture:
        assert picture.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        assert picture.width / 300 * 25.4 == pytest.approx(180.0, abs=0.2)
        assert set(picture.info) <= {"dpi", "Title", "Software"}
    for name in ("lesion-01-maps.pdf", "lesion-01-curves.pdf"):
        pdf = (pictures / name).read_bytes()
        assert b"/FontFile2" in pdf
        assert b"/Type3" not in pdf
        assert b"CreationDate" not in pdf
    with (pictures / "pictures.csv").open(encoding="utf-8") as file:
        head, row = csv.reader(file)
    assert tuple(head) == COLUMNS
    assert row[:3] == ["1", "1", "PVP"]


def test_same_lesion_same_bytes(pictures, venous, tmp_path):
    written(tmp_path / "again", [venous])
    for path in pictures.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name


def test_names_of_files_are_numbers_and_names_of_people_stay_out(pictures):
    names = sorted(path.name for path in pictures.iterdir())
    assert all(
        re.fullmatch(r"lesion-01-(maps|curves)\.(png|pdf)|pictures\.csv", name) for name in names
    )
    for path in pictures.iterdir():
        for identity in (b"IDENT-4711", b"Doe"):
            assert identity not in path.read_bytes()


def test_pictures_go_beside_the_page_in_the_slope_that_was_asked_for(
    truth, masks, tmp_path, monkeypatch
):
    kept = []
    monkeypatch.setattr(
        "gsigpu.pipeline.review.paper_pictures.save",
        lambda drawing, folder, **_: kept.append(drawing) or [],
    )
    result = review_study(
        truth.dicom_folder, tmp_path / "page", masks=masks, phases=["PVP"], slope="40-100",
        case_id="case-7", with_identity=True, pictures=True,
    )  # fmt: skip
    assert result.pictures == result.page.parent / "pictures"
    assert (result.pictures / "pictures.csv").is_file()
    assert result.n_lesions == 2
    assert len(kept) == 4
    assert "IDENT-4711" in kept[0].title
    measured = measure_study(truth.dicom_folder, masks, phase="PVP")
    paper, _ = mean_and_sd(measured, "1", "core", "lambda_hu")
    shown = [text for text in texts(kept[0].figure) if "±" in text]
    steep = (
        mean_and_sd(measured, "1", "core", "mono_40")[0]
        - mean_and_sd(measured, "1", "core", "mono_100")[0]
    )
    assert any(text.startswith(f"{steep / 60:.2f} ±") for text in shown)
    assert not any(text.startswith(f"{paper:.2f} ±") for text in shown)


def test_pictures_without_a_mask_are_refused(truth, tmp_path):
    with pytest.raises(SettingsError, match="no mask; add --mask"):
        review_study(truth.dicom_folder, tmp_path / "page", pictures=True)


def test_the_docs_have_the_windows_of_the_code():
    text = (ROOT / "docs" / "howto" / "review.md").read_text("utf-8").replace("−", "-")
    rows = dict(
        re.findall(r"^\| (CT value|λHU \(`paper`\)|iodine|curves) \| (.*?) \| [^|]*\|$", text, re.M)
    )
    windows = {
        "CT value": (limits(ANATOMY_WINDOW), "HU"),
        "λHU (`paper`)": (limits(define("lambda-hu").window), "HU/keV"),
        "iodine": (limits(define("iodine").window), "mg/mL"),
        "curves": (LEVELS_HU, "HU"),
    }
    assert rows == {
        name: f"{low:g} {unit} | {high:g} {unit}" for name, ((low, high), unit) in windows.items()
    }
    fields = [f"{side:g}" for side in FIELDS_MM]
    assert f"| {fields[0]} mm |" in text
    assert f"{', '.join(fields[1:-1])} or {fields[-1]} mm for larger ones" in text
    assert (ROOT / "design" / "lesion.jpg").stat().st_size < MOST_BYTES
