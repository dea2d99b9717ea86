"""A spectral study made of real GE slices (tests/data/liver-ct)."""

import shutil
import subprocess

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813  # its customary name

from gsigpu.dicom.reading.headers import scan_headers
from gsigpu.dicom.reading.hu_planes import read_planes
from gsigpu.dicom.reading.pixels import PlaneReader
from gsigpu.errors import GridMismatch, InputError, NonUniformSpacing, OutputError
from gsigpu.phantom import IodineRegion, disc_mask, write_spectral_from_ct
from gsigpu.volume import VolumeGeometry
from tests.support.dicom_files import ct_dataset, save
from tests.support.places import DATA

DATA = DATA / "liver-ct"
SLICES = [DATA / name for name in ("01.dcm", "02.dcm", "03.dcm")]
LIVER_IODINE, LESION_IODINE = 2.2, 0.8


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Truth of a study with 2.2 mg/mL in the liver and 0.8 in a disc inside it."""
    liver = sitk.GetArrayFromImage(sitk.ReadImage(str(DATA / "liver_seg.nrrd"))) > 0
    y, x = (int(np.median(axis)) for axis in np.nonzero(liver[1]))
    out = tmp_path_factory.mktemp("from-ct") / "study"
    first = sitk.ReadImage(str(DATA / "liver_seg.nrrd"))
    centre = first.TransformIndexToPhysicalPoint((x, y, 1))
    grid = VolumeGeometry(liver.shape, first.GetSpacing()[::-1], first.GetOrigin())
    disc = disc_mask(grid, centre, 15.0) & liver
    regions = [
        IodineRegion("liver", liver, LIVER_IODINE),
        IodineRegion("lesion", disc, LESION_IODINE),
    ]
    return write_spectral_from_ct(SLICES, out, regions=regions, energies_kev=(40, 60, 70, 100))


def stack(truth):
    """{keV: (z, y, x) HU}, and the headers of one series, by ascending position."""
    series = {}
    for path in truth.dicom_folder.rglob("*.dcm"):
        ds = pydicom.dcmread(path)
        series.setdefault(float(ds.SeriesDescription.split()[2]), []).append(ds)
    for slices in series.values():
        slices.sort(key=lambda ds: ds.ImagePositionPatient[2])
    return (
        {
            kev: np.stack([ds.pixel_array * ds.RescaleSlope + ds.RescaleIntercept for ds in slices])
            for kev, slices in series.items()
        },
        series[70.0],
    )


def test_the_image_at_the_effective_energy_is_the_real_one(made):
    volumes, headers = stack(made)
    real = sorted(
        (pydicom.dcmread(path) for path in SLICES), key=lambda ds: ds.ImagePositionPatient[2]
    )
    for index, (new, old) in enumerate(zip(headers, real, strict=True)):
        limited = np.clip(old.pixel_array, 0, 4095)  # scanners' 12 bits; padding stays
        expected = np.where(old.pixel_array == old.PixelPaddingValue, old.pixel_array, limited)
        assert np.array_equal(new.pixel_array, expected), index
    assert set(volumes) == {40.0, 60.0, 70.0, 100.0}


def test_known_iodine_is_found_again(made):
    volumes, _ = stack(made)
    for region, iodine in (
        (made.regions[0].mask & ~made.regions[1].mask, LIVER_IODINE),
        (made.regions[1].mask, LESION_IODINE),
    ):
        assert region.sum() > 1000
        # NIST: 1 mg/mL adds 36.8 HU at 60 keV and 11.4 HU at 100 keV.
        slope = (volumes[60.0] - volumes[100.0])[region].mean() / 40.0
        assert slope == pytest.approx(iodine * (36.8 - 11.4) / 40.0, abs=0.01)


def test_real_headers_are_kept_and_the_patient_is_not(made):
    _, headers = stack(made)
    real = pydicom.dcmread(DATA / "03.dcm")
    new = headers[0]
    for keyword in (
        "Manufacturer", "ManufacturerModelName", "KVP", "ConvolutionKernel", "XRayTubeCurrent",
        "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "PixelPaddingValue",
    ):  # fmt: skip
        assert new[keyword].value == real[keyword].value, keyword
    assert new.private_block(0x0045, "GEMS_HELIOS_01")[0x01].value == real[0x0045, 0x1001].value
    for keyword in (
        "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID",
        "PatientID", "PatientName",
    ):  # fmt: skip
        assert new[keyword].value != real[keyword].value, keyword


def test_truth_volumes_are_saved_on_the_grid(made):
    for name, volume in (
        ("water", made.composition.water),
        ("iodine", made.composition.iodine["PVP"]),
    ):
        image = nibabel.load(made.folder / "truth" / f"{name}.nii")
        assert np.array_equal(np.asarray(image.dataobj).T, volume, equal_nan=True)
        read = sitk.ReadImage(str(made.folder / "truth" / f"{name}.nii"))
        assert read.GetOrigin() == pytest.approx(made.geometry.origin_mm, abs=1e-3)


def test_wrong_input_is_refused(tmp_path):
    with pytest.raises(InputError, match="no CT image"):
        write_spectral_from_ct([DATA / "liver.dcm", DATA / "README.md"], tmp_path / "a")
    region = IodineRegion("wrong", np.zeros((2, 512, 512), bool), 1.0)
    with pytest.raises(GridMismatch):
        write_spectral_from_ct(SLICES, tmp_path / "a", regions=[region])
    odd = tmp_path / "odd"
    odd.mkdir()
    for path in SLICES:
        shutil.copy(path, odd)
    ds = pydicom.dcmread(odd / "03.dcm")
    ds.ImagePositionPatient[2] -= 1.0
    ds.save_as(odd / "03.dcm")
    with pytest.raises(NonUniformSpacing):
        write_spectral_from_ct(odd, tmp_path / "a")
    with pytest.raises(OutputError):
        write_spectral_from_ct(SLICES, odd)
    assert not (tmp_path / "a").exists()


@pytest.mark.tools
def test_it_passes_dciodvfy(made):
    for path in sorted(made.dicom_folder.rglob("IMG00001.dcm")):
        checked = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
        assert "Error" not in checked.stdout + checked.stderr


def test_padding_that_does_not_fit_the_bits_stays_padding(tmp_path):
    """Unsigned, 12 bits, -2000 declared: 2096 of the bits, and +1,072 HU if taken for a value."""
    words = np.full((8, 9), 1084, np.uint16)
    words[:2] = 63536
    for z in range(2):
        ds = ct_dataset(
            words, position_mm=(0, 0, 2.5 * z), instance_number=z + 1, intercept=-1024,
            BitsStored=12, HighBit=11, PixelPaddingValue=63536,
        )  # fmt: skip
        save(ds, tmp_path / "ct" / f"{z}.dcm")
    mask = np.zeros((2, 8, 9), bool)
    mask[:, 5, 5] = True
    region = IodineRegion("r", mask, 1.0)
    truth = write_spectral_from_ct(
        tmp_path / "ct", tmp_path / "out", regions=[region], energies_kev=(60, 100)
    )
    assert np.isnan(truth.composition.water[:, :2]).all()
    assert not np.isnan(truth.composition.water[:, 2:]).any()
    for plane in scan_headers(truth.dicom_folder).planes:
        values = read_planes(PlaneReader(), [plane])[0]
        assert np.isnan(values[:2]).all()
        assert not np.isnan(values[2:]).any()
