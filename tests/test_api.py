"""`import gsigpu` is the command line's verbs, and costs nothing until one is used."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import gsigpu
import gsigpu.errors


def test_verbs():
    for name in gsigpu.__all__:
        assert getattr(gsigpu, name) is not None
    assert set(dir(gsigpu)) == set(gsigpu.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = gsigpu.nonsense


def test_every_error_and_every_settings_class_is_there():
    for name, kind in vars(gsigpu.errors).items():
        if isinstance(kind, type) and kind.__module__ == "gsigpu.errors":
            assert getattr(gsigpu, name) is kind
    package = Path(gsigpu.__file__).parent
    settings = {
        name
        for path in package.rglob("*.py")
        for name in re.findall(r"^class (\w+Settings)\b", path.read_text("utf-8"), re.MULTILINE)
    }
    assert settings <= set(gsigpu.__all__)


def test_scan_and_map(tmp_path):
    small = gsigpu.PhantomSettings(
        shape=(3, 32, 40), spacing_mm=(5.0, 9.0, 9.0), n_lesions=0, phases=("AP",), extras=()
    )
    phantom = gsigpu.write_phantom(tmp_path / "phantom", small)
    study = gsigpu.scan(str(phantom.dicom_folder))
    result = gsigpu.map(study, str(tmp_path / "maps"), maps=["iodine"], backend="cpu")
    assert result.report.n_slices == 3


def test_import_is_light():
    """Neither pydicom nor NumPy, and CuPy never before it is asked for."""
    code = "import sys, gsigpu; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"numpy", "pydicom", "cupy", "matplotlib"} & set(loaded)
    code = "import sys, gsigpu.cli.app; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"cupy", "matplotlib", "xraydb", "highdicom", "SimpleITK"} & set(loaded)
