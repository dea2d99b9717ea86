"""Names that follow from content."""

import copy
import uuid

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from gsigpu.dicom.writing.content_names import name_by_content, names_of, pixel_digest
from gsigpu.dicom.writing.uids import derived_uid
from gsigpu.map_files import plane_bytes


@pytest.mark.parametrize("shape", [(512, 512), (7, 9), (1, 3), (1, 1)])
@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.uint8])
def test_any_change_of_a_voxel_shows(shape, dtype):
    rng = np.random.default_rng(5)
    plane = rng.integers(0, 100, shape).astype(dtype)
    digest = pixel_digest(plane_bytes(plane))
    for _ in range(20):
        changed = plane.copy()
        place = tuple(rng.integers(0, shape))
        changed[place] += 1
        assert pixel_digest(plane_bytes(changed)) != digest
    assert pixel_digest(plane_bytes(plane.copy())) == digest


def test_exchanged_rows_show():
    plane = np.arange(64, dtype=np.int16).reshape(4, 16)
    assert pixel_digest(plane_bytes(plane)) != pixel_digest(plane_bytes(plane[::-1]))


def test_names_are_valid_distinct_and_of_one_length():
    all_names = [names_of([bytes([i, j])]) for i in range(50) for j in range(50)]
    uids = [uid for names in all_names for uid in (names.series_uid, names.image_uid(0))]
    assert len(set(uids)) == 2 * len(all_names)
    assert {len(uid) for uid in uids} == {44}
    assert all(UID(uid).is_valid for uid in uids)
    assert {len(names.number) for names in all_names} == {9}
    assert len({names.number for names in all_names}) == len(all_names)


def test_names_are_the_same_on_every_machine():
    """Golden: what an archive holds today is found again tomorrow."""
    digest = pixel_digest(memoryview(bytes(range(256))))
    assert digest.hex() == "e0fa8fcddb3d8d17"
    assert names_of([digest]).number == "279219734"


def test_an_object_is_named_by_all_it_holds():
    ds = FileDataset("", Dataset(), file_meta=FileMetaDataset(), preamble=b"\0" * 128)
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = CTImageStorage
    ds.SeriesInstanceUID = ds.SOPInstanceUID = "1.2.3"
    ds.PatientID = "p"
    ds.PixelData = b"\0\1"
    same, other, pixels = copy.deepcopy(ds), copy.deepcopy(ds), copy.deepcopy(ds)
    same.SOPInstanceUID, same.SeriesNumber = "9.9", 7  # what it was called before does not count
    other.PatientID = "q"
    pixels.PixelData = b"\0\2"
    for each in (ds, same, other, pixels):
        name_by_content(each)
        assert each.SOPInstanceUID == each.file_meta.MediaStorageSOPInstanceUID
    assert ds == same
    for keyword in ("SeriesInstanceUID", "SOPInstanceUID", "SeriesNumber"):
        assert len({str(each[keyword].value) for each in (ds, other, pixels)}) == 3


def test_a_derived_uid_is_the_uuid_of_version_5():
    namespace = uuid.UUID("6f3c1a52-8b1d-5d0e-9a54-0c2b1d7e4f91")
    for parts in ((), ("series", 1), ("größer", 2.5, None), *((z,) for z in range(500))):
        name = "\0".join(map(str, parts))
        assert derived_uid(*parts) == f"2.25.{uuid.uuid5(namespace, name).int}"
