"""Written phantoms, read back with pydicom, SimpleITK and nibabel."""

import json
import subprocess
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813  # its customary name
from pydicom.fileset import FileSet

from gsigpu.choices import EXTRAS, LAYOUTS, TRANSFER_SYNTAXES, VENDORS
from gsigpu.errors import OutputError, SettingsError
from gsigpu.phantom import PhantomSettings, write_phantom
from gsigpu.phantom.tissues import calcium_hu_per_mg_per_ml
from gsigpu.physics import iodine_hu_per_mg_per_ml

TINY = {
    "shape": (5, 40, 56), "spacing_mm": (20.0, 7.0, 6.5), "phases": ("PVP",), "n_lesions": 2,
    "energies_kev": (40.0, 70.0, 100.0), "extras": (), "diameter_mm": (20.0, 30.0),
}  # fmt: skip


def tiny(**changes):
    return PhantomSettings(**{**TINY, **changes})


def datasets(folder, **kwargs):
    """All DICOM objects below a folder."""
    paths = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return [pydicom.dcmread(path, **kwargs) for path in paths if path.name != "README.TXT"]


def volumes_hu(folder):
    """{series description: (z, y, x) HU}, slices in order of their position."""
    series = {}
    for ds in datasets(folder):
        series.setdefault(ds.SeriesDescription, []).append(ds)
    return {
        name: np.stack(
            [
                ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
                for ds in sorted(slices, key=lambda ds: ds.ImagePositionPatient[2])
            ]
        )
        for name, slices in series.items()
    }


def bytes_below(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }


def test_pixels_are_the_truth_rounded(tmp_path):
    settings = tiny(phases=("AP", "PVP"), noise_hu=0.0, with_padding=False)
    truth = write_phantom(tmp_path / "p", settings)
    volumes = volumes_hu(truth.dicom_folder)
    whole = truth.composition()
    assert len(volumes) == 6
    for phase in settings.phases:
        for kev in settings.energies_kev:
            expected = (
                whole.water.astype(float)
                + whole.iodine[phase] * iodine_hu_per_mg_per_ml([kev])[0]
                + whole.calcium * calcium_hu_per_mg_per_ml([kev])[0]
                - 1000.0
            )
            assert np.abs(volumes[f"{phase} Mono {kev:g} keV"] - expected).max() < 0.501


def test_noise_is_what_differs_from_the_truth(tmp_path):
    settings = tiny(shape=(5, 80, 112), spacing_mm=(20.0, 3.5, 3.25), noise_hu=10.0)
    truth = write_phantom(tmp_path / "p", settings)
    whole = truth.composition()
    volumes = volumes_hu(truth.dicom_folder)
    inside = whole.water > 850.0  # where noise does not reach the ends of 12 bits
    noise = {
        kev: (volumes[f"PVP Mono {kev:g} keV"] - whole.hu("PVP", kev))[inside]
        for kev in settings.energies_kev
    }
    assert noise[70.0].std() == pytest.approx(10.0, rel=0.05)
    assert noise[40.0].std() == pytest.approx(25.0, rel=0.05)

    # σ = 10, q = 0.1, r(40, 70, 100) = 82.4, 26.0, 11.4: k σ = 10 √(2.5² - 1) / 56.4 = 0.406,
    # cov(40, 100) = 99 + 0.406² 56.4 (-14.6) = -36.7, SD(100) = √(100 + 0.406² 14.6²) = 11.6.
    def correlation(a, b):
        return np.corrcoef(noise[a], noise[b])[0, 1]

    assert correlation(40.0, 100.0) == pytest.approx(-36.7 / (25.0 * 11.6), abs=0.05)
    assert correlation(70.0, 100.0) == pytest.approx(99.0 / (10.0 * 11.6), abs=0.05)


def test_the_same_settings_give_the_same_bytes(tmp_path):
    settings = tiny(extras=EXTRAS[:-1], seed=5)
    write_phantom(tmp_path / "a", settings)
    write_phantom(tmp_path / "b", settings)
    first, second = bytes_below(tmp_path / "a"), bytes_below(tmp_path / "b")
    assert first == second
    write_phantom(tmp_path / "c", tiny(extras=EXTRAS[:-1], seed=6))
    third = bytes_below(tmp_path / "c")
    assert first["dicom/SER00301/IMG00001.dcm"] != third["dicom/SER00301/IMG00001.dcm"]
    uids = [{ds.SOPInstanceUID for ds in datasets(tmp_path / name / "dicom")} for name in "ac"]
    assert not uids[0] & uids[1]


def test_an_output_that_holds_something_is_refused(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.doc").write_text("years of work")
    with pytest.raises(OutputError, match="is there already"):
        write_phantom(out, tiny())
    with pytest.raises(OutputError, match="was not written by gsigpu phantom"):
        write_phantom(out, tiny(), overwrite=True)
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "thesis.doc"]


def test_a_phantom_is_overwritten_when_asked(tmp_path):
    write_phantom(tmp_path / "p", tiny(seed=1))
    truth = write_phantom(tmp_path / "p", tiny(seed=2), overwrite=True)
    assert {ds.PatientID for ds in datasets(truth.dicom_folder)} == {"GSIGPU-PHANTOM-0002"}


def test_nothing_is_left_of_a_phantom_that_failed(tmp_path):
    def stop(_done, _all):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_phantom(tmp_path / "p", tiny(), progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_progress_counts_slices(tmp_path):
    seen = []
    write_phantom(tmp_path / "p", tiny(), progress=lambda *counts: seen.append(counts))
    assert seen == [(n, 5) for n in range(1, 6)]


def test_masks_lie_on_the_grid_of_the_images(tmp_path):
    truth = write_phantom(tmp_path / "p", tiny())
    reader = sitk.ImageSeriesReader()
    series = reader.GetGDCMSeriesIDs(str(truth.dicom_folder / "SER00301"))
    reader.SetFileNames(
        reader.GetGDCMSeriesFileNames(str(truth.dicom_folder / "SER00301"), series[0])
    )
    image = reader.Execute()
    painter = truth.painter()
    for name in ("lesions", "liver", "vessels", "aorta"):
        path = tmp_path / "p" / "masks" / f"{name}.nii.gz"
        mask = sitk.ReadImage(str(path))
        assert mask.GetSize() == image.GetSize() == (56, 40, 5)
        assert mask.GetOrigin() == pytest.approx(image.GetOrigin(), abs=1e-3)
        assert mask.GetSpacing() == pytest.approx(image.GetSpacing(), abs=1e-5)
        assert mask.GetDirection() == pytest.approx(image.GetDirection(), abs=1e-6)
        values = np.asarray(nibabel.load(path).dataobj).T
        assert values.dtype == np.uint8
        expected = np.stack([painter.paint(z).masks[name] for z in range(5)])
        assert np.array_equal(values, expected)
        assert values.any()


def test_truth_json_says_what_measuring_must_give(tmp_path):
    write_phantom(tmp_path / "p", tiny(energies_kev=(40.0, 60.0, 100.0), iodine_variation=0.0))
    truth = json.loads((tmp_path / "p" / "truth.json").read_text())
    liver = truth["organs"]["liver"]["PVP"]
    assert liver["iodine_mg_per_ml"] == 2.2
    # NIST: 1 mg/mL of iodine adds 36.8 HU at 60 and 11.4 HU at 100 keV.
    assert liver["lambda_hu"]["60-100"] == pytest.approx(2.2 * (36.8 - 11.4) / 40, abs=0.01)
    assert liver["lambda_hu"]["paper"] == pytest.approx(liver["lambda_hu"]["60-100"] / 1.5)
    assert liver["hu"]["60"] == pytest.approx(58 + 2.2 * 36.8, abs=0.2)
    assert [lesion["label"] for lesion in truth["lesions"]] == [1, 2]
    assert truth["settings"]["seed"] == 0


@pytest.mark.parametrize("vendor", VENDORS)
def test_vendors_name_energy_and_phase_their_way(tmp_path, vendor):
    truth = write_phantom(tmp_path / "p", tiny(vendor=vendor, extras=("iodine", "water")))
    descriptions = sorted({ds.SeriesDescription for ds in datasets(truth.dicom_folder)})
    expected = {
        "ge": ["PVP Iodine(Water)", "PVP Mono 100 keV", "PVP Mono 40 keV", "PVP Mono 70 keV",
               "PVP Water(Iodine)"],
        "siemens": [*(f"Portal venous {name}" for name in (
            "Iodine Map", "Monoenergetic Plus 100 keV", "Monoenergetic Plus 40 keV",
            "Monoenergetic Plus 70 keV", "VNC"))],
        "philips": [*(f"Venous {name}" for name in (
            "Iodine Density[mg/ml]", "MonoE 100keV[HU]", "MonoE 40keV[HU]", "MonoE 70keV[HU]",
            "VNC[HU]"))],
        "canon": [*(f"Portal {name}" for name in (
            "Iodine Map", "Monochromatic 100keV", "Monochromatic 40keV", "Monochromatic 70keV",
            "VNC"))],
    }  # fmt: skip
    assert descriptions == expected[vendor]


def test_vendor_maps_hold_the_truth_in_the_vendors_unit(tmp_path):
    truth = write_phantom(
        tmp_path / "p", tiny(noise_hu=0.0, with_padding=False, extras=("iodine", "water"))
    )
    whole = truth.composition()
    soft = whole.calcium == 0.0
    volumes = volumes_hu(truth.dicom_folder)
    iodine = volumes["PVP Iodine(Water)"] / 10.0  # 100 µg/cm³
    assert np.abs(iodine - whole.iodine["PVP"])[soft].max() < 0.00501
    assert np.abs(volumes["PVP Water(Iodine)"] - whole.water)[soft].max() < 0.501


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_hold_the_same_pixels(tmp_path, layout):
    settings = tiny(layout=layout, supplement_188=True)
    truth = write_phantom(tmp_path / "p", settings)
    expected = write_phantom(tmp_path / "classic", tiny())
    classic = volumes_hu(expected.dicom_folder)
    files = datasets(truth.dicom_folder)
    n_files = {"classic": 15, "interleaved": 15, "enhanced": 3, "enhanced-interleaved": 1}
    assert len(files) == n_files[layout]
    n_series = 1 if layout.endswith("interleaved") else 3
    assert len({ds.SeriesInstanceUID for ds in files}) == n_series
    seen = 0
    for ds in files:
        frames = ds.pixel_array.reshape(-1, 40, 56) - 1024.0
        for index, frame in enumerate(frames):
            groups = ds.PerFrameFunctionalGroupsSequence[index] if "enhanced" in layout else ds
            kev = groups.MultienergyCTCharacteristicsSequence[0].MonoenergeticEnergyEquivalent
            position = (
                groups.PlanePositionSequence[0] if "enhanced" in layout else ds
            ).ImagePositionPatient
            z = round((position[2] - truth.geometry.origin_mm[2]) / 20.0)
            assert np.array_equal(frame, classic[f"PVP Mono {kev:g} keV"][z])
            seen += 1
    assert seen == 15


@pytest.mark.parametrize("layout", ["classic", "enhanced-interleaved"])
@pytest.mark.parametrize("transfer_syntax", TRANSFER_SYNTAXES)
def test_transfer_syntaxes_hold_the_same_pixels(tmp_path, transfer_syntax, layout):
    truths = [
        write_phantom(tmp_path / out, tiny(transfer_syntax=name, layout=layout, shape=(3, 41, 57)))
        for out, name in (("a", transfer_syntax), ("b", "explicit"))
    ]
    pairs = list(zip(*(datasets(truth.dicom_folder) for truth in truths), strict=True))
    assert pairs
    for image, expected in pairs:
        assert np.array_equal(image.pixel_array, expected.pixel_array)
    if transfer_syntax != "htj2k" and layout == "classic":  # GDCM has no HTJ2K
        path = next(iter(sorted((tmp_path / "a").rglob("*.dcm"))))
        image = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[0]
        assert np.array_equal(image, pydicom.dcmread(path).pixel_array - 1024.0)


def test_padding_lies_outside_the_reconstruction_circle(tmp_path):
    truth = write_phantom(tmp_path / "p", tiny(shape=(3, 56, 56), spacing_mm=(20.0, 6.5, 6.5)))
    for ds in datasets(truth.dicom_folder):
        assert ds.PixelPaddingValue == -2000
        padded = ds.pixel_array == -2000
        y, x = np.mgrid[:56, :56] - 27.5
        assert np.array_equal(padded, np.hypot(y, x) > 28.0)


def test_shuffled_names_have_neither_order_nor_extension(tmp_path):
    truth = write_phantom(tmp_path / "p", tiny(shuffle_names=True))
    paths = sorted(path for path in truth.dicom_folder.rglob("*") if path.is_file())
    assert len(paths) == 15
    assert {path.suffix for path in paths} == {""}
    series = [pydicom.dcmread(path).SeriesNumber for path in paths]
    assert series != sorted(series)


def test_an_export_holds_what_was_asked_and_a_dicomdir_finds_it(tmp_path):
    truth = write_phantom(tmp_path / "p", tiny(extras=EXTRAS))
    names = {path.name for path in truth.dicom_folder.iterdir()}
    assert {"DICOMDIR", "README.TXT"} <= names
    files = FileSet(truth.dicom_folder / "DICOMDIR")
    classes = [instance.SOPClassUID.name for instance in files]
    assert len(files) == 15 + 3 * 5 + 3
    assert sorted(set(classes)) == [
        "Basic Text SR Storage", "CT Image Storage", "Secondary Capture Image Storage",
    ]  # fmt: skip
    files._stage["t"].cleanup()  # pydicom leaves its temporary folder to the garbage collector
    loaded = [instance.load() for instance in files]
    assert any("LOCALIZER" in ds.get("ImageType", []) for ds in loaded)
    assert len({ds.StudyInstanceUID for ds in loaded}) == 1


def test_the_identity_is_obviously_synthetic(tmp_path):
    truth = write_phantom(tmp_path / "p", tiny(seed=12, extras=EXTRAS[:-1]))
    for ds in datasets(truth.dicom_folder):
        assert ds.PatientID == "GSIGPU-PHANTOM-0012"
        assert str(ds.PatientName) == "Phantom^Synthetic 0012"
        assert ds.PatientBirthDate == ""


@pytest.mark.parametrize(
    "wrong",
    [
        {"vendor": "acme"},
        {"phases": ()},
        {"phases": ("AP", "AP")},
        {"energies_kev": (70.0, 40.0)},
        {"energies_kev": (30.0,)},
        {"shape": (0, 4, 4)},
        {"spacing_mm": (1.0, 0.0, 1.0)},
        {"diameter_mm": (10.0, 5.0)},
        {"noise_hu": -1.0},
        {"noise_ratio_40": 0.5},
        {"noise_independent": 1.5},
        {"extras": ("music",)},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(SettingsError):
        PhantomSettings(**wrong)


@pytest.mark.tools
@pytest.mark.parametrize("supplement_188", [False, True])
@pytest.mark.parametrize("vendor", VENDORS)
def test_everything_passes_dciodvfy(tmp_path, vendor, supplement_188):
    kept = []
    for layout in LAYOUTS:
        settings = tiny(
            shape=(2, 40, 56), vendor=vendor, layout=layout, supplement_188=supplement_188,
            extras=EXTRAS[:-1] if layout == "classic" else (), n_lesions=0,
        )  # fmt: skip
        truth = write_phantom(tmp_path / layout, settings)
        series = {}
        for path in truth.dicom_folder.rglob("*.dcm"):
            series.setdefault(path.parent, path)
        kept += series.values()
    for path in kept:
        checked = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
        errors = [
            line for line in (checked.stdout + checked.stderr).splitlines() if "Error" in line
        ]
        assert not errors, path
        assert checked.returncode == 0


@pytest.mark.tools
def test_the_dicomdir_passes_dciodvfy(tmp_path):
    truth = write_phantom(tmp_path / "p", tiny(extras=EXTRAS))
    path = truth.dicom_folder / "DICOMDIR"
    checked = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
    assert "Error" not in checked.stdout + checked.stderr


@pytest.mark.tools
@pytest.mark.parametrize("transfer_syntax", TRANSFER_SYNTAXES)
def test_every_transfer_syntax_is_read_by_dcmtk(tmp_path, transfer_syntax):
    truth = write_phantom(
        tmp_path / "p", tiny(transfer_syntax=transfer_syntax, shape=(1, 40, 56), n_lesions=0)
    )
    for path in truth.dicom_folder.rglob("*.dcm"):
        checked = subprocess.run(["dcmdump", path], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stderr
