"""What the tables of a cohort say to do about a mask is done there, and helps; the same of `review`.

The problems are those of `measure` (tests/pipeline/measure/test_remedies.py) whose ways out are options. In a cohort
roles stand in a file, and the phase in the manifest.
"""

import csv
import re
import shlex
from itertools import pairwise

import pandas as pd
import pytest
from typer.testing import CliRunner

from gsigpu.cli.app import app
from tests.pipeline.measure.test_remedies import SCENARIOS, ways_out, without

BY_OPTIONS = [
    name
    for name, scenario in SCENARIOS.items()
    if scenario.mend is None and not {"--role", "--threshold"} & set(scenario.words.split())
]
IN_REVIEW = [
    "another phase", "two positions", "contours on every second slice", "an unknown name among known ones",
    "LiTS", "parts", "as large as a liver",
]  # fmt: skip
OF_ROW = re.compile(r"write `(?P<roles>.+?)` in the file of the manifest's column roles")
OF_PHASE = re.compile(r"write in the manifest's column phase (?P<phase>\w+)")


def test_there_are_as_many_as_there_were():
    assert len(BY_OPTIONS) >= 14
    assert set(IN_REVIEW) <= set(BY_OPTIONS)


def masks_of(scenario, folder):
    words = shlex.split(scenario.words.replace("{here}", str(folder)))
    return [word for option, word in pairwise(words) if option == "--mask"]


def told_by(place, masks, *, phase="PVP", roles="", options=()):
    """Lines of failures and warnings of a cohort of one row."""
    if roles:
        place.file("roles.yaml").write_text(roles)
    row = {"case_id": "c", "patient_id": "p", "group": "lung", "phase": phase, "study": str(place.study),
           "mask": ";".join(masks), "roles": "roles.yaml" if roles else ""}  # fmt: skip
    with place.file("manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, row)
        writer.writeheader()
        writer.writerow(row)
    out = place.file(f"out{len(list(place.folder.glob('out*')))}")
    CliRunner().invoke(
        app,
        ["cohort", "run", str(place.file("manifest.csv")), "-o", str(out), "--regions", "lesion", "--no-curve",
         "--workers", "1", *options],
    )  # fmt: skip
    failures = pd.read_csv(out / "failures.csv", keep_default_na=False)
    warnings = pd.read_csv(out / "warnings.csv", keep_default_na=False)
    return [*failures.reason, *warnings.text], len(failures)


@pytest.mark.parametrize("name", BY_OPTIONS)
def test_a_remedy_of_a_cohort_does_what_it_says(place, inline, name):
    scenario = SCENARIOS[name]
    scenario.make(place)
    masks = masks_of(scenario, place.folder)
    lines, _ = told_by(place, masks)
    line = next(line for line in lines if re.search(scenario.message, line))
    remedy = line.rpartition("; ")[2]
    assert "--role" not in remedy
    assert "--phase" not in remedy
    ways = [{"roles": match["roles"].replace("], ", "]\n")} for match in OF_ROW.finditer(remedy)]
    ways += [{"phase": match["phase"]} for match in OF_PHASE.finditer(remedy)]
    ways += [{"options": options} for options in ways_out(remedy)]
    assert ways, remedy
    for way in ways:
        lines, n_failed = told_by(place, masks, **way)
        assert n_failed == 0, (way, lines)
        assert not [text for text in lines if re.search(scenario.message, text)], way


PSEUDONYMISED = ["as large as a liver", "unknown names in a folder of files", "contours on every second slice"]  # fmt: skip


@pytest.mark.parametrize("name", PSEUDONYMISED)
def test_a_remedy_without_identities_does_what_it_says(place, inline, name):
    """Words that gsigpu knows stay; a name that may be somebody's is called by a hash, one for each."""
    scenario = SCENARIOS[name]
    scenario.make(place)
    key = place.file("key")
    key.write_text("a key that nobody can guess")
    masks, hidden = masks_of(scenario, place.folder), ("--pseudonymise", str(key))
    lines, _ = told_by(place, masks, options=hidden)
    told = " ".join(lines)
    assert "[removed]: [" not in told
    assert not {"alpha", "beta"} & set(re.findall(r"\w+", told))
    table = pd.read_csv(place.file("out0") / "measurements.csv", dtype=str, keep_default_na=False)
    if name.startswith("unknown"):
        assert len({text for text in table.lesion_id if re.fullmatch("l-[0-9a-f]{16}", text)}) == 2
        return  # which file it is, nobody may know
    (line,) = (line for line in lines if re.search(scenario.message, line))
    remedy = line.rpartition("; ")[2]
    ways = [{"roles": match["roles"].replace("], ", "]\n")} for match in OF_ROW.finditer(remedy)]
    ways += [{"options": options} for options in ways_out(remedy)]
    assert ways, remedy
    for way in ways:
        options = (*hidden, *way.pop("options", ()))
        lines, n_failed = told_by(place, masks, options=options, **way)
        assert (n_failed, [text for text in lines if re.search(scenario.message, text)]) == (0, [])


def reviewed(place, words):
    options = shlex.split(words.replace("{here}", str(place.folder)))
    if "--phase" not in options:
        options += ["--phase", "PVP"]
    done = CliRunner().invoke(
        app, ["review", str(place.study), *options, "-o", str(place.file("page")), "--overwrite"]
    )
    lines = done.stderr.splitlines()
    error = done.exception
    if error is not None and not isinstance(error, SystemExit):
        lines.append(str(error))
    return done.exit_code, lines


@pytest.mark.parametrize("name", IN_REVIEW)
def test_a_remedy_of_a_review_does_what_it_says(place, name):
    scenario = SCENARIOS[name]
    scenario.make(place)
    _, lines = reviewed(place, scenario.words)
    line = next(line for line in lines if re.search(scenario.message, line))
    alternatives = ways_out(line.rpartition("; ")[2])
    assert alternatives, line
    for options in alternatives:
        words = without(scenario.words, scenario.replaces) if scenario.replaces else scenario.words
        code, lines = reviewed(place, f"{words} {shlex.join(options)}")
        assert code == 0, (options, lines)
        assert not [text for text in lines if re.search(scenario.message, text)], options
