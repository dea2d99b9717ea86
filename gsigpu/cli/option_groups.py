"""The options of a command's help in groups, so that a person finds the one that is meant."""

from __future__ import annotations

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
REST = "Options"
# Commands with fewer options than this have one group: there is nothing to find.
FEWEST_TO_GROUP = 12

_GROUP_OF = {option: group for group, options in GROUPS.items() for option in options}


def grouped(parameters: list[Any], context: Any) -> dict[str, list[tuple[str, str]]]:
    """Group -> (option, its help) of a command's parameters, in the order of `GROUPS`.

    parameters : of the parser, arguments among them
    """
    arguments = [p for p in parameters if p.param_type_name == "argument"]
    options = [p for p in parameters if p.param_type_name != "argument"]
    groups: dict[str, list[tuple[str, str]]] = {"Arguments": _records(arguments, context)}
    if len(options) < FEWEST_TO_GROUP:
        groups[REST] = _records(options, context)
    else:
        for group in (*GROUPS, REST):
            members = [p for p in options if group_of(p) == group]
            groups[group] = _records(members, context)
    return {group: records for group, records in groups.items() if records}


def group_of(option: Any) -> str:
    """The group of an option, by any of its names."""
    return next((_GROUP_OF[name] for name in option.opts if name in _GROUP_OF), REST)


def _records(parameters: list[Any], context: Any) -> list[tuple[str, str]]:
    records = (parameter.get_help_record(context) for parameter in parameters)
    return [record for record in records if record is not None]
