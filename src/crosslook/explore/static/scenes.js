// The scenes of an audit on a map: where they lie, which way they are shifted, their images where they are large enough.
import { ask, fill, h, keep, later, number, where } from "./dom.js";
import { PixelMap, STEPS, stepOf } from "./map.js";

const RADIUS = 6378137, UNIT = 10; // metres on the equator along a side of a unit of the map
const MOST_ARROWS = 400, MOST_IMAGES = 40, LEAST_IMAGE = 40, COAST_DEGREES = 1.5;
const rad = (degrees) => (degrees * Math.PI) / 180;
const across = (lon) => (RADIUS * rad(lon)) / UNIT;
const up = (lat) => (RADIUS * Math.asinh(Math.tan(rad(Math.max(-85, Math.min(85, lat)))))) / UNIT;
const latOf = (y) => (Math.atan(Math.sinh((y * UNIT) / RADIUS)) * 180) / Math.PI;
const lonOf = (x) => (((((x * UNIT) / RADIUS) * 180) / Math.PI + 540) % 360) - 180;

// audit: as the API gives it; size(row): its shift in pixels; image(scene): address of its optical image.
export async function sceneMap(card, audit, { size, image, onchoose }) {
  const base = `/audits/${encodeURIComponent(audit.id)}/map`;
  let content = await ask(base);
  const page = { close() { page.closed = true; page.map?.close(); }, draw() {}, choose() {} };
  const said = h("p", { class: "none", "aria-live": "polite" });
  while (card.isConnected && !content.scenes.length && content.ready < 1) {
    fill(card, h("p", { class: "none" }, `Looking where the scenes lie: ${Math.round(100 * content.ready)} %.`));
    content = await ask(base);
  }
  if (!card.isConnected || !content.scenes.length) {
    fill(card, h("p", { class: "none" }, content.pairs ? "None of the scenes has a georeference, so there is no map of them." : "Name the set of pairs to crosslook explore too, and its scenes are shown on a map."));
    return page;
  }
  const box = h("div", { class: "scene-map" });
  fill(card, box, legend(), said);
  const frame = extent(content.scenes);
  const place = ([lon, lat]) => [frame.top - up(lat), across(lon) - frame.left];
  const map = new PixelMap(box, {
    height: frame.height, width: frame.width, gsd: UNIT,
    label: "Map of the scenes. Arrow keys move it, plus and minus zoom, 0 shows all, Enter picks the scene in the centre. The same scenes stand in the list beside it.",
    readout: (row, col) => `${lonOf(col + frame.left).toFixed(4)} ${latOf(frame.top - row).toFixed(4)}`,
  });
  page.map = map;
  const state = { rows: [], chosen: "", byName: new Map() };
  const [row, col, scale] = (where().query.get("at") ?? "").split(",").map(Number);
  requestAnimationFrame(() => { if (scale) map.look({ row, col, scale }); else map.fit(); });
  const remember = later((v) => keep({ at: [v.row.toFixed(0), v.col.toFixed(0), v.scale.toPrecision(3)].join(",") }), 400);
  const settle = later(() => { images(); coast(); }, 150);
  map.onmove = (view) => { map.options.gsd = UNIT * Math.cos(rad(latOf(frame.top - view.row))); remember(view); settle(); };
  map.onpick = pick;
  take();
  follow();

  // What is drawn: the rows that the list shows, the largest shift on top.
  page.draw = (rows) => { state.rows = rows; shapes(); settle(); };
  page.choose = (scene) => {
    state.chosen = scene;
    shapes();
    const one = state.byName.get(scene);
    if (!one) return;
    const [y, x] = map.toScreen(...one.at);
    const [high, wide] = map.size;
    if (y < 20 || x < 20 || y > high - 20 || x > wide - 20) map.look({ row: one.at[0], col: one.at[1] });
  };
  return page;

  async function follow() {
    while (content.ready < 1 && !page.closed) {
      await new Promise((done) => setTimeout(done, 500));
      content = await ask(base).catch(() => content);
      take();
      shapes();
    }
  }

  function take() {
    for (const one of content.scenes) state.byName.set(one.scene, { ...one, at: place(one.centre), corners: one.ring.map(place) });
    const lost = content.unplaced.length;
    fill(said, content.ready < 1 ? `Looking where the scenes lie: ${Math.round(100 * content.ready)} %. ` : null,
      lost ? `${lost} scene(s) without a georeference are in the list alone: ${content.unplaced.slice(0, 3).join(", ")}${lost > 3 ? " …" : "."}` : null);
  }

  function shapes() {
    const areas = [], arrows = [], chosen = [];
    const largest = Math.max(4, ...audit.rows.map(size));
    for (const [n, r] of state.rows.entries()) {
      const one = state.byName.get(r.scene);
      if (!one) continue;
      const kind = `${stepOf(size(r))}${r.trusted === 1 ? "" : " unsure"}${audit.marks[r.scene] ? ` ${audit.marks[r.scene]}` : ""}`;
      const title = `${r.scene}: ${number(size(r), 1)} px${one.metres === null ? "" : `, ${number(one.metres, 0)} m`}${r.trusted === 1 ? "" : ", not trusted"}`;
      const mine = r.scene === state.chosen;
      (mine ? chosen : areas).push({ kind: "path", points: one.corners, least: 9, class: `scene-area ${kind}${mine ? " chosen" : ""}`, title });
      const arrow = { kind: "arrow", row: one.at[0], col: one.at[1], degrees: one.degrees, length: 10 + (38 * size(r)) / largest, class: `scene-arrow ${kind}${mine ? " chosen" : ""}` };
      if (one.degrees !== null && size(r) > 0.05 && (mine || n < MOST_ARROWS)) (mine ? chosen : arrows).push(arrow);
    }
    map.shapes("scenes", [...areas.reverse(), ...arrows.reverse(), ...chosen]);
  }

  function pick(r, c) {
    const reach = 12 / map.view.scale;
    const near = state.rows.map((one) => state.byName.get(one.scene)).filter((one) => one && (inside(one.corners, r, c) || Math.hypot(one.at[0] - r, one.at[1] - c) < reach));
    if (!near.length) return;
    near.sort((a, b) => Math.hypot(a.at[0] - r, a.at[1] - c) - Math.hypot(b.at[0] - r, b.at[1] - c));
    const now = near.findIndex((one) => one.scene === state.chosen); // a second click takes the next one under it
    onchoose(near[(now + 1) % near.length].scene);
  }

  // The optical images of the scenes in view, each drawn onto its corners.
  function images() {
    if (page.closed) return;
    const [high, wide] = map.size;
    const { row, col, scale } = map.view;
    const seen = state.rows.map((r) => state.byName.get(r.scene)).filter((one) => one && span(one.corners) * scale >= LEAST_IMAGE && Math.abs(one.at[0] - row) * scale < high && Math.abs(one.at[1] - col) * scale < wide);
    seen.sort((a, b) => Math.hypot(a.at[0] - row, a.at[1] - col) - Math.hypot(b.at[0] - row, b.at[1] - col));
    const wanted = new Map(seen.slice(0, MOST_IMAGES).map((one) => [`scene ${one.scene}`, one]));
    for (const name of [...map.images.keys()]) if (!wanted.has(name)) map.image(name, null);
    for (const [name, one] of wanted) if (!map.images.has(name)) map.image(name, { url: image(one.scene), corners: one.corners });
  }

  async function coast() {
    if (page.closed) return;
    const [high, wide] = map.size;
    const far = Math.max(high, wide) / map.view.scale >= across(COAST_DEGREES);
    const there = map.drawn.some((one) => one.name === "coast"); // drawn again only where that changes: drawing ends here
    if (there && !far) map.shapes("coast", []);
    if (there || !far) return;
    land ??= fetch("/static/land.json").then((answer) => answer.json());
    const { rings } = await land;
    if (page.closed) return;
    const worlds = [-360, 0, 360]; // the set may lie across the 180th meridian
    map.shapes("coast", worlds.flatMap((lon) => rings.map((ring) => ({ kind: "path", class: "coast", points: Array.from({ length: ring.length / 2 }, (_, i) => place([ring[2 * i] + lon, ring[2 * i + 1]])) }))));
  }
}

let land = null;

function extent(scenes) {
  const x = scenes.flatMap((one) => one.ring.map(([lon]) => across(lon))), y = scenes.flatMap((one) => one.ring.map(([, lat]) => up(lat)));
  const least = (list) => list.reduce((a, b) => Math.min(a, b)), most = (list) => list.reduce((a, b) => Math.max(a, b));
  const edge = 0.06 * Math.max(most(x) - least(x), most(y) - least(y), 50);
  return { left: least(x) - edge, top: most(y) + edge, width: most(x) - least(x) + 2 * edge, height: most(y) - least(y) + 2 * edge };
}

function span(corners) {
  return Math.max(Math.hypot(corners[1][0] - corners[0][0], corners[1][1] - corners[0][1]), Math.hypot(corners[3][0] - corners[0][0], corners[3][1] - corners[0][1]));
}

function inside(corners, r, c) {
  let odd = false;
  for (let i = 0, j = corners.length - 1; i < corners.length; j = i, i += 1) {
    const [[r1, c1], [r2, c2]] = [corners[i], corners[j]];
    if (r1 > r !== r2 > r && c < ((c2 - c1) * (r - r1)) / (r2 - r1) + c1) odd = !odd;
  }
  return odd;
}

function legend() {
  return h("ul", { class: "legend", "aria-label": "Size of the shift" }, STEPS.map(([, kind, text]) => h("li", {}, h("span", { class: `swatch ${kind}` }), text)),
    h("li", {}, h("span", { class: "swatch unsure" }), "not trusted"), h("li", {}, "arrows: which way the SAR image would have to move, longer for more"));
}
