"use strict";
const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const hover = document.getElementById("hover");
const thumbnails = JSON.parse(document.getElementById("thumbnails").textContent);
function showPatches(hovered) {
  const pair = thumbnails[hovered.points[0].customdata];
  if (!pair) return;
  hover.replaceChildren(...pair.map((data, i) => {
    const image = new Image();
    image.src = "data:image/jpeg;base64," + data;
    image.alt = ["SAR", "optical"][i];
    return image;
  }));
  hover.style.left = Math.min(hovered.event.clientX + 14, innerWidth - 225) + "px";
  hover.style.top = Math.min(hovered.event.clientY + 14, innerHeight - 120) + "px";
  hover.hidden = false;
}
function draw() {
  for (const holder of document.querySelectorAll(".plot")) {
    const figure = JSON.parse(holder.nextElementSibling.textContent);
    if (figure.layout.annotations) figure.layout.annotations.forEach((one) => { one.font = { color: style("--ink"), size: 13 }; });
    const axis = { gridcolor: style("--line"), zerolinecolor: style("--line"), automargin: true };
    const layout = Object.assign({}, figure.layout, {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: style("--ink"), size: 13 },
      margin: figure.layout.margin || { l: 55, r: 15, t: 15, b: 50 }, legend: figure.layout.updatemenus ? { orientation: "h", y: -0.02 } : { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 }, hovermode: "closest",
      xaxis: Object.assign({}, axis, figure.layout.xaxis), yaxis: Object.assign({}, axis, figure.layout.yaxis),
    });
    Plotly.react(holder, figure.data, layout, { responsive: true, displaylogo: false, displayModeBar: false });
    if (!holder.dataset.hovers) {
      holder.dataset.hovers = "yes";
      holder.on("plotly_hover", showPatches);
      holder.on("plotly_unhover", () => { hover.hidden = true; });
    }
  }
}
for (const details of document.querySelectorAll("details.rows")) {
  const body = details.querySelector("tbody");
  const cell = (line, at) => line.children[at].textContent;
  details.querySelector("input").addEventListener("input", (event) => {
    const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const line of body.rows) {
      const text = line.textContent.toLowerCase();
      line.hidden = !words.every((word) => text.includes(word));
    }
  });
  details.querySelectorAll("th").forEach((head, at, heads) => head.querySelector("button").addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const numeric = head.classList.contains("n");
    const turn = down ? -1 : 1;
    const order = (a, b) => {
      if (!numeric) return turn * cell(a, at).localeCompare(cell(b, at));
      const first = parseFloat(cell(a, at)), second = parseFloat(cell(b, at));
      if (isNaN(first) || isNaN(second)) return isNaN(first) - isNaN(second); // what was not measured comes last
      return turn * (first - second);
    };
    body.append(...[...body.rows].sort(order));
  }));
}
document.querySelector("button.theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  draw();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
draw();
