"""Nothing that a run leaves names the patient."""

import re
import unicodedata

import numpy as np
import pyarrow.parquet as pq
import pytest
from pydicom import dcmread
from typer.testing import CliRunner

from gsigpu.cli.app import app
from gsigpu.dicom.writing.identity import identity_of
from gsigpu.errors import InputError, SettingsError
from gsigpu.pipeline.cohort_run.checks import CohortOptions
from gsigpu.pipeline.cohort_run.cohort_task import CohortSettings
from gsigpu.pipeline.cohort_run.run_cohort import run_cohort
from gsigpu.tables.measurement_table import read_table
from gsigpu.tables.pseudonyms import read_key
from tests.support.dicom_files import ct_dataset

NAME = "Zwiebelfisch^Änne=山田^太郎"
PLANTED = {
    "PatientName": NAME,
    "PatientID": "HN-4711-XQ",
    "PatientBirthDate": "19480229",
    "AccessionNumber": "ACCQ90210",
    "ReferringPhysicianName": "Quacksalber^Otto",
    "InstitutionName": "Klinikum Entenhausen",
}
# As they may be met with, compared without regard to case and composition.
WORDS = (
    "Zwiebelfisch", "Änne", "Ã\x84nne", "山田", "太郎", "HN-4711-XQ", "HN4711XQ",
    "19480229", "1948-02-29", "29.02.1948", "ACCQ90210", "Quacksalber", "Entenhausen",
)  # fmt: skip


def plant(path, extra=""):
    ds = dcmread(path)
    ds.SpecificCharacterSet = "ISO_IR 192"
    for keyword, value in PLANTED.items():
        setattr(ds, keyword, value)
    ds.SeriesDescription = f"{ds.SeriesDescription} {extra}".strip()
    ds.save_as(path)


@pytest.fixture(scope="module")
def identified(make_cohort):
    """Four cases of a person, whose name is in headers, in paths, in series descriptions and region names."""
    cohort = make_cohort(4)
    for number, row in enumerate(cohort.rows, start=1):
        case_id = row["case_id"]
        for path in cohort.slices(case_id):
            plant(path, extra="Zwiebelfisch 19480229")
        named = cohort.folder / f"Zwiebelfisch Änne {number}"
        (cohort.folder / case_id).rename(named)
        (named / "masks/lesions.nii.gz").rename(named / "masks/HN-4711-XQ lesions.nii.gz")
        row["study"] = f"{named.name}/dicom"
        row["mask"] = f"{named.name}/masks/HN-4711-XQ lesions.nii.gz"
        row["liver_mask"] = f"{named.name}/masks/liver.nii.gz"
        row["patient_id"] = "HN-4711-XQ"
        row["case_id"] = f"hn4711xq_{number}" if number > 1 else "first"
        row["group"], row["sex"] = "lung", "F"
    # One study fails by a file, one in the worker; both say so with paths.
    folder = cohort.folder / "Zwiebelfisch Änne 2" / "dicom"
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        path.write_bytes(path.read_bytes()[:-2000])
    (cohort.folder / "roles.yaml").write_text("lesion: [1, 2]\nnames: {1: Zwiebelfisch S4}\n")
    cohort.write()
    return cohort


def texts(out):
    """Every output, as the texts that can be read in it: raw bytes in several encodings, tables unpacked."""
    for path in out.rglob("*"):
        yield path, str(path.relative_to(out))
        if path.is_file():
            content = path.read_bytes()
            yield path, content.decode("utf-8", "replace")
            yield path, content.decode("latin-1")
            yield path, content.decode("utf-16-le", "replace")
        if path.suffix == ".parquet":
            table = pq.read_table(path)
            yield path, table.to_pandas().to_csv()
            yield path, str(table.schema.metadata)


def found_in(out, printed, words):
    folded = [unicodedata.normalize("NFC", word).casefold() for word in words]
    places = [(out, printed), *texts(out)]
    return {
        (str(place), word)
        for place, text in places
        for plain in [unicodedata.normalize("NFC", text).casefold()]
        for word in folded
        if word in plain
    }


def test_no_output_names_the_patient(identified, faults, tmp_path):
    faults.set({"first": "", "hn4711xq_3": "codec crash"})
    key = tmp_path / "key"
    key.write_text("correct horse battery staple\n")
    out = tmp_path / "out"
    words = ["cohort", "run", identified.manifest, "-o", out, "--pseudonymise", key, "--json"]
    words += ["--maps", "lambda-hu", "--pictures", "--study-pages", "--workers", 2]
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 1, done.output
    made = {path.suffix for path in out.rglob("*") if path.is_file()}
    assert {".nii", ".png", ".jpg", ".js", ".parquet", ".csv", ".json", ".log", ".svg"} <= made
    assert found_in(out, done.output.replace(str(out), ""), WORDS) == set()

    table = read_table(out / "measurements.csv")
    pseudonyms = read_key(key)
    assert set(table.patient_id) == {pseudonyms.of("HN-4711-XQ")}
    assert all(re.fullmatch(r"c-[0-9a-f]{16}", case_id) for case_id in set(table.case_id))
    assert all(re.fullmatch(r"r-[0-9a-f]{16}", reader) for reader in set(table.reader))
    # The search finds what is there: the same words in the source.
    assert len(found_in(identified.folder, "", WORDS[:1])) > 10


def test_without_pseudonyms_only_the_manifest_names(identified, inline, tmp_path):
    out = tmp_path / "out"
    run_cohort(identified.manifest, out, settings=CohortSettings(pictures=True, study_pages=True))
    kept = ("HN-4711-XQ", "HN4711XQ")  # what the manifest itself calls them
    assert found_in(out, "", [word for word in WORDS if word not in kept]) == set()


def test_names_of_regions_are_redacted(identified, inline, tmp_path):
    rows = identified.rows
    identified.rows = [{**rows[0], "roles": "roles.yaml"}]
    identified.write()
    run_cohort(identified.manifest, tmp_path / "out", settings=CohortSettings(study_pages=True))
    lesions = set(read_table(tmp_path / "out" / "measurements.csv").lesion_id)
    assert lesions == {"", "2", "[removed] S4"}
    assert found_in(tmp_path / "out", "", WORDS[:1]) == set()
    identified.rows = rows
    identified.write()


def test_a_folder_keeps_to_its_pseudonyms(identified, inline, tmp_path):
    (tmp_path / "key").write_text("correct horse battery staple")
    (tmp_path / "other").write_text("another horse battery staple")
    out = tmp_path / "out"
    run_cohort(identified.manifest, out, pseudonymise=tmp_path / "key")
    for other in (None, tmp_path / "other"):
        with pytest.raises(Exception, match="other names for its patients"):
            run_cohort(identified.manifest, out, pseudonymise=other)
    options = CohortOptions(change_settings=True)
    settings = CohortSettings(maps=("iodine",), map_format="ct")
    with pytest.raises(SettingsError, match="carry the patient's name"):
        run_cohort(
            identified.manifest, out, settings=settings, options=options,
            pseudonymise=tmp_path / "key",
        )  # fmt: skip
    (tmp_path / "short").write_text("secret")
    with pytest.raises(InputError, match="6 bytes"):
        run_cohort(identified.manifest, out, pseudonymise=tmp_path / "short")


def of_person(path, name, charset="ISO_IR 192"):
    ds = ct_dataset(np.zeros((2, 2), np.int16), PatientName=name, SpecificCharacterSet=charset)
    ds.save_as(path)
    return path


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 100", "Müller^Jürgen"),
        (["ISO 2022 IR 6", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
        ("ISO_IR 192", "Wójcik^Łucja"),
    ],
)
def test_identity_in_the_encodings_of_dicom(tmp_path, charset, name):
    identity = identity_of([of_person(tmp_path / "one.dcm", name, charset)])
    for part in re.split(r"[\^=]", name):
        assert part in identity


def test_identity_of_every_file(tmp_path):
    """Not of the first files alone, nor of one patient alone."""
    paths = [of_person(tmp_path / f"{i:03}", "") for i in range(80)]
    paths += [of_person(tmp_path / "a", "Last^One"), of_person(tmp_path / "b", "Other^Body")]
    (tmp_path / "junk").write_bytes(np.random.default_rng(0).bytes(500))
    assert {"Last", "One", "Other", "Body"} <= set(identity_of([tmp_path / "junk", *paths]))
