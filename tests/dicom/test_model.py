"""What is printed of a study fits a line, and tells of nobody."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gsigpu.dicom.model import HeaderScan, SeriesKind, Skipped
from gsigpu.dicom.reading.headers import scan_headers
from gsigpu.dicom.study.read_study import read_study
from gsigpu.errors import MissingSlices
from gsigpu.phantom.phantom_settings import PhantomSettings
from gsigpu.phantom.truth import plan_phantom
from tests.support.dicom_files import ct_dataset, save, uid

PIXELS = np.zeros((4, 6), np.int16)
SECRETS = ("Muster", "M-4711", "1.2.826", "Secret-Folder", "19500102")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("Secret-Folder-Muster")
    for kev in (40, 70, 100):
        for z in range(3):
            ds = ct_dataset(
                PIXELS, series=f"mono{kev}", description=f"AP Mono {kev} keV", position_mm=(0, 0, z),
                instance_number=z + 1, PatientID="M-4711", PatientName="Muster^Erika",
            )  # fmt: skip
            save(ds, folder / "M-4711" / f"{kev}-{z}")
    (folder / "notes").write_text("Muster")
    return read_study(folder)


def objects(study):
    series = study.series[0]
    scan = scan_headers(study.root)
    yield study
    yield series
    yield replace(series, problem=MissingSlices("gap in Muster", where="/Secret-Folder/M-4711"))
    yield series.geometry
    yield from (series.planes[0], series.evidence, scan, scan.skipped[0])
    yield Skipped(Path("/Secret-Folder/Muster"), "M-4711 is damaged", damaged=True)
    yield HeaderScan(planes=series.planes, skipped=(), n_files=3)


def test_no_repr_tells_whose_images_these_are(study):
    for thing in objects(study):
        for text in (repr(thing), str(thing), f"{thing}"):
            assert len(text) < 200, text
            assert not [secret for secret in SECRETS if secret in text], text
            assert uid("study", "mono40") not in text


def test_nor_does_a_phantom(tmp_path):
    settings = PhantomSettings(shape=(3, 41, 57), spacing_mm=(7.3, 6.5, 6.5), n_lesions=0)
    truth = plan_phantom(replace(settings, patient_id="M-4711"))
    for thing in (truth, replace(truth, folder=tmp_path / "Muster"), truth.composition()):
        assert len(repr(thing)) < 200
        assert not [secret for secret in SECRETS if secret in repr(thing)]


def test_a_list_of_all_planes_is_short(study):
    planes = [plane for series in study.series for plane in series.planes]
    assert len(repr(planes)) < 60 * len(planes)


def test_reprs_say_what_matters(study):
    assert repr(study).startswith("<Study: 3 series, 1 skipped files")
    assert repr(study.series[0]) == "<Series: vmi, 40 keV, AP; 3 slices>"
    assert repr(study.series[0].planes[0]) == "<Plane: 4 x 6, frame 1>"


def test_the_table_of_a_notebook(study):
    html = study._repr_html_()
    assert html.count("<tr>") == 4
    assert "<td>70</td><td>AP</td><td>3</td><td>3 x 4 x 6</td>" in html
    assert not [secret for secret in SECRETS if secret in html]


def test_the_table_is_escaped(study):
    series = replace(study.series[0], phase="<script>alert(1)</script>", kind=SeriesKind.OTHER)
    html = replace(study, series=(series,))._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_the_table_names_the_kind_of_a_problem(study):
    problem = MissingSlices("gap in Muster", where="/Secret-Folder/M-4711")
    html = replace(study, series=(replace(study.series[0], problem=problem),))._repr_html_()
    assert "<td>missing-slices</td>" in html
    assert "Muster" not in html
