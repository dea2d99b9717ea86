"use strict";
/* Spectral curve and radial profile of a lesion (uPlot), and the scatter plot of a slice with its lasso. */

const Plots = (() => {
  const { study } = Store;
  const AXIS_FONT = "12px system-ui, sans-serif";
  let curvePlot = null, profilePlot = null;

  function axis(label) {
    return { label, labelFont: AXIS_FONT, font: AXIS_FONT, stroke: "#1c2733", grid: { stroke: "#dde3e8" }, size: 46, labelSize: 18 };
  }

  function line(label, colour) {
    return { label, stroke: colour, width: 2, spanGaps: true, points: { size: 6 }, value: (_, value) => (value === null || value === undefined ? "–" : value.toFixed(2)) };
  }

  function make(id, xLabel, yLabel, series, data) {
    const element = document.getElementById(id);
    element.replaceChildren();
    return new uPlot({ width: element.clientWidth || 340, height: 210, scales: { x: { time: false } }, axes: [axis(xLabel), axis(yLabel)], series: [{ label: xLabel, value: (_, value) => (value === null ? "–" : String(value)) }, ...series], legend: { live: true }, cursor: { drag: { x: false, y: false } } }, data, element);
  }

  const CURVE_COLOURS = Store.study.curveColours;

  /* Curves of the chosen lesion's regions, the parenchyma and the last region of interest. */
  function curve(phase, lesion, roi) {
    const entries = [];
    for (const name of ["core", "rim", "lesion"]) {
      const region = lesion?.regions[name];
      if (region?.curve.length && (name !== "lesion" || !lesion.regions.core)) entries.push([name, region.curve, CURVE_COLOURS[name]]);
    }
    const normal = phase.references.find((reference) => reference.region === "parenchyma");
    if (normal?.curve.length) entries.push(["parenchyma", normal.curve, CURVE_COLOURS.parenchyma]);
    if (roi?.curve) entries.push([roi.id, roi.curve, "#c2185b"]);
    const element = document.getElementById("curve");
    if (!entries.length) { element.textContent = "No curve: choose a lesion, or draw a region of interest."; curvePlot = null; return; }
    const energies = [...new Set(entries.flatMap(([, points]) => points.map(([kev]) => kev)))].sort((a, b) => a - b);
    const data = [energies, ...entries.map(([, points]) => { const known = new Map(points.map(([kev, mean]) => [kev, mean])); return energies.map((kev) => known.get(kev) ?? null); })];
    curvePlot = make("curve", "keV", "HU", entries.map(([name, , colour]) => line(name, colour)), data);
  }

  /* Shells of the chosen lesion, and of the last region of interest. */
  function profile(lesion, roi, parameter) {
    const entries = [["lesion", lesion?.profile[parameter], "#1f78b4"], [roi?.id, roi?.profile[parameter], "#c2185b"]].filter(([, points]) => points?.length);
    const element = document.getElementById("profile");
    if (!entries.length) { element.textContent = "No profile: choose a lesion that was measured with its profile, or draw a region of interest."; profilePlot = null; return; }
    const unit = parameter === "iodine" ? "mg/mL" : parameter === "lambda_hu" ? "HU/keV" : "HU";
    const distances = [...new Set(entries.flatMap(([, points]) => points.map(([mm]) => mm)))].sort((a, b) => a - b);
    const data = [distances, ...entries.map(([, points]) => { const known = new Map(points.map(([mm, mean]) => [mm, mean])); return distances.map((mm) => known.get(mm)); })];
    profilePlot = make("profile", "mm from the boundary, inside negative", unit, entries.map(([name, , colour]) => line(name, colour)), data);
  }

  /* ---- scatter ------------------------------------------------------------------------------------ */

  const SCATTERS = [
    { name: "water against iodine", x: ["VNC, HU", (v) => v.vnc], y: ["iodine, mg/mL", (v) => v.iodine], range: [[-150, 200], [-3, 12]] },
    { name: "70 keV against λHU", x: ["70 keV, HU", (v) => v.hu70], y: ["λHU, HU/keV", (v) => v.slope], range: [[-150, 350], [-1.5, 5]] },
  ];
  const MARGIN = { left: 44, bottom: 34, top: 8, right: 8 };
  const scatter = { kind: 0, points: null, path: [] };

  function scatterPoints(view) {
    const { shape } = view.grid, maps = study.maps, slices = view.slices, index = view.index;
    const read = (k) => Store.plane(slices, "axial", index, shape, k, maps[k].step);
    const vnc = read(0), iodine = read(1), slopeIndex = maps.findIndex((map) => map.name.startsWith("lambda-hu"));
    const slope = slopeIndex < 0 ? null : read(slopeIndex), ratio = study.basis.ratio[70 - study.basis.energies[0]];
    const { x, y } = SCATTERS[scatter.kind], xs = new Float32Array(vnc.length), ys = new Float32Array(vnc.length);
    for (let i = 0; i < vnc.length; i++) {
      const voxel = { vnc: vnc[i], iodine: iodine[i], hu70: vnc[i] + ratio * iodine[i], slope: slope ? slope[i] : NaN };
      xs[i] = x[1](voxel); ys[i] = y[1](voxel);
    }
    return { xs, ys, key: `${view.phase}/${index}` };
  }

  const canvas = () => document.getElementById("scatter");

  function toPixel(x, y) {
    const { width, height } = canvas(), [[x0, x1], [y0, y1]] = SCATTERS[scatter.kind].range;
    return [MARGIN.left + ((x - x0) / (x1 - x0)) * (width - MARGIN.left - MARGIN.right), height - MARGIN.bottom - ((y - y0) / (y1 - y0)) * (height - MARGIN.top - MARGIN.bottom)];
  }

  function drawScatter(view) {
    if (view) scatter.points = scatterPoints(view);
    const element = canvas(), context = element.getContext("2d"), { width, height } = element;
    context.fillStyle = "#f7f8f9"; context.fillRect(0, 0, width, height);
    const kind = SCATTERS[scatter.kind], [[x0, x1], [y0, y1]] = kind.range;
    context.strokeStyle = "#8a96a1"; context.lineWidth = 1;
    context.strokeRect(MARGIN.left, MARGIN.top, width - MARGIN.left - MARGIN.right, height - MARGIN.top - MARGIN.bottom);
    context.fillStyle = "#1c2733"; context.font = "11px system-ui, sans-serif";
    context.textAlign = "center"; context.textBaseline = "top";
    for (let i = 0; i <= 4; i++) { const value = x0 + ((x1 - x0) * i) / 4; context.fillText(value.toFixed(0), toPixel(value, y0)[0], height - MARGIN.bottom + 3); }
    context.fillText(kind.x[0], (width + MARGIN.left) / 2, height - 14);
    context.textAlign = "right"; context.textBaseline = "middle";
    for (let i = 0; i <= 4; i++) { const value = y0 + ((y1 - y0) * i) / 4; context.fillText(value.toFixed(1), MARGIN.left - 4, toPixel(x0, value)[1]); }
    context.save(); context.translate(9, height / 2); context.rotate(-Math.PI / 2); context.textAlign = "center"; context.fillText(kind.y[0], 0, 0); context.restore();
    if (scatter.points) drawDensity(context);
    if (scatter.path.length > 1) {
      context.strokeStyle = "#c2185b"; context.lineWidth = 1.5; context.beginPath();
      scatter.path.forEach(([x, y], i) => context[i ? "lineTo" : "moveTo"](x, y));
      context.closePath(); context.stroke();
    }
  }

  /* Darker where more voxels fall; a pixel of the plot is a bin. */
  function drawDensity(context) {
    const { xs, ys } = scatter.points, counts = new Map();
    for (let i = 0; i < xs.length; i++) {
      if (Number.isNaN(xs[i]) || Number.isNaN(ys[i])) continue;
      const [px, py] = toPixel(xs[i], ys[i]);
      if (px < MARGIN.left || py < MARGIN.top || px > canvas().width - MARGIN.right || py > canvas().height - MARGIN.bottom) continue;
      const key = Math.floor(px) * 4096 + Math.floor(py);
      counts.set(key, (counts.get(key) || 0) + 1);
    }
    let most = 1;
    for (const n of counts.values()) most = Math.max(most, n);
    for (const [key, n] of counts) {
      context.fillStyle = `rgba(24,78,140,${0.25 + (0.75 * Math.log1p(n)) / Math.log1p(most)})`;
      context.fillRect(Math.floor(key / 4096), key % 4096, 1.5, 1.5);
    }
  }

  function inside(polygon, x, y) {
    let is = false;
    for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
      const [xi, yi] = polygon[i], [xj, yj] = polygon[j];
      if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) is = !is;
    }
    return is;
  }

  /* Voxels of the slice whose point lies within the lasso, Uint8Array of the plane. */
  function marked(polygon) {
    const { xs, ys } = scatter.points, marks = new Uint8Array(xs.length);
    for (let i = 0; i < xs.length; i++) if (!Number.isNaN(xs[i]) && !Number.isNaN(ys[i]) && inside(polygon, ...toPixel(xs[i], ys[i]))) marks[i] = 1;
    return marks;
  }

  function listen(app) {
    const element = canvas();
    let drawing = false;
    const at = (event) => { const box = element.getBoundingClientRect(); return [((event.clientX - box.left) * element.width) / box.width, ((event.clientY - box.top) * element.height) / box.height]; };
    element.addEventListener("pointerdown", (event) => { drawing = true; scatter.path = [at(event)]; element.setPointerCapture(event.pointerId); });
    element.addEventListener("pointermove", (event) => { if (drawing) { scatter.path.push(at(event)); drawScatter(); } });
    element.addEventListener("pointerup", () => { drawing = false; if (scatter.points && scatter.path.length > 2) app.mark(scatter.points.key, marked(scatter.path)); });
    const select = document.getElementById("scatter-axes");
    SCATTERS.forEach((kind, i) => select.add(new Option(kind.name, i)));
    select.addEventListener("change", () => { scatter.kind = Number(select.value); scatter.path = []; app.scatter(); });
  }

  function clear() { scatter.path = []; drawScatter(); }

  return { curve, profile, drawScatter, listen, clear, inside, toPixel };
})();
