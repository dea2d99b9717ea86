"""run.json: what a run was asked for, so that a later call goes on with it, and the history of its calls.

Settings and inclusion rules belong to the run. A later call takes what was recorded; a call that asks for something
else is refused until that is said by name (`--change-settings`).
"""

from __future__ import annotations

import hashlib
import secrets
import types
import typing
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gsigpu.errors import GsigpuError, InputError, SettingsError
from gsigpu.pipeline.cohort_run.cohort_task import CohortSettings
from gsigpu.pipeline.cohort_run.inclusion_rules import InclusionRules
from gsigpu.pipeline.cohort_run.row_files import (
    RECORD_FORM,
    DamagedRecord,
    file_digest,
    put,
    put_json,
    read_json,
    set_aside,
)
from gsigpu.pipeline.cohort_run.run_lock import record_locked
from gsigpu.version import __version__

RUN_FILE = "run.json"
# The same again: settings cannot be computed anew, as a table can.
_COPY = "run.copy.json"
RECORD_FILES = (RUN_FILE, _COPY)
# Named by content: what a record names is there before it, and no other record's file is overwritten. Like all that is
# written before the record, its name begins with a dot, see `cohort_plan`.
_PATTERNS = ".patterns-{}.toml"
_DIGITS = 16  # of the content's hash


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What a run's folder says of it.

    calls : one entry per call, the latest last
    pseudonyms : fingerprint of the key, "" without pseudonyms
    """

    settings: CohortSettings
    rules: InclusionRules
    pseudonyms: str = ""
    calls: tuple[dict[str, Any], ...] = ()


def read_record(out: Path) -> tuple[RunRecord | None, list[str]]:
    """The record in a run's folder, None where there is none; and what was damaged.

    Raises InputError if the record and its copy are both damaged: then nobody knows the settings.
    """
    damaged: list[str] = []
    record: RunRecord | None = None
    if not out.is_dir():
        return None, []
    for path in (out / RUN_FILE, out / _COPY):
        if record is not None:
            break
        try:
            content = read_json(path)
            record = None if content is None else _understood(content, out)
        except (
            DamagedRecord,
            GsigpuError,
            AttributeError,
            KeyError,
            TypeError,
            ValueError,
        ):
            damaged.append(set_aside(out, path))
    if record is None and damaged:
        raise InputError(
            "the record of the run's settings is damaged, and so is its copy",
            where=out / RUN_FILE,
            remedy="run again with all settings of the run and --change-settings",
        )
    return record, damaged


def _understood(content: Mapping[str, Any], out: Path) -> RunRecord:
    settings = from_plain(CohortSettings, content["settings"])
    name = content["settings"].get("patterns")
    return RunRecord(
        settings=replace(settings, patterns=out / name if name else None),
        rules=from_plain(InclusionRules, content["rules"]),
        pseudonyms=content.get("pseudonyms") or "",
        calls=tuple(content.get("calls", ())),
    )


def from_plain(kind: Any, value: Any) -> Any:
    """A data class, or one of its fields, from what `asdict` and JSON made of it.

    Fields that are not there have their defaults, unknown ones are left out.

    >>> from_plain(InclusionRules, {"max_diameter_mm": 30.0, "later": 1}).max_diameter_mm
    30.0
    """
    if is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        known = {field.name for field in fields(kind)}
        plain = {
            name: from_plain(hints[name], part) for name, part in value.items() if name in known
        }
        return kind(**plain)  # type: ignore[operator]  # a class, not an instance
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        inner = [part for part in arguments if part is not type(None)]
        return None if value is None else from_plain(inner[0], value)
    if origin is tuple:
        return tuple(from_plain(arguments[0], part) for part in value)
    if kind is Path:
        return None if not value or value is True else Path(value)
    if kind is float:
        return float(value)
    return value


def settled(
    recorded: RunRecord | None,
    settings: CohortSettings | None,
    rules: InclusionRules | None,
    *,
    named: Collection[str] | None,
    may_change: bool,
) -> tuple[CohortSettings, InclusionRules, list[str]]:
    """What a call is to do, and what it changes in the run.

    settings, rules : what is asked for; None for what was recorded
    named : the fields that were asked for by name (`measure.parameters.slopes`, `rules.max_diameter_mm`), all of
        `settings` and `rules` if None
    Raises SettingsError if something else than what was recorded is asked for and may not be.
    """
    if recorded is None:
        return settings or CohortSettings(), rules or InclusionRules(), []
    old = _leaves(recorded.settings, recorded.rules)
    request = {
        **(_leaves(settings, None) if settings is not None else {}),
        **(_leaves(None, rules) if rules is not None else {}),
    }
    if named is not None:
        request = {name: value for name, value in request.items() if name in named}
    changed = {
        name: value
        for name, value in request.items()
        if _comparable(value) != _comparable(old.get(name))
    }
    told = [
        f"{name} {_shown(value)} (recorded: {_shown(old.get(name))})"
        for name, value in changed.items()
    ]
    if changed and not may_change:
        raise SettingsError(
            f"the run was begun with other settings: {', '.join(told)}",
            remedy="leave these out to go on as recorded, or add --change-settings",
        )
    return *_built({**old, **changed}), told


def _comparable(value: Any) -> Any:
    return file_digest(value) if isinstance(value, Path) else value


def _shown(value: Any) -> str:
    """A value as a person writes it."""
    if isinstance(value, Path):
        return value.name
    if isinstance(value, tuple):
        return ",".join(map(_shown, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value == "":
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _leaves(settings: CohortSettings | None, rules: InclusionRules | None) -> dict[str, Any]:
    """Dotted names of all fields and their values; what nobody chooses by name is told elsewhere."""
    leaves: dict[str, Any] = {}

    def walk(prefix: str, part: Any) -> None:
        for field in fields(part):
            value = getattr(part, field.name)
            if is_dataclass(value):
                walk(f"{prefix}{field.name}.", value)
            elif field.name not in ("pseudonymous", "segment_version"):
                leaves[f"{prefix}{field.name}"] = value

    if settings is not None:
        walk("", settings)
    if rules is not None:
        walk("rules.", rules)
    return leaves


def _built(leaves: Mapping[str, Any]) -> tuple[CohortSettings, InclusionRules]:
    """The opposite of `_leaves`."""

    def fill(prefix: str, part: Any) -> Any:
        changes = {}
        for field in fields(part):
            value = getattr(part, field.name)
            name = f"{prefix}{field.name}"
            if is_dataclass(value) and not isinstance(value, type):
                changes[field.name] = fill(f"{name}.", value)
            elif name in leaves:
                changes[field.name] = leaves[name]
        return replace(part, **changes)

    return fill("", CohortSettings()), fill("rules.", InclusionRules())


def write_record(
    out: Path,
    record: RunRecord,
    *,
    predicted_bytes: int = 0,
    is_first: bool = False,
) -> RunRecord:
    """run.json and its copy, and the patterns that the run uses; returns the record as it is read again.

    is_first : raises FileExistsError if there is a record already, be it since a moment ago
    """
    patterns = _kept_patterns(out, record.settings.patterns)
    settings = asdict(record.settings)
    settings["patterns"] = None if patterns is None else patterns.name
    content = {
        "software": f"gsigpu {__version__}",
        "form": RECORD_FORM,
        "pseudonyms": record.pseudonyms or None,
        "settings": settings,
        "rules": asdict(record.rules),
        "predicted_bytes": predicted_bytes,
        "calls": list(record.calls),
    }
    put_json(out / RUN_FILE, content, is_new=is_first)
    put_json(out / _COPY, content)
    for path in out.glob(_PATTERNS.format("*")):
        if path != patterns:
            path.unlink(missing_ok=True)
    return replace(record, settings=replace(record.settings, patterns=patterns))


def _kept_patterns(out: Path, patterns: Path | None) -> Path | None:
    """A file of patterns, in the folder of the run."""
    if patterns is None:
        return None
    content = patterns.read_bytes()
    kept = out / _PATTERNS.format(hashlib.sha256(content).hexdigest()[:_DIGITS])
    put(kept, lambda partial: partial.write_bytes(content))
    return kept


def new_call(what: str, options: Mapping[str, Any], changes: list[str]) -> dict[str, Any]:
    """An entry of the history.

    what : which call it was; changes : of the settings
    """
    return {
        "id": secrets.token_hex(4),
        "begun": datetime.now(UTC).isoformat(timespec="seconds"),
        "software": f"gsigpu {__version__}",
        "call": what,
        "options": dict(options),
        "changed_settings": changes,
        "ended": "",
        "how": "",
        "result": {},
    }


def end_call(out: Path, call: Mapping[str, Any], how: str, result: Mapping[str, Any]) -> None:
    """Tells in the history that a call ended, and how; a call that is not in it, {}, is nobody's concern."""
    if not call:
        return
    ended = datetime.now(UTC).isoformat(timespec="seconds")
    entry = {**call, "ended": ended, "how": how, "result": dict(result)}
    with record_locked(out):
        for name in (_COPY, RUN_FILE):
            content = read_json(out / name)
            if content is not None:
                calls = [entry if old["id"] == call["id"] else old for old in content["calls"]]
                put_json(out / name, {**content, "calls": calls})
