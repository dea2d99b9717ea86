"""What gsigpu writes it reads again: the lesions that a SEG was made from, and only these."""

import json
import os
import subprocess
from dataclasses import replace

import duckdb
import nibabel
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gsigpu.dicom.study.read_study import read_study
from gsigpu.errors import FileChanged
from gsigpu.masks import read_masks
from gsigpu.masks.roles import parse_roles
from gsigpu.phantom import PhantomSettings, write_phantom
from gsigpu.pipeline.measure.given_masks import MaskFiles
from gsigpu.pipeline.measure.measure_study import measure_study
from gsigpu.pipeline.measure.measurement import MeasureSettings
from gsigpu.pipeline.measure.parameters import ParameterSettings
from gsigpu.pipeline.measure.write_measurement import write_measurement

SMALL = PhantomSettings(
    shape=(12, 64, 80),
    spacing_mm=(10.0, 4.4, 4.4),
    n_lesions=3,
    diameter_mm=(28.0, 30.0),
    energies_kev=(60.0, 70.0, 100.0),
    phases=("PVP",),
    extras=(),
)
SETTINGS = MeasureSettings(ParameterSettings(maps=("iodine",), curve=False))


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return write_phantom(tmp_path_factory.mktemp("own") / "phantom", SMALL)


@pytest.fixture(scope="module")
def study(truth):
    return read_study(truth.dicom_folder)


@pytest.fixture(scope="module")
def measured(truth, study, tmp_path_factory):
    """Three lesions under names of all kinds, with all regions, written as a table and as DICOM."""
    folder = tmp_path_factory.mktemp("written")
    labels = np.asarray(nibabel.load(truth.lesion_mask).dataobj)
    apart = np.where(labels == 3, 2, labels)  # two lesions under one label, to be split
    nibabel.save(nibabel.Nifti1Image(apart, truth.geometry.affine_ras), folder / "m.nii.gz")
    files = MaskFiles(
        (folder / "m.nii.gz",),
        liver=truth.liver_mask,
        aorta=truth.aorta_mask,
        roles=parse_roles({}, {"1": "segment IVa"}),
        split=True,
    )
    measurement = measure_study(study, files, settings=SETTINGS)
    write_measurement(measurement, folder / "t.csv", masks=files, with_dicom=True)
    write_measurement(measurement, folder / "p.parquet", masks=files)
    return folder, measurement


def test_a_seg_gives_back_the_lesions_that_it_was_made_from_and_only_these(study, measured):
    folder, first = measured
    again = measure_study(study, MaskFiles((folder / "t.seg.dcm",)), settings=SETTINGS)
    assert [layout.lesion.lesion_id for layout in first.layout.lesions] == [
        "segment IVa",
        "2-01",
        "2-02",
    ]
    assert [layout.lesion.lesion_id for layout in again.layout.lesions] == [
        "segment IVa",
        "2-01",
        "2-02",
    ]
    for old, new in zip(first.layout.lesions, again.layout.lesions, strict=True):
        assert old.lesion.mask.origin == new.lesion.mask.origin
        np.testing.assert_array_equal(old.lesion.mask.voxels, new.lesion.mask.voxels)
    # Rim, core and shell follow from the lesion; parenchyma and aorta are what they were.
    assert again.failures == ()
    regions = {
        (region.lesion_id, region.region)
        for region in again.layout.regions
        if region.region == "parenchyma"
    }
    assert regions == {("", "parenchyma")}
    columns = ["lesion_id", "region", "parameter", "statistic"]
    kept = ["rim", "core", "lesion", "parenchyma", "aorta"]
    old, new = (
        table[table.region.isin(kept) & (table.statistic == "mean")].set_index(columns).value
        for table in (first.table, again.table)
    )
    pd.testing.assert_series_equal(old.sort_index(), new.sort_index())


def test_the_regions_of_a_seg_are_known_by_what_they_are(study, measured):
    folder, _ = measured
    again = measure_study(study, MaskFiles((folder / "t.seg.dcm",)), settings=SETTINGS)
    roles = {role.name: role.role.value for role in again.masks.roles}
    assert roles["lesion 2-01"] == "lesion"
    assert roles["lesion 2-01 rim"] == roles["lesion segment IVa core"] == "ignore"
    assert roles["parenchyma"] == "normal"
    assert roles["aorta"] == "aorta"


def test_ids_are_text_to_whoever_reads_the_table(measured):
    """pandas without types, DuckDB's and R's own guesses, and Parquet's schema."""
    folder, first = measured
    expected = {placed.lesion.lesion_id for placed in first.layout.lesions}
    path = folder / "t.csv"
    by_pandas = set(pd.read_csv(path).lesion_id.dropna())
    by_duckdb = {
        row[0]
        for row in duckdb.sql(f"select distinct lesion_id from read_csv('{path}')").fetchall()
        if row[0]
    }
    assert by_pandas == by_duckdb == expected
    schema = pq.read_schema(folder / "p.parquet")
    for column in ("case_id", "patient_id", "lesion_id", "reader"):
        kind = schema.field(column).type
        assert pa.types.is_string(kind) or pa.types.is_large_string(kind), column
    script = f'x <- read.csv("{path}"); cat(sort(unique(as.character(x$lesion_id[x$lesion_id != ""]))), sep="\\n")'
    try:
        done = subprocess.run(
            ["Rscript", "-e", script], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return
    assert set(done.stdout.split("\n")) - {"", "NA"} == expected


def test_a_mask_that_changes_while_it_is_read_is_an_error(truth, study, monkeypatch):
    """What is hashed is what was measured."""
    from gsigpu.masks import volume_masks

    original = volume_masks.read_volume

    def touched(path, **options):
        image = original(path, **options)
        status = path.stat()
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))
        return image

    monkeypatch.setattr(volume_masks, "read_volume", touched)
    with pytest.raises(FileChanged, match="was changed"):
        read_masks(truth.lesion_mask, study.series[0].geometry)


def test_the_record_holds_the_hash_of_what_was_read(truth, study, tmp_path):
    """Of the voxels beside a header too, and it is not taken again when the files have changed since."""
    import SimpleITK

    SimpleITK.WriteImage(SimpleITK.ReadImage(str(truth.lesion_mask)), str(tmp_path / "m.mhd"))
    files = MaskFiles((tmp_path / "m.mhd",))
    measurement = measure_study(study, files, settings=SETTINGS)
    assert {path.name for path in measurement.masks.parts} == {"m.mhd", "m.raw"}
    content = (tmp_path / "m.raw").read_bytes()
    (tmp_path / "m.raw").write_bytes(bytes(len(content)))
    write_measurement(measurement, tmp_path / "t.csv", masks=files)
    record = json.loads((tmp_path / "t.json").read_text("utf-8"))
    (tmp_path / "m.raw").write_bytes(content)
    again = measure_study(study, files, settings=replace(SETTINGS, with_se=False))
    assert record["masks"][0]["sha256"] == again.masks.digests[tmp_path / "m.mhd"]
