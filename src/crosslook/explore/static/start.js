// The first page: what is here, and the demo where nothing is.
import { ago, ask, fill, h, number, badge } from "./dom.js";
import { world } from "./world.js";

export async function show(root) {
  const body = h("div");
  fill(root, h("div", { class: "hero" },
    h("div", {}, h("h1", {}, "Where does this radar image lie?"),
      h("p", { class: "lead" }, "Drop SAR images and see where they lie on a basemap, how sure that is, and why. Look through studies and audits. Nothing leaves this machine."),
      h("p", {}, h("a", { class: "button", href: "#/locate" }, "Locate an image"), " ", h("a", { class: "button second", href: "#/register" }, "Register a pair"), " ", h("a", { class: "button second", href: "#/files" }, "Open files")))), body);
  let timer = 0, gone = false;
  async function refresh() {
    const [there, jobs] = await Promise.all([ask("/library"), ask("/jobs")]);
    if (gone) return;
    const open = jobs.filter((job) => job.kind.startsWith("demo") && ["queued", "running"].includes(job.state));
    const demo = open.find((job) => job.state === "running") ?? open[0];
    await draw(body, there, jobs, demo, refresh);
    if (!gone) timer = setTimeout(refresh, demo ? 800 : 5000);
  }
  await refresh();
  return { leave() { gone = true; clearTimeout(timer); } };
}

let drawn = "";
const MOST = 6; // lines of a list before the rest is folded away

async function draw(body, there, jobs, demo, refresh) {
  const state = JSON.stringify([there, jobs, demo]);
  if (state === drawn && body.childElementCount) return;
  drawn = state;
  const atlases = await Promise.all(there.atlases.map((one) => ask(`/atlases/${encodeURIComponent(one.id)}`)));
  const places = atlases.map((one) => {
    const centre = one.lattice.lonlat[Math.floor(one.lattice.nodes / 2)][Math.floor(one.lattice.nodes / 2)];
    return { lon: centre[0], lat: centre[1], name: one.id, href: `#/atlas/${encodeURIComponent(one.id)}` };
  });
  const empty = !["atlases", "runs", "matches", "audits", "pairs"].some((name) => there[name].length);
  fill(body, demoCard(there, jobs, demo, refresh, empty),
    h("div", { class: "columns" },
      h("section", { class: "card world-card" }, h("h2", {}, "Atlases"), await world(places),
        list(atlases, (one) => [h("a", { class: "atlas-thumb", href: `#/atlas/${encodeURIComponent(one.id)}`, "aria-hidden": "true", tabindex: "-1" }, thumbnail(one)), h("a", { href: `#/atlas/${encodeURIComponent(one.id)}` }, one.id), synthetic(one),
          h("small", {}, `${number(one.area_km2, 0)} km², ${number(one.shape[1], 0)} × ${number(one.shape[0], 0)} px of ${number(one.gsd, 1)} m`)],
        h("span", {}, "None yet. ", h("a", { href: "#/files" }, "Open one, or build one from a folder of images"), ", or make the demo."))),
      h("div", {},
        section("Results", jobs.filter((job) => ["locate", "register", "refit"].includes(job.kind)).slice(0, 6),
          (job) => [h("a", { href: `#/match/${job.id}` }, job.title), " ", job.result.verdict ? badge(job.result.verdict) : h("span", { class: "badge plain" }, job.state), h("small", {}, ago(job.created))],
          h("span", {}, "None yet. ", h("a", { href: "#/locate" }, "Locate an image"), " or ", h("a", { href: "#/register" }, "register a pair"), "; it is listed here, also after a restart.")),
        section("Matches opened or made in a batch", [...there.matches].sort(doubtFirst), (one) => [h("a", { href: `#/shown/${encodeURIComponent(one.id)}` }, one.id), one.verdict ? badge(one.verdict) : null, one.confidence === null || one.confidence === undefined ? null : h("small", {}, `confidence ${one.confidence.toFixed(2)}`)], ""),
        section("Studies", there.runs, (one) => [h("a", { href: `#/run/${encodeURIComponent(one.id)}` }, one.id), synthetic(one)], h("span", {}, "None yet. ", h("a", { href: "#/files" }, "Start one on a folder of pairs"), ".")),
        section("Audits", there.audits, (one) => [h("a", { href: `#/audit/${encodeURIComponent(one.id)}` }, one.id), synthetic(one)], h("span", {}, "None yet. ", h("a", { href: "#/files" }, "Open a set of pairs"), ", and audit it here.")),
        section("Sets of pairs", there.pairs, (one) => [one.id, synthetic(one), h("small", {}, `${one.scenes} scenes`), h("button", { class: "small second", onclick: () => audit(one.id) }, "Audit")], ""))));
}

async function audit(pairs) {
  const job = await ask("/audits", { json: { pairs } });
  location.hash = `#/results?job=${job.id}`;
}

function demoCard(there, jobs, demo, refresh, empty) {
  const failed = jobs.find((job) => job.kind.startsWith("demo"));
  const ready = there.atlases.find((one) => one.synthetic);
  if (ready && there.chips.length) {
    return h("section", { class: "card accent demo" }, h("h2", {}, "The demo is ready"),
      h("p", {}, "A simulated land, seen by a simulated camera and a simulated radar. Take one of the radar chips and see where it lies."),
      h("p", { class: "row" }, there.chips.map((name, n) => h("a", { class: "button", href: `#/locate?atlas=${encodeURIComponent(ready.id)}&chip=${encodeURIComponent(name)}` }, `Locate chip ${n + 1}`)),
        h("a", { class: "button second", href: `#/atlas/${encodeURIComponent(ready.id)}` }, "Open the map")),
      demo ? [h("p", { class: "none", "aria-live": "polite" }, `The study and the audit are still being made: ${progressOf(demo)}.`), bar(demo)] : null,
      failed?.state === "failed" ? h("p", { class: "bad-text" }, failed.error) : null);
  }
  if (demo) return h("section", { class: "card accent" }, h("h2", {}, "Making the simulated demo"), h("p", {}, progressOf(demo)), bar(demo));
  return h("section", { class: empty ? "card accent" : "card" }, h("h2", {}, empty ? "Nothing to show yet" : "Try the demo"),
    failed?.state === "failed" ? h("p", { class: "bad-text" }, failed.error) : null,
    h("p", {}, "The demo simulates a basemap and radar chips of it in half a minute, then a study and an audit while you look at them. It is marked as simulated wherever it is shown."),
    h("button", { onclick: async () => { await ask("/demo", { method: "POST" }); refresh(); } }, "Make the demo"));
}

// The tile that holds the whole atlas, without the margin that makes it square.
function thumbnail(atlas) {
  const side = 256 * 2 ** atlas.zooms, large = Math.max(...atlas.shape), width = (84 * side) / large;
  return h("img", { src: `/atlases/${encodeURIComponent(atlas.id)}/tiles/0/0/0?v=${atlas.version}${atlas.ready < 1 ? `&ready=${atlas.ready}` : ""}`, alt: "", loading: "lazy", width, height: width });
}

function progressOf(job) { return `${job.stage || "starting"}${job.total ? ` ${job.done} of ${job.total}` : ""}`; }

function bar(job) { return h("progress", job.total ? { max: job.total, value: job.done } : {}); }

function section(title, items, draw, none) {
  if (!items.length && !none) return null;
  return h("section", { class: "card" }, h("h2", {}, title), list(items, draw, none));
}

function list(items, draw, none) {
  if (!items.length) return h("p", { class: "none" }, none);
  const lines = (some) => h("ul", { class: "plain" }, some.map((one) => h("li", {}, draw(one))));
  const [first, rest] = items.length > MOST + 2 ? [items.slice(0, MOST), items.slice(MOST)] : [items, []];
  return [lines(first), rest.length ? h("details", {}, h("summary", {}, `${number(rest.length, 0)} more`), lines(rest)) : null];
}

// What needs a look comes first, the least sure of each verdict before the others.
const DOUBT = ["no match", "uncertain", "match"];
const doubtFirst = (a, b) => DOUBT.indexOf(a.verdict) - DOUBT.indexOf(b.verdict) || (a.confidence ?? 0) - (b.confidence ?? 0);

export function synthetic(one) {
  return one.synthetic ? h("span", { class: "badge plain" }, "simulated") : null;
}
