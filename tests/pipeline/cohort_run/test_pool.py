"""How many workers, which GPU each has, and what a run tells of itself."""

import io
import json
import math
import time
from types import SimpleNamespace

import pytest

from gsigpu.backends import device
from gsigpu.errors import BackendError, GpuUnavailable, InputError, SettingsError
from gsigpu.pipeline.cohort_run import child_process, pool
from gsigpu.pipeline.cohort_run.checks import check_settings
from gsigpu.pipeline.cohort_run.cohort_task import CohortSettings, RowOutcome
from gsigpu.pipeline.cohort_run.inclusion_rules import (
    InclusionRules,
    after_measuring,
    before_measuring,
)
from gsigpu.pipeline.cohort_run.redaction import Redactor
from gsigpu.pipeline.cohort_run.row_files import row_name
from gsigpu.pipeline.cohort_run.run_cohort import CohortOptions, run_cohort
from gsigpu.pipeline.cohort_run.run_state import RunState, telling
from gsigpu.tables.manifest import ManifestRow

GIB = 2**30


def row(case_id, *, patient="", group="lung", phase="PVP", reader="", line=2, **more):
    return ManifestRow(
        line=line,
        case_id=case_id,
        patient_id=patient or case_id,
        group=group,
        phase=phase,
        study=f"study-{case_id}",
        masks=(),
        reader=reader,
        **more,
    )


@pytest.mark.parametrize(
    ("memory_gib", "n_cores", "n_contexts", "n_tasks", "expected"),
    [
        (64, 8, 0, 100, 8),  # cores
        (7, 8, 0, 100, 4),  # memory: 1.5 GiB each, and 1 for the system
        (64, 8, 0, 3, 3),  # no more than there is to do
        (1, 8, 0, 100, 1),  # never none
        (64, 8, 24, 100, 8),  # the GPUs have room for all: every core reads and decodes
        (64, 8, 3, 100, 3),  # they have room for three processes
    ],
)
def test_pool_size(monkeypatch, memory_gib, n_cores, n_contexts, n_tasks, expected):
    monkeypatch.setattr(pool, "available_bytes", lambda: memory_gib * GIB)
    monkeypatch.setattr(pool, "default_workers", lambda: n_cores)
    assert pool.pool_size(n_tasks, n_contexts) == expected


@pytest.mark.parametrize(("memory_gib", "expected"), [(8.0, 3), (5.0, 2), (4.0, 1)])
def test_workers_that_keep_planes_need_more_memory(monkeypatch, memory_gib, expected):
    """1.3 GiB at 250 slices of 512 x 512 with registration, and the planes that are kept: 1.7 were measured."""
    monkeypatch.setattr(pool, "available_bytes", lambda: memory_gib * GIB)
    monkeypatch.setattr(pool, "default_workers", lambda: 8)
    assert pool.pool_size(8, keeps_planes=True) == expected


@pytest.mark.parametrize(
    ("membership", "folder", "names"),
    [
        ("0::/\n", ".", ("memory.max", "memory.current")),
        ("0::/slurm/job_7/step_0\n", "slurm/job_7", ("memory.max", "memory.current")),
        (
            "5:cpu:/a\n4:memory:/slurm/job_7\n",
            "memory/slurm/job_7",
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ),
    ],
)
def test_the_limit_of_a_container_or_job_counts(monkeypatch, tmp_path, membership, folder, names):
    monkeypatch.setattr(pool, "_CGROUP", tmp_path / "cgroup")
    monkeypatch.setattr(pool, "_OWN_CGROUP", tmp_path / "own")
    (tmp_path / "own").write_text(membership)
    place = tmp_path / "cgroup" / folder
    place.mkdir(parents=True)
    limit, used = (place / name for name in names)
    used.write_text(f"{3 * 2**20}\n")
    limit.write_text("max\n")
    assert pool.available_bytes() > 8 * 2**20
    limit.write_text(f"{5 * 2**20}\n")
    assert pool.available_bytes() == 2 * 2**20


def test_each_child_has_a_gpu_of_its_own(monkeypatch):
    started = []

    class Child:
        def __init__(self, device):
            self.device = device
            started.append(self)

    monkeypatch.setattr(child_process, "Child", Child)
    child_process.begin_children(("0", "1"))
    for _ in range(3):
        child_process.idle_or_new()
    assert [child.device for child in started] == ["0", "1", "0"]
    child_process.CHILDREN.alive -= {started[0], started[2]}  # both died
    assert child_process.idle_or_new().device == "0"
    child_process.CHILDREN.alive.clear()


def test_a_child_knows_with_how_many_it_shares_its_gpu(monkeypatch):
    started, buried = [], []

    def popen(*_args, **options):
        started.append(options["env"])
        return SimpleNamespace(stdout=io.BytesIO())

    monkeypatch.setattr(child_process.subprocess, "Popen", popen)
    monkeypatch.setattr(child_process, "bury", buried.append)
    child_process.CHILDREN.idle.put("a child that looked at inputs, and sees all GPUs")
    child_process.begin_children(("0", "1"), n_children=5)
    assert len(buried) == 1
    monkeypatch.delenv(device.SHARE_VARIABLE, raising=False)
    child_process.Child("1").errors.close()
    monkeypatch.setenv(device.SHARE_VARIABLE, "2")  # two shards of a run on this machine
    child_process.Child("0").errors.close()
    shares = [(env["CUDA_VISIBLE_DEVICES"], env[device.SHARE_VARIABLE]) for env in started]
    assert shares == [("1", "3"), ("0", "6")]
    child_process.begin_children()
    assert child_process.CHILDREN.n_per_device == 1


@pytest.mark.parametrize("text", ["0", "-1", "2.0", "many", "²"])
def test_a_share_that_is_none_is_an_error(monkeypatch, text):
    monkeypatch.setenv(device.SHARE_VARIABLE, text)
    with pytest.raises(SettingsError, match=f"GSIGPU_CARD_SHARE={text} is no number of processes"):
        device.n_sharing()


def test_the_parent_makes_no_context_on_a_card(monkeypatch):
    """It would take room on the card for the whole run, and the whole of a card that serves one process."""

    reason = device.why_no_gpu()

    def never():
        raise AssertionError("the parent looked at the card itself")

    monkeypatch.setattr(device, "why_no_gpu", never)
    settings = CohortSettings(maps=("iodine",))
    rules = InclusionRules()
    check_settings(settings, CohortOptions(backend="auto"), rules, is_pseudonymous=False)
    if reason:
        with pytest.raises(GpuUnavailable, match="no usable GPU"):
            check_settings(settings, CohortOptions(backend="gpu"), rules, is_pseudonymous=False)
    devices, n_contexts = pool.gpus()
    assert bool(devices) == bool(n_contexts) == (reason is None)
    child_process.release_idle()


def test_gpus_that_do_not_answer_are_an_error(monkeypatch):
    def hangs(*_args, **_options):
        raise InputError("the inputs cannot be looked at: took longer than 120 s and was stopped")

    monkeypatch.setattr(pool, "call_isolated", hangs)
    with pytest.raises(BackendError, match=r"the GPUs do not answer .*; use --backend cpu"):
        pool.gpus()


def test_gpus_are_called_as_the_user_called_them(monkeypatch):
    monkeypatch.setattr("gsigpu.backends.device.n_devices", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert pool.gpu_devices() == ("0", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a, GPU-b")
    assert pool.gpu_devices() == ("GPU-a", "GPU-b")
    monkeypatch.setattr("gsigpu.backends.device.n_devices", lambda: 0)
    assert pool.gpu_devices() == ()


def test_names_of_rows_as_files_are_distinct():
    rows = [
        row("a", phase="b", reader="c"), row("a", phase="b~c"), row("a~b", phase="c"),
        row("a/b"), row("a b"), row("a_b"), row(".."), row("ä" * 80), row("ä" * 81),
    ]  # fmt: skip
    names = [row_name(manifest_row) for manifest_row in rows]
    assert len(set(names)) == len(rows)
    for name in names:
        assert "/" not in name
        assert not name.startswith(".")
        assert len(name.encode()) <= 100


def test_rules():
    rows = [
        row("c1", patient="p1", confirmed=True),
        row("c2", patient="p1", confirmed=True),
        row("c3", patient="p2", confirmed=False),
        row("c4", patient="p3", confirmed=None),
        row("c5", patient="p4", confirmed=True, group="breast"),
        row("c6", patient="p5", confirmed=True, group="breast"),
    ]
    rules = InclusionRules(confirmed_only=True, min_group_size=2)
    kept, excluded = before_measuring(rows, rules)
    assert [manifest_row.case_id for manifest_row in kept] == [
        "c5",
        "c6",
    ]  # lung has one patient left, in two cases
    assert [(exclusion.row.case_id, exclusion.rule) for exclusion in excluded] == [
        ("c3", "confirmed-only"), ("c4", "confirmed-only"), ("c1", "min-group-size"),
        ("c2", "min-group-size"),
    ]  # fmt: skip


def test_a_lesion_is_too_large_where_it_was_measured():
    """Labels of two readers or phases need not be the same lesion."""
    ap, pvp, other = row("c1", phase="AP"), row("c1", phase="PVP"), row("c2", patient="p2")
    of_reader = row("c1", phase="PVP", reader="B")
    rows = [ap, pvp, of_reader, other]
    lesions = {ap: {"1", "2"}, pvp: {"1", "2"}, of_reader: {"1"}, other: {"1"}}
    diameters = {
        ap: {"1": 29.0, "2": 20.0},
        pvp: {"1": 31.0, "2": 21.0},
        of_reader: {"1": 21.6},
        other: {"1": 40.0},
    }
    kept, excluded = after_measuring(
        rows, lesions, diameters, InclusionRules(max_diameter_mm=30.0, min_group_size=2)
    )
    assert kept == []
    assert [(exclusion.row, exclusion.rule, exclusion.lesion_id) for exclusion in excluded] == [
        (pvp, "max-diameter", "1"), (other, "max-diameter", "1"), (other, "no-lesion-left", ""),
        (ap, "min-group-size", ""), (pvp, "min-group-size", ""), (of_reader, "min-group-size", ""),
    ]  # fmt: skip
    assert "31.0 mm (PVP) above 30 mm" in excluded[0].reason
    kept, _ = after_measuring(rows, lesions, diameters, InclusionRules(max_diameter_mm=30.0))
    assert kept == [ap, pvp, of_reader]
    assert InclusionRules(max_diameter_mm=math.inf) == InclusionRules()


def test_redactor(tmp_path):
    study, mask = tmp_path / "Doe Jane" / "dicom", tmp_path / "jane.nii.gz"
    study.mkdir(parents=True)
    for name in ("a.dcm", "b c.dcm"):
        (study / name).touch()
    redact = Redactor(["Doe^Jane", "Doe", "Jane", "Li", "7", "4711"], study, [(mask, "mask-1")])
    assert redact(f"{study}/b c.dcm: broken, of DOE") == "study/file-2: broken, of [removed]"
    assert redact(f"{mask}: empty") == redact("jane.nii.gz: empty") == "mask-1: empty"
    assert redact("Lisbon, Li 7 keV, id 4711") == "Lisbon, [removed] 7 keV, id [removed]"
    assert redact(f"{study}/gone/x.dcm; next") == "study; next"


def test_a_run_tells_of_itself(make_cohort, inline, tmp_path, monkeypatch):
    monkeypatch.setattr("gsigpu.pipeline.cohort_run.run_state._LOG_EVERY_S", 0.0)
    seen = []
    run_cohort(
        make_cohort(2).manifest,
        tmp_path / "out",
        options=CohortOptions(workers=1),
        watch=lambda state: seen.append(state.as_dict("running")),
    )
    assert [status["n_done"] for status in seen][-1] == 2
    assert seen[-1]["slowest_stage"] in {"scan", "masks", "read", "statistics", "write"}
    assert seen[-1]["rows_per_hour"] > 0
    lines = (tmp_path / "out" / "run.log").read_text().splitlines()
    assert any("of 2 rows" in line and "rows/h" in line for line in lines[1:-1])
    status = json.loads((tmp_path / "out" / "status.json").read_text())
    assert (status["state"], status["running"]) == ("finished", [])


def test_a_run_that_waits_is_not_silent(tmp_path, monkeypatch):
    monkeypatch.setattr("gsigpu.pipeline.cohort_run.run_state._STATUS_EVERY_S", 0.01)
    state, file = RunState(tmp_path, 10), tmp_path / "status.json"
    with telling(state, lambda _: None):
        for _ in range(2):  # while this thread waits for something, whatever it is
            wait_until(file.exists)
            file.unlink()
    assert json.loads(file.read_text())["state"] == "finished"


def wait_until(is_so):
    end = time.monotonic() + 30.0
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_rate_counts_what_this_run_did(tmp_path):
    state = RunState(tmp_path, 10)
    state.begun -= 3600.0
    for number in range(4):
        state.add(RowOutcome(row(f"c{number}"), "skipped"))
    state.add(RowOutcome(row("c5"), "failed", fresh=False))
    assert state.rate_per_hour == 0.0
    assert state.left_s is None
    state.add(RowOutcome(row("c6"), "done", seconds={"read": 2.0}))
    state.add(RowOutcome(row("c7"), "failed", seconds={"scan": 1.0}))
    assert state.rate_per_hour == pytest.approx(2.0, rel=1e-3)
    assert state.left_s == pytest.approx(3 * 1800.0, rel=1e-3)
    assert state.slowest_stage == ("read", pytest.approx(2 / 3))
