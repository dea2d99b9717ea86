"use strict";
/* The study's planes. Each slice is a script (see plane_scripts.py) that is run when it is needed and
   kept while there is room. Values are step * stored; NO_VALUE and what lies outside the box is NaN. */

const Store = (() => {
  const study = window.gsigpuStudy;
  Object.assign(study, window.gsigpuNames); // case, back
  const NO_VALUE = -32768;
  const MOST_SLICES = 720; // decoded; about 1 MB each, two phases of 300 slices and some
  const waiting = new Map();
  const slices = new Map(); // key -> promise of a slice, the most recent last
  const ready = new Map(); // key -> slice

  window.gsigpuSlice = (key, head, text) => waiting.get(key)?.(decode(head, text));

  async function inflate(bytes) {
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  async function decode(head, text) {
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i) & 0xff;
    let at = 0;
    const planes = [];
    for (let k = 0; k < head.lengths.length; k++) {
      const flat = await inflate(bytes.subarray(at, at + head.lengths[k]));
      at += head.lengths[k];
      planes.push(head.bytes[k] === 2 ? joined(flat) : flat);
    }
    return { origin: head.origin, shape: head.shape, planes };
  }

  function joined(flat) {
    const n = flat.length / 2;
    const plane = new Int16Array(n);
    for (let i = 0; i < n; i++) plane[i] = flat[i] | (flat[n + i] << 8);
    return plane;
  }

  function load(key) {
    if (slices.has(key)) {
      const known = slices.get(key);
      slices.delete(key);
      slices.set(key, known);
      return known;
    }
    const promise = new Promise((resolve, reject) => {
      const element = document.createElement("script");
      waiting.set(key, (slice) => { slice.then((done) => { ready.set(key, done); resolve(done); }, reject); element.remove(); waiting.delete(key); });
      element.charset = "x-user-defined";
      element.src = `data/${key}.js`;
      element.onerror = () => { element.remove(); waiting.delete(key); slices.delete(key); reject(new Error(`the page's file data/${key}.js is missing: copy the whole folder`)); };
      document.head.append(element);
    });
    slices.set(key, promise);
    while (slices.size > MOST_SLICES) {
      const oldest = slices.keys().next().value;
      slices.delete(oldest);
      ready.delete(oldest);
    }
    return promise;
  }

  const phaseOf = (number) => study.phases[number];
  const voxels = (phase, z) => load(`${phaseOf(phase).key}/${z}`);
  const readyVoxels = (phase, z) => ready.get(`${phaseOf(phase).key}/${z}`);

  function regions(phase, z) {
    return phaseOf(phase).regionSlices.includes(z) ? load(`${phaseOf(phase).key}r/${z}`) : Promise.resolve(null);
  }

  function at(slice, k, y, x, step) {
    if (!slice || !slice.planes.length) return NaN;
    const row = y - slice.origin[0], column = x - slice.origin[1];
    if (row < 0 || column < 0 || row >= slice.shape[0] || column >= slice.shape[1]) return NaN;
    const stored = slice.planes[k][row * slice.shape[1] + column];
    return stored === NO_VALUE ? NaN : stored * step;
  }

  /* [rows, columns] of a plane, and the voxel at a row and column of it. */
  const AXES = {
    axial: { size: (s) => [s[1], s[2]], voxel: (i, r, c) => [i, r, c], length: (s) => s[0], index: (p) => p[0] },
    coronal: { size: (s) => [s[0], s[2]], voxel: (i, r, c) => [r, i, c], length: (s) => s[1], index: (p) => p[1] },
    sagittal: { size: (s) => [s[0], s[1]], voxel: (i, r, c) => [r, c, i], length: (s) => s[2], index: (p) => p[2] },
  };

  async function slicesOf(phase, axis, index, onPart) {
    if (axis === "axial") return [await voxels(phase, index)];
    const n = phaseOf(phase).grid.shape[0];
    const all = new Array(n);
    const BATCH = 24; // slices at a time, then a look at what there is
    for (let z = 0; z < n; z += BATCH) {
      const part = [];
      for (let k = z; k < Math.min(n, z + BATCH); k++) part.push(voxels(phase, k).then((slice) => { all[k] = slice; }));
      await Promise.all(part);
      if (onPart && !onPart(all)) return null;
    }
    return all;
  }

  /* One map on a plane, Float32Array of rows * columns. */
  function plane(slices, axis, index, shape, k, step) {
    const [rows, columns] = AXES[axis].size(shape);
    const out = new Float32Array(rows * columns).fill(NaN);
    if (axis === "axial") {
      const slice = slices[0];
      if (!slice.planes.length) return out;
      const stored = slice.planes[k], [h, w] = slice.shape, [y0, x0] = slice.origin;
      for (let y = 0; y < h; y++)
        for (let x = 0; x < w; x++) {
          const value = stored[y * w + x];
          if (value !== NO_VALUE) out[(y + y0) * columns + x + x0] = value * step;
        }
      return out;
    }
    for (let z = 0; z < rows; z++) {
      const slice = slices[z];
      if (!slice || !slice.planes.length) continue;
      for (let c = 0; c < columns; c++) out[z * columns + c] = axis === "coronal" ? at(slice, k, index, c, step) : at(slice, k, c, index, step);
    }
    return out;
  }

  /* Bits of the regions on a plane, and the lesion numbers. */
  async function regionPlane(phase, axis, index) {
    const shape = phaseOf(phase).grid.shape;
    const [rows, columns] = AXES[axis].size(shape);
    const bits = new Uint8Array(rows * columns), lesion = new Uint8Array(rows * columns);
    const put = (slice, row, y, column, x) => {
      const r = y - slice.origin[0], c = x - slice.origin[1];
      if (r < 0 || c < 0 || r >= slice.shape[0] || c >= slice.shape[1]) return;
      bits[row * columns + column] = slice.planes[0][r * slice.shape[1] + c];
      lesion[row * columns + column] = slice.planes[1][r * slice.shape[1] + c];
    };
    if (axis === "axial") {
      const slice = await regions(phase, index);
      if (slice) for (let y = 0; y < rows; y++) for (let x = 0; x < columns; x++) put(slice, y, y, x, x);
    } else {
      const all = await Promise.all(phaseOf(phase).regionSlices.map((z) => regions(phase, z).then((slice) => [z, slice])));
      for (const [z, slice] of all) for (let c = 0; c < columns; c++) (axis === "coronal" ? put(slice, z, index, c, c) : put(slice, z, c, c, index));
    }
    return { bits, lesion, rows, columns };
  }

  return { study, voxels, readyVoxels, regions, at, plane, slicesOf, regionPlane, AXES };
})();
