"""Imports point down only, and the house rules that can be read off the source."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "gsigpu").rglob("*.py"))

# From the top down; a module imports from its own layer and from those below.
LAYERS = (
    ("cli", "__main__", "__init__"),
    ("pipeline",),
    ("dicom", "masks", "tables", "phantom", "pictures", "report", "volume_files", "staging"),
    ("maps", "physics", "regions", "cohort_statistics"),
    ("backends",),
    ("errors", "volume", "kernels"),
)
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
# A core function may call no I/O library.
IO_LIBRARIES = {
    "pydicom",
    "SimpleITK",
    "nibabel",
    "highdicom",
    "imagecodecs",
    "matplotlib",
    "typer",
    "rich",
    "os",
    "pathlib",
}
CORE = {"maps", "physics", "regions", "cohort_statistics", "volume", "errors"}
LONGEST_FILE = 420


def part(path):
    return path.relative_to(ROOT / "gsigpu").parts[0].removesuffix(".py")


def imported(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            if node.module in {"gsigpu", "gsigpu.backends"}:
                yield from (f"{node.module}.{one.name}" for one in node.names)
        elif isinstance(node, ast.Import):
            yield from (one.name for one in node.names)


def test_every_module_has_a_layer():
    assert {part(path) for path in SOURCES} <= set(RANK)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path):
    own = RANK[part(path)]
    for module in imported(path):
        if module.startswith("gsigpu."):
            name = module.split(".")[1]
            if name in RANK:
                assert RANK[name] >= own, f"{path} imports {module}"


@pytest.mark.parametrize("path", [one for one in SOURCES if part(one) in CORE], ids=str)
def test_the_core_does_no_io(path):
    assert not {module.split(".")[0] for module in imported(path)} & IO_LIBRARIES


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_house_rules(path):
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= LONGEST_FILE
    assert path.name != "utils.py"
    if part(path) != "cli":
        calls = {
            node.func.id
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert "print" not in calls
        assert "exit" not in calls


def test_cupy_is_imported_only_by_what_runs_on_a_gpu():
    allowed = {
        "backends/gpu.py",
        "backends/device.py",
        "pipeline/map/stream_gpu.py",
        "regions/shells.py",  # SciPy or cupyx, by the array that came in
    }
    users = {
        path.relative_to(ROOT / "gsigpu").as_posix()
        for path in SOURCES
        if any(module.split(".")[0] in ("cupy", "cupyx") for module in imported(path))
    }
    assert users <= allowed


def test_every_package_is_listed_for_the_wheel():
    import tomllib

    listed = set(
        tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"][
            "packages"
        ]
    )
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in SOURCES
        if path.name == "__init__.py"
    } | {"gsigpu.kernels"}
    assert listed == found
