"use strict";
/* The cohort's lesions as cards: filtered, sorted, and decided on. Decisions stay in this browser until they are
   saved as a table for `gsigpu cohort run --exclusions` and `gsigpu cohort stats --exclusions`. */

const Gallery = (() => {
  const { cards, run } = window.gsigpuCards;
  const byId = (id) => document.getElementById(id);
  const STORE = `gsigpu-decisions-${run}`;
  const DECISIONS = ["", "rejected", "redraw"];
  const SORTS = [["", "as in the manifest"], ["lambda_hu core", "λHU, core"], ["lambda_hu rim", "λHU, rim"], ["iodine core", "iodine, core"], ["iodine rim", "iodine, rim"], ["diameter", "diameter"], ["volume", "volume"]];
  const COLUMNS = ["case_id", "lesion_id", "phase", "reader", "decision", "reason"];
  const FILTERS = ["group", "phase", "reader", "flag", "decision", "name"];
  const articles = new Map();
  let decisions = {};

  const keyOf = (card) => [card.case, card.phase, card.reader, card.lesion].join("|");
  const valueOf = (card, name) => (name === "diameter" ? card.diameter_mm : name === "volume" ? card.volume_ml : card.values[name] ?? null);
  const shown = (value, places) => (value === null || value === undefined ? "–" : value.toFixed(places).replace("-", "−"));

  function remember() { try { localStorage.setItem(STORE, JSON.stringify(decisions)); } catch { /* a browser may keep nothing for files: the decisions live as long as the page */ } }
  function recall() { try { decisions = JSON.parse(localStorage.getItem(STORE)) || {}; } catch { decisions = {}; } }

  function element(name, text, className) { const made = document.createElement(name); if (text !== undefined) made.textContent = text; if (className) made.className = className; return made; }

  /* A link to the lesion on its study page. */
  function opening(card, content) {
    const link = element("a");
    link.href = `${card.page}#${new URLSearchParams({ lesion: card.lesion })}`;
    link.append(content);
    return link;
  }

  function mark(made, decision) { for (const name of DECISIONS.slice(1)) made.classList.toggle(name, name === decision); }

  function article(card) {
    const made = element("article"), key = keyOf(card), decision = decisions[key] || { decision: "", reason: "" };
    made.id = card.id;
    mark(made, decision.decision);
    const heading = element("h2", `${card.case}, lesion ${card.lesion}`);
    heading.append(element("span", [card.group, card.phase, card.reader, `slice ${card.slice}`].filter(Boolean).join(" · ")));
    const image = element("img");
    image.decoding = "async"; image.dataset.src = card.image; image.alt = `${card.case}, lesion ${card.lesion}: CT value, λHU and iodine with core and rim`;
    const values = element("dl");
    for (const [name, places, unit] of [["lambda_hu", 3, "λHU, HU/keV"], ["iodine", 2, "iodine, mg/mL"], ["ct_value", 0, "CT value, HU"]])
      for (const region of ["core", "rim"]) values.append(element("dt", `${unit}, ${region}`), element("dd", shown(card.values[`${name} ${region}`], places)));
    values.append(element("dt", "diameter, mm"), element("dd", shown(card.diameter_mm, 1)), element("dt", "volume, mL"), element("dd", shown(card.volume_ml, 2)));
    const decide = element("div", undefined, "decide"), choice = element("select"), reason = element("input");
    for (const name of DECISIONS) choice.add(new Option(name || "accepted", name));
    choice.value = decision.decision; choice.setAttribute("aria-label", "Decision"); reason.placeholder = "reason"; reason.value = decision.reason; reason.setAttribute("aria-label", "Reason");
    const note = () => { decisions[key] = { decision: choice.value, reason: reason.value.trim() }; if (!choice.value) delete decisions[key]; mark(made, choice.value); remember(); count(); };
    choice.addEventListener("change", note); reason.addEventListener("change", note);
    decide.append(choice, reason);
    if (card.page) heading.lastChild.append(" · ", opening(card, "study page"));
    made.append(heading, card.page ? opening(card, image) : image, values);
    if (card.flags.length) made.append(element("p", `⚠ ${card.flags.join(", ")}`, "flags"));
    made.append(decide);
    return made;
  }

  function matches(card) {
    const is = (id, value) => byId(id).value === "" || byId(id).value === value;
    const words = byId("name").value.trim().toLowerCase();
    return is("group", card.group) && is("phase", card.phase) && is("reader", card.reader) && (byId("flag").value === "" || card.flags.includes(byId("flag").value)) &&
      (byId("decision").value === "" || (decisions[keyOf(card)]?.decision || "accepted") === byId("decision").value) && (!words || `${card.case} ${card.lesion}`.toLowerCase().includes(words));
  }

  function visible() {
    const chosen = cards.filter(matches), name = byId("sort").value, sign = byId("descending").checked ? -1 : 1;
    if (!name) return sign < 0 ? chosen.reverse() : chosen;
    const known = chosen.filter((card) => valueOf(card, name) !== null), unknown = chosen.filter((card) => valueOf(card, name) === null);
    return [...known.sort((a, b) => sign * (valueOf(a, name) - valueOf(b, name))), ...unknown];
  }

  let nShown = 0;
  function count(n = nShown) {
    nShown = n;
    const rejected = Object.values(decisions).filter((entry) => entry.decision === "rejected").length, redraw = Object.values(decisions).filter((entry) => entry.decision === "redraw").length;
    byId("count").textContent = `${nShown} of ${cards.length} lesions shown; ${rejected} rejected, ${redraw} to be redrawn`;
  }

  /* Cards stand in bands of some rows. The browser lays out and draws the bands near the window alone, and a band's
     pictures are asked for when it comes near: 1,000 cards are some dozens of things to watch while scrolling. */
  const ROWS = 3, CARD_PX = 480, GAP_PX = 10, TELLS = "ContentVisibilityAutoStateChangeEvent" in window;
  const nColumns = () => Math.max(1, Math.floor((byId("cards").clientWidth - GAP_PX) / (CARD_PX + GAP_PX)));
  let columns = 0;

  function load(band) { for (const image of band.querySelectorAll("img:not([src])")) image.src = image.dataset.src; }

  function band(some) {
    const made = element("div", undefined, "band");
    made.style.setProperty("--rows", Math.ceil(some.length / columns));
    made.append(...some.map((card) => { if (!articles.has(card)) articles.set(card, article(card)); return articles.get(card); }));
    if (TELLS) made.addEventListener("contentvisibilityautostatechange", (event) => { if (event.target === made && !event.skipped) load(made); });
    else { for (const image of made.querySelectorAll("img")) image.loading = "lazy"; load(made); }
    return made;
  }

  function fill() {
    columns = nColumns();
    const chosen = visible(), bands = [], size = ROWS * columns, main = byId("cards");
    for (let k = 0; k < chosen.length; k += size) bands.push(band(chosen.slice(k, k + size)));
    main.replaceChildren(...bands);
    // So that the length of the page is right before all of it was drawn.
    if (bands.length) main.style.setProperty("--row", `${(bands[0].offsetHeight + GAP_PX) / Math.ceil(Math.min(size, chosen.length) / columns)}px`);
    count(chosen.length);
  }

  function resized() { if (nColumns() !== columns) fill(); }

  const quoted = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  function csv() {
    const rows = cards.filter((card) => decisions[keyOf(card)]).map((card) => { const { decision, reason } = decisions[keyOf(card)]; return [card.case, card.lesion, card.phase, card.reader, decision, reason]; });
    return [COLUMNS, ...rows].map((row) => row.map(quoted).join(",")).join("\n") + "\n";
  }

  function save() {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
    link.download = "exclusions.csv"; link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  function choices(id, values) { const select = byId(id); select.add(new Option("all", "")); for (const value of [...new Set(values)].filter(Boolean)) select.add(new Option(value, value)); select.addEventListener("change", fill); }

  function start() {
    recall();
    choices("group", cards.map((card) => card.group)); choices("phase", cards.map((card) => card.phase)); choices("reader", cards.map((card) => card.reader));
    choices("flag", cards.flatMap((card) => card.flags).sort()); choices("decision", ["accepted", "rejected", "redraw"]);
    for (const [value, text] of SORTS) byId("sort").add(new Option(text, value));
    for (const id of ["sort", "descending"]) byId(id).addEventListener("change", fill);
    byId("name").addEventListener("input", fill);
    byId("save").addEventListener("click", save);
    fill();
    follow();
    addEventListener("hashchange", follow);
    addEventListener("resize", resized);
  }

  /* A link from the report: #case=C1&lesion=2&phase=PVP, with reader=A where a reader is meant. */
  function follow() {
    if (!location.hash) return;
    const link = new URLSearchParams(location.hash.slice(1));
    const linked = cards.filter((card) => link.has("case") && [...link].every(([name, text]) => card[name] === text));
    if (!linked.length) { byId("count").textContent = "The link's lesion is not in this gallery: the run was made again, or without it."; return; }
    for (const id of FILTERS) byId(id).value = "";
    fill();
    for (const [card, made] of articles) made.classList.toggle("linked", linked.includes(card));
    articles.get(linked[0]).scrollIntoView({ block: "center" });
  }

  addEventListener("DOMContentLoaded", start);
  return { cards, csv, visible, decisions: () => decisions };
})();
