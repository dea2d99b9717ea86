"""Maps in colour over the anatomical image."""

import subprocess

import numpy as np
import pytest
from matplotlib import colormaps
from pydicom import dcmread

from gsigpu.dicom.writing.formats import open_sink, planes_for
from gsigpu.dicom.writing.overlay import bar_columns, colour_bar, overlay
from gsigpu.dicom.writing.rgb import ANATOMY
from gsigpu.maps.registry import define, define_all
from tests.support.stacks import (
    COLUMNS,
    ROWS,
    SLICES,
    STACKS,
    errors_found_by_dciodvfy,
    float_map,
    oblique_stack,
)

IODINE = define("iodine")  # window 0 to 5 mg/mL
WINDOW = (60.0, 400.0)


def over(anatomy_hu, value, definition=IODINE):
    return overlay(
        np.full((1, 2), anatomy_hu, np.float32),
        np.float32([[value, np.nan]]),
        definition,
        anatomy_window=WINDOW,
    )[0]


@pytest.mark.parametrize(
    ("hu", "grey"), [(-1000, 0), (-140, 0), (60, 128), (260, 255), (3000, 255)]
)
def test_without_a_value_the_anatomy_shows(hu, grey):
    assert over(hu, 3.0)[1].tolist() == [grey] * 3


def test_the_lower_end_of_the_window_is_transparent():
    assert over(60, 0.0)[0].tolist() == over(60, -2.0)[0].tolist() == [128] * 3


def test_the_upper_end_has_the_colour_of_the_bar_over_the_anatomy():
    brightest = np.array(colormaps["inferno"](255)[:3]) * 255
    expected = 127.5 + 0.65 * (brightest - 127.5)
    assert np.abs(over(60, 5.0)[0] - expected).max() <= 1
    assert over(60, 50.0)[0].tolist() == over(60, 5.0)[0].tolist()


def test_air_is_not_coloured():
    assert over(-900, 5.0)[0].tolist() == [0, 0, 0]


def test_a_grey_map_is_shown_alone():
    vnc = define("vnc")  # window -160 to 240 HU
    assert over(-100, 240.0, vnc)[0].tolist() == [255] * 3


@pytest.mark.parametrize(("rows", "columns"), [(16, 25), (320, 401), (512, 512)])
def test_the_colour_bar_has_the_colours_in_order(rows, columns):
    bar = colour_bar(IODINE, rows=rows, columns=bar_columns(columns))
    assert bar.shape == (rows, bar_columns(columns), 3)
    assert (columns + bar.shape[1]) % 2 == 0
    inside = bar[rows // 8 : -rows // 8, int(0.45 * bar.shape[1])].astype(int).sum(axis=1)
    assert inside[0] > inside[-1]  # bright at the upper end
    assert np.all(np.diff(inside) <= 0)


def test_the_colour_bar_says_something():
    unlike = colour_bar(define("lambda-hu"), rows=200, columns=60)[:, :15]
    assert unlike.max() > 200
    assert not np.array_equal(unlike, colour_bar(IODINE, rows=200, columns=60)[:, :15])


def test_the_image_nearest_70_kev_is_asked_for():
    planes = planes_for("rgb", define_all(["lambda-hu"]))
    assert planes[-1] is ANATOMY
    assert planes[-1].energies_for((40.0, 65.0, 80.0, 100.0)) == (65.0,)


def write(folder, stack):
    planes = planes_for("rgb", define_all(["iodine", "lambda-hu"]))
    folder.mkdir()
    maps = [float_map(stack, seed, largest=200) for seed, _ in enumerate(planes)]
    with open_sink("rgb", folder, planes, stack) as sink:
        for z in range(SLICES):
            sink.write(z, [values[z] for values in maps])
    return maps, {name: sorted((folder / at).iterdir()) for name, at in sink.names.items()}


@pytest.mark.tools
@pytest.mark.parametrize("source", STACKS)
def test_conformance_and_dcmtk(tmp_path, source):
    _, files = write(tmp_path / "out", STACKS[source](tmp_path / "study"))
    picture = tmp_path / "picture.ppm"
    for paths in files.values():
        assert len(paths) == SLICES
        assert errors_found_by_dciodvfy(paths[1]) == []
        subprocess.run(["dcm2pnm", "-q", str(paths[1]), str(picture)], check=True)
        pixels = dcmread(paths[1]).pixel_array
        shown = np.frombuffer(picture.read_bytes()[-pixels.size :], np.uint8)
        assert np.array_equal(shown, pixels.ravel())


def test_picture_place_and_sources(tmp_path):
    stack = oblique_stack(tmp_path / "study")
    maps, files = write(tmp_path / "out", stack)
    for z, path in enumerate(files["lambda-hu"]):
        ds = dcmread(path)
        picture = overlay(
            maps[2][z], maps[1][z], define("lambda-hu"), anatomy_window=ANATOMY.window
        )
        assert np.array_equal(ds.pixel_array[:, :COLUMNS], picture)
        assert ds.pixel_array.shape == (ROWS, COLUMNS + bar_columns(COLUMNS), 3)
        position = stack.series[0].planes[z].position_mm
        assert tuple(map(float, ds.ImagePositionPatient)) == position
        sources = {item.ReferencedSOPInstanceUID for item in ds.SourceImageSequence}
        used = {kev: stack.series[i] for i, kev in enumerate(stack.energies_kev) if kev != 40}
        assert sources == {series.planes[z].sop_instance_uid for series in used.values()}
    assert not set(files) - {"iodine", "lambda-hu"}
