// An audit: scenes on a map and in a list, worst first, arrows for their shifts, flicker, marks, a list to take away.
import { ask, fact, fill, h, keep, notice, number } from "./dom.js";
import { sceneMap } from "./scenes.js";
import { synthetic } from "./start.js";

export async function show(root, name, query) {
  if (!name) {
    const there = await ask("/library");
    if (there.audits.length === 1) { location.replace(`#/audit/${encodeURIComponent(there.audits[0].id)}`); return {}; }
    fill(root, h("h1", {}, "Audits"), there.audits.length ? h("ul", { class: "plain card" }, there.audits.map((one) => h("li", {}, h("a", { href: `#/audit/${encodeURIComponent(one.id)}` }, one.id), synthetic(one))))
      : h("p", { class: "card none" }, "There is no audit yet. ", h("a", { href: "#/files" }, "Open a set of pairs"), " and audit it from the ", h("a", { href: "#/" }, "start page"), ", or make the demo there."));
    return {};
  }
  const base = `/audits/${encodeURIComponent(name)}`;
  const audit = await ask(base);
  const state = { at: 0, sar: true, timer: 0, show: query.get("show") ?? "all" };
  const image = (scene, m) => `/pairs/${encodeURIComponent(audit.pairs)}/image?scene=${encodeURIComponent(scene)}&modality=${m}`;
  const largest = Math.max(1, ...audit.rows.map(length));
  const grid = h("div", { class: "scenes" }), large = h("section", { class: "card flicker" });
  const place = h("section", { class: "card scene-place" }, h("p", { class: "none" }, "Looking where the scenes lie."));
  const filter = h("select", { "aria-label": "Which scenes", onchange: () => { state.show = filter.value; keep({ show: filter.value }); draw(); } },
    [["all", "all scenes"], ["trusted", "trusted"], ["untrusted", "not trusted"], ["good", "marked good"], ["bad", "marked bad"], ["", "not marked"]].map(([v, t]) => h("option", { value: v }, t)));
  filter.value = state.show;
  fill(root, h("div", { class: "title" }, h("h1", {}, audit.id), synthetic(audit), filter, h("a", { class: "button second", href: `${base}/marks.csv`, download: "" }, "Export marks")),
    h("p", { class: "none keys" }, h("kbd", {}, "←"), h("kbd", {}, "→"), " step · ", h("kbd", {}, "space"), " flickers · ", h("kbd", {}, "G"), " good · ", h("kbd", {}, "B"), " bad · ", h("kbd", {}, "U"), " no mark"),
    h("div", { class: "audit-grid" }, place, h("aside", { class: "scene-list" }, grid), large),
    audit.failed.length ? h("section", { class: "card" }, h("h2", {}, "Could not be measured"), h("ul", { class: "plain" }, audit.failed.map((f) => h("li", {}, h("strong", {}, f.scene), " ", f.reason)))) : null);
  const wanted = query.get("scene");
  draw(wanted);
  sceneMap(place, audit, { size: length, image: (scene) => image(scene, "optical"), onchoose: (scene) => step(rows().findIndex((r) => r.scene === scene)) }).then((map) => {
    state.map = map;
    if (state.gone) map.close();
    else { map.draw(rows()); map.choose(rows()[state.at]?.scene); }
  }).catch((error) => fill(place, h("p", { class: "bad-text" }, error.message)));
  return { leave() { state.gone = true; clearInterval(state.timer); state.map?.close(); }, key };

  function rows() {
    return audit.rows.filter((r) => ({ all: true, trusted: r.trusted === 1, untrusted: r.trusted !== 1 }[state.show] ?? (audit.marks[r.scene] ?? "") === state.show));
  }

  function draw(scene) {
    const list = rows();
    const index = list.findIndex((r) => r.scene === scene);
    state.at = index >= 0 ? index : Math.min(state.at, Math.max(0, list.length - 1));
    fill(grid, list.length ? list.map((r, n) => h("button", { class: `scene ${audit.marks[r.scene] ?? ""}`, "aria-pressed": n === state.at, onclick: () => step(n) },
      h("span", { class: "arrow-box" }, audit.pairs ? h("img", { loading: "lazy", src: image(r.scene, "optical"), alt: "" }) : null, arrow(r)),
      h("strong", {}, r.scene), h("small", {}, `${number(length(r), 1)} px${r.trusted === 1 ? "" : ", not trusted"}`))) : h("p", { class: "none" }, "No scene here."));
    state.map?.draw(list);
    state.map?.choose(list[state.at]?.scene);
    drawLarge();
  }

  function arrow(r) {
    const scale = 38 / Math.max(largest, 4);
    const [x, y] = [50 + (r.col ?? 0) * scale, 50 + (r.row ?? 0) * scale];
    const angle = Math.atan2(y - 50, x - 50);
    const head = [2.6, -2.6].map((t) => `${x - 9 * Math.cos(angle + t / 6)} ${y - 9 * Math.sin(angle + t / 6)}`);
    const kind = r.trusted === 1 ? "arrow" : "arrow unsure";
    return h("svg", { viewBox: "0 0 100 100", class: kind, "aria-hidden": "true" }, h("circle", { cx: 50, cy: 50, r: 2.5 }), length(r) > 0.05 ? h("path", { d: `M50 50L${x} ${y}M${head[0]}L${x} ${y}L${head[1]}` }) : null);
  }

  function step(n, focus = false) {
    const list = rows();
    if (!list.length) return;
    state.at = Math.max(0, Math.min(list.length - 1, n));
    [...grid.querySelectorAll(".scene")].forEach((b, i) => { b.setAttribute("aria-pressed", i === state.at); if (i === state.at) { b.scrollIntoView({ block: "nearest", inline: "nearest" }); if (focus) b.focus({ preventScroll: true }); } });
    keep({ scene: list[state.at].scene });
    state.map?.choose(list[state.at].scene);
    drawLarge();
  }

  function drawLarge() {
    const r = rows()[state.at];
    clearInterval(state.timer);
    state.timer = 0;
    if (!r) { fill(large, h("p", { class: "none" }, "Nothing to show.")); return; }
    const marks = h("div", { class: "row" }, [["good", "Good"], ["bad", "Bad"]].map(([m, t]) => h("button", { class: audit.marks[r.scene] === m ? "" : "second", "aria-pressed": audit.marks[r.scene] === m, onclick: () => mark(audit.marks[r.scene] === m ? "" : m) }, t)),
      audit.pairs ? h("button", { class: "second", onclick: flicker }, "Flicker by itself") : null,
      audit.mapped.includes(r.scene) ? h("a", { class: "button second", target: "_blank", rel: "noopener", href: `${base}/report?scene=${encodeURIComponent(r.scene)}` }, "Map of the shift") : null);
    fill(large, h("div", { class: "title" }, h("h2", {}, r.scene), h("span", { class: `badge ${r.trusted === 1 ? "good" : "unsure"}` }, r.trusted === 1 ? "trusted" : "not trusted")),
      audit.pairs ? h("button", { class: "two", "aria-label": "Show the other image", onclick: swap }, h("img", { class: "optical", src: image(r.scene, "optical"), alt: "Optical image" }), h("img", { class: "sar", src: image(r.scene, "sar"), alt: "SAR image on the same pixels" }), h("span", { class: "which" })) : h("p", { class: "none" }, "Name the set of pairs to crosslook explore too, and its images are shown here."),
      h("div", { class: "about" }, marks, h("dl", { class: "facts" }, plainly(r))));
    paint();
  }

  function paint() {
    const two = large.querySelector(".two");
    if (!two) return;
    two.classList.toggle("show-sar", state.sar);
    two.querySelector(".which").textContent = state.sar ? "SAR" : "optical";
  }

  function swap() { state.sar = !state.sar; paint(); }
  function flicker() { if (state.timer) { clearInterval(state.timer); state.timer = 0; } else state.timer = setInterval(swap, 500); }

  async function mark(word) {
    const r = rows()[state.at];
    if (!r) return;
    try { audit.marks = await ask(`${base}/marks`, { json: { scene: r.scene, mark: word } }); } catch (error) { notice(error.message, "error"); return; }
    draw(r.scene);
  }

  function key(event) {
    const k = event.key.toLowerCase();
    if (k === "arrowright" || k === "arrowdown") step(state.at + 1);
    else if (k === "arrowleft" || k === "arrowup") step(state.at - 1);
    else if (k === " ") swap();
    else if (k === "g") mark("good");
    else if (k === "b") mark("bad");
    else if (k === "u") mark("");
    else return false;
    return true;
  }
}

// What was measured of a scene, in words; columns of audit.csv that are new here by their names.
const NAMED = ["scene", "trusted", "row", "col", "information_row", "information_col", "gradient_row", "gradient_col", "disagreement", "rotation_degrees", "scale", "relief_px", "relief_degrees"];

function plainly(r) {
  const there = (v) => v !== null && v !== undefined;
  const others = Object.entries(r).filter(([n, v]) => !NAMED.includes(n) && there(v));
  return [
    fact("the SAR image must move", there(r.row) ? `${moves(r.row, r.col)}: ${number(length(r), 2)} px in all` : "not measured"),
    there(r.information_row) ? fact("by mutual information", moves(r.information_row, r.information_col)) : null,
    there(r.gradient_row) ? fact("by gradients", moves(r.gradient_row, r.gradient_col)) : null,
    there(r.disagreement) ? fact("the two differ by", `${number(r.disagreement, 2)} px; trusted up to 1.5`) : null,
    there(r.rotation_degrees) ? fact("rotation", `${number(r.rotation_degrees, 2)}°`) : null,
    there(r.scale) ? fact("scale", number(r.scale, 4)) : null,
    there(r.relief_px) ? fact("hills spread it by", `${number(r.relief_px, 1)} px${there(r.relief_degrees) ? `, along ${number(r.relief_degrees, 0)}°` : ""}`) : null,
    others.map(([n, v]) => fact(n.replaceAll("_", " "), number(v, 2))),
  ];
}

function moves(rows, cols) {
  return `${number(Math.abs(rows), 2)} px ${rows < 0 ? "up" : "down"}, ${number(Math.abs(cols), 2)} px ${cols < 0 ? "left" : "right"}`;
}

function length(r) { return Math.hypot(r.row ?? 0, r.col ?? 0); }
