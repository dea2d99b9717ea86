"""`map` from a folder to files: the values are the truth's, and what cannot be done is an error."""

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import nibabel
import numpy as np
import pytest
from pydicom import dcmread
from scipy.ndimage import distance_transform_edt

from gsigpu.dicom.reading.headers import scan_headers
from gsigpu.dicom.reading.hu_planes import read_volume
from gsigpu.dicom.study.read_study import read_study
from gsigpu.errors import (
    AmbiguousStack,
    GridMismatch,
    MissingSlices,
    OutputError,
    PixelDataError,
    SettingsError,
    TooFewEnergies,
    TruncatedPixelData,
)
from gsigpu.maps.plan import plan_maps
from gsigpu.phantom import PhantomSettings, write_phantom
from gsigpu.phantom.from_ct import IodineRegion, write_spectral_from_ct
from gsigpu.physics import iodine_hu_per_mg_per_ml
from gsigpu.pipeline.choose_stack import choose_stack
from gsigpu.pipeline.map.map_study import map_study
from gsigpu.pipeline.map.outside_body import BlankOutside
from tests.support import nvimgcodec_stand_in
from tests.support.places import DATA
from tests.support.planes_read import counted_planes

REAL = DATA / "liver-ct"
SMALL = PhantomSettings(
    shape=(4, 48, 64),
    spacing_mm=(5.0, 6.0, 6.0),
    n_lesions=0,
    noise_hu=0.0,
    phases=("PVP",),
    extras=(),
)


def written(result, name):
    return read_volume(read_study(result.folders[name]).series[0])


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    return write_phantom(tmp_path_factory.mktemp("study") / "phantom", SMALL)


@pytest.fixture
def study_folder(phantom, tmp_path):
    """A copy that a test may damage."""
    import shutil

    return Path(shutil.copytree(phantom.dicom_folder, tmp_path / "dicom"))


def series_folder(folder, kev):
    """Where the series of an energy lies."""
    plane = next(series for series in read_study(folder).series if series.energy_kev == kev).planes[
        0
    ]
    return plane.path.parent


@pytest.mark.parametrize("output_format", ["ct", "nifti", "nrrd"])
def test_noise_free_phantom_gives_the_iodine_put_in(phantom, tmp_path, output_format):
    result = map_study(
        phantom.dicom_folder,
        tmp_path / "maps",
        maps=["iodine", "water"],
        output_format=output_format,
        backend="cpu",
    )
    if output_format == "ct":
        iodine, water = written(result, "iodine"), written(result, "water")
    elif output_format == "nifti":
        iodine, water = (
            np.asarray(nibabel.load(result.folders[n]).dataobj).T for n in ("iodine", "water")
        )
    else:
        import SimpleITK

        iodine, water = (
            SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(result.folders[n]))
            for n in ("iodine", "water")
        )
    composition = phantom.composition()
    true_iodine = composition.iodine["PVP"]
    known = (composition.calcium == 0) & ~np.isnan(iodine)
    assert known.sum() > 1000
    # Stored HU are whole numbers, so c is off by what rounding eleven of them leaves.
    assert np.abs(iodine[known] - true_iodine[known]).max() < 0.02
    assert np.abs(water[known] - composition.water[known]).max() < 1.0
    assert abs((iodine[known] - true_iodine[known]).mean()) < 0.002


def test_real_slices_give_the_iodine_put_in(tmp_path):
    """Three GE slices with their noise: bias under 0.05 mg/mL and 0.01 HU/keV over 1,000 voxels."""
    mask = np.zeros((3, 512, 512), bool)
    mask[:, 200:220, 150:170] = True
    study = write_spectral_from_ct(
        [REAL / f"0{i}.dcm" for i in (1, 2, 3)],
        tmp_path / "study",
        regions=[IodineRegion("liver", mask, 2.5)],
    )
    result = map_study(
        study.dicom_folder,
        tmp_path / "maps",
        maps=["iodine", "lambda-hu", "lambda-hu[60-100]"],
        backend="cpu",
    )
    assert mask.sum() >= 1000
    r60, r100 = iodine_hu_per_mg_per_ml([60, 100])
    expected = {
        "iodine": (2.5, 0.05),
        "lambda-hu": (2.5 * (r60 - r100) / 60, 0.01),
        "lambda-hu[60-100]": (2.5 * (r60 - r100) / 40, 0.01),
    }
    for name, (true, allowed) in expected.items():
        values = written(result, name)[mask]
        assert abs(values.mean() - true) < allowed, name
    first = dcmread(result.folders["iodine"] / "IM00001.dcm")
    assert [float(x) for x in first.ImagePositionPatient[:2]] == [-235.199997, -226.800003]


def test_an_energy_that_is_chosen_twice_counts_once(phantom, tmp_path):
    once, twice = (
        map_study(
            phantom.dicom_folder, tmp_path / name, maps=["iodine"], energies_kev=kevs, backend="cpu"
        )
        for name, kevs in (("once", (60, 100)), ("twice", (60, 100, 60.01, 60)))
    )
    assert twice.stack.energies_kev == (60.0, 100.0)
    np.testing.assert_array_equal(written(once, "iodine"), written(twice, "iodine"))


def test_only_the_needed_series_are_decoded(phantom, tmp_path, study_folder):
    """A two-point slope must not open the pixels of the other nine series."""
    for kev in (40, 50, 70, 80, 90, 110, 120, 130, 140):
        for path in series_folder(study_folder, float(kev)).iterdir():
            raw = path.read_bytes()
            path.write_bytes(raw[: raw.index(b"\xe0\x7f\x10\x00") + 12])
    result = map_study(study_folder, tmp_path / "maps", maps=["lambda-hu"], backend="cpu")
    assert result.stack.energies_kev == (60.0, 100.0)
    with pytest.raises(TruncatedPixelData):
        map_study(study_folder, tmp_path / "more", maps=["iodine"], backend="cpu")
    assert not (tmp_path / "more").exists()


@pytest.mark.parametrize("maps", [["lambda-hu", "iodine", "sigma-iodine"], ["lambda-hu", "vnc"]])
def test_every_plane_is_read_once(phantom, tmp_path, monkeypatch, maps):
    """The label check and the noise look at some slices before the pass; the pass takes them from there."""
    times = counted_planes(monkeypatch)
    result = map_study(
        phantom.dicom_folder, tmp_path / "maps", maps=maps, phase="PVP", backend="cpu"
    )
    assert set(times.values()) == {1}
    assert len(times) == len(result.stack.series) * result.stack.geometry.shape[0]


def test_a_broken_series_stops_only_what_needs_it(study_folder, tmp_path):
    gap = sorted(series_folder(study_folder, 40.0).iterdir())
    gap[1].unlink()
    result = map_study(study_folder, tmp_path / "slope", maps=["lambda-hu"], backend="cpu")
    assert any("1 slice is missing" in line and "not needed" in line for line in result.warnings)
    with pytest.raises(MissingSlices, match="1 slice is missing"):
        map_study(study_folder, tmp_path / "iodine", maps=["iodine"], backend="cpu")
    kept = [50.0, 70.0, 140.0]
    result = map_study(
        study_folder, tmp_path / "chosen", maps=["iodine"], energies_kev=kept, backend="cpu"
    )
    assert result.stack.energies_kev == tuple(kept)


def test_another_grid_is_refused_where_it_is_needed(study_folder, tmp_path):
    for path in series_folder(study_folder, 60.0).iterdir():
        ds = dcmread(path)
        ds.ImagePositionPatient[0] += 3
        ds.save_as(path)
    with pytest.raises(GridMismatch, match="begins at"):
        map_study(study_folder, tmp_path / "maps", backend="cpu")
    assert list(tmp_path.iterdir()) == [study_folder]


def test_missing_energy(study_folder, tmp_path):
    with pytest.raises(TooFewEnergies, match="45 keV; available are 40, 50"):
        map_study(study_folder, tmp_path / "maps", slope="45-100", backend="cpu")


def test_swapped_labels_are_warned_of(tmp_path):
    phantom = write_phantom(
        tmp_path / "p", replace(SMALL, shape=(5, 128, 128), spacing_mm=(10.0, 3.0, 3.0))
    )
    folders = {kev: series_folder(phantom.dicom_folder, kev) for kev in (50.0, 110.0)}
    descriptions = {
        kev: dcmread(next(folder.iterdir())).SeriesDescription for kev, folder in folders.items()
    }
    right = map_study(phantom.dicom_folder, tmp_path / "right", backend="cpu")
    assert not any("looks like" in line for line in right.warnings)
    for kev, other in ((50.0, 110.0), (110.0, 50.0)):
        for path in folders[kev].iterdir():
            ds = dcmread(path)
            ds.SeriesDescription = descriptions[other]
            for keyword in ("ImageComments", "MonoenergeticEnergyEquivalent"):
                if keyword in ds:
                    delattr(ds, keyword)
            ds.remove_private_tags()
            ds.save_as(path)
    swapped = map_study(phantom.dicom_folder, tmp_path / "swapped", backend="cpu")
    doubts = [line for line in swapped.warnings if "looks like" in line]
    assert len(doubts) == 2
    assert "labelled 50 keV looks like 11" in doubts[0]
    assert "--energy" in doubts[0]


def test_two_phases_ask_for_a_choice(tmp_path):
    phantom = write_phantom(tmp_path / "p", replace(SMALL, phases=("AP", "PVP")))
    with pytest.raises(AmbiguousStack, match=r"AP.*PVP.*--phase"):
        map_study(phantom.dicom_folder, tmp_path / "maps", backend="cpu")
    result = map_study(phantom.dicom_folder, tmp_path / "maps", phase="AP", backend="cpu")
    assert result.stack.phase == "AP"


@pytest.mark.parametrize("vendor", ["siemens", "philips", "canon"])
@pytest.mark.parametrize("layout", ["classic", "interleaved", "enhanced", "enhanced-interleaved"])
def test_vendors_and_layouts_give_the_same_maps(phantom, tmp_path, vendor, layout):
    reference = written(
        map_study(phantom.dicom_folder, tmp_path / "ge", maps=["iodine"], backend="cpu"), "iodine"
    )
    other = write_phantom(
        tmp_path / "p", replace(SMALL, vendor=vendor, layout=layout, shuffle_names=True)
    )
    result = map_study(other.dicom_folder, tmp_path / "maps", maps=["iodine"], backend="cpu")
    assert len(result.stack.series) == 11
    np.testing.assert_allclose(written(result, "iodine"), reference, atol=0.03)


@pytest.mark.parametrize(
    "syntax", ["implicit", "deflated", "rle", "jpeg-lossless", "jpeg-ls", "jpeg2000", "htj2k"]
)
def test_transfer_syntaxes_give_the_same_maps(monkeypatch, phantom, tmp_path, syntax):
    reference = written(
        map_study(phantom.dicom_folder, tmp_path / "plain", backend="cpu"), "iodine"
    )
    packed = write_phantom(tmp_path / "p", replace(SMALL, transfer_syntax=syntax))
    values = written(map_study(packed.dicom_folder, tmp_path / "maps", backend="cpu"), "iodine")
    np.testing.assert_array_equal(values, reference)
    if syntax not in ("jpeg-lossless", "jpeg2000", "htj2k"):
        return
    for fault, decoders in ((None, []), ("none", [])):  # decoded on a card, and by one that cannot
        with monkeypatch.context() as patch:
            nvimgcodec_stand_in.install(patch, fault, decoders)
            result = map_study(packed.dicom_folder, tmp_path / f"card {fault}", backend="cpu")
        np.testing.assert_array_equal(written(result, "iodine"), reference)
        assert sum(decoder.n_decoded for decoder in decoders) > 0
        told = [line for line in result.warnings if "GSIGPU_DECODER" in line]
        assert len(told) == (fault is not None)
        assert all(
            "were decoded on the CPU: nvImageCodec cannot decode it" in line for line in told
        )


def test_padding_comes_out_as_padding(phantom, tmp_path):
    assert phantom.settings.with_padding
    result = map_study(
        phantom.dicom_folder, tmp_path / "maps", maps=["iodine", "residual"], backend="cpu"
    )
    for name in ("iodine", "residual"):
        values = written(result, name)
        assert np.isnan(values[:, 0, 0]).all()
        assert not np.isnan(values[:, 24, 32]).any()


@pytest.mark.parametrize("place", [0, 3, -1])
def test_a_file_that_went_away_after_the_scan_is_named(study_folder, tmp_path, place):
    """The first one is read once more than the others, for the headers of the maps."""
    study = read_study(study_folder)
    series = next(series for series in study.series if series.energy_kev == 60.0)
    gone = series.planes[place].path
    gone.unlink()
    gone.mkdir()
    with pytest.raises(PixelDataError, match=rf"{gone.name}: .*cannot be read"):
        map_study(study, tmp_path / "maps", maps=["lambda-hu"], phase=series.phase, backend="cpu")
    assert not (tmp_path / "maps").exists()


def test_same_input_and_settings_give_the_same_bytes(phantom, tmp_path):
    first = map_study(phantom.dicom_folder, tmp_path / "a", backend="cpu", n_workers=1)
    second = map_study(phantom.dicom_folder, tmp_path / "b", backend="cpu", n_workers=2)
    for name, folder in first.folders.items():
        for path in folder.iterdir():
            assert path.read_bytes() == (second.folders[name] / path.name).read_bytes()
    other = map_study(phantom.dicom_folder, tmp_path / "c", slope="40-100", backend="cpu")
    uids = [
        {plane.sop_instance_uid for plane in scan_headers(result.folders["lambda-hu"]).planes}
        for result in (first, other)
    ]
    assert not uids[0] & uids[1]


def test_output_that_is_there_is_kept(phantom, tmp_path):
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "precious").write_text("mine")
    with pytest.raises(OutputError, match="--overwrite"):
        map_study(phantom.dicom_folder, tmp_path / "maps", backend="cpu")
    assert (tmp_path / "maps" / "precious").read_text() == "mine"
    with pytest.raises(OutputError, match="was not written by gsigpu map"):
        map_study(phantom.dicom_folder, tmp_path / "maps", overwrite=True, backend="cpu")
    assert (tmp_path / "maps" / "precious").read_text() == "mine"


def test_earlier_maps_are_overwritten_when_asked(phantom, tmp_path):
    map_study(phantom.dicom_folder, tmp_path / "maps", maps=["vnc"], backend="cpu")
    map_study(phantom.dicom_folder, tmp_path / "maps", overwrite=True, backend="cpu")
    assert {path.name for path in (tmp_path / "maps").iterdir()} == {
        "lambda-hu", "iodine", "provenance.json", ".gsigpu.json",
    }  # fmt: skip


def test_provenance_names_sources_and_weights_but_no_patient(phantom, tmp_path):
    result = map_study(phantom.dicom_folder, tmp_path / "maps", backend="cpu")
    text = (result.out / "provenance.json").read_text()
    record = json.loads(text)
    assert [entry["name"] for entry in record["maps"]] == ["lambda-hu", "iodine"]
    assert record["weights"]["lambda-hu"]["60.0"] == pytest.approx(1 / 60)
    assert len(record["series"]) == 11
    assert phantom.settings.effective_patient_id not in text
    assert phantom.settings.effective_patient_name not in text


def test_settings_are_checked_before_anything_is_read(tmp_path):
    with pytest.raises(SettingsError):
        map_study(tmp_path / "nowhere", tmp_path / "maps", maps=["lamda"])


def test_results_show_themselves_in_a_line_without_identity(phantom, tmp_path):
    study = read_study(phantom.dicom_folder)
    result = map_study(study, tmp_path / "maps", phase="PVP", backend="cpu")
    chosen = choose_stack(study, phase="PVP")
    plan = plan_maps(result.definitions, chosen.stack.energies_kev)
    assert (
        repr(result) == "MapResult(lambda-hu, iodine; 11 energies, phase PVP, 4 x 48 x 64 voxels)"
    )
    identity = (
        phantom.settings.effective_patient_id,
        phantom.settings.effective_patient_name,
        study.series[0].evidence.study_uid,
        str(tmp_path),
    )
    shown = [repr(value) for value in (result, result.report, chosen, plan, *result.definitions)]
    for text in (*shown, result._repr_html_()):
        assert len(text) < 1000
        assert not any(part in text for part in identity)
    assert all("\n" not in text for text in shown)
    rows = ElementTree.fromstring(result._repr_html_()).findall("tbody/tr")
    assert [row[0].text for row in rows] == ["lambda-hu", "iodine"]


def body_and_air(phantom):
    """The patient, and what surely lies outside: four voxels from it, where there is a value."""
    body = phantom.composition().water > 100.0
    has_value = np.isfinite(read_volume(read_study(phantom.dicom_folder).series[0]))
    far = np.stack([distance_transform_edt(~plane) > 4 for plane in body])
    return body, far & has_value


@pytest.mark.parametrize("output_format", ["ct", "nifti"])
def test_outside_the_body_is_blank_when_asked_and_told(phantom, tmp_path, output_format):
    """Inside nothing changes; the phantom's trunk is an ellipse in air."""
    whole, blank = (
        map_study(
            phantom.dicom_folder, tmp_path / outside, maps=["iodine", "lambda-hu[60-100]"],
            output_format=output_format, backend="cpu", outside=outside,
        )
        for outside in ("keep", "blank")
    )  # fmt: skip
    assert list(blank.folders) == ["iodine", "lambda-hu[60-100]"]

    def values(result, name):
        if output_format == "ct":
            return written(result, name)
        return np.asarray(nibabel.load(result.folders[name]).dataobj).T

    body, air = body_and_air(phantom)
    for name in blank.folders:
        before, after = values(whole, name), values(blank, name)
        is_kept = np.isfinite(after)
        np.testing.assert_array_equal(after[is_kept], before[is_kept])
        np.testing.assert_array_equal(is_kept[body], np.isfinite(before)[body])
        assert np.isfinite(before)[air].all()
        assert not is_kept[air].any()
    told = json.loads((tmp_path / "blank" / "provenance.json").read_text())["maps"]
    assert all(entry["formula"].endswith("; blank outside the body") for entry in told)
    if output_format == "ct":
        first = dcmread(blank.folders["iodine"] / "IM00001.dcm")
        assert "blank outside the body" in first.DerivationDescription
        assert "blank" not in dcmread(whole.folders["iodine"] / "IM00001.dcm").DerivationDescription
        assert (
            first.SeriesInstanceUID
            != dcmread(whole.folders["iodine"] / "IM00001.dcm").SeriesInstanceUID
        )


def test_pictures_are_blank_outside_unless_asked(phantom, tmp_path):
    def formula(**options):
        out = tmp_path / f"rgb{len(options)}"
        map_study(
            phantom.dicom_folder, out, maps=["iodine"], output_format="rgb", backend="cpu", **options
        )  # fmt: skip
        (entry,) = json.loads((out / "provenance.json").read_text())["maps"]
        return entry["formula"]

    assert formula() == f"{formula(outside='keep')}; blank outside the body"


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_a_table_is_outside(dtype):
    """A disc of water, and under it a bar; the sink gets the anatomy as it is where it takes it."""
    got = []

    class Sink:
        def write(self, z, planes):
            got.append((z, planes))

    yy, xx = np.mgrid[:80, :80]
    disc, bar = np.hypot(yy - 35, xx - 40) < 25, (yy > 70) & (yy < 74)
    anatomy = np.where(disc | bar, 50.0, -1000.0).astype(dtype)
    BlankOutside(Sink(), anatomy_step=1.0, with_anatomy=True).write(
        3, [np.full((80, 80), 7, dtype), anatomy]
    )
    ((z, (plane, same)),) = got
    blank = plane == -32768 if dtype == np.int16 else np.isnan(plane)
    assert z == 3
    assert same is anatomy
    assert plane.dtype == dtype
    assert (plane[~blank] == 7).all()
    assert blank[bar].all()
    assert not blank[disc].any()
