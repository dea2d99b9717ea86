"""The pass in the compiled loop does what the stream does slice by slice: the same bytes, and the same errors."""

import resource
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import ExplicitVRBigEndian

import gsigpu
from gsigpu.backends import compiled, compiled_files
from gsigpu.errors import GsigpuError
from gsigpu.pipeline.map import compiled_pass
from gsigpu.pipeline.map.map_study import map_study
from tests.backends.test_compiled import UBSAN, built

MAPS = ["lambda-hu", "iodine", "vnc", "mono-55", "water"]
ENERGIES = (60.0, 80.0, 100.0)
N_SLICES = 21  # several calls, and the slices of the label check between them
SHAPE = (N_SLICES, 24, 40)


@pytest.fixture(scope="module", params=["plain", "ubsan"])
def loop(request):
    library = built(UBSAN if request.param == "ubsan" else ["-O2"])
    return compiled.Loop(library, compiled.sets_of(library)[0])


@pytest.fixture(scope="module")
def plain_loop():
    library = built(["-O2"])
    return compiled.Loop(library, compiled.sets_of(library)[0])


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    settings = gsigpu.PhantomSettings(
        shape=SHAPE, spacing_mm=(5.0, 9.0, 9.0), n_lesions=1, phases=("AP",), extras=(), energies_kev=ENERGIES
    )  # fmt: skip
    return gsigpu.write_phantom(tmp_path_factory.mktemp("phantom") / "p", settings).dicom_folder


@pytest.fixture
def study(phantom, tmp_path):
    """A copy to be changed."""
    for path in sorted(path for path in phantom.rglob("*") if path.is_file()):
        copy = tmp_path / "study" / path.relative_to(phantom)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    return tmp_path / "study"


@contextmanager
def way(name, loop):
    """Maps by a library here, or file by file in Python; the arithmetic is the library's both times."""
    n_slices = []
    with pytest.MonkeyPatch.context() as patch:
        for module in (compiled_pass, compiled_files):
            patch.setattr(module, "choose_loop", lambda: (loop if name == "loop" else None, ""))
        patch.setattr("gsigpu.backends.cpu.choose_loop", lambda: (loop, ""))

        def counted(functions, slices):
            n_slices.append(compiled_files.map_slices(functions, slices))
            return n_slices[-1]

        patch.setattr(compiled_pass, "map_slices", counted)
        yield n_slices


def run(name, loop, study, out, **options):
    """(files and bytes, error, slices by the loop) of a run."""
    with way(name, loop) as n_slices:
        try:
            map_study(study, out, maps=MAPS, backend="cpu", **options)
            error = None
        except GsigpuError as raised:
            error = type(raised), str(raised).replace(out.name, "OUT")
    return contents(out), error, sum(n_slices)


def contents(folder):
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def both(loop, study, tmp_path, **options):
    """What the loop left and told, after both ways were found alike; and how many slices the loop did."""
    fast, error, n_slices = run("loop", loop, study, tmp_path / "fast", **options)
    slow, expected, none = run("python", loop, study, tmp_path / "slow", **options)
    assert none == 0
    assert error == expected
    assert fast.keys() == slow.keys()
    assert [name for name in fast if fast[name] != slow[name]] == []
    assert not list(tmp_path.glob(".*partial*"))
    return fast, error, n_slices


def signed_12(ds, words):
    ds.BitsStored, ds.HighBit = 12, 11
    return np.clip(words, -2048, 2047).astype(np.int16) & 0x0FFF | 0x3000  # dirt above High Bit


def unsigned_12(ds, words):
    ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 12, 11, 0
    ds.RescaleIntercept = "-1024"
    del ds.PixelPaddingValue
    return np.clip(words + 1024, 0, 4095).astype(np.int16)


def shifted_12(ds, words):
    ds.BitsStored, ds.HighBit = 12, 15
    return (np.clip(words, -2048, 2047) << 4).astype(np.int16)


def unsigned_16(ds, words):
    ds.PixelRepresentation, ds.RescaleIntercept = 0, "-32768"
    del ds.PixelPaddingValue
    return (words.astype(int) + 32768).astype(np.uint16)


def rescaled_by_slice(ds, words):
    ds.RescaleSlope = str(1 + ds.InstanceNumber % 3)
    return words


def odd_padding(ds, words):
    """A value between tissue and nothing: some slices have two ranges of padding, which the loop does not take."""
    if ds.InstanceNumber % 2:
        ds["PixelPaddingValue"].value = -100
    return words


@pytest.mark.parametrize(
    ("change", "n_in_loop"),
    [
        (None, N_SLICES - 3), (signed_12, N_SLICES - 3), (unsigned_12, N_SLICES - 3),
        (shifted_12, N_SLICES - 3), (unsigned_16, N_SLICES - 3), (rescaled_by_slice, N_SLICES - 3),
        (odd_padding, None),
    ],
)  # fmt: skip
def test_the_same_bytes(loop, study, tmp_path, change, n_in_loop):
    """Three slices were read by the look at the labels, and are not read again."""
    for path in study.rglob("*") if change else ():
        if path.is_file():
            ds = pydicom.dcmread(path)
            words = change(ds, ds.pixel_array)
            ds.PixelData = words.tobytes()
            ds.save_as(path)
    files, error, n_slices = both(loop, study, tmp_path)
    assert error is None
    assert len(files) == len(MAPS) * N_SLICES + 2
    assert n_slices == n_in_loop or (n_in_loop is None and 0 < n_slices < N_SLICES - 3)


def big_endian(path):
    ds = pydicom.dcmread(path)
    ds.PixelData = ds.pixel_array.astype(">i2").tobytes()
    ds.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    pydicom.dcmwrite(path, ds, implicit_vr=False, little_endian=False, enforce_file_format=True)


def rle(path):
    ds = pydicom.dcmread(path)
    ds.compress("1.2.840.10008.1.2.5")
    ds.save_as(path)


@pytest.mark.parametrize("change", [big_endian, rle])
def test_what_is_not_plain_goes_the_other_way(plain_loop, study, tmp_path, change):
    for path in study.rglob("*"):
        if path.is_file():
            change(path)
    files, error, n_slices = both(plain_loop, study, tmp_path)
    assert (error, n_slices) == (None, 0)
    assert len(files) == len(MAPS) * N_SLICES + 2


def test_frames_of_one_file(plain_loop, tmp_path):
    settings = gsigpu.PhantomSettings(
        shape=(9, 24, 40), spacing_mm=(5.0, 9.0, 9.0), n_lesions=0, phases=("AP",), extras=(),
        energies_kev=ENERGIES, layout="enhanced",
    )  # fmt: skip
    folder = gsigpu.write_phantom(tmp_path / "phantom", settings).dicom_folder
    files, error, n_slices = both(plain_loop, folder, tmp_path)
    assert error is None
    assert n_slices == 6
    assert len(files) == len(MAPS) * 9 + 2


@pytest.mark.parametrize(
    "options", [{"output_format": "rgb"}, {"compress": "rle"}, {"output_format": "pm"}]
)
def test_other_forms_are_written_alike(plain_loop, phantom, tmp_path, options):
    _, error, n_slices = both(plain_loop, phantom, tmp_path, **options)
    assert (error, n_slices) == (None, 0)


def shortened(path):
    path.write_bytes(path.read_bytes()[:-10])


def replaced(path):
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.replace(path)


def removed(path):
    path.unlink()


def made_a_folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("fault", [shortened, replaced, removed, made_a_folder])
@pytest.mark.parametrize("which", [2, -1])
def test_a_file_that_changed_after_the_scan(loop, study, tmp_path, fault, which):
    scanned = gsigpu.scan(study)
    fault(scanned.series[1].planes[which].path)
    files, error, _ = both(loop, scanned, tmp_path)
    assert files == {}
    assert scanned.series[1].planes[which].path.name in error[1]


def test_a_file_that_was_cut_off_before_the_scan(plain_loop, study, tmp_path):
    path = gsigpu.scan(study).series[2].planes[4].path
    shortened(path)
    files, error, _ = both(plain_loop, study, tmp_path)
    assert files == {}
    assert path.name in error[1]


@contextmanager
def largest_file(n_bytes):
    """Beyond it a disk is full, as far as a program can tell; Python ignores the signal that comes with it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("n_bytes", [100, 1200, 3000])
def test_a_full_disk(loop, phantom, tmp_path, n_bytes):
    """In the header, and in the pixels: neither way leaves anything."""
    scanned = gsigpu.scan(phantom)
    with largest_file(n_bytes):
        files, error, _ = both(loop, scanned, tmp_path)
    assert files == {}
    assert "OUT" in error[1]


def test_a_slice_that_is_begun_anew_finds_none_of_its_files(loop, phantom, tmp_path):
    """The third file of a slice cannot be made at first: those before it are taken away, and all are made again."""
    scanned = gsigpu.scan(phantom)
    expected, _, _ = run("python", loop, scanned, tmp_path / "slow")
    with way("loop", loop) as n_slices:

        def in_the_way(functions, slices):
            """A file stands where the third of the second slice is to be, until the call ends."""
            paths = (compiled_files.ctypes.c_char_p * (5 * slices.n_slices)).from_address(
                slices.out_paths
            )
            if slices.n_slices > 1:
                Path(paths[7].decode()).touch(exist_ok=False)
            n_done = compiled_files.map_slices(functions, slices)
            n_slices.append(n_done)
            if slices.n_slices > 1:
                assert n_done == 1
                Path(paths[7].decode()).unlink()
            return n_done

        compiled_pass.map_slices = in_the_way
        map_study(scanned, tmp_path / "fast", maps=MAPS, backend="cpu")
    assert contents(tmp_path / "fast") == expected
    assert 0 < sum(n_slices) < N_SLICES - 3
