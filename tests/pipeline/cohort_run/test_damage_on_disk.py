"""What was damaged on disk is named, set aside and made again; what is whole is left alone."""

import errno
import os
import shutil
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gsigpu.errors import InputError, OutputError
from gsigpu.pipeline.cohort_run import row_results
from gsigpu.pipeline.cohort_run.run_cohort import CohortOptions, run_cohort
from gsigpu.pipeline.cohort_run.run_state import read_status
from gsigpu.tables.measurement_table import read_table

ONE = CohortOptions(workers=1)


@pytest.fixture(scope="module")
def cohort(make_cohort):
    return make_cohort(3)


@pytest.fixture(scope="module")
def finished(cohort, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "out"
    assert run_cohort(cohort.manifest, out, options=ONE).n_done == 3
    return out


@pytest.fixture
def out(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "out")
    return tmp_path / "out"


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path):
    path.write_bytes(b"")


def flip(path):
    """A bit in the middle of the data."""
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0x10
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [cut, empty, flip], ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("suffix", [".parquet", ".study"])
def test_a_result_is_measured_again(cohort, finished, out, inline, damage, suffix):
    (path,) = out.glob(f"cases/C02*/*{suffix}")
    damage(path)
    result = run_cohort(cohort.manifest, out)
    assert f"cases/C02~PVP~A/{path.name} was damaged and is set aside" in result.damaged[0]
    assert list(out.glob(f"damaged/C02~PVP~A~{path.name}*"))
    assert result.n_done + result.n_skipped == 3
    assert result.is_complete
    for name in ("measurements.csv", "failures.csv", "warnings.csv"):
        assert (out / name).read_bytes() == (finished / name).read_bytes()
    assert run_cohort(cohort.manifest, out).damaged == ()


@pytest.mark.parametrize("damage", [cut, empty], ids=lambda damage: damage.__name__)
def test_a_failure_is_tried_again(make_cohort, inline, tmp_path, damage):
    cohort, out = make_cohort(2), tmp_path / "out"
    mask = cohort.folder / "C02/masks/lesions.nii.gz"
    mask.write_bytes(b"no mask")
    assert run_cohort(cohort.manifest, out).n_failed == 1
    (record,) = out.glob("cases/C02*/*.failed.json")
    damage(record)
    result = run_cohort(cohort.manifest, out)
    assert (result.n_skipped, result.n_failed) == (1, 1)
    assert f"{record.name} was damaged" in result.damaged[0]
    assert set(read_table(out / "measurements.csv").case_id) == {"C01"}


def remove(path):
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def add_part(path):
    shutil.copy(next(path.rglob("*.parquet")), path / "phase=PVP" / "part-x.parquet")


def edit(path):
    path.write_text(path.read_text().replace("C02", "C99"))


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("measurements.csv", edit),
        ("measurements.csv", remove),
        ("measurements.csv", cut),
        ("measurements", remove),
        ("measurements", add_part),
        ("measurements/phase=PVP/part-00000.parquet", cut),
        ("failures.csv", remove),
        ("exclusions.csv", edit),
        ("warnings.csv", remove),
        ("flow.png", empty),
        ("results.json", cut),
    ],
)
def test_tables_that_were_touched_are_made_again(cohort, finished, out, inline, name, damage):
    assert not run_cohort(cohort.manifest, out).tables.is_new
    content = (out / name).read_bytes() if (out / name).is_file() else b""
    damage(out / name)
    was_touched = name != "exclusions.csv"  # nothing in it to edit
    result = run_cohort(cohort.manifest, out)
    assert (result.n_done, result.n_skipped) == (0, 3)
    assert result.tables.is_new
    assert was_touched or (out / name).read_bytes() == content
    assert not run_cohort(cohort.manifest, out).tables.is_new
    for path in finished.rglob("*"):
        if path.is_file() and path.parts[-2] != "cases" and path.suffix in (".csv", ".parquet"):
            inner = path.relative_to(finished)
            assert (out / inner).read_bytes() == path.read_bytes(), inner
    n_parts = len(list(finished.glob("measurements/**/*.parquet")))
    assert len(list(out.glob("measurements/**/*.parquet"))) == n_parts


def test_a_row_more_makes_one_block_anew(cohort, out, inline, monkeypatch):
    from gsigpu.pipeline.cohort_run import measurement_blocks

    monkeypatch.setattr(measurement_blocks, "_MOST_ROWS", 1)
    (out / "results.json").unlink()
    run_cohort(cohort.manifest, out)
    made = []
    real = measurement_blocks.make_block
    monkeypatch.setattr(
        measurement_blocks,
        "make_block",
        lambda members, *more: made.append(members) or real(members, *more),
    )
    whole, rows = (out / "measurements.csv").read_bytes(), cohort.rows
    cohort.rows = rows[1:]
    cohort.write()
    run_cohort(cohort.manifest, out)
    assert made == []
    cohort.rows = rows
    cohort.write()
    run_cohort(cohort.manifest, out)
    assert [member.row.case_id for members in made for member in members] == ["C01"]
    assert (out / "measurements.csv").read_bytes() == whole


def test_a_disk_that_fills_stops_the_run_and_a_rerun_goes_on(cohort, inline, monkeypatch, tmp_path):
    out, real, n_written = tmp_path / "out", row_results.put, []

    def put(path, write, **named):
        n_written.append(path)
        if len(n_written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, write, **named)

    monkeypatch.setattr(row_results, "put", put)
    with pytest.raises(OutputError, match="the disk is full; free space, and run again to go on"):
        run_cohort(cohort.manifest, out)
    assert not list(out.glob("cases/*/*.failed.json"))
    result = run_cohort(cohort.manifest, out)
    assert result.n_done >= 1
    assert (result.n_done + result.n_skipped, result.n_failed) == (3, 0)


def test_a_disk_that_is_full_when_tables_are_made(cohort, out, inline, monkeypatch):
    from gsigpu.pipeline.cohort_run import cohort_tables

    def put(path, write, **named):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    (out / "failures.csv").unlink()
    monkeypatch.setattr(cohort_tables, "put", put)
    with pytest.raises(OutputError, match="the disk is full"):
        run_cohort(cohort.manifest, out)
    monkeypatch.undo()
    assert run_cohort(cohort.manifest, out, options=ONE).is_complete


def test_a_folder_that_cannot_be_written_fails_alone(cohort, inline, monkeypatch, tmp_path):
    out, real = tmp_path / "out", Path.mkdir
    run_cohort(cohort.manifest, out, options=CohortOptions(limit=1))

    def mkdir(path, *more, **named):
        if path.name.startswith("C02"):
            raise PermissionError(errno.EACCES, "Permission denied")
        real(path, *more, **named)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    result = run_cohort(cohort.manifest, out)
    assert (result.n_done, result.n_skipped, result.n_failed) == (1, 1, 1)
    failures = pd.read_csv(out / "failures.csv")
    assert failures.case_id.tolist() == ["C02"]
    assert "cannot be written (Permission denied); correct its permissions" in failures.reason[0]


def folder(path):
    path.mkdir()
    (path / "inner").write_text("x")


def link_to_nowhere(path):
    path.symlink_to(path.parent / "nowhere")


@pytest.mark.parametrize(
    "kind", [folder, os.mkfifo, link_to_nowhere], ids=lambda kind: kind.__name__
)
def test_what_lies_in_the_place_of_a_file_is_set_aside(cohort, finished, out, inline, kind):
    """All at once: nothing waits for a pipe, nothing is renamed over a folder, and the run is as it was."""
    table = next(finished.glob("cases/C01*/*.parquet")).relative_to(finished)
    taken = [
        path.name for path in finished.iterdir() if path.is_file() and not path.name.startswith(".lock")
    ] + [str(table), str(table.parent / f"{table.stem}.json")]  # fmt: skip
    taken.remove("run.copy.json")  # the settings are known by one of the two
    if kind is not folder:
        taken += ["measurements", "cases/C02~PVP~A"]
    for name in taken:
        remove(out / name)
        kind(out / name)
    result = run_cohort(cohort.manifest, out)
    assert (result.n_done + result.n_skipped, result.n_failed) == (3, 0)
    assert len(result.damaged) == len(taken)
    assert all("is set aside as damaged/" in told for told in result.damaged)
    for name in ("measurements.csv", "failures.csv", "warnings.csv", "flow.csv"):
        assert (out / name).read_bytes() == (finished / name).read_bytes()
    assert (out / "measurements/phase=PVP/part-00000.parquet").is_file()
    again = run_cohort(cohort.manifest, out)
    assert (again.n_skipped, again.damaged, again.tables.is_new) == (3, (), False)


def test_a_pipe_in_the_place_of_lock_or_status_is_told(cohort, out, inline):
    remove(out / ".lock")
    os.mkfifo(out / ".lock")
    with pytest.raises(OutputError, match="cannot be opened as a lock"):
        run_cohort(cohort.manifest, out)
    remove(out / "status.json")
    os.mkfifo(out / "status.json")
    with pytest.raises(InputError, match="its status cannot be read"):
        read_status(out)


@pytest.mark.parametrize("damage", [empty, remove], ids=lambda damage: damage.__name__)
def test_a_row_without_its_record_is_measured_again(cohort, finished, out, inline, damage):
    """How it came about, which nothing else tells."""
    record = next(path for path in out.glob("cases/C03*/*.json"))
    damage(record)
    assert run_cohort(cohort.manifest, out, options=CohortOptions(join=True)).n_skipped == 3
    result = run_cohort(cohort.manifest, out)
    assert (result.n_done, result.n_skipped) == (1, 2)
    assert "was gone or empty, and its row is measured again" in result.damaged[0]
    assert record.read_bytes() == (finished / record.relative_to(out)).read_bytes()


@pytest.mark.parametrize("damage", [cut, empty, remove])
def test_what_rows_say_of_themselves_is_remembered(
    cohort, finished, out, inline, damage, monkeypatch
):
    from gsigpu.pipeline.cohort_run import row_footers

    memory, opened = out / row_footers.FOOTERS_FILE, []
    real = row_footers._footer_text
    monkeypatch.setattr(row_footers, "_footer_text", lambda path: opened.append(path) or real(path))
    (out / "results.json").unlink()
    run_cohort(cohort.manifest, out)
    assert opened == []
    table = next(out.glob("cases/C01*/*.parquet"))
    content = table.read_bytes()
    table.unlink()  # another file with the same content
    table.write_bytes(content)
    run_cohort(cohort.manifest, out)
    assert opened == [table]
    damage(memory)
    (out / "results.json").unlink()
    run_cohort(cohort.manifest, out)
    assert len(opened) == 4
    assert memory.exists()
    for name in ("measurements.csv", "warnings.csv", "failures.csv", "flow.csv"):
        assert (out / name).read_bytes() == (finished / name).read_bytes()


def test_what_a_row_says_of_itself_is_found_as_the_library_finds_it(finished, tmp_path):
    from gsigpu.pipeline.cohort_run import row_footers

    (table,) = finished.glob("cases/C01*/*.parquet")
    assert row_footers._footer_in_tail(table) == row_footers._footer_by_library(table)
    content, schema = table.read_bytes(), pq.read_schema(table)
    # Of any length, also where the mark stands in a text and where the footer is longer than the tail that is read.
    for text in ('{"a": 1}', '{"é": "' + "x" * 200 + '"}', '{"a": "' + "y" * 70_000 + '"}'):
        other = tmp_path / "other.parquet"
        metadata = {"more": "gsigpu", row_footers.FOOTER: text}
        pq.write_table(pq.read_table(table).cast(schema.with_metadata(metadata)), other)
        assert row_footers._footer_text(other) == text
    table_of_mark = pa.table({"x": [row_footers._MARK.decode("latin-1")]})
    pq.write_table(table_of_mark, tmp_path / "none.parquet", compression="none")
    with pytest.raises(KeyError):
        row_footers._footer_text(tmp_path / "none.parquet")
    assert table.read_bytes() == content


def test_a_broken_token_is_that_of_no_run(cohort, finished, out, inline):
    (out / "token").write_bytes(b"\xff\x00")
    assert run_cohort(cohort.manifest, out).n_skipped == 3
    (out / ".lock").unlink()
    (out / ".lock").mkdir()
    with pytest.raises(OutputError, match="cannot be opened as a lock"):
        run_cohort(cohort.manifest, out)
