"""One tiny study, of which all cases are copies."""

import pytest

from tests.support.cohort import Cohort, Faults, write_template


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    return write_template(tmp_path_factory.mktemp("cohort"))


@pytest.fixture(scope="module")
def make_cohort(template, tmp_path_factory):
    return lambda n_cases: Cohort(tmp_path_factory.mktemp("cases"), template, n_cases)


@pytest.fixture
def faults(tmp_path, monkeypatch):
    return Faults(tmp_path, monkeypatch)
