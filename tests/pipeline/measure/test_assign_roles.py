"""What the regions of files are taken for: by mapping, name, code, and what came with them."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK

from gsigpu.dicom.study.read_study import read_study
from gsigpu.dicom.study.stack import select_stack
from gsigpu.errors import InputError, SettingsError, UnclearRole, UnmappedLabel
from gsigpu.masks.layers import Coded
from gsigpu.masks.positions import PositionChoice
from gsigpu.masks.roles import Role, coded_role, known_role, parse_roles, says_nothing
from gsigpu.pipeline.measure.given_masks import MaskFiles
from gsigpu.pipeline.measure.study_masks import collect_masks
from gsigpu.tables.text_ids import text_id
from tests.masks.test_read_masks import itk_image
from tests.support.dicom_files import ct_dataset, save

SHAPE = (12, 90, 90)  # 60 x 270 x 270 mm
LIVER = (slice(1, 11), slice(10, 70), slice(10, 70))  # 180 mm wide
FIRST = (slice(3, 6), slice(20, 26), slice(20, 26))
SECOND = (slice(3, 6), slice(40, 46), slice(40, 46))
TOTAL_SEGMENTATOR = [
    *(f"rib_{side}_{number}" for side in ("left", "right") for number in range(1, 13)),
    *(f"vertebrae_{level}" for level in ("S1", "L5", "L1", "T12", "T9", "C7", "C1")),
    *(f"{bone}_{side}" for bone in ("humerus", "scapula", "clavicula", "femur", "hip", "iliopsoas",
      "autochthon", "gluteus_maximus", "kidney", "adrenal_gland", "kidney_cyst", "iliac_artery",
      "iliac_vena", "subclavian_artery", "common_carotid_artery", "brachiocephalic_vein",
      "lung_upper_lobe", "lung_lower_lobe", "atrial_appendage") for side in ("left", "right")),
    "lung_middle_lobe_right", "spleen", "gallbladder", "stomach", "pancreas", "esophagus", "trachea",
    "thyroid_gland", "small_bowel", "duodenum", "colon", "urinary_bladder", "prostate", "sacrum", "heart",
    "pulmonary_vein", "brachiocephalic_trunk", "superior_vena_cava", "spinal_cord", "brain", "skull",
    "sternum", "costal_cartilages",
]  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Two energies of one phase; what the images show does not matter."""
    folder = tmp_path_factory.mktemp("roles")
    for kev in (60, 100):
        for z in range(SHAPE[0]):
            save(
                ct_dataset(
                    np.full(SHAPE[1:], 1000, np.int16),
                    position_mm=(-100.0, -120.0, 50.0 + 5.0 * z),
                    instance_number=z + 1,
                    series=f"{kev}",
                    SeriesDescription=f"Mono {kev} keV",
                    PixelSpacing=[3.0, 3.0],
                ),
                folder / f"{kev}-{z}.dcm",
            )
    return read_study(folder)


@pytest.fixture
def collect(study, tmp_path):
    """Regions of files by role: `collect({"liver.nii.gz": {1: LIVER}}, ...)`."""
    stack = select_stack(study)

    def collect(files, *, roles=None, names=None, folder=True, codes=None, **settings):
        place = tmp_path / "masks"
        place.mkdir(exist_ok=True)
        paths = []
        for name, regions in files.items():
            labels = np.zeros(SHAPE, np.uint8)
            segments = {}
            for number, (label, box) in enumerate(regions.items(), start=1):
                value = label if isinstance(label, int) else number
                segments[value] = label
                if box is not None:
                    labels[box] = value
            path = place / name
            if name.endswith(".nrrd"):
                image = itk_image(labels, stack.geometry)
                for number, (value, segment) in enumerate(segments.items()):
                    image.SetMetaData(f"Segment{number}_Name", segment)
                    image.SetMetaData(f"Segment{number}_LabelValue", str(value))
                    image.SetMetaData(f"Segment{number}_Tags", (codes or {}).get(segment, ""))
                SimpleITK.WriteImage(image, str(path))
            else:
                nibabel.save(nibabel.Nifti1Image(labels.T, stack.geometry.affine_ras), path)
            paths.append(path)
        masks = MaskFiles(
            (place,) if folder else tuple(paths),
            roles=parse_roles(roles or {}, names or {}),
            **settings,
        )
        collected = collect_masks(masks, study, stack)
        return Told(collected)

    return collect


class Told:
    """What was collected, as a test looks at it."""

    def __init__(self, collected):
        self.lesions = [lesion.lesion_id for lesion in collected.masks.lesions]
        self.organs = [
            name
            for name in ("liver", "vessels", "aorta", "normal")
            if getattr(collected.masks, name) is not None
        ]
        self.warnings = list(collected.warnings)
        self.failures = {failure.lesion_id: failure.error for failure in collected.failures}
        self.by = {role.name: (role.role.value, role.by) for role in collected.roles}


@pytest.mark.parametrize("name", TOTAL_SEGMENTATOR)
def test_every_organ_of_totalsegmentator_is_known_and_none_is_a_lesion(name):
    assert known_role(name) is Role.IGNORE
    assert known_role(f"case0012_{name}_portal") is Role.IGNORE


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("liver_arterial", "liver"), ("Liver PVP", "liver"), ("ap_liver_mask", "liver"), ("seg-liver-v2", "liver"),
        ("pat0017 portal liver", "liver"), ("liver_without_tumor", "liver"), ("Liver minus lesions", "liver"),
        ("portal_vein_and_splenic_vein", "vessels"), ("inferior_vena_cava", "vessels"), ("portal vein", "vessels"),
        ("case1_portal_vein", "vessels"), ("hepatic artery left", "vessels"), ("left hepatic vein", "vessels"),
        ("aorta_AP", "aorta"), ("aorta2", "aorta"), ("Liver1_PVP", "liver"), ("abdominal aorta", "aorta"),
        ("liver_tumor", "lesion"), ("liver_lesions", "lesion"), ("Met_S4", "lesion"), ("lesion 2-01", "lesion"),
        ("HCC segment IVa", "lesion"), ("GTV 1", "lesion"), ("livertumor01", "lesion"), ("arterial met 2", "lesion"),
        ("lesion 1 rim", "ignore"), ("lesion 1 core", "ignore"), ("lesion S4 perilesional", "ignore"),
        ("parenchyma", "normal"), ("PTV", "ignore"), ("liver_segment_3", "ignore"),
        ("肝", "liver"), ("Läsion 3", "lesion"), ("foie", "liver"),
    ],
)  # fmt: skip
def test_a_whole_name_says_the_role_whatever_phase_or_case_is_in_it(name, role):
    assert known_role(name) is Role(role)


@pytest.mark.parametrize(
    "name", ["case1_portal_1", "Segment_3", "label 7", "mask_AP", "0012", "roi-2", "reader_A"]
)
def test_a_name_of_phases_cases_and_numbers_says_nothing(name):
    assert says_nothing(name)
    assert known_role(name) is None


@pytest.mark.parametrize(
    "name",
    [
        "no lesion",
        "brain met",
        "kidney tumour",
        "deliver",
        "tumour-free margin",
        "liver of the mouse",
    ],
)
def test_a_word_within_another_name_says_nothing_of_the_whole(name):
    assert known_role(name) is None
    assert not says_nothing(name)


@pytest.mark.parametrize(
    ("code", "role"),
    [
        (("SCT:123037004", "SCT:10200004"), "liver"),
        (("SRT:T-D000A", "SRT:T-62000"), "liver"),
        (("SCT:49755003", "SCT:52988006", "SCT:10200004"), "lesion"),
        (("SCT:49755003", "SCT:52988006"), "lesion"),
        (("SCT:49755003", "SCT:52988006", "SCT:39607008"), None),  # in the lung
        (("SCT:123037004", "SCT:78961009"), "ignore"),  # the spleen, as dcmqi writes it
        (("SCT:91723000", "SCT:78961009"), "ignore"),  # and as the standard does
        (("SCT:85756007", "SCT:85756007"), None),  # Slicer's default: tissue
        ((), None),
    ],
)
def test_a_code_says_the_role(code, role):
    assert coded_role(Coded(*code)) is (None if role is None else Role(role))


def test_the_folder_of_a_program_that_segments_organs_gives_its_lesions_alone(collect):
    told = collect(
        {
            "liver.nii.gz": {1: LIVER},
            "spleen.nii.gz": {1: SECOND},
            "vertebrae_L1.nii.gz": {1: SECOND},
            "portal_vein_and_splenic_vein.nii.gz": {1: SECOND},
            "aorta.nii.gz": {},
            "liver_tumor.nii.gz": {1: FIRST},
        }
    )
    assert told.lesions == ["liver_tumor"]
    assert told.organs == ["liver", "vessels"]
    assert told.failures == {}
    assert told.by["spleen"] == ("ignore", "name")
    (warning,) = told.warnings
    assert "aorta is empty and taken as absent" in warning


@pytest.mark.parametrize("name", ["met_2", "odd", "lesion 2", "label"])
def test_an_empty_file_beside_files_of_lesions_is_an_absent_structure(collect, name):
    told = collect({"met_1.nii.gz": {1: FIRST}, f"{name}.nii.gz": {}})
    assert (told.lesions, told.failures) == (["met_1"], {})
    assert any(f"{name}.nii.gz: holds no region and is taken" in text for text in told.warnings)


@pytest.mark.parametrize("files", [["met_1"], ["met_1", "met_2"], ["liver", "met_1"]])
def test_empty_files_alone_are_one_clear_error(collect, files):
    with pytest.raises(InputError, match=r"met_1.nii.gz: holds no region; draw one on this study"):
        collect({f"{name}.nii.gz": {} for name in files})


@pytest.mark.parametrize("affine", [np.eye(4), None])
def test_an_empty_file_is_not_asked_where_it_lies(study, tmp_path, affine):
    """Programs that find nothing often save an image without a place."""
    stack = select_stack(study)
    labels = np.zeros(SHAPE, np.uint8)
    empty = nibabel.Nifti1Image(labels.T, None)
    empty.header.set_sform(affine, code=0 if affine is None else 1)
    empty.header.set_qform(None, code=0)
    nibabel.save(empty, tmp_path / "empty.nii.gz")
    labels[FIRST] = 1
    nibabel.save(nibabel.Nifti1Image(labels.T, stack.geometry.affine_ras), tmp_path / "m.nii.gz")
    files = MaskFiles((tmp_path / "m.nii.gz", tmp_path / "empty.nii.gz"))
    collected = collect_masks(files, study, stack)
    assert (len(collected.masks.lesions), collected.failures) == (1, ())


def test_an_unknown_name_among_known_ones_is_ignored_and_told(collect):
    told = collect(
        {"liver.nii.gz": {1: LIVER}, "met.nii.gz": {1: FIRST}, "thing.nii.gz": {1: SECOND}}
    )
    assert told.lesions == ["met"]
    (warning,) = told.warnings
    assert "'thing' is ignored" in warning
    assert "add --role thing=lesion" in warning


def test_unknown_names_alone_are_lesions_and_told(collect):
    told = collect({"alpha.nii.gz": {1: FIRST}, "beta.nii.gz": {1: SECOND}})
    assert told.lesions == ["alpha", "beta"]
    assert sum("taken for a lesion" in warning for warning in told.warnings) == 2


def test_a_name_that_says_nothing_in_one_file_is_a_lesion(collect):
    told = collect(
        {"m.seg.nrrd": {"Liver": LIVER, "Segment_2": FIRST, "odd": SECOND}}, folder=False
    )
    assert told.lesions == ["Segment_2"]
    assert told.organs == ["liver"]
    (warning,) = told.warnings
    assert "'odd' is ignored" in warning


def test_phases_in_names_change_no_role(collect):
    told = collect({"case1_portal_1.nii.gz": {1: FIRST}})
    assert told.lesions == ["case1_portal_1"]
    assert told.warnings == []
    told = collect({"liver_arterial.nii.gz": {1: LIVER}, "liver_without_tumor.nii.gz": {1: LIVER},
                    "case1_portal_2.nii.gz": {1: FIRST}, "tumor_portal.nii.gz": {1: SECOND}})  # fmt: skip
    assert told.organs == ["liver"]
    assert told.lesions == ["tumor_portal"]
    assert sum("is ignored" in warning for warning in told.warnings) == 2


def test_lits_is_recognised_and_told(collect):
    labels = {1: LIVER, 2: FIRST}
    told = collect({"segmentation-0.nii.gz": labels}, folder=False)
    assert told.lesions == ["2"]
    assert told.organs == ["liver"]
    (warning,) = told.warnings
    assert "as in LiTS" in warning
    assert told.by["label 1"] == ("liver", "LiTS")


def test_two_lesions_of_one_file_are_no_lits(collect):
    told = collect({"m.nii.gz": {1: FIRST, 2: SECOND}}, folder=False)
    assert told.lesions == ["1", "2"]
    # Also when one lies in the other's box.
    inner = (slice(4, 5), slice(21, 23), slice(21, 23))
    assert collect({"m.nii.gz": {1: FIRST, 2: inner}}, folder=False).lesions == ["1", "2"]


@pytest.mark.parametrize(
    "files",
    [{"m.nii.gz": {1: LIVER}}, {"m.nii.gz": {1: LIVER, 3: FIRST}}, {"tumour.nii.gz": {1: LIVER}}],
)
def test_a_liver_sized_lesion_is_never_measured_without_being_asked(collect, files):
    (labels,) = files.values()
    try:
        told = collect(files, folder=False)
    except UnclearRole as error:
        problem = error
    else:
        problem = told.failures["1"]
        assert told.lesions == ["3"]
    assert "as a liver, and is given as a lesion" in str(problem)
    assert "--role 1=liver" in problem.remedy
    roles = {"1": "lesion"} | {str(label): "lesion" for label in labels}
    assert collect(files, folder=False, roles=roles).lesions == [str(label) for label in labels]


def test_a_liver_file_given_as_lesions_is_not_measured(collect):
    with pytest.raises(InputError, match="holds no lesion; add --role 1=lesion"):
        collect({"liver.nii.gz": {1: FIRST}}, folder=False)


def test_two_files_with_one_label_each_go_by_their_names(collect):
    told = collect({"met.nii.gz": {1: FIRST}, "liver.nii.gz": {1: LIVER}}, folder=False)
    assert told.lesions == ["1"]
    assert told.organs == ["liver"]


def test_an_option_that_matches_nothing_is_an_error(collect):
    files = {"m.nii.gz": {1: FIRST, 2: SECOND}}
    with pytest.raises(SettingsError, match=r"--role '3' matches no region; the regions are 1, 2"):
        collect(files, folder=False, roles={"3": "ignore"})
    with pytest.raises(SettingsError, match=r"--name '3' matches no region"):
        collect(files, folder=False, names={"3": "S4"})
    with pytest.raises(
        SettingsError, match="--mask-position index is for masks whose position is doubtful"
    ):
        collect(files, folder=False, position=PositionChoice.INDEX)


def test_a_bare_label_names_no_file_of_a_folder(collect):
    """They go by their names, and all of them have label 1: `--role 1=ignore` would ignore all."""
    folder = {"met_a.nii.gz": {1: FIRST}, "met_b.nii.gz": {1: SECOND}}
    with pytest.raises(
        SettingsError, match="--role '1' matches no region; the regions are met_a, met_b"
    ):
        collect(folder, roles={"1": "ignore"})
    assert collect(folder, roles={"met_a": "ignore"}).lesions == ["met_b"]
    assert collect(folder, roles={"met_b.nii.gz:1": "ignore"}).lesions == ["met_a"]


def test_one_label_in_two_files_is_no_organ(collect):
    files = {"a.nii.gz": {1: FIRST}, "b.nii.gz": {1: LIVER}}
    with pytest.raises(
        SettingsError,
        match=r"names regions of 2 files; name the one with --role a\.nii\.gz:1=liver",
    ):
        collect(files, folder=False, roles={"1": "liver"})
    told = collect(files, folder=False, roles={"b.nii.gz:1": "liver"})
    assert (told.lesions, told.organs) == (["1"], ["liver"])


def test_what_the_mapping_leaves_out_goes_by_its_name(collect):
    files = {"m.seg.nrrd": {"Liver": LIVER, "one": FIRST, "two": SECOND}}
    told = collect(files, folder=False, roles={"one": "lesion"})
    assert (told.lesions, told.organs) == (["one"], ["liver"])


def test_what_is_no_lesion_in_a_mapping_of_lesions_fails(collect):
    told = collect({"m.nii.gz": {1: FIRST, 2: SECOND}}, folder=False, roles={"1": "lesion"})
    assert told.lesions == ["1"]
    assert isinstance(told.failures["2"], UnmappedLabel)


def test_a_data_set_of_nnunet_names_its_labels(collect, tmp_path):
    (tmp_path / "masks").mkdir()
    for labels in (
        {"0": "background", "1": "liver", "2": "cancer"},
        {"background": 0, "liver": 1, "tumor": 2},
    ):
        content = {"numTraining": 3, "file_ending": ".nii.gz", "labels": labels}
        (tmp_path / "masks" / "dataset.json").write_text(json.dumps(content))
        told = collect({"case_003.nii.gz": {1: FIRST, 2: SECOND}}, folder=False)
        assert told.organs == ["liver"]
        assert told.lesions == [list(labels)[2] if "background" in labels else labels["2"]]


@pytest.mark.parametrize(
    ("labels", "numbers"),
    [
        ({"background": 0, "whole liver": [1, 3], "tumor": [1]}, [3, 1]),
        ({"tumor": 1, "background": [0], "whole liver": [1, 3]}, [1, 3]),
    ],
)
def test_regions_of_nnunet_have_the_numbers_of_their_order(collect, tmp_path, labels, numbers):
    """A file of such a data set holds `regions_class_order`, not what each region is united from."""
    (tmp_path / "masks").mkdir(exist_ok=True)
    content = {"numTraining": 1, "labels": labels, "regions_class_order": numbers}
    (tmp_path / "masks" / "dataset.json").write_text(json.dumps(content))
    told = collect({"case.nii.gz": {3: LIVER, 1: FIRST}}, folder=False)
    assert (told.lesions, told.organs) == (["tumor"], ["liver"])


def test_labels_that_totalsegmentator_names_in_one_file(collect, tmp_path):
    """Its option --ml writes an extension of the NIfTI header, as Caret does."""
    table = "".join(
        f'<Label Key="{key}" Red="1" Green="0" Blue="0" Alpha="1"><![CDATA[{name}]]></Label>'
        for key, name in ((1, "spleen"), (5, "liver"), (9, "liver_tumor"))
    )
    xml = f'<?xml version="1.0"?><CaretExtension><VolumeInformation><LabelTable>{table}</LabelTable></VolumeInformation></CaretExtension>'
    collect(
        {"all.nii.gz": {1: SECOND, 5: FIRST, 9: (slice(7, 8), slice(60, 63), slice(60, 63))}},
        folder=False,
    )
    path = tmp_path / "masks" / "all.nii.gz"
    image = nibabel.load(path)
    image = nibabel.Nifti1Image(np.asarray(image.dataobj), image.affine, image.header)
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension(0, xml.encode()))
    nibabel.save(image, path)
    from gsigpu.masks.volume_headers import read_volume_header

    assert read_volume_header(path).label_names == {1: "spleen", 5: "liver", 9: "liver_tumor"}


def test_slicers_terminology_says_what_a_segment_is(collect):
    def entry(category, kind):
        return f"TerminologyEntry:Segmentation category and type - 3D Slicer General Anatomy list~SCT^{category}^x~SCT^{kind}^y~^^~Anatomic codes - DICOM master list~^^~^^|"

    told = collect(
        {"m.seg.nrrd": {"Segment_1": LIVER, "Segment_2": FIRST, "Segment_3": SECOND}},
        folder=False,
        codes={
            "Segment_1": entry(123037004, 10200004),
            "Segment_2": entry(49755003, 52988006),
            "Segment_3": entry(123037004, 78961009),
        },
    )
    assert (told.lesions, told.organs) == (["Segment_2"], ["liver"])
    assert told.by["Segment_3"] == ("ignore", "code")


def test_an_odd_structure_that_is_mapped_to_ignore_fails_nothing(collect):
    files = {"m.seg.nrrd": {"Met 1": FIRST, "Met 2": None}}
    assert "Met 2" in collect(files, folder=False).failures
    told = collect(files, folder=False, roles={"Met 2": "ignore"})
    assert (told.lesions, told.failures, told.warnings) == (["Met 1"], {}, [])


@pytest.mark.parametrize("n", [2, 11, 101])
def test_parts_of_a_lesion_have_ids_that_stay_text(collect, n):
    """In their order, too."""
    box = np.zeros(SHAPE, bool)
    for number in range(n):
        box[
            2 + 3 * (number // 26),
            3 * (number % 26 + 1) : 3 * (number % 26 + 1) + 1 + (number == 0),
            5,
        ] = True
    told = collect({"m.nii.gz": {2: box}}, folder=False, split=True)
    digits = max(2, len(str(n)))
    assert told.lesions == [f"2-{number:0{digits}d}" for number in range(1, n + 1)]
    assert sorted(told.lesions) == told.lesions


@pytest.mark.parametrize(
    "name",
    [
        "2.10",
        "007",
        "1e5",
        "NA",
        "nan",
        "TRUE",
        "2020-01-02",
        "1_000",
        "0x10",
        ".5",
        "inf",
        "12:30",
    ],
)
def test_an_id_that_is_something_else_to_a_reader_of_tables_is_made_text(collect, name):
    told = collect({"m.nii.gz": {1: FIRST}}, folder=False, names={"1": name})
    assert told.lesions == [f"lesion {name}"]
    assert "which programs read as text" in told.warnings[0]
    assert text_id(text_id(name)) == text_id(name)


def test_paths_need_not_be_named(study, tmp_path):
    with pytest.raises(InputError, match="no such mask file"):
        collect_masks(MaskFiles((Path("absent.nii"),)), study, select_stack(study))
