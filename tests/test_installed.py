"""Versions by the names of folders, against the standard library's reading of the metadata."""

import sys
from importlib.metadata import distributions, version

from gsigpu.installed import installed_version


def test_the_version_is_that_of_the_metadata():
    names = {package.metadata["Name"] for package in distributions()}
    assert len(names) > 50
    assert {name: installed_version(name) for name in names} == {
        name: version(name) for name in names
    }


def test_the_first_on_the_path_counts(tmp_path, monkeypatch):
    for folder, number in (("first", "1.0"), ("second", "2.0")):
        (tmp_path / folder / f"some_Thing-{number}.dist-info").mkdir(parents=True)
    monkeypatch.setattr(
        sys, "path", [str(tmp_path / "first"), str(tmp_path / "second"), str(tmp_path / "none")]
    )
    assert installed_version("Some.thing") == "1.0"
    assert installed_version("other") is None
