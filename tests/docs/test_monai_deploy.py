"""The application of docs/howto/monai-deploy.md leaves what the commands leave."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import pandas as pd
import pytest
from pydicom import dcmread

import gsigpu
from gsigpu.phantom import write_phantom
from tests.support import monai_deploy_stand_in
from tests.support.cohort import TINY
from tests.support.places import ROOT

PAGE = (ROOT / "docs/howto/monai-deploy.md").read_text("utf-8")
APPLICATION = re.search(r"^```python\n(.*?)^```$", PAGE, re.S | re.M)[1]
HAS_SDK = importlib.util.find_spec("holoscan") is not None


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    write_phantom(folder / "phantom", replace(TINY, phases=("AP", "PVP")))
    (folder / "phantom/dicom").rename(folder / "input")
    shutil.copy(folder / "phantom/masks/lesions.nii.gz", folder / "input")
    return folder


def is_what_the_commands_leave(study, out):
    masks = gsigpu.MaskFiles((study / "input/lesions.nii.gz",))
    measured = gsigpu.measure_phases(study / "input", masks)
    gsigpu.write_phases(measured, out / "expected.csv", masks=masks)
    table = pd.read_csv(out / "lesions.csv")
    pd.testing.assert_frame_equal(table, pd.read_csv(out / "expected.csv"))
    phases = set(table.phase)
    assert phases == {"AP", "PVP", "AP-PVP"}
    assert sorted(path.name for path in (out / "maps").iterdir() if path.is_dir()) == ["AP", "PVP"]
    for phase in ("AP", "PVP"):
        for kind, modality in (("seg", "SEG"), ("sr", "SR"), ("pr", "PR")):
            assert dcmread(out / f"lesions.{phase}.{kind}.dcm").Modality == modality
        for name in ("lambda-hu", "iodine"):
            slices = [*(out / "maps" / phase / name).glob("*.dcm")]
            assert {dcmread(path).Modality for path in slices} == {"CT"}


def test_the_page_is_a_page():
    assert len(PAGE.splitlines()) < 80


def test_it_runs_on_what_it_uses_of_the_sdk(study, tmp_path, monkeypatch):
    monai_deploy_stand_in.install(monkeypatch)
    words = ["app.py", "--input", str(study / "input"), "--output", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", [*words, "--log-level", "WARN"])
    exec(compile(APPLICATION, "app.py", "exec"), {"__name__": "__main__"})
    is_what_the_commands_leave(study, tmp_path / "out")


@pytest.mark.skipif(
    not HAS_SDK, reason="needs monai-deploy-app-sdk, which is not in constraints.txt"
)
def test_it_runs_in_the_sdk(study, tmp_path):
    (tmp_path / "app.py").write_text(APPLICATION, "utf-8")
    words = ["app.py", "--input", str(study / "input"), "--output", "out", "--log-level", "WARN"]

    def run():
        return subprocess.run(
            [sys.executable, *words], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip

    done = run()
    assert done.returncode == 0, done.stderr[-3000:]
    is_what_the_commands_leave(study, tmp_path / "out")
    again = run()  # what is there is not replaced: an error of gsigpu ends the program
    assert again.returncode != 0
    assert "OutputError" in again.stderr
