"""What series are called, and what they are."""

from dataclasses import replace

import pytest

from gsigpu.dicom.model import Evidence
from gsigpu.dicom.study.classify import classify
from gsigpu.dicom.study.patterns import load_patterns
from gsigpu.errors import EnergyConflict, InputError, SettingsError

PLAIN = Evidence(
    sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
    modality="CT",
    study_uid="1.2",
    series_uid="1.2.3",
    frame_of_reference_uid="1.9",
    image_type=("ORIGINAL", "PRIMARY", "AXIAL"),  # with the voltage, an image of the whole spectrum
    kvp=80.0,
)


def classified(**values):
    return classify(replace(PLAIN, **values), load_patterns())


@pytest.mark.parametrize(
    ("description", "kind", "kev"),
    [
        # SPEC §3 and the vendors' published wording
        ("Mono 70 keV", "vmi", 70),
        ("70keV", "vmi", 70),
        ("AP 40 KEV", "vmi", 40),
        ("GSI Mono 65 keV ASIR-V", "vmi", 65),
        ("MonoE 70keV[HU]", "vmi", 70),
        ("Mono 40keV", "vmi", 40),
        ("Monoenergetic Plus 55 keV", "vmi", 55),
        ("VMI 40 keV", "vmi", 40),
        ("VMI_40", "vmi", 40),
        ("Mono+ 50", "vmi", 50),
        ("PVP Mono 77.5 keV", "vmi", 77.5),
        ("Iodine(Water)", "iodine", None),
        ("MD Iodine", "iodine", None),
        ("Iodine Density[mg/ml]", "iodine", None),
        ("Iodine no Water", "iodine", None),
        ("Iodine no Water[mg/ml]", "iodine", None),
        ("Water(Iodine)", "water", None),
        ("MD Water (Iodine)", "water", None),
        ("VNC", "vnc", None),
        ("Liver VNC 1.5", "vnc", None),
        ("Virtual Non-Contrast", "vnc", None),
        ("VUE", "vnc", None),
        ("Z Effective", "zeff", None),
        ("Effective-Z", "zeff", None),
        ("Electron Density", "electron-density", None),
        ("Rho/Z", "other", None),  # both halves of the pair are called so
        ("RhoZ Rho", "electron-density", None),
        ("SBI", "other", None),
        # false friends
        ("Abdomen 70 kV", "conventional", None),
        ("Abdomen 80kVp", "conventional", None),
        ("Abdomen 120 kVp portal", "conventional", None),
        ("Thorax 5.0 B70", "conventional", None),
        ("harmonomono 5", "conventional", None),
        ("Dose 70 mAs", "conventional", None),
    ],
)
def test_kind_and_energy_of_a_description(description, kind, kev):
    classification = classified(series_description=description)
    assert (classification.kind.value, classification.energy_kev) == (kind, kev)
    assert classification.problem is None


@pytest.mark.parametrize(
    ("description", "phase"),
    [
        ("AP Mono 70 keV", "AP"),
        ("ART 70keV", "AP"),
        ("late arterial 40 keV", "AP"),
        ("hepatic arterial phase", "AP"),
        ("PV 70 keV", "PVP"),
        ("PVP_Mono_70keV", "PVP"),
        ("portal venous 70 keV", "PVP"),
        ("Venous MonoE 70keV[HU]", "PVP"),
        ("delayed 70 keV", "delayed"),
        ("equilibrium 70 keV", "delayed"),
        ("late 70 keV", "delayed"),
        ("non-contrast 70 keV", "non-contrast"),
        ("NC 70keV", "non-contrast"),
        ("native 70keV", "non-contrast"),
        ("CAP 70 keV", ""),  # chest, abdomen, pelvis
        ("MAP 70 keV", ""),
        ("Mono 70 keV", ""),
        ("VNC", ""),
        ("Virtual Non Contrast", ""),
        ("AP and PVP 70 keV", ""),  # names two, decides none
    ],
)
def test_phase_of_a_description(description, phase):
    assert classified(series_description=description).phase == phase


def test_two_phases_in_words_are_told():
    assert any(
        "phase unclear" in line
        for line in classified(series_description="AP PVP 70 keV").evidence_used
    )


@pytest.mark.parametrize(
    ("values", "kind", "kev"),
    [
        ({"mono_energy_kev": 65.0}, "vmi", 65),
        ({"mono_energy_kev": 65.0, "series_description": "whatever"}, "vmi", 65),
        ({"private": (("GEMS_X:20", "GSI 55 keV"),)}, "vmi", 55),
        ({"image_comments": "Mono 50 keV", "series_description": "GSI 40-140 keV"}, "vmi", 50),
        # KVP is settled among the series of an acquisition, not here
        ({"image_type": ("DERIVED", "SECONDARY", "AXIAL", "VMI"), "kvp": 70.0}, "vmi", None),
        (
            {
                "image_type": ("DERIVED", "PRIMARY", "AXIAL", "MAT_SPECIFIC"),
                "series_description": "Iodine",
            },
            "iodine",
            None,
        ),
        # which material was removed must be told, by a code or a word
        ({"image_type": ("DERIVED", "PRIMARY", "AXIAL", "MAT_REMOVED")}, "other", None),
        (
            {
                "image_type": ("DERIVED", "PRIMARY", "AXIAL", "MAT_REMOVED"),
                "materials": ("Iodine",),
            },
            "vnc",
            None,
        ),
        (
            {
                "image_type": ("DERIVED", "PRIMARY", "AXIAL", "MAT_REMOVED"),
                "series_description": "VNC",
            },
            "vnc",
            None,
        ),
        (
            {
                "image_type": ("DERIVED", "PRIMARY", "AXIAL", "MAT_SPECIFIC"),
                "materials": ("Iodine",),
            },
            "iodine",
            None,
        ),
        ({"image_type": ("DERIVED", "PRIMARY", "AXIAL", "EFF_ATOMIC_NUM")}, "zeff", None),
        (
            {"image_type": ("DERIVED", "PRIMARY", "AXIAL", "ELECTRON_DENSITY")},
            "electron-density",
            None,
        ),
        ({"rescale_type": "Z_EFF"}, "zeff", None),
        ({"rescale_type": "EDW"}, "electron-density", None),
        ({"rescale_type": "MGML"}, "other", None),
        (
            {"image_type": ("ORIGINAL", "PRIMARY", "LOCALIZER"), "series_description": "AP 70 keV"},
            "other",
            None,
        ),
        ({}, "conventional", None),
    ],
)
def test_kind_and_energy_of_other_values(values, kind, kev):
    classification = classified(**values)
    assert (classification.kind.value, classification.energy_kev) == (kind, kev)


def test_evidence_says_which_value_decided():
    lines = classified(mono_energy_kev=65.0, series_description="AP Mono 65 keV").evidence_used
    assert any("(0018,937C) is 65 keV" in line for line in lines)
    assert any("phase AP from Series Description" in line for line in lines)


@pytest.mark.parametrize(
    "values",
    [
        {"mono_energy_kev": 70.0, "series_description": "Mono 40 keV"},
        {"image_comments": "70 keV", "series_description": "Mono 40 keV"},
        {"private": (("X:20", "70 keV"),), "image_comments": "40 keV"},
    ],
)
def test_evidence_that_disagrees_is_a_conflict_with_a_remedy(values):
    problem = classified(**values).problem
    assert isinstance(problem, EnergyConflict)
    assert "70" in str(problem)
    assert "40" in str(problem)
    assert "--energy 1.2.3=" in str(problem)


def test_kvp_never_contradicts():
    assert classified(series_description="Mono 40 keV", kvp=70.0).problem is None


def test_monoenergetic_without_an_energy_is_a_problem():
    classification = classified(series_description="Monoenergetic Plus", kvp=None)
    assert "no header value tells its energy" in str(classification.problem)


@pytest.mark.parametrize("kev", [10, 34, 201, 999])
def test_impossible_energies_are_none(kev):
    assert classified(series_description=f"Mono {kev} keV").energy_kev is None


def test_own_maps_are_no_input():
    assert (
        classified(manufacturer="gsigpu", series_description="Mono 70 keV PVP").kind.value
        == "other"
    )


def test_users_patterns_come_first(tmp_path):
    table = tmp_path / "site.toml"
    table.write_text(
        '[[energy]]\nfield = "series_description"\npattern = "E(?P<kev>\\\\d+)"\nsource = "ours"\n'
        '[[phase]]\nfield = "series_description"\npattern = "ph2"\nphase = "PVP"\n'
    )
    patterns = load_patterns(table)
    classification = classify(replace(PLAIN, series_description="SPECTRAL E55 ph2"), patterns)
    assert (classification.energy_kev, classification.phase) == (55, "PVP")
    assert classify(replace(PLAIN, series_description="Mono 70 keV"), patterns).energy_kev == 70


@pytest.mark.parametrize(
    "text",
    ["not toml [", '[[kind]]\nfield = "series_description"\npattern = "("\nkind = "vmi"', '[[kind]]\nfield = "x"\npattern = "a"\nkind = "vmi"', '[[kind]]\nfield = "private"\npattern = "a"\nkind = "nonsense"'],
)  # fmt: skip
def test_bad_pattern_tables_are_refused_by_name(tmp_path, text):
    table = tmp_path / "site.toml"
    table.write_text(text)
    with pytest.raises((InputError, SettingsError), match=r"site\.toml"):
        load_patterns(table)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('[[phases]]\nfield = "protocol"\nwords = ["x"]\nphase = "AP"', "phases"),
        ('[[phase]]\nfield = "protocol"\nwords = ["x"]\nphase = "AP"\nvendor = "GE"', "vendor"),
        ('[[phase]]\nfield = "protocol"\nwords = ["x"]\npattern = "x"\nphase = "AP"', "both"),
    ],
)
def test_a_rule_that_nothing_reads_is_refused(tmp_path, text, named):
    table = tmp_path / "site.toml"
    table.write_text(text)
    with pytest.raises(SettingsError, match=named):
        load_patterns(table)


def test_an_edited_pattern_table_has_new_rules(tmp_path):
    table = tmp_path / "site.toml"
    for phase in ("AP", "PVP"):
        table.write_text(
            f'\ufeff[[phase]]\nfield = "series_description"\nwords = ["ph2"]\nphase = "{phase}"\n',
            encoding="utf-8",
        )
        patterns = load_patterns(table)
        classification = classify(replace(PLAIN, series_description="70 keV ph2"), patterns)
        assert classification.phase == phase


VMI_TYPE = ("DERIVED", "SECONDARY", "AXIAL", "VMI", "ME70KEV")


@pytest.mark.parametrize(
    ("values", "kind", "kev"),
    [
        # the description counts before comments that name the contrast medium
        ({"series_description": "Mono 70 keV", "image_comments": "Iodine 300"}, "vmi", 70),
        ({"series_description": "Mono 70 keV", "image_comments": "iodine given"}, "vmi", 70),
        ({"series_description": "Abdomen 120 kVp", "image_comments": "Iodine map"}, "iodine", None),
        # monoenergetic, with a material taken out
        ({"series_description": "PureLumen", "image_type": VMI_TYPE}, "other", None),
        ({"series_description": "VNC 70 keV", "image_type": VMI_TYPE}, "vnc", None),
        ({"series_description": "Abdomen", "image_type": VMI_TYPE}, "vmi", 70),
        # what a machine wrote counts over what a site wrote
        (
            {
                "series_description": "Mono 70 keV",
                "image_type": ("DERIVED", "PRIMARY", "AXIAL", "GSI MD"),
            },
            "other",
            None,
        ),
        (
            {"series_description": "70 keV", "image_type": ("DERIVED", "PRIMARY", "AXIAL", "MIP")},
            "other",
            None,
        ),
        (
            {"series_description": "Mono 70 keV", "image_type": ("DERIVED", "AXIAL", "CONVCT")},
            "vmi",
            70,
        ),
    ],
)
def test_fields_that_say_different_things(values, kind, kev):
    classification = classified(**values)
    assert (classification.kind.value, classification.energy_kev) == (kind, kev)


@pytest.mark.parametrize("text", ["Br40 Monoenergetic", "Monoenergetic_Br40", "Mono 512", "VMI 10"])
def test_a_number_that_is_no_energy_is_none(text):
    classification = classified(series_description=text)
    assert (classification.kind.value, classification.energy_kev) == ("vmi", None)
    assert "--energy" in str(classification.problem)
