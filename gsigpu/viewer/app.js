"use strict";
/* The page: its state, its controls, and what follows from a change of either. */

const App = (() => {
  const { study } = Store;
  const byId = (id) => document.getElementById(id);
  const LAYOUTS = { "3 planes": ["axial", "coronal", "sagittal"], axial: ["axial"] };
  if (study.phases.length > 1) LAYOUTS["phases side by side"] = ["phases"];
  const ANATOMY_WINDOW = [60, 400]; // soft tissue, HU
  const firstMap = study.maps.findIndex((map) => map.name.startsWith("lambda-hu"));

  const state = {
    phase: Math.max(0, study.phases.findIndex((phase) => phase.lesions.length)), layout: "3 planes", position: [0, 0, 0], mm: [0, 0, 0], kev: 70,
    baseWindow: [...ANATOMY_WINDOW], overlay: firstMap < 0 ? 1 : firstMap, opacity: 0.6, colormap: "", mapWindow: [1, 2],
    outlines: { core: true, rim: true, perilesional: false, parenchyma: false, aorta: false, liver: false, lesion: false }, lesion: null, marks: new Map(), profile: "iodine",
  };
  let views = [];

  const phase = () => study.phases[state.phase];
  const lesion = () => phase().lesions.find((entry) => entry.id === state.lesion) || null;
  const digits = (unit) => (unit === "HU" ? 0 : unit === "mg/mL" ? 2 : 3);
  const shown = (value, places) => (value === null || value === undefined || Number.isNaN(value) ? "–" : value.toFixed(places).replace("-", "−"));

  /* An error is shown once, however often it comes. */
  const failures = new Set();
  function fail(error) {
    const text = String(error.message || error);
    if (!failures.has(text)) warn([[text, true]]);
    failures.add(text);
  }

  function warn(lines) {
    for (const [text, isFailure] of lines) {
      const line = document.createElement("p");
      line.textContent = text;
      if (isFailure) line.className = "failure";
      byId("warnings").append(line);
    }
  }

  /* ---- views ----------------------------------------------------------------------------------------- */

  function build() {
    const kinds = LAYOUTS[state.layout];
    byId("views").replaceChildren();
    byId("views").className = { 1: kinds[0] === "phases" ? "phases" : "axial", 3: "planes" }[kinds.length];
    views = kinds[0] === "phases" ? study.phases.map((_, number) => new View(byId("views"), "axial", number, api)) : kinds.map((axis) => new View(byId("views"), axis, state.phase, api));
    readCursor();
    // One after the other: planes across need every slice, and would have the first picture wait for them.
    const [first, ...others] = views;
    first.draw().then(() => { for (const view of others) if (views.includes(view)) view.draw(); });
  }

  function draw() { for (const view of views) view.draw(); readCursor(); }
  function compose() { for (const view of views) if (view.rows !== undefined) view.compose(); }

  function drawn(view) { if (view.axis === "axial" && (view.phase === state.phase)) { scatterView = view; Plots.drawScatter(view); } byId("views").dataset.drawn = String(Number(byId("views").dataset.drawn || 0) + 1); }
  let scatterView = null;
  function scatter() { if (scatterView) Plots.drawScatter(scatterView); }

  /* The centre of a voxel of one phase. The cursor is a place in the patient, and every phase shows the voxel of its own
     grid that is nearest: grids of phases may differ in spacing, extent and direction. */
  function moveTo(position, number = state.phase) {
    place(Grids.toMm(study.phases[number].grid, position));
    for (const view of views) view.outlines = null;
    draw();
  }

  function place(mm) { state.mm = mm; state.position = positionIn(state.phase).voxel; }

  /* The cursor in a phase: its voxel, within the grid, and how far outside the grid the place lies, mm. */
  function positionIn(number) { return Grids.nearest(study.phases[number].grid, state.mm); }

  function scroll(view, step) {
    const axis = { axial: 0, coronal: 1, sagittal: 2 }[view.axis], position = [...positionIn(view.phase).voxel];
    position[axis] = Math.max(0, Math.min(study.phases[view.phase].grid.shape[axis] - 1, position[axis] + step));
    moveTo(position, view.phase);
  }

  function dragWindow(drag, dx, dy) {
    const target = drag.anatomy || state.overlay < 0 ? "baseWindow" : "mapWindow", start = drag.anatomy || state.overlay < 0 ? drag.base : drag.map;
    state[target] = [start[0] + (dy / 200) * start[1], Math.max(1e-3, start[1] * Math.exp(dx / 150))];
    fillWindows(); draw();
  }

  /* ---- values ----------------------------------------------------------------------------------------- */

  async function valuesAt(number, [z, y, x]) {
    const slice = await Store.voxels(number, z), values = study.maps.map((map, k) => Store.at(slice, k, y, x, map.step));
    const regions = await Store.regions(number, z);
    const bits = regions ? cell(regions, 0, y, x) : 0, which = regions ? cell(regions, 1, y, x) : 0;
    return { hu: values[0] + study.basis.ratio[state.kev - study.basis.energies[0]] * values[1], maps: Object.fromEntries(study.maps.map((map, k) => [map.parameter, values[k]])), regions: Object.entries(study.regionBits).filter(([, bit]) => bits & bit).map(([name]) => name), lesion: which ? study.phases[number].lesions[which - 1]?.id : null };
  }

  function cell(slice, k, y, x) {
    const r = y - slice.origin[0], c = x - slice.origin[1];
    return r < 0 || c < 0 || r >= slice.shape[0] || c >= slice.shape[1] ? 0 : slice.planes[k][r * slice.shape[1] + c];
  }

  /* Values under the cursor; none where it was set in another phase, outside the images of this one. */
  function readCursor() {
    const { voxel, beyond_mm } = positionIn(state.phase);
    if (!beyond_mm) readout(voxel, state.phase);
    else { readoutRun++; byId("readout").textContent = `${phase().name}: the cursor lies outside these images`; }
  }

  let readoutRun = 0;
  async function readout(position, number) {
    const run = ++readoutRun, at = await valuesAt(number, position).catch(fail);
    if (!at || run !== readoutRun) return;
    const parts = [`${study.phases[number].name}, voxel z ${position[0] + 1}, y ${position[1] + 1}, x ${position[2] + 1}`, `${state.kev} keV ${shown(at.hu, 0)} HU`];
    for (const map of study.maps) if (map.name !== "vnc") parts.push(`${map.title} ${shown(at.maps[map.parameter], digits(map.unit))} ${map.unit}`);
    if (at.lesion) parts.push(`lesion ${at.lesion}: ${at.regions.filter((name) => ["core", "rim"].includes(name)).join(", ")}`);
    byId("readout").textContent = parts.join("   ·   ");
  }

  function hover(view, where) { readout(view.voxel(...where), view.phase); }

  /* ---- lesions ---------------------------------------------------------------------------------------- */

  function mean(entry, region, parameter) { return entry.regions[region]?.values[parameter]?.mean; }

  function flagRow(body, flags) {
    if (!flags.length) return;
    const row = body.insertRow(), flagCell = row.insertCell();
    row.className = "flags"; flagCell.colSpan = 6; flagCell.textContent = `⚠ ${flags.join(", ")}`;
  }

  function lesionTable() {
    const table = document.createElement("table"), head = table.createTHead().insertRow(), body = table.createTBody();
    for (const text of ["lesion", "mm", "λHU core", "rim", "iodine core", "rim"]) { const cellElement = document.createElement("th"); cellElement.textContent = text; head.append(cellElement); }
    for (const entry of phase().lesions) {
      const row = body.insertRow();
      row.dataset.lesion = entry.id; row.tabIndex = 0; row.className = entry.id === state.lesion ? "chosen" : "";
      const cells = [entry.id, shown(entry.diameter_mm, 1), shown(mean(entry, "core", "lambda_hu"), 3), shown(mean(entry, "rim", "lambda_hu"), 3), shown(mean(entry, "core", "iodine"), 2), shown(mean(entry, "rim", "iodine"), 2)];
      for (const text of cells) row.insertCell().textContent = text;
      row.addEventListener("click", () => choose(entry.id));
      row.addEventListener("keydown", (event) => { if (event.key === "Enter") choose(entry.id); });
      flagRow(body, entry.flags);
    }
    for (const reference of phase().references) {
      const row = body.insertRow();
      row.insertCell().textContent = reference.region; row.insertCell().textContent = "";
      const cells = [shown(reference.values.lambda_hu?.mean, 3), "", shown(reference.values.iodine?.mean, 2), ""];
      for (const text of cells) row.insertCell().textContent = text;
      flagRow(body, reference.flags);
    }
    byId("lesions").replaceChildren(phase().lesions.length || phase().references.length ? table : "No lesions in this phase.");
    const failures = phase().failures.map(({ lesion: id, reason }) => { const line = document.createElement("p"); line.className = "hint"; line.textContent = `Not measured: ${id}. ${reason}`; return line; });
    byId("lesions").append(...failures);
    const pictures = study.pictures[state.lesion] ?? [];
    if (pictures.length) { const line = document.createElement("p"); line.className = "hint"; line.append("Pictures for papers: ", ...pictures.flatMap((address) => { const link = document.createElement("a"); link.href = address; link.textContent = address.replace(/^.*\/(?:lesion-\d+-)?/, ""); return [link, " "]; })); byId("lesions").append(line); }
  }

  function choose(id) {
    state.lesion = id;
    const entry = lesion();
    lesionTable(); plots(); back();
    if (entry) moveTo([...entry.centre]);
  }

  /* A link to a lesion of this page: #lesion=2, with phase=PVP where the page has several. Returns whether there was one. */
  function follow() {
    const link = new URLSearchParams(location.hash.slice(1)), id = link.get("lesion");
    if (id === null) return false;
    const number = study.phases.findIndex((entry) => (!link.has("phase") || entry.name === link.get("phase")) && entry.lesions.some((known) => known.id === id));
    if (number < 0) { warn([[`The link's lesion ${id} is not on this page: it was made again, or without it.`, true]]); return false; }
    if (number !== state.phase) setPhase(number);
    choose(id);
    return true;
  }

  /* The way back to the gallery leads to the card of the chosen lesion. */
  function back() {
    if (!study.back) return;
    byId("back").hidden = false;
    const row = Object.entries(study.back.row).filter(([, text]) => text);
    byId("back").href = `${study.back.gallery}#${new URLSearchParams([...row, ...(state.lesion === null ? [] : [["lesion", state.lesion]])])}`;
  }

  function plots(roi = Rois.list[Rois.list.length - 1]) {
    const drawnRoi = roi && roi.phase === state.phase ? roi : null;
    Plots.curve(phase(), lesion(), drawnRoi);
    Plots.profile(lesion(), drawnRoi, state.profile);
  }

  function roisChanged(roi) {
    const list = Rois.list.map((entry) => {
      const line = document.createElement("p"), where = study.phases[entry.phase].name;
      const parts = study.maps.filter((map) => map.name !== "vnc").map((map) => { const { mean: average, sd } = entry.maps[map.parameter]; return `${map.title} ${shown(average, digits(map.unit))} ± ${shown(sd, digits(map.unit))} ${map.unit}`; });
      line.textContent = `${entry.id}, ${where}, slice ${entry.z + 1}, ${entry.n} voxels: 70 keV ${shown(entry.hu70.mean, 1)} ± ${shown(entry.hu70.sd, 1)} HU; ${parts.join("; ")} `;
      const seg = button("SEG", () => Rois.saveSeg(entry)), gone = button("Remove", () => Rois.remove(entry));
      line.append(...(study.phases[entry.phase].segmentation ? [seg, " "] : []), gone);
      return line;
    });
    if (list.length) list.push(button("Save all as CSV", Rois.saveCsv));
    byId("rois").replaceChildren(...(list.length ? list : ["None yet: choose circle or polygon and draw on an axial image."]));
    plots(roi); compose();
  }

  function mark(key, marks) { state.marks.set(key, marks); draw(); }

  /* ---- controls --------------------------------------------------------------------------------------- */

  function button(text, action) { const element = document.createElement("button"); element.type = "button"; element.textContent = text; element.addEventListener("click", action); return element; }

  function buttons(id, names, current, action) {
    byId(id).replaceChildren(...names.map((name) => { const element = button(name, () => action(name)); element.setAttribute("aria-pressed", String(name === current())); return element; }));
  }

  function fillWindows() {
    const places = state.mapWindow[1] > 20 ? 0 : 2;
    byId("base-centre").value = Math.round(state.baseWindow[0]); byId("base-width").value = Math.round(state.baseWindow[1]);
    byId("map-centre").value = state.mapWindow[0].toFixed(places); byId("map-width").value = state.mapWindow[1].toFixed(places);
    colourBar();
  }

  function colourBar() {
    const map = study.maps[state.overlay];
    byId("bar").replaceChildren();
    if (!map) return;
    const canvas = document.createElement("canvas"), context = canvas.getContext("2d"), table = study.colormaps[state.colormap];
    canvas.width = 256; canvas.height = 1;
    for (let i = 0; i < 256; i++) { context.fillStyle = `rgb(${table[3 * i]},${table[3 * i + 1]},${table[3 * i + 2]})`; context.fillRect(i, 0, 1, 1); }
    const ends = document.createElement("div"), [centre, width] = state.mapWindow;
    for (const value of [centre - width / 2, centre, centre + width / 2]) { const end = document.createElement("span"); end.textContent = `${shown(value, digits(map.unit) || 0)} ${map.unit}`; ends.append(end); }
    byId("bar").append(canvas, ends);
  }

  function setOverlay(index) {
    state.overlay = index;
    const map = study.maps[index];
    if (map) { state.mapWindow = [...map.window]; state.colormap = map.colormap; byId("colormap").value = map.colormap; byId("map-unit").textContent = map.unit ? `, ${map.unit}` : ""; }
    fillWindows(); draw(); about();
  }

  function setPhase(number) {
    state.phase = number;
    place(state.mm);
    if (!lesion()) state.lesion = phase().lesions[0]?.id ?? null;
    controls(); lesionTable(); plots(); about(); build();
  }

  function setEnergy(kev) { state.kev = kev; byId("kev").value = kev; byId("kev-text").textContent = `${kev} keV`; draw(); }

  function controls() {
    byId("phase-field").hidden = study.phases.length < 2;
    buttons("phases", study.phases.map((entry) => entry.name), () => phase().name, (name) => setPhase(study.phases.findIndex((entry) => entry.name === name)));
    buttons("layouts", Object.keys(LAYOUTS), () => state.layout, (name) => { state.layout = name; controls(); build(); });
    buttons("tools", ["circle", "polygon"], () => Rois.tool, (name) => { Rois.choose(name); controls(); });
  }

  function outlineControls() {
    for (const name of ["core", "rim", "perilesional", "parenchyma", "aorta", "liver"]) {
      const label = document.createElement("label"), box = document.createElement("input"), swatch = document.createElement("span");
      box.type = "checkbox"; box.checked = state.outlines[name]; box.dataset.region = name;
      box.addEventListener("change", () => { state.outlines[name] = box.checked; compose(); });
      swatch.className = "swatch"; swatch.style.background = REGION_COLOURS[name];
      label.append(box, swatch, name);
      byId("regions").append(label);
    }
  }

  function about() {
    const lines = [["software", study.software], ["energies read", `${phase().energies.join(", ")} keV`], ["anatomy", "virtual monoenergetic images, drawn from water and iodine; the scanner's own differ by the residual of the fit"]];
    for (const map of study.maps) lines.push([`${map.title}${map.unit ? `, ${map.unit}` : ""}`, `${map.formula}; shown in steps of ${map.step}`]);
    for (const [name, value] of Object.entries(study.identity)) lines.push([name, value]);
    byId("about").replaceChildren(...lines.flatMap(([name, value]) => { const dt = document.createElement("dt"), dd = document.createElement("dd"); dt.textContent = name; dd.textContent = value; return [dt, dd]; }));
  }

  function start() {
    Rois.start(api);
    byId("case").textContent = study.case; document.title = `${study.case}: spectral review`;
    warn(study.warnings.map((text) => [text, false]));
    for (const entry of study.phases) { warn(entry.warnings.map((text) => [`${entry.name}: ${text}`, false])); warn(entry.failures.map(({ lesion: id, reason }) => [`${entry.name}, lesion ${id} was not measured: ${reason}`, true])); }
    const overlay = byId("overlay");
    overlay.add(new Option("none", -1));
    study.maps.forEach((map, index) => overlay.add(new Option(`${map.title}${map.unit ? `, ${map.unit}` : ""}`, index)));
    overlay.value = state.overlay;
    overlay.addEventListener("change", () => setOverlay(Number(overlay.value)));
    for (const name of Object.keys(study.colormaps)) byId("colormap").add(new Option(name, name));
    byId("colormap").addEventListener("change", () => { state.colormap = byId("colormap").value; colourBar(); draw(); });
    byId("kev").addEventListener("input", () => setEnergy(Number(byId("kev").value)));
    byId("opacity").addEventListener("input", () => { state.opacity = Number(byId("opacity").value); byId("opacity-text").textContent = `${Math.round(100 * state.opacity)} %`; draw(); });
    for (const [id, target, part] of [["base-centre", "baseWindow", 0], ["base-width", "baseWindow", 1], ["map-centre", "mapWindow", 0], ["map-width", "mapWindow", 1]])
      byId(id).addEventListener("change", () => { const value = Number(byId(id).value); if (Number.isFinite(value) && (part === 0 || value > 0)) state[target][part] = value; fillWindows(); draw(); });
    byId("clear-marks").addEventListener("click", () => { state.marks.clear(); Plots.clear(); draw(); });
    for (const [parameter, name] of [["iodine", "iodine"], ["lambda_hu", "λHU"], ["ct_value", "CT value"]]) byId("profile-parameter").add(new Option(name, parameter));
    byId("profile-parameter").addEventListener("change", () => { state.profile = byId("profile-parameter").value; plots(); });
    byId("opacity-text").textContent = "60 %"; byId("kev-text").textContent = `${state.kev} keV`;
    outlineControls(); controls(); Plots.listen(api);
    const [nz, ny, nx] = phase().grid.shape;
    state.lesion = phase().lesions[0]?.id ?? null;
    place(Grids.toMm(phase().grid, lesion() ? lesion().centre : [nz >> 1, ny >> 1, nx >> 1]));
    lesionTable(); roisChanged(); setOverlay(state.overlay); build(); back(); follow();
    addEventListener("hashchange", follow);
    addEventListener("resize", () => { compose(); });
  }

  const api = { state, draw, compose, drawn, scatter, moveTo, positionIn, scroll, dragWindow, hover, fail, mark, roisChanged, choose, setEnergy, setOverlay, setPhase, valuesAt, views: () => views };
  addEventListener("DOMContentLoaded", start);
  return api;
})();
