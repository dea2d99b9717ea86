"""Columns `region:NAME` of a manifest: measured as `gsigpu measure --region` does, with and without lesions."""

import json
from dataclasses import replace

import pandas as pd
import pytest

import gsigpu
from gsigpu.errors import InputError
from gsigpu.pipeline.cohort_run.cohort_task import CohortSettings
from gsigpu.pipeline.cohort_run.row_files import named_files, row_key
from gsigpu.pipeline.cohort_run.run_cohort import run_cohort
from gsigpu.tables.manifest import ManifestProblems, read_manifest
from gsigpu.tables.pseudonyms import Pseudonyms


@pytest.fixture(scope="module")
def cohort(make_cohort):
    """Two cases: one with lesions and a spleen, one with a spleen alone; the phantom's aorta stands for it."""
    cohort = make_cohort(2)
    table = pd.read_csv(cohort.manifest, dtype="str", keep_default_na=False)
    table["patient_id"] = ["P1", "P2"]
    table["region:spleen"] = ["C01/masks/aorta.nii.gz", "C02/masks/aorta.nii.gz"]
    table["region:scar"] = ["C01/masks/vessels.nii.gz", ""]
    table.loc[1, "mask"] = ""
    table.to_csv(cohort.manifest, index=False)
    return cohort


def table_of(out):
    return pd.read_csv(out / "measurements.csv", dtype={"lesion_id": "str"}, keep_default_na=False)


def test_rows_measure_the_regions_of_their_columns(cohort, tmp_path, inline):
    """The numbers are those of a measurement of the study alone; a row without lesions is a row of the tables."""
    result = run_cohort(
        cohort.manifest, tmp_path, settings=CohortSettings(pictures=True, review=True)
    )
    assert (result.n_done, result.n_failed) == (2, 0)
    table = table_of(tmp_path)
    of_case = table.groupby("case_id").region.agg(set)
    assert {"spleen", "scar", "core"} <= of_case["C01"]
    assert of_case["C02"] == {"spleen", "parenchyma"}
    assert not [column for column in table.columns if "region:" in column]
    row = read_manifest(cohort.manifest)[1]
    alone = gsigpu.measure(row.study, gsigpu.MaskFiles((), regions=row.regions), phase="PVP").table
    key = ["parameter", "statistic"]
    first = table[(table.case_id == "C02") & (table.region == "spleen")].set_index(key).value
    second = alone[alone.region == "spleen"].set_index(key).value
    pd.testing.assert_series_equal(
        pd.to_numeric(first), second, check_index_type=False, check_index=True
    )
    assert sum(group.n_patients for group in result.tables.groups) == 2
    (record,) = [json.loads(path.read_text("utf-8")) for path in (tmp_path / "cases").glob("C02*/*.json")]  # fmt: skip
    assert [mask["region"] for mask in record["region_masks"]] == ["spleen"]


def test_a_changed_mask_of_a_region_changes_the_key_of_its_row(cohort):
    rows = read_manifest(cohort.manifest)
    called = [name for _, name in named_files(rows[0])]
    assert {"region:spleen", "region:scar"} <= set(called)
    digests = ["0"] * len(called)
    key = row_key(rows[0], "s", digests, "v")
    assert row_key(rows[0], "s", [*digests[:-1], "1"], "v") != key


def test_what_cannot_be_a_column_of_a_region(cohort):
    text = cohort.manifest.read_text("utf-8")
    for name, line in (
        ("aorta", "a region cannot be called 'aorta': the name is taken or empty"),
        ("", "a region cannot be called '': the name is taken or empty"),
        ("Scar", "columns 'region:Scar' and 'region:scar' name one region"),
    ):
        manifest = cohort.folder / "other.csv"
        manifest.write_text(text.replace("region:spleen", f"region:{name}"), "utf-8")
        with pytest.raises(ManifestProblems) as told:
            read_manifest(manifest)
        assert line in str(told.value)
    manifest.write_text(text.replace("C02/masks/aorta", "C02/masks/gone"), "utf-8")
    with pytest.raises(
        ManifestProblems, match=r"region:spleen 'C02/masks/gone\.nii\.gz' is not there"
    ):
        read_manifest(manifest)
    manifest.write_text(text.replace("C02/masks/aorta.nii.gz", ""), "utf-8")
    with pytest.raises(ManifestProblems, match="line 3: mask is empty"):
        read_manifest(manifest)


def test_a_pseudonymous_run_names_no_patient_by_a_region(cohort):
    rows = read_manifest(cohort.manifest)
    pseudonyms = Pseudonyms(b"a key that is long enough")
    assert [row.regions for row in pseudonyms.rows(rows)] == [row.regions for row in rows]
    named = replace(rows[0], patient_id="Anna4711", regions=(("of Anna 4711", rows[0].masks[0]),))
    with pytest.raises(InputError, match="the name of a region holds the row's identifier"):
        pseudonyms.rows([named])
