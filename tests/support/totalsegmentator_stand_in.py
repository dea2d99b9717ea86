"""TotalSegmentator's documented command line, as far as gsigpu uses it, without its models.

Options, tasks, classes, file names and exit codes are those of its version 2.18, and held to what its own code says
(tests/masks/test_totalsegmentator.py). Stricter than it: an option that it does not
have, a class that the task does not have, an image that is no NIfTI of signed 16 bit, and an output that is there are refused. It
"finds" the masks that lie in the folder STAND_IN_MASKS, and every call is a line in STAND_IN_CALLS. STAND_IN_FAULT makes it
fail. Run as a program: it needs nothing but Python, because the tests start it often.
"""

import argparse
import gzip
import os
import shutil
import signal
import struct
import sys
from pathlib import Path

VERSION = os.environ.get("STAND_IN_VERSION", "2.18.0")
CLASSES = {
    "total": ["spleen", "liver", "aorta", "inferior_vena_cava", "portal_vein_and_splenic_vein"],
    "liver_vessels": ["liver_vessels", "liver_tumor"],
    "liver_lesions": ["liver_lesions"],
}


def parsed(words):
    parser = argparse.ArgumentParser(prog="TotalSegmentator")
    parser.add_argument("-i", dest="input", type=Path)
    parser.add_argument("-o", dest="output", type=Path)
    parser.add_argument("-ta", "--task", choices=CLASSES, default="total")
    parser.add_argument("-rs", "--roi_subset", nargs="+")
    parser.add_argument("-d", "--device", default="gpu")
    parser.add_argument("-q", "--quiet", action="store_true")
    parser.add_argument("--version", action="version", version=VERSION)
    return parser, parser.parse_args(words)


def require_nifti(path):
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        header = file.read(352)
    size, kind, magic = struct.unpack_from("<i", header)[0], struct.unpack_from("<h", header, 70)[0], header[344:348]  # fmt: skip
    shape = struct.unpack_from("<8h", header, 40)
    n_bytes = 352 + 2 * shape[1] * shape[2] * shape[3]
    if (size, kind, magic, shape[0]) != (348, 4, b"n+1\0", 3) or path.stat().st_size != n_bytes:
        raise ValueError(f"not a NIfTI of signed 16 bit: {path.name}")


def main():
    parser, arguments = parsed(sys.argv[1:])
    if arguments.input is None or arguments.output is None:
        parser.error("the following arguments are required for segmentation: -i, -o")
    if arguments.roi_subset and arguments.task != "total":
        raise ValueError("roi_subset only works with task 'total' or 'total_mr'")
    names = arguments.roi_subset or CLASSES[arguments.task]
    unknown = set(names) - set(CLASSES[arguments.task])
    if unknown:
        raise ValueError(f"unknown classes {sorted(unknown)}")
    require_nifti(arguments.input)
    with Path(os.environ["STAND_IN_CALLS"]).open("a") as file:
        file.write(" ".join(sys.argv[3:]) + "\n")
    sys.stdout.write(
        "If you use this tool please cite: https://pubs.rsna.org/doi/10.1148/ryai.230024\n"
    )
    sys.stdout.flush()
    fault = os.environ.get("STAND_IN_FAULT", "")
    if fault == "fails":
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
    if fault == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    arguments.output.mkdir(parents=True, exist_ok=True)
    masks = Path(os.environ["STAND_IN_MASKS"])
    for name in names if fault != "absent" else names[1:]:
        source = masks / f"{name}.nii.gz"
        where = "elsewhere" if fault == "elsewhere" else "empty"
        is_there = source.exists() and not fault
        shutil.copyfile(source if is_there else masks / f"{where}.nii.gz", arguments.output / source.name)  # fmt: skip
        if fault == "cut":
            whole = (arguments.output / source.name).read_bytes()
            (arguments.output / source.name).write_bytes(whole[:20])


if __name__ == "__main__":
    main()
