// A run: its figures to click through, and what is behind a point, a cell, a row.
import { ask, fill, h, keep, later, notice, number, sentence } from "./dom.js";
import { synthetic } from "./start.js";

let plotly = null;

function library() {
  plotly ??= new Promise((done, fail) => {
    const script = h("script", { src: "/plotly.js" });
    script.onload = () => done(window.Plotly);
    script.onerror = () => fail(new Error("the plots could not be loaded"));
    document.head.append(script);
  });
  return plotly;
}

export async function show(root, name, query) {
  const there = await ask("/library");
  if (!name) {
    if (there.runs.length === 1) { location.replace(`#/run/${encodeURIComponent(there.runs[0].id)}`); return {}; }
    fill(root, h("h1", {}, "Studies"), there.runs.length ? h("ul", { class: "plain card" }, there.runs.map((one) => h("li", {}, h("a", { href: `#/run/${encodeURIComponent(one.id)}` }, one.id), synthetic(one))))
      : h("p", { class: "card none" }, "There is no study yet. ", h("a", { href: "#/files" }, "Start one on a folder of pairs"), ", or make the demo on the ", h("a", { href: "#/" }, "start page"), "."));
    return {};
  }
  const other = query.get("with");
  const panes = h("div", { class: other ? "two-runs" : "" });
  const pick = h("select", { "aria-label": "Second run", onchange: () => { keep({ with: pick.value }); dispatchEvent(new HashChangeEvent("hashchange")); } },
    h("option", { value: "" }, "none"), there.runs.map((one) => h("option", { value: one.id }, one.id)));
  pick.value = other ?? "";
  fill(root, h("div", { class: "title" }, h("h1", {}, "Study"), h("label", { class: "inline" }, "beside it ", pick)), panes);
  const sides = [await pane(panes, name, query, "")];
  if (other) {
    sides.push(await pane(panes, other, query, "2"));
    // Runs over the same patches are looked at together.
    const [a, b] = sides;
    if (a.run.dataset === b.run.dataset && a.run.patches === b.run.patches) { a.linked = b.choose; b.linked = a.choose; }
  }
  return { leave() { for (const one of sides) one.leave(); }, key: (e) => sides[0].key(e) };
}

async function pane(panes, name, query, tail) {
  const base = `/runs/${encodeURIComponent(name)}`, waiting = h("div", { class: "run", "aria-busy": "true" });
  fill(waiting, h("p", { class: "none" }, "Loading the study."), h("div", { class: "study-grid" }, [1, 2].map(() => h("section", { class: "card" }, h("div", { class: "plot loading" })))));
  panes.append(waiting);
  const [run, Plotly] = await Promise.all([ask(base), library()]);
  waiting.remove();
  const state = { patch: null, gone: false };
  const at = (key, fallback) => Number(query.get(key + tail) ?? fallback);
  const remember = (changes) => keep(Object.fromEntries(Object.entries(changes).map(([k, v]) => [k + tail, v])));
  const setup = select("Compared by", run.setups.map((s, n) => [n, `${s.extractor}, ${s.calibration}, ${s.scoring}, ${s.direction.replace("->", " to ")}`]), at("setup", run.best), () => { remember({ setup: setup.value }); drawTable(); if (state.patch !== null) choose(state.patch); });
  const first = Math.max(0, run.embeddings.findIndex((e) => e[2] === "umap" && e[0] === run.setups[run.best]?.extractor));
  const embedding = select("Space", run.embeddings.map((e, n) => [n, `${e[0]}, ${e[1]}, ${e[2] === "umap" ? "UMAP" : "PCA"}`]), at("space", first), () => { remember({ space: embedding.value }); drawSpace(); });
  const heat = select("Heat map", run.heat_maps.map((e, n) => [n, `${e[0]}, ${e[1]}, by ${e[2]}`]), at("heat", Math.max(0, run.heat_maps.findIndex((e) => e[0] === run.setups[run.best]?.extractor && e[1] === run.setups[run.best]?.calibration))), () => { remember({ heat: heat.value }); drawHeat(); });
  const scene = select("Scene", [["", "all"], ...run.scenes.map((s) => [s, s])], query.get(`scene${tail}`) ?? "", () => { remember({ scene: scene.value }); drawTable(); drawSpace(); });
  const low = h("input", { type: "number", min: 1, value: at("from", 1), class: "short", "aria-label": "Rank from", oninput: later(() => { remember({ from: low.value }); drawTable(); }) });
  const high = h("input", { type: "number", min: 1, value: query.get(`to${tail}`) ?? "", class: "short", placeholder: "any", "aria-label": "Rank to", oninput: later(() => { remember({ to: high.value }); drawTable(); }) });
  const sensor = select("Sensor", [["both", "both"], ["sar", "SAR"], ["optical", "optical"]], query.get(`sensor${tail}`) ?? "both", () => { remember({ sensor: sensor.value }); drawSpace(); });
  const colour = select("Colour", [["sensor", "sensor"], ["cluster", "cluster"]], query.get(`colour${tail}`) ?? "sensor", () => { remember({ colour: colour.value }); drawSpace(); });
  const space = h("div", { class: "plot loading", "data-plot": "space" }), map = h("div", { class: "plot loading", "data-plot": "heat" }), table = h("div", { class: "queries", tabindex: 0, "aria-label": "Queries" });
  const detail = h("section", { class: "card detail", "aria-live": "polite" }, h("p", { class: "none" }, "Click a point, a cell of the heat map or a row of the table."));
  const count = h("small");
  const node = h("div", { class: "run" }, h("div", { class: "title" }, h("h2", {}, run.id), run.synthetic ? synthetic(run) : null, h("small", {}, `${run.dataset}: ${run.patches} patch pairs, ${run.scenes.length} scenes`), h("a", { href: `${base}/report`, target: "_blank", rel: "noopener" }, "The report")),
    h("div", { class: "scroll" }, h("table", {}, h("thead", {}, h("tr", {}, ["extractor", "compared by", "recall at 1", "95 %", "at 5", "at 10", "uncalibrated", "gap", "gallery", "chance"].map((t, k) => h("th", { class: k > 1 ? "num" : "" }, t)))), h("tbody", {}, run.headlines.map((l) => h("tr", {}, [l.extractor, l.how, l.recall, l.interval, l.at_5, l.at_10, l.uncalibrated, l.gap, l.gallery, l.chance].map((v, k) => h("td", { class: k > 1 ? "num" : "" }, v))))))),
    h("div", { class: "study-grid" },
      run.embeddings.length ? h("section", { class: "card" }, h("div", { class: "row" }, embedding.node, sensor.node, colour.node), space) : null,
      run.heat_maps.length ? h("section", { class: "card" }, h("div", { class: "row" }, heat.node), map) : null,
      h("section", { class: "card" }, h("div", { class: "row" }, setup.node, scene.node, h("label", { class: "inline" }, "rank ", low, " to ", high), count), table), detail));
  panes.append(node);
  let points = null, lines = [];
  const retheme = () => { drawSpace(); drawHeat(); };
  addEventListener("themechange", retheme);
  await Promise.all([drawSpace(), drawHeat(), drawTable()]);
  const me = {
    run,
    choose: (index) => choose(index, null, true),
    leave() { state.gone = true; removeEventListener("themechange", retheme); for (const one of [space, map]) if (one.data) Plotly.purge(one); },
    key(event) {
      const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
      if (!step || !lines.length) return false;
      const now = lines.findIndex((l) => l.index === state.patch);
      const next = lines[Math.min(lines.length - 1, Math.max(0, now + step))];
      choose(next.index);
      return true;
    },
  };
  if (query.has(`patch${tail}`)) choose(at("patch", 0), null, true);
  return me;

  async function drawSpace() {
    if (!run.embeddings.length) return;
    points = await ask(`${base}/embedding?number=${embedding.value}`);
    if (state.gone) return;
    const ink = colours();
    const dim = points.scene.map((s) => (!scene.value || s === scene.value ? 0.85 : 0.12));
    const names = [...new Set(points.cluster)].sort(), shade = points.cluster.map((c) => `hsl(${(names.indexOf(c) * 137.5) % 360} 62% 52%)`);
    const traces = ["sar", "optical"].filter((m) => sensor.value === "both" || sensor.value === m).map((m) => ({
      type: "scatter", mode: "markers", name: m === "sar" ? "SAR" : "optical", x: points[m].map((p) => p[0]), y: points[m].map((p) => p[1]), customdata: points.index, text: points.id.map((id, n) => (points.cluster[n] === points.scene[n] ? id : `${id}<br>${points.cluster[n]}`)), hovertemplate: "%{text}<extra></extra>",
      marker: { size: 8, symbol: m === "sar" ? "circle" : "diamond", color: colour.value === "cluster" ? shade : m === "sar" ? ink.sar : ink.optical, opacity: dim, line: { width: 0.5, color: ink.paper } },
    }));
    traces.push(chosen());
    await Plotly.react(space, traces, { ...layout(ink), legend: { orientation: "h", y: 1.08, x: 0 }, showlegend: true, dragmode: "pan", xaxis: bare(), yaxis: bare() }, CONFIG);
    space.classList.remove("loading");
    space.removeAllListeners?.("plotly_click");
    space.on("plotly_click", (e) => { const i = e.points[0].customdata; if (i !== undefined) choose(i); });
  }

  function chosen() {
    const i = points.index.indexOf(state.patch);
    const ends = i < 0 ? [] : [points.sar[i], points.optical[i]];
    return { type: "scatter", mode: "lines+markers", x: ends.map((p) => p[0]), y: ends.map((p) => p[1]), showlegend: false, hoverinfo: "skip", line: { color: colours().text, width: 1.5, dash: "dot" }, marker: { size: 14, symbol: "circle-open", line: { width: 2 }, color: colours().text } };
  }

  async function drawHeat() {
    if (!run.heat_maps.length) return;
    const answer = await ask(`${base}/heat_map?number=${heat.value}`);
    if (state.gone) return;
    const ink = colours(), size = answer.values.length;
    const lines_ = answer.borders.flatMap((b) => [{ type: "line", x0: b - 0.5, x1: b - 0.5, y0: -0.5, y1: size - 0.5, line: { color: ink.text, width: 0.4 } }, { type: "line", y0: b - 0.5, y1: b - 0.5, x0: -0.5, x1: size - 0.5, line: { color: ink.text, width: 0.4 } }]);
    map.classList.remove("loading");
    await Plotly.react(map, [{ type: "heatmap", z: answer.values, colorscale: "Viridis", hovertemplate: "SAR block %{y}, optical block %{x}: %{z:.3f}<extra></extra>", colorbar: { thickness: 10, title: { text: "cosine", side: "right" } } }],
      { ...layout(ink), shapes: lines_, xaxis: { title: { text: "optical" }, constrain: "domain", showgrid: false, zeroline: false }, yaxis: { title: { text: "SAR" }, showgrid: false, zeroline: false, autorange: "reversed", scaleanchor: "x" } }, CONFIG);
    map.removeAllListeners?.("plotly_click");
    map.on("plotly_click", (e) => {
      const { x, y } = e.points[0];
      const [a, b] = [answer.members[y] ?? [], answer.members[x] ?? []];
      if (!a.length) { notice("This run did not keep which patches a cell counts; run the study again."); return; }
      choose(a[0], a[0] === b[0] ? null : b[0]);
    });
  }

  async function drawTable() {
    const top = high.value ? Number(high.value) : 2 ** 31;
    const answer = await ask(`${base}/queries?setup=${setup.value}&scene=${encodeURIComponent(scene.value)}&lowest=${Number(low.value) || 1}&highest=${top}`);
    if (state.gone) return;
    lines = answer.lines;
    fill(count, `${answer.count} queries, worst first`);
    fill(table, h("table", {}, h("thead", {}, h("tr", {}, ["patch", "rank", "partner", "first", "score"].map((t, k) => h("th", { class: k ? "num" : "" }, t)))), h("tbody", {}, lines.map((l) => h("tr", { class: "pick", "data-index": l.index, tabindex: 0, onclick: () => choose(l.index, l.first === l.index ? null : l.first), onkeydown: (e) => { if (e.key === "Enter") choose(l.index, l.first === l.index ? null : l.first); } },
      h("td", {}, l.id), h("td", { class: "num" }, l.rank), h("td", { class: "num" }, l.partner_score.toFixed(3)), h("td", { class: "num" }, l.first === l.index ? "itself" : `#${l.first}`), h("td", { class: "num" }, l.first_score.toFixed(3)))))));
    mark();
  }

  function mark() {
    for (const row of table.querySelectorAll("tr.pick")) row.toggleAttribute("aria-selected", Number(row.dataset.index) === state.patch);
    const row = table.querySelector("tr[aria-selected]");
    if (!row) return;
    // Not scrollIntoView, which would move the page under the reader too.
    if (row.offsetTop < table.scrollTop + 30) table.scrollTop = row.offsetTop - 30;
    else if (row.offsetTop + row.offsetHeight > table.scrollTop + table.clientHeight) table.scrollTop = row.offsetTop + row.offsetHeight - table.clientHeight;
  }

  async function choose(index, against = null, quiet = false) {
    if (!quiet) me.linked?.(index);
    state.patch = index;
    remember({ patch: index });
    mark();
    if (points && space.data) { Plotly.deleteTraces(space, -1); Plotly.addTraces(space, chosen()); }
    const patch = await ask(`${base}/patches/${index}?setup=${setup.value}`);
    if (state.gone || state.patch !== index) return;
    drawPatch(patch, against);
  }

  function drawPatch(patch, against) {
    const image = (i, m) => `${base}/patches/${i}/${m}`;
    const [query_, answer] = patch.setup.direction === "sar->optical" ? ["sar", "optical"] : ["optical", "sar"];
    const extractor = h("select", { "aria-label": "Extractor of the feature maps", onchange: () => maps(patch.index, extractor.value, box) }, Object.keys(run.extractors).map((e) => h("option", { value: e }, e)));
    if (patch.setup.extractor in run.extractors) extractor.value = patch.setup.extractor;
    const box = h("div", { class: "maps" });
    const figure = (i, m, words, cls = "") => h("figure", { class: cls }, patch.thumbnail ? h("img", { src: image(i, m), alt: `${m === "sar" ? "SAR" : "Optical"} patch ${i}` }) : h("p", { class: "none" }, "no picture kept"), h("figcaption", {}, words));
    fill(detail, h("div", { class: "title" }, h("h3", {}, patch.id), patch.rank ? h("span", { class: `badge ${patch.rank === 1 ? "good" : patch.rank <= 10 ? "unsure" : "bad"}` }, `rank ${patch.rank}`) : h("span", { class: "badge plain" }, "not measured: a calibration patch")),
      h("div", { class: "patches" }, figure(patch.index, "sar", "SAR"), figure(patch.index, "optical", "optical"), against !== null ? figure(against, answer, `#${against}, compared`) : null),
      patch.nearest.length ? [h("h4", {}, `The ${patch.nearest.length} nearest ${answer === "sar" ? "SAR" : "optical"} patches`), h("div", { class: "nearest" }, patch.nearest.map((n) => h("button", { class: `near ${n.partner ? "partner" : ""}`, title: n.id, onclick: () => choose(n.index) }, n.thumbnail ? h("img", { src: image(n.index, answer), alt: n.partner ? `${n.id}, the partner` : n.id }) : h("span", {}, n.id), h("small", {}, n.score.toFixed(3)))))] : null,
      h("div", { class: "row" }, h("h4", {}, "Feature maps"), extractor), box);
    maps(patch.index, extractor.value, box);
  }

  async function maps(index, extractor, box) {
    fill(box, h("progress"));
    let job;
    try {
      job = await ask(`${base}/maps`, { json: { index, extractor } });
      while (["queued", "running"].includes(job.state)) {
        await new Promise((done) => setTimeout(done, 250));
        if (state.gone || !box.isConnected) return;
        job = await ask(`/jobs/${job.id}`);
      }
    } catch (error) { fill(box, h("p", { class: "none" }, error.message)); return; }
    if (job.state !== "done") { fill(box, h("p", { class: "none" }, sentence(job.error))); return; }
    if (!job.result.maps) { fill(box, h("p", { class: "none" }, "This extractor gives one cell a patch: there is no map to show.")); return; }
    const view = (f) => `/jobs/${job.id}/view/${f}`;
    const [row, col] = job.result.cell;
    fill(box, h("div", { class: "patches" }, [["patch-sar.png", "SAR"], ["map-sar.jpg", "SAR map"], ["map-optical.jpg", "optical map"], ["patch-optical.png", "optical"], ["map-response.jpg", `response of SAR cell (${row}, ${col})`]].map(([f, words]) => h("figure", {}, h("img", { class: "pixelated", src: view(f), alt: words }), h("figcaption", {}, words)))),
      h("p", { class: "none" }, "Equal colours mean equal features, whichever sensor saw them. The response is the cosine of one SAR cell (white square) with every optical cell."));
  }
}

const CONFIG = { displaylogo: false, responsive: true, scrollZoom: true, modeBarButtonsToRemove: ["select2d", "lasso2d", "sendDataToCloud"] };
const bare = () => ({ showgrid: false, zeroline: false, showticklabels: false });

function colours() {
  const style = getComputedStyle(document.documentElement);
  const read = (n) => style.getPropertyValue(n).trim();
  return { text: read("--text"), paper: read("--card"), sar: read("--sar"), optical: read("--optical"), line: read("--line") };
}

function layout(ink) {
  return { margin: { l: 46, r: 10, t: 24, b: 40 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: ink.text, family: "system-ui, sans-serif", size: 12 }, hovermode: "closest", autosize: true };
}

function select(title, choices, value, changed) {
  const box = h("select", { onchange: changed }, choices.map(([v, t]) => h("option", { value: v }, t)));
  box.value = value;
  return { node: h("label", { class: "inline" }, `${title} `, box), get value() { return box.value; } };
}
