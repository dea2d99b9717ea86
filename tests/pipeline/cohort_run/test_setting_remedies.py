"""What `cohort run` says to do about its settings and its lesions is done, and helps."""

import csv
from dataclasses import dataclass, field

import pytest
from typer.testing import CliRunner

from gsigpu.cli.app import app
from gsigpu.errors import GsigpuError
from gsigpu.pipeline.cohort_run.checks import CohortOptions, check_settings
from gsigpu.pipeline.cohort_run.cohort_task import CohortSettings
from gsigpu.pipeline.cohort_run.inclusion_rules import InclusionRules
from tests.support.mask_places import FIRST, SECOND

IN_COHORT = {"--regions": "lesion", "--no-curve": "", "--workers": "1", "--dry-run": ""}
NEARLY_FIRST = (slice(2, 5), slice(20, 26), slice(20, 25))
KEY = {"--pseudonymise": "{here}/key.bin"}


@dataclass
class Problem:
    """Options that go wrong, the line that they print, and the options of each way out; None takes one away.

    decisions, mended_decisions : rows of the file of exclusions
    """

    options: dict
    line: str
    ways: list[dict]
    decisions: list = field(default_factory=list)
    mended_decisions: list = field(default_factory=list)


EXCLUDED = {"--exclusions": "{here}/exclusions.csv"}
PROBLEMS = {
    "a shard that is none": Problem(
        {"--shard": "9/8"}, "shard 9/8 is none; write --shard 1/8 to --shard 8/8", [{"--shard": "1/8"}, {"--shard": "8/8"}]
    ),
    "a shard": Problem(
        {"--shard": "half"}, "--shard 'half' is none; write --shard 1/8 to --shard 8/8", [{"--shard": "1/8"}]
    ),
    "a shard that does more": Problem(
        {"--shard": "1/2", "--prune": ""}, "a part of a run makes no tables, removes nothing and uses no cluster; leave out --join, --prune and --scheduler",
        [{"--prune": None}],
    ),
    "a case of a shard": Problem(
        {"--case": "c", "--shard": "1/1"}, "a case is one part of a run, and has no parts; leave out --shard and --limit", [{"--shard": None}]
    ),
    "a limit": Problem(
        {"--memory-limit": "much"}, "--memory-limit 'much' is no size; write --memory-limit 4GB", [{"--memory-limit": "4GB"}]
    ),
    "a largest diameter without lesions": Problem(
        {"--max-diameter": "30", "--regions": "core"},
        "the largest diameter is that of the region `lesion`, which is not asked for; add lesion to --regions, or leave out --max-diameter",
        [{"--regions": "core,lesion"}, {"--max-diameter": None}],
    ),
    "no largest diameter": Problem(
        {"--max-diameter": "0"}, "largest diameter 0 mm leaves no lesion; write --max-diameter 30", [{"--max-diameter": "30"}]
    ),
    "maps with names": Problem(
        {"--maps": "iodine", "--map-format": "ct", **KEY},
        "maps as ct carry the patient's name, as a PACS needs it; use --map-format nifti or nrrd with --pseudonymise",
        [{"--map-format": "nifti"}, {"--map-format": "nrrd"}],
    ),
    "a decision on another row": Problem(
        EXCLUDED, "a decision on lesion 1 of other PVP, which is no row of the manifest; remove it from the file of --exclusions, or add the row",
        [EXCLUDED], decisions=[("other", "1", "PVP", "", "rejected", "")], mended_decisions=[("c", "1", "PVP", "", "rejected", "")],
    ),
    "one lesion drawn twice": Problem(
        {"--dry-run": None},
        "lesions 1 and 1 (2) overlap: 100% of the smaller lies in the other, as two masks of one lesion do; keep one of them, or measure both with --allow-overlap",
        [{"--allow-overlap": ""}],
    ),
}  # fmt: skip


def run(place, options, out):
    """Exit code, and what is printed or stands in the file of failures."""
    words = ["cohort", "run", str(place.file("manifest.csv")), "-o", str(place.file(out))]
    for option, value in {**IN_COHORT, **options}.items():
        if value is not None:
            words += [option, *([value.replace("{here}", str(place.folder))] if value else [])]
    done = CliRunner().invoke(app, words)
    lines = done.stderr.splitlines()
    if isinstance(done.exception, GsigpuError):
        lines.append(str(done.exception))
    elif done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    failures = place.file(out) / "failures.csv"
    if failures.exists():
        with failures.open(newline="") as file:
            lines += [row["reason"] for row in csv.DictReader(file)]
    return done.exit_code, lines


def written(place, masks, decisions):
    row = {"case_id": "c", "patient_id": "p", "group": "lung", "phase": "PVP", "study": str(place.study),
           "mask": ";".join(str(place.file(name)) for name in masks)}  # fmt: skip
    with place.file("manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, row)
        writer.writeheader()
        writer.writerow(row)
    columns = ("case_id", "lesion_id", "phase", "reader", "decision", "reason")
    with place.file("exclusions.csv").open("w", newline="") as file:
        csv.writer(file).writerows([columns, *decisions])
    place.file("key.bin").write_bytes(bytes(range(32)))


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_remedy_does_what_it_says(place, inline, name):
    problem = PROBLEMS[name]
    masks = ("a.nii.gz", "m.nii.gz") if name == "one lesion drawn twice" else ("a.nii.gz",)
    place.nifti("a.nii.gz", {1: FIRST, 2: SECOND})
    place.nifti("m.nii.gz", {1: NEARLY_FIRST})
    written(place, masks, problem.decisions)
    code, lines = run(place, problem.options, "before")
    assert code != 0
    assert any(line.endswith(problem.line) for line in lines), lines
    written(place, masks, problem.mended_decisions)
    for number, way in enumerate(problem.ways):
        code, lines = run(place, {**problem.options, **way}, f"after{number}")
        assert (code, [line for line in lines if line.endswith(problem.line)]) == (0, []), lines


def test_one_of_two_masks_of_a_lesion_is_kept(place, inline):
    place.nifti("a.nii.gz", {1: FIRST, 2: SECOND})
    written(place, ["a.nii.gz"], [])
    assert run(place, {"--dry-run": None}, "out") == (0, [])


def test_a_shard_of_python_does_no_more_either():
    with pytest.raises(GsigpuError, match="leave out --join"):
        CohortOptions(shard=(1, 2), join=True)


# The command's own parser refuses it before this; a caller of Python meets it here.
OF_PYTHON = "unknown format 'png'; use ct, pm, nifti, nii.gz, nrrd, rgb"


@pytest.mark.parametrize("name", ["png", *OF_PYTHON.partition("use ")[2].split(", ")])
def test_a_format_of_maps_that_python_names(name):
    def check():
        settings = CohortSettings(maps=("iodine",), map_format=name)
        check_settings(settings, CohortOptions(), InclusionRules(), is_pseudonymous=False)

    if name == "png":
        with pytest.raises(GsigpuError) as told:
            check()
        assert str(told.value) == OF_PYTHON
    else:
        check()
