"""Fuzz: damaged images, masks, manifests and tables, by the million. What may come of one is a value or a told error.

Every input is made from a file of a small corpus and its number alone, so that `--again KIND:NUMBER` makes it
once more. Inputs are read in a child process: one that kills it, hangs it or fills its memory is a finding, and
the next child goes on behind it. Findings are also: an exception that is no GsigpuError, more than 2 s for an
input of some kB, and uncompressed pixels that differ from what pydicom reads of the same bytes.

Not a benchmark, and not for CI: a million inputs take an hour or two.
"""

from __future__ import annotations

import argparse
import json
import math
import mmap
import random
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from common import report  # noqa: E402

from gsigpu.errors import GsigpuError  # noqa: E402

SLOW_S = 2.0
HUNG_S = 60.0
CODED_SHAPE = (24, 36)
MOST_MEMORY = 8 << 30
KINDS = ("images", "frames", "coded", "masks", "manifests", "tables")
DEFAULT = {
    "images": 500_000,
    "frames": 250_000,
    "coded": 1_000_000,
    "masks": 50_000,
    "manifests": 100_000,
    "tables": 100_000,
}

# Half of the changes fall within so many bytes of the start.
HEAD = {"images": 800, "frames": 800, "coded": 120, "masks": 800}

Outcome = str  # "read", the code of an error, or "FINDING: …"


# --- mutation ---------------------------------------------------------------------------------------------

_INTERESTING = (
    b"\0\0", b"\xff\xff", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xfe\xff\0\xe0", b"\xfe\xff\x0d\xe0",
    b"\xfe\xff\xdd\xe0", b"UN", b"SQ", b"OW", b"OB", b"US", b"SS", b"\x7f\xff", b"\xff\xd9", b"\xff\xda",
    b"\xff\xc3", b"\xff\xf7", b"\xff\x51", b"\xff\x93", b"\x01\0", b"\x0c\0", b"\x10\0", b"\xe0\x7f\x10\0",
)  # fmt: skip
_WORDS = (
    b"nan", b"inf", b"-1", b"0", b"1e999", b"''", b'"', b",", b"\n", b"\r\n", b"\t", b"\0", b"\xff", b"=1+1",
    b"\xef\xbb\xbf", "ß漢".encode(), b"null", b"NA", b"12.5", b"99999999999999999999", b" ", b"../x", b"AP",
)  # fmt: skip


def mutated(data: bytes, rng: random.Random, words: tuple[bytes, ...], head: int) -> bytes:
    """One to five changes; half of them within the first `head` bytes."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5))):
        if not out:
            break
        at = rng.randrange(min(len(out), head) if rng.random() < 0.5 else len(out))
        kind = rng.random()
        if kind < 0.30:
            out[at] = rng.randrange(256)
        elif kind < 0.40:
            out[at] ^= 1 << rng.randrange(8)
        elif kind < 0.65:
            word = rng.choice(words)
            out[at : at + (len(word) if rng.random() < 0.7 else 0)] = word
        elif kind < 0.75:
            del out[at : at + rng.choice((1, 2, 4, 8, 60))]
        elif kind < 0.85:
            out[at:at] = out[(start := rng.randrange(len(out))) : start + rng.choice((1, 2, 8, 60))]
        elif kind < 0.90:
            del out[at:]
        elif kind < 0.95:
            n = rng.choice((4, 64, 400))
            out[at : at + n] = bytes(n)
        else:
            struct.pack_into("<L", out, min(at, max(len(out) - 4, 0)), rng.getrandbits(32)) if len(
                out
            ) >= 4 else None
    return bytes(out)


def mutated_elements(data: bytes, rng: random.Random) -> bytes:
    """An explicit header with an element dropped, doubled, moved, or of another VR, length or value."""
    spans = _elements(data)
    if len(spans) < 3:
        return data
    pieces = [data[start:end] for start, end in spans]
    i, j = rng.randrange(len(pieces)), rng.randrange(len(pieces))
    kind = rng.randrange(6)
    if kind == 0:
        del pieces[i]
    elif kind == 1:
        pieces.insert(j, pieces[i])
    elif kind == 2:
        pieces[i], pieces[j] = pieces[j], pieces[i]
    elif kind == 3:
        vr = rng.choice((b"UN", b"OB", b"US", b"SS", b"DS", b"LO", b"SQ", b"UI", b"IS", b"??"))
        pieces[i] = pieces[i][:4] + vr + pieces[i][6:]
    elif kind == 4:
        value = rng.choice(
            (b"", b"\0\0", b"-7", b"1e9", b"nan ", b"99", b"\xff\xff", b"0\\0\\0 ", b"1.5 ")
        )
        pieces[i] = pieces[i][:6] + struct.pack("<H", len(value)) + value
    else:
        value = struct.pack("<H", rng.choice((0, 1, 2, 7, 8, 11, 12, 15, 16, 17, 32, 255, 65535)))
        pieces[i] = pieces[i][:6] + struct.pack("<H", 2) + value
    return data[: spans[0][0]] + b"".join(pieces) + data[spans[-1][1] :]


def _elements(data: bytes) -> list[tuple[int, int]]:
    """Start and end of the elements behind group 2, up to Pixel Data."""
    spans, position = [], 132
    while position + 12 <= len(data):
        start, vr = position, data[position + 4 : position + 6]
        if vr in (b"OB", b"OW", b"SQ", b"UN", b"UT", b"OF"):
            position += 12 + struct.unpack_from("<L", data, position + 8)[0]
        else:
            position += 8 + struct.unpack_from("<H", data, position + 6)[0]
        if data[start : start + 4] == b"\xe0\x7f\x10\0" or position > len(data):
            break
        if data[start : start + 2] != b"\2\0":
            spans.append((start, position))
    return spans


# --- corpus -----------------------------------------------------------------------------------------------


def write_corpus(folder: Path) -> None:
    from gsigpu.choices import LAYOUTS, TRANSFER_SYNTAXES
    from gsigpu.phantom.phantom_settings import PhantomSettings
    from gsigpu.phantom.write_phantom import write_phantom

    for kind in KINDS:
        (folder / kind).mkdir(parents=True)
    small = {"energies_kev": (60.0, 100.0), "phases": ("PVP",), "extras": (), "n_lesions": 0}
    for syntax in TRANSFER_SYNTAXES:
        for layout in LAYOUTS:
            settings = PhantomSettings(
                shape=(2, 12, 18), spacing_mm=(20.0, 20.0, 20.0), transfer_syntax=syntax,
                layout=layout, supplement_188=layout != "classic", **small,
            )  # fmt: skip
            truth = write_phantom(folder / "phantom", settings, overwrite=True)
            paths = sorted(path for path in truth.dicom_folder.rglob("*") if path.is_file())
            compressed = syntax not in ("explicit", "implicit", "deflated")
            if layout in ("classic", "enhanced"):
                target = folder / ("frames" if compressed else "images") / f"{syntax}-{layout}"
                shutil.copy(paths[0], target)
    _more_images(folder / "images")
    _coded(folder / "coded")
    _masks(folder / "masks")
    _texts(folder)
    shutil.rmtree(folder / "phantom")


def _more_images(folder: Path) -> None:
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    from tests.support.dicom_files import ct_dataset, save_encoded

    rng = np.random.default_rng(0)
    signed = rng.integers(-1024, 3000, (12, 18)).astype(np.int16)
    twelve = {"BitsStored": 12, "HighBit": 11, "PixelPaddingValue": 63536, "intercept": -1024}
    little, big = ExplicitVRLittleEndian, ExplicitVRBigEndian
    for name, claimed, written_as in (
        ("big", big, big), ("lies-implicit", little, ImplicitVRLittleEndian),
        ("lies-explicit", ImplicitVRLittleEndian, little), ("tail", little, little),
    ):  # fmt: skip
        ds = ct_dataset(signed, PixelPaddingValue=-2000)
        ds.add_new(0xFFFCFFFC, "OB", bytes(6))
        save_encoded(ds, folder / name, claimed=claimed, written_as=written_as)
    unsigned = ct_dataset((signed + 1024).astype(np.uint16), **twelve)
    save_encoded(unsigned, folder / "twelve", claimed=little, written_as=little)


def _coded(folder: Path) -> None:
    """Bare frames, named by their transfer syntax: nearly all damage goes to a native decoder."""
    from gsigpu.dicom.reading import codecs
    from gsigpu.dicom.writing.encoding import encode_frame

    rng = np.random.default_rng(0)
    for amplitude in (3, 400):
        steps = rng.integers(-amplitude, amplitude + 1, CODED_SHAPE)
        stored = np.cumsum(steps, axis=1).astype(np.int16)
        for name, uid in (
            ("rle", codecs.RLE_LOSSLESS), ("jpeg-lossless", codecs.JPEG_LOSSLESS_SV1),
            ("jpeg-ls", codecs.JPEG_LS_LOSSLESS), ("jpeg2000", codecs.JPEG_2000_LOSSLESS),
            ("htj2k", codecs.HTJ2K_LOSSLESS),
        ):  # fmt: skip
            (folder / f"{uid}-{amplitude}").write_bytes(encode_frame(stored, name))


def _grid() -> object:
    from gsigpu.volume import VolumeGeometry

    return VolumeGeometry(
        shape=(4, 16, 18), spacing_mm=(2.5, 0.8, 0.9), origin_mm=(-7.0, -6.0, 11.0),
        frame_of_reference_uid="1.2.9",
    )  # fmt: skip


def _masks(folder: Path) -> None:
    import SimpleITK

    from tests.support.rtstruct import contours_of, structure_set

    grid = _grid()
    labels = np.zeros(grid.shape, np.uint8)
    labels[1:3, 4:9, 5:11], labels[2, 11:14, 2:6] = 1, 2
    image = SimpleITK.GetImageFromArray(labels)
    image.SetSpacing(grid.spacing_mm[::-1])
    image.SetOrigin(grid.origin_mm)
    for suffix in (".nii", ".nii.gz", ".nrrd", ".mha"):
        SimpleITK.WriteImage(image, str(folder / f"m{suffix}"), useCompression=suffix != ".mha")
    drawn = {n: (f"lesion {n}", contours_of(labels == n, grid)) for n in (1, 2)}
    structure_set(drawn).save_as(folder / "s.dcm", enforce_file_format=True)


def _texts(folder: Path) -> None:
    (folder / "manifests" / "m.csv").write_text(
        "case_id,patient_id,group,phase,study,mask,sex,age,reader\n"
        "C1,P1,colorectal,PVP,studies/1,masks/1.nii,M,61,A\n"
        "C2,P2,gastric,AP,studies/2,masks/2.nii,F,57.5,A\n"
        '"C,3",P3,gastric,PVP,studies/3,masks/3.nii,,,B\n'
    )
    rows = ["patient_id,lesion_id,group,phase,region,parameter,value,reader,statistic,unit"]
    for patient in range(6):
        for region in ("core", "rim"):
            for parameter in ("lambda_hu", "iodine"):
                value = 1.5 + 0.1 * patient + (region == "rim")
                group = "lung" if patient % 2 else "breast"
                rows.append(f"P{patient},1,{group},PVP,{region},{parameter},{value},A,mean,1")
    (folder / "tables" / "t.csv").write_text("\n".join(rows) + "\n")


# --- what is done with an input ---------------------------------------------------------------------------


def try_image(path: Path) -> Outcome:
    from gsigpu.dicom.reading.headers import scan_headers
    from gsigpu.dicom.reading.hu_planes import read_planes
    from gsigpu.dicom.reading.pixels import PlaneReader

    scan = scan_headers(path)
    if not scan.planes:
        return "skipped" + (", damaged" if scan.skipped[0].damaged else "")
    reader, outcome = PlaneReader(), "read"
    for plane in scan.planes[:4]:
        if plane.format.rows * plane.format.columns > 1 << 22:
            return "large"  # truthfully told of a sparse header; not read here
        values = read_planes(reader, [plane])[0]
        outcome = max(outcome, _against_pydicom(plane, values))
    return outcome


def _against_pydicom(plane: object, values: np.ndarray) -> Outcome:
    """Uncompressed values against pydicom's, where it reads the file and means the same by its header."""
    from pydicom import dcmread
    from pydicom.pixels.utils import pixel_array
    from pydicom.uid import UID

    image = plane.format
    if not UID(image.transfer_syntax_uid).is_valid or UID(image.transfer_syntax_uid).is_private:
        return "read"
    try:
        ds = dcmread(plane.path, force=True)
        if "TransferSyntaxUID" not in ds.file_meta:
            return "read"
        if ds.file_meta.TransferSyntaxUID.is_compressed and "1.99" not in str(
            ds.file_meta.TransferSyntaxUID
        ):
            return "read"
        frame = plane.frame if plane.evidence.n_frames > 1 else None
        stored = pixel_array(ds, index=frame, raw=True).astype(np.int64)
    except Exception:  # noqa: BLE001
        return "read, refused by pydicom"
    if stored.shape != values.shape:
        return f"FINDING: shape {values.shape}, pydicom {stored.shape}"
    if image.bits_allocated > 8 * 2 or image.high_bit != image.bits_stored - 1:
        return "read"  # pydicom pays no heed to High Bit
    n_values = 1 << image.bits_stored
    stored %= n_values
    if image.signed:
        stored = np.where(stored >= n_values // 2, stored - n_values, stored)
    if plane.evidence.n_frames > 1:
        expected = (stored - image.bias) * plane.slope + plane.intercept
    else:
        expected = stored * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
    differs = np.isfinite(values) & ~np.isclose(values, expected, rtol=1e-4, atol=1e-2)
    if not differs.any():
        return _place_against_pydicom(plane, ds)
    return f"FINDING: {int(differs.sum())} values differ from pydicom's"


def _place_against_pydicom(plane: object, ds: object) -> Outcome:
    """Where a classic image lies, against pydicom's reading of the same elements."""
    if plane.evidence.n_frames == 1 and "PerFrameFunctionalGroupsSequence" not in ds:
        for keyword, ours in (
            ("ImagePositionPatient", plane.position_mm),
            ("ImageOrientationPatient", plane.orientation),
            ("PixelSpacing", plane.pixel_spacing_mm),
        ):
            try:
                theirs = tuple(float(number) for number in ds[keyword].value)
            except Exception:  # noqa: BLE001
                continue
            if ours is None or ds[keyword].VR != "DS":
                continue
            if len(ours) != len(theirs) or not np.allclose(ours, theirs):
                return f"FINDING: {keyword} {ours}, pydicom {theirs}"
    return "read, as pydicom"


def try_coded(path: Path) -> Outcome:
    from gsigpu.dicom.model import PixelFormat
    from gsigpu.dicom.reading.codecs import decode_frame

    image = PixelFormat(
        transfer_syntax_uid=path.name.split("-")[0], rows=CODED_SHAPE[0], columns=CODED_SHAPE[1],
        bits_allocated=16, bits_stored=16, high_bit=15, signed=True,
    )  # fmt: skip
    data = path.read_bytes()
    try:
        values = decode_frame(data, image, np.empty(CODED_SHAPE, np.int16))
    except Exception as error:  # noqa: BLE001  # the reader of planes names the file in its stead
        return f"refused, {type(error).__name__}"
    return "decoded" if values.shape == CODED_SHAPE else "decoded to another shape"


def try_mask(path: Path) -> Outcome:
    from gsigpu.masks.read_masks import read_masks

    read_masks(path, _grid())
    return "read"


def try_manifest(path: Path) -> Outcome:
    from gsigpu.tables.manifest import read_manifest

    read_manifest(path)
    return "read"


def try_table(path: Path) -> Outcome:
    from gsigpu.tables.observations import read_observations

    read_observations(path)
    return "read"


TRIES: dict[str, Callable[[Path], Outcome]] = {
    "images": try_image, "frames": try_image, "coded": try_coded, "masks": try_mask,
    "manifests": try_manifest, "tables": try_table,
}  # fmt: skip


def make_input(kind: str, number: int, corpus: list[Path]) -> tuple[str, bytes]:
    """Name and bytes of the input of this number."""
    rng = random.Random(f"{kind}:{number}")
    source = corpus[number % len(corpus)]
    data = source.read_bytes()
    binary = kind in ("images", "frames", "coded", "masks")
    if (
        kind == "images"
        and rng.random() < 0.4
        and not source.name.startswith(("implicit", "big", "lies"))
    ):
        data = mutated_elements(data, rng)
        if rng.random() < 0.5:
            return source.name, data
    return source.name, mutated(
        data, rng, _INTERESTING if binary else _WORDS, 800 if binary else 200
    )


def tried(kind: str, path: Path) -> Outcome:
    begun = time.monotonic()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            outcome = TRIES[kind](path)
    except GsigpuError as error:
        line = str(error)
        outcome = error.code if "\n" not in line else "FINDING: an error of several lines"
    except Exception as error:  # noqa: BLE001
        outcome = f"FINDING: {type(error).__name__}: {error}"[:200]
    taken = time.monotonic() - begun
    return f"FINDING: {taken:.1f} s" if taken > SLOW_S and outcome[:7] != "FINDING" else outcome


# --- child and parent -------------------------------------------------------------------------------------


def serve(kind: str, start: int, stop: int, folder: Path, place: Path) -> None:
    """Try inputs; the number at hand stands in a mapped file, so that it is known whatever happens."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    corpus = sorted((folder / kind).iterdir())
    work = place / "work"
    work.mkdir(exist_ok=True)
    counts: Counter[str] = Counter()
    with (place / "number").open("r+b") as file, (place / "findings").open("a") as findings:
        number_at_hand = mmap.mmap(file.fileno(), 8)
        tried(kind, corpus[0])  # what is imported now is not timed later
        for number in range(start, stop):
            number_at_hand[:8] = struct.pack("<q", number)
            name, data = make_input(kind, number, corpus)
            path = work / name
            path.write_bytes(data)
            outcome = tried(kind, path)
            counts[outcome if outcome[:7] != "FINDING" else "FINDING"] += 1
            if outcome[:7] == "FINDING":
                findings.write(json.dumps([number, name, outcome]) + "\n")
                findings.flush()
            if number % 500 == 499 or number == stop - 1:
                (place / "counts").write_text(json.dumps([number + 1, counts]))


def run(kind: str, n_inputs: int, folder: Path) -> tuple[Counter[str], list[list[object]], float]:
    """All inputs of a kind, by one child after the other."""
    place = folder / f"run-{kind}"
    place.mkdir()
    (place / "number").write_bytes(bytes(8))
    (place / "findings").touch()
    begun, start = time.monotonic(), 0
    total: Counter[str] = Counter()
    while start < n_inputs:
        (place / "counts").write_text(json.dumps([start, {}]))
        child = subprocess.Popen(
            [sys.executable, __file__, "--serve", f"{kind}:{start}:{n_inputs}", "--folder", folder],
            stderr=subprocess.DEVNULL,
        )
        hung = _wait(child, place / "number")
        done, counts = json.loads((place / "counts").read_text())
        total.update(counts)
        if child.returncode == 0 and not hung:
            break
        (number,) = struct.unpack("<q", (place / "number").read_bytes())
        total["not counted, before a death"] += number - done
        total["FINDING"] += 1
        how = "hung" if hung else f"died, exit status {child.returncode}"
        with (place / "findings").open("a") as findings:
            findings.write(json.dumps([number, "", f"FINDING: {how}"]) + "\n")
        start = number + 1
    told = [json.loads(line) for line in (place / "findings").read_text().splitlines()]
    return total, told, time.monotonic() - begun


def _wait(child: subprocess.Popen[bytes], place: Path) -> bool:
    """True if the child stood still and was ended."""
    last, since = b"", time.monotonic()
    while True:
        try:
            child.wait(1.0)
        except subprocess.TimeoutExpired:
            now = place.read_bytes()
            if now != last:
                last, since = now, time.monotonic()
            elif time.monotonic() - since > HUNG_S:
                child.kill()
                child.wait()
                return True
        else:
            return False


def again(kind: str, number: int, folder: Path) -> None:
    name, data = make_input(kind, number, sorted((folder / kind).iterdir()))
    path = Path.cwd() / f"fuzz-{kind}-{number}-{name}"
    path.write_bytes(data)
    print(path, tried(kind, path))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for kind, n in DEFAULT.items():
        parser.add_argument(f"--{kind}", type=int, default=n)
    parser.add_argument("--quick", action="store_true", help="few inputs: only shows that it runs")
    parser.add_argument("--save", action="store_true", help="also write bench/results/")
    parser.add_argument("--again", help="KIND:NUMBER: make and try this input, and keep its file")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        kind, start, stop = options.serve.split(":")
        serve(kind, int(start), int(stop), options.folder, options.folder / f"run-{kind}")
        return
    fast = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=fast if fast.is_dir() else None) as scratch:
        folder = Path(scratch)
        write_corpus(folder)
        if options.again:
            kind, number = options.again.split(":")
            again(kind, int(number), folder)
            return
        lines = ["| inputs | number | findings | outcomes | minutes |", "|---|---:|---:|---|---:|"]
        details: list[str] = []
        for kind in KINDS:
            n_inputs = math.ceil(getattr(options, kind) / (1000 if options.quick else 1))
            counts, findings, seconds = run(kind, n_inputs, folder)
            n_findings = counts.pop("FINDING", 0)
            told = ", ".join(f"{name} {n:,}" for name, n in counts.most_common())
            lines.append(f"| {kind} | {n_inputs:,} | {n_findings} | {told} | {seconds / 60:.1f} |")
            print(lines[-1], flush=True)
            details += [
                f"- {kind}:{number} ({name}): {text}" for number, name, text in findings[:40]
            ]
    report("fuzz", [*lines, "", *(details or ["No findings."])], save=options.save)


if __name__ == "__main__":
    main()
