"""Writes totalsegmentator.json: the command line, tasks and classes of TotalSegmentator, as its own code has them.

Run with a Python that has TotalSegmentator; what it depends on (PyTorch and more) need not be there:

    pip install --no-deps TotalSegmentator==2.18.0
    python make_totalsegmentator.py

The parser is the program's own: it is built by its `main`, and taken when that comes to parse. Tests hold gsigpu's calls and the
stand-in of the program to the file.
"""

import argparse
import importlib.metadata
import json
import sys
import types
from pathlib import Path


class _Built(Exception):
    """The parser is there."""


def parser():
    """The parser of the program, without its models."""
    models = types.ModuleType("totalsegmentator.python_api")
    models.totalsegmentator = None
    models.validate_device_type_api = str
    sys.modules["totalsegmentator.python_api"] = models
    from totalsegmentator.bin import TotalSegmentator

    def taken(self, *_):
        raise _Built(self)

    argparse.ArgumentParser.parse_args = taken
    try:
        TotalSegmentator.main()
    except _Built as built:
        return built.args[0]
    raise RuntimeError("the program parses in another way")


def main():
    """Asks the program."""
    from totalsegmentator.registry import TASKS, get_task_classes, requires_license

    options = [
        {
            "names": action.option_strings,
            "values": "none" if action.nargs == 0 else (action.nargs or "one"),
            "choices": list(action.choices) if action.choices else None,
        }
        for action in parser()._actions  # argparse names no other way
    ]
    tasks = {
        task: {"classes": list(get_task_classes(task).values()), "licence": requires_license(task)}
        for task in TASKS
    }
    record = {
        "version": importlib.metadata.version("TotalSegmentator"),
        "options": options,
        "tasks": tasks,
    }
    out = Path(__file__).with_name("totalsegmentator.json")
    out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
