"""Images of a scanned study, against SimpleITK's reading of the same files."""

import numpy as np
import pytest
import SimpleITK

import gsigpu

PADDING_HU = -3024  # what the phantom's files have outside the reconstruction circle


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    settings = gsigpu.PhantomSettings(
        shape=(4, 24, 32), spacing_mm=(5.0, 10.0, 9.0), n_lesions=0, phases=("AP", "PVP"),
        energies_kev=(40.0, 70.0, 100.0), extras=(),
    )  # fmt: skip
    return gsigpu.scan(
        gsigpu.write_phantom(tmp_path_factory.mktemp("study"), settings).dicom_folder
    )


def test_an_image_of_the_study_as_simpleitk_reads_it(study):
    image = study.volume(70, phase="PVP")
    series = next(s for s in study.series if s.energy_kev == 70 and s.phase == "PVP")
    read = SimpleITK.ReadImage([str(plane.path) for plane in series.planes])
    hu = SimpleITK.GetArrayFromImage(read)
    np.testing.assert_array_equal(image.array, np.where(hu == PADDING_HU, np.nan, hu))
    other = image.to_sitk()
    np.testing.assert_allclose(other.GetOrigin(), read.GetOrigin())
    np.testing.assert_allclose(other.GetSpacing(), read.GetSpacing())
    np.testing.assert_allclose(other.GetDirection(), read.GetDirection())
    assert repr(image) == "<ImageVolume: 70 keV, HU; 4 x 24 x 32 voxels of 5 x 10 x 9 mm>"


def test_what_is_not_there_is_no_image(study):
    with pytest.raises(gsigpu.TooFewEnergies, match="no monoenergetic series at 65 keV; available"):
        study.volume(65, phase="PVP")
    with pytest.raises(gsigpu.AmbiguousStack):
        study.volume(70)
    with pytest.raises(gsigpu.NoSpectralStack, match="phase DP"):
        study.volume(70, phase="DP")


def test_a_scanned_study_goes_wherever_a_study_goes(study):
    assert list(gsigpu.map(study, maps=["iodine"], phase="AP", backend="cpu")) == ["iodine"]
    assert repr(study).startswith("<Study: ")
