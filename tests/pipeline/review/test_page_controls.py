"""What the controls of the study page do, by mouse and by hand: blending, windows, planes, outlines, regions of interest."""

import numpy as np
import pytest

pytestmark = pytest.mark.browser
# Of a view: the picture's colours at a voxel, before outlines and cursor are drawn over it.
COLOUR = """([view, r, c]) => {
  const v = App.views()[view], row = v.flipped ? v.rows - 1 - r : r;
  return [...v.image.getContext("2d").getImageData(c, row, 1, 1).data].slice(0, 3);
}"""
SETTLED = "App.views().every((view) => view.rows !== undefined && view.regions)"
STATE = "App.state"


@pytest.fixture(autouse=True)
def fresh(page):
    """The state that a reader begins with."""
    page.evaluate(
        """() => { App.setPhase(0); App.setEnergy(70); Object.assign(App.state, { opacity: 0.6, baseWindow: [60, 400] });
        for (const name of Object.keys(App.state.outlines)) App.state.outlines[name] = ["core", "rim"].includes(name);
        App.setOverlay(2); App.choose("1"); }"""
    )
    page.wait_for_function(SETTLED)


def centre(page):
    box = page.locator("#views canvas").first.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def on_screen(page, row, column):
    """The place of a voxel's centre of the axial view, in pixels of the window."""
    return page.evaluate(
        """([r, c]) => { const v = App.views()[0], p = v.place(), box = v.canvas.getBoundingClientRect(), ratio = v.canvas.width / box.width;
        return [box.left + (p.left + (c + 0.5) * p.px) / ratio, box.top + (p.top + (r + 0.5) * p.py) / ratio]; }""",
        [row, column],
    )


@pytest.mark.parametrize("overlay", [0, 1, 2])
def test_a_map_is_blended_over_the_anatomy(page, overlay):
    """grey + opacity (colour - grey), with the windows of both and the colours of matplotlib's table."""
    z, y, x = page.evaluate("App.state.position")
    page.evaluate(f"App.setOverlay({overlay})")
    page.fill("#opacity", "0.35")
    page.wait_for_function(f"{SETTLED} && {STATE}.opacity === 0.35")
    values = page.evaluate("App.valuesAt(App.state.phase, App.state.position)")
    study = page.evaluate(
        "(() => ({ maps: Store.study.maps, colours: Store.study.colormaps[App.state.colormap], window: App.state.mapWindow }))()"
    )
    page.wait_for_timeout(100)
    grey = 255 * np.clip((values["hu"] - (60 - 200)) / 400, 0, 1)
    value = values["maps"][study["maps"][overlay]["parameter"]]
    middle, width = study["window"]
    level = int(np.clip(round(255 * (value - (middle - width / 2)) / width), 0, 255))
    colour = np.array(study["colours"][3 * level : 3 * level + 3])
    np.testing.assert_allclose(
        page.evaluate(COLOUR, [0, y, x]), grey + 0.35 * (colour - grey), atol=2.0
    )
    # The coronal and the sagittal plane show the same voxel in the same colour.
    for view, row, column in ((1, z, x), (2, z, y)):
        assert page.evaluate(COLOUR, [view, row, column]) == page.evaluate(COLOUR, [0, y, x])


def test_the_colour_table_is_chosen(page):
    _, y, x = page.evaluate("App.state.position")
    before = page.evaluate(COLOUR, [0, y, x])
    page.select_option("#colormap", "gray")
    page.wait_for_function("App.state.colormap === 'gray'")
    page.wait_for_function(
        f"JSON.stringify(({COLOUR})([0, {y}, {x}])) !== JSON.stringify({before})"
    )
    red, green, blue = page.evaluate(COLOUR, [0, y, x])
    assert red == green == blue


def test_the_mouse_changes_the_windows(page):
    """Right drag: that of the map, with Shift that of the anatomy; right is wider, down is higher."""
    page.mouse.move(*centre(page))
    page.mouse.down(button="right")
    page.mouse.move(centre(page)[0] + 60, centre(page)[1] + 40, steps=3)
    page.mouse.up(button="right")
    first = page.evaluate("Store.study.maps[2].window")
    middle, width = page.evaluate("App.state.mapWindow")
    assert width == pytest.approx(first[1] * np.exp(60 / 150), rel=1e-6)
    assert middle == pytest.approx(first[0] + 40 / 200 * first[1], rel=1e-6)
    assert page.evaluate("App.state.baseWindow") == [60, 400]
    page.keyboard.down("Shift")
    page.mouse.move(*centre(page))
    page.mouse.down(button="right")
    page.mouse.move(centre(page)[0] - 30, centre(page)[1], steps=3)
    page.mouse.up(button="right")
    page.keyboard.up("Shift")
    assert page.evaluate("App.state.baseWindow")[1] < 400
    assert page.evaluate("App.state.mapWindow") == [middle, width]
    assert page.input_value("#base-width") == str(round(page.evaluate("App.state.baseWindow[1]")))


def test_letters_and_a_scale_bar_are_drawn_on_each_plane(page):
    """Axial: anterior up and the patient's right on the left; head up elsewhere. The bar is as long as it says."""
    words = page.evaluate(
        """() => App.views().map((view) => {
          const texts = [], lines = [], context = view.canvas.getContext("2d"), fill = context.fillText.bind(context), line = context.lineTo.bind(context), move = context.moveTo.bind(context);
          let from = null;
          context.fillText = (text, x, y) => { texts.push([text, x / view.canvas.width, y / view.canvas.height]); fill(text, x, y); };
          context.moveTo = (x, y) => { from = [x, y]; move(x, y); };
          context.lineTo = (x, y) => { lines.push([...from, x, y]); from = [x, y]; line(x, y); };
          view.compose();
          delete context.fillText; delete context.lineTo; delete context.moveTo;
          const [, [x0, , x1]] = lines.slice(-3);
          return { texts, barMm: (x1 - x0) / view.place().mm };
        })"""
    )
    expected = [("R", "L", "A", "P"), ("R", "L", "H", "F"), ("A", "P", "H", "F")]
    for view, (left, right, top, bottom) in zip(words, expected, strict=True):
        at = {text: (x, y) for text, x, y in view["texts"]}
        assert (at[left][0] < 0.2, at[right][0] > 0.8) == (True, True)
        assert (at[top][1] < 0.2, at[bottom][1] > 0.8) == (True, True)
        (told,) = [text for text in at if text.endswith(("cm", "mm"))]
        number, unit = told.split()
        assert view["barMm"] == pytest.approx(float(number) * {"cm": 10, "mm": 1}[unit], rel=0.01)


def test_every_plane_scrolls(page):
    for view, axis in ((0, 0), (1, 1), (2, 2)):
        before = page.evaluate("App.state.position")
        box = page.locator("#views canvas").nth(view).bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.wheel(0, 100)
        page.wait_for_function(f"App.state.position[{axis}] === {before[axis] + 1}")
        after = page.evaluate("App.state.position")
        assert [i for i in range(3) if after[i] != before[i]] == [axis]


def test_outlines_of_core_rim_shell_and_parenchyma_are_told_apart(page):
    """Each box draws lines of its colour; an edge that two regions share has the colour of the inner one."""
    colours = page.evaluate("Store.study.regionColours")

    def n_drawn(name):
        colour = [int(colours[name][i : i + 2], 16) for i in (1, 3, 5)]
        return page.evaluate(
            """(colour) => { const c = App.views()[0].canvas, d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
            let n = 0; for (let i = 0; i < d.length; i += 4) if (Math.abs(d[i] - colour[0]) + Math.abs(d[i + 1] - colour[1]) + Math.abs(d[i + 2] - colour[2]) < 24) n++; return n; }""",
            colour,
        )

    page.evaluate("App.setOverlay(-1)")
    for box in page.locator("#regions input").all():
        box.uncheck()
    page.wait_for_function(SETTLED)
    names = ("parenchyma", "perilesional", "rim", "core")
    assert [n_drawn(name) for name in names] == [0, 0, 0, 0]
    for name in names:
        page.check(f"#regions input[data-region={name}]")
        assert n_drawn(name) > 20, name
    # All four are on: none has covered another.
    assert all(n_drawn(name) > 20 for name in names)


def test_a_circle_and_a_polygon_are_drawn_by_hand(page):
    _, y, x = page.evaluate("App.state.position")
    page.click("#tools >> text=circle")
    page.mouse.move(*on_screen(page, y, x))
    page.mouse.down()
    page.mouse.move(*on_screen(page, y, x + 3), steps=4)
    page.mouse.up()
    page.wait_for_function("Rois.list.length === 1")
    circle = page.evaluate("Rois.list[0]")
    spacing = page.evaluate("Store.study.phases[0].grid.spacing")
    area = np.pi * (3 * spacing[2]) ** 2 / (spacing[1] * spacing[2])
    assert circle["n"] == pytest.approx(area, rel=0.25)
    assert [y, x] in circle["voxels"]
    page.click("#tools >> text=circle")
    page.click("#tools >> text=polygon")
    corners = [(y - 2.5, x - 2.5), (y - 2.5, x + 2.5), (y + 2.5, x + 2.5), (y + 2.5, x - 2.5)]
    for corner in corners:
        page.mouse.click(*on_screen(page, *corner), delay=30)
        page.wait_for_timeout(600)  # two quick clicks close a polygon
    page.mouse.dblclick(*on_screen(page, *corners[-1]))
    page.wait_for_function("Rois.list.length === 2")
    square = page.evaluate("Rois.list[1]")
    assert square["n"] == 25
    assert page.locator("#rois p").count() == 2
    page.click("#tools >> text=polygon")
    assert page.locator("#curve .u-legend").inner_text().count("roi-2") == 1
    assert page.locator("#profile .u-legend").inner_text().count("roi-2") == 1
    for _ in range(2):
        page.locator("#rois >> text=Remove").first.click()


def test_the_profile_of_a_region_of_interest(page):
    """Against distances to the sides computed here, with the page's voxels."""
    z, y, x = page.evaluate("App.state.position")
    corners = np.array([[y - 3.5, x - 2.5], [y - 1.5, x + 4.5], [y + 4.5, x + 0.5]])
    roi = page.evaluate("([z, p]) => Rois.add(0, z, p)", [z, corners.tolist()])
    page.evaluate("Rois.remove(Rois.list[0])")
    _, dy, dx = page.evaluate("Store.study.phases[0].grid.spacing")
    iodine = np.array(
        page.evaluate(
            """async (z) => { const s = await Store.voxels(0, z), [, rows, columns] = Store.study.phases[0].grid.shape;
            return Array.from({ length: rows }, (_, r) => Array.from({ length: columns }, (_, c) => { const v = Store.at(s, 1, r, c, Store.study.maps[1].step); return Number.isNaN(v) ? null : v; })); }""",
            z,
        ),
        float,
    )
    scale = np.array([dy, dx])
    places = np.argwhere(np.isfinite(iodine)) * scale
    sides = [
        (a * scale, b * scale) for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True)
    ]
    fine = np.linspace(0, 1, 4001)[:, None]
    to_side = [
        np.sqrt(((places[:, None] - (a + fine * (b - a))[None]) ** 2).sum(-1)).min(1)
        for a, b in sides
    ]
    turns = [(b - a)[1] * (places - a)[:, 0] - (b - a)[0] * (places - a)[:, 1] for a, b in sides]
    is_inside = np.all(np.array(turns) > 0, axis=0) | np.all(np.array(turns) < 0, axis=0)
    mm = np.where(is_inside, -1, 1) * np.min(to_side, axis=0)
    values = iodine[np.isfinite(iodine)]
    shells = np.floor(mm)
    expected = {s + 0.5: values[shells == s].mean() for s in np.unique(shells) if s < 10}
    got = {distance: mean for distance, mean, _ in roi["profile"]["iodine"]}
    assert min(got) < -1
    assert got == pytest.approx(expected, abs=1e-4)
    assert set(roi["profile"]) == {"vnc", "iodine", "lambda_hu", "ct_value"}


def test_the_other_scatter_plot_has_its_own_axes(page):
    def ink():
        return page.evaluate("document.getElementById('scatter').toDataURL()")

    before = ink()
    page.select_option("#scatter-axes", "1")
    assert ink() != before
    page.select_option("#scatter-axes", "0")


def test_the_cursor_is_linked_and_told_in_units(page):
    """In every plane and phase the cross stands on the same place; the line says HU, HU/keV and mg/mL."""
    page.click("text=phases side by side")
    page.wait_for_function(f"App.views().length === 2 && {SETTLED}")
    z, y, x = page.evaluate("App.state.position")
    page.mouse.click(*on_screen(page, y + 4, x + 5))
    page.wait_for_function(
        f"App.state.position[1] === {y + 4} && App.state.position[2] === {x + 5}"
    )
    assert page.evaluate("App.views().map((view) => view.index)") == [z, z]
    line = page.inner_text("#readout")
    for unit in (" HU", " mg/mL", " HU/keV", "70 keV"):
        assert unit in line
    page.click("text=3 planes")


def test_flags_stand_with_their_lesion(page):
    flags = page.evaluate("Store.study.phases[0].lesions.map((lesion) => lesion.flags)")
    shown = page.locator("#lesions tr.flags").all_inner_texts()
    assert shown == [f"⚠ {', '.join(of_lesion)}" for of_lesion in flags if of_lesion]
    assert shown
