"use strict";
const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
function draw() {
  for (const holder of document.querySelectorAll(".plot")) {
    const figure = JSON.parse(holder.nextElementSibling.textContent);
    const axis = { gridcolor: style("--line"), zerolinecolor: style("--line"), automargin: true };
    const layout = Object.assign({}, figure.layout, {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: style("--ink"), size: 13 },
      margin: { l: 55, r: 15, t: 15, b: 50 }, legend: { orientation: "h", y: -0.22 }, hovermode: "closest",
      xaxis: Object.assign({}, axis, figure.layout.xaxis), yaxis: Object.assign({}, axis, figure.layout.yaxis),
    });
    Plotly.react(holder, figure.data, layout, { responsive: true, displaylogo: false, displayModeBar: false });
  }
}
document.querySelector("button.theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  draw();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
draw();
