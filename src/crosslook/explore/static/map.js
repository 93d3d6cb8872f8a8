// A map of pixels: tiles or images on one grid, moved and zoomed by pointer, wheel, fingers or keys.
import { ask, h } from "./dom.js";

const TILE = 256;
const EDGE = 80; // pixels of the screen beyond the box within which shapes are still drawn

// Colours by distance in pixels: of residuals and of shifts.
export const STEPS = [[1, "r1", "up to 1 px"], [2, "r2", "up to 2 px"], [4, "r3", "up to 4 px"], [Infinity, "r4", "beyond"]];
export const stepOf = (distance) => STEPS.find(([limit]) => distance <= limit)[1];

export class PixelMap {
  // options: height, width (pixels of the grid); tiles {zooms, url(zoom, row, col)}; lattice; gsd;
  // readout(row, col), what is said of a place
  constructor(box, options) {
    this.box = box;
    this.options = options;
    this.images = new Map();
    this.drawn = [];
    this.tiles = new Map();
    this.mode = "pan";
    this.onmove = () => {};
    this.onpick = null;
    this.onbox = null;
    this.view = { row: options.height / 2, col: options.width / 2, scale: 1 };
    box.classList.add("map");
    box.tabIndex = 0;
    box.setAttribute("role", "application");
    box.setAttribute("aria-label", options.label ?? "Map. Arrow keys move it, plus and minus zoom, 0 shows all.");
    this.ground = h("div", { class: "ground" });
    this.svg = h("svg", { class: "vectors" });
    this.handles = h("div", { class: "handles" });
    this.scale = h("div", { class: "scalebar" });
    this.readout = h("output", { class: "readout" });
    const buttons = h("div", { class: "zoom" },
      h("button", { "aria-label": "Zoom in", title: "Zoom in (+)", onclick: () => this.zoom(2) }, "+"),
      h("button", { "aria-label": "Zoom out", title: "Zoom out (-)", onclick: () => this.zoom(0.5) }, "−"),
      h("button", { "aria-label": "Show all", title: "Show all (0)", onclick: () => this.fit() }, "⤢"));
    box.append(this.ground, this.svg, this.handles, buttons, this.scale, this.readout);
    this.pointers = new Map();
    box.addEventListener("pointerdown", (e) => this.down(e));
    box.addEventListener("pointermove", (e) => this.moved(e));
    for (const name of ["pointerup", "pointercancel"]) box.addEventListener(name, (e) => this.up(e));
    box.addEventListener("wheel", (e) => {
      e.preventDefault();
      this.zoom(2 ** (-e.deltaY * (e.deltaMode ? 0.05 : 0.002)), this.at(e));
    }, { passive: false });
    box.addEventListener("dblclick", (e) => { if (this.mode === "pan") this.zoom(2, this.at(e)); });
    box.addEventListener("keydown", (e) => this.key(e));
    this.watch = new ResizeObserver(() => this.draw());
    this.watch.observe(box);
  }

  close() { this.closed = true; this.watch.disconnect(); }

  // Ask for the tiles in view again: they may hold more now.
  reload() {
    for (const tile of this.tiles.values()) tile.node.src = this.options.tiles.url(tile.zoom, tile.row, tile.col);
  }

  get size() { return [this.box.clientHeight || 1, this.box.clientWidth || 1]; }

  toScreen(row, col) {
    const [high, wide] = this.size;
    return [(row - this.view.row) * this.view.scale + high / 2, (col - this.view.col) * this.view.scale + wide / 2];
  }

  toPixel(y, x) {
    const [high, wide] = this.size;
    return [(y - high / 2) / this.view.scale + this.view.row, (x - wide / 2) / this.view.scale + this.view.col];
  }

  at(event) {
    const frame = this.box.getBoundingClientRect();
    return [event.clientY - frame.top, event.clientX - frame.left];
  }

  fit(row = 0, col = 0, height = this.options.height, width = this.options.width) {
    const [high, wide] = this.size;
    this.view = { row: row + height / 2, col: col + width / 2, scale: 0.94 * Math.min(high / height, wide / width) };
    this.draw();
  }

  look(view) { Object.assign(this.view, view); this.draw(); }

  zoom(factor, at = this.size.map((v) => v / 2)) {
    const [row, col] = this.toPixel(...at);
    const least = 0.2 * Math.min(this.size[0] / this.options.height, this.size[1] / this.options.width);
    const scale = Math.min(24, Math.max(least, this.view.scale * factor));
    const [high, wide] = this.size;
    this.view = { row: row - (at[0] - high / 2) / scale, col: col - (at[1] - wide / 2) / scale, scale };
    this.draw();
  }

  key(event) {
    if (event.target !== this.box || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = 60 / this.view.scale;
    const moves = { ArrowUp: [-step, 0], ArrowDown: [step, 0], ArrowLeft: [0, -step], ArrowRight: [0, step] };
    if (moves[event.key]) {
      this.view.row += moves[event.key][0];
      this.view.col += moves[event.key][1];
      this.draw();
    } else if (event.key === "+" || event.key === "=") this.zoom(1.5);
    else if (event.key === "-") this.zoom(1 / 1.5);
    else if (event.key === "0") this.fit();
    else if (event.key === "Enter" && this.onpick) this.onpick(this.view.row, this.view.col);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  down(event) {
    if (event.target.closest("button, .handle")) return;
    if (event.button > 0) return;
    this.box.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, this.at(event));
    this.begin = { at: this.at(event), view: { ...this.view }, pixel: this.toPixel(...this.at(event)), moved: false };
    this.pinch = null;
  }

  moved(event) {
    const at = this.at(event);
    this.tell(at);
    if (!this.pointers.has(event.pointerId)) return;
    this.pointers.set(event.pointerId, at);
    if (this.pointers.size === 2) { this.pinched(); return; }
    const [dy, dx] = [at[0] - this.begin.at[0], at[1] - this.begin.at[1]];
    if (Math.hypot(dy, dx) > 4) this.begin.moved = true;
    if (!this.begin.moved) return;
    if (this.mode === "box") {
      this.rubber = [this.begin.pixel, this.toPixel(...at)];
    } else {
      this.view.row = this.begin.view.row - dy / this.view.scale;
      this.view.col = this.begin.view.col - dx / this.view.scale;
    }
    this.draw();
  }

  pinched() {
    const [a, b] = [...this.pointers.values()];
    const apart = Math.hypot(a[0] - b[0], a[1] - b[1]);
    const centre = [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
    if (this.pinch) {
      this.view.row -= (centre[0] - this.pinch.centre[0]) / this.view.scale;
      this.view.col -= (centre[1] - this.pinch.centre[1]) / this.view.scale;
      this.zoom(apart / this.pinch.apart, centre);
    }
    this.pinch = { apart, centre };
    this.begin.moved = true;
  }

  up(event) {
    if (!this.pointers.delete(event.pointerId)) return;
    if (this.mode === "box" && this.rubber) {
      const [[r0, c0], [r1, c1]] = this.rubber;
      this.rubber = null;
      this.onbox?.([Math.min(r0, r1), Math.min(c0, c1), Math.max(r0, r1), Math.max(c0, c1)]);
      this.draw();
    } else if (!this.begin.moved && event.type === "pointerup") {
      this.onpick?.(...this.toPixel(...this.at(event)));
    }
  }

  // images: name -> {url, row, col, height, width, opacity, cut (0..1 of the box), pixelated};
  // or {url, corners}: its first pixel and the next three corners clockwise
  image(name, settings) {
    const old = this.images.get(name);
    if (!settings) { old?.node.remove(); this.images.delete(name); return; }
    if (old) { Object.assign(old, settings); this.draw(); return; }
    const node = h("img", { class: "layer", src: settings.url, alt: "", draggable: "false" });
    if (settings.onload) node.addEventListener("load", settings.onload);
    this.ground.append(node);
    this.images.set(name, { ...settings, node });
    this.draw();
  }

  // shapes: [{kind: "path"|"dot"|"arrow", points | row, col, class, r, title}]; a path smaller than
  // `least` on the screen is a dot; an arrow has degrees clockwise from up and a length on the screen
  shapes(name, list) {
    this.drawn = this.drawn.filter((one) => one.name !== name);
    for (const shape of list ?? []) this.drawn.push({ name, ...shape });
    this.draw();
  }

  handle(row, col, text, ondrag) {
    const node = h("button", { class: "handle", "aria-label": `Tie point ${text}; drag it or move it by arrow keys` }, text);
    const handle = { row, col, node };
    const tell = () => { this.place(handle); ondrag(handle.row, handle.col); };
    node.addEventListener("pointerdown", (e) => {
      e.stopPropagation();
      node.setPointerCapture(e.pointerId);
      node.onpointermove = (m) => { [handle.row, handle.col] = this.toPixel(...this.at(m)); tell(); };
      node.onpointerup = () => { node.onpointermove = node.onpointerup = null; };
    });
    node.addEventListener("keydown", (e) => {
      const step = (e.shiftKey ? 10 : 1) / Math.min(1, this.view.scale);
      const moves = { ArrowUp: [-step, 0], ArrowDown: [step, 0], ArrowLeft: [0, -step], ArrowRight: [0, step] }[e.key];
      if (!moves) return;
      handle.row += moves[0]; handle.col += moves[1];
      e.preventDefault(); e.stopPropagation();
      tell();
    });
    this.handles.append(node);
    (this.handled ??= []).push(handle);
    this.place(handle);
    return handle;
  }

  unhandle() {
    for (const one of this.handled ?? []) one.node.remove();
    this.handled = [];
  }

  place(handle) {
    const [y, x] = this.toScreen(handle.row, handle.col);
    handle.node.style.transform = `translate(${x}px, ${y}px)`;
  }

  draw() {
    if (this.waiting) return;
    this.waiting = requestAnimationFrame(() => { this.waiting = 0; this.render(); });
  }

  render() {
    if (!this.box.isConnected) return;
    if (this.options.tiles) this.renderTiles();
    const wide = this.size[1];
    for (const one of this.images.values()) {
      if (one.corners) { this.renderOnto(one); continue; }
      const [y0, x0] = this.toScreen(one.row, one.col);
      const [y1, x1] = this.toScreen(one.row + one.height, one.col + one.width);
      Object.assign(one.node.style, { left: `${x0}px`, top: `${y0}px`, width: `${x1 - x0}px`, height: `${y1 - y0}px` });
      one.node.style.opacity = one.opacity ?? 1;
      one.node.style.imageRendering = this.view.scale > 3 ? "pixelated" : "auto";
      const cut = one.cut === undefined || one.cut >= 1 ? null : one.cut * wide;
      one.node.style.clipPath = cut === null ? "" : `inset(0 ${Math.max(0, x1 - cut)}px 0 0)`;
    }
    this.renderShapes();
    for (const one of this.handled ?? []) this.place(one);
    this.renderScale();
    this.onmove(this.view);
  }

  // An image that lies askew: the affine map onto three of its corners.
  renderOnto({ node, corners }) {
    const [[y0, x0], [y1, x1], , [y3, x3]] = corners.map((at) => this.toScreen(...at));
    Object.assign(node.style, { left: 0, top: 0, width: "100px", height: "100px", transformOrigin: "0 0" });
    node.style.transform = `matrix(${[x1 - x0, y1 - y0, x3 - x0, y3 - y0].map((v) => v / 100).join(",")},${x0},${y0})`;
  }

  renderTiles() {
    const { zooms, url } = this.options.tiles;
    const sharp = Math.min(devicePixelRatio || 1, 2);
    const zoom = Math.max(0, Math.min(zooms, Math.ceil(Math.log2(this.view.scale * sharp) - 0.2) + zooms));
    const side = TILE * 2 ** (zooms - zoom);
    const [high, wide] = this.size;
    const [top, left] = this.toPixel(0, 0), [bottom, right] = this.toPixel(high, wide);
    const rows = [Math.max(0, Math.floor(top / side)), Math.min(Math.ceil(this.options.height / side), Math.ceil(bottom / side))];
    const cols = [Math.max(0, Math.floor(left / side)), Math.min(Math.ceil(this.options.width / side), Math.ceil(right / side))];
    const wanted = new Set();
    for (let row = rows[0]; row < rows[1]; row += 1) {
      for (let col = cols[0]; col < cols[1]; col += 1) {
        const key = `${zoom}/${row}/${col}`;
        wanted.add(key);
        if (!this.tiles.has(key)) this.addTile(key, zoom, row, col, side, url);
      }
    }
    const ready = [...wanted].every((key) => this.tiles.get(key).done);
    for (const [key, tile] of this.tiles) {
      if (!wanted.has(key) && (ready || tile.zoom === zoom || this.tiles.size > 300)) {
        tile.node.remove();
        this.tiles.delete(key);
        continue;
      }
      const [y0, x0] = this.toScreen(tile.row * tile.side, tile.col * tile.side).map(Math.round);
      const [y1, x1] = this.toScreen((tile.row + 1) * tile.side, (tile.col + 1) * tile.side).map(Math.round);
      Object.assign(tile.node.style, { left: `${x0}px`, top: `${y0}px`, width: `${x1 - x0}px`, height: `${y1 - y0}px`, zIndex: tile.zoom });
      tile.node.style.imageRendering = this.view.scale > 3 ? "pixelated" : "auto";
    }
  }

  addTile(key, zoom, row, col, side, url) {
    const node = h("img", { class: "tile", alt: "", draggable: "false" });
    const tile = { node, zoom, row, col, side, done: false };
    node.addEventListener("load", () => { tile.done = true; node.classList.add("there"); this.draw(); });
    node.addEventListener("error", () => { tile.done = true; });
    node.src = url(zoom, row, col);
    this.tiles.set(key, tile);
    this.ground.prepend(node);
  }

  renderShapes() {
    const nodes = [];
    for (const shape of this.drawn) {
      const points = (shape.points ?? [[shape.row, shape.col]]).map(([row, col]) => this.toScreen(row, col));
      const [top, left, bottom, right] = boxOf(points);
      if (bottom < -EDGE || right < -EDGE || top > this.size[0] + EDGE || left > this.size[1] + EDGE) continue;
      const small = shape.kind === "path" && Math.max(bottom - top, right - left) < (shape.least ?? 0);
      let node;
      if (shape.kind === "dot" || small) node = h("circle", { cx: (left + right) / 2, cy: (top + bottom) / 2, r: shape.r ?? 4, class: shape.class, style: shape.style });
      else if (shape.kind === "arrow") node = h("path", { d: arrow(...points[0], shape.degrees, shape.length), class: shape.class });
      else node = h("path", { d: points.map(([y, x], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("") + (shape.open ? "" : "Z"), class: shape.class, style: shape.style });
      if (shape.title) { const t = document.createElementNS("http://www.w3.org/2000/svg", "title"); t.textContent = shape.title; node.append(t); }
      nodes.push(node);
    }
    if (this.rubber) {
      const [[r0, c0], [r1, c1]] = this.rubber;
      const [y0, x0] = this.toScreen(Math.min(r0, r1), Math.min(c0, c1)), [y1, x1] = this.toScreen(Math.max(r0, r1), Math.max(c0, c1));
      nodes.push(h("rect", { x: x0, y: y0, width: x1 - x0, height: y1 - y0, class: "prior" }));
    }
    this.svg.replaceChildren(...nodes);
  }

  renderScale() {
    this.scale.hidden = !this.options.gsd;
    if (!this.options.gsd) return;
    const metres = (90 / this.view.scale) * this.options.gsd;
    const power = 10 ** Math.floor(Math.log10(metres));
    const nice = [5, 2, 1].map((n) => n * power).find((n) => n <= metres) ?? power;
    this.scale.style.width = `${(nice / this.options.gsd) * this.view.scale}px`;
    this.scale.textContent = nice >= 1000 ? `${nice / 1000} km` : `${nice} m`;
  }

  tell(at) {
    const [row, col] = this.toPixel(...at);
    if (this.options.readout) { this.readout.textContent = this.options.readout(row, col); return; }
    const place = this.lonlat(row, col);
    const pixel = `row ${row.toFixed(0)}, column ${col.toFixed(0)}`;
    this.readout.textContent = place ? `${place[0].toFixed(5)} ${place[1].toFixed(5)} · ${pixel}` : pixel;
  }

  // Longitude and latitude from the lattice that the server gave, or null.
  lonlat(row, col) {
    const lattice = this.options.lattice;
    if (!lattice) return null;
    const last = lattice.nodes - 1;
    const y = (row / this.options.height) * last, x = (col / this.options.width) * last;
    const i = Math.max(0, Math.min(last - 1, Math.floor(y))), j = Math.max(0, Math.min(last - 1, Math.floor(x)));
    const [a, b] = [y - i, x - j];
    const g = lattice.lonlat;
    return [0, 1].map((k) => (1 - a) * ((1 - b) * g[i][j][k] + b * g[i][j + 1][k]) + a * ((1 - b) * g[i + 1][j][k] + b * g[i + 1][j + 1][k]));
  }

  // West, south, east, north of a box of pixels.
  bounds([top, left, bottom, right]) {
    const ring = [];
    for (let n = 0; n <= 8; n += 1) {
      const f = n / 8;
      ring.push([top, left + f * (right - left)], [bottom, left + f * (right - left)], [top + f * (bottom - top), left], [top + f * (bottom - top), right]);
    }
    const there = ring.map(([row, col]) => this.lonlat(row, col));
    const lon = there.map((p) => p[0]), lat = there.map((p) => p[1]);
    return [Math.min(...lon), Math.min(...lat), Math.max(...lon), Math.max(...lat)].map((v) => Number(v.toFixed(6)));
  }
}

function boxOf(points) {
  let [top, left, bottom, right] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const [y, x] of points) {
    if (y < top) top = y;
    if (y > bottom) bottom = y;
    if (x < left) left = x;
    if (x > right) right = x;
  }
  return [top, left, bottom, right];
}

function arrow(y, x, degrees, length) {
  const to = (angle, far, from) => [from[0] - far * Math.cos(angle), from[1] + far * Math.sin(angle)];
  const angle = (degrees * Math.PI) / 180;
  const tip = to(angle, length, [y, x]);
  const [a, b] = [2.6, -2.6].map((bend) => to(angle + bend, 7, tip));
  return `M${x} ${y}L${tip[1]} ${tip[0]}M${a[1]} ${a[0]}L${tip[1]} ${tip[0]}L${b[1]} ${b[0]}`;
}

export function tiledAtlas(box, atlas) {
  const base = `/atlases/${encodeURIComponent(atlas.id)}`;
  let ready = atlas.ready;
  const map = new PixelMap(box, {
    height: atlas.shape[0], width: atlas.shape[1], gsd: atlas.gsd, lattice: atlas.lattice,
    tiles: { zooms: atlas.zooms, url: (zoom, row, col) => `${base}/tiles/${zoom}/${row}/${col}?v=${atlas.version}${ready < 1 ? `&ready=${ready}` : ""}` },
    label: `Map of the atlas ${atlas.id}. Arrow keys move it, plus and minus zoom, 0 shows all.`,
  });
  const follow = async () => {
    if (ready >= 1 || map.closed) return;
    const now = await ask(base).catch(() => null);
    if (now && now.ready > ready && !map.closed) { ready = now.ready; map.reload(); }
    setTimeout(follow, 700);
  };
  follow();
  return map;
}

export function gapsOf(atlas) {
  const there = new Set(atlas.blocks.map((b) => b.join("-")));
  const shapes = [];
  for (let row = 0; row < atlas.block_grid[0]; row += 1) {
    for (let col = 0; col < atlas.block_grid[1]; col += 1) {
      const [top, left] = [row * atlas.block, col * atlas.block];
      const bottom = Math.min(atlas.shape[0], top + atlas.block), right = Math.min(atlas.shape[1], left + atlas.block);
      const points = [[top, left], [top, right], [bottom, right], [bottom, left]];
      shapes.push({ kind: "path", points, class: there.has(`${row}-${col}`) ? "block" : "gap" });
    }
  }
  return shapes;
}
