"""Identities planted wherever one can stand: no byte of any output, log, status or Dask log holds them."""

import re
import secrets
import tarfile
import zipfile

import pandas as pd
import pytest
from pydicom import dcmread
from typer.testing import CliRunner

from gsigpu.cli.app import app
from gsigpu.pipeline.cohort_run.checks import CohortOptions
from gsigpu.pipeline.cohort_run.run_cohort import run_cohort
from gsigpu.tables.manifest import ManifestProblems
from tests.pipeline.cohort_run.test_privacy import found_in

# A word for every place, so that a leak tells where it is from.
TEXTS = {
    "PatientName": "Plantname^Hans", "OperatorsName": "Plantoperator^Eva",
    "ReferringPhysicianName": "Plantreferrer", "PatientID": "Plantid-4711",
    "OtherPatientIDs": "Plantother-12", "PatientBirthDate": "19510423",
    "AccessionNumber": "Plantacc9", "StudyID": "Plantstudyid", "StationName": "Plantstation",
    "StudyDescription": "Plantstudydesc of a person", "ProtocolName": "Plantprotocol",
    "InstitutionName": "Plantklinik", "InstitutionAddress": "Plantaddress 5",
    "PatientComments": "Plantcomment", "AdditionalPatientHistory": "Planthistory",
    "ImageComments": "Plantimagecomment", "RequestingService": "Plantservice",
    "DeviceSerialNumber": "Plantserial",
}  # fmt: skip
PLACES = (
    "Plantprivate", "Plantseries", "Plantfolder", "Plantfile", "Plantmask", "Plantliver", "Plantcase",
    "Plantpatient", "Plantarchive", "Plantinner", "Plantreader", "Plantnotes", "Plantexception", "Plantstderr", "Plantregion",
)  # fmt: skip
WORDS = [
    *{part for text in TEXTS.values() for part in re.findall(r"Plant\w+", text)},
    *PLACES, "Hans", "19510423", "1951-04-23", "23.04.1951",
]  # fmt: skip


def plant(cohort):
    """Everywhere; returns the UIDs of the headers, which lead to the patient too."""
    uids = set()
    for number, row in enumerate(cohort.rows, start=1):
        case = row["case_id"]
        for count, path in enumerate(cohort.slices(case)):
            header = dcmread(path)
            header.SpecificCharacterSet = "ISO_IR 192"
            for keyword, value in TEXTS.items():
                setattr(header, keyword, value)
            header.SeriesDescription += " Plantseries"
            block = header.private_block(0x0099, "PLANTED", create=True)
            block.add_new(1, "UT", "Plantprivate")
            header.save_as(path)
            path.rename(path.with_name(f"Plantfile_Hans_19510423_IMG{count}.dcm"))
            uids |= {header.SeriesInstanceUID, header.StudyInstanceUID, header.SOPInstanceUID}
            uids.add(header.FrameOfReferenceUID)
        folder = cohort.folder / f"Plantfolder Hans {number}"
        (cohort.folder / case).rename(folder)
        (folder / "masks/lesions.nii.gz").rename(folder / "masks/Plantmask Hans.nii.gz")
        (folder / "masks/liver.nii.gz").rename(folder / "masks/Plantliver.nii.gz")
        (folder / "roles.yaml").write_text("lesion: [1, 2]\nnames: {1: Plantname S4}\n")
        row |= {
            "case_id": f"Plantcase-{number}", "patient_id": f"Plantpatient-{number}",
            "study": f"{folder.name}/dicom", "mask": f"{folder.name}/masks/Plantmask Hans.nii.gz",
            "liver_mask": f"{folder.name}/masks/Plantliver.nii.gz", "reader": "Plantreader",
            "roles": f"{folder.name}/roles.yaml", "group": "lung",
        }  # fmt: skip
    second = cohort.folder / "Plantfolder Hans 2/dicom"
    for path in [path for path in second.rglob("*") if path.is_file()]:
        path.write_bytes(path.read_bytes()[:-2000])
    fifth = cohort.folder / "Plantfolder Hans 5/dicom"
    for path in [path for path in fifth.rglob("*") if path.is_file()][:1]:
        path.unlink()
    pack(cohort, 2, "zip")
    pack(cohort, 5, "tar.gz")
    pack(cohort, 6, "zip")
    damage_member(cohort.folder / cohort.rows[5]["study"])
    cohort.write()
    lines = cohort.manifest.read_text().splitlines()
    told = ["notes", *("Plantnotes" for _ in lines[1:])]
    cohort.manifest.write_text("\n".join(f"{a},{b}" for a, b in zip(lines, told, strict=True)))
    return uids


def pack(cohort, number, suffix):
    """A study as an archive that is named for the patient, and so is what is in it."""
    row = cohort.rows[number - 1]
    folder = cohort.folder / row["study"]
    archive = folder.parent / f"Plantarchive Hans {number}.{suffix}"
    names = [(path, f"Plantinner Hans/{path.relative_to(folder)}") for path in folder.rglob("*")]
    if suffix == "zip":
        with zipfile.ZipFile(archive, "w") as file:
            for path, name in names:
                file.write(path, name)
    else:
        with tarfile.open(archive, "w:gz") as file:
            for path, name in names:
                file.add(path, name, recursive=False)
    row["study"] = f"{folder.parent.name}/{archive.name}"


def damage_member(archive):
    """Bytes within the pixels of every file: what was packed there does not come out again."""
    content = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as file:
        for member in file.infolist():
            at = member.header_offset + member.compress_size - 100
            content[at : at + 8] = b"damaged!"
    archive.write_bytes(content)


FAULTS = {
    "Plantfolder Hans 3": "exception Plantexception of Plantname",
    "Plantfolder Hans 4": "codec crash Plantstderr",
}


@pytest.fixture
def planted(make_cohort):
    cohort = make_cohort(6)
    return cohort, plant(cohort)


def key_file(folder):
    path = folder / "key"
    path.write_text(secrets.token_hex(16))
    return path


def check(out, printed, uids):
    failures = pd.read_csv(out / "failures.csv")
    assert len(failures) >= 4
    assert found_in(out, printed, WORDS) == set()
    assert found_in(out, printed, uids) == set()
    assert len(list(out.glob("cases/*/*.log"))) >= 3
    return failures


def test_in_no_output_log_or_status(planted, faults, tmp_path):
    cohort, uids = planted
    faults.set(FAULTS)
    out = tmp_path / "out"
    words = ["cohort", "run", cohort.manifest, "-o", out, "--pseudonymise", key_file(tmp_path)]
    words += ["--maps", "iodine", "--pictures", "--study-pages", "--workers", 2, "--json"]
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 1, done.output
    printed = done.output.replace(str(out), "")
    status = CliRunner().invoke(app, ["cohort", "status", str(out), "--json"]).output
    failures = check(out, printed + status, uids)
    reasons = " ".join(failures.reason)
    assert "study/file-" in reasons  # which file it is stays told
    assert "unexpected ValueError" in reasons
    assert "SIGSEGV" in reasons
    # The traces say where in the program it was.
    traces = " ".join(path.read_text() for path in out.glob("cases/*/*.log"))
    assert "case.py" in traces
    assert len(found_in(cohort.folder, "", ["Plantmask"])) > 3  # the search finds what is there


def test_in_no_log_of_dask(planted, cluster, faults, tmp_path):
    cohort, uids = planted
    address, _ = cluster
    faults.set(FAULTS)
    out = tmp_path / "out"
    run_cohort(
        cohort.manifest, out, pseudonymise=key_file(tmp_path), options=CohortOptions(scheduler=address)
    )  # fmt: skip
    logs = list(tmp_path.glob("*.log"))
    assert len(logs) == 3
    check(out, " ".join(path.read_text() for path in logs), uids)


def test_a_group_that_names_the_patient_is_refused(planted, inline, tmp_path):
    cohort, _ = planted
    cohort.rows[0]["group"] = "lung plantpatient1"
    cohort.write()
    with pytest.raises(ManifestProblems, match="line 2: group holds the row's identifier"):
        run_cohort(cohort.manifest, tmp_path / "out", pseudonymise=key_file(tmp_path))
    cohort.rows[0]["group"] = "lung of Plantname"  # which only the headers know
    cohort.write()
    run_cohort(cohort.manifest, tmp_path / "out", pseudonymise=key_file(tmp_path))
    failures = pd.read_csv(tmp_path / "out/failures.csv")
    assert (
        "group, phase or the name of a region holds words that the headers use"
        in failures.reason[0]
    )
