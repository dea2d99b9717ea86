"""A cohort of tiny studies, and ways to break one in the worker."""

import csv
import gzip
import json
import shutil

from gsigpu.phantom import PhantomSettings, write_phantom

TINY = PhantomSettings(
    shape=(12, 64, 80),
    spacing_mm=(10.0, 4.4, 4.4),
    n_lesions=2,
    diameter_mm=(20.0, 32.0),
    energies_kev=(60.0, 70.0, 100.0),
    phases=("PVP",),
    extras=(),
)
COLUMNS = (
    "case_id", "patient_id", "group", "phase", "study", "mask", "reader", "liver_mask", "sex",
    "age", "confirmed", "slope", "roles",
)  # fmt: skip

# Imported by Python itself when a worker starts; does to a case what its name in the file says.
_FAULTS = """
import json, os, sys
if "gsigpu.pipeline.cohort_run.child_main" in " ".join(sys.orig_argv):
    import signal, time
    from gsigpu.errors import GsigpuError
    from gsigpu.pipeline.cohort_run import row_measurement
    real = row_measurement.RowJob.run

    def run(job):
        with open(os.environ["COHORT_FAULTS"]) as file:
            faults = json.load(file)
        fault = faults.get(job.row.case_id, faults.get(f"{job.row.case_id} {job.row.reader}", ""))
        fault = fault or faults.get(str(job.masks.lesions[0].parent.parent.name), "")
        if fault.startswith("codec crash"):
            print("decoder says goodbye", fault, file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGSEGV)
        if fault.startswith("exception"):
            print("warned of", fault, file=sys.stderr, flush=True)
            raise ValueError(fault)
        if fault == "hang":
            time.sleep(3600)
        if fault == "memory error":
            raise MemoryError
        if fault == "too much memory":
            kept = bytearray(2**29)
            kept[::4096] = b"x" * len(kept[::4096])
            time.sleep(3600)
        if fault == "killed once":
            try:
                open(os.environ["COHORT_FAULTS"] + ".killed", "x").close()
                fault = "killed"
            except FileExistsError:
                pass
        if fault == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if fault.startswith("slow"):
            time.sleep(float(fault.split()[1]))
        return real(job)

    row_measurement.RowJob.run = run
"""


def write_template(folder):
    """The study that every case is a copy of."""
    return write_phantom(folder / "template", TINY)


def name_mask(path, name):
    """Writes a name into a mask's header: masks of two patients are never the same file."""
    content = bytearray(gzip.decompress(path.read_bytes()))
    description = slice(148, 228)  # `descrip` of NIfTI-1
    content[description] = name.encode().ljust(80, b"\0")
    path.write_bytes(gzip.compress(bytes(content), mtime=0))


class Cohort:
    """Studies under a folder, and their manifest."""

    def __init__(self, folder, truth, n_cases):
        self.folder = folder
        self.rows = []
        for number in range(1, n_cases + 1):
            name = f"C{number:02d}"
            shutil.copytree(truth.folder, folder / name)
            name_mask(folder / name / "masks/lesions.nii.gz", name)
            self.rows.append(
                {
                    "case_id": name,
                    "patient_id": f"P{(number + 1) // 2:02d}",
                    "group": "lung" if (number + 1) // 2 % 2 else "breast",
                    "phase": "PVP",
                    "study": f"{name}/dicom",
                    "mask": f"{name}/masks/lesions.nii.gz",
                    "reader": "A",
                    "liver_mask": f"{name}/masks/liver.nii.gz",
                    "sex": "F",
                    "age": "60",
                    "confirmed": "yes",
                }
            )
        self.write()

    @property
    def manifest(self):
        return self.folder / "manifest.csv"

    def write(self):
        with self.manifest.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(self.rows)

    def slices(self, case_id, words=""):
        """DICOM files of a case whose path holds the words, sorted."""
        return sorted(
            path for path in (self.folder / case_id / "dicom").rglob("*")
            if path.is_file() and words in str(path)
        )  # fmt: skip


class Faults:
    """What workers do to cases; set for this process and all that it starts."""

    def __init__(self, folder, monkeypatch):
        self._file = folder / "faults.json"
        (folder / "site").mkdir()
        (folder / "site" / "sitecustomize.py").write_text(_FAULTS)
        monkeypatch.setenv("PYTHONPATH", str(folder / "site"))
        monkeypatch.setenv("COHORT_FAULTS", str(self._file))
        self.set({})

    def set(self, faults):
        """case_id, or case_id and reader -> fault."""
        self._file.write_text(json.dumps(faults))
