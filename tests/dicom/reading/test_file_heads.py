"""Files whose heads were read ahead give what they give when each is opened by itself."""

import os
import shutil

import numpy as np
import pytest
from pydicom.uid import (
    EnhancedCTImageStorage,
    ImplicitVRLittleEndian,
    MRImageStorage,
    RLELossless,
)

from gsigpu.backends import compiled, compiled_files
from gsigpu.dicom.reading import file_heads, headers
from gsigpu.dicom.reading.headers import scan_headers
from gsigpu.file_state import FileState
from tests.backends.test_compiled import UBSAN, built
from tests.support.dicom_files import ct_dataset, save

PIXELS = np.arange(48, dtype=np.int16).reshape(6, 8)


@pytest.fixture(scope="module", params=["plain", "ubsan"])
def loop(request):
    library = built(UBSAN if request.param == "ubsan" else ["-O2"])
    return compiled.Loop(library, "sse2" if "sse2" in compiled.sets_of(library) else "neon")


def image(z, **attributes):
    return ct_dataset(PIXELS, instance_number=z + 1, position_mm=(0.0, 0.0, 2.5 * z), **attributes)


@pytest.fixture
def folder(tmp_path):
    """More images than are read in one call, and one of each kind of file that their heads do not tell of."""
    root = tmp_path / "study"
    for z in range(150):
        save(image(z, KVP=str(70 + z % 3)), root / f"a{z:03d}")
    ds = image(150)
    ds.private_block(0x09, "LONG", create=True).add_new(1, "OB", b"\1" * 40000)
    save(ds, root / "b1 header beyond what is read")
    save(image(151, SOPClassUID=MRImageStorage), root / "b2 not CT")
    save(image(152, SOPClassUID=EnhancedCTImageStorage, NumberOfFrames=2), root / "b3 frames")
    save(image(153, NumberOfFrames=3), root / "b4 frames that it cannot have")
    save(image(154, Rows=None), root / "b5 no rows")
    whole = save(image(155), root / "b6 cut off").read_bytes()
    (root / "b6 cut off").write_bytes(whole[:-9])
    (root / "b7 padded").write_bytes(whole + b"\0" * 512)
    (root / "b8 with more behind").write_bytes(whole + b"noise")
    (root / "b9 empty").touch()
    (root / "c1 text").write_text("nothing of the kind " * 30)
    (root / "c2 leads nowhere").symlink_to("gone")
    (root / "c3 header alone").write_bytes(whole[:300])
    ds = image(156)
    ds.compress(RLELossless)
    save(ds, root / "c4 compressed")
    ds = image(157)
    ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    save(ds, root / "c5 implicit")
    return root


def test_what_is_found_and_what_is_said(loop, folder, monkeypatch):
    opened = []
    add = headers._Scanner.add
    monkeypatch.setattr(
        headers._Scanner, "add", lambda self, name: (opened.append(name), add(self, name))
    )
    scans = {}
    for name in ("loop", "python"):
        opened.clear()
        monkeypatch.setattr(
            compiled_files, "choose_loop", lambda name=name: (loop if name == "loop" else None, "")
        )
        scans[name] = scan_headers(folder), len(opened)
    (ahead, n_ahead), (one_by_one, n_one_by_one) = scans["loop"], scans["python"]
    assert ahead == one_by_one
    assert len(ahead.planes) > 150
    assert len(ahead.skipped) > 5
    assert n_one_by_one == 164
    assert n_ahead == 164 - 150 - 2  # compressed and implicit are plain enough


def test_the_state_is_that_of_the_file(loop, folder, monkeypatch):
    monkeypatch.setattr(compiled_files, "choose_loop", lambda: (loop, ""))
    path = folder / "a007"
    os.utime(path, ns=(10**18, -(10**9) - 7))  # before 1970 too
    names = [os.fspath(path) for path in sorted(folder.iterdir())]
    n_read = 0
    for batch, heads in file_heads.with_heads(names, lambda: 100):
        for at, name in enumerate(batch):
            path, head = folder / name, file_heads.head_of(heads, at)
            if head is None:
                assert path.name == "c2 leads nowhere"
            else:
                assert head.state == FileState.of(path)
                assert head.start == path.read_bytes()[:100]
                n_read += 1
    assert n_read == len(names) - 1


def test_a_reader_that_stops_leaves_no_thread(loop, folder, monkeypatch):
    monkeypatch.setattr(compiled_files, "choose_loop", lambda: (loop, ""))
    heads = file_heads.with_heads(
        [os.fspath(path) for path in sorted(folder.iterdir())], lambda: 16
    )
    next(heads)
    heads.close()
    shutil.rmtree(folder)  # nobody reads there any more


def test_no_more_is_read_than_headers_have(loop, tmp_path, monkeypatch):
    """The first files show how much that is; where later ones have more, that is read of those behind them."""
    monkeypatch.setattr(compiled_files, "choose_loop", lambda: (loop, ""))
    for z in range(600):
        ds = image(z)
        if z >= 300:
            ds.private_block(0x09, "LONG", create=True).add_new(1, "OB", b"\1" * 30_000)
        save(ds, tmp_path / f"a{z:03d}")
    monkeypatch.setattr(file_heads, "_FILES_AT_ONCE", 64)
    sizes, opened = [], []
    read, add = file_heads.read_heads, headers._Scanner.add
    monkeypatch.setattr(
        file_heads, "read_heads", lambda paths, n: (sizes.append(n), read(paths, n))[1]
    )
    monkeypatch.setattr(
        headers._Scanner, "add", lambda self, name: (opened.append(name), add(self, name))
    )
    scan = scan_headers(tmp_path)
    assert len(scan.planes) == 600
    assert sizes[0] == 16 * 1024
    assert sizes[1:5] == [4096] * 4
    assert sizes[-1] == 8 * 4096
    assert sorted(set(sizes)) == [4096, 16 * 1024, 8 * 4096]
    assert len(opened) < 300  # those that were on their way when the first long one came
