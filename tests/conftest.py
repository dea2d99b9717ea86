"""Rules for all tests."""

import functools
import os
import shutil

import pytest
import typer.testing
from hypothesis import HealthCheck, settings

# No test is about time: a busy machine is no failure. What CI finds it finds again; elsewhere every run looks at
# other cases.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("house"), derandomize=True, max_examples=50)
settings.load_profile("ci" if os.environ.get("CI") else "house")

# Doctests are looked for in every file here; importing this one changes the Python that does.
collect_ignore = ["support/windows_like_hook.py"]

TOOLS = ("dciodvfy", "dcmdump", "plastimatch")


# Each takes half a minute of a core, and a minute of a suite that has twenty; `make test` runs them where CI is not set.
LONG = (
    "test_other_systems.py::test_types_hold_there[win32]",
    "test_other_systems.py::test_types_hold_there[darwin]",
)


def pytest_runtest_setup(item):
    """Tests marked `tools` are skipped where the programs are missing, unless they are required."""
    if os.environ.get("CI") and item.nodeid.endswith(LONG):
        pytest.skip("long; it runs where CI is not set")
    if item.get_closest_marker("tools"):
        missing = [name for name in TOOLS if shutil.which(name) is None]
        if missing and os.environ.get("GSIGPU_REQUIRE_TOOLS") == "1":
            pytest.fail(f"required programs are missing: {', '.join(missing)}")
        if missing:
            pytest.skip(
                f"needs {', '.join(missing)} (Debian packages dicom3tools, dcmtk and plastimatch)"
            )
    if item.get_closest_marker("browser") and shutil.which("chromium") is None:
        if os.environ.get("GSIGPU_REQUIRE_TOOLS") == "1":
            pytest.fail("required program is missing: chromium")
        pytest.skip("needs chromium (Debian package chromium)")
    if item.get_closest_marker("gpu"):
        from gsigpu.backends.device import why_no_gpu

        if reason := why_no_gpu():
            pytest.skip(reason)


@pytest.fixture(autouse=True, scope="session")
def command_built_once():
    """Typer builds all commands anew at every call of its runner, which takes as long as to measure a small study."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.testing, "_get_command", functools.cache(typer.testing._get_command))
        yield


def pytest_collection_modifyitems(items):
    """What takes minutes begins first, so that no process ends alone with it."""
    items.sort(key=lambda item: "test_readme" not in item.nodeid)


@pytest.fixture(scope="session")
def browser():
    """One for all tests of a process: Playwright takes no second."""
    from tests.support.browser import launched

    with launched() as opened:
        yield opened
