"""Every remedy that an error or a warning about masks prints is done, and does what it says.

A scenario makes the problem, reads the message, follows each way out that it names (its options in a second run of
the command, or what its words ask for) and finds the problem gone. What each prints stands in `printed_lines.py`, where
tests/pipeline/test_every_remedy_is_tried.py looks for the remedies of the source.
"""

import bz2
import re
import shlex
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK
from typer.testing import CliRunner

from gsigpu.cli.app import app
from gsigpu.errors import GsigpuError
from tests.masks.test_read_masks import itk_image
from tests.pipeline.measure.printed_lines import PRINTED
from tests.support.dicom_files import save
from tests.support.mask_places import FIRST, SECOND, SHAPE, WIDE, Place
from tests.support.rtstruct import Drawn

FLAGS = ("--any-mask-phase", "--fill-between", "--split-lesions")


@dataclass
class Scenario:
    """A problem and its ways out.

    make : writes the masks
    words : options of the command, {here} for the folder
    message : a pattern of the line that holds the remedy
    mend : does what a remedy in words asks for; the masks of `mended` are then named
    replaces : options that the remedy's own take the place of
    """

    make: Callable[[Place], object]
    message: str
    words: str = "--mask {here}/m.nii.gz"
    mend: Callable[[Place], object] | None = None
    mended: str = ""
    replaces: tuple[str, ...] = ()
    phase: str = "PVP"


def cut(path):
    path.write_bytes(path.read_bytes()[:-40])


def drop(keyword):
    return lambda dataset: delattr(dataset, keyword)


def put(**values):
    def change(dataset):
        for keyword, value in values.items():
            setattr(dataset, keyword, value)

    return change


def right(place):
    """What whoever is asked to draw, save or export again does."""
    place.nifti("right.nii.gz", {1: FIRST})


def packed(path):
    """A mask alone in masks.zip."""
    with zipfile.ZipFile(path.parent / "masks.zip", "w") as archive:
        archive.write(path, path.name)
    path.unlink()


def image(place, array, name):
    SimpleITK.WriteImage(itk_image(array, place.geometry["PVP"]), str(place.file(name)))


def probable(place, largest):
    """Probabilities: the largest in the lesion, a tenth of it around."""
    values = np.where(place.labels({1: FIRST}) == 1, largest, 0.1 * largest)
    image(place, values.astype(np.float64), "m.nrrd")


def tilted(place):
    grid = place.geometry["PVP"]
    corners = np.array([[20, 20, 1], [20, 30, 1], [20, 30, 5], [20, 20, 5]], float)
    affine = grid.affine_lps
    return [Drawn(corners @ affine[:3, :3].T + affine[:3, 3])]


def not_parallel(seg):
    turned = pydicom.Dataset()
    turned.ImageOrientationPatient = [0, 1, 0, 0, 0, 1]
    seg.PerFrameFunctionalGroupsSequence[1].PlaneOrientationSequence = [turned]


def beside_the_slices(seg):
    """Frames that lie between the study's slices, of images that it does not hold."""
    del seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices
    del seg.ReferencedSeriesSequence
    for groups in seg.PerFrameFunctionalGroupsSequence:
        groups.pop("DerivationImageSequence", None)
        position = groups.PlanePositionSequence[0].ImagePositionPatient
        position[2] = float(position[2]) + 1.7


def img_pair(place):
    place.nifti("m.nii.gz", {1: FIRST})
    header = nibabel.load(place.file("m.nii.gz"))
    data = bytearray(header.header.binaryblock)
    data[344:348] = b"ni1\0"
    place.file("m.nii").write_bytes(bytes(data) + bytes(4))


def with_bzip2(place):
    image(place, place.labels({1: FIRST}), "m.nrrd")
    SimpleITK.WriteImage(SimpleITK.ReadImage(str(place.file("m.nrrd"))), str(place.file("m.nrrd")))
    content = place.file("m.nrrd").read_bytes()
    end = content.index(b"\n\n") + 2
    head = re.sub(rb"encoding: \w+", b"encoding: bzip2", content[:end])
    place.file("m.nrrd").write_bytes(head + bz2.compress(place.labels({1: FIRST}).tobytes()))


M = "--mask {here}/m"
RIGHT = "--mask {here}/right.nii.gz"
SCENARIOS = {
    # Whose mask.
    "another patient": Scenario(
        lambda p: p.seg(change=put(PatientID="other")), "belongs to another patient", f"{M}.dcm", right, RIGHT
    ),
    "another frame": Scenario(
        lambda p: p.seg(change=put(FrameOfReferenceUID="1.2.3")), "another frame of reference", f"{M}.dcm", right, RIGHT
    ),
    "another study": Scenario(
        lambda p: p.structures(frame_uid="", study_uid="1.2.3.9"), "belongs to another study", f"{M}.dcm", right, RIGHT
    ),
    "a structure of another frame": Scenario(
        lambda p: p.structures(frame_of_roi={1: "1.2.3"}, frame_uid=p.geometry["PVP"].frame_of_reference_uid),
        "Met 1 has another frame", f"{M}.dcm", right, RIGHT,
    ),
    "another phase": Scenario(
        lambda p: p.seg(phase="AP"), "was drawn on phase AP, and phase PVP is measured", f"{M}.dcm", replaces=("--phase",)
    ),
    "the grid of another phase": Scenario(
        lambda p: p.nifti("m.nii.gz", {1: FIRST}, phase="AP"), "lies on the grid of phase AP", replaces=("--phase",)
    ),
    # Where it lies.
    "two positions": Scenario(
        lambda p: p.nifti("m.nii.gz", {1: FIRST}, sform=p.shifted((12, 0, 0)), qform=p.shifted(0)), "up to 12.0 mm apart"
    ),
    "no position": Scenario(
        lambda p: p.nifti("m.nii.gz", {1: FIRST}, sform=None), "does not say where"
    ),
    "no position and another spacing": Scenario(
        lambda p: p.nifti("m.nii.gz", {1: FIRST}, sform=None, spacing_mm=(4.0, 4.0, 4.5)), "does not say where", mend=right, mended=RIGHT
    ),
    "the place that programs start with": Scenario(
        lambda p: p.nifti("m.nii.gz", {1: (slice(0, 8), slice(0, 60), slice(0, 60))}, sform=np.eye(4), spacing_mm=(1, 1, 1)),
        "lies at the origin along the patient's axes",
    ),
    "a position that nobody doubts": Scenario(
        right, "none is", f"{RIGHT} --mask-position qform", mend=right, mended=RIGHT, replaces=("--mask-position",)
    ),
    "outside": Scenario(
        lambda p: p.nifti("m.nii.gz", {1: FIRST}, sform=p.shifted(900)), "no slices of the mask overlap", mend=right, mended=RIGHT
    ),
    "one region outside": Scenario(
        lambda p: p.nifti("m.nii.gz", {1: FIRST, 2: (slice(0, 2), slice(0, 5), slice(57, 60))}, sform=p.shifted((-40, 0, 0))),
        "label 2 lies outside", mend=lambda p: p.nifti("right.nii.gz", {1: FIRST, 2: SECOND}), mended=RIGHT,
    ),
    # What it holds.
    "no file": Scenario(lambda p: None, "no such mask file", mend=right, mended=RIGHT),
    "in an archive": Scenario(
        lambda p: (right(p), packed(p.file("right.nii.gz"))), "lies in an archive", "--mask {here}/masks.zip/right.nii.gz",
        mend=lambda p: shutil.unpack_archive(p.file("masks.zip"), p.folder), mended=RIGHT,
    ),
    "no liver file": Scenario(
        right, "no such mask file", f"{RIGHT} --liver-mask {{here}}/absent.nii", mend=right, mended=RIGHT
    ),
    "no mask": Scenario(right, "no mask of lesions; name one with --mask", "", right, RIGHT),
    "empty": Scenario(lambda p: p.nifti("m.nii.gz", {}), "holds no region", mend=right, mended=RIGHT),
    "an empty segment": Scenario(
        lambda p: p.slicer("m.seg.nrrd", {"Met 1": FIRST, "Met 2": (0, slice(0, 0), 0)}), "Met 2 is empty", f"{M}.seg.nrrd",
        lambda p: p.slicer("m.seg.nrrd", {"Met 1": FIRST, "Met 2": SECOND}), f"{M}.seg.nrrd",
    ),
    "another kind of file": Scenario(
        lambda p: p.file("m.txt").write_text("drawn"), "is no mask that can be read", f"{M}.txt", right, RIGHT
    ),
    "another kind of object": Scenario(
        lambda p: save(p.datasets["PVP"][0], p.file("m.dcm")), "it is another kind of object", f"{M}.dcm", right, RIGHT
    ),
    "a folder without masks": Scenario(
        lambda p: p.file("sub").mkdir(), "holds no mask file", "--mask {here}/sub",
        lambda p: p.nifti("sub/met.nii.gz", {1: FIRST}), "--mask {here}/sub",
    ),
    "several values": Scenario(
        lambda p: image(p, np.zeros((*SHAPE, 3), np.uint8), "m.nrrd"), "3 values per voxel", f"{M}.nrrd", right, RIGHT
    ),
    "two dimensions": Scenario(
        lambda p: SimpleITK.WriteImage(SimpleITK.Image([5, 5], SimpleITK.sitkUInt8), str(p.file("m.mha"))),
        "has 2 dimensions", f"{M}.mha", right, RIGHT,
    ),
    "an image": Scenario(
        lambda p: image(p, np.full(SHAPE, 0.5, np.float32), "m.nrrd"), "values that are no labels", f"{M}.nrrd", right, RIGHT
    ),
    "probabilities": Scenario(lambda p: probable(p, 0.9), "values that are no labels", f"{M}.nrrd"),
    "percentages": Scenario(
        lambda p: probable(p, 99.5), "no probabilities from 0 to 1", f"{M}.nrrd --threshold 0.5", replaces=("--threshold",)
    ),
    "a threshold that nothing reaches": Scenario(
        lambda p: probable(p, 0.9), "no value reaches", f"{M}.nrrd --threshold 0.95", lambda p: None, f"{M}.nrrd --threshold 0.9"
    ),
    "probabilities that are none": Scenario(
        lambda p: probable(p, np.nan), "are no numbers", f"{M}.nrrd --threshold 0.5", right, RIGHT
    ),
    "a threshold for labels": Scenario(
        right, "none is", f"{RIGHT} --threshold 0.5", mend=right, mended=RIGHT, replaces=("--threshold",)
    ),
    "negative labels": Scenario(
        lambda p: image(p, np.full(SHAPE, -1, np.int16), "m.nrrd"), "labels outside 0-65535", f"{M}.nrrd", right, RIGHT
    ),
    "an encoding that is not read": Scenario(with_bzip2, "cannot be read", f"{M}.nrrd", right, RIGHT),
    "voxels in another file": Scenario(img_pair, r"another file \(.img\)", f"{M}.nii", right, RIGHT),
    "cut off": Scenario(
        lambda p: (p.nifti("m.nii.gz", {1: FIRST}), cut(p.file("m.nii.gz"))), "is damaged", mend=right, mended=RIGHT
    ),
    # RT Structure Sets and SEG.
    "structures that cannot be read": Scenario(
        lambda p: p.structures(change=lambda ds: delattr(ds.ROIContourSequence[0], "ReferencedROINumber")),
        "cannot be read as RT Structure Set", f"{M}.dcm", lambda p: p.structures(), f"{M}.dcm",
    ),
    "a contour with fewer points": Scenario(
        lambda p: p.structures(change=lambda ds: put(NumberOfContourPoints=9)(ds.ROIContourSequence[0].ContourSequence[0])),
        "has 4 points, not 9", f"{M}.dcm", lambda p: p.structures(), f"{M}.dcm",
    ),
    "contours across the slices": Scenario(
        lambda p: p.structures(points=tilted(p)), "not parallel to the slices", f"{M}.dcm", lambda p: p.structures(), f"{M}.dcm"
    ),
    "contours between the slices": Scenario(
        lambda p: p.structures(heights=(1.3, 3.7)), "between the study's slices", f"{M}.dcm"
    ),
    "contours on every second slice": Scenario(
        lambda p: p.structures(heights=(1, 3, 5)), "are no neighbours", f"{M}.dcm"
    ),
    "a segmentation that cannot be read": Scenario(
        lambda p: p.seg(change=drop("SegmentSequence")), "cannot be read as DICOM SEG", f"{M}.dcm", lambda p: p.seg(), f"{M}.dcm"
    ),
    "frames that are not parallel": Scenario(
        lambda p: p.seg(change=not_parallel), "not parallel", f"{M}.dcm", lambda p: p.seg(), f"{M}.dcm"
    ),
    "frames that do not say how thick they are": Scenario(
        lambda p: p.seg(change=beside_the_slices), "how far apart its slices are", f"{M}.dcm"
    ),
    # What its regions are.
    "an unknown name among known ones": Scenario(
        lambda p: p.slicer("m.seg.nrrd", {"Liver": WIDE, "Met 1": FIRST, "odd one": SECOND}), "'odd one' is ignored", f"{M}.seg.nrrd"
    ),
    "unknown names alone": Scenario(
        lambda p: p.slicer("m.seg.nrrd", {"alpha": FIRST, "beta": SECOND}), "'beta' is taken for a lesion", f"{M}.seg.nrrd"
    ),
    "unknown names in a folder of files": Scenario(
        lambda p: (p.file("sub").mkdir(), p.nifti("sub/alpha.nii.gz", {1: FIRST}), p.nifti("sub/beta 2.nii.gz", {1: SECOND})),
        "'beta 2' is taken for a lesion", "--mask {here}/sub",
    ),
    "a label that the mapping leaves out": Scenario(
        lambda p: p.nifti("m.nii.gz", {1: FIRST, 2: SECOND}), "label 2 has no role in the mapping", f"{M}.nii.gz --role 1=lesion"
    ),
    "two that the mapping leaves out": Scenario(
        lambda p: (p.nifti("a.nii.gz", {1: FIRST}), p.nifti("b.nii.gz", {2: WIDE, 1: SECOND})),
        "label 1 has no role in the mapping", "--mask {here}/a.nii.gz --mask {here}/b.nii.gz --role a.nii.gz:1=lesion --role 2=liver",
    ),
    "LiTS": Scenario(lambda p: p.nifti("m.nii.gz", {1: WIDE, 2: FIRST}), "as in LiTS"),
    "as large as a liver": Scenario(
        lambda p: p.nifti("m.nii.gz", {1: WIDE, 3: FIRST, 4: SECOND}), "as a liver, and is given as a lesion"
    ),
    "a liver given as lesions": Scenario(
        lambda p: p.nifti("liver.nii.gz", {1: FIRST}), "holds no lesion", "--mask {here}/liver.nii.gz"
    ),
    "an organ that is absent": Scenario(
        lambda p: p.slicer("m.seg.nrrd", {"Liver": (0, slice(0, 0), 0)}), "name a file of lesions with --mask", f"{M}.seg.nrrd",
        right, RIGHT,
    ),
    "organs alone": Scenario(
        lambda p: p.slicer("m.seg.nrrd", {"Liver": WIDE, "Aorta": SECOND}), "name a file of lesions with --mask", f"{M}.seg.nrrd", right, RIGHT
    ),
    "an unknown name among organs": Scenario(
        lambda p: p.slicer("m.seg.nrrd", {"Liver": WIDE, "Aorta": SECOND, "dark spot": FIRST}),
        "if that is one, or name another file of lesions", f"{M}.seg.nrrd",
    ),
    "names that cannot be read": Scenario(
        lambda p: (p.nifti("m.nii.gz", {1: FIRST}), p.file("dataset.json").write_text("{")), "cannot be read as JSON",
        mend=lambda p: p.file("dataset.json").unlink(), mended=f"{M}.nii.gz",
    ),
    "a NIfTI of the second kind": Scenario(
        lambda p: (right(p), nibabel.save(nibabel.Nifti2Image.from_image(nibabel.load(p.file("right.nii.gz"))), p.file("m.nii.gz"))),
        "NIfTI-2", f"{M}.nii.gz", lambda p: SimpleITK.WriteImage(SimpleITK.ReadImage(str(p.file("right.nii.gz"))), str(p.file("m.nrrd"))), f"{M}.nrrd",
    ),
    "a name that hides that it is compressed": Scenario(
        lambda p: (right(p), p.file("right.nii.gz").rename(p.file("m.nii"))), "is compressed", f"{M}.nii",
        lambda p: p.file("m.nii").rename(p.file("m.nii.gz")), f"{M}.nii.gz",
    ),
    "all mapped away": Scenario(
        lambda p: p.nifti("m.nii.gz", {1: FIRST}), "holds no lesion; map one of its regions to lesion",
        f"{M}.nii.gz --role 1=ignore", right, f"{M}.nii.gz --role 1=lesion",
    ),
    "parts": Scenario(
        lambda p: p.nifti("m.nii.gz", {1: (slice(2, 4), [20, 21, 40, 41], slice(20, 24))}), "2 separate parts"
    ),
    # Options.
    "a role that names nothing": Scenario(
        lambda p: p.nifti("m.nii.gz", {1: FIRST, 2: SECOND}), "--role '7' matches no region; the regions are 1, 2",
        f"{M}.nii.gz --role 7=ignore", right, f"{M}.nii.gz --role 2=ignore",
    ),
    "a name for nothing": Scenario(
        lambda p: p.nifti("m.nii.gz", {1: FIRST}), "--name '7' matches no region", f"{M}.nii.gz --name 7=S4", right, f"{M}.nii.gz --name 1=S4"
    ),
    "one label of two files as an organ": Scenario(
        lambda p: (p.nifti("b.nii.gz", {1: WIDE}), p.nifti("a.nii.gz", {1: FIRST})), "names regions of 2 files",
        "--mask {here}/b.nii.gz --mask {here}/a.nii.gz --role 1=liver", replaces=("--role",),
    ),
    "an unknown role": Scenario(right, "unknown role 'tumour'; use lesion", f"{RIGHT} --role 1=tumour", right, f"{RIGHT} --role 1=lesion"),
    **{
        f"a file of roles {number}": Scenario(
            lambda p, text=text: (right(p), p.file("roles.yaml").write_text(text)), message, f"{RIGHT} --roles {{here}}/roles.yaml",
            lambda p, mended=mended: p.file("roles.yaml").write_text(mended), f"{RIGHT} --roles {{here}}/roles.yaml",
        )
        for number, (text, message, mended) in enumerate(
            [
                ("lesion: [1", "cannot be read", "lesion: [1]\n"),
                ("- 1\n", "is no mapping of roles", "lesion: [1, 3]\nliver: Liver\n"),
                ("lesion: 1\nnames: [a]\n", "names is no mapping; write `names: {2: segment IVa}`", "lesion: 1\nnames: {1: segment IVa}\n"),
                ("lesion: yes\n", "is no label or name", "lesion: [1]\n"),
                ("tumour: 1\n", "unknown role 'tumour'", "lesion: 1\n"),
            ]
        )
    },
}  # fmt: skip


def command(place, words, *, phase="PVP"):
    """Exit code and what the command told: its error, its failures, its warnings."""
    runner = CliRunner()
    options = shlex.split(words.replace("{here}", shlex.quote(str(place.folder))))
    if "--phase" not in options:
        options += ["--phase", phase]
    done = runner.invoke(
        app,
        ["measure", str(place.study), *options, "--regions", "lesion", "--no-curve", "--maps", "iodine",
         "-o", str(place.file("t.csv")), "--overwrite"],
    )  # fmt: skip
    lines = [line for line in done.stderr.splitlines() if line]
    if isinstance(done.exception, GsigpuError):
        lines.append(str(done.exception))
    elif done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, lines


def ways_out(remedy):
    """The options of each alternative that a remedy names."""
    alternatives = []
    for part in re.split(r",? or (?=add |--|accept|measure)", remedy):
        words = shlex.split(re.sub(r"(?<=\w)'(?=s\b)", "", part))
        options, index = [], 0
        while index < len(words):
            if words[index].startswith("--"):
                n = 1 if words[index].rstrip(",.") in FLAGS else 2
                options += [word.rstrip(",") for word in words[index : index + n]]
                index += n
            else:
                index += 1
        if options:
            alternatives.append(options)
    return alternatives


def without(words, names):
    """A command line without options of these names and their values."""
    kept, parts = [], shlex.split(words)
    while parts:
        word = parts.pop(0)
        if word in names:
            parts.pop(0)
        else:
            kept.append(word)
    return shlex.join(kept).replace("'{here}", "{here}").replace("'", "")


def observed(place, name):
    scenario = SCENARIOS[name]
    scenario.make(place)
    _, lines = command(place, scenario.words)
    told = [line for line in lines if re.search(scenario.message, line)]
    assert told, lines
    line = told[0].replace(str(place.folder), "{here}").replace(str(place.study), "{study}")
    assert re.sub("^gsigpu: (error|warning): ", "", line) == PRINTED[name]
    return told[0]


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_remedy_does_what_it_says(place, name):
    scenario = SCENARIOS[name]
    line = observed(place, name)
    remedy = line.rpartition(";")[2] if "; " in line else line
    if scenario.mend is not None:
        scenario.mend(place)
        code, lines = command(place, scenario.mended)
        assert (code, [text for text in lines if re.search(scenario.message, text)]) == (0, [])
        return
    alternatives = ways_out(remedy)
    assert alternatives, remedy
    for options in alternatives:
        words = without(scenario.words, scenario.replaces) if scenario.replaces else scenario.words
        code, lines = command(place, f"{words} {shlex.join(options)}")
        assert code == 0, (options, lines)
        assert not [text for text in lines if re.search(scenario.message, text)], options
