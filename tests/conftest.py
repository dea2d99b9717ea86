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


# Together several minutes of a suite that has twenty; `make test` runs them where CI is not set.
LONG = (
    "test_other_systems.py::test_types_hold_there[win32]",
    "test_other_systems.py::test_types_hold_there[darwin]",
    "test_site.py::test_links_and_anchors",
    "test_site.py::test_nothing_is_loaded_from_elsewhere",
    "test_site.py::test_every_public_name_has_its_place",
    "test_site.py::test_docstrings_are_shown_as_they_are_meant",
    "test_cohort.py::test_inclusion_rules",
    "test_cluster.py::test_a_worker_killed_in_mid_run",
    "test_outputs.py::test_a_killed_run_is_told_at_the_next_and_a_hangup_leaves_nothing",
    "test_isolation.py::test_the_other_rows_of_a_study_go_on",
    "test_isolation.py::test_each_fails_alone_and_can_be_tried_again",
    "test_planted_identity.py::test_in_no_log_of_dask",
    "test_engines.py::test_snakemake_runs_its_example",
    "test_engines.py::test_the_nextflow_example_runs_as_groovy",
    "test_cluster.py::test_a_cluster_that_grows_with_the_work_and_shrinks_in_mid_run",
    "test_restart.py::test_killed_at_random_moments",
    "test_tutorials.py::test_the_page_shows_what_is_printed_today[cohort]",
    "test_withdrawal.py::test_nothing_is_left_of_rows_that_left",
    "test_cli.py::test_phantom_on_a_real_ct",
    "test_cohort.py::test_interrupt_leaves_what_is_done",
    "test_cohort.py::test_shards_are_joined_and_what_is_missing_fails_its_row",
    "test_write_statistics.py::test_same_bytes_in_any_order_of_rows_and_number_of_processes",
    "test_within.py::test_level_holds_where_patients_have_many_lesions_and_the_paper_track_fails",
    "test_outputs.py::test_overwrite_replaces_what_the_same_command_wrote_and_nothing_else[cohort stats]",
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
