"""A file that was cut off or altered is refused, in every format, before one voxel of it counts."""

import gzip
import struct
import zlib

import nibabel
import numpy as np
import pytest
import SimpleITK

from gsigpu.errors import DamagedMask, GsigpuError, MaskError
from gsigpu.masks import read_masks
from gsigpu.masks.integrity import require_whole_volume
from gsigpu.masks.layers import Owner
from gsigpu.masks.read_files import content_digest, files_of
from gsigpu.masks.volume_headers import read_volume_header
from gsigpu.masks.volume_masks import read_volume_masks
from tests.masks.test_read_masks import GRID, chiral, itk_image, on_grid, write
from tests.support.dicom_files import save
from tests.support.rtstruct import contours_of, structure_set
from tests.support.segmentations import segmentation


def noisy():
    """(z, y, x) labels that do not compress to a few bytes."""
    return np.random.default_rng(4).integers(0, 3, GRID.shape).astype(np.uint8)


def compressed(path, labels):
    SimpleITK.WriteImage(itk_image(labels, GRID), str(path), useCompression=True)


def raw(path, labels):
    SimpleITK.WriteImage(itk_image(labels, GRID), str(path), useCompression=False)


def nrrd(path, labels, encoding, *, data_file=""):
    """By hand: SimpleITK writes raw and gzip alone."""
    SimpleITK.WriteImage(itk_image(labels, GRID), str(path), useCompression=False)
    content = path.read_bytes()
    end = content.index(b"\n\n") + 2
    header = content[:end].replace(b"encoding: raw", f"encoding: {encoding}".encode())
    coded = {
        "gzip": lambda: gzip.compress(labels.tobytes()),
        "ascii": lambda: " ".join(map(str, labels.ravel())).encode(),
        "raw": labels.tobytes,
    }[encoding]()
    if data_file:
        header = header[:-1] + f"data file: {data_file}\n\n".encode()
        (path.parent / data_file).write_bytes(coded)
        coded = b""
    path.write_bytes(header + coded)


def seg(path, labels, ct):
    segmentation(ct[1], labels, "BINARY", {1: "a", 2: "b"}).save_as(path)


def rtstruct(path, labels, _):
    save(structure_set({n: (f"{n}", contours_of(labels == n, GRID)) for n in (1, 2)}), path)


VOLUMES = {
    "plain.nii": lambda path, labels: write(path, labels, GRID),
    "packed.nii.gz": lambda path, labels: write(path, labels, GRID),
    "raw.nrrd": raw,
    "packed.nrrd": compressed,
    "text.nrrd": lambda path, labels: nrrd(path, labels, "ascii"),
    "apart.nrrd": lambda path, labels: nrrd(path, labels, "raw", data_file="voxels.raw"),
    "apart-packed.nrrd": lambda path, labels: nrrd(path, labels, "gzip", data_file="voxels.gz"),
    "raw.mha": raw,
    "packed.mha": compressed,
    "raw.mhd": raw,
    "packed.mhd": compressed,
}
DICOM = {"seg.dcm": seg, "structures.dcm": rtstruct}
# What a checksum covers: all of the file, or all behind its header.
CHECKED = {
    "packed.nii.gz": 0,
    "packed.nrrd": b"\n\n",
    "apart-packed.nrrd": 0,
    "packed.mha": b"ElementDataFile = LOCAL\n",
    "packed.mhd": 0,
}


def written(tmp_path, name, ct, labels):
    """A mask, its last file, and its voxels as they are read."""
    path = tmp_path / name
    if name in DICOM:
        DICOM[name](path, labels, ct)
    else:
        VOLUMES[name](path, labels)
    geometry = ct[0] if name == "seg.dcm" else GRID
    return path, files_of(path)[-1], geometry


@pytest.mark.parametrize("name", [*VOLUMES, *DICOM])
def test_a_whole_file_is_read(tmp_path, ct, name):
    path, _, geometry = written(tmp_path, name, ct, chiral())
    np.testing.assert_array_equal(on_grid(read_masks(path, geometry), geometry), chiral())


@pytest.mark.parametrize("name", [*VOLUMES, *DICOM])
def test_a_file_cut_anywhere_is_refused(tmp_path, ct, name):
    """At every tenth, and one byte before the end. Where it is read, it has all its voxels."""
    path, last, geometry = written(tmp_path, name, ct, noisy())
    expected = on_grid(read_masks(path, geometry), geometry)
    content = last.read_bytes()
    cuts = [*(len(content) * tenth // 10 for tenth in range(10)), len(content) - 1]
    refused = 0
    for cut in cuts:
        last.write_bytes(content[:cut])
        try:
            voxels = on_grid(read_masks(path, geometry), geometry)
        except GsigpuError as error:
            refused += name in str(error)
        else:
            # What ends in the padding of a text or a DICOM file is whole.
            np.testing.assert_array_equal(voxels, expected)
    assert refused >= len(cuts) - 1


@pytest.mark.parametrize("name", [name for name in VOLUMES if name != "text.nrrd"])
def test_what_follows_the_voxels_is_refused(tmp_path, ct, name):
    path, last, _ = written(tmp_path, name, ct, noisy())
    with last.open("ab") as file:
        file.write(b"garbage")
    with pytest.raises(DamagedMask, match=rf"{name}|voxels"):
        read_masks(path, GRID)


@pytest.mark.parametrize("name", list(CHECKED))
def test_one_flipped_bit_is_never_other_voxels(tmp_path, ct, name):
    """Where the format has a checksum. 200 places; the header of a gzip has bits that mean nothing."""
    path, last, geometry = written(tmp_path, name, ct, noisy())
    expected = on_grid(read_masks(path, geometry), geometry)
    content = last.read_bytes()
    mark = CHECKED[name]
    first = content.index(mark) + len(mark) if mark else 0
    rng = np.random.default_rng(7)
    refused = 0
    for place in rng.integers(first, len(content), 200).tolist():
        altered = bytearray(content)
        altered[place] ^= 1 << int(rng.integers(8))
        last.write_bytes(altered)
        try:
            voxels = on_grid(read_masks(path, geometry), geometry)
        except GsigpuError:
            refused += 1
        else:
            np.testing.assert_array_equal(voxels, expected)
    assert refused > 180


def test_a_gzip_of_several_members_is_read_whole_or_refused(tmp_path):
    """As pigz and bgzip write it; each member has its own checksum."""
    write(tmp_path / "plain.nii", noisy(), GRID)
    content = (tmp_path / "plain.nii").read_bytes()
    members = [gzip.compress(content[at : at + 500]) for at in range(0, len(content), 500)]
    path = tmp_path / "members.nii.gz"
    path.write_bytes(b"".join(members))
    np.testing.assert_array_equal(on_grid(read_masks(path, GRID)), noisy())
    path.write_bytes(b"".join(members[:-1]))
    with pytest.raises(DamagedMask, match="bytes of voxels, not"):
        read_masks(path, GRID)
    path.write_bytes(b"".join(members) + bytes(512))  # padding, as tapes leave it
    np.testing.assert_array_equal(on_grid(read_masks(path, GRID)), noisy())


def test_a_missing_file_of_voxels_is_named(tmp_path, ct):
    path, last, _ = written(tmp_path, "raw.mhd", ct, chiral())
    last.unlink()
    with pytest.raises(
        DamagedMask, match=r"raw\.mhd: is damaged \(its file of voxels raw\.raw is missing"
    ):
        read_masks(path, GRID)


def test_every_file_of_a_mask_is_hashed(tmp_path, ct):
    """What is hashed is what is read: the voxels beside a header, and the names of labels."""
    for name in ("raw.mhd", "apart.nrrd", "packed.nii.gz"):
        folder = tmp_path / name.partition(".")[0]
        folder.mkdir(exist_ok=True)
        path, last, _ = written(folder, name, ct, chiral())
        before = content_digest(path)
        assert before == read_masks(path, GRID).digest
        altered = bytearray(last.read_bytes())
        altered[-1] ^= 1
        last.write_bytes(altered)
        assert content_digest(path) != before
    path, _, _ = written(tmp_path, "packed.nii.gz", ct, chiral())
    before = content_digest(path)
    (tmp_path / "dataset.json").write_text(
        '{"numTraining": 1, "labels": {"liver": 1, "tumour": 2}}'
    )
    assert content_digest(path) != before
    assert [mask.name for mask in read_masks(path, GRID).masks] == ["liver", "tumour"]


def test_a_header_says_how_much_there_must_be(tmp_path):
    """Against SimpleITK's own count of voxels."""
    for name, save_as in VOLUMES.items():
        path = tmp_path / name
        save_as(path, noisy())
        header = read_volume_header(path)
        image = SimpleITK.ReadImage(str(path))
        assert header.n_values == image.GetNumberOfPixels()
        assert header.value_bytes == image.GetSizeOfPixelComponent()
        require_whole_volume(path, header)


def test_a_zlib_stream_followed_by_another_is_refused(tmp_path, ct):
    path, last, _ = written(tmp_path, "packed.mhd", ct, noisy())
    with last.open("ab") as file:
        file.write(zlib.compress(b"more"))
    with pytest.raises(DamagedMask, match="something else follows"):
        read_masks(path, GRID)


def of_nibabel(path):
    return np.asarray(nibabel.load(path).dataobj).T


# Bytes of a NIfTI header that say how its voxels lie: dimensions, type and size of a voxel, where they begin.
HOW_VOXELS_LIE = [*range(40, 56), *range(70, 74), *range(108, 112)]


def test_no_flipped_bit_of_a_nifti_header_gives_other_voxels_than_nibabel_has(tmp_path):
    """Both readers have the same voxels, or the file is refused: SimpleITK takes some of these for other places."""
    path, labels = tmp_path / "m.nii", noisy()
    raw(path, labels)
    content = path.read_bytes()
    n_read = 0
    for byte in HOW_VOXELS_LIE:
        for bit in range(0, 8, 2):
            changed = bytearray(content)
            changed[byte] ^= 1 << bit
            path.write_bytes(changed)
            try:
                layers = read_volume_masks(path, GRID, Owner()).layers
            except MaskError:
                continue
            here = [volume.labels[volume.labels > 0] for volume in layers[0].volumes]
            expected = of_nibabel(path)
            np.testing.assert_array_equal(
                np.concatenate(here), expected[expected > 0], err_msg=f"byte {byte}, bit {bit}"
            )
            n_read += 1
    assert n_read > 5


@pytest.mark.parametrize("offset", [0.0, 16.0, 348.0, 352.5, -352.0, np.nan, np.inf])
def test_voxels_begin_behind_the_header(tmp_path, offset):
    path = tmp_path / "m.nii"
    raw(path, noisy())
    content = bytearray(path.read_bytes())
    content[108:112] = struct.pack("<f", offset)
    path.write_bytes(content)
    with pytest.raises(DamagedMask, match=r"begin at byte .* its header ends at 352"):
        read_masks(path, GRID)


def test_what_simpleitk_cannot_read_is_named(tmp_path):
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    nibabel.save(nibabel.Nifti2Image(noisy().T, affine), tmp_path / "two.nii.gz")
    with pytest.raises(MaskError, match=r"is a NIfTI-2 file.*; save it as NIfTI-1, or as NRRD"):
        read_masks(tmp_path / "two.nii.gz", GRID)
    raw(tmp_path / "m.nii", noisy())
    (tmp_path / "packed.nii").write_bytes(gzip.compress((tmp_path / "m.nii").read_bytes()))
    with pytest.raises(MaskError, match=r"is compressed.*; name it .nii.gz"):
        read_masks(tmp_path / "packed.nii", GRID)
    (tmp_path / "packed.nii").rename(tmp_path / "packed.nii.gz")
    assert read_masks(tmp_path / "packed.nii.gz", GRID)
