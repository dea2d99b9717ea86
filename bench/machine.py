"""The machine that a benchmark runs on, and where its results go. Needs nothing but Python."""

from __future__ import annotations

import os
import platform
from pathlib import Path

N_CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
RESULTS = Path(__file__).with_name("results")
# Commands are timed as those of an installation, which keeps its modules compiled.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def processor_name() -> str:
    """As the system calls it; a name without a number ("AMD EPYC") is that of several processors, so family and model follow it."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor() or platform.machine()
    fields: dict[str, str] = {}
    for line in info.read_text().splitlines():
        field, _, value = line.partition(":")
        fields.setdefault(field.strip(), value.strip())
    name = fields.get("model name", platform.machine())
    if any(letter.isdigit() for letter in name) or "cpu family" not in fields:
        return name
    return f"{name}, family {fields['cpu family']} model {fields.get('model', '?')}"
