"""How often each plane of a study is read, by whatever way: one at a time, a slice's files together, or inside the loop of the maps."""

from collections import Counter

import pytest

from gsigpu.dicom.reading import pixels
from gsigpu.dicom.reading.pixels import PlaneReader
from gsigpu.pipeline.map import compiled_pass


def counted_planes(monkeypatch: pytest.MonkeyPatch) -> Counter:
    """Fills up with file and frame of every plane that is read from now on."""
    times = Counter()
    read_plane, read_first = PlaneReader.read_plane, pixels.read_first
    read_voxels = PlaneReader.read_voxels
    places = compiled_pass._places

    def alone(self, plane, out, **options):
        times[plane.place] += 1
        return read_plane(self, plane, out, **options)

    def together(planes, out):
        n_read = read_first(planes, out)
        times.update(plane.place for plane in planes[:n_read])
        return n_read

    def some_voxels(self, planes, *where):
        times.update(plane.place for plane in planes)
        read_voxels(self, planes, *where)

    def in_the_loop(planes, formats):
        times.update(plane.place for plane in planes)
        return places(planes, formats)

    monkeypatch.setattr(PlaneReader, "read_plane", alone)
    monkeypatch.setattr(PlaneReader, "read_voxels", some_voxels)
    monkeypatch.setattr(pixels, "read_first", together)
    monkeypatch.setattr(compiled_pass, "_places", in_the_loop)
    return times
