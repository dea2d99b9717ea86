"""What a region is, said by label, by name or by a file."""

import pytest

from gsigpu.errors import InputError, SettingsError
from gsigpu.masks.roles import Role, RoleMap, merged, parse_roles, read_role_file, role_by_name
from gsigpu.regions.region_mask import RegionMask


def region(name, label=1):
    return RegionMask(name, label, (0, 0, 0), None)


def test_a_label_says_the_role():
    role_map = parse_roles({"2": "lesion", "22": "liver"}, {})
    assert role_map.role(region("x", 2)) is Role.LESION
    assert role_map.role(region("x", 22)) is Role.LIVER
    assert role_map.role(region("x", 3)) is None


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("Met*", "Met 3", True),
        ("Met*", "brain met", False),
        ("*vein*", "portal vein, left", True),
        ("Met ?", "Met 3", True),
        ("Met ?", "Met 13", False),
        ("liver", "liver", True),
        ("liver", "liver lesion", False),
        ("MET*", "met 3", True),
        ("met*", "MET 3", True),
    ],
)
def test_a_pattern_of_the_whole_name_says_the_role_in_any_case(pattern, name, fits):
    role = parse_roles({pattern: "ignore"}, {}).role(region(name, 9))
    assert role is (Role.IGNORE if fits else None)


def test_the_first_that_fits_says_the_role():
    role_map = parse_roles({"Met 3": "ignore", "met*": "lesion", "3": "liver"}, {})
    assert role_map.role(region("Met 3", 3)) is Role.IGNORE
    assert role_map.role(region("Met 4", 3)) is Role.LESION
    assert role_map.role(region("other", 3)) is Role.LIVER


def test_the_first_of_several_mappings_goes_first():
    both = merged(
        [
            parse_roles({"2": "lesion"}, {"2": "a"}),
            parse_roles({"*": "ignore"}, {"2": "b", "3": "c"}),
        ]
    )
    assert both.role(region("x", 2)) is Role.LESION
    assert both.role(region("x", 3)) is Role.IGNORE
    assert (both.called(region("x", 2)), both.called(region("x", 3))) == ("a", "c")


def test_an_unknown_role_is_refused_with_those_there_are():
    with pytest.raises(SettingsError, match=r"unknown role 'tumour'; use lesion, liver, vessels"):
        parse_roles({"2": "tumour"}, {})


def test_a_region_is_called_as_said_else_by_its_name_or_label():
    role_map = RoleMap(names={"2": "S4a", "Met": "S7"})
    names = [
        role_map.called(mask)
        for mask in (region("x", 2), region("Met", 3), region("HCC", 4), region("label 5", 5))
    ]
    assert names == ["S4a", "S7", "HCC", "5"]


def test_a_file_says_roles_and_names(tmp_path):
    path = tmp_path / "roles.yaml"
    path.write_text(
        """
lesion: [2, 3, "Met*"]
liver: Liver
vessels: ["*vein*", 7]
aorta: 8
Normal: [9]
ignore: [10]
names: {2: segment IVa, Met 1: S7}
"""
    )
    role_map = read_role_file(path)
    roles = {
        region("x", 2): "lesion",
        region("x", 3): "lesion",
        region("met 1", 30): "lesion",
        region("liver", 31): "liver",
        region("Hepatic vein", 32): "vessels",
        region("x", 7): "vessels",
        region("x", 8): "aorta",
        region("x", 9): "normal",
        region("x", 10): "ignore",
        region("x", 11): None,
    }
    assert {mask: role_map.role(mask) for mask in roles} == roles
    assert role_map.called(region("x", 2)) == "segment IVa"
    assert role_map.called(region("Met 1", 30)) == "S7"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 2\n- 3\n", "is no mapping of roles"),
        ("", "is no mapping of roles"),
        ("lesion: 2\ntumour: 3\n", "unknown role 'tumour'; use lesion"),
        ("2: lesion\n", "unknown role '2'; use lesion"),
        ("lesion: [2, [3]]\n", r"lesion: \[3\] is no label or name"),
        ("lesion: yes\n", "lesion: True is no label or name"),
        ("lesion:\n", "lesion: None is no label or name"),
        ("lesion: 2\nnames: [a]\n", "names is no mapping"),
        ("lesion: [2\n", "cannot be read .*write lines such as"),
    ],
)
def test_a_file_of_another_form_is_refused_by_name(tmp_path, text, message):
    path = tmp_path / "roles.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=rf"roles\.yaml: {message}"):
        read_role_file(path)


def test_a_file_that_is_absent_or_not_text_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match=r"absent\.yaml: cannot be read"):
        read_role_file(tmp_path / "absent.yaml")
    (tmp_path / "image.yaml").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(InputError, match=r"image\.yaml: cannot be read"):
        read_role_file(tmp_path / "image.yaml")


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("Liver", "liver"),
        ("liver_mask", "liver"),
        ("Leber", "liver"),
        ("Liver metastasis 3", "lesion"),
        ("Met3", "lesion"),
        ("Tumor", "lesion"),
        ("tumour core", "lesion"),
        ("HCC", "lesion"),
        ("Cyst", "lesion"),
        ("hepatic vein", "vessels"),
        ("hepatic_artery", "vessels"),
        ("portal vein", "vessels"),
        ("inferior_vena_cava", "vessels"),
        ("IVC", "vessels"),
        ("Aorta", "aorta"),
        ("normal liver", "normal"),
        ("Liver parenchyma", "normal"),
        # Names that say nothing are lesions: whoever names one region only, draws the lesion.
        ("Segment_2", "lesion"),
        ("label 4", "lesion"),
        ("ROI-1", "lesion"),
        ("7", "lesion"),
    ],
)
def test_a_usual_name_says_its_role(name, role):
    assert role_by_name(name) == (Role(role), True)


@pytest.mark.parametrize(
    "name", ["segment IVa", "method", "deliverable", "abnormal area", "brain met", "kidney tumour"]
)
def test_any_other_name_is_a_lesion_and_not_sure(name):
    assert role_by_name(name) == (Role.LESION, False)
