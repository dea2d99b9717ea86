"""What an error says to do can be done: the options and commands that remedies name exist, where they are told."""

import ast
import re
import shlex
import tomllib
from dataclasses import dataclass

import pytest
import typer
from typer.testing import CliRunner

from gsigpu.cli.app import app
from gsigpu.phantom import PhantomSettings, write_phantom
from gsigpu.tables.manifest import OPTIONAL, REQUIRED
from tests.support.places import ROOT

PACKAGE = ROOT / "gsigpu"

STUDY = ("gsigpu map", "gsigpu measure", "gsigpu review", "gsigpu cohort run")
MASKS = ("gsigpu measure", "gsigpu review", "gsigpu cohort run")
CARRYING = ("gsigpu map", "gsigpu measure", "gsigpu review", "gsigpu cohort run")
# The commands that may print an error of a file; the first that fits.
PRINTED_BY = (
    ("cli/cohort_run", ("gsigpu cohort run",)),
    ("cli/cohort_stats", ("gsigpu cohort stats",)),
    ("cli/measure_command", ("gsigpu measure",)),
    ("cli/measure_calls", ("gsigpu measure",)),
    ("cli/measure_options", ("gsigpu measure", "gsigpu cohort run")),
    ("cli/mask_options", ("gsigpu measure",)),
    ("cli/phantom", ("gsigpu phantom",)),
    ("cli/review_command", ("gsigpu review",)),
    ("cli/options", STUDY[:3]),
    ("cli/volume_options", STUDY[:2]),
    ("cli/several_studies", STUDY[:1]),
    ("vmi_volumes", STUDY[:2]),
    ("automatic_masks", CARRYING),
    ("backends", ("gsigpu map",)),
    ("dicom/writing", ("gsigpu map",)),
    ("dicom/study/stack", STUDY),
    ("dicom/study/overrides", ("gsigpu scan", *STUDY[:3])),
    ("dicom", ("gsigpu scan", *STUDY)),
    ("maps", STUDY),
    ("masks", MASKS),
    ("pipeline/choose_stack", STUDY),
    ("pipeline/cohort_run", ("gsigpu cohort run",)),
    ("pipeline/map", ("gsigpu map",)),
    ("pipeline/measure/carried_masks", CARRYING),
    ("pipeline/measure/given_masks", CARRYING),
    ("registration", CARRYING),
    ("pipeline/measure/profile_plot", ("gsigpu measure",)),
    ("pipeline/measure", ("gsigpu measure", "gsigpu cohort run")),
    ("tables/raw_table", ("gsigpu cohort stats",)),
)
# What `cohort run` takes from the manifest, row by row, that other commands take as an option.
COLUMN_FOR = {
    "--phase": "phase",
    "--mask": "mask",
    "--liver-mask": "liver_mask",
    "--normal-mask": "normal_mask",
    "--role": "roles",
    "--series": "series",
    "--energies": "energies",
}
# Programs of others, whose options are not ours.
OTHER_PROGRAMS = re.compile(r"\b(?:gdcmconv|dcmdjpeg|storescu|openssl|pip install)\b[^,;]*")


ANOTHER_COMMAND = re.compile(r"gsigpu (?:cohort )?[a-z]+(?: --?[a-z-]+)*")
OPTION = re.compile(r"(?<![\w-])--?[a-z][a-z0-9-]*")


def options_in(text: str) -> set[str]:
    return set(OPTION.findall(ANOTHER_COMMAND.sub("", OTHER_PROGRAMS.sub("", text))))


@dataclass(frozen=True)
class Remedy:
    """A text that an error says to do, `…` where it is filled in."""

    place: str
    line: int
    text: str

    @property
    def options(self) -> set[str]:
        """Those of the command that printed it."""
        return options_in(self.text)

    @property
    def alternatives(self) -> list[set[str]]:
        """The options of each thing that it says can be done: "do this, or that"."""
        return [options_in(text) for text in re.split(r",? or |; ", self.text)]

    def __str__(self) -> str:
        return f"{self.place}:{self.line}"


def _texts(node):
    """Every text that an expression may give, … for what is filled in."""
    match node:
        case ast.Constant(value=str()):
            yield node.value
        case ast.JoinedStr():
            yield "".join(
                part.value if isinstance(part, ast.Constant) else "…" for part in node.values
            )
        case ast.IfExp():
            yield from _texts(node.body)
            yield from _texts(node.orelse)
        case ast.BinOp(op=ast.Add()):
            for left in _texts(node.left):
                for right in _texts(node.right):
                    yield left + right


def _assigned(tree):
    """name -> expressions that the file assigns to it, for remedies that are put into a name first."""
    values = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    values.setdefault(target.id, []).append(node.value)
    return values


def remedies():
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        assigned = _assigned(tree)
        place = path.relative_to(PACKAGE).as_posix()
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg == "remedy":
                values = [node.value]
                if isinstance(node.value, ast.Name):
                    values = assigned.get(node.value.id, [])
                for value in values:
                    for text in _texts(value):
                        yield Remedy(place, node.value.lineno, text)


REMEDIES = sorted(remedies(), key=str)


def _commands(group, names):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, (*names, name))
        else:
            yield " ".join((*names, name)), command


COMMANDS = dict(_commands(typer.main.get_command(app), ("gsigpu",)))


def options_of(command):
    return {
        name
        for parameter in COMMANDS[command].params
        for name in (*parameter.opts, *parameter.secondary_opts)
    } | {"--debug", "--help"}


def test_the_search_sees_them():
    assert len(REMEDIES) > 150
    assert sum(bool(remedy.options) for remedy in REMEDIES) > 40
    text = "add --no-such-option, or gdcmconv --raw"
    assert Remedy("cli/x.py", 1, text).options == {"--no-such-option"}


@pytest.mark.parametrize("remedy", [r for r in REMEDIES if r.options], ids=str)
def test_options_exist_where_the_remedy_is_printed(remedy):
    commands = next(
        (names for prefix, names in PRINTED_BY if remedy.place.startswith(prefix)), tuple(COMMANDS)
    )
    for option in remedy.options:
        assert any(option in options_of(name) for name in COMMANDS), f"{option}: {remedy.text}"
    for command in commands if len(commands) < len(COMMANDS) else ():
        there = options_of(command)
        if command == "gsigpu cohort run":
            there |= {
                option for option, column in COLUMN_FOR.items() if column in (*REQUIRED, *OPTIONAL)
            }
        assert any(options <= there for options in remedy.alternatives), (
            f"{command} cannot do any of it: {remedy.text}"
        )


@pytest.mark.parametrize("remedy", [r for r in REMEDIES if "gsigpu " in r.text], ids=str)
def test_commands_exist(remedy):
    for words in re.findall(r"(?<!same )(gsigpu (?:cohort )?[a-z]+)([^,;]*)", remedy.text):
        command, rest = words
        assert command in COMMANDS, remedy.text
        assert set(OPTION.findall(rest)) <= options_of(command), remedy.text


def test_optional_packages_exist():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    named = {
        extra
        for path in PACKAGE.rglob("*.py")
        for extra in re.findall(r"gsigpu\[([a-z0-9-]+)\]", path.read_text("utf-8"))
    }
    assert named
    assert named <= set(project["optional-dependencies"])


# Remedies that say how an option is written: "write --perilesional 0-5".
SPELLED = sorted(
    {
        (command, option, value)
        for remedy in REMEDIES
        for option, value in re.findall(r"(--[a-z-]+) ([^\s,;…]*\d[^\s,;…]*|auto|conventional|paper)", remedy.text)
        for command in ("gsigpu map", "gsigpu measure", "gsigpu cohort run", "gsigpu phantom")
        if command in COMMANDS and option in options_of(command)
        and any(remedy.place.startswith(prefix) and command in names for prefix, names in PRINTED_BY)
    }
)  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    settings = PhantomSettings(
        shape=(12, 48, 48), spacing_mm=(6.0, 7.0, 7.0), energies_kev=(50.0, 70.0, 100.0),
        phases=("PVP",), n_lesions=1, diameter_mm=(35.0, 40.0), extras=(), noise_hu=5.0,
    )  # fmt: skip
    write_phantom(folder, settings, overwrite=True)
    return folder


def words_for(command, study, out):
    """A call of the command that works, to which an option is added."""
    manifest = study / "manifest.csv"
    manifest.write_text(
        "case_id,patient_id,group,phase,study,mask\nC1,P1,lung,PVP,dicom,masks/lesions.nii.gz\n"
    )
    return {
        "gsigpu map": ["map", study / "dicom", "-o", out],
        "gsigpu measure": ["measure", study / "dicom", "--mask", study / "masks", "-o", out / "t.csv"],
        "gsigpu cohort run": ["cohort", "run", manifest, "-o", out, "--workers", "1"],
        "gsigpu phantom": ["phantom", out],
    }[command]  # fmt: skip


def test_there_are_options_to_try():
    assert len(SPELLED) > 8


@pytest.mark.parametrize(("command", "option", "value"), SPELLED)
def test_what_a_remedy_says_to_write_is_understood(command, option, value, study, tmp_path):
    """It may fail for the data at hand, but never because the option cannot be read so."""
    out = tmp_path / "out"
    if command == "gsigpu measure":
        out.mkdir()
    words = [*map(str, words_for(command, study, out)), option, *shlex.split(value)]
    if command in ("gsigpu cohort run", "gsigpu phantom"):  # workers, and seconds: only read
        context = COMMANDS[command].make_context(command, words[2 if "run" in words else 1 :])
        assert context.params
        return
    done = CliRunner().invoke(app, words)
    assert done.exit_code != 2, done.output
    error = str(done.exception)
    assert f"{option} {value!r} is" not in error, error
    assert f"unknown {option}" not in error
