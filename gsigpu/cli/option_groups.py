"""The options of a command's help in groups, so that a person finds the one that is meant."""

from __future__ import annotations

import re
from typing import Any

# Group -> its options, by their long names, in the order of the help. An option of no group is in the last one.
GROUPS: dict[str, tuple[str, ...]] = {
    "What to read": (
        "--nifti", "--phase", "--series", "--energies", "--energy", "--phase-of", "--kind", "--patterns",
    ),
    "Masks": (
        "--mask", "--region", "--liver-mask", "--vessel-mask", "--aorta-mask", "--normal-mask", "--role", "--roles", "--name",
        "--split-lesions", "--any-mask-phase", "--mask-position", "--fill-between", "--threshold", "--mask-phase", "--register",
        "--segment",
        "--allow-overlap",
    ),
    "What to compute": (
        "--maps", "--slope", "--rim", "--rim-dimensions", "--regions", "--perilesional", "--parameters",
        "--ct-value", "--curve", "--se", "--statistics", "--vendor-iodine-unit", "--haematocrit", "--direction", "--apply", "--prevalence",
        "--covariates", "--subgroups", "--site", "--combat", "--plan", "--equivalence-margin",
        "--replicates", "--seed", "--confidence",
    ),
    "Who is included": (
        "--confirmed-only", "--max-diameter", "--min-group-size", "--exclusions", "--groups", "--drop-other-groups",
        "--patients", "--reader", "--phases",
    ),
    "Who it is": ("--case", "--patient", "--group", "--with-identity", "--pseudonymise"),
    "What to write": (
        "--out", "--format", "--compress", "--wide", "--dicom", "--plot", "--map-format", "--pictures", "--review", "--study-pages",
        "--report",
        "--reveal", "--title", "--outside", "--overwrite", "--json",
    ),
    "How to run": (
        "--backend", "--workers", "--scheduler", "--shard", "--join", "--timeout", "--memory-limit", "--limit",
        "--dry-run", "--retry-failed", "--skip-missing", "--prune", "--change-settings", "--by-content", "--allow-failures",
        "--serve",
    ),
}  # fmt: skip
# Commands whose options mean something else than the same words elsewhere.
OF_COMMAND: dict[str, dict[str, tuple[str, ...]]] = {
    "phantom": {
        "The patient": (
            "--primary", "--lesions", "--diameter", "--rim", "--phases", "--motion", "--cohort", "--anatomy", "--disc",
        ),
        "The images": ("--shape", "--spacing", "--energies", "--noise-hu", "--seed"),
        "The files": (
            "--vendor", "--layout", "--transfer-syntax", "--supplement-188", "--extras", "--shuffle-names", "--overwrite",
            "--json",
        ),
    },
}  # fmt: skip
REST = "Options"
# Commands with fewer options than this have one group: there is nothing to find.
FEWEST_TO_GROUP = 12

# What the parser says of a value's kind, which are words of Python, and what a person reads.
_WORDS = (
    (re.compile(r"<(?:list\[)?[Pp]ath\]?>"), ""),
    (re.compile(r"<int(?: range)?>"), "N"),
    (re.compile(r"<float(?: range)?>"), "NUMBER"),
    (re.compile(r"<str>"), "TEXT"),
    (re.compile(r"<([^<>]*\|[^<>]*)>"), r"\1"),
    (re.compile(r"\bx>=(-?[\d.]+)"), r"at least \1"),
    (re.compile(r"\bx<=(-?[\d.]+)"), r"at most \1"),
)


def grouped(parameters: list[Any], context: Any) -> dict[str, list[tuple[str, str]]]:
    """Group -> (option, its help) of a command's parameters, in the order of its groups.

    parameters : of the parser, arguments among them
    """
    arguments = [p for p in parameters if p.param_type_name == "argument"]
    options = [p for p in parameters if p.param_type_name != "argument"]
    groups: dict[str, list[tuple[str, str]]] = {"Arguments": _records(arguments, context)}
    if len(options) < FEWEST_TO_GROUP:
        groups[REST] = _records(options, context)
    else:
        command = context.info_name
        for group in (*groups_of(command), REST):
            members = [p for p in options if group_of(p, command) == group]
            groups[group] = _records(members, context)
    return {group: records for group, records in groups.items() if records}


def groups_of(command: str | None) -> dict[str, tuple[str, ...]]:
    """Group -> its options, of a command."""
    return OF_COMMAND.get(command or "", GROUPS)


def group_of(option: Any, command: str | None) -> str:
    """The group of an option of a command, by any of its names."""
    return next(
        (group for group, names in groups_of(command).items() if set(names) & set(option.opts)),
        REST,
    )


def in_our_words(text: str) -> str:
    """A part of a help without words of Python.

    >>> in_our_words("--workers <int range>"), in_our_words("Threads.  [x>=1]")
    ('--workers N', 'Threads.  [at least 1]')
    >>> in_our_words("DIR... <list[Path]>"), in_our_words("--format <ct|pm>")
    ('DIR...', '--format ct|pm')
    """
    for pattern, words in _WORDS:
        text = pattern.sub(words, text)
    return text.rstrip()


def _records(parameters: list[Any], context: Any) -> list[tuple[str, str]]:
    records = (parameter.get_help_record(context) for parameter in parameters)
    return [(in_our_words(names), in_our_words(text)) for names, text in filter(None, records)]
