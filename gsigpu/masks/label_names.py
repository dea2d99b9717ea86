"""Names of labels that a file beside a label map says: the dataset.json of nnU-Net."""

from __future__ import annotations

import json
from pathlib import Path

_NAME = "dataset.json"
# What tells a data set of nnU-Net from another file of that name; version 1 has the first two, 2 the others.
_MARKS = ("numTraining", "modality", "channel_names", "file_ending")


def names_file(path: Path) -> Path | None:
    """The dataset.json beside a label volume, or in the folder above (labelsTr/, labelsTs/); None if there is none."""
    for folder in (path.parent, path.parent.parent):
        candidate = folder / _NAME
        if candidate.is_file() and _labels(candidate) is not None:
            return candidate
    return None


def names_beside(path: Path) -> dict[int, str]:
    """Label -> name as the data set of a label volume says; empty where there is none."""
    beside = names_file(path)
    return {} if beside is None else (_labels(beside) or {})


def _labels(path: Path) -> dict[int, str] | None:
    """The labels of a data set without the background; None if the file is something else.

    Version 1 writes {"1": "liver"}, version 2 {"liver": 1}, and {"liver": [1, 2]} for regions that
    unite labels, which name no label.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict) or not any(mark in content for mark in _MARKS):
        return None
    labels = content.get("labels")
    if not isinstance(labels, dict):
        return None
    names: dict[int, str] = {}
    for key, value in labels.items():
        number, name = (key, value) if isinstance(value, str) else (value, key)
        if not isinstance(number, list) and str(number).isdigit() and int(number) > 0:
            names[int(number)] = str(name)
    return names
