"use strict";
/* Voxels and places in the patient: mm in LPS, a grid's affine has a column per index x, y, z and one for its origin. */

const Grids = (() => {
  const ROUNDING = 1e-6; // of a voxel: what lies on the border between two is no farther away

  function toMm({ affine }, [z, y, x]) { return [0, 1, 2].map((r) => affine[r][0] * x + affine[r][1] * y + affine[r][2] * z + affine[r][3]); }

  const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
  const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];

  /* Indices z, y, x with fractions. By the inverse, not by projection: axes of a tilted gantry are not at right angles. */
  function toIndex({ affine }, mm) {
    const [x, y, z] = [0, 1, 2].map((k) => [0, 1, 2].map((r) => affine[r][k])), delta = [0, 1, 2].map((r) => mm[r] - affine[r][3]);
    const volume = dot(x, cross(y, z));
    return [dot(delta, cross(x, y)) / volume, dot(delta, cross(z, x)) / volume, dot(delta, cross(y, z)) / volume];
  }

  /* The nearest voxel of a grid, and how far a place lies outside all of its voxels, mm; 0 inside. */
  function nearest(grid, mm) {
    const index = toIndex(grid, mm), clamped = (value, low, high) => Math.max(low, Math.min(high, value));
    const voxel = index.map((value, axis) => clamped(Math.round(value), 0, grid.shape[axis] - 1));
    const edge = index.map((value, axis) => clamped(value, -0.5, grid.shape[axis] - 0.5));
    const isInside = index.every((value, axis) => Math.abs(value - edge[axis]) < ROUNDING), border = toMm(grid, edge);
    return { voxel, beyond_mm: isInside ? 0 : Math.hypot(...mm.map((value, r) => value - border[r])) };
  }

  return { toMm, toIndex, nearest };
})();
