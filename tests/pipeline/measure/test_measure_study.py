"""`measure` from a folder and masks to the table: what was put in comes out, what fails is told."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
import SimpleITK
from pydicom import dcmread

from gsigpu.dicom.reading import card_frames
from gsigpu.dicom.reading.hu_planes import read_volume
from gsigpu.dicom.reading.pixels import PlaneReader
from gsigpu.dicom.study.read_study import read_study
from gsigpu.errors import (
    AmbiguousStack,
    InputError,
    NoValidVoxels,
    OutputError,
    OutsideStudy,
    SettingsError,
    StudyError,
    TooFewEnergies,
)
from gsigpu.masks.roles import Role, parse_roles
from gsigpu.phantom import PhantomSettings, write_phantom
from gsigpu.pipeline.map.map_study import map_study
from gsigpu.pipeline.measure.gather import Gatherer, gather
from gsigpu.pipeline.measure.given_masks import MaskFiles
from gsigpu.pipeline.measure.measure_study import measure_study
from gsigpu.pipeline.measure.measurement import MeasureSettings
from gsigpu.pipeline.measure.measurement_rows import CaseLabels
from gsigpu.pipeline.measure.parameters import ParameterSettings
from gsigpu.pipeline.measure.write_measurement import write_measurement
from gsigpu.regions.region_layout import RegionSettings
from gsigpu.tables.measurement_table import COLUMNS, read_table

# Hard boundaries and no noise: every voxel of core and rim has the truth, up to the rounding of HU.
CLEAN = PhantomSettings(
    shape=(30, 128, 160),
    spacing_mm=(4.0, 2.2, 2.2),
    n_lesions=3,
    diameter_mm=(22.0, 30.0),
    noise_hu=0.0,
    texture_mg_per_ml=0.0,
    partial_volume=False,
    primary="gastric",
    energies_kev=(40.0, 60.0, 70.0, 100.0, 140.0),
    extras=("iodine", "conventional"),
    seed=3,
)


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return write_phantom(tmp_path_factory.mktemp("study") / "phantom", CLEAN)


@pytest.fixture(scope="module")
def study(truth):
    return read_study(truth.dicom_folder)


@pytest.fixture(scope="module")
def files(truth):
    return MaskFiles(
        (truth.lesion_mask,),
        liver=truth.liver_mask,
        vessels=truth.vessel_mask,
        aorta=truth.aorta_mask,
    )


@pytest.fixture(scope="module")
def measurement(study, files):
    settings = MeasureSettings(ParameterSettings(slopes=("paper", "40-100", "fit:40-140")))
    return measure_study(
        study, files, phase="PVP", settings=settings, labels=CaseLabels("c1", "p1", "gastric", "r1")
    )


def values(measurement, **conditions):
    table = measurement.table
    for column, value in conditions.items():
        table = table[table[column] == value]
    return table


def value_of(measurement, lesion, region, parameter, statistic="mean"):
    (value,) = values(
        measurement, lesion_id=lesion, region=region, parameter=parameter, statistic=statistic
    ).value
    return value


def test_core_rim_and_organs_hold_the_truth(truth, measurement):
    known = truth.as_dict()
    for lesion in known["lesions"]:
        label = str(lesion["label"])
        for region in ("core", "rim"):
            true = lesion[region]["PVP"]
            # Where the voxelised depth puts a voxel of the rim into the core, values mix a little.
            assert value_of(measurement, label, region, "iodine", "median") == pytest.approx(
                true["iodine_mg_per_ml"], abs=0.02
            )
            for slope, name in (("paper", "lambda_hu"), ("40-100", "lambda_hu[40-100]")):
                assert value_of(measurement, label, region, name, "median") == pytest.approx(
                    true["lambda_hu"][slope], abs=0.02
                )
    for region, organ in (("parenchyma", "liver"), ("aorta", "aorta")):
        true = known["organs"][organ]["PVP"]
        assert value_of(measurement, "", region, "iodine") == pytest.approx(
            true["iodine_mg_per_ml"], abs=0.02
        )
        assert value_of(measurement, "", region, "ct_value") == pytest.approx(
            true["hu"]["70"], abs=0.6
        )
        for kev in (40, 100, 140):
            assert value_of(measurement, "", region, f"mono_{kev}") == pytest.approx(
                true["hu"][f"{kev}"], abs=0.6
            )


def test_values_are_those_of_the_map_under_the_mask(truth, study, measurement, tmp_path):
    """`measure` computes on voxels what `map` computes on volumes."""
    maps = map_study(
        study, tmp_path / "maps", phase="PVP", output_format="nifti", maps=["lambda-hu", "iodine"]
    )
    labels = np.asarray(nibabel.load(truth.lesion_mask).dataobj)
    for name, parameter in (("lambda-hu", "lambda_hu"), ("iodine", "iodine")):
        volume = np.asarray(nibabel.load(maps.folders[name]).dataobj)
        for label in (1, 2, 3):
            inside = volume[labels == label].astype(np.float64)
            for statistic, expected in (
                ("mean", inside.mean()),
                ("sd", inside.std(ddof=1)),
                ("max", inside.max()),
            ):
                assert value_of(measurement, str(label), "lesion", parameter, statistic) == (
                    pytest.approx(expected, rel=1e-5)
                )


def test_only_slices_that_the_regions_touch_are_read_and_each_once(truth, study, monkeypatch):
    read, voxels_of_path = [], {}
    original = PlaneReader.read_voxels

    def spy(self, planes, shape, indices, out):
        read.extend(plane.path for plane in planes)
        voxels_of_path.update({plane.path: indices for plane in planes})
        return original(self, planes, shape, indices, out)

    monkeypatch.setattr(PlaneReader, "read_voxels", spy)
    monkeypatch.setattr(PlaneReader, "read_plane", None)
    settings = MeasureSettings(
        ParameterSettings(maps=(), curve=False),
        RegionSettings(regions=("lesion", "rim", "core")),
    )
    measurement = measure_study(
        study, MaskFiles((truth.lesion_mask,)), phase="PVP", settings=settings
    )
    labels = np.asarray(nibabel.load(truth.lesion_mask).dataobj)
    touched = np.flatnonzero(labels.any(axis=(0, 1))).tolist()
    assert list(measurement.slices) == touched
    assert 0 < len(touched) < CLEAN.shape[0]
    # Two energies for the slope and the one at 70 keV for the CT value, of five.
    stack = [
        series
        for series in study.series
        if series.phase == "PVP" and series.energy_kev in (60, 70, 100)
    ]
    assert sorted(read) == sorted(series.planes[z].path for series in stack for z in touched)
    for series in stack:
        for z in touched:
            np.testing.assert_array_equal(
                voxels_of_path[series.planes[z].path], np.flatnonzero(labels[:, :, z].T)
            )


def test_ratios(measurement):
    for lesion in ("1", "2", "3"):
        iodine = {
            region: value_of(measurement, lesion, region, "iodine") for region in ("rim", "core")
        }
        aorta, liver = (
            value_of(measurement, "", region, "iodine") for region in ("aorta", "parenchyma")
        )
        assert value_of(measurement, lesion, "rim", "nic") == pytest.approx(iodine["rim"] / aorta)
        assert value_of(measurement, lesion, "core", "lnr_iodine") == pytest.approx(
            iodine["core"] / liver
        )
        assert value_of(measurement, lesion, "rim", "rim_core_iodine", "ratio") == pytest.approx(
            iodine["rim"] / iodine["core"]
        )


def test_slopes_of_the_mean_curve_are_means_of_the_slopes(measurement):
    """A slope is linear: where every voxel is valid, both orders agree."""
    for name in ("lambda_hu", "lambda_hu[40-100]", "lambda_hu[fit:40-140]"):
        for lesion in ("1", "2", "3"):
            assert value_of(measurement, lesion, "core", name, "from_curve") == pytest.approx(
                value_of(measurement, lesion, "core", name), rel=1e-5
            )
    straight = values(measurement, statistic="r_squared")
    assert straight.value.between(0.5, 0.95).all()  # an iodine curve is no straight line


def test_profile_runs_from_core_over_rim_to_liver(truth, measurement):
    liver = truth.as_dict()["organs"]["liver"]["PVP"]["iodine_mg_per_ml"]
    for lesion in truth.as_dict()["lesions"]:
        rows = values(
            measurement,
            lesion_id=str(lesion["label"]),
            region="profile",
            parameter="iodine",
            statistic="mean",
        )
        assert rows.distance_mm.is_monotonic_increasing
        inner = rows[rows.distance_mm < -lesion["rim_mm"] - 1.5].value
        assert inner.to_numpy() == pytest.approx(
            lesion["core"]["PVP"]["iodine_mg_per_ml"], abs=0.15
        )
        shell = rows[rows.distance_mm == 0.5].value
        assert shell.to_numpy() == pytest.approx(liver, abs=0.35)
        inside = rows[rows.distance_mm < 0].n_voxels.sum()
        assert (
            inside
            == values(measurement, lesion_id=str(lesion["label"]), region="lesion").n_voxels.max()
        )


def test_sizes(truth, measurement):
    labels = np.asarray(nibabel.load(truth.lesion_mask).dataobj)
    for lesion in truth.as_dict()["lesions"]:
        name = str(lesion["label"])
        voxels = int((labels == lesion["label"]).sum())
        volume_ml = voxels * 4.0 * 2.2 * 2.2 / 1000.0
        assert value_of(measurement, name, "lesion", "volume", "value") == pytest.approx(volume_ml)
        # Within half a pixel of the analytic diameter.
        diameter = value_of(measurement, name, "lesion", "longest_axial_diameter", "value")
        assert diameter == pytest.approx(lesion["longest_axial_diameter_mm"], abs=2.2 / 2)


def test_vendor_iodine_in_its_unit(measurement):
    """GE writes 100 µg/cm³; the table is in mg/mL, and the factor of ten is not left in."""
    for lesion in ("1", "2", "3"):
        assert value_of(measurement, lesion, "core", "iodine[vendor]") == pytest.approx(
            value_of(measurement, lesion, "core", "iodine"), abs=0.05
        )
    (vendor,) = measurement.vendor_iodine
    assert vendor.factor == pytest.approx(1.0, abs=0.02)
    assert not [warning for warning in measurement.warnings if "vendor" in warning]


def test_a_wrong_unit_of_the_vendors_iodine_shows(study, files):
    settings = MeasureSettings(ParameterSettings(vendor_iodine_unit="mg/mL"))
    measurement = measure_study(study, files, phase="PVP", settings=settings)
    (vendor,) = measurement.vendor_iodine
    assert vendor.factor == pytest.approx(10.0, abs=0.2)
    assert any("times the computed iodine" in warning for warning in measurement.warnings)


def test_frames_that_a_card_did_not_decode_are_told(study, files):
    card_frames._cards.reasons["nvImageCodec cannot decode it"] += 3
    (told,) = [
        line for line in measure_study(study, files, phase="PVP").warnings if "DECODER" in line
    ]
    assert (
        told
        == "GSIGPU_DECODER=gpu: 3 frames were decoded on the CPU: nvImageCodec cannot decode it"
    )
    assert card_frames.notes() == []


def test_ct_value_of_conventional_and_of_an_energy_that_is_not_there(study, files):
    conventional = MeasureSettings(ParameterSettings(ct_value="conventional"))
    measurement = measure_study(study, files, phase="PVP", settings=conventional)
    (definition,) = set(values(measurement, parameter="ct_value").definition)
    assert definition.startswith("conventional series")
    synthesised = MeasureSettings(ParameterSettings(ct_value="75"))
    measurement = measure_study(study, files, phase="PVP", settings=synthesised)
    low, high = (value_of(measurement, "", "parenchyma", f"mono_{kev}") for kev in (100, 70))
    assert low < value_of(measurement, "", "parenchyma", "ct_value") < high
    assert "rho_w" in set(values(measurement, parameter="ct_value").definition).pop()


def test_any_map_is_measured(tmp_path):
    """Also maps that need a voxel's neighbours, and those that are not linear."""
    truth = write_phantom(tmp_path / "p", replace(CLEAN, noise_hu=12.0, phases=("PVP",), extras=()))
    study, files = read_study(truth.dicom_folder), MaskFiles((truth.lesion_mask,))
    names = ("iodine", "vnc", "zeff", "residual", "sigma-iodine", "mono-55")
    measurement = measure_study(
        study, files, phase="PVP", settings=MeasureSettings(ParameterSettings(maps=names))
    )
    maps = map_study(
        study,
        tmp_path / "maps",
        phase="PVP",
        output_format="nifti",
        maps=["zeff", "sigma-iodine"],
    )
    labels = np.asarray(nibabel.load(files.lesions[0]).dataobj)
    for name, parameter in (("zeff", "zeff"), ("sigma-iodine", "sigma_iodine")):
        volume = np.asarray(nibabel.load(maps.folders[name]).dataobj)
        expected = float(np.nanmean(volume[labels == 2], dtype=np.float64))
        assert value_of(measurement, "2", "lesion", parameter) == pytest.approx(expected, rel=1e-4)


def test_standard_errors_account_for_correlated_noise(tmp_path):
    truth = write_phantom(
        tmp_path / "p",
        replace(
            CLEAN,
            noise_hu=12.0,
            phases=("PVP",),
            extras=(),
            spacing_mm=(4.0, 1.1, 1.1),
            shape=(20, 256, 320),
        ),
    )
    study = read_study(truth.dicom_folder)
    settings = MeasureSettings(with_se=True)
    measurement = measure_study(
        study, MaskFiles((truth.lesion_mask,), liver=truth.liver_mask), settings=settings
    )
    for lesion in ("1", "2", "3"):
        error = value_of(measurement, lesion, "core", "ct_value", "se")
        n = values(measurement, lesion_id=lesion, region="core", parameter="ct_value").n_valid.max()
        naive = value_of(measurement, lesion, "core", "ct_value", "sd") / np.sqrt(n)
        assert 0.3 * naive < error < 10 * naive
    with pytest.raises(SettingsError, match="parenchyma"):
        measure_study(study, MaskFiles((truth.lesion_mask,)), settings=settings)


def test_written_tables_hold_the_same(measurement, files, tmp_path):
    csv = write_measurement(measurement, tmp_path / "a" / "t.csv", masks=files, with_wide=True)
    write_measurement(measurement, tmp_path / "t.parquet", masks=files)
    assert [path.name for path in csv] == ["t.csv", "t.json", "t.wide.csv"]
    from_csv, from_parquet = read_table(csv[0]), read_table(tmp_path / "t.parquet")
    assert tuple(from_csv.columns) == COLUMNS
    pd.testing.assert_frame_equal(from_csv, from_parquet)
    pd.testing.assert_frame_equal(from_csv, measurement.table)
    spread = pd.read_csv(csv[2], dtype={"lesion_id": "str"}, keep_default_na=False)
    assert spread.lesion_id.tolist() == ["1", "2", "3", ""]
    assert float(spread["core iodine mean (mg/mL)"][0]) == value_of(
        measurement, "1", "core", "iodine"
    )
    assert len(set(spread.columns)) == len(spread.columns)


def test_provenance_names_every_image_and_no_person(truth, measurement, files, tmp_path):
    write_measurement(measurement, tmp_path / "t.csv", masks=files)
    text = (tmp_path / "t.json").read_text("utf-8")
    known = json.loads(text)
    images = {dcmread(path, stop_before_pixels=True).SOPInstanceUID for path in _images(truth)}
    named = {uid for series in known["series"] for uid in series["sop_instance_uids"]}
    assert len(named) == len(known["series"]) * len(known["slices_read"])
    assert named <= images
    assert len(known["masks"]) == 4
    assert "Phantom^" not in text
    assert "Synthetic" not in text


def _images(truth):
    return [path for path in Path(truth.dicom_folder).rglob("*") if path.is_file()]


def test_the_same_input_gives_the_same_bytes(study, files, tmp_path):
    for name in ("a", "b"):
        measurement = measure_study(study, files, phase="PVP", n_workers=1 + (name == "b"))
        write_measurement(
            measurement,
            tmp_path / name / "t.csv",
            masks=files,
            with_wide=True,
            with_dicom=True,
            with_plot=True,
        )
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def labelled(truth, path, paint):
    """A mask on the study's grid: `paint` changes (z, y, x) labels in place."""
    labels = np.zeros(truth.geometry.shape, np.uint8)
    paint(labels)
    nibabel.save(nibabel.Nifti1Image(labels.T, truth.geometry.affine_ras), path)
    return path


def test_what_fails_is_in_the_table_and_the_rest_is_measured(truth, study, tmp_path):
    """Outside the reconstruction circle there are no values; a label without a role is not guessed."""

    def paint(labels):
        labels[10:13, 60:66, 60:66] = 1
        labels[10:12, 0:3, 0:3] = 2
        labels[10:12, 40:43, 70:73] = 3

    mask = labelled(truth, tmp_path / "m.nii.gz", paint)
    empty = labelled(truth, tmp_path / "empty.nii.gz", lambda labels: None)
    files = MaskFiles(
        (mask, empty), roles=parse_roles({"1": "lesion", "2": "lesion"}, {"1": "segment IVa"})
    )
    measurement = measure_study(study, files, phase="PVP")
    assert value_of(measurement, "segment IVa", "lesion", "iodine") > 0
    flags = {row.lesion_id: row.flags for row in measurement.rows if row.parameter == ""}
    assert flags == {
        "3": "failed:unmapped-label",
        "2": "no-valid-voxels",
    }
    messages = [str(failure.error) for failure in measurement.failures]
    assert len(messages) == 2
    assert any(
        "empty.nii.gz: holds no region and is taken as absent" in text
        for text in measurement.warnings
    )
    assert all("\n" not in message for message in messages)


def test_masks_that_belong_elsewhere_fail_alone(truth, study, measurement, files, tmp_path):
    """Of another patient, another frame of reference, another phase, and a NIfTI beside the study."""
    write_measurement(measurement, tmp_path / "t.csv", masks=files, with_dicom=True)
    written_seg = tmp_path / "t.seg.dcm"
    for name, keyword, value in (
        ("patient.dcm", "PatientID", "SECRET-9"),
        ("frame.dcm", "FrameOfReferenceUID", "1.2.3"),
    ):
        ds = dcmread(written_seg)
        setattr(ds, keyword, value)
        ds.save_as(tmp_path / name)
    far = nibabel.load(truth.lesion_mask)
    moved = far.affine + np.array([[0, 0, 0, 5000]] * 3 + [[0] * 4])
    nibabel.save(nibabel.Nifti1Image(np.asarray(far.dataobj), moved), tmp_path / "far.nii.gz")
    masks = [truth.lesion_mask, written_seg, *(tmp_path / n for n in ("patient.dcm", "frame.dcm", "far.nii.gz"))]  # fmt: skip
    other = measure_study(study, MaskFiles(tuple(masks)), phase="AP")
    flags = {row.lesion_id: row.flags for row in other.rows if row.parameter == ""}
    assert flags == {
        "t.seg.dcm": "failed:wrong-phase",
        "patient.dcm": "failed:wrong-patient",
        "frame.dcm": "failed:grid-mismatch",
        "far.nii.gz": "failed:outside-study",
    }
    assert {row.lesion_id for row in other.rows if row.parameter == "iodine"} == {"1", "2", "3"}
    for failure in other.failures:
        assert failure.lesion_id in str(failure.error)
        assert "SECRET" not in str(failure.error)


def test_when_nothing_is_left_to_measure_the_reason_is_raised(truth, study, tmp_path):
    def corner(labels):
        labels[10:12, 0:3, 0:3] = 1

    with pytest.raises(NoValidVoxels, match="none of its 18 voxels"):
        measure_study(
            study,
            MaskFiles((labelled(truth, tmp_path / "corner.nii.gz", corner),)),
            phase="PVP",
        )
    far = nibabel.load(truth.lesion_mask)
    affine = far.affine.copy()
    affine[:3, 3] += 5000
    nibabel.save(nibabel.Nifti1Image(np.asarray(far.dataobj), affine), tmp_path / "far.nii.gz")
    with pytest.raises(OutsideStudy, match=r"far\.nii\.gz"):
        measure_study(study, MaskFiles((tmp_path / "far.nii.gz",)), phase="PVP")


def test_a_truncated_slice_fails_the_lesions_on_it_alone(truth, tmp_path):
    folder = Path(shutil.copytree(truth.dicom_folder, tmp_path / "dicom"))
    study = read_study(folder)
    labels = np.asarray(nibabel.load(truth.lesion_mask).dataobj)
    spans = {n: np.flatnonzero((labels == n).any(axis=(0, 1))) for n in (1, 2, 3)}
    z = next(
        int(z) for n in spans for z in spans[n] if not all(z in spans[other] for other in spans)
    )
    hit = {str(n) for n in spans if z in spans[n]}
    at_60 = next(
        series for series in study.series if series.energy_kev == 60 and series.phase == "PVP"
    )
    path = at_60.planes[z].path
    path.write_bytes(path.read_bytes()[:-5000])
    settings = MeasureSettings(regions=RegionSettings(regions=("lesion", "rim", "core")))
    measurement = measure_study(
        folder, MaskFiles((truth.lesion_mask,)), phase="PVP", settings=settings
    )
    assert {failure.lesion_id for failure in measurement.failures} == hit
    assert all(path.name in str(failure.error) for failure in measurement.failures)
    measured = {row.lesion_id for row in measurement.rows if row.parameter == "iodine"}
    assert {"1", "2", "3"} - hit <= measured


def test_a_truncated_slice_beside_a_lesion_fails_its_surroundings_alone(truth, tmp_path):
    """The lesion itself has its values, and so have those far away; nothing stops."""
    folder = Path(shutil.copytree(truth.dicom_folder, tmp_path / "dicom"))
    study = read_study(folder)
    alone = labelled(truth, tmp_path / "one.nii.gz", lambda labels: labels.__setitem__(
        (slice(14, 16), slice(60, 66), slice(60, 66)), 1
    ))  # fmt: skip
    at_60 = next(
        series for series in study.series if series.energy_kev == 60 and series.phase == "PVP"
    )
    path = at_60.planes[16].path
    path.write_bytes(path.read_bytes()[:-5000])
    files = MaskFiles((alone,), liver=truth.liver_mask)
    measurement = measure_study(folder, files, phase="PVP")
    assert value_of(measurement, "1", "core", "iodine") > 0
    told = {
        (row.lesion_id, row.region, row.flags) for row in measurement.rows if row.parameter == ""
    }
    flag = "failed:truncated-pixel-data"
    assert told == {("1", "perilesional", flag), ("", "parenchyma", flag)}
    assert {failure.lesion_id for failure in measurement.failures} == {"1", "parenchyma"}
    assert not values(measurement, region="perilesional", statistic="mean").size
    shells = values(measurement, region="profile", parameter="iodine", statistic="mean").distance_mm
    assert shells.min() < -0.5


def test_settings_that_make_no_sense(study, files, truth, tmp_path):
    for settings, error, message in (
        (ParameterSettings(ct_value="high"), SettingsError, "unknown CT value"),
        (ParameterSettings(slopes=("50-90",)), TooFewEnergies, "50 and 90 keV"),
        (ParameterSettings(slopes=()), SettingsError, "no definition of the slope"),
        (ParameterSettings(vendor_iodine_unit="mol"), SettingsError, "unknown unit"),
        (ParameterSettings(maps=("iodin",)), SettingsError, "did you mean iodine"),
    ):
        with pytest.raises(error, match=message):
            measure_study(study, files, phase="PVP", settings=MeasureSettings(settings))
    with pytest.raises(SettingsError, match="unknown region 'edge'"):
        RegionSettings(regions=("edge",))
    with pytest.raises(AmbiguousStack):
        measure_study(study, files)
    with pytest.raises(SettingsError, match="no mask of lesions"):
        measure_study(study, MaskFiles(()), phase="PVP")
    with pytest.raises(InputError, match="no such mask file"):
        measure_study(study, MaskFiles((tmp_path / "no.nii",)), phase="PVP")
    with pytest.raises(InputError, match=r"lesions\.nii\.gz.*holds no lesion"):
        measure_study(
            study,
            MaskFiles((truth.lesion_mask,), roles=parse_roles({"*": "liver"}, {})),
            phase="PVP",
        )


def test_no_conventional_series_is_said(truth, files, tmp_path):
    folder = Path(shutil.copytree(truth.dicom_folder, tmp_path / "dicom"))
    for series in read_study(folder).series:
        if series.kind.value == "conventional":
            shutil.rmtree(series.planes[0].path.parent)
    settings = MeasureSettings(ParameterSettings(ct_value="conventional"))
    with pytest.raises(StudyError, match="no conventional series"):
        measure_study(folder, files, phase="PVP", settings=settings)


def test_output_is_whole_or_not_there(measurement, files, tmp_path, monkeypatch):
    (tmp_path / "t.json").write_text("mine")
    with pytest.raises(OutputError, match=r"t\.json.*there already"):
        write_measurement(measurement, tmp_path / "t.csv", masks=files)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.json"]
    monkeypatch.setattr(
        "gsigpu.pipeline.measure.write_measurement.provenance", lambda *_, **__: 1 / 0
    )
    with pytest.raises(ZeroDivisionError):
        write_measurement(measurement, tmp_path / "u.csv", masks=files)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.json"]
    with pytest.raises(SettingsError, match=r"\.csv or \.parquet"):
        write_measurement(measurement, tmp_path / "t.xls", masks=files)


def test_what_went_with_an_earlier_table_does_not_stay(measurement, files, tmp_path):
    write_measurement(measurement, tmp_path / "t.csv", masks=files, with_wide=True)
    written = write_measurement(measurement, tmp_path / "t.csv", masks=files, overwrite=True)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in written}
    assert {path.name for path in written} == {"t.csv", "t.json"}


def test_a_mask_that_was_measured_is_never_overwritten(study, truth, tmp_path):
    mask = tmp_path / "t.seg.dcm"  # as an earlier run named it; here a NIfTI does as well
    shutil.copy(truth.lesion_mask, tmp_path / "m.nii.gz")
    files = MaskFiles((tmp_path / "m.nii.gz",))
    measured = measure_study(study, files, phase="PVP")
    read = replace(measured.masks, files=((Role.LESION, mask),))
    mask.write_bytes(b"mine")
    for with_dicom in (True, False):
        if with_dicom:
            with pytest.raises(OutputError, match=r"t\.seg\.dcm.*a mask that was measured"):
                write_measurement(
                    replace(measured, masks=read), tmp_path / "t.csv", masks=files,
                    with_dicom=True, overwrite=True,
                )  # fmt: skip
        else:
            write_measurement(
                replace(measured, masks=read), tmp_path / "t.csv", masks=files, overwrite=True
            )
        assert mask.read_bytes() == b"mine"


def test_a_folder_of_masks_names_lesions_and_organs_by_their_files(truth, study, tmp_path):
    """One file per region with label 1, as segmentation programs write them."""
    folder = tmp_path / "Läsionen"
    folder.mkdir()
    shutil.copy(truth.liver_mask, folder / "liver.nii.gz")
    labels = np.asarray(nibabel.load(truth.lesion_mask).dataobj)
    for number, name in ((1, "met_S4"), (2, "met_S7")):
        voxels = (labels == number).astype(np.uint8)
        nibabel.save(
            nibabel.Nifti1Image(voxels, truth.geometry.affine_ras), folder / f"{name}.nii.gz"
        )
    empty = nibabel.Nifti1Image(np.zeros_like(voxels), truth.geometry.affine_ras)
    nibabel.save(empty, folder / "met_S8.nii.gz")
    measurement = measure_study(study, MaskFiles((folder, folder)), phase="PVP")
    assert [lesion.lesion.lesion_id for lesion in measurement.layout.lesions] == [
        "met_S4",
        "met_S7",
    ]
    assert measurement.masks.masks.liver is not None
    assert measurement.failures == ()
    (told,) = (text for text in measurement.warnings if "absent" in text)
    assert told.endswith("met_S8.nii.gz: holds no region and is taken as absent")
    written = write_measurement(measurement, tmp_path / "t.csv", masks=MaskFiles((folder,)))
    known = json.loads(written[1].read_text("utf-8"))
    assert [mask["file"] for mask in known["masks"]] == [
        f"{name}.nii.gz" for name in ("liver", "met_S4", "met_S7", "met_S8")
    ]


def test_an_empty_segment_of_a_structure_is_an_absent_structure(truth, study, tmp_path):
    image = SimpleITK.ReadImage(str(truth.lesion_mask), SimpleITK.sitkUInt8)
    for number, name in ((0, "Met 1"), (8, "Liver")):  # the liver was never drawn
        image.SetMetaData(f"Segment{number and 1}_Name", name)
        image.SetMetaData(f"Segment{number and 1}_LabelValue", str(number + 1))
    SimpleITK.WriteImage(image, str(tmp_path / "m.seg.nrrd"))
    measured = measure_study(study, MaskFiles((tmp_path / "m.seg.nrrd",)), phase="PVP")
    assert [lesion.lesion.lesion_id for lesion in measured.layout.lesions] == ["Met 1", "2", "3"]
    assert measured.masks.masks.liver is None
    assert any("Liver is empty and taken as absent" in text for text in measured.warnings)
    roles = parse_roles({"1": "lesion", "2": "ignore", "3": "ignore"}, {})
    measured = measure_study(study, MaskFiles((tmp_path / "m.seg.nrrd",), roles=roles), phase="PVP")
    assert [lesion.lesion.lesion_id for lesion in measured.layout.lesions] == ["Met 1"]
    assert measured.failures == ()


def test_one_label_of_many_parts_is_told_and_split_on_demand(truth, study, tmp_path):
    def paint(labels):
        labels[10:13, 60:66, 60:66] = 1
        labels[10:12, 40:43, 70:73] = 1

    mask = labelled(truth, tmp_path / "tumours.nii.gz", paint)
    together = measure_study(study, MaskFiles((mask,)), phase="PVP")
    assert [lesion.lesion.lesion_id for lesion in together.layout.lesions] == ["1"]
    assert any("2 separate parts" in warning for warning in together.warnings)
    apart = measure_study(study, MaskFiles((mask,), split=True), phase="PVP")
    assert [lesion.lesion.lesion_id for lesion in apart.layout.lesions] == ["1-01", "1-02"]
    assert [lesion.lesion.mask.n_voxels for lesion in apart.layout.lesions] == [108, 18]


def test_volumes_read_back_as_they_were_gathered(study, measurement):
    """The voxels of a region are those of the whole volume under its mask, in its order."""
    series = measurement.measurand.series[0]
    volume = read_volume(series)
    masks = [region.mask for region in measurement.layout.regions]
    gathered = gather(Gatherer([series], masks))
    assert gathered.slices == measurement.slices
    assert len(repr(gathered)) < 60
    for i, mask in enumerate(masks):
        np.testing.assert_array_equal(gathered.values(i, 0), volume[mask.box][mask.voxels])
