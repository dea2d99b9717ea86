"use strict";
/* A region of interest as a DICOM Segmentation: the study's template with the region's place and voxels,
   written as Explicit VR Little Endian (DICOM PS3.5, 7.1.2; PS3.18 annex F for the JSON it comes from). */

const Segmentation = (() => {
  const { study } = Store;
  const LONG = new Set(["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"]);
  const BINARY = {
    US: [2, (view, value) => view.setUint16(0, value, true)], SS: [2, (view, value) => view.setInt16(0, value, true)],
    UL: [4, (view, value) => view.setUint32(0, value, true)], SL: [4, (view, value) => view.setInt32(0, value, true)],
    FL: [4, (view, value) => view.setFloat32(0, value, true)], FD: [8, (view, value) => view.setFloat64(0, value, true)],
    AT: [4, (view, value) => { view.setUint16(0, parseInt(value.slice(0, 4), 16), true); view.setUint16(2, parseInt(value.slice(4), 16), true); }],
  };
  const text = new TextEncoder();

  function joined(parts) {
    const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) { out.set(part, at); at += part.length; }
    return out;
  }

  const even = (bytes, pad) => (bytes.length % 2 ? joined([bytes, new Uint8Array([pad])]) : bytes);

  function valueBytes(vr, entry) {
    if (entry.bytes) return even(entry.bytes, 0);
    if (entry.InlineBinary) return even(Uint8Array.from(atob(entry.InlineBinary), (c) => c.charCodeAt(0)), 0);
    const values = entry.Value || [];
    if (vr === "SQ") return joined(values.map((item) => { const body = dataset(item); return joined([header16(0xfffe, 0xe000), length32(body.length), body]); }));
    if (BINARY[vr]) return joined(values.map((value) => { const bytes = new Uint8Array(BINARY[vr][0]); BINARY[vr][1](new DataView(bytes.buffer), value); return bytes; }));
    const words = values.map((value) => (value === null ? "" : vr === "PN" ? value.Alphabetic || "" : String(value)));
    return even(text.encode(words.join("\\")), vr === "UI" ? 0 : 0x20);
  }

  function header16(...numbers) { const bytes = new Uint8Array(2 * numbers.length), view = new DataView(bytes.buffer); numbers.forEach((number, i) => view.setUint16(2 * i, number, true)); return bytes; }
  function length32(n) { const bytes = new Uint8Array(4); new DataView(bytes.buffer).setUint32(0, n, true); return bytes; }

  function element(tag, entry) {
    const value = valueBytes(entry.vr, entry);
    const start = joined([header16(parseInt(tag.slice(0, 4), 16), parseInt(tag.slice(4), 16)), text.encode(entry.vr)]);
    return LONG.has(entry.vr) ? joined([start, header16(0), length32(value.length), value]) : joined([start, header16(value.length), value]);
  }

  function dataset(entries) { return joined(Object.keys(entries).sort().map((tag) => element(tag, entries[tag]))); }

  /* 2.25 and a random number of 128 bits (PS3.5, B.2). */
  function newUid() {
    let number = 0n;
    for (const byte of crypto.getRandomValues(new Uint8Array(16))) number = (number << 8n) | BigInt(byte);
    return `2.25.${number}`;
  }

  function bits(roi, rows, columns) {
    const out = new Uint8Array(Math.ceil((rows * columns) / 8));
    for (const [y, x] of Rois.voxelsOf(roi)) { const i = y * columns + x; out[i >> 3] |= 1 << (i & 7); }
    return out;
  }

  /* The bytes of the file. */
  function file(roi) {
    const phase = study.phases[roi.phase], template = phase.segmentation, [, rows, columns] = phase.grid.shape;
    const data = structuredClone(template.dataset), instance = newUid(), label = roi.id;
    const set = (entries, tag, ...values) => { entries[tag].Value = values; };
    set(data, "00080018", instance);
    set(data, "0020000E", newUid());
    const segment = data["00620002"].Value[0];
    set(segment, "00620005", label);
    if (segment["00620020"]) { set(segment, "00620020", label); set(segment, "00620021", newUid()); }
    const frame = data["52009230"].Value[0], image = template.instances[roi.z];
    set(frame["00209113"].Value[0], "00200032", ...template.positions[roi.z]);
    set(frame["00089124"].Value[0]["00082112"].Value[0], "00081155", image);
    if (data["00081115"]) set(data["00081115"].Value[0]["0008114A"].Value[0], "00081155", image);
    data["7FE00010"] = { vr: "OB", bytes: bits(roi, rows, columns) };
    const meta = joined([
      element("00020001", { vr: "OB", bytes: new Uint8Array([0, 1]) }), element("00020002", { vr: "UI", Value: [template.sopClass] }),
      element("00020003", { vr: "UI", Value: [instance] }), element("00020010", { vr: "UI", Value: ["1.2.840.10008.1.2.1"] }),
      element("00020012", { vr: "UI", Value: [template.implementation] }),
    ]);
    return joined([new Uint8Array(128), text.encode("DICM"), element("00020000", { vr: "UL", Value: [meta.length] }), meta, dataset(data)]);
  }

  return { file };
})();
