"""How long do the tables of many rows take: all of them, one case more, nothing new?

The rows are links to the result of one synthetic row with two lesions, so that reading, labelling and writing are what
is measured, and not the measuring itself.
"""

from __future__ import annotations

import os
import resource
import shutil
from dataclasses import replace
from pathlib import Path
from time import perf_counter, process_time

from common import arguments, report, scratch

from gsigpu.phantom import PhantomSettings, write_phantom
from gsigpu.pipeline.cohort_run.checks import CohortOptions
from gsigpu.pipeline.cohort_run.cohort_tables import write_tables
from gsigpu.pipeline.cohort_run.cohort_task import DONE, RowOutcome
from gsigpu.pipeline.cohort_run.inclusion_rules import InclusionRules
from gsigpu.pipeline.cohort_run.row_files import row_files
from gsigpu.pipeline.cohort_run.run_cohort import run_cohort
from gsigpu.tables.manifest import ManifestRow, read_manifest

USUAL_ROWS = 20_000
MOST_LINKS = 50_000  # ext4 takes 65,000 to a file
GROUPS = ("colorectal", "gastric", "pancreatic", "lung", "breast")


def one_row(folder: Path) -> tuple[ManifestRow, Path]:
    """A row that was measured, and the run's folder."""
    settings = PhantomSettings(
        shape=(24, 96, 96),
        spacing_mm=(6.0, 4.0, 4.0),
        n_lesions=3,
        diameter_mm=(20.0, 30.0),
        phases=("PVP",),
        extras=(),
    )
    truth = write_phantom(folder / "study", settings)
    manifest = folder / "manifest.csv"
    manifest.write_text(
        "case_id,patient_id,group,phase,study,mask,liver_mask\n"
        f"C,P,lung,PVP,{truth.dicom_folder},{truth.lesion_mask},{truth.liver_mask}\n"
    )
    run_cohort(manifest, folder / "one", options=CohortOptions(workers=1))
    return read_manifest(manifest)[0], folder / "one"


def linked(row: ManifestRow, run: Path, out: Path, n: int) -> list[RowOutcome]:
    """As many rows as asked for, all with the same measurements."""
    (table,) = run.glob("cases/*/*.parquet")
    outcomes = []
    for number in range(n):
        copy = replace(
            row,
            line=number + 2,
            case_id=f"C{number:06d}",
            patient_id=f"P{number // 2:06d}",
            group=GROUPS[number // 2 % len(GROUPS)],
        )
        files = row_files(out, copy, table.stem)
        files.folder.mkdir(parents=True)
        if number % MOST_LINKS == 0:  # the row's own bytes, for the next to share
            table = Path(shutil.copy(table, files.table))
        else:
            os.link(table, files.table)
        outcomes.append(RowOutcome(row=copy, status=DONE, key=files.key))
    return outcomes


def main() -> None:
    """Runs it."""
    options = arguments(__doc__ or "", rows=USUAL_ROWS)
    if options.quick:
        options.rows = 200
    lines = ["| | s | CPU s | longest silence, s |", "|---|---:|---:|---:|"]
    with scratch() as folder:
        row, run = one_row(folder)
        out = folder / "many"
        out.mkdir()
        outcomes = linked(row, run, out, options.rows)
        last = [perf_counter(), 0.0]

        def tick() -> None:
            now = perf_counter()
            last[0], last[1] = now, max(last[1], now - last[0])

        for name, part in (
            (f"all tables of {options.rows - 1:,} rows", outcomes[:-1]),
            ("one row more", outcomes),
            ("nothing new", outcomes),
        ):
            last[:] = [perf_counter(), 0.0]
            begun, cpu = perf_counter(), process_time()
            tables = write_tables(out, part, [], InclusionRules(), progress=tick)
            lines.append(
                f"| {name} | {perf_counter() - begun:.1f} | {process_time() - cpu:.1f} | {last[1]:.1f} |"
            )
        csv_bytes = (out / "measurements.csv").stat().st_size
        parquet = sum(path.stat().st_size for path in out.glob("measurements/**/*.parquet"))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        per_row = [path for path in run.glob("cases/*/*") if path.is_file()]
        lines += [
            "",
            (
                f"{tables.n_values:,} values: CSV {csv_bytes / 1e9:.2f} GB, Parquet {parquet / 1e9:.2f} GB; peak memory"
                f" {peak:.0f} MiB. A row leaves {len(per_row)} files in one folder,"
                f" {sum(path.stat().st_size for path in per_row) / 1e3:.0f} kB."
            ),
        ]
    name = "cohort-tables" if options.rows <= USUAL_ROWS else f"cohort-tables-{options.rows}"
    report(name, lines, save=options.save)


if __name__ == "__main__":
    main()
