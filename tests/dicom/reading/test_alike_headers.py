"""Headers that are like others give what they give when each is read by itself."""

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ImplicitVRLittleEndian, RLELossless

from gsigpu.backends import compiled_files, compiled_headers
from gsigpu.backends.compiled import choose_loop
from gsigpu.dicom.reading import headers
from gsigpu.dicom.reading.headers import scan_headers
from tests.support.dicom_files import ct_dataset, save

PIXELS = np.arange(48, dtype=np.int16).reshape(6, 8)


def image(z, kev=70, **attributes):
    attributes = {"SeriesNumber": kev, "description": f"Mono {kev} keV", **attributes}
    ds = ct_dataset(
        PIXELS,
        series=f"mono{kev}",
        instance_number=z + 1,
        position_mm=(0.0, -100.5, 1.25 * z),
        **attributes,
    )
    block = ds.private_block(0x19, "GEMS_ACQU_01", create=True)
    block.add_new(0x24, "DS", f"{1.25 * z:g}")  # as scanners write of each slice
    block.add_new(0x25, "SL", z)
    return ds


@pytest.fixture
def both(monkeypatch):
    """(scan with the loop, scan without, headers that were read by themselves with it)."""

    def scans(folder):
        loop, words = choose_loop()
        if loop is None:
            pytest.skip(f"no loop: {words}")
        by_itself = []
        add_plain = headers._Scanner.add_plain
        with monkeypatch.context() as patched:
            patched.setattr(
                headers._Scanner,
                "add_plain",
                lambda self, name, head: by_itself.append(name) or add_plain(self, name, head),
            )
            alike = scan_headers(folder)
        with monkeypatch.context() as patched:
            patched.setattr(compiled_headers, "choose_loop", lambda: (None, ""))
            each = scan_headers(folder)
            patched.setattr(compiled_files, "choose_loop", lambda: (None, ""))
            assert scan_headers(folder) == each
        return alike, each, len(by_itself)

    return scans


def shared_evidence(scan):
    """Which planes share one object."""
    numbers = {}
    return [numbers.setdefault(id(plane.evidence), len(numbers)) for plane in scan.planes]


def assert_same(alike, each):
    assert alike == each
    assert shared_evidence(alike) == shared_evidence(each)


@pytest.mark.parametrize("order", ["series by series", "slice by slice"])
@pytest.mark.parametrize("syntax", ["explicit", "implicit", "compressed"])
def test_series_in_any_order(tmp_path, both, order, syntax):
    """A few of each series show what the others are like."""
    for k, kev in enumerate((40, 70, 100, 140)):
        for z in range(50):
            ds = image(z, kev, AcquisitionTime=f"1011{z:02d}")
            if syntax == "implicit":
                ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
            elif syntax == "compressed":
                ds.compress(RLELossless, generate_instance_uid=False)
            name = f"{k}{z:03d}" if order == "series by series" else f"{z:03d}{k}"
            save(ds, tmp_path / name)
    alike, each, n_by_itself = both(tmp_path)
    assert_same(alike, each)
    assert len(alike.planes) == 200
    assert n_by_itself < 60 if syntax == "compressed" else n_by_itself < 30


def test_what_a_slice_says_of_its_own_is_not_taken_from_others(tmp_path, both):
    """One thing after the other that a slice among its like has otherwise; some are only found where they stand."""
    others = [
        {"RescaleIntercept": "-1024"},
        {"PixelSpacing": [0.7, 0.7]},
        {"SeriesDescription": "Mono 71 keV"},
        {"KVP": "140"},
        {"ImagePositionPatient": None},
        {"ImagePositionPatient": ["0", "0"]},
        {"InstanceNumber": None},
        {"InstanceNumber": "7 "},
        {"InstanceNumber": ""},
        {"SOPInstanceUID": "1.2"},
        {"Rows": 5},
        {"NumberOfFrames": 1},
        {"NumberOfFrames": 2},
        {"ImageComments": "more"},
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4"},
    ]
    for z in range(200):
        ds = image(z)
        if z % 9 == 8 and z // 9 < len(others):
            for keyword, value in others[z // 9].items():
                if value is None:
                    delattr(ds, keyword)
                else:
                    setattr(ds, keyword, value)
        save(ds, tmp_path / f"{z:03d}")
    for name, change in {
        "160": lambda whole: whole[:128] + b"MCID" + whole[132:],
        "165": lambda whole: whole[:-2],
        "170": lambda whole: whole[:400],
        "175": lambda whole: whole.replace(b"-100.5", b"-10x.5"),
        "180": lambda whole: whole.replace(b"-100.5", b"-1_0.5"),
    }.items():
        path = tmp_path / name
        path.write_bytes(change(path.read_bytes()))
    alike, each, n_by_itself = both(tmp_path)
    assert_same(alike, each)
    assert {plane.intercept for plane in alike.planes} == {0.0, -1024.0}
    assert len(alike.skipped) >= 4
    assert n_by_itself < 120


def test_a_private_note_of_a_kev_is_read_where_it_stands(tmp_path, both):
    for z in range(120):
        ds = image(z)
        block = ds.private_block(0x19, "GEMS_ACQU_01")
        block.add_new(0x30, "LO", "energy 65 KeV" if z in (40, 41, 90) else f"slice {z}")
        save(ds, tmp_path / f"{z:03d}")
    alike, each, _ = both(tmp_path)
    assert_same(alike, each)
    speaking = [i for i, plane in enumerate(alike.planes) if plane.evidence.private]
    assert speaking == [40, 41, 90]


def test_sequences_of_undefined_length_that_differ(tmp_path, both):
    for z in range(60):
        ds = image(z)
        item = Dataset()
        item.CodeMeaning = "x" * (1 + z % 7)
        ds.AnatomicRegionSequence = Sequence([item])
        ds["AnatomicRegionSequence"].is_undefined_length = True
        save(ds, tmp_path / f"{z:03d}")
    alike, each, _ = both(tmp_path)
    assert_same(alike, each)
    assert len(alike.planes) == 60


def test_more_series_than_are_kept(tmp_path, both):
    for z in range(3):
        for k in range(30):
            save(image(z, 40 + k), tmp_path / f"{z}{k:02d}")
    assert_same(*both(tmp_path)[:2])
