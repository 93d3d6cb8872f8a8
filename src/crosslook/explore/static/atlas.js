// An atlas as a map: what it holds, coordinates, a box as the prior of a search.
import { ask, fact, fill, h, keep, later, number, sentence } from "./dom.js";
import { gapsOf, tiledAtlas } from "./map.js";
import { synthetic } from "./start.js";
import { world } from "./world.js";

export async function show(root, name, query) {
  const there = await ask("/library");
  if (!name) {
    if (there.atlases.length === 1) { location.replace(`#/atlas/${encodeURIComponent(there.atlases[0].id)}`); return {}; }
    fill(root, h("h1", {}, "Atlases"), there.atlases.length
      ? h("ul", { class: "plain card" }, there.atlases.map((one) => h("li", {}, h("a", { href: `#/atlas/${encodeURIComponent(one.id)}` }, one.id), synthetic(one))))
      : h("p", { class: "card none" }, "There is no atlas yet. ", h("a", { href: "#/files" }, "Open one, or build one from a folder of images"), ", or make the demo on the ", h("a", { href: "#/" }, "start page"), "."));
    return {};
  }
  const [atlas, jobs] = await Promise.all([ask(`/atlases/${encodeURIComponent(name)}`), ask("/jobs?kind=locate,refit")]);
  const box = h("div", { class: "large" });
  const prior = h("p", { class: "none" }, "None. Draw a box, and a search starts with it.");
  const map = (fill(root,
    h("div", { class: "title" }, h("h1", {}, atlas.id), synthetic(atlas)),
    h("div", { class: "split" }, h("div", { class: "stage" }, box), side())), tiledAtlas(box, atlas));
  map.shapes("gaps", gapsOf(atlas));
  const [row, col, scale] = (query.get("at") ?? "").split(",").map(Number);
  requestAnimationFrame(() => { if (scale) map.look({ row, col, scale }); else map.fit(); });
  const remember = later((view) => keep({ at: [view.row.toFixed(0), view.col.toFixed(0), view.scale.toPrecision(3)].join(",") }), 400);
  map.onmove = remember;
  map.onpick = (r, c) => point(r, c);
  if (query.get("box")) setBox(query.get("box").split(",").map(Number));
  footprints();

  function side() {
    const lon = h("input", { type: "number", step: "any", id: "lon", placeholder: "longitude", "aria-label": "Longitude" });
    const lat = h("input", { type: "number", step: "any", id: "lat", placeholder: "latitude", "aria-label": "Latitude" });
    const corner = ["West", "South", "East", "North"].map((n) => h("input", { type: "number", step: "any", "aria-label": n, placeholder: n }));
    side.corner = corner;
    const draw = h("button", { class: "second", "aria-pressed": "false", onclick: () => {
      const on = map.mode !== "box";
      map.mode = on ? "box" : "pan";
      box.classList.toggle("drawing", on);
      draw.setAttribute("aria-pressed", on);
      draw.textContent = on ? "Drag a box on the map" : "Draw a box";
    } }, "Draw a box");
    side.draw = draw;
    const centre = atlas.lattice.lonlat[8][8];
    const inset = h("div");
    world([{ lon: centre[0], lat: centre[1], name: atlas.id }]).then((drawing) => fill(inset, drawing));
    return h("aside", { class: "side" },
      h("section", { class: "card" }, h("h2", {}, "What it holds"), inset, h("dl", { class: "facts" },
        fact("area with data", `${number(atlas.area_km2, 0)} km²`), fact("pixel", `${number(atlas.gsd, 2)} m`),
        fact("size", `${number(atlas.shape[1], 0)} × ${number(atlas.shape[0], 0)} px`), fact("holds data", `${number(100 * atlas.valid, 1)} %`),
        fact("CRS", atlas.crs), fact("features", atlas.levels.map((l) => l.spec).join(", ")),
        fact("blocks", `${atlas.blocks.length} of ${atlas.block_grid[0] * atlas.block_grid[1]}`), fact("built", atlas.created), fact("from", atlas.sources.slice(0, 4).join(", ") + (atlas.sources.length > 4 ? " …" : "")))),
      h("section", { class: "card" }, h("h2", {}, "Go to"), h("form", { class: "row", onsubmit: async (e) => {
        e.preventDefault();
        const at = await ask(`/atlases/${encodeURIComponent(atlas.id)}/at?lon=${Number(lon.value)}&lat=${Number(lat.value)}`);
        if (at.row === null) { fill(said, "There is no such place on this map."); return; }
        map.look({ row: at.row, col: at.col, scale: Math.max(map.view.scale, 0.5) });
        point(at.row, at.col);
        fill(said, at.inside ? "" : "That lies outside the atlas.");
      } }, lon, lat, h("button", {}, "Go")), said),
      h("section", { class: "card" }, h("h2", {}, "Prior of a search"), prior,
        h("div", { class: "row" }, draw),
        h("form", { class: "grid4", onsubmit: (e) => { e.preventDefault(); setBox(corner.map((i) => Number(i.value))); } }, corner, h("button", { class: "second" }, "Set")),
        h("p", {}, go)));
  }

  function setBox(bounds) {
    if (bounds.length !== 4 || bounds.some(Number.isNaN)) return;
    const [w, s, e, n] = bounds;
    side.corner.forEach((input, i) => { input.value = bounds[i]; });
    keep({ box: bounds.join(",") });
    fill(prior, `${number(w, 4)} to ${number(e, 4)} east, ${number(s, 4)} to ${number(n, 4)} north`);
    go.href = `#/locate?atlas=${encodeURIComponent(atlas.id)}&bbox=${bounds.join(",")}`;
    go.textContent = "Locate an image in this box";
    Promise.all([[w, n], [e, n], [e, s], [w, s]].map(([x, y]) => ask(`/atlases/${encodeURIComponent(atlas.id)}/at?lon=${x}&lat=${y}`)))
      .then((ring) => { if (ring.every((p) => p.row !== null)) map.shapes("prior", [{ kind: "path", points: ring.map((p) => [p.row, p.col]), class: "prior" }]); });
  }

  map.onbox = (pixels) => { side.draw.click(); setBox(map.bounds(pixels)); };

  function point(r, c) {
    map.shapes("point", [{ kind: "dot", row: r, col: c, r: 5, class: "picked" }]);
    const place = map.lonlat(r, c);
    root.querySelector("#lon").value = place[0].toFixed(6);
    root.querySelector("#lat").value = place[1].toFixed(6);
  }

  async function footprints() {
    const mine = jobs.filter((job) => job.state === "done" && job.result.verdict && job.result.verdict !== "no match").slice(0, 40);
    const shapes = [];
    for (const job of mine) {
      const whole = await ask(`/jobs/${job.id}`);
      if (whole.request.atlas !== atlas.id) continue;
      const place = await ask(`/jobs/${job.id}/view/place.json`).catch(() => null);
      if (place?.footprint) shapes.push({ kind: "path", points: place.footprint, class: `footprint ${job.result.verdict === "match" ? "good" : "unsure"}` });
    }
    map.shapes("footprints", shapes);
  }
  return { leave: () => map.close(), key: (e) => { if (document.activeElement === box) return false; if (e.key === "0") { map.fit(); return true; } return false; } };
}

const said = h("p", { class: "none", "aria-live": "polite" });
const go = h("a", { href: "#/locate" }, sentence("locate an image here"));
