"""From planes to series to the stack of one phase."""

import json
from pathlib import Path

import pytest

from gsigpu.dicom.model import SeriesKind
from gsigpu.dicom.study.classify import load_patterns
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
from tests.support.planes import evidence, plane, scan, series


def study_of(*groups, energies=None, phases=None):
    return study_from_scan(
        Path("study"),
        scan(*groups),
        energy_overrides=energies or {},
        phase_overrides=phases or {},
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
