"""From planes to series to the stack of one phase."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from gsigpu.dicom.model import SeriesKind
from gsigpu.dicom.study.patterns import load_patterns
from gsigpu.dicom.study.read_study import describe, study_from_scan
from gsigpu.dicom.study.stack import companions, left_aside, select_stack
from gsigpu.errors import (
    AmbiguousStack,
    DuplicateSlices,
    EnergyConflict,
    GridMismatch,
    MissingSlices,
    NoSpectralStack,
    SettingsError,
)
from tests.support.planes import FORMAT, evidence, plane, scan, series


def study_of(*groups, energies=None, phases=None, kinds=None):
    return study_from_scan(
        Path("study"),
        scan(*groups),
        energy_overrides=energies or {},
        phase_overrides=phases or {},
        kind_overrides=kinds or {},
        patterns=load_patterns(),
    )


def stack_of(phase="AP", energies=(40, 70, 100), suffix="", **values):
    return [
        series(
            f"{phase} Mono {kev} keV",
            f"1.{kev}.{abs(hash((phase, suffix))) % 997}",
            series_number=kev,
            **values,
        )
        for kev in energies
    ]


def test_one_phase_needs_no_choice():
    stack = select_stack(study_of(*stack_of()))
    assert stack.energies_kev == (40, 70, 100)
    assert stack.phase == "AP"
    assert stack.geometry.shape == (3, 6, 8)


def test_two_phases_ask_for_one():
    study = study_of(*stack_of("AP"), *stack_of("PVP"))
    with pytest.raises(AmbiguousStack, match=r"2 spectral stacks fit: phase .*; phase .*--phase"):
        select_stack(study)
    assert select_stack(study, phase="pvp").phase == "PVP"
    with pytest.raises(
        NoSpectralStack, match="no monoenergetic series of phase delayed; there are AP, PVP"
    ):
        select_stack(study, phase="delayed")


def test_energies_interleaved_in_one_series():
    planes = []
    for kev in (40, 70):
        header = evidence("GSI 40-140 keV", "1.5", image_comments=f"Mono {kev} keV")
        planes += [plane(z, header) for z in (0, 1, 2)]
    study = study_of(planes)
    assert [member.key for member in study.series] == ["1.5#40keV", "1.5#70keV"]
    assert select_stack(study).energies_kev == (40, 70)


def test_two_acquisitions_in_one_series_are_told_apart():
    planes = []
    for number in (1, 2):
        header = evidence("Mono 70 keV", "1.5", acquisition_number=number)
        planes += [plane(z, header, sop_instance_uid=f"{number}.{z}") for z in (0, 1, 2)]
    keys = [member.key for member in study_of(planes).series]
    assert keys == ["1.5#acquisition1", "1.5#acquisition2"]


def test_duplicates_that_nothing_tells_apart_are_a_problem():
    (member,) = study_of([plane(0), plane(0, name="copy"), plane(1)]).series
    assert isinstance(member.problem, DuplicateSlices)


def test_a_broken_series_keeps_its_problem_and_stays_in_the_stack():
    groups = stack_of()
    groups[0] = [groups[0][0], groups[0][2], *[]]
    groups[0].append(plane(7.5, groups[0][0].evidence))
    study = study_of(*groups)
    stack = select_stack(study)
    assert isinstance(stack.series[0].problem, MissingSlices)
    assert stack.series[1].problem is None


def test_another_grid_is_that_series_problem():
    groups = stack_of(energies=(40, 70, 100, 120))
    header = groups[1][0].evidence
    groups[1] = [plane(z, header) for z in (0.0, 2.5, 5.0, 7.5)]
    stack = select_stack(study_of(*groups))
    problems = [member.problem for member in stack.series]
    assert isinstance(problems[1], GridMismatch)
    assert "4 x 6 x 8 voxels instead of 3 x 6 x 8" in str(problems[1])
    assert problems[0] is problems[2] is problems[3] is None


def test_another_frame_of_reference_is_that_series_problem():
    groups = stack_of(energies=(40, 70, 100))
    groups[2] = series("AP Mono 100 keV", "1.100", frame_of_reference_uid="1.8")
    assert "another frame of reference" in str(select_stack(study_of(*groups)).series[2].problem)


def test_two_reconstructions_ask_for_one():
    study = study_of(
        *stack_of(suffix="soft", convolution_kernel="SOFT"),
        *stack_of(suffix="lung", convolution_kernel="LUNG"),
    )
    with pytest.raises(AmbiguousStack, match="--series"):
        select_stack(study)


def test_a_series_filter_chooses():
    study = study_of(
        *stack_of(suffix="a", convolution_kernel="A"),
        series("AP Mono 70 keV sharp", "1.99", convolution_kernel="B"),
    )
    assert len(select_stack(study, series=["sharp"]).series) == 1
    assert select_stack(study, series=["40", "100"]).energies_kev == (40, 100)
    assert select_stack(study, series=["1.99"]).series[0].key == "1.99"


def test_one_energy_twice_on_one_grid_is_ambiguous():
    study = study_of(*stack_of(), series("AP Mono 70 keV again", "1.99"))
    with pytest.raises(AmbiguousStack, match=r"two series of phase AP are 70 keV.*--energy"):
        select_stack(study)


def test_studies_and_patients_never_mix():
    for values in ({"study_uid": "1.3"}, {"patient_id": "P2", "study_uid": "1.4"}):
        study = study_of(
            *stack_of(energies=(40, 70)), *stack_of(energies=(100, 120), suffix="other", **values)
        )
        with pytest.raises(AmbiguousStack, match="2 spectral stacks") as refused:
            select_stack(study)
        assert ("patient 2 of 2" in str(refused.value)) == ("patient_id" in values)
        assert "P2" not in str(refused.value)


def test_unnamed_phases_are_numbered_by_time_with_a_warning():
    late = stack_of("", suffix="late", acquisition_datetime="20240102101150", acquisition_number=2)
    early = stack_of(
        "", suffix="early", acquisition_datetime="20240102101115", acquisition_number=1
    )
    study = study_of(*late, *early)
    assert {member.phase for member in study.series} == {"phase-1", "phase-2"}
    assert len(study.warnings) == 1
    assert "--phase-of" in study.warnings[0]
    first = select_stack(study, phase="phase-1")
    assert {member.evidence.acquisition_datetime for member in first.series} == {"20240102101115"}
    assert any("10:11:15" in line for line in first.series[0].evidence_used)


def test_an_unnamed_series_takes_the_phase_of_its_acquisition():
    study = study_of(*stack_of("AP", energies=(40, 70)), series("Mono 100 keV", "1.100"))
    assert {member.phase for member in study.series} == {"AP"}


def test_one_unnamed_acquisition_has_no_phase_and_no_warning():
    study = study_of(*stack_of(""))
    assert study.warnings == ()
    assert select_stack(study).phase == ""


def test_what_the_user_says_wins():
    groups = stack_of()
    uid = groups[0][0].evidence.series_uid
    study = study_of(*groups, energies={uid: 45.0}, phases={uid: "delayed"})
    changed = next(member for member in study.series if member.key == uid)
    assert (changed.energy_kev, changed.phase, changed.problem) == (45.0, "delayed", None)
    assert any("--energy" in line for line in changed.evidence_used)
    assert any("--phase-of" in line for line in changed.evidence_used)
    with pytest.raises(SettingsError, match=r"no series 9\.9 in this folder"):
        study_of(*groups, energies={"9.9": 40.0})


def test_a_conflict_stays_with_its_series():
    told = {"mono_energy_kev": 70.0}
    study = study_of(series("Mono 40 keV", "1.1", **told))
    assert isinstance(study.series[0].problem, EnergyConflict)
    assert isinstance(select_stack(study).series[0].problem, EnergyConflict)


def test_a_conflict_is_told_before_the_energy_it_seems_to_double():
    doubtful = series("AP Mono 60 keV", "1.60", image_comments="VMI 70 keV")
    with pytest.raises(EnergyConflict, match=r"Image Comments .*70.* Series Description .*60"):
        select_stack(study_of(*stack_of(), doubtful))
    stack = select_stack(study_of(*stack_of(), doubtful, energies={"1.60": 60.0}))
    assert stack.energies_kev == (40, 60, 70, 100)


def test_a_series_without_an_energy_is_left_aside_aloud():
    silent = series("AP Monoenergetic Plus", "1.9", kvp=None)
    study = study_of(*stack_of(), silent)
    stack = select_stack(study)
    assert stack.energies_kev == (40, 70, 100)
    (line,) = left_aside(study, stack)
    assert "no header value tells its energy" in line
    assert left_aside(study_of(*stack_of()), stack) == []


@pytest.mark.parametrize(
    ("word", "phase"), [("portal", "PVP"), ("PV", "PVP"), ("arterial", "AP"), ("hap", "AP")]
)
def test_a_phase_may_be_asked_for_in_other_words(word, phase):
    study = study_of(*stack_of("AP"), *stack_of("PVP"))
    assert select_stack(study, phase=word).phase == phase


def test_nothing_monoenergetic():
    with pytest.raises(NoSpectralStack, match="1 conventional"):
        select_stack(study_of(series("Abdomen 120 kVp")))
    with pytest.raises(NoSpectralStack, match="vendor's workstation"):
        select_stack(study_of(series("SBI")))


def test_companions_lie_in_the_same_phase_and_frame():
    study = study_of(
        *stack_of("AP"),
        series("AP Iodine(Water)", "1.81"),
        series("PVP Iodine(Water)", "1.82", acquisition_datetime="20240102101200"),
        series("AP Iodine elsewhere", "1.83", frame_of_reference_uid="1.7"),
    )
    stack = select_stack(study)
    assert [member.key for member in companions(study, stack, SeriesKind.IODINE)] == ["1.81"]


def test_description_is_plain_data_without_the_patient():
    study = study_of(
        *stack_of(patient_id="PLANTED-ID"),
        series("AP Iodine(Water)", "1.81", patient_id="PLANTED-ID"),
    )
    text = json.dumps(describe(study))
    assert "PLANTED" not in text
    assert {series["energy_kev"] for series in json.loads(text)["series"]} == {40, 70, 100, None}


def energies_of(study):
    return {member.evidence.series_description: member.energy_kev for member in study.series}


def test_kvp_counts_where_it_differs_between_the_monoenergetic_images_of_an_acquisition():
    told = study_of(
        series("GSI Mono a", "1.1", kvp=70.0),
        series("GSI Mono b", "1.2", kvp=100.0),
    )
    assert energies_of(told) == {"GSI Mono a": 70.0, "GSI Mono b": 100.0}
    assert all("KVP" in " ".join(member.evidence_used) for member in told.series)


@pytest.mark.parametrize(
    "groups",
    [
        # the tube's voltage, the same for all
        [("Mono a", {"kvp": 120.0}), ("Mono b", {"kvp": 120.0})],
        [("Mono a", {"kvp": 100.0})],
        # it differs, but between acquisitions
        [("Mono a", {"kvp": 100.0}), ("Mono b", {"kvp": 120.0, "acquisition_number": 2})],
        # it differs, but is not the energy where that is known
        [("Mono a", {"kvp": 100.0}), ("Mono 70 keV", {"kvp": 120.0})],
    ],
)
def test_a_tube_voltage_is_no_energy(groups):
    study = study_of(*(series(text, f"1.{i}", **values) for i, (text, values) in enumerate(groups)))
    unknown = [
        member for member in study.series if "70 keV" not in member.evidence.series_description
    ]
    assert all(member.energy_kev is None for member in unknown)
    assert all("--energy" in str(member.problem) for member in unknown)


def test_energies_by_words_and_by_image_type_stand_beside_a_tube_voltage():
    study = study_of(
        series("Mono 40 keV", "1.40", kvp=120.0),
        series("Abdomen", "1.70", kvp=120.0, image_type=("DERIVED", "SECONDARY", "VMI", "ME70KEV")),
    )
    assert select_stack(study).energies_kev == (40, 70)


def test_a_protocols_energy_counts_for_the_only_series_that_has_no_other():
    alone = study_of(series("VMI", "1.1", protocol="Liver 70 keV"))
    assert energies_of(alone) == {"VMI": 70.0}
    two = study_of(
        series("VMI a", "1.1", protocol="Liver 70 keV"),
        series("VMI b", "1.2", protocol="Liver 70 keV"),
    )
    assert energies_of(two) == {"VMI a": None, "VMI b": None}
    taken = study_of(
        series("VMI a", "1.1", protocol="Liver 70 keV"),
        series("VMI 70", "1.2", protocol="Liver 70 keV"),
    )
    assert energies_of(taken) == {"VMI a": None, "VMI 70": 70.0}


@pytest.mark.parametrize("name", ["HAP(Iodine)", "Iodine(HAP)", "Water(HAP)"])
def test_the_name_of_a_material_pair_gives_no_phase(name):
    study = study_of(*stack_of(""), series(name, "1.81"))
    assert {member.phase for member in study.series} == {""}
    assert study.warnings == ()


def test_a_phase_from_a_material_map_spreads_with_a_warning():
    study = study_of(*stack_of(""), series("PV Iodine(Water)", "1.81"))
    assert {member.phase for member in study.series} == {"PVP"}
    (line,) = study.warnings
    assert "'PV Iodine(Water)'" in line
    assert "--phase-of" in line
    named = study_of(*stack_of("AP"), series("Mono 120 keV", "1.120"), series("PV Iodine", "1.81"))
    assert select_stack(named).energies_kev == (40, 70, 100, 120)
    assert named.warnings == ()


def test_a_colour_picture_is_no_map():
    (member,) = study_of(
        [
            plane(z, evidence("Iodine map", "1.81"), image=replace(FORMAT, samples_per_pixel=3))
            for z in (0, 1, 2)
        ]
    ).series
    assert member.kind is SeriesKind.OTHER
    assert "colour" in member.evidence_used[0]


def test_a_kind_may_be_given():
    unknown = series("Spectral result 3", "1.1", series_number=5)
    assert study_of(unknown).series[0].kind is SeriesKind.OTHER
    for name in ("1.1", "5"):
        (member,) = study_of(unknown, kinds={name: "conventional"}).series
        assert member.kind is SeriesKind.CONVENTIONAL
        assert member.evidence_used[0] == "kind conventional given by --kind"
    (mono,) = study_of(unknown, kinds={"5": "vmi"}).series
    assert "--energy" in str(mono.problem)
    (mono,) = study_of(unknown, kinds={"5": "vmi"}, energies={"5": 70.0}).series
    assert (mono.energy_kev, mono.problem) == (70.0, None)
    with pytest.raises(SettingsError, match="names no kind; use vmi, iodine"):
        study_of(unknown, kinds={"5": "nonsense"})
    with pytest.raises(SettingsError, match="an energy and the kind iodine"):
        study_of(unknown, kinds={"5": "iodine"}, energies={"1.1": 70.0})


def two_acquisitions():
    planes = []
    for number in (1, 2):
        header = evidence("Mono 70 keV", "1.5", series_number=3, acquisition_number=number)
        planes += [plane(z, header, sop_instance_uid=f"{number}.{z}") for z in (0, 1, 2)]
    return planes


@pytest.mark.parametrize("prefix", ["1.5", "3"])
def test_parts_of_a_series_are_named_by_the_key_that_scan_prints(prefix):
    first, second = (f"{prefix}#acquisition{number}" for number in (1, 2))
    study = study_of(two_acquisitions(), phases={first: "AP", second: "PVP"})
    assert [member.phase for member in study.series] == ["AP", "PVP"]
    assert select_stack(study, phase="PVP").series[0].evidence.acquisition_number == 2
    names = [row["name"] for row in describe(study)["series"]]
    assert names == ["3#acquisition1", "3#acquisition2"]
    study = study_of(two_acquisitions(), energies={first: 50.0}, kinds={second: "other"})
    assert [(member.kind.value, member.energy_kev) for member in study.series] == [
        ("other", None),
        ("vmi", 50.0),
    ]


def test_names_that_fit_no_series_or_several_are_refused():
    study = [series("Mono 40 keV", "1.1"), series("Mono 70 keV", "1.2")]
    with pytest.raises(SettingsError, match="no series 99 in this folder; gsigpu scan"):
        study_of(*study, phases={"99": "AP"})
    with pytest.raises(SettingsError, match="2 series 7 in this folder"):
        study_of(*study, phases={"7": "AP"})
    both = [
        plane(z, evidence("GSI", "1.5", image_comments=f"Mono {kev} keV"))
        for kev in (40, 70)
        for z in (0, 1, 2)
    ]
    with pytest.raises(SettingsError, match="given as a whole too"):
        study_of(both, phases={"1.5#40keV": "AP"}, energies={"1.5": 70.0})


def test_every_text_of_a_series_filter_must_name_one():
    study = study_of(*stack_of())
    with pytest.raises(NoSpectralStack, match="no monoenergetic series is named by --series '99'"):
        select_stack(study, series=["40", "99"])
    assert select_stack(study, series=["40,100"]).energies_kev == (40, 100)
    comma = study_of(series("Liver, 40 keV", "1.1"), series("Spleen, 70 keV", "1.2"))
    assert select_stack(comma, series=["Liver, 40"]).energies_kev == (40,)


@pytest.mark.parametrize(
    "word", ["门脉期", "門脈相", "portalvenös", "фаза венозная", "temps portal"]
)
def test_a_phase_may_be_asked_for_in_any_language_of_the_table(word):
    assert select_stack(study_of(*stack_of("AP"), *stack_of("PVP")), phase=word).phase == "PVP"


def test_the_words_of_a_users_table_serve_for_the_phase_too(tmp_path):
    table = tmp_path / "site.toml"
    table.write_text('[[phase]]\nfield = "series_description"\nwords = ["ph2"]\nphase = "PVP"\n')
    study = study_from_scan(
        Path("study"),
        scan(*stack_of("ph2"), *stack_of("AP")),
        energy_overrides={},
        phase_overrides={},
        patterns=load_patterns(table),
    )
    assert select_stack(study, phase="ph2").phase == "PVP"


def test_a_fault_in_one_series_is_that_series_problem(monkeypatch):
    from gsigpu.dicom.study import read_study

    def broken(planes):
        if planes[0].evidence.series_description == "AP Mono 40 keV":
            raise IndexError("index 0 is out of bounds")
        return grid_of(planes)

    grid_of = read_study.grid_of
    monkeypatch.setattr(read_study, "grid_of", broken)
    stack = select_stack(study_of(*stack_of()))
    assert "unexpected IndexError" in str(stack.series[0].problem)
    assert stack.series[1].problem is None


def test_byte_identical_copies_are_dropped_and_told(tmp_path):
    planes = []
    for z in (0, 1, 2):
        for name in (f"{z}", f"copy of {z}"):
            path = tmp_path / name
            path.write_bytes(b"DICM" + bytes([z]))
            planes.append(plane(z, name=path))
    study = study_of(planes)
    assert [member.path.name for member in study.series[0].planes] == ["0", "1", "2"]
    assert study.warnings == (
        "3 files are copies, byte for byte, of others in the folder, and left out",
    )
    (tmp_path / "copy of 1").write_bytes(b"DICM other")
    problem = study_of(planes).series[0].problem
    assert isinstance(problem, DuplicateSlices)
    assert "1 and copy of 1 claim to be one image, but their files differ" in str(problem)


def test_positions_rounded_by_the_scanner_are_taken_and_told():
    zs = [round(0.625 * z, 1) for z in range(40)]
    study = study_of(*(series(f"Mono {kev} keV", zs=zs) for kev in (40, 70)))
    assert all(member.problem is None for member in select_stack(study).series)
    (line,) = study.warnings
    assert "slices of 2 series stand up to 0.0" in line
