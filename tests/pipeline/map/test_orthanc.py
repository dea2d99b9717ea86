"""What is written opens in an archive: Orthanc takes it, finds it in its study, and gives it back."""

from io import BytesIO

import numpy as np
import pytest
from pydicom import dcmread

from gsigpu.dicom.study.read_study import read_study
from gsigpu.phantom import PhantomSettings, write_phantom
from gsigpu.pipeline.map.map_study import map_study
from gsigpu.pipeline.measure.given_masks import MaskFiles
from gsigpu.pipeline.measure.measure_study import measure_study
from gsigpu.pipeline.measure.write_measurement import write_measurement
from tests.support.archive import running_archive

pytestmark = pytest.mark.tools

SETTINGS = PhantomSettings(
    shape=(6, 96, 96),
    spacing_mm=(10.0, 4.0, 4.0),
    n_lesions=2,
    diameter_mm=(25.0, 30.0),
    phases=("PVP",),
    energies_kev=(60.0, 100.0),
    extras=(),
)
# What Orthanc calls them, and how many files each is.
EXPECTED = {
    "ct/lambda-hu": ("CT", 6),
    "pm": ("OT", 1),
    "rgb/lambda-hu": ("CT", 6),
    "seg": ("SEG", 1),
    "sr": ("SR", 1),
}


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """Every DICOM output of a study, by kind."""
    folder = tmp_path_factory.mktemp("outputs")
    phantom = write_phantom(folder / "phantom", SETTINGS)
    study = read_study(phantom.dicom_folder)
    for kind in ("ct", "pm", "rgb"):
        map_study(study, folder / kind, maps=["lambda-hu"], output_format=kind, backend="cpu")
    masks = MaskFiles((phantom.lesion_mask,), liver=phantom.liver_mask)
    measured = measure_study(study, masks)
    write_measurement(measured, folder / "m.csv", masks=masks, with_dicom=True)
    return {
        "source": sorted(phantom.dicom_folder.rglob("*.dcm")),
        "ct/lambda-hu": sorted((folder / "ct").rglob("*.dcm")),
        "pm": sorted((folder / "pm").rglob("*.dcm")),
        "rgb/lambda-hu": sorted((folder / "rgb").rglob("*.dcm")),
        "seg": [folder / "m.seg.dcm"],
        "sr": [folder / "m.sr.dcm"],
    }


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    with running_archive(tmp_path_factory.mktemp("orthanc")) as running:
        yield running


def test_orthanc_takes_every_output_into_the_study_of_its_source(outputs, archive):
    identifiers = {}
    for path in (path for paths in outputs.values() for path in paths):
        answer = archive.json("/instances", path.read_bytes())
        assert answer["Status"] == "Success", path
        identifiers[path] = answer["ID"]
        assert archive.get(f"/instances/{answer['ID']}/file") == path.read_bytes()
    assert len(archive.json("/patients")) == 1
    (study,) = archive.json("/studies")
    n_series = len(archive.json(f"/studies/{study}")["Series"])
    assert n_series == len(SETTINGS.energies_kev) + len(EXPECTED)
    for kind, (modality, n_files) in EXPECTED.items():
        series = archive.json(f"/instances/{identifiers[outputs[kind][0]]}/series")
        assert series["MainDicomTags"]["Modality"] == modality, kind
        assert len(series["Instances"]) == n_files, kind
    for kind in (
        "ct/lambda-hu",
        "rgb/lambda-hu",
    ):  # Orthanc's decoder sees the numbers, and the colours
        path = outputs[kind][2]
        shown = np.load(BytesIO(archive.get(f"/instances/{identifiers[path]}/numpy?rescale=0")))
        np.testing.assert_array_equal(shown.squeeze(), dcmread(path).pixel_array)
