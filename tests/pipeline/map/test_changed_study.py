"""A study that is rewritten after it was scanned gives no map."""

from dataclasses import replace

import pydicom
import pytest

import gsigpu
from gsigpu.errors import FileChanged

SMALL = gsigpu.PhantomSettings(
    shape=(3, 32, 40), spacing_mm=(5.0, 9.0, 9.0), n_lesions=0, phases=("AP",), extras=(),
    energies_kev=(60.0, 100.0),
)  # fmt: skip


@pytest.mark.parametrize("layout", ["classic", "enhanced"])
def test_an_anonymiser_that_lengthens_names_between_scan_and_map(tmp_path, layout):
    """Every element behind the name moves: read at the old offsets, the image would be shifted."""
    settings = replace(SMALL, layout=layout)
    folder = gsigpu.write_phantom(tmp_path / "phantom", settings).dicom_folder
    study = gsigpu.scan(folder)
    path = sorted(path for path in folder.rglob("*") if path.is_file())[-1]
    ds = pydicom.dcmread(path)
    ds.PatientName = "A name that is a good deal longer than the one before"
    ds.save_as(path)
    with pytest.raises(FileChanged, match=rf"{path.name}: was changed after it was first read"):
        gsigpu.map(study, tmp_path / "maps", backend="cpu")
    assert not (tmp_path / "maps").exists()
    gsigpu.map(gsigpu.scan(folder), tmp_path / "maps", backend="cpu")


def test_a_slice_replaced_by_another_of_the_same_length(tmp_path):
    folder = gsigpu.write_phantom(tmp_path / "phantom", SMALL).dicom_folder
    study = gsigpu.scan(folder)
    path = study.series[0].planes[1].path
    data = bytearray(path.read_bytes())
    data[-2:] = b"\1\1"
    other = tmp_path / "other"
    other.write_bytes(data)
    other.replace(path)
    with pytest.raises(FileChanged, match=path.name):
        gsigpu.map(study, tmp_path / "maps", backend="cpu")
