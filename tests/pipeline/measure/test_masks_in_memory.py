"""Masks in memory, of whatever kind and wherever a mask can be named, give what their files give."""

import nibabel
import numpy as np
import pandas as pd
import pytest
import SimpleITK

import gsigpu

SETTINGS = gsigpu.PhantomSettings(
    shape=(8, 48, 64), spacing_mm=(8.0, 5.0, 5.0), n_lesions=1, diameter_mm=(28.0, 30.0),
    energies_kev=(60.0, 70.0, 100.0), phases=("AP", "PVP"), extras=(),
)  # fmt: skip
TURNED = (
    "the axes of an array of shape (64, 48, 8) are x, y, z: it lies on the study's grid with them turned round;"
    " give (array.T, affine), whose axes are z, y, x, or the nibabel image itself"
)


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return gsigpu.write_phantom(tmp_path_factory.mktemp("study") / "phantom", SETTINGS)


@pytest.fixture(scope="module")
def study(truth):
    return gsigpu.scan(str(truth.dicom_folder))


def of_array(path):
    image = nibabel.load(path)
    return np.asarray(image.dataobj).T, image.affine


KINDS = {
    "path": lambda path: path,
    "text": str,
    "nibabel": nibabel.load,
    "SimpleITK": lambda path: SimpleITK.ReadImage(str(path)),
    "array": of_array,
}


def files(truth, kind):
    return gsigpu.MaskFiles(
        kind(truth.lesion_mask),
        liver=kind(truth.liver_mask),
        vessels=kind(truth.vessel_mask),
        aorta=kind(truth.aorta_mask),
        regions={"whole liver": kind(truth.liver_mask)},
    )


def test_every_kind_in_every_place_gives_the_same_table(truth, study):
    expected = gsigpu.measure(study, files(truth, KINDS["path"]), phase="PVP").table
    assert {"core", "parenchyma", "aorta", "whole liver"} <= set(expected.region)
    for name in ("nibabel", "SimpleITK", "array"):
        table = gsigpu.measure(study, files(truth, KINDS[name]), phase="PVP").table
        pd.testing.assert_frame_equal(table, expected, obj=name)


@pytest.mark.parametrize("kind", KINDS)
def test_all_that_measures_takes_them(truth, study, kind, tmp_path):
    mask = KINDS[kind](truth.lesion_mask)
    measured = gsigpu.measure_phases(study, mask)
    assert [len(phase.layout.lesions) for phase in measured.phases] == [1, 1]
    written = gsigpu.write_phases(measured, tmp_path / "m.csv", masks=mask)
    assert written[0].exists()
    (first, _) = measured.phases
    assert gsigpu.write_measurement(first, str(tmp_path / "one.csv"), masks=mask)[0].exists()
    if kind == "nibabel":
        page = gsigpu.review(study, tmp_path / "page", masks=mask, phases="PVP", maps="lambda-hu")
        assert page.n_lesions == 1


def test_an_array_with_its_axes_turned_round_is_refused(truth, study):
    """As nibabel has them, also where the image's axes run the other way; a cube cannot be told, and other grids neither."""
    image = nibabel.load(truth.lesion_mask)
    flipped = nibabel.as_closest_canonical(image)
    for turned in (image, flipped):
        array = np.asarray(turned.dataobj)
        with pytest.raises(gsigpu.MaskError) as told:
            gsigpu.measure(study, (array, turned.affine), phase="PVP")
        assert str(told.value) == TURNED
    same = [
        gsigpu.measure(study, mask, phase="PVP").table
        for mask in ((np.asarray(flipped.dataobj).T, flipped.affine), flipped, truth.lesion_mask)
    ]
    pd.testing.assert_frame_equal(same[0], same[1])
    pd.testing.assert_frame_equal(same[0], same[2])


def test_one_name_is_a_list_of_one(truth, study):
    assert list(gsigpu.map(study, maps="iodine", phase="PVP").volumes) == ["iodine"]
    number = str(study.series[0].evidence.series_number)
    assert study.volume(study.series[0].energy_kev, series=number).array.shape == (8, 48, 64)
    settings = gsigpu.MeasureSettings(
        gsigpu.ParameterSettings(slopes="60-100", maps="iodine", curve=False),
        gsigpu.RegionSettings(regions="core"),
    )
    table = gsigpu.measure(study, truth.lesion_mask, settings=settings, phase="PVP").table
    assert set(table.region) == {"core"}
    assert gsigpu.Choice(regions="core").regions == ("core",)
    with pytest.raises(gsigpu.SettingsError, match="unknown map 'lambda'; did you mean lambda-hu"):
        gsigpu.map(study, maps="lambda", phase="PVP")


def test_what_is_measured_is_told_without_lesions_that_are_not_there(truth, study):
    organs = gsigpu.MaskFiles(regions=[("liver", truth.liver_mask)])
    measured = gsigpu.measure(study, organs, phase="PVP")
    assert repr(measured).startswith("Measurement(liver, phase PVP")
