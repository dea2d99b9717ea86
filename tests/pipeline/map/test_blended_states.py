"""`map --dicom`: each map in colour over the anatomy as an Advanced Blending Presentation State."""

from dataclasses import replace

import highdicom
import matplotlib
import nibabel
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut
from typer.testing import CliRunner

from gsigpu.cli.app import app
from gsigpu.dicom.study.read_study import read_study
from gsigpu.errors import SettingsError
from gsigpu.maps.registry import define
from gsigpu.phantom import PhantomSettings, write_phantom
from gsigpu.pipeline.map.map_study import map_study
from gsigpu.pipeline.measure.given_masks import MaskFiles
from gsigpu.pipeline.measure.map_companion import MeasureCompanion
from tests.support.stacks import errors_found_by_dciodvfy

STUDY = PhantomSettings(
    shape=(8, 64, 80),
    spacing_mm=(10.0, 4.4, 4.4),
    n_lesions=1,
    diameter_mm=(28.0, 30.0),
    phases=("PVP",),
    energies_kev=(60.0, 70.0, 100.0),
    extras=(),
)
# An error of dciodvfy of 2022 for every such state that names its images; that of September 2026 has none.
OLD = "Error - ReferencedSeriesSequence present but Instance does not reference Instances"


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return write_phantom(tmp_path_factory.mktemp("blended") / "phantom", STUDY)


@pytest.fixture(scope="module")
def out(truth, tmp_path_factory):
    """Maps, blank outside the body, with regions."""
    folder = tmp_path_factory.mktemp("maps") / "out"
    companion = MeasureCompanion(MaskFiles((truth.lesion_mask,)), with_dicom=True)
    result = map_study(
        read_study(truth.dicom_folder), folder, maps=["lambda-hu", "iodine", "vnc"], backend="cpu",
        outside="blank", with_dicom=True, companion=companion,
    )  # fmt: skip
    assert result.warnings == ()
    return folder


def images_of(folder):
    return {str(ds.SOPInstanceUID): ds for ds in map(dcmread, sorted(folder.rglob("*.dcm")))}


def test_every_map_in_colour_has_a_state(out):
    """VNC is a grey image of its of_input."""
    assert sorted(path.name for path in out.glob("*.dcm")) == [
        "iodine.pr.dcm", "lambda-hu.pr.dcm", "measurements.pr.dcm", "measurements.seg.dcm", "measurements.sr.dcm",
    ]  # fmt: skip


@pytest.mark.tools
def test_conformant(out):
    for path in out.glob("*.dcm"):
        errors = errors_found_by_dciodvfy(path)
        assert [line for line in errors if not line.startswith(OLD)] == []


def references(dataset, series_uid=None):
    """(series or None, class, instance) of every image that is referred to, wherever it stands."""
    series_uid = dataset.get("SeriesInstanceUID", series_uid)
    if "ReferencedSOPInstanceUID" in dataset:
        yield series_uid, dataset.ReferencedSOPClassUID, str(dataset.ReferencedSOPInstanceUID)
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from references(item, series_uid)


def test_all_references_lead_into_the_study(out, truth):
    images = images_of(out) | images_of(truth.dicom_folder)
    for name in ("iodine", "lambda-hu"):
        state = dcmread(out / f"{name}.pr.dcm")
        assert state.StudyInstanceUID == dcmread(out / "measurements.seg.dcm").StudyInstanceUID
        named = {
            *references(state.AdvancedBlendingSequence[0]),
            *references(state.AdvancedBlendingSequence[1]),
        }
        (common_map, common_anatomy) = state.ReferencedSeriesSequence
        assert {*references(common_map), *references(common_anatomy)} == named
        assert len(named) == 2 * STUDY.shape[0]
        for series_uid, sop_class, uid in named:
            assert (images[uid].SeriesInstanceUID, images[uid].SOPClassUID) == (
                series_uid,
                sop_class,
            )
            assert images[uid].FrameOfReferenceUID == state.FrameOfReferenceUID


def shown(item, images, z):
    """An input of the state as RGB of 0 to 1, by pydicom; NaN where padding makes it transparent (PS3.4, N.2.6)."""
    image = images[item.ReferencedImageSequence[z].ReferencedSOPInstanceUID]
    assert image.SeriesInstanceUID == item.SeriesInstanceUID
    (voi,) = item.SoftcopyVOILUTSequence
    window = with_window(image, voi)
    values = apply_voi_lut(apply_modality_lut(image.pixel_array, image), window)
    signed, n_levels = image.PixelRepresentation, 2**image.BitsStored
    stored = np.array([0, n_levels - 1]) - (n_levels // 2 if signed else 0)
    darkest, brightest = apply_modality_lut(stored, image)  # pydicom spreads the window over these
    level = (values - darkest) / (brightest - darkest)
    if "PaletteColorLookupTableSequence" in item:
        (palette,) = item.PaletteColorLookupTableSequence
        n_colours = palette.RedPaletteColorLookupTableDescriptor[0]
        entries = np.round(level * (n_colours - 1)).astype(np.uint16)
        picture = apply_color_lut(entries, palette) / 65535
    else:
        picture = np.repeat(level[..., None], 3, axis=2)
    picture[image.pixel_array == image.get("PixelPaddingValue", 2**17)] = np.nan
    return picture


def with_window(image, voi):
    """The image's pixel description with the window of a state."""
    window = image.copy()
    window.WindowCenter, window.WindowWidth = voi.WindowCenter, voi.WindowWidth
    window.VOILUTFunction = voi.VOILUTFunction
    return window


def test_the_state_shows_the_colours_of_the_map_over_the_image_at_70_kev(out, truth, tmp_path):
    """The state applied by pydicom, against the map as NIfTI, matplotlib's colours and the windows that are documented."""
    images = images_of(out) | images_of(truth.dicom_folder)
    written = map_study(
        read_study(truth.dicom_folder), tmp_path / "nii", maps=["lambda-hu", "mono-70"],
        output_format="nifti", backend="cpu", outside="blank",
    )  # fmt: skip
    volume = nibabel.load(written.folders["lambda-hu"]).get_fdata().T
    state = dcmread(out / "lambda-hu.pr.dcm")
    assert state.SOPClassUID == "1.2.840.10008.5.1.4.1.1.11.8"
    front, back = state.AdvancedBlendingSequence
    (display,) = state.BlendingDisplaySequence
    assert display.BlendingMode == "FOREGROUND"
    order = [item.BlendingInputNumber for item in display.BlendingDisplayInputSequence]
    assert order == [front.BlendingInputNumber, back.BlendingInputNumber]
    assert [item.GeometryForDisplay for item in (front, back)] == ["FALSE", "TRUE"]
    z = 4
    colour, grey = shown(front, images, z), shown(back, images, z)
    beneath = images[back.ReferencedImageSequence[z].ReferencedSOPInstanceUID]
    above = images[front.ReferencedImageSequence[z].ReferencedSOPInstanceUID]
    assert beneath.ImagePositionPatient == above.ImagePositionPatient
    assert "70 keV" in beneath.SeriesDescription
    opacity = float(display.RelativeOpacity)
    grey = np.nan_to_num(grey)  # padding in both is black
    picture = np.where(np.isnan(colour), grey, opacity * colour + (1 - opacity) * grey)

    definition = define("lambda-hu")
    centre, width = definition.window
    hu = apply_modality_lut(beneath.pixel_array, beneath)
    expected_grey = np.repeat(np.clip((hu - (60 - 200)) / 400, 0, 1)[..., None], 3, axis=2)
    plane = volume[z]
    level = np.clip((plane - (centre - width / 2)) / width, 0, 1)
    expected = 0.5 * matplotlib.colormaps[definition.colormap](level)[..., :3] + 0.5 * expected_grey
    outside = np.isnan(plane)
    assert 0.2 < outside.mean() < 0.8
    expected[outside] = expected_grey[outside]
    assert np.abs(picture - expected).max() < 0.02  # an entry of the palette
    assert np.ptp(picture[~outside], axis=0).min() > 0.3


def polygons(state):
    return [
        (annotation.ReferencedImageSequence[0].ReferencedSOPInstanceUID, annotation.GraphicLayer, list(graphic.GraphicData))
        for annotation in state.GraphicAnnotationSequence
        for graphic in annotation.GraphicObjectSequence
    ]  # fmt: skip


def test_outlines_are_those_of_the_grayscale_state(out):
    grey = dcmread(out / "measurements.pr.dcm")
    state = dcmread(out / "lambda-hu.pr.dcm")
    assert polygons(state) == polygons(grey) != []
    assert {item.GraphicLayer for item in state.GraphicLayerSequence} == {"LESION", "CORE"}


def keywords(dataset):
    """Keyword -> keywords of its items, for all levels."""
    return {
        element.keyword: keywords(element.value[0]) if element.VR == "SQ" and element.value else {}
        for element in dataset
    }


def test_highdicom_makes_the_same_object(out, truth):
    """Every sequence has what highdicom's class writes, but where the standard asks for no more, or for less."""
    images = images_of(out) | images_of(truth.dicom_folder)
    state = dcmread(out / "lambda-hu.pr.dcm")
    inputs, referenced = [], []
    for number, item in enumerate(state.AdvancedBlendingSequence, start=1):
        of_input = [images[ref.ReferencedSOPInstanceUID] for ref in item.ReferencedImageSequence]
        referenced += of_input
        palette = item.get("PaletteColorLookupTableSequence", state.AdvancedBlendingSequence[0].PaletteColorLookupTableSequence)[0]  # fmt: skip
        tables = [
            highdicom.PaletteColorLUT(
                0,
                np.frombuffer(palette[f"{name}PaletteColorLookupTableData"].value, np.uint16),
                color=name.lower(),
            )
            for name in ("Red", "Green", "Blue")
        ]
        transformation = highdicom.PaletteColorLUTTransformation(*tables)
        inputs.append(
            highdicom.pr.AdvancedBlending(
                of_input, number, palette_color_lut_transformation=transformation
            )
        )
    display = highdicom.pr.BlendingDisplay(
        "FOREGROUND", [highdicom.pr.BlendingDisplayInput(1), highdicom.pr.BlendingDisplayInput(2)],
        relative_opacity=0.5,
    )  # fmt: skip
    theirs = highdicom.pr.AdvancedBlendingPresentationState(
        referenced, inputs, [display], series_instance_uid=highdicom.UID(), series_number=1,
        sop_instance_uid=highdicom.UID(), instance_number=1, manufacturer="m", manufacturer_model_name="n",
        software_versions="1", device_serial_number="1", content_label="LAMBDA_HU",
    )  # fmt: skip
    ours, others = keywords(state), keywords(theirs)
    blending = ours.pop("AdvancedBlendingSequence"), others.pop("AdvancedBlendingSequence")
    assert set(blending[1]) - set(blending[0]) <= {
        "RescaleIntercept",
        "RescaleSlope",
        "RescaleType",
    }
    assert set(blending[0]) - set(blending[1]) == {"TimeSeriesBlending", "GeometryForDisplay"}
    for name in ("PaletteColorLookupTableSequence", "ReferencedImageSequence"):
        assert blending[0][name] == blending[1][name]
    for name in ("BlendingDisplaySequence", "ReferencedSeriesSequence", "ICCProfile", "PixelPresentation", "ContentLabel"):  # fmt: skip
        assert ours[name] == others[name]
    assert state.ICCProfile[12:16] == b"scnr"
    assert state.ICCProfile[36:40] == b"acsp"


def test_the_same_run_gives_the_same_bytes_and_no_mask_no_outline(out, truth, tmp_path):
    study = read_study(truth.dicom_folder)
    for name in ("first", "second"):
        map_study(study, tmp_path / name, maps=["lambda-hu"], backend="cpu", with_dicom=True)
    first, second = (tmp_path / name / "lambda-hu.pr.dcm" for name in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()
    plain = dcmread(first)
    assert "GraphicAnnotationSequence" not in plain
    assert plain.SOPInstanceUID != dcmread(out / "lambda-hu.pr.dcm").SOPInstanceUID


def test_other_energies_and_forms_are_told(tmp_path):
    truth = write_phantom(tmp_path / "phantom", replace(STUDY, energies_kev=(60.0, 100.0)))
    study = read_study(truth.dicom_folder)
    result = map_study(study, tmp_path / "out", maps=["lambda-hu"], backend="cpu", with_dicom=True)
    (note,) = [line for line in result.warnings if line.kind == "reading-series"]
    assert note.startswith("presentation states refer to the series at 60 keV")
    assert "over 60 keV" in dcmread(tmp_path / "out" / "lambda-hu.pr.dcm").SeriesDescription
    with pytest.raises(SettingsError, match="use --format ct"):
        map_study(study, tmp_path / "rgb", output_format="rgb", with_dicom=True)
    assert not (tmp_path / "rgb").exists()


def test_the_command_writes_them(truth, tmp_path):
    words = [
        "map", truth.dicom_folder, "-o", tmp_path / "out", "--maps", "iodine", "--mask", truth.lesion_mask,
        "--dicom", "--backend", "cpu",
    ]  # fmt: skip
    done = CliRunner().invoke(app, list(map(str, words)))
    assert done.exit_code == 0, done.output
    assert "iodine.pr.dcm" in done.stdout
    assert "measurements.sr.dcm" in done.stdout
