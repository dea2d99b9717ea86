"""Pictures: colours that show what there is, to every reader, and say where it is."""

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.figure import Figure

from gsigpu.maps.registry import KNOWN_NAMES, define
from gsigpu.pictures import ANATOMY_WINDOW, Panel, save_panels, voxel_edges
from gsigpu.volume import VolumeGeometry

NAMES = (*KNOWN_NAMES, "lambda-hu[40-100]", "lambda-hu[fit:40-140]")
# Viénot, Brettel and Mollon (1999): linear RGB as protanopes and deuteranopes see it.
AS_SEEN = {
    "all cones": np.eye(3),
    "no red cones": [[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]],
    "no green cones": [[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]],
}


def lightness(rgb, seen="all cones"):
    """CIE L* of sRGB colours (…, 3) in 0..1 (IEC 61966-2-1, CIE 15)."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ np.transpose(AS_SEEN[seen]), 0, 1)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    return np.where(luminance > 216 / 24389, 116 * np.cbrt(luminance) - 16, luminance * 24389 / 27)


@pytest.mark.parametrize("seen", AS_SEEN)
@pytest.mark.parametrize("name", NAMES)
def test_lightness_rises_with_the_value(name, seen):
    """So that the order of values shows in grey print, and without red or green cones."""
    colours = colormaps[define(name).colormap](np.linspace(0, 1, 64))[:, :3]
    assert (np.diff(lightness(colours, seen)) > 0).all()


@pytest.mark.parametrize("seen", AS_SEEN)
@pytest.mark.parametrize("slope", ["paper", "60-100", "40-100", "fit:40-140"])
def test_lesions_differ_from_liver(slope, seen):
    """A core of 1 mg/mL of iodine in liver of 2.2: more than 12 units of lightness (6 with turbo)."""
    definition = define("lambda-hu", slope=slope)
    kevs = definition.energies_for(tuple(float(kev) for kev in range(40, 150, 10)))
    per_mg = define("lambda-hu", slope=slope).rows(kevs).weights @ iodine_hu(kevs)
    centre, width = definition.window
    levels = (np.array([1.0, 2.2]) * per_mg - (centre - width / 2)) / width
    assert (levels > 0.1).all()
    assert (levels < 0.75).all()
    core, liver = lightness(colormaps[definition.colormap](levels)[:, :3], seen)
    assert liver - core > 12


def iodine_hu(kevs):
    from gsigpu.physics import iodine_hu_per_mg_per_ml

    return iodine_hu_per_mg_per_ml(kevs)


def drawn(monkeypatch, tmp_path, geometry, panels):
    """The axes of the panels, as they are when the file is written."""
    kept = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: kept.append(figure))
    save_panels(tmp_path / "p.png", panels, geometry=geometry)
    return kept[0].axes[: len(panels)]


@pytest.mark.parametrize(
    ("directions", "letters"),
    [
        ({}, {"R": "left", "L": "right", "A": "top", "P": "bottom"}),
        (
            {"row_direction": (-1.0, 0.0, 0.0), "column_direction": (0.0, -1.0, 0.0)},
            {"L": "left", "R": "right", "P": "top", "A": "bottom"},
        ),
    ],
    ids=["as usual", "turned over"],
)
def test_letters_and_scale_bar(monkeypatch, tmp_path, directions, letters):
    geometry = VolumeGeometry((1, 80, 100), (5.0, 2.0, 2.5), (0.0, 0.0, 0.0), **directions)
    plane = np.zeros((80, 100))
    outline = np.zeros((80, 100), bool)
    outline[20:40, 30:50] = True
    panel = Panel(plane, "t", "HU", ANATOMY_WINDOW, "gray", outline_mask=outline)
    (axis,) = drawn(monkeypatch, tmp_path, geometry, [panel])
    where = {
        text.get_text(): (
            ("left" if text.get_position()[0] < 0.1 else "right")
            if text.get_position()[1] == 0.5
            else ("top" if text.get_position()[1] > 0.9 else "bottom")
        )
        for text in axis.texts
        if len(text.get_text()) == 1
    }
    assert where == letters
    (bar,) = axis.lines
    x = bar.get_xdata()
    assert x[1] - x[0] == 50.0  # mm: the axis is in mm, 250 wide
    assert "5 cm" in {text.get_text() for text in axis.texts}
    lines = np.concatenate(
        [path.vertices for each in axis.collections for path in each.get_paths()]
    )
    assert lines[:, 0].min() == pytest.approx(30 * 2.5, abs=2.5)
    assert lines[:, 1].max() == pytest.approx(40 * 2.0, abs=2.0)


@pytest.mark.parametrize("seed", range(4))
def test_the_outline_of_voxels_encloses_them(seed):
    """A ray from a voxel's centre to a side crosses the outline an odd number of times in the region alone."""
    rng = np.random.default_rng(seed)
    mask = rng.random((9, 12)) < (0.3, 0.5, 0.7, 1.0)[seed]
    pieces = voxel_edges(mask, (2.0, 0.5))
    (x0, y0), (x1, y1) = pieces[:, 0].T, pieces[:, 1].T
    assert ((x0 == x1) | (y0 == y1)).all()
    for row, column in np.ndindex(mask.shape):
        y, x = (row + 0.5) * 2.0, (column + 0.5) * 0.5
        to_the_left = (x0 == x1) & (x0 < x) & (y0 < y) & (y < y1)
        upwards = (y0 == y1) & (y0 < y) & (x0 < x) & (x < x1)
        assert to_the_left.sum() % 2 == mask[row, column]
        assert upwards.sum() % 2 == mask[row, column]
