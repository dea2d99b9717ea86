"""The part of a study page that needs no script: pictures, values and warnings as plain HTML."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

_REGIONS = ("core", "rim")


def static_section(study: Mapping[str, Any], data: str = "data") -> str:
    """What stands on the page where it cannot be drawn; every text is escaped.

    study : plain data, as `write_page` takes it
    data : the folder of the pictures, from the page
    """
    maps = {entry["name"]: entry for entry in study["maps"]}
    warnings = [
        *study["warnings"],
        *(line for phase in study["phases"] for line in phase["warnings"]),
    ]
    parts = [f"<p>{escape(line)}</p>" for line in dict.fromkeys(warnings)]
    for phase in study["phases"]:
        parts.append(f"<h2>{escape(phase['name'])}</h2>")
        lesions = {lesion["id"]: lesion for lesion in phase["lesions"]}
        if not lesions:
            parts.append("<p>No lesions in this phase; a whole slice.</p>")
        parts += [
            _figure(picture, phase, maps, lesions.get(picture["lesion"]), data)
            for picture in phase["static"]
        ]
        parts += [
            f"<p>Not measured: {escape(failure['lesion'])}. {escape(failure['reason'])}</p>"
            for failure in phase["failures"]
        ]
    return "\n".join(parts)


def _figure(
    picture: Mapping[str, Any],
    phase: Mapping[str, Any],
    maps: Mapping[str, Mapping[str, Any]],
    lesion: Mapping[str, Any] | None,
    data: str,
) -> str:
    what = f"lesion {picture['lesion']}, " if picture["lesion"] else ""
    place = f"{what}slice {picture['slice']} of {phase['grid']['shape'][0]}"
    shown = [
        f"CT value at {picture['kev']:g} keV",
        *(_window(maps[name]) for name in picture["maps"]),
    ]
    lines = [f"{place}: {', '.join(shown)}, from the left"]
    if lesion is not None:
        lines += _values(lesion, [maps[name] for name in picture["maps"]])
        if lesion["flags"]:
            lines.append(f"flags: {', '.join(lesion['flags'])}")
    width, height = picture["size"]
    caption = "<br>".join(escape(line) for line in lines)
    alt = escape(f"{phase['name']}, {lines[0]}", quote=True)
    return (
        f'<figure><img src="{data}/{picture["image"]}" width="{width}" height="{height}" loading="lazy" alt="{alt}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _window(entry: Mapping[str, Any]) -> str:
    centre, width = entry["window"]
    return f"{entry['title']} {centre - width / 2:g} to {centre + width / 2:g} {entry['unit']}".rstrip()


def _values(lesion: Mapping[str, Any], maps: list[Mapping[str, Any]]) -> list[str]:
    """A line per region: mean ± SD of what the picture shows."""
    lines = []
    for name in _REGIONS:
        values = lesion["regions"].get(name, {}).get("values", {})
        shown = [
            f"{entry['title']} {of['mean']:.2f} ± {_sd(of)} {entry['unit']}".rstrip()
            for entry in maps
            if (of := values.get(entry["parameter"])) and of.get("mean") is not None
        ]
        if shown:
            lines.append(f"{name}: {', '.join(shown)}")
    return lines


def _sd(statistics: Mapping[str, Any]) -> str:
    return "–" if statistics.get("sd") is None else f"{statistics['sd']:.2f}"
