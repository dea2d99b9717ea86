"use strict";
/* Free regions of interest on axial slices: a circle or a polygon, its statistics, and what is saved.
   A voxel belongs to a region when its centre lies inside; a mean over the page's voxels is that of
   `gsigpu measure` on the same voxels, but for the rounding of the page's volumes. */

const Rois = (() => {
  const { study } = Store;
  const list = [];
  const CIRCLE_POINTS = 96;
  let app = null, tool = "", draft = null, nDrawn = 0;

  const onSlice = (phase, z) => [...list, ...(draft ? [draft] : [])].filter((roi) => roi.phase === phase && roi.z === z);

  function circle(centre, edge, spacing) {
    const radius = Math.hypot((edge[0] - centre[0]) * spacing[0], (edge[1] - centre[1]) * spacing[1]);
    return Array.from({ length: CIRCLE_POINTS }, (_, i) => {
      const angle = (2 * Math.PI * i) / CIRCLE_POINTS;
      return [centre[0] - 0.5 + (radius * Math.sin(angle)) / spacing[0], centre[1] - 0.5 + (radius * Math.cos(angle)) / spacing[1]];
    });
  }

  function press(view, [row, column]) {
    if (tool === "circle") draft = { phase: view.phase, z: view.index, centre: [row, column], points: [[row - 0.5, column - 0.5]], open: true };
    else if (!draft || draft.phase !== view.phase || draft.z !== view.index) draft = { phase: view.phase, z: view.index, points: [[row - 0.5, column - 0.5], [row - 0.5, column - 0.5]], open: true };
    else draft.points.push([row - 0.5, column - 0.5]);
    app.compose();
  }

  function move(view, [row, column], pressed) {
    if (!draft) return;
    if (tool === "circle" && pressed) draft.points = circle(draft.centre, [row, column], view.spacing);
    else if (tool === "polygon") draft.points[draft.points.length - 1] = [row - 0.5, column - 0.5];
    app.compose();
  }

  function release() { if (tool === "circle" && draft && draft.points.length > 2) finish(); }

  function close() { if (tool === "polygon" && draft && draft.points.length > 3) { draft.points.pop(); finish(); } }

  async function finish() {
    const { phase, z, points } = draft;
    draft = null;
    await add(phase, z, points);
  }

  /* points : (row, column) of voxel centres, as in the arrays. */
  async function add(phase, z, points) {
    const roi = { id: `roi-${++nDrawn}`, phase, z, points, open: false };
    const slice = await Store.voxels(phase, z);
    Object.assign(roi, statistics(roi, slice));
    list.push(roi);
    app.roisChanged(roi);
    return roi;
  }

  function voxelsOf(roi) {
    const { shape } = study.phases[roi.phase].grid, inside = [];
    const rows = roi.points.map((point) => point[0]), columns = roi.points.map((point) => point[1]);
    for (let y = Math.max(0, Math.ceil(Math.min(...rows))); y <= Math.min(shape[1] - 1, Math.floor(Math.max(...rows))); y++)
      for (let x = Math.max(0, Math.ceil(Math.min(...columns))); x <= Math.min(shape[2] - 1, Math.floor(Math.max(...columns))); x++)
        if (Plots.inside(roi.points, y, x)) inside.push([y, x]);
    return inside;
  }

  function summary(values) {
    const valid = values.filter((value) => !Number.isNaN(value)), n = valid.length;
    const mean = valid.reduce((sum, value) => sum + value, 0) / n;
    const sd = Math.sqrt(valid.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1));
    return { n, mean, sd };
  }

  /* Means in shells of distance to the boundary, within the slice; a voxel lies where its centre does, negative inside.
     As the profile of a lesion, but in two dimensions: nobody drew above and below. */
  const SHELL_MM = 1, OUTER_MM = 10;
  function profileOf(roi, slice) {
    const { shape, spacing } = study.phases[roi.phase].grid, [, dy, dx] = spacing, { points } = roi;
    const rows = points.map((point) => point[0]), columns = points.map((point) => point[1]), shells = new Map();
    const range = (values, size, n) => [Math.max(0, Math.floor(Math.min(...values) - OUTER_MM / size)), Math.min(n - 1, Math.ceil(Math.max(...values) + OUTER_MM / size))];
    const [top, bottom] = range(rows, dy, shape[1]), [left, right] = range(columns, dx, shape[2]), ratio = study.basis.ratio[70 - study.basis.energies[0]];
    for (let y = top; y <= bottom; y++)
      for (let x = left; x <= right; x++) {
        const far = distance(points, y, x, dy, dx), mm = Plots.inside(points, y, x) ? -far : far;
        if (mm > OUTER_MM) continue;
        const values = study.maps.map((map, k) => Store.at(slice, k, y, x, map.step)), shell = Math.floor(mm / SHELL_MM);
        if (Number.isNaN(values[0])) continue;
        if (!shells.has(shell)) shells.set(shell, []);
        shells.get(shell).push({ ...Object.fromEntries(study.maps.map((map, k) => [map.parameter, values[k]])), ct_value: values[0] + ratio * values[1] });
      }
    const ordered = [...shells].sort(([a], [b]) => a - b);
    return Object.fromEntries([...study.maps.map((map) => map.parameter), "ct_value"].map((name) => [name, ordered.map(([shell, voxels]) => { const { mean, sd } = summary(voxels.map((voxel) => voxel[name])); return [(shell + 0.5) * SHELL_MM, mean, sd]; })]));
  }

  /* From a voxel's centre to the nearest side of a polygon, mm. */
  function distance(points, y, x, dy, dx) {
    let least = Infinity;
    for (let i = 0, j = points.length - 1; i < points.length; j = i++) {
      const ax = (points[j][1] - x) * dx, ay = (points[j][0] - y) * dy, bx = (points[i][1] - x) * dx - ax, by = (points[i][0] - y) * dy - ay, length = bx * bx + by * by;
      const along = length ? Math.max(0, Math.min(1, -(ax * bx + ay * by) / length)) : 0;
      least = Math.min(least, Math.hypot(ax + along * bx, ay + along * by));
    }
    return least;
  }

  function statistics(roi, slice) {
    const voxels = voxelsOf(roi), byMap = study.maps.map((map, k) => voxels.map(([y, x]) => Store.at(slice, k, y, x, map.step)));
    const [vnc, iodine] = byMap;
    const at = (kev) => summary(vnc.map((value, i) => value + study.basis.ratio[kev - study.basis.energies[0]] * iodine[i]));
    const curve = [];
    for (let kev = 40; kev <= 140; kev += 10) { const { mean, sd } = at(kev); curve.push([kev, mean, sd]); }
    return { voxels, n: voxels.length, nValid: summary(vnc).n, hu70: at(70), maps: Object.fromEntries(study.maps.map((map, k) => [map.parameter, summary(byMap[k])])), curve, profile: profileOf(roi, slice) };
  }

  /* ---- saving --------------------------------------------------------------------------------------- */

  const COLUMNS = ["case_id", "patient_id", "group", "reader", "phase", "lesion_id", "region", "parameter", "statistic", "value", "unit", "definition", "n_voxels", "n_valid", "flags"];
  const quoted = (text) => (/[",\n]/.test(text) ? `"${String(text).replaceAll('"', '""')}"` : String(text));

  function rowsOf(roi) {
    const phase = study.phases[roi.phase], rows = [];
    const row = (parameter, statistic, value, unit, definition) => rows.push([study.case, study.case, "", "", phase.name, roi.id, "roi", parameter, statistic, Number.isFinite(value) ? value.toPrecision(7) : "", unit, definition, roi.n, roi.nValid, "roi;page-values"]);
    study.maps.forEach((map) => { const { mean, sd } = roi.maps[map.parameter]; row(map.parameter, "mean", mean, map.unit, map.formula); row(map.parameter, "sd", sd, map.unit, map.formula); });
    roi.curve.forEach(([kev, mean, sd]) => { row(`mono_${kev}`, "mean", mean, "HU", "from water and iodine"); row(`mono_${kev}`, "sd", sd, "HU", "from water and iodine"); });
    return rows;
  }

  const csv = () => [COLUMNS, ...list.flatMap(rowsOf)].map((row) => row.map(quoted).join(",")).join("\n") + "\n";

  function save(name, content, type) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([content], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  const stem = () => study.case.replace(/[^\p{L}\p{M}\p{N}_.-]+/gu, "_") || "case";
  const saveCsv = () => save(`${stem()}-roi.csv`, csv(), "text/csv");
  const saveSeg = (roi) => save(`${stem()}-${roi.id}.seg.dcm`, Segmentation.file(roi), "application/dicom");

  function start(owner) { app = owner; }
  function choose(name) { tool = tool === name ? "" : name; draft = null; app.compose(); }
  function remove(roi) { list.splice(list.indexOf(roi), 1); app.roisChanged(list[list.length - 1]); }

  return { list, onSlice, press, move, release, close, add, csv, saveCsv, saveSeg, start, choose, remove, voxelsOf, get tool() { return tool; } };
})();
