"""Masks of one phase measured in another, on phantoms that a known field moved and bent."""

from dataclasses import replace

import matplotlib.colors
import matplotlib.image
import nibabel as nib
import numpy as np
import pytest
from typer.testing import CliRunner

import gsigpu
from gsigpu.cli.app import app
from gsigpu.phantom.motion import Motion
from gsigpu.pipeline.measure import carried_masks, registration_cuts, registration_picture
from gsigpu.pipeline.review import paper_pictures
from gsigpu.pipeline.stack_source import PlaneStore
from gsigpu.regions.region_mask import region_mask
from gsigpu.registration import register as registering
from gsigpu.registration.images import sitk
from gsigpu.registration.offset import offset_left
from tests.support.true_motion import true_registration

SETTINGS = gsigpu.PhantomSettings(
    shape=(44, 60, 76), spacing_mm=(4.0, 4.0, 4.0), energies_kev=(60.0, 70.0, 100.0), n_lesions=3,
    diameter_mm=(20.0, 30.0), motion_mm=(10.0, 3.0), extras=(), seed=3,
)  # fmt: skip
MEASURED = gsigpu.MeasureSettings(
    gsigpu.ParameterSettings(curve=False), gsigpu.RegionSettings(regions=("lesion", "core"))
)
# What is printed, with ways out that tests below take.
LINES = [
    "the masks are of phase PVP, and phase AP is measured; add --register to carry them over",
    "--register without the phase that the masks were drawn on; name it with --mask-phase",
    "lesion 1 lies 8 mm or more off its place in phase AP after registration; draw it on phase AP, and leave --register out",
    "the two phases do not show the same part of the body; leave --register out, and give a mask of this phase",
    "label 1 does not lie whole within the images of this phase; leave it out (--role LABEL=ignore), or measure the phase that it was drawn on",
    "lesion 1 was carried over from phase PVP and may lie up to 6 mm off its place: look at it with `gsigpu review`",
]


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    return gsigpu.write_phantom(tmp_path_factory.mktemp("moved") / "study", SETTINGS)


@pytest.fixture(scope="module")
def files(phantom):
    return gsigpu.MaskFiles(
        (phantom.lesion_mask,), liver=phantom.liver_mask, drawn_on="portal", register=True
    )


@pytest.fixture(scope="module")
def kept():
    """The registration of the run below."""
    return []


@pytest.fixture(scope="module")
def carried(phantom, files, kept):
    register = registering.register

    def and_keep(*arguments, **settings):
        kept.append(register(*arguments, **settings))
        return kept[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registering, "register", and_keep)
        patch.setattr(registering, "_N_ITERATIONS", 8)  # voxels of 4 mm have no more to give
        return gsigpu.measure(phantom.dicom_folder, files, phase="AP", settings=MEASURED)


@pytest.fixture(scope="module")
def truly(phantom):
    """With the masks as they truly lie in the arterial phase."""
    masks = gsigpu.MaskFiles((phantom.lesion_mask_of("AP"),))
    return gsigpu.measure(phantom.dicom_folder, masks, phase="AP", settings=MEASURED)


def labels(path):
    return np.asarray(nib.load(path).dataobj).T


def value(measurement, lesion, parameter, statistic="mean", region="core"):
    table = measurement.table
    row = table[
        (table.lesion_id == lesion) & (table.parameter == parameter)
        & (table.statistic == statistic) & (table.region == region)
    ]  # fmt: skip
    return float(row.value.iloc[0])


def dice(a, b):
    return 2.0 * (a & b).sum() / (a.sum() + b.sum())


def test_lesions_lie_where_the_field_put_them(phantom, carried):
    there = labels(phantom.lesion_mask_of("AP"))
    drawn = labels(phantom.lesion_mask)
    assert [layout.lesion.lesion_id for layout in carried.layout.lesions] == ["1", "2", "3"]
    for layout in carried.layout.lesions:
        mask, label = layout.lesion.mask, int(layout.lesion.lesion_id)
        here = np.zeros(there.shape, bool)
        here[mask.box] = mask.voxels
        assert dice(here, there == label) >= 0.9
        assert dice(drawn == label, there == label) < 0.6  # as it was drawn


def test_values_are_those_of_the_true_masks(carried, truly, phantom):
    told = phantom.as_dict()["lesions"]
    for lesion in ("1", "2", "3"):
        for parameter, bound in (("iodine", 0.1), ("lambda_hu", 0.05)):
            assert value(carried, lesion, parameter) == pytest.approx(
                value(truly, lesion, parameter), abs=bound
            )
        centre = np.array(told[int(lesion) - 1]["centre_mm"])
        moved = phantom.as_dict()["moved_centres_mm"]["AP"][lesion]
        shift = value(carried, lesion, "carried_shift", "value", "lesion")
        assert shift == pytest.approx(np.linalg.norm(np.subtract(moved, centre)), abs=1.5)
        ratio = value(carried, lesion, "carried_volume_ratio", "value", "lesion")
        assert ratio == pytest.approx(1.0, abs=0.12)
        assert value(carried, lesion, "carried_offset_proven", "value", "lesion") == 0.0


def test_the_offset_holds_the_true_one_between_its_ends(phantom, kept, carried):
    (registration,) = kept
    motion = Motion(*SETTINGS.motion_mm)
    for label in (1, 2, 3):
        voxels = labels(phantom.lesion_mask_of("AP")) == label
        centre = phantom.geometry.position_mm(*np.argwhere(voxels).mean(axis=0))
        rest = np.array([float(v) for v in motion.at_rest(*map(np.array, centre))])
        for way_mm in ((0.0, 0.0, 0.0), (4.0, 0.0, 0.0), (0.0, -3.0, 4.0)):
            moved = sitk.CompositeTransform(
                [sitk.TranslationTransform(3, way_mm), registration.transform]
            )
            off = replace(registration, transform=moved)
            true_mm = float(np.linalg.norm(np.array(off.point(centre)) - rest))
            offset = offset_left(region_mask("l", 1, voxels), phantom.geometry, off)
            assert offset.proven_mm - 2.0 <= true_mm <= offset.possible_mm + 2.0  # 2: the step
            if np.linalg.norm(way_mm) > 4.5:
                assert offset.proven_mm >= 2.0


def test_what_is_told_of_a_mask_that_was_carried(carried, files, tmp_path):
    written = gsigpu.write_measurement(carried, tmp_path / "m.csv", masks=files)
    assert '"mask_phase": "PVP"' in (tmp_path / "m.json").read_text("utf-8")
    assert written[0].name == "m.csv"
    assert {"carried_shift", "carried_volume_ratio"} <= set(carried.table.parameter)
    assert not any("its name says" in warning for warning in carried.warnings)


def unmoved(*_, **_settings):
    """A registration that finds nothing."""
    return replace(unmoved.registration, transform=sitk.Transform(3, sitk.sitkIdentity))


def test_a_lesion_off_its_place_is_refused_and_drawn_anew(
    phantom, files, carried, kept, truly, monkeypatch
):
    unmoved.registration = kept[0]
    monkeypatch.setattr(registering, "register", unmoved)
    with pytest.raises(gsigpu.PoorRegistration) as told:
        gsigpu.measure(phantom.dicom_folder, files, phase="AP", settings=MEASURED)
    assert "mm or more off its place in phase AP after registration; draw it on phase AP" in str(
        told.value
    )
    assert np.isfinite(value(truly, "1", "iodine"))  # drawn on AP, without --register


def test_a_doubtful_lesion_is_told_of(phantom, files, carried, kept, monkeypatch):
    unmoved.registration = replace(kept[0], transform=kept[0].transform)
    monkeypatch.setattr(registering, "register", lambda *_, **__: kept[0])
    monkeypatch.setattr(carried_masks, "DOUBTFUL_MM", -1.0)
    again = gsigpu.measure(phantom.dicom_folder, files, phase="AP", settings=MEASURED)
    doubts = [warning for warning in again.warnings if warning.kind == "registration"]
    assert [doubt.lesion_id for doubt in doubts] == ["1", "2", "3"]
    assert "off its place: look at it with `gsigpu review`" in doubts[0]


def test_in_the_phase_that_it_was_drawn_on_nothing_is_registered(phantom, files, monkeypatch):
    monkeypatch.setattr(registering, "register", None)
    as_drawn = gsigpu.measure(phantom.dicom_folder, files, phase="PVP", settings=MEASURED)
    assert as_drawn.masks.carried == ()


def test_without_a_liver_the_surroundings_of_the_lesions_are_registered(
    phantom, truly, kept, carried, monkeypatch
):
    regions = []

    def register(fixed, moving, region, *, border_mm):
        regions.append((region, border_mm))
        return true_registration(SETTINGS.motion_mm)(fixed, moving, region)

    monkeypatch.setattr(registering, "register", register)
    masks = gsigpu.MaskFiles(str(phantom.lesion_mask), drawn_on="PVP", register=True)
    measured = gsigpu.measure(str(phantom.dicom_folder), masks, phase="AP", settings=MEASURED)
    ((region, border_mm),) = regions
    drawn = labels(phantom.lesion_mask) > 0
    inside = np.zeros(drawn.shape, bool)
    inside[region.box] = region.voxels
    assert (drawn == inside).all()
    assert border_mm == 50.0
    for lesion in ("1", "2", "3"):
        assert value(measured, lesion, "iodine") == pytest.approx(
            value(truly, lesion, "iodine"), abs=0.1
        )


def test_options(phantom, tmp_path):
    words = [
        "measure",
        str(phantom.dicom_folder),
        "--mask",
        str(phantom.lesion_mask),
        "--phase",
        "AP",
    ]
    words += ["-o", str(tmp_path / "m.csv")]
    told = CliRunner().invoke(app, [*words, "--mask-phase", "PVP"])
    assert told.exit_code == 1
    assert LINES[0] in str(told.exception)
    told = CliRunner().invoke(app, [*words, "--register"])
    assert told.exit_code == 1
    assert LINES[1] in str(told.exception)


def test_phases_that_show_other_parts_of_the_body(phantom):
    grid = phantom.geometry
    far = replace(grid, origin_mm=(grid.origin_mm[0], grid.origin_mm[1], 900.0))
    blank = np.zeros(grid.shape, np.float32)
    here = gsigpu.ImageVolume(blank, geometry=grid, name="vnc")
    there = gsigpu.ImageVolume(blank, geometry=far, name="vnc")
    with pytest.raises(gsigpu.GeometryError) as told:
        registering.register(there, here, region_mask("liver", 1, blank[:4, :4, :4] == 0))
    assert str(told.value) == LINES[3]


def test_an_organ_that_leaves_the_images_is_told_of(phantom, carried, kept, monkeypatch):
    """A liver that is cut off is no liver of this phase; that it is missing is said."""
    away = replace(kept[0], transform=sitk.TranslationTransform(3, (0.0, 0.0, -10.0)))
    monkeypatch.setattr(registering, "register", lambda *_, **__: away)
    monkeypatch.setattr(carried_masks, "REFUSED_MM", 100.0)
    grid = phantom.geometry
    low = np.zeros(grid.shape, np.uint8)
    low[-3:-1, 20:30, 20:30] = 1  # at the head's end, and pushed through it
    nib.save(nib.Nifti1Image(low.T, grid.affine_ras), phantom.folder / "aorta.nii.gz")
    masks = gsigpu.MaskFiles(
        (phantom.lesion_mask,), aorta=phantom.folder / "aorta.nii.gz", drawn_on="PVP", register=True
    )
    again = gsigpu.measure(phantom.dicom_folder, masks, phase="AP", settings=MEASURED)
    assert again.masks.masks.aorta is None
    (line,) = [warning for warning in again.warnings if warning.kind == "absent-structure"]
    assert line.endswith(
        "does not lie whole within the images of this phase; in phase AP it is taken as absent"
    )


def test_the_picture_has_the_outlines_where_the_masks_lay_and_lie(carried, phantom, tmp_path):
    drawn = labels(phantom.lesion_mask)
    for lesion in carried.masks.masks.lesions:
        before = carried.masks.drawn.masks[lesion.lesion_id]
        cuts = registration_cuts.lesion_cuts(
            carried.masks.drawn.stack, before, carried.stack, lesion.mask, PlaneStore()
        )
        after = np.zeros(drawn.shape, bool)
        after[lesion.mask.box] = lesion.mask.voxels
        z, y, _ = np.rint(np.argwhere(after).mean(axis=0)).astype(int)
        lay = drawn == int(lesion.lesion_id)
        there, axial, frontal = cuts
        assert [style for _, _, style in axial.outlines] == ["dashed", "solid"]
        assert [mask.sum() for mask, _, _ in axial.outlines] == [lay[z].sum(), after[z].sum()]
        assert [mask.sum() for mask, _, _ in frontal.outlines] == [lay[:, y].sum(), after[:, y].sum()]  # fmt: skip
        # From the front the head is above: the liver goes down with a breath, here towards higher rows.
        assert (axial.letters, frontal.letters) == (("L", "P"), ("L", "F"))
        rows = [np.argwhere(mask)[:, 0].mean() for mask, _, _ in frontal.outlines]
        way_down = before.origin[0] - lesion.mask.origin[0]
        assert np.sign(rows[1] - rows[0]) == np.sign(way_down)
        (mask, _, _), *_ = there.outlines
        assert mask.any()
    registration_picture.save_registration(tmp_path / "r.png", carried)
    picture = matplotlib.image.imread(tmp_path / "r.png")
    for colour in (registration_cuts.BEFORE, registration_cuts.AFTER):
        ink = np.array(matplotlib.colors.to_rgb(colour))
        assert (np.abs(picture[..., :3] - ink).max(axis=-1) < 0.02).sum() > 50


def test_the_picture_goes_with_the_plot(phantom, tmp_path, monkeypatch):
    monkeypatch.setattr(registering, "register", true_registration(SETTINGS.motion_mm))
    words = ["measure", phantom.dicom_folder, "--mask", phantom.lesion_mask, "--phase", "AP"]
    words += ["--mask-phase", "PVP", "--register", "--plot", "--no-curve", "-o", tmp_path / "m.csv"]
    done = CliRunner().invoke(app, list(map(str, words)))
    assert done.exit_code == 0, done.output
    assert str(tmp_path / "m.registration.png") in done.output
    assert (tmp_path / "m.registration.png").stat().st_size > 10_000


def test_review_shows_the_picture_with_each_lesion_and_registers_once(
    phantom, tmp_path, monkeypatch
):
    calls = []
    register = true_registration(SETTINGS.motion_mm)
    monkeypatch.setattr(
        registering, "register", lambda *given, **more: calls.append(1) or register(*given, **more)
    )
    for name in ("draw_montage", "draw_curves"):
        monkeypatch.setattr(paper_pictures, name, lambda *_given, **_more: None)
    monkeypatch.setattr(paper_pictures, "save", lambda *_given, **_more: [])
    words = ["review", phantom.dicom_folder, "--mask", phantom.lesion_mask, "--mask-phase", "PVP"]
    words += ["--register", "--pictures", "-o", tmp_path / "r"]
    done = CliRunner().invoke(app, list(map(str, words)))
    assert done.exit_code == 0, done.output
    assert len(calls) == 1
    names = {path.name for path in (tmp_path / "r" / "pictures").iterdir()}
    assert names == {"pictures.csv", "registration-AP.png"}
    assert (tmp_path / "r" / "pictures" / "registration-AP.png").stat().st_size > 10_000
    page = "".join(path.read_text("utf-8") for path in (tmp_path / "r").rglob("study.js"))
    assert page.count("pictures/registration-AP.png") == SETTINGS.n_lesions


def test_a_name_that_leads_to_a_person_is_not_in_the_picture(carried, tmp_path, monkeypatch):
    told = []
    words = registration_picture._words
    monkeypatch.setattr(
        registration_picture,
        "_words",
        lambda name, lesion: told.append(name) or words(name, lesion),
    )
    paper_pictures.write_pictures(
        tmp_path / "p", [], carried={"AP": carried}, redact=lambda name: f"#{name}",
        case_id="c", identity={}, inside_body=True, progress=lambda *_: None,
    )  # fmt: skip
    assert set(told) == {f"#{lesion.lesion_id}" for lesion in carried.masks.carried}
