"""Names of labels that a file beside a label map says: the dataset.json of nnU-Net."""

from __future__ import annotations

import json
from pathlib import Path

from gsigpu.errors import MaskError

_NAME = "dataset.json"
# What tells a data set of nnU-Net from another file of that name; version 1 has the first two, 2 the others.
_MARKS = ("numTraining", "modality", "channel_names", "file_ending")


def names_file(path: Path) -> Path | None:
    """The dataset.json beside a label volume, or in the folder above (labelsTr/, labelsTs/); None if there is none."""
    for folder in (path.parent, path.parent.parent):
        candidate = folder / _NAME
        if candidate.is_file() and _labels(candidate) != {}:
            return candidate
    return None


def names_beside(path: Path) -> dict[int, str]:
    """Label -> name as the data set of a label volume says; empty where there is none.

    Raises MaskError where the file of that name cannot be read: what its labels are would be a guess.
    """
    beside = names_file(path)
    names = {} if beside is None else _labels(beside)
    if names is None:
        raise MaskError(
            "names the labels of the masks beside it, and cannot be read as JSON",
            where=beside,
            remedy="copy it again, or take it away",
        )
    return names


def _labels(path: Path) -> dict[int, str] | None:
    """The labels of a data set without the background; empty if the file is something else, None if it cannot be read.

    Version 1 writes {"1": "liver"}, version 2 {"liver": 1}. Where regions unite labels, as in {"liver": [1, 2], "tumor": 2},
    files hold the numbers of `regions_class_order` instead, one for each region that is no background, in their order.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict) or not any(mark in content for mark in _MARKS):
        return {}
    labels = content.get("labels")
    if not isinstance(labels, dict):
        return {}
    if any(isinstance(value, list) for value in labels.values()):
        numbers = content.get("regions_class_order")
        regions = [name for name, value in labels.items() if value not in (0, [0], "0")]
        if not (isinstance(numbers, list) and len(numbers) == len(regions)):
            return {}
        return {
            int(number): name
            for number, name in zip(numbers, regions, strict=True)
            if str(number).isdigit()
        }
    names: dict[int, str] = {}
    for key, value in labels.items():
        number, name = (key, value) if isinstance(value, str) else (value, key)
        if str(number).isdigit() and int(number) > 0:
            names[int(number)] = str(name)
    return names
