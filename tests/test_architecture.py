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
    (
        "archives",
        "automatic_masks",
        "dicom",
        "masks",
        "registration",
        "tables",
        "user_toml",
        "vmi_volumes",
        "phantom",
        "pictures",
        "figure_fonts",
        "report",
        "image_volume",
        "volume_files",
        "map_files",
        "file_state",
        "output",
        "viewer",
    ),
    ("maps", "physics", "regions", "cohort_statistics"),
    ("backends",),
    (
        "attenuation_file",
        "caution",
        "choices",
        "elam_tables",
        "errors",
        "fewer_collections",
        "installed",
        "one_or_more",
        "optional_packages",
        "phase_words",
        "volume",
        "version",
        "kernels",
        "plug_ins",
    ),
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
CORE = {
    "maps",
    "physics",
    "regions",
    "cohort_statistics",
    "caution",
    "choices",
    "volume",
    "errors",
    "version",
}
LONGEST_FILE = 420


def part(path):
    return path.relative_to(ROOT / "gsigpu").parts[0].removesuffix(".py")


def module_name(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in SOURCES}


def imported(path):
    """Every module that a file imports: at its top, in its functions, and for the type checker alone."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            modules = [name for name in names if name in MODULES]
            yield from modules
            if len(modules) < len(names):
                yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_every_module_has_a_layer():
    assert {part(path) for path in SOURCES} <= set(RANK)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path):
    rank = RANK[part(path)]
    for module in imported(path):
        if module.startswith("gsigpu."):
            name = module.split(".")[1]
            if name in RANK:
                assert RANK[name] >= rank, f"{path} imports {module}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_imports_the_package_root(path):
    assert "gsigpu" not in imported(path) or path.name == "__main__.py"


def cycles(graph):
    """Groups of modules that reach each other (Tarjan's strongly connected components of two and more)."""
    index, low, stack, groups = {}, {}, [], []

    def visit(module):
        index[module] = low[module] = len(index)
        stack.append(module)
        for other in graph[module]:
            if other not in index:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], index[other])
        if low[module] == index[module]:
            group = []
            while not group or group[-1] != module:
                group.append(stack.pop())
            if len(group) > 1:
                groups.append(sorted(group))

    for module in graph:
        if module not in index:
            visit(module)
    return groups


def test_the_search_for_cycles_finds_one():
    assert cycles({"a": ["b"], "b": ["c"], "c": ["b"], "d": ["a"]}) == [["b", "c"]]


def test_no_two_modules_import_each_other():
    graph = {name: sorted(set(imported(path)) & set(MODULES)) for name, path in MODULES.items()}
    assert cycles(graph) == []


def test_no_two_files_of_the_package_share_a_name():
    """A file is found by its name."""
    names = [path.name for path in SOURCES if path.name != "__init__.py"]
    assert sorted(names) == sorted(set(names))


def test_tests_mirror_the_package():
    """A folder of tests is named for a folder of the package, but for those that serve all tests."""
    serving = {"data", "golden", "support", "kernels", "bench", "docs"}
    for folder in (path.parent for path in (ROOT / "tests").rglob("test_*.py")):
        place = folder.relative_to(ROOT / "tests")
        assert (ROOT / "gsigpu" / place).is_dir() or place.parts[0] in serving, folder


@pytest.mark.parametrize("path", [path for path in SOURCES if part(path) in CORE], ids=str)
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


# Names that hide what a thing is. A loop is over planes, series, masks, regions, rows.
HIDING = {"one", "found", "said", "own", "asked", "wanted"}
CODE = [
    path
    for folder in ("gsigpu", "tests", "bench", "docs")
    for path in sorted((ROOT / folder).rglob("*.py"))
]


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_names_say_what_a_thing_is(path):
    tree = ast.parse(path.read_text("utf-8"))
    names = {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    names |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    assert not names & HIDING


def test_cupy_is_imported_only_by_what_runs_on_a_gpu():
    allowed = {
        "backends/gpu.py",
        "backends/device.py",
        "pipeline/map/stream_gpu.py",
        "regions/boundary.py",  # SciPy or cupyx, by the array that came in
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
    present = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in SOURCES
        if path.name == "__init__.py"
    } | {
        "gsigpu.kernels",
        "gsigpu.viewer.vendor",
    }  # folders of sources and of files that others made
    assert listed == present
