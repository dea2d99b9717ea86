"""A mask in gzip is unpacked once, and counts only if Python's own gzip has the same bytes in it."""

import gzip
import zlib

import nibabel
import numpy as np
import pytest

from gsigpu.errors import DamagedMask
from gsigpu.masks import gzip_member, read_masks
from gsigpu.masks.gzip_member import length_told, unpacked
from gsigpu.masks.integrity import whole_content
from gsigpu.masks.read_files import unpacked_digest
from gsigpu.masks.stored_volume import read_volume
from gsigpu.masks.volume_headers import read_volume_header
from tests.masks.test_read_masks import GRID

CONTENT = np.random.default_rng(1).integers(0, 3, 50_000).astype(np.uint8).tobytes()
PACKED = gzip.compress(CONTENT)
N = len(CONTENT)


def test_a_whole_member_is_what_gzip_has_in_it():
    for packed in (PACKED, gzip.compress(CONTENT, 0), gzip.compress(CONTENT, 1)):
        assert unpacked(packed, N).tobytes() == gzip.decompress(packed)
        assert length_told(packed) == N


@pytest.mark.parametrize(
    "packed",
    [
        PACKED[:-1],
        PACKED[:-9],
        PACKED[: len(PACKED) // 2],
        PACKED + b"x",
        PACKED + bytes(512),
        PACKED + PACKED,
        PACKED + PACKED[-8:],
        PACKED[:-8] + bytes([PACKED[-8] ^ 1]) + PACKED[-7:],
        PACKED[:-1] + bytes([PACKED[-1] ^ 1]),
        b"\0" + PACKED[1:],
        b"",
    ],
)
def test_anything_else_is_left_to_zlib(packed):
    assert unpacked(packed, N) is None


def test_every_flipped_bit_of_a_small_member_is_seen_where_gzip_sees_it():
    packed = bytearray(gzip.compress(b"liver" * 9, mtime=0))
    for bit in range(8 * len(packed)):
        packed[bit // 8] ^= 1 << bit % 8
        try:
            expected = gzip.decompress(packed)
        except (OSError, EOFError, zlib.error):
            expected = None
        content = unpacked(bytes(packed), 45)
        assert content is None or content.tobytes() == expected
        packed[bit // 8] ^= 1 << bit % 8


def test_no_more_room_is_made_than_the_file_can_fill(monkeypatch):
    """A header of a few bytes may ask for a terabyte."""
    monkeypatch.setattr(gzip_member.np, "empty", lambda *_: pytest.fail("made room"))
    assert unpacked(PACKED, 2**40) is None
    assert unpacked(PACKED, 1032 * len(PACKED) + 1) is None


def saved(path, values, *, slope=None, endian="<"):
    header = nibabel.Nifti1Header(endianness=endian)
    header.set_data_dtype(values.dtype)
    image = nibabel.Nifti1Image(values, np.diag([2.0, 2.0, 3.0, 1.0]), header)
    if slope is not None:
        image.header.set_slope_inter(*slope)
    image.to_filename(path)
    return path


VOLUMES = {
    "uint8": (np.uint8, {}),
    "int16, big-endian": (np.dtype(">i2"), {"endian": ">"}),
    "float64": (np.float64, {}),
    "scaled": (np.int16, {"slope": (0.5, 1.0)}),
    "slope of one": (np.uint8, {"slope": (1.0, 0.0)}),
}


@pytest.mark.parametrize("name", VOLUMES)
def test_voxels_and_place_are_those_of_nibabel(tmp_path, name):
    dtype, options = VOLUMES[name]
    values = np.random.default_rng(2).integers(0, 5, (7, 6, 5)).astype(dtype)
    path = saved(tmp_path / "m.nii.gz", values, **options)
    content = whole_content(path, read_volume_header(path))
    assert content.tobytes() == gzip.decompress(path.read_bytes())
    volume, by_name = read_volume(path, content=content), read_volume(path)
    expected = np.asanyarray(nibabel.load(path).dataobj).T
    assert np.array_equal(volume.values, expected)
    assert volume.values.dtype == expected.dtype
    assert volume.grid == by_name.grid


def test_a_mask_is_unpacked_once(tmp_path, monkeypatch):
    """Neither zlib nor nibabel reads what was proved."""
    labels = np.zeros(GRID.shape, np.uint8)
    labels[1, 2:4, 2:5] = 2
    path = tmp_path / "m.nii.gz"
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ GRID.affine_lps
    nibabel.Nifti1Image(labels.T, affine).to_filename(path)
    members = []
    monkeypatch.setattr(
        "gsigpu.masks.integrity.unpacked",
        lambda *packed: members.append(packed) or unpacked(*packed),
    )
    monkeypatch.setattr("nibabel.Nifti1Image.from_filename", lambda *_, **__: pytest.fail("read"))
    monkeypatch.setattr("gsigpu.masks.integrity._expanded", lambda *_: pytest.fail("unpacked"))
    (mask,) = read_masks(path, GRID).masks
    assert (mask.label, mask.n_voxels, len(members)) == (2, 6, 1)


def test_several_members_are_read_as_gzip_reads_them(tmp_path):
    path = saved(tmp_path / "m.nii.gz", np.ones((4, 4, 4), np.uint8))
    content = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(content[:400]) + gzip.compress(content[400:]))
    header = read_volume_header(path)
    assert whole_content(path, header) is None
    assert read_volume(path).values.all()
    path.write_bytes(gzip.compress(content) + gzip.compress(b"more"))
    with pytest.raises(DamagedMask, match="holds 68 bytes of voxels, not 64"):
        whole_content(path, header)


def test_the_digest_is_that_of_what_is_packed(tmp_path):
    paths = [tmp_path / name for name in ("plain", "packed", "in two")]
    halves = CONTENT[:100], CONTENT[100:]
    for path, data in zip(
        paths, (CONTENT, PACKED, b"".join(map(gzip.compress, halves))), strict=True
    ):
        path.write_bytes(data)
    assert len({unpacked_digest(path) for path in paths}) == 1


def test_digests_of_different_contents_differ(tmp_path):
    """However much of it is 0: values, where they are, and how many zeros follow; blocks of 4 MiB and pages of 4 KiB."""
    n = 2**22 + 3 * 4096 + 17
    digests, plain = [], tmp_path / "plain"
    for set_bytes, length in (
        ([], n), ([], n + 1), ([], n + 4096), ([0], n), ([1], n), ([4096], n), ([2**22], n), ([2**22 + 4096], n),
        ([n - 1], n), ([n - 2], n), ([0, 4096], n), ([0, 4097], n), ([1, 4096], n), (range(0, n, 4096), n),
    ):  # fmt: skip
        content = np.zeros(length, np.uint8)
        content[list(set_bytes)] = 3
        plain.write_bytes(content)
        (tmp_path / "packed").write_bytes(gzip.compress(content, 1))
        halves = gzip.compress(content[: n // 2], 1) + gzip.compress(content[n // 2 :], 1)
        (tmp_path / "in two").write_bytes(halves)
        (digest,) = {unpacked_digest(tmp_path / name) for name in ("plain", "packed", "in two")}
        digests.append(digest)
    assert len(set(digests)) == len(digests)
