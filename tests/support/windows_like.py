"""A Python whose standard library looks to gsigpu as that of Windows does: see `windows_like_hook.py`."""

import json
import os
import shutil
from pathlib import Path

from tests.support.windows_names import MODULES, is_absent, lacking

HERE = Path(__file__).parent


def environment(folder: Path, variables=None):
    """Variables for a child process, and for what it starts; `folder` is where the hook is written.

    variables : those to begin with, which may already run something at the start (`plain_install`); None for this process's
    """
    variables = os.environ if variables is None else variables
    for name in ("windows_like_hook.py", "windows_like_locks.py"):
        shutil.copy(HERE / name, folder)
    names = {
        module: [] if is_absent(module, "win32") else sorted(lacking(module, "win32"))
        for module in MODULES
        if lacking(module, "win32")
    }
    (folder / "windows_names.json").write_text(json.dumps(names), "utf-8")
    start = folder / "sitecustomize.py"
    before = start.read_text("utf-8") if start.exists() else ""
    start.write_text(f"{before}\nimport windows_like_hook\n", "utf-8")
    paths = [str(folder), variables.get("PYTHONPATH", "")]
    return {**variables, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}
