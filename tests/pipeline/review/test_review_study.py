"""What a study page holds: the volumes, the values of the measurement, and nobody's identity."""

import json
import math
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from pydicom import dcmread

from gsigpu.dicom.reading import card_frames
from gsigpu.dicom.study.read_study import read_study
from gsigpu.errors import GsigpuError, MaskError
from gsigpu.pipeline.map.map_study import map_study
from gsigpu.pipeline.measure.given_masks import MaskFiles
from gsigpu.pipeline.measure.measure_study import measure_study
from gsigpu.pipeline.review.page_volumes import NO_VALUE, PAGE_STEPS
from gsigpu.pipeline.review.review_study import review_study
from tests.pipeline.review.conftest import CASE, SETTINGS
from tests.support.planes_read import counted_planes
from tests.viewer.test_plane_scripts import read_script


def study_data(result):
    """What the page knows, its case among it."""
    page = result.page.parent / "page"
    names = (page / "names.js").read_text("ascii").removeprefix("window.gsigpuNames=")
    text = (page / "study.js").read_text("ascii").removeprefix("window.gsigpuStudy=")
    return json.loads(names.removesuffix(";\n")) | json.loads(text.removesuffix(";\n"))


def volume(result, phase, index):
    """A map of the page as a whole, NaN where it has no value."""
    data = study_data(result)
    entry = data["phases"][phase]
    step = data["maps"][index]["step"]
    values = np.full(entry["grid"]["shape"], np.nan)
    for z in range(values.shape[0]):
        script = (result.page.parent / "data" / entry["key"] / f"{z}.js").read_bytes()
        _, (y, x), planes = read_script(script)
        if planes:
            plane = planes[index].astype(float)
            plane[plane == NO_VALUE] = np.nan
            values[z, y : y + plane.shape[0], x : x + plane.shape[1]] = plane * step
    return values


@pytest.mark.parametrize(
    ("index", "name", "unit"),
    [(0, "vnc", "HU"), (1, "iodine", "mg/mL"), (2, "lambda-hu", "HU/keV")],
)
def test_volumes_are_those_of_map_within_half_a_step(reviewed, truth, tmp_path, index, name, unit):
    map_study(
        truth.dicom_folder, tmp_path / "maps", maps=[name], phase="PVP", output_format="nifti"
    )
    exact = np.asarray(nib.load(tmp_path / "maps" / f"{name}.nii").dataobj).T
    phases = [phase["name"] for phase in study_data(reviewed)["phases"]]
    shown = volume(reviewed, phases.index("PVP"), index)
    valid = np.isfinite(shown)
    assert valid.mean() > 0.2
    np.testing.assert_allclose(
        shown[valid], exact[valid], atol=0.5 * PAGE_STEPS[unit] + 1e-4, rtol=1e-6
    )


def test_the_table_is_the_measurement(reviewed, truth, masks):
    measured = measure_study(truth.dicom_folder, masks, phase="AP")
    means = {
        (row.lesion_id, row.region, row.parameter): row.value
        for row in measured.rows
        if row.statistic == "mean" and row.region != "profile"
    }
    phase = next(phase for phase in study_data(reviewed)["phases"] if phase["name"] == "AP")
    assert [lesion["id"] for lesion in phase["lesions"]] == ["1", "2"]
    n = 0
    for lesion in phase["lesions"]:
        for name, region in lesion["regions"].items():
            for parameter, statistics in region["values"].items():
                expected = means[lesion["id"], name, parameter]
                if not math.isnan(expected):
                    assert statistics["mean"] == pytest.approx(expected, rel=1e-5)
                    n += 1
    assert n > 20
    assert {reference["region"] for reference in phase["references"]} == {"parenchyma", "aorta"}


def test_regions_of_the_page_are_those_that_were_measured(reviewed, truth, masks):
    measured = measure_study(truth.dicom_folder, masks, phase="PVP")
    data = study_data(reviewed)
    phase = next(phase for phase in data["phases"] if phase["name"] == "PVP")
    counts = dict.fromkeys(data["regionBits"], 0)
    for z in phase["regionSlices"]:
        script = (reviewed.page.parent / "data" / f"{phase['key']}r" / f"{z}.js").read_bytes()
        _, _, (bits, _) = read_script(script)
        for name, bit in data["regionBits"].items():
            counts[name] += int(np.count_nonzero(bits & bit))
    for name in ("core", "rim"):
        regions = [region for region in measured.layout.regions if region.region == name]
        assert counts[name] == sum(region.mask.n_voxels for region in regions)
    assert counts["liver"] == measured.masks.masks.liver.n_voxels


def texts_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_no_identity_in_any_byte(reviewed, truth):
    header = dcmread(next(path for path in truth.dicom_folder.rglob("*") if path.is_file()))
    identities = [
        b"IDENT-4711", b"Doe", str(header.StudyInstanceUID).encode(), str(header.FrameOfReferenceUID).encode(),
        str(truth.dicom_folder).encode(),
    ]  # fmt: skip
    for path, text in texts_of(reviewed.page.parent).items():
        for identity in identities:
            assert identity not in text, path.name
    assert "IDENT" not in repr(reviewed)


def test_names_of_masks_and_lesions_lead_to_nobody(truth, tmp_path):
    """Files are often called after the patient, and a file's name may be its lesion's."""
    folder = tmp_path / "Doe_Jane"
    folder.mkdir()
    image = nib.load(truth.lesion_mask)
    labels = np.asarray(image.dataobj)
    for name, mask in {"Doe_met_a": labels > 0, "IDENT-4711_met_b": labels == 1}.items():
        nib.save(nib.Nifti1Image(mask.astype(np.uint8), image.affine), folder / f"{name}.nii.gz")
    result = review_study(
        truth.dicom_folder,
        tmp_path / "page",
        masks=MaskFiles((folder,)),
        phases=["PVP"],
        pictures=True,
        case_id="case-7",
    )
    for path, text in texts_of(result.page.parent).items():
        for identity in (b"Doe", b"Jane", b"IDENT", str(tmp_path).encode()):
            assert identity not in text, path.name
    lesions = study_data(result)["phases"][0]["lesions"]
    assert [lesion["id"] for lesion in lesions] == ["[removed]_met_a", "[removed]_met_b"]
    assert "separate parts" in " ".join(study_data(result)["phases"][0]["warnings"])
    # Who runs it on this machine sees which file is meant.
    assert any(str(folder) in warning for warning in result.warnings)


def test_identity_where_it_is_asked_for(reviewed_with_identity):
    assert study_data(reviewed_with_identity)["identity"]["patient ID"] == "IDENT-4711"


def test_a_series_that_regions_refer_to_in_place_of_70_kev_is_told(
    truth, tmp_path, reviewed_with_identity
):
    note = "saved regions of interest refer to the series at 60 keV: the stack has none at 70 keV"
    result = review_study(
        truth.dicom_folder,
        tmp_path / "page",
        phases=["PVP"],
        energies_kev=(40, 60, 100),
        with_identity=True,
    )
    assert note in result.warnings
    assert not [line for line in reviewed_with_identity.warnings if "refer to" in line]


def test_names_are_text_and_never_markup(reviewed):
    document = reviewed.page.read_text("utf-8")
    assert "<b>7</b>" not in document
    assert "&lt;b&gt;7" in document
    assert study_data(reviewed)["case"] == CASE


def test_a_lesion_in_two_phases_is_one(reviewed):
    assert [len(phase["lesions"]) for phase in study_data(reviewed)["phases"]] == [2, 2]
    assert reviewed.n_lesions == 2


def test_without_masks_there_is_a_page(truth, tmp_path):
    result = review_study(truth.dicom_folder, tmp_path / "page", phases=["AP"])
    assert result.phases == ("AP",)
    assert result.n_lesions == 0
    assert study_data(result)["phases"][0]["lesions"] == []


def test_a_mask_that_fits_no_phase_is_an_error_and_leaves_nothing(truth, masks, tmp_path):
    far = tmp_path / "far.nii.gz"
    image = nib.load(truth.lesion_mask)
    affine = image.affine.copy()
    affine[:3, 3] += 5000.0
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), affine), far)
    with pytest.raises(MaskError):
        review_study(truth.dicom_folder, tmp_path / "page", masks=replace(masks, lesions=(far,)))
    assert not (tmp_path / "page").exists()


def test_a_phase_that_is_not_there_is_one_clear_line(truth, tmp_path):
    with pytest.raises(GsigpuError, match=r"no monoenergetic series of phase DP; .*AP, PVP"):
        review_study(read_study(truth.dicom_folder), tmp_path / "page", phases=["DP"])
    assert not (tmp_path / "page").exists()


def test_every_plane_is_read_once(truth, masks, tmp_path, monkeypatch):
    """Label check, measuring and volumes share one reading."""
    n_read = counted_planes(monkeypatch)
    result = review_study(truth.dicom_folder, tmp_path / "page", masks=masks, phases=["PVP"])
    assert result.n_lesions == 2
    n_slices = study_data(result)["phases"][0]["grid"]["shape"][0]
    assert len(n_read) == n_slices * len(SETTINGS.energies_kev)
    assert set(n_read.values()) == {1}


def test_frames_that_a_card_did_not_decode_are_told(truth, tmp_path):
    """Once, whether a measurement tells it or nothing is measured."""
    card_frames._cards.reasons["nvImageCodec cannot decode it"] += 3
    result = review_study(truth.dicom_folder, tmp_path / "page", phases=("PVP",), case_id="7")
    (told,) = [line for line in result.warnings if "DECODER" in line]
    assert told in study_data(result)["phases"][0]["warnings"]
    assert card_frames.notes() == []
