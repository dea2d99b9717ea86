"""One study of two phases, for whose masks the tests of all verbs use."""

import pytest

from tests.support.mask_places import Place, written_study


@pytest.fixture(scope="session")
def studied(tmp_path_factory):
    return written_study(tmp_path_factory.mktemp("studied") / "study")


@pytest.fixture
def place(studied, tmp_path):
    folder, geometry, datasets = studied
    here = tmp_path / "here"
    here.mkdir()
    return Place(here, folder, geometry, datasets)
