// A match: progress, then the place on the map, what spoke for it, and what a person makes of it.
import { ask, badge, bytes, fact, fill, h, keep, later, notice, number, sentence, where } from "./dom.js";
import { doubtCard } from "./locate.js";
import { PixelMap, STEPS, stepOf, tiledAtlas } from "./map.js";
import { synthetic } from "./start.js";

export async function show(root, name, query) {
  let job = await ask(`/jobs/${name}`);
  const page = { leave() { page.gone = true; page.inner?.leave?.(); }, key: (e) => page.inner?.key?.(e) };
  while (["queued", "running"].includes(job.state)) {
    drawWaiting(root, job);
    await new Promise((done) => setTimeout(done, 200));
    if (location.hash.split("?")[0] !== `#/match/${name}`) return page;
    job = await ask(`/jobs/${name}`);
  }
  if (job.state !== "done") { drawFailed(root, job); return page; }
  page.inner = await drawMatch(root, job, query);
  return page;
}

const SHOWN = 6; // sentences of a verdict before the rest is folded away
const STAGES = { compilation: "compiling, once per installation", read: "reading the images", search: "searching the atlas", verification: "comparing the best places", "pose search": "searching rotations, scales and shifts", "tie points": "finding tie points", refinement: "refining the fit", model: "choosing the model", writing: "writing the files" };
const ORDER = ["read", "search", "verification", "tie points", "refinement", "writing"]; // others are listed when they come

function drawWaiting(root, job) {
  const seen = Object.keys(job.seconds), stages = [...seen, ...ORDER.filter((s) => !seen.includes(s) && (job.kind === "locate" || (s !== "search" && s !== "verification")))];
  let box = root.querySelector(".waiting");
  if (!box) {
    box = h("section", { class: "card waiting" });
    fill(root, box);
  }
  for (const cell of box.querySelectorAll("[data-stage]")) cell.textContent = took(job, cell.dataset.stage);
  const said = job.state === "queued" ? `Waiting; ${job.ahead} job(s) before it.` : job.stage ? sentence(STAGES[job.stage] ?? job.stage) : "Starting.";
  const state = JSON.stringify([job.state, job.stage, job.ahead, seen]);
  if (box.dataset.state === state) return;
  box.dataset.state = state;
  fill(box, h("h1", {}, job.title), h("ol", { class: "stages" }, stages.map((s) => h("li", { class: s === job.stage ? "now" : seen.includes(s) ? "done" : "" }, STAGES[s] ?? s, h("span", { class: "took", "data-stage": s }, took(job, s))))),
    h("p", { "aria-live": "polite" }, said), h("p", { class: "row" },
      h("button", { class: "second", onclick: async () => { await ask(`/jobs/${job.id}/cancel`, { method: "POST" }); } }, "Cancel"), h("a", { href: "#/results" }, "The queue")));
}

// What a stage took so far, and how much of it is done where that is counted.
function took(job, stage) {
  const seconds = job.seconds[stage];
  const counted = stage === job.stage && job.total ? `${number(job.done, 0)} of ${number(job.total, 0)}, ` : "";
  return seconds === undefined ? "" : `${counted}${seconds < 10 ? seconds.toFixed(1) : seconds.toFixed(0)} s`;
}

function drawFailed(root, job) {
  fill(root, h("section", { class: "card" }, h("h1", {}, job.title), h("p", { class: job.state === "failed" ? "bad-text" : "" }, sentence(job.error)),
    h("p", { class: "row" }, h("button", { onclick: async () => { const next = await ask(`/jobs/${job.id}/again`, { method: "POST" }); location.hash = `#/match/${next.id}`; } }, "Start it again"), h("a", { class: "button second", href: "#/locate" }, "Another image"))));
}

// written: the files of a match of the command line; those of the job where it is null.
async function drawMatch(root, job, query, written = null) {
  const match = job.result.match;
  const [place, atlas, files] = await Promise.all([
    ask(`/jobs/${job.id}/view/place.json`),
    job.request.atlas ? ask(`/atlases/${encodeURIComponent(job.request.atlas)}`).catch(() => null) : null,
    written ?? ask(`/jobs/${job.id}/files`).then((list) => ({ files: list, file: (f) => `/jobs/${job.id}/files/${encodeURIComponent(f)}`, zip: `/jobs/${job.id}/zip` }))]);
  const box = h("div", { class: "large" });
  const stage = h("div", { class: "stage" });
  const side = h("aside", { class: "side tall" }), below = h("div", { class: "stage" });
  fill(root, h("div", { class: "title" }, h("h1", {}, job.title), badge(match.verdict), atlas ? synthetic(atlas) : null, job.kind === "refit" ? h("span", { class: "badge plain" }, "from tie points by hand") : null), h("div", { class: "split" }, stage, side, below));
  root.querySelector(".split").before(...(match.warnings ?? []).map((one) => doubtCard(one, one.kind === "swapped" ? () => searchAgain(job, { swap: true }) : null)), ...reasonCard(job, match));
  stage.append(box);
  if ("atlas" in job.request && !atlas) box.before(h("p", { class: "card none" }, "The atlas that this was located on is not open here, so the map is empty around it."));
  const view = (file) => `/jobs/${job.id}/view/${file}`;
  const map = atlas ? tiledAtlas(box, atlas) : new PixelMap(box, { height: match.images.optical.shape[0], width: match.images.optical.shape[1], gsd: place.gsd });
  if (place.optical) { const [row, col, height, width] = place.optical; map.image("optical", { url: view("optical.png"), row, col, height, width }); }
  const layers = drawLayers(map, place, match, view, query);
  stage.append(layers.node);
  const around = query.get("side") === "before" && place.before ? bothOf(place) : place.sar ?? place.optical ?? [0, 0, map.options.height, map.options.width];
  const home = () => { const m = 0.25 * Math.max(around[2], around[3]); map.fit(around[0] - m, around[1] - m, around[2] + 2 * m, around[3] + 2 * m); };
  const [row, col, scale] = (query.get("at") ?? "").split(",").map(Number);
  requestAnimationFrame(() => { if (scale) map.look({ row, col, scale }); else home(); });
  map.onmove = later((v) => keep({ at: [v.row.toFixed(0), v.col.toFixed(0), v.scale.toPrecision(3)].join(",") }), 400);
  fill(side, verdictCard(job, match), written ? null : decisionCard(job), filesCard(files));
  if (place.cards?.length) below.append(alternatives(job, match, place, map, view));
  below.append(byHand(job, match, place, map, view));
  return { leave() { layers.stop(); map.close(); }, key: (e) => layers.key(e) };
}

// Layers over the map: the SAR image under a swipe, tie points, score surface, outline.
function drawLayers(map, place, match, view, query) {
  const state = { cut: Number(query.get("swipe") ?? 1), opacity: Number(query.get("opacity") ?? 1), on: true, blink: 0, before: Boolean(place.before && place.sar && query.get("side") === "before") };
  const show = (name, fallback) => (query.has(name) ? query.get(name) === "1" : fallback);
  const swipe = h("input", { type: "range", min: 0, max: 1, step: 0.005, value: state.cut, id: "swipe", oninput: () => { state.cut = Number(swipe.value); apply(); } });
  const opacity = h("input", { type: "range", min: 0, max: 1, step: 0.02, value: state.opacity, id: "opacity", oninput: () => { state.opacity = Number(opacity.value); apply(); } });
  const blink = h("button", { class: "second", "aria-pressed": "false", title: "Blink by itself (B); the space bar shows and hides", onclick: toggleBlink }, "Blink");
  const line = h("div", { class: "swipe-line", hidden: true });
  map.box.append(line);
  const remember = later(() => keep({ swipe: state.cut === 1 ? null : state.cut, opacity: state.opacity === 1 ? null : state.opacity }));
  if (place.sar) { const [row, col, height, width] = place.sar; map.image("sar", { url: view("sar.png"), row, col, height, width }); }
  const sides = place.before && place.sar ? h("div", { class: "sides", role: "group", "aria-label": "Where the SAR image is drawn" }, [["Before", true, "Where its georeference puts it (V)"], [match.verdict === "no match" ? "Best tried, refused" : "After", false, "Where the match puts it (V)"]].map(([text, before, title]) => h("button", { class: "second", title, "data-before": String(before), onclick: () => turn(before) }, text))) : null;
  const aside = h("p", { class: "none", "aria-live": "polite", hidden: true });
  const surface = place.surface, key = h("p", { class: "none", hidden: true });
  const bar = h("div", { class: "colour-bar", hidden: true, role: "img", "aria-label": "Score surface: colours from the median score to the highest" }, h("span", {}, "median score"), h("i", {}), h("span", {}, `highest, ${surface ? number(surface.high, 3) : ""}`));
  const checks = [
    check("points", "Tie points", true, (on) => map.shapes("points", on ? place.tie_points.filter((p) => p[5]).map(dot) : [])),
    check("outliers", "Outliers", false, (on) => map.shapes("outliers", on ? place.tie_points.filter((p) => !p[5]).map(dot) : [])),
    place.predicted ? check("arrows", "Residual arrows", false, (on) => { drawArrows(on); }) : null,
    place.footprint ? check("outline", "Outline", true, (on) => map.shapes("outline", on ? [{ kind: "path", points: place.footprint, class: `footprint ${match.verdict === "match" ? "good" : "unsure"}` }] : [])) : null,
    surface ? check("surface", "Score surface", false, (on) => { bar.hidden = !on; map.image("surface", on ? { url: view("surface.png"), row: 0, col: 0, height: surface.shape[0] * surface.side, width: surface.shape[1] * surface.side, opacity: 0.8 } : null); }) : null,
  ];
  apply();
  return {
    node: h("div", { class: "card layers" }, sides ? h("div", { class: "row" }, sides, aside) : null, place.sar ? [
      h("label", { class: "slider", for: "swipe" }, h("span", {}, "Swipe"), swipe), h("label", { class: "slider", for: "opacity" }, h("span", {}, "Opacity"), opacity), blink] : h("p", { class: "none" }, "No place was found, so there is nothing to lay over the map."),
      h("div", { class: "checks" }, checks), legend(), key, bar,
      h("p", { class: "none keys" }, h("kbd", {}, "space"), " shows and hides · ", h("kbd", {}, "B"), " blinks · ", h("kbd", {}, "←"), h("kbd", {}, "→"), " swipe · ", h("kbd", {}, "+"), h("kbd", {}, "−"), h("kbd", {}, "0"), " zoom", sides ? [" · ", h("kbd", {}, "V"), " before and after"] : null)),
    stop() { clearInterval(state.blink); },
    key(event) {
      if (event.key === " ") { state.on = !state.on; apply(); return true; }
      if (sides && event.key.toLowerCase() === "v") { turn(!state.before); return true; }
      if (event.key === "b" || event.key === "B") { toggleBlink(); return true; }
      if ((event.key === "ArrowLeft" || event.key === "ArrowRight") && document.activeElement?.type !== "range" && place.sar) {
        state.cut = Math.min(1, Math.max(0, state.cut + (event.key === "ArrowRight" ? 0.02 : -0.02)));
        swipe.value = state.cut;
        apply();
        return true;
      }
      return false;
    },
  };

  // From each inlier to where the transform puts it, so many times as long that it can be seen.
  function drawArrows(on) {
    const inliers = place.tie_points.map((p, n) => [p, place.predicted[n]]).filter(([p]) => p[5]);
    const lengths = inliers.map(([p]) => p[4] ?? 0).sort((a, b) => a - b);
    const most = Math.max(0.05, lengths[Math.floor(0.9 * (lengths.length - 1))] ?? 1);
    const times = Math.max(1, Math.round((0.035 * Math.max(...(place.sar ?? [0, 0, 512, 512]).slice(2))) / most));
    map.shapes("arrows", on ? inliers.map(([[, , row, col, residual], [r, c]]) => ({ kind: "path", open: true, points: arrowLine(row, col, times * (r - row), times * (c - col)), class: `residual ${stepOf(residual ?? 0)}` })) : []);
    key.hidden = !on;
    key.textContent = `Residual arrows: from a tie point to where the transform puts it, ${times} times as long.`;
  }

  // Both places come into view: what was moved far would be looked for else.
  function turn(before) {
    state.before = before;
    keep({ side: before ? "before" : null });
    const [top, left, height, width] = before ? place.before : place.sar;
    const [high, wide] = map.size, [y0, x0] = map.toScreen(top, left), [y1, x1] = map.toScreen(top + height, left + width);
    if (y1 < 40 || x1 < 40 || y0 > high - 40 || x0 > wide - 40) map.fit(...bothOf(place));
    apply();
  }

  function toggleBlink() {
    const on = !state.blink;
    clearInterval(state.blink);
    state.blink = on ? setInterval(() => { state.on = !state.on; apply(); }, 600) : 0;
    state.on = true;
    blink.setAttribute("aria-pressed", on);
    apply();
  }

  function apply() {
    const shown = { cut: state.cut, opacity: state.on ? state.opacity : 0 };
    if (place.sar) map.image("sar", state.before ? { opacity: 0 } : shown);
    if (sides && state.before && !map.images.has("before")) { const [row, col, height, width] = place.before; map.image("before", { url: view("before.png"), row, col, height, width }); }
    if (map.images.has("before")) map.image("before", state.before ? shown : { opacity: 0 });
    for (const button of sides?.children ?? []) button.setAttribute("aria-pressed", String((button.dataset.before === "true") === state.before));
    aside.hidden = !state.before;
    aside.textContent = state.before ? `Where its georeference puts the SAR image${apart(place, match, map.options.gsd)}.` : "";
    line.hidden = state.cut >= 1 || state.cut <= 0 || !place.sar;
    line.style.left = `${100 * state.cut}%`;
    remember();
  }

  function check(key, text, fallback, act) {
    const box = h("input", { type: "checkbox", id: `layer-${key}`, checked: show(key, fallback), onchange: () => { keep({ [key]: box.checked ? "1" : "0" }); act(box.checked); } });
    act(box.checked);
    return h("label", { class: "check" }, box, ` ${text}`);
  }
}

// A box around where the SAR image was put before and after.
function bothOf({ before: a, sar: b }) {
  const top = Math.min(a[0], b[0]), left = Math.min(a[1], b[1]);
  return [top, left, Math.max(a[0] + a[2], b[0] + b[2]) - top, Math.max(a[1] + a[3], b[1] + b[3]) - left];
}

// How far the centre of the SAR image was moved, where the match says so.
function apart(place, match, gsd) {
  const moved = match.verdict === "no match" ? null : match.movement;
  if (!moved || moved.row_px === undefined) return "";
  const pixels = Math.hypot(moved.row_px, moved.col_px);
  return `; the match moves it by ${number(pixels, pixels < 10 ? 1 : 0)} px${gsd ? `, ${number(pixels * gsd, 0)} m` : ""}`;
}

function dot([, , row, col, residual, inlier, score]) {
  const step = residual === null ? "r4" : stepOf(residual);
  return { kind: "dot", row, col, r: inlier ? 4.5 : 3.5, class: inlier ? `tie ${step}` : "tie out", title: `residual ${residual === null ? "–" : residual.toFixed(2)} px, score ${score.toFixed(2)}${inlier ? "" : ", left out"}` };
}

// A line to a place beside it, with a head of a third of its length.
function arrowLine(row, col, down, right) {
  const tip = [row + down, col + right];
  const head = [0.45, -0.45].map((bend) => [tip[0] - 0.33 * (down * Math.cos(bend) - right * Math.sin(bend)), tip[1] - 0.33 * (right * Math.cos(bend) + down * Math.sin(bend))]);
  return [[row, col], tip, head[0], tip, head[1]];
}

function legend() {
  return h("ul", { class: "legend", "aria-label": "Residual of tie points" }, h("li", { title: "Distance of a tie point from where the transform puts it" }, "Residual of a tie point:"), STEPS.map(([, kind, text]) => h("li", {}, h("span", { class: `swatch ${kind}` }), text)));
}

// Of no match: why, as the command line has it, then the searches to try next.
function reasonCard(job, match) {
  if (match.verdict !== "no match") return [];
  const searches = job.result.next ?? [];
  return [h("section", { class: "card accent reason" }, h("h2", {}, "Why there is no match"), h("p", {}, withOptions(sentence(match.reason || "Nothing that was searched fits."))),
    searches.length ? [h("h3", {}, "Search next"), h("div", { class: "row" }, searches.map((one, n) => h("button", { class: n ? "second" : "", title: one.options, onclick: () => searchAgain(job, { settings: one.settings }) }, sentence(one.words))))] : null)];
}

// Options of the command line within a sentence do not break at their hyphens.
function withOptions(text) {
  return text.split(/(--[a-z][a-z-]*)/).map((part, n) => (n % 2 ? h("code", { class: "option" }, part) : part));
}

async function searchAgain(job, json) {
  try { location.hash = `#/match/${(await ask(`/jobs/${job.id}/search`, { json })).id}`; } catch (error) { notice(error.message, "error"); }
}

function verdictCard(job, match) {
  const lonlat = match.centre?.lonlat;
  const total = Object.values(match.timings_s ?? {}).length ? match.timings_s.total : null;
  const words = { match: "This is the place.", uncertain: "This may be the place; look before you rely on it.", "no match": "No place can be relied on: what speaks for and against the best that was tried." }[match.verdict];
  const notes = job.result.words.filter((one) => one.sign === "note"), terms = job.result.words.filter((one) => one.sign !== "note");
  const lines = [...terms.slice(0, SHOWN - 1), ...notes, ...terms.slice(SHOWN - 1)].map((one) => h("li", { class: one.sign }, h("span", { class: "sign", "aria-label": one.sign }, { for: "✓", against: "✗", note: "·" }[one.sign]), one.text.replaceAll("-log10", "−log10"), Math.abs(one.logit) >= 0.05 ? h("small", { title: "What it adds to the log odds of the confidence" }, `${one.logit > 0 ? "+" : "−"}${number(Math.abs(one.logit), 1)}`) : null));
  return h("section", { class: "card verdict" }, h("h2", {}, words),
    match.confidence === null ? null : h("div", { class: "meter", role: "img", "aria-label": `Confidence ${match.confidence.toFixed(2)}` }, h("div", { class: match.verdict === "match" ? "good" : match.verdict === "uncertain" ? "unsure" : "bad", style: { width: `${100 * match.confidence}%` } })),
    h("p", { class: "none" }, match.confidence === null ? "no confidence: none was fitted to this matcher" : `confidence ${match.confidence.toFixed(2)}: the probability that the match is right`),
    h("ul", { class: "reasons" }, lines.slice(0, SHOWN)),
    lines.length > SHOWN ? h("details", {}, h("summary", {}, `${lines.length - SHOWN} more`), h("ul", { class: "reasons" }, lines.slice(SHOWN))) : null,
    h("dl", { class: "facts" },
      lonlat ? fact("centre", h("span", {}, `${lonlat[0].toFixed(6)} ${lonlat[1].toFixed(6)}`)) : null,
      errorFact(match),
      match.movement && !match.window && match.verdict !== "no match" ? fact("moved by", `${number(match.movement.row_px, 1)} rows, ${number(match.movement.col_px, 1)} columns`) : null,
      match.movement?.rotation_degrees !== undefined && match.verdict !== "no match" ? fact("rotation, scale", `${number(match.movement.rotation_degrees, 2)}°, ${number(match.movement.scale, 4)}`) : null,
      match.transform && match.verdict !== "no match" ? fact("model", match.transform.model) : null,
      match.tie_points?.count ? fact("tie points", pointsText(match.tie_points)) : null,
      total ? fact("took", `${number(total, 2)} s`) : null),
    h("details", {}, h("summary", {}, "All evidence"), h("dl", { class: "facts" }, Object.entries(match.evidence).map(([n, v]) => fact(n.replaceAll("_", " "), typeof v === "number" ? number(v, 3) : String(v))))));
}

// The expected error; of a relief that was followed, that of held-out tie points.
function errorFact(match) {
  if (match.expected_error_px === null || match.expected_error_px === undefined) return null;
  const own = match.held_out;
  if (own?.model === "relief") return fact("held-out tie points", `predicted to ${number(own.error_px, 1)} px by the relief${own.similarity_px === null ? "" : `, to ${number(own.similarity_px, 1)} px by a similarity`}`);
  return fact("expected error", `${number(match.expected_error_px, 1)} px${match.expected_error_m ? `, ${number(match.expected_error_m, match.expected_error_m < 10 ? 1 : 0)} m` : ""}`);
}

function pointsText(points) {
  const residual = points.median_residual_px;
  return `${points.count}, ${points.inliers} of them inliers${residual === null || residual === undefined ? "" : ` with a median residual of ${residual.toFixed(1)} px`}`;
}

function decisionCard(job) {
  const node = h("section", { class: "card" });
  const draw = () => fill(node, h("h2", {}, "Your decision"), h("div", { class: "row" }, ["accepted", "refused"].map((word) => h("button", { class: job.decision === word ? "" : "second", "aria-pressed": job.decision === word, onclick: async () => {
    job = await ask(`/jobs/${job.id}/decision`, { json: { decision: job.decision === word ? "" : word } });
    draw();
  } }, { accepted: "Accept", refused: "Refuse" }[word])), h("small", {}, job.decision ? `${job.decision}; kept with the result` : "not decided yet")));
  draw();
  return node;
}

function filesCard({ files, file, zip }) {
  return h("section", { class: "card" }, h("h2", {}, "Files"), h("p", {}, h("a", { class: "button", href: zip, download: "" }, "Download all as zip")),
    h("ul", { class: "plain files" }, files.map((f) => h("li", {}, h("a", { href: file(f.name), download: "" }, f.name), h("small", {}, bytes(f.bytes))))),
    files.some((f) => f.name === "aligned.tif") ? null : h("p", { class: "none" }, "No aligned.tif: a warped image misleads where a match is not sure. Start it again with 'Write aligned.tif ... too' if you want it."));
}

function alternatives(job, match, place, map, view) {
  const best = match.evidence.search_score;
  const go = (row, col, half) => { map.fit(row - 1.4 * half, col - 1.4 * half, 2.8 * half, 2.8 * half); map.box.scrollIntoView({ block: "nearest" }); };
  return h("section", { class: "card" }, h("h2", {}, "Other places that were considered"), h("div", { class: "cards" },
    place.sar ? h("figure", { class: "alt" }, h("img", { src: view("query.png"), alt: "The SAR image" }), h("figcaption", {}, h("strong", {}, "the SAR image"), h("small", {}, `chosen place: score ${number(best, 3)}`))) : null,
    place.cards.map((card, n) => h("figure", { class: "alt" }, h("button", { class: "preview", "aria-label": `Show place ${n + 2} on the map`, onclick: () => go(card.atlas_pixel[0], card.atlas_pixel[1], card.half) }, h("img", { src: view(`alternative-${n}.jpg`), alt: `Ground at place ${n + 2}`, style: { transform: `rotate(${0}deg)` } })),
      h("figcaption", {}, h("strong", {}, `place ${n + 2}`), h("small", {}, behind(card, best)), h("small", {}, `search ${number(card.coarse, 3)}, finer ${number(card.fine, 3)}, in parts ${number(card.parts, 3)}`))))));
}

function behind(card, best) {
  const gap = best - card.total;
  return gap >= 0 ? `behind by ${number(gap, 3)}: score ${number(card.total, 3)}` : `scored ${number(-gap, 3)} higher, but matched worse`;
}

// Two or three tie points set by hand: pick in the SAR image, then drag on the map.
function byHand(job, match, place, map, view) {
  const [height, width] = place.sar_shape;
  const small = h("div", { class: "small-map" });
  const table = h("div");
  const points = [];
  const send = h("button", { disabled: true, onclick: go }, "Fit again from these");
  const said = h("p", { class: "none", "aria-live": "polite" }, "Click a spot in the SAR image; its point appears on the map, and you drag it to where it belongs. Two points fit a similarity, three an affine map.");
  let query = null;
  const node = h("details", { class: "card", ontoggle: () => {
    if (!node.open || query) return;
    query = new PixelMap(small, { height, width, label: "The SAR image. Arrow keys move it, Enter picks its centre." });
    query.image("query", { url: view("query.png"), row: 0, col: 0, height, width });
    query.onpick = pick;
    requestAnimationFrame(() => query.fit());
  } }, h("summary", {}, "Set tie points by hand"), said, h("div", { class: "hand" }, small, h("div", {}, table, h("p", { class: "row" }, send, h("button", { class: "second", onclick: clear }, "Clear")))));
  return node;

  function pick(row, col) {
    if (points.length === 3) { fill(said, "Three points are enough; clear them to start anew."); return; }
    if (row < 0 || col < 0 || row > height || col > width) return;
    const at = forward(match, place, row, col) ?? [map.view.row, map.view.col];
    const point = { sar: [row, col], optical: at };
    const name = String(points.length + 1);
    query.shapes(`p${name}`, [{ kind: "dot", row, col, r: 6, class: "picked" }]);
    point.handle = map.handle(at[0], at[1], name, (r, c) => { point.optical = [r, c]; draw(); });
    points.push(point);
    draw();
  }

  function draw() {
    send.disabled = points.length < 2;
    fill(table, points.length ? h("table", {}, h("thead", {}, h("tr", {}, ["", "SAR row", "column", "map row", "column"].map((t) => h("th", {}, t)))), h("tbody", {}, points.map((p, n) => h("tr", {}, h("td", {}, n + 1), ...[...p.sar, ...p.optical].map((v, k) => h("td", {}, h("input", { type: "number", step: "any", class: "short", value: v.toFixed(1), "aria-label": `point ${n + 1}, ${["SAR row", "SAR column", "map row", "map column"][k]}`, onchange: (e) => { (k < 2 ? p.sar : p.optical)[k % 2] = Number(e.target.value); if (k > 1) { [p.handle.row, p.handle.col] = p.optical; map.draw(); } } }))))))) : null);
  }

  function clear() {
    points.length = 0;
    map.unhandle();
    for (const n of [1, 2, 3]) query?.shapes(`p${n}`, []);
    draw();
  }

  async function go() {
    send.disabled = true;
    try {
      const next = await ask(`/jobs/${job.id}/points`, { json: { points: points.map((p) => [...p.sar, ...p.optical.map((v, k) => ("atlas" in job.request ? v : v - place.origin[k]))]) } });
      location.hash = `#/match/${next.id}`;
    } catch (error) { notice(error.message, "error"); send.disabled = false; }
  }
}

// Where the match puts a SAR pixel, by its matrix alone: near enough to begin a drag.
function forward(match, place, row, col) {
  const matrix = match.transform?.matrix;
  if (!matrix || match.transform.projection) return null;
  const [a, b, w] = matrix.map((line) => line[0] * row + line[1] * col + line[2]);
  return [a / w + place.origin[0], b / w + place.origin[1]];
}

// A match that the command line wrote: on the map as the result of a job is, where its images are there.
export async function showWritten(root, name, query) {
  const base = `/matches/${encodeURIComponent(name)}`;
  const content = await ask(base);
  const written = { files: content.files, file: (f) => `${base}/files/${encodeURIComponent(f)}`, zip: `${base}/zip` };
  const page = { leave() { page.inner?.leave?.(); }, key: (e) => page.inner?.key?.(e) };
  if (content.missing.length) { drawStill(root, content, written, content.missing); return page; }
  fill(root, h("section", { class: "card waiting", "aria-live": "polite" }, h("h1", {}, content.id), h("p", {}, "Reading its images."), h("progress", {})));
  let job = await ask(`${base}/view`, { method: "POST" });
  while (["queued", "running"].includes(job.state)) {
    await new Promise((done) => setTimeout(done, 200));
    if (where().page !== "shown" || where().name !== name) return page;
    job = await ask(`/jobs/${job.id}`);
  }
  if (job.state === "done") page.inner = await drawMatch(root, job, query, written);
  else drawStill(root, content, written, [sentence(job.error)]);
  return page;
}

// What can be shown of a match whose images are gone: the verdict, and the images written with it.
function drawStill(root, content, written, reasons) {
  const has = (f) => content.files.some((one) => one.name === f);
  fill(root, h("div", { class: "title" }, h("h1", {}, content.id), badge(content.match.verdict)), h("div", { class: "split" },
    h("div", { class: "stage" }, h("section", { class: "card missing" }, h("h2", {}, "It cannot be laid over a map"), reasons.map((text) => h("p", {}, text))),
      has("overlay.png") ? h("figure", { class: "card" }, h("img", { class: "full", src: written.file("overlay.png"), alt: "Left a checkerboard of both images, right the edges of the SAR image over the optical one" }), h("figcaption", {}, "Left a checkerboard of both, right the edges of the SAR image over the optical one.")) : h("p", { class: "card none" }, "No images were written: a warped image misleads where a match is not sure.")),
    h("aside", { class: "side" }, content.match.verdict === "no match" && content.match.reason ? h("section", { class: "card reason" }, h("h2", {}, "Why there is no match"), h("p", {}, withOptions(sentence(content.match.reason)))) : null, verdictCard({ result: { words: content.words } }, content.match), filesCard(written))));
}
