"""Rows whose studies lie in archives: measured as from the folder, anew when the archive changes, and without a name."""

import csv
import zipfile

import pytest
from typer.testing import CliRunner

from gsigpu.cli.app import app
from gsigpu.phantom import write_phantom
from tests.support.cohort import TINY

PERSON = "Mueller_Hans_19510423"


def run(manifest, out, *options):
    words = ["cohort", "run", manifest, "-o", out, "--workers", "1", *options]
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The same study in a folder and in an archive named for a person, and an archive that is encrypted."""
    root = tmp_path_factory.mktemp("archived")
    truth = write_phantom(root / "plain", TINY)
    with zipfile.ZipFile(root / f"{PERSON}.zip", "w") as archive:
        for path in truth.dicom_folder.rglob("*"):
            archive.write(path, f"{PERSON}/{path.relative_to(truth.dicom_folder)}")
    data = bytearray((root / f"{PERSON}.zip").read_bytes())
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    (root / f"{PERSON}_2.zip").write_bytes(data)
    mask = (root / "plain" / "masks" / "lesions.nii.gz").read_bytes()
    for name in ("a", "b", "c"):
        (root / f"{name}.nii.gz").write_bytes(mask)
    (root / "m.csv").write_text(
        "case_id,patient_id,group,phase,study,mask\n"
        "a,p1,g,PVP,plain/dicom,a.nii.gz\n"
        f"b,p1,g,PVP,{PERSON}.zip,b.nii.gz\n"
        f"c,p1,g,PVP,{PERSON}_2.zip,c.nii.gz\n"
    )
    return root


def test_archives_in_a_cohort(folder):
    done = run(folder / "m.csv", folder / "out")
    assert "2 measured" in done.output
    assert "1 failed" in done.output
    with (folder / "out" / "measurements.csv").open() as file:
        rows = list(csv.DictReader(file))
    cases = {"a": [], "b": []}
    for row in rows:
        cases[row.pop("case_id")].append(row)
    assert cases["a"] == cases["b"] != []
    with (folder / "out" / "failures.csv").open() as file:
        (failure,) = csv.DictReader(file)
    assert "is encrypted; unpack it with its password" in failure["reason"]
    for path in (folder / "out").rglob("*"):
        assert PERSON not in path.name
        assert not path.is_file() or PERSON.encode() not in path.read_bytes(), path
    with zipfile.ZipFile(folder / f"{PERSON}.zip", "a") as archive:
        archive.writestr("more.txt", "x")
    again = run(folder / "m.csv", folder / "out")
    assert "1 measured" in again.output
    assert "1 before" in again.output
