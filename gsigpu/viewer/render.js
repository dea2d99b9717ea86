"use strict";
/* A view: one plane of one phase on a canvas, with a map over it, outlines, letters and a scale bar. */

const REGION_COLOURS = Store.study.regionColours;
const INK = "#e8eaed";
/* Later ones cover earlier ones where two regions share an edge: each keeps its outer edge. */
const OUTLINE_ORDER = ["liver", "parenchyma", "aorta", "perilesional", "rim", "lesion", "core"];

/* HU at an energy, of water and iodine planes. */
function synthetic(vnc, iodine, ratio) {
  const out = new Float32Array(vnc.length);
  for (let i = 0; i < out.length; i++) out[i] = vnc[i] + ratio * iodine[i];
  return out;
}

class View {
  constructor(parent, axis, phase, app) {
    this.axis = axis; this.phase = phase; this.app = app; this.zoom = 1; this.pan = [0, 0]; this.run = 0;
    this.figure = document.createElement("figure");
    this.canvas = document.createElement("canvas");
    this.canvas.tabIndex = 0;
    this.caption = document.createElement("figcaption");
    this.figure.append(this.canvas, this.caption);
    parent.append(this.figure);
    this.image = document.createElement("canvas");
    this.listen();
  }

  get grid() { return Store.study.phases[this.phase].grid; }
  get cursor() { return this.app.positionIn(this.phase); }
  get index() { return Store.AXES[this.axis].index(this.cursor.voxel); }

  /* mm per row and column of this plane. */
  get spacing() {
    const [z, y, x] = this.grid.spacing;
    return { axial: [y, x], coronal: [z, x], sagittal: [z, y] }[this.axis];
  }

  /* Head up: planes through z are drawn with the head at the top. */
  get flipped() { return this.axis !== "axial" && this.grid.letters[2][1] === "H"; }

  async draw() {
    const run = ++this.run;
    const { axis, phase, index } = this;
    const paint = (slices) => { if (run !== this.run) return false; this.paint(slices, index); return true; };
    try {
      const slices = await Store.slicesOf(phase, axis, index, paint);
      if (!slices || run !== this.run) return;
      this.regions = await Store.regionPlane(phase, axis, index);
      if (run !== this.run) return;
      this.outlines = null;
      this.paint(slices, index);
      this.slices = slices;
      this.app.drawn(this);
    } catch (error) { this.app.fail(error); }
  }

  paint(slices, index) {
    const { study } = Store, { state } = this.app, shape = this.grid.shape;
    const plane = (k) => Store.plane(slices, this.axis, index, shape, k, study.maps[k].step);
    const vnc = plane(0), iodine = plane(1);
    const base = synthetic(vnc, iodine, study.basis.ratio[state.kev - study.basis.energies[0]]);
    const over = state.overlay < 0 ? null : state.overlay === 0 ? vnc : state.overlay === 1 ? iodine : plane(state.overlay);
    [this.rows, this.columns] = Store.AXES[this.axis].size(shape);
    this.fit = this.fitted(slices);
    this.pixels(base, over);
    this.compose();
  }

  /* The rows and columns that hold the body, with a margin; all of them where nothing is known. */
  fitted(slices) {
    const known = slices.filter((slice) => slice && slice.planes.length), MARGIN = 4;
    const range = (axis, n) => {
      const lows = known.map((slice) => slice.origin[axis]), highs = known.map((slice) => slice.origin[axis] + slice.shape[axis]);
      return known.length ? [Math.max(0, Math.min(...lows) - MARGIN), Math.min(n, Math.max(...highs) + MARGIN)] : [0, n];
    };
    if (this.axis === "axial") return { rows: range(0, this.rows), columns: range(1, this.columns) };
    return { rows: [0, this.rows], columns: range(this.axis === "coronal" ? 1 : 0, this.columns) };
  }

  pixels(base, over) {
    const { state } = this.app, { rows, columns } = this;
    this.image.width = columns; this.image.height = rows;
    const context = this.image.getContext("2d");
    const image = context.createImageData(columns, rows);
    const [centre, width] = state.baseWindow, low = centre - width / 2;
    const table = over && Store.study.colormaps[state.colormap];
    const [mapCentre, mapWidth] = state.mapWindow, mapLow = mapCentre - mapWidth / 2, opacity = state.opacity;
    const marks = this.axis === "axial" ? state.marks?.get(`${this.phase}/${this.index}`) : null;
    for (let i = 0; i < base.length; i++) {
      const grey = Number.isNaN(base[i]) ? 0 : Math.max(0, Math.min(255, (255 * (base[i] - low)) / width));
      let red = grey, green = grey, blue = grey;
      if (over && !Number.isNaN(over[i])) {
        const c = 3 * Math.max(0, Math.min(255, Math.round((255 * (over[i] - mapLow)) / mapWidth)));
        red += opacity * (table[c] - red); green += opacity * (table[c + 1] - green); blue += opacity * (table[c + 2] - blue);
      }
      if (marks && marks[i]) { red = 255; green = 0; blue = 200; }
      const o = 4 * (this.flipped ? (rows - 1 - Math.floor(i / columns)) * columns + (i % columns) : i);
      image.data[o] = red; image.data[o + 1] = green; image.data[o + 2] = blue; image.data[o + 3] = 255;
    }
    context.putImageData(image, 0, 0);
  }

  /* Where the plane lies on the canvas: pixels per row and column, and the corner of the whole plane. */
  place() {
    const [dy, dx] = this.spacing, box = this.canvas, { rows, columns } = this.fit;
    const [first, last] = this.flipped ? [this.rows - rows[1], this.rows - rows[0]] : rows;
    const wide = (columns[1] - columns[0]) * dx, high = (last - first) * dy;
    const mm = this.zoom * Math.min(box.width / wide, box.height / high);
    return {
      px: dx * mm, py: dy * mm, mm, w: this.columns * dx * mm, h: this.rows * dy * mm,
      left: (box.width - wide * mm) / 2 - columns[0] * dx * mm + this.pan[0], top: (box.height - high * mm) / 2 - first * dy * mm + this.pan[1],
    };
  }

  compose() {
    const ratio = window.devicePixelRatio || 1, wide = Math.max(120, this.figure.clientWidth), [dy, dx] = this.spacing;
    const { rows, columns } = this.fit;
    const high = Math.min(wide, Math.max(wide * 0.4, (wide * (rows[1] - rows[0]) * dy) / ((columns[1] - columns[0]) * dx)));
    this.canvas.style.height = `${high}px`;
    this.canvas.width = Math.round(wide * ratio); this.canvas.height = Math.round(high * ratio);
    const context = this.canvas.getContext("2d"), place = this.place();
    context.fillStyle = "#000"; context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    context.imageSmoothingEnabled = place.px < 3 * ratio;
    context.drawImage(this.image, place.left, place.top, place.w, place.h);
    this.drawOutlines(context, place, ratio);
    this.drawRois(context, place, ratio);
    this.drawCursor(context, place, ratio);
    this.drawLetters(context, place, ratio);
    const { study } = Store;
    const beyond = this.cursor.beyond_mm, where = beyond ? `; the cursor lies ${beyond < 9.5 ? beyond.toFixed(1) : Math.round(beyond)} mm outside` : "";
    this.caption.textContent = `${study.phases[this.phase].name} ${this.axis} ${this.index + 1} of ${Store.AXES[this.axis].length(this.grid.shape)}${where}${wide > 420 ? `, ${this.app.state.kev} keV from water and iodine` : ""}`;
  }

  row(r) { return this.flipped ? this.rows - r : r; }

  outlinePaths() {
    if (this.outlines) return this.outlines;
    const { bits, rows, columns } = this.regions, paths = {};
    for (const [name, bit] of Object.entries(Store.study.regionBits)) {
      const path = new Path2D();
      let n = 0;
      const inside = (r, c) => r >= 0 && c >= 0 && r < rows && c < columns && (bits[r * columns + c] & bit) !== 0;
      for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) {
        if (!inside(r, c)) continue;
        const top = this.row(r), bottom = this.row(r + 1);
        if (!inside(r - 1, c)) { path.moveTo(c, top); path.lineTo(c + 1, top); n++; }
        if (!inside(r + 1, c)) { path.moveTo(c, bottom); path.lineTo(c + 1, bottom); n++; }
        if (!inside(r, c - 1)) { path.moveTo(c, top); path.lineTo(c, bottom); n++; }
        if (!inside(r, c + 1)) { path.moveTo(c + 1, top); path.lineTo(c + 1, bottom); n++; }
      }
      if (n) paths[name] = path;
    }
    return (this.outlines = paths);
  }

  drawOutlines(context, place, ratio) {
    if (!this.regions) return;
    const paths = this.outlinePaths();
    for (const name of OUTLINE_ORDER) {
      const path = paths[name];
      if (!path || !this.app.state.outlines[name]) continue;
      context.save();
      context.translate(place.left, place.top);
      context.scale(place.px, place.py);
      context.lineCap = "square";
      for (const [colour, width] of [["rgba(0,0,0,.55)", 3.4], [REGION_COLOURS[name], 1.8]]) {
        context.strokeStyle = colour;
        context.lineWidth = (width * ratio) / place.px;
        context.stroke(path);
      }
      context.restore();
    }
  }

  drawRois(context, place, ratio) {
    if (this.axis !== "axial") return;
    for (const roi of Rois.onSlice(this.phase, this.index)) {
      context.strokeStyle = roi.open ? "#ff5ca8" : "#ff9dce"; context.lineWidth = 1.6 * ratio; context.beginPath();
      roi.points.forEach(([y, x], i) => context[i ? "lineTo" : "moveTo"](place.left + (x + 0.5) * place.px, place.top + (y + 0.5) * place.py));
      if (!roi.open) context.closePath();
      context.stroke();
    }
  }

  drawCursor(context, place, ratio) {
    const { voxel: [z, y, x], beyond_mm } = this.cursor;
    if (beyond_mm) return; // no voxel of this phase lies there
    const [r, c] = { axial: [y, x], coronal: [z, x], sagittal: [z, y] }[this.axis];
    const px = place.left + (c + 0.5) * place.px, py = place.top + (this.flipped ? this.rows - r - 0.5 : r + 0.5) * place.py, gap = 9 * ratio;
    context.strokeStyle = "rgba(255,255,255,.75)"; context.lineWidth = ratio; context.beginPath();
    context.moveTo(0, py); context.lineTo(px - gap, py); context.moveTo(px + gap, py); context.lineTo(this.canvas.width, py);
    context.moveTo(px, 0); context.lineTo(px, py - gap); context.moveTo(px, py + gap); context.lineTo(px, this.canvas.height);
    context.stroke();
  }

  drawLetters(context, place, ratio) {
    const [lx, ly, lz] = this.grid.letters, { width, height } = this.canvas;
    const ends = { axial: [lx, ly], coronal: [lx, lz], sagittal: [ly, lz] }[this.axis];
    const [across, down] = [ends[0], this.flipped ? [ends[1][1], ends[1][0]] : ends[1]];
    context.font = `600 ${13 * ratio}px system-ui, sans-serif`; context.fillStyle = INK; context.shadowColor = "#000"; context.shadowBlur = 4 * ratio;
    context.textBaseline = "middle"; context.textAlign = "left"; context.fillText(across[0], 6 * ratio, height / 2);
    context.textAlign = "right"; context.fillText(across[1], width - 6 * ratio, height / 2);
    context.textAlign = "center"; context.textBaseline = "top"; context.fillText(down[0], width / 2, 6 * ratio);
    context.textBaseline = "bottom"; context.fillText(down[1], width / 2, height - 6 * ratio);
    const mm = [100, 50, 20, 10, 5].find((length) => length * place.mm < width / 3) || 5, length = mm * place.mm;
    const right = width - 14 * ratio, bottom = height - 12 * ratio;
    context.strokeStyle = INK; context.lineWidth = 2 * ratio; context.beginPath();
    context.moveTo(right - length, bottom - 4 * ratio); context.lineTo(right - length, bottom); context.lineTo(right, bottom); context.lineTo(right, bottom - 4 * ratio); context.stroke();
    context.textAlign = "right"; context.fillText(mm >= 10 ? `${mm / 10} cm` : `${mm} mm`, right, bottom - 6 * ratio);
    context.shadowBlur = 0;
  }

  /* Row and column, with fractions, under a pointer. */
  under(event) {
    const box = this.canvas.getBoundingClientRect(), place = this.place(), ratio = this.canvas.width / box.width;
    const column = ((event.clientX - box.left) * ratio - place.left) / place.px;
    let row = ((event.clientY - box.top) * ratio - place.top) / place.py;
    if (this.flipped) row = this.rows - row;
    return [row, column];
  }

  voxel(row, column) {
    const r = Math.max(0, Math.min(this.rows - 1, Math.floor(row))), c = Math.max(0, Math.min(this.columns - 1, Math.floor(column)));
    return Store.AXES[this.axis].voxel(this.index, r, c);
  }

  listen() {
    const { canvas, app } = this;
    let drag = null;
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      if (event.ctrlKey) { this.zoom = Math.max(1, Math.min(12, this.zoom * (event.deltaY < 0 ? 1.15 : 1 / 1.15))); if (this.zoom === 1) this.pan = [0, 0]; this.compose(); }
      else app.scroll(this, event.deltaY > 0 ? 1 : -1);
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => {
      const step = { ArrowUp: -1, ArrowDown: 1, PageUp: -5, PageDown: 5 }[event.key];
      if (step) { event.preventDefault(); app.scroll(this, step); }
    });
    canvas.addEventListener("pointerdown", (event) => {
      if (this.rows === undefined) return;
      canvas.setPointerCapture(event.pointerId);
      drag = { button: event.button, x: event.clientX, y: event.clientY, base: [...app.state.baseWindow], map: [...app.state.mapWindow], pan: [...this.pan], anatomy: event.shiftKey };
      if (event.button === 0 && Rois.tool && this.axis === "axial") Rois.press(this, this.under(event));
      else if (event.button === 0) app.moveTo(this.voxel(...this.under(event)), this.phase);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (this.rows === undefined) return;
      if (!drag) { app.hover(this, this.under(event)); if (Rois.tool && this.axis === "axial") Rois.move(this, this.under(event), false); return; }
      const dx = event.clientX - drag.x, dy = event.clientY - drag.y;
      if (drag.button === 2) app.dragWindow(drag, dx, dy);
      else if (drag.button === 1) { this.pan = [drag.pan[0] + dx, drag.pan[1] + dy]; this.compose(); }
      else if (Rois.tool && this.axis === "axial") Rois.move(this, this.under(event), true);
      else app.moveTo(this.voxel(...this.under(event)), this.phase);
    });
    canvas.addEventListener("pointerup", (event) => { if (drag && drag.button === 0 && Rois.tool && this.axis === "axial") Rois.release(this, this.under(event)); drag = null; });
    canvas.addEventListener("dblclick", () => Rois.close());
  }
}
