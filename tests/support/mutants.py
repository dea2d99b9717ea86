"""A module with a fault in it: what a test must notice."""

import sys
from pathlib import Path
from types import ModuleType


def mutated(module, before, after):
    """The module's source, run anew with `before` replaced; it stands in no other module's imports.

    Fails where the source no longer has `before`.
    """
    text = Path(module.__file__).read_text("utf-8")
    assert text.count(before) >= 1, f"the source has changed: {before!r}"
    mutant = ModuleType(f"{module.__name__}_mutated")
    sys.modules[mutant.__name__] = mutant  # dataclasses and closures look it up
    try:
        code = compile(
            text.replace(before, after), f"{Path(module.__file__).stem}_mutated.py", "exec"
        )
        exec(code, mutant.__dict__)
    finally:
        del sys.modules[mutant.__name__]
    return mutant
