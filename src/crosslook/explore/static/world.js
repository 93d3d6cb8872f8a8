// The world's land in outline, with places on it.
import { h } from "./dom.js";

let land = null;

export async function world(places) {
  land ??= fetch("/static/land.json").then((answer) => answer.json());
  const { rings } = await land;
  const outline = rings.map((ring) => {
    let text = "";
    for (let i = 0; i < ring.length; i += 2) text += `${i ? "L" : "M"}${(ring[i] + 180).toFixed(1)} ${(90 - ring[i + 1]).toFixed(1)}`;
    return `${text}Z`;
  }).join("");
  const marks = places.map(({ lon, lat, name, href }) => {
    const dot = h("circle", { cx: (((lon + 540) % 360)).toFixed(2), cy: (90 - lat).toFixed(2), r: 3.2, class: "place" });
    const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
    title.textContent = name;
    dot.append(title);
    if (href) { dot.addEventListener("click", () => { location.hash = href; }); dot.classList.add("link"); }
    return dot;
  });
  const grid = [];
  for (let lon = 30; lon < 360; lon += 30) grid.push(h("line", { x1: lon, x2: lon, y1: 6, y2: 150 }));
  for (let lat = 30; lat < 150; lat += 30) grid.push(h("line", { x1: 0, x2: 360, y1: lat, y2: lat }));
  return h("svg", { viewBox: "0 6 360 144", class: "world", role: "img", "aria-label": `World map with ${places.length} place(s)` },
    h("g", { class: "graticule" }, grid), h("path", { d: outline, class: "land", "fill-rule": "evenodd" }), marks);
}
