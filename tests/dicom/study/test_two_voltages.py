"""A dual-energy scan of which only the images at two voltages were exported is refused with the reason."""

import pytest
from pydicom import dcmread
from typer.testing import CliRunner

from gsigpu.cli.app import app
from gsigpu.dicom.study.read_study import describe, read_study
from gsigpu.dicom.study.stack import select_stack
from gsigpu.dicom.study.two_voltages import two_voltages
from gsigpu.errors import NoSpectralStack
from gsigpu.phantom import write_phantom
from tests.support.cohort import TINY


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """With VMI; two voltages in one frame of reference; one voltage; two of which one lies elsewhere."""
    root = tmp_path_factory.mktemp("kv")
    vmi = write_phantom(root / "made", TINY).dicom_folder
    kept = sorted(vmi.iterdir())[:2]

    def at_voltages(name, kvps, frames=("", "")):
        (root / name).mkdir()
        for folder, kvp, frame in zip(kept, kvps, frames, strict=True):
            for path in sorted(folder.iterdir())[:3]:
                header = dcmread(path)
                header.remove_private_tags()
                header.KVP, header.ImageType = kvp, ["ORIGINAL", "PRIMARY", "AXIAL"]
                header.SeriesDescription = f"DE Abdomen {kvp}kV"
                header.FrameOfReferenceUID += frame
                for keyword in ("ImageComments", "DerivationDescription"):
                    if keyword in header:
                        del header[keyword]
                header.save_as(root / name / f"{kvp}{folder.name}{path.name}")
        return root / name

    return {
        "vmi": vmi,
        "two": at_voltages("two", (80, 140)),
        "one": at_voltages("one", (120, 120)),
        "apart": at_voltages("apart", (80, 140), ("", ".1")),
    }


def test_two_voltages_of_one_scan(folders):
    voltages = {name: two_voltages(read_study(path).series) for name, path in folders.items()}
    assert voltages == {"vmi": (), "two": (80.0, 140.0), "one": (), "apart": ()}


def test_the_reason_and_what_to_export(folders):
    study = read_study(folders["two"])
    with pytest.raises(
        NoSpectralStack, match="80 and 140 kV, whose HU belong to no energy"
    ) as raised:
        select_stack(study)
    assert raised.value.remedy.startswith("export monoenergetic series (40 to 140 keV)")
    assert "80 and 140 kV" in describe(study)["warnings"][-1]
    with pytest.raises(NoSpectralStack, match="but 2 conventional"):
        select_stack(read_study(folders["apart"]))
    done = CliRunner().invoke(app, ["scan", str(folders["two"])])
    assert done.exit_code == 0
    assert "80 and 140 kV" in done.output
