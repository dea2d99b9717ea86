"""`gsigpu info`: what is installed and what can be used."""

from __future__ import annotations

import json
import sys
from typing import Any

import typer

from gsigpu.cli import options
from gsigpu.cli.config_file import FILE_NAME, VARIABLE, ConfigFile, as_words
from gsigpu.cli.console import table
from gsigpu.installed import installed_version
from gsigpu.version import __version__

_SHOWN = ("numpy", "scipy", "pydicom", "imagecodecs", "highdicom", "SimpleITK", "xraydb")


def info(context: typer.Context, *, as_json: options.AsJson = False) -> None:
    """Show version, backends, why the GPU is or is not usable, and the available codecs.

    Example: gsigpu info --json
    """
    config: ConfigFile | None = context.obj
    facts = _facts(config)
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    gpu = facts["gpu"]
    rows = [
        ["gsigpu", facts["version"]],
        ["Python", facts["python"]],
        ["libraries", ", ".join(f"{name} {number}" for name, number in facts["libraries"].items())],
        ["backend cpu", f"{facts['cpu_loop']}, {facts['threads']} threads"],
        [
            "backend gpu",
            f"{gpu['name']}, {gpu['memory_gib']:.0f} GiB, compute capability {gpu['compute_capability']},"
            f" CUDA {gpu['runtime_version']}, driver {gpu['driver_version']}, CuPy {gpu['cupy_version']}"
            if gpu
            else f"not usable: {facts['why_no_gpu']}",
        ],
        ["backend auto", f"takes {'the GPU' if gpu else 'the CPU'}"],
        ["options", facts["config"] or f"no {FILE_NAME} here, and no {VARIABLE}"],
        *(["", f"{command}: {as_words(given)}"] for command, given in facts["options"].items()),
        *(["codec", f"{name}: {decoder}"] for name, decoder in facts["codecs"].items()),
    ]
    typer.echo(table(["", ""], rows).lstrip("\n"))


def _facts(config: ConfigFile | None) -> dict[str, Any]:
    from gsigpu.backends.compiled import choose_loop
    from gsigpu.backends.device import device_summary, why_no_gpu
    from gsigpu.dicom.reading.transfer_syntaxes import available_codecs
    from gsigpu.pipeline.workers import default_workers

    reason = why_no_gpu()
    summary = None if reason else device_summary()
    return {
        "version": __version__,
        "python": sys.version.split()[0],
        "libraries": {name: installed_version(name) or "not installed" for name in _SHOWN},
        "threads": default_workers(),
        "cpu_loop": choose_loop()[1],
        "config": None if config is None else str(config.path),
        "options": {} if config is None else config.options,
        "gpu": None
        if summary is None
        else {name: getattr(summary, name) for name in type(summary).__dataclass_fields__},
        "why_no_gpu": reason,
        "codecs": available_codecs(),
    }
