"""`bench/gpu.py` runs whole on the double of CuPy, so that it works at the first try where a card is."""

import importlib
import sys

import pytest

from gsigpu.backends import Backend, device
from tests.support import host_cupy, nvimgcodec_stand_in
from tests.support.places import ROOT

BENCH = ROOT / "bench"
RESULTS = BENCH / "results"


@pytest.fixture
def bench(monkeypatch):
    """The module of the command."""
    monkeypatch.syspath_prepend(str(BENCH))
    yield importlib.import_module("gpu")
    for path in BENCH.glob("*.py"):
        sys.modules.pop(path.stem, None)


def test_the_whole_command_runs_on_the_double(monkeypatch, tmp_path, capsys, bench):
    cupy = host_cupy.install(monkeypatch, delayed_share=0.0)
    nvimgcodec_stand_in.install(monkeypatch)
    monkeypatch.delenv("GSIGPU_DECODER")
    before = sorted(RESULTS.iterdir())
    assert bench.main(["--quick", "--out", str(tmp_path)]) == 0, capsys.readouterr()
    cupy.card.check()
    text = (tmp_path / "gpu-a-double-on-the-host.md").read_text("utf-8")
    assert "**Not a card: a double on the host. No figure here is a time of a GPU.**" in text
    for title in bench.SECTIONS:
        part = text.partition(f"## {title}\n")[2].partition("\n## ")[0]
        assert "|" in part, title
        assert "Failed" not in part
    assert "wrong" not in text
    for syntax in ("JPEG 2000", "High-Throughput JPEG 2000"):  # as files, and frame by frame
        assert text.count(f"| {syntax} Image Compression (Lossless Only) |") == 2
    assert text.count("| 100 % |") == 3
    assert "The rule of `auto` (gsigpu/pipeline/map/auto_choice.py" in text
    kernels = {"distance_transform", "gather_voxels", "linear_maps", "segment_moments"}
    assert kernels <= set(cupy.card.launches)
    assert "| voxels of an organ out of 11 planes, which lie where they are taken |" in text
    assert "| distances in the boxes of 1 lesions (kernel alone) |" in text
    # A double's times never get among the results, even when told to.
    assert bench.main(["--out", str(RESULTS)]) == 1
    assert sorted(RESULTS.iterdir()) == before


def test_every_function_of_the_backends_is_checked(bench):
    functions = {name for name in vars(Backend) if not name.startswith("_")}
    assert functions <= set(importlib.import_module("gpu_correctness").CHECKS)


def test_wrong_results_and_failures_are_told_and_the_rest_goes_on(
    monkeypatch, tmp_path, capsys, bench
):
    host_cupy.install(monkeypatch)
    from gsigpu.backends import gpu

    right = gpu.segment_histograms
    monkeypatch.setattr(gpu, "segment_histograms", lambda *args: right(*args) + 1)
    checks = importlib.import_module("gpu_correctness").CHECKS
    monkeypatch.setattr(
        "gpu_correctness.CHECKS", {"segment_histograms": checks["segment_histograms"]}
    )
    sections = {
        "Broken": ("gpu_rates", "no such function"),
        "Right?": bench.SECTIONS["Right?"],
        "To the card": bench.SECTIONS["To the card and back"],
    }
    monkeypatch.setattr(bench, "SECTIONS", sections)
    assert bench.main(["--quick", "--out", str(tmp_path)]) == 1
    text = (tmp_path / "gpu-a-double-on-the-host.md").read_text("utf-8")
    assert "**Failed**: AttributeError" in text
    assert "**wrong**" in text
    assert "**1 of 1 wrong.**" in text
    assert "| back |" in text
    capsys.readouterr()


def test_without_a_device_it_says_so_in_one_line(monkeypatch, capsys, bench):
    monkeypatch.setattr(device, "why_no_gpu", lambda: "this machine has no NVIDIA driver")
    assert bench.main([]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == "bench/gpu.py needs a CUDA device: this machine has no NVIDIA driver\n"
