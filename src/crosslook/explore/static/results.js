// All jobs: the queue, what runs, what there is.
import { ago, ask, badge, bytes, fill, h, keep, notice } from "./dom.js";

const NAMES = { locate: "Locate", register: "Register", refit: "By hand", audit: "Audit", demo: "Demo", "demo-study": "Demo", atlas: "Atlas", study: "Study", batch: "Batch" };
const MADE = [["atlases", "atlas"], ["runs", "run"], ["audits", "audit"], ["matches", "shown"]];

export async function show(root, name, query) {
  const body = h("div");
  const filter = h("select", { "aria-label": "Which", onchange: () => { keep({ show: filter.value }); refresh(); } },
    [["", "All"], ["match", "Matches"], ["uncertain", "Uncertain"], ["no match", "No match"], ["open", "Waiting and running"], ["bin", "In the bin"]].map(([v, t]) => h("option", { value: v }, t)));
  filter.value = query.get("show") ?? "";
  fill(root, h("div", { class: "title" }, h("h1", {}, "Results"), filter), body);
  let timer = 0, gone = false, before = "", asked = 0;
  async function refresh() {
    clearTimeout(timer);
    const turn = ++asked; // of several under way only the last is drawn: answers may come in any order
    const binned = filter.value === "bin";
    const there = await ask("/library");
    const jobs = binned ? await ask("/bin") : (await ask("/jobs?kind=locate,register,refit,audit,demo,demo-study,atlas,study,batch")).filter((job) => wanted(job, filter.value));
    if (gone || turn !== asked) return;
    for (const job of jobs) job.made = MADE.flatMap(([head, page]) => there[head].filter((one) => one.job === job.id).map((one) => [page, one.id, one.pair]));
    const state = JSON.stringify([binned, jobs]);
    if (state !== before) { before = state; (binned ? drawBin : draw)(body, jobs, refresh); }
    timer = setTimeout(refresh, jobs.some((job) => ["queued", "running"].includes(job.state)) ? 700 : 4000);
  }
  await refresh();
  return { leave() { gone = true; clearTimeout(timer); } };
}

function wanted(job, what) {
  if (!what) return true;
  if (what === "open") return ["queued", "running"].includes(job.state);
  return job.result.verdict === what;
}

function draw(body, jobs, refresh) {
  if (!jobs.length) { fill(body, h("p", { class: "card none" }, "Nothing here yet. ", h("a", { href: "#/locate" }, "Locate an image"), ".")); return; }
  fill(body, h("div", { class: "scroll" }, h("table", { class: "stacked" }, h("thead", {}, h("tr", {}, ["what", "", "verdict", "confidence", "when", ""].map((t) => h("th", {}, t)))),
    h("tbody", {}, jobs.flatMap((job) => {
      const shown = ["locate", "register", "refit"].includes(job.kind);
      const open = ["queued", "running"].includes(job.state);
      return [h("tr", {}, h("td", { class: "wide" }, shown ? h("a", { href: `#/match/${job.id}` }, job.title) : job.title, job.kind === "batch" ? null : madeBy(job)),
        h("td", {}, NAMES[job.kind] ?? job.kind),
        h("td", {}, job.result.verdict ? badge(job.result.verdict) : state(job)),
        h("td", { class: "num" }, typeof job.result.confidence !== "number" ? "" : job.result.confidence.toFixed(2)),
        h("td", {}, ago(job.created)),
        h("td", {}, open ? h("button", { class: "small second", onclick: () => act(`/jobs/${job.id}/cancel`, "POST", refresh) }, "Cancel")
          : h("button", { class: "small second", "aria-label": `Remove ${job.title}`, onclick: () => remove(job, refresh) }, "Remove"))), job.kind === "batch" && job.state === "done" ? h("tr", { class: "batch" }, h("td", { class: "wide", colspan: 6 }, batch(job))) : null];
    })))));
}

// Into the bin, with a way back at once; what lies there can be had back later too.
async function remove(job, refresh) {
  await act(`/jobs/${job.id}`, "DELETE", refresh);
  notice(`'${job.title}' is in the bin.`, "info", ["Undo", () => act(`/jobs/${job.id}/restore`, "POST", refresh)]);
}

function drawBin(body, jobs, refresh) {
  if (!jobs.length) { fill(body, h("p", { class: "card none" }, "The bin is empty. What is removed lies here for 30 days, and goes sooner where its room is needed.")); return; }
  const all = jobs.reduce((sum, job) => sum + job.bytes, 0);
  fill(body, h("div", { class: "card row" }, h("span", {}, `${jobs.length} in the bin, ${bytes(all)}. They count on what may be stored; the oldest go where room is needed.`),
    h("button", { class: "second", onclick: () => { if (confirm(`Delete ${jobs.length} result(s) for good?`)) act("/bin", "DELETE", refresh); } }, "Empty the bin")),
    h("div", { class: "scroll" }, h("table", { class: "stacked" }, h("thead", {}, h("tr", {}, ["what", "", "verdict", "size", "removed", ""].map((t) => h("th", {}, t)))),
      h("tbody", {}, jobs.map((job) => h("tr", {}, h("td", { class: "wide" }, job.title), h("td", {}, NAMES[job.kind] ?? job.kind),
        h("td", {}, job.result.verdict ? badge(job.result.verdict) : state(job)), h("td", { class: "num" }, bytes(job.bytes)), h("td", {}, ago(job.removed)),
        h("td", { class: "row" }, h("button", { class: "small", onclick: () => act(`/jobs/${job.id}/restore`, "POST", refresh) }, "Restore"),
          h("button", { class: "small second", onclick: () => act(`/bin/${job.id}`, "DELETE", refresh) }, "Delete"))))))));
}

// What a job made, as links.
function madeBy(job) {
  if (!job.made?.length) return null;
  return h("p", { class: "row" }, job.made.map(([page, id]) => h("a", { href: `#/${page}/${encodeURIComponent(id)}` }, id)));
}

// The pairs of a batch, those that need a look first; asked for when they are unfolded.
const DOUBT = ["", "no match", "uncertain", "match"];

function batch(job) {
  const body = h("div");
  const node = h("details", { class: "batch", ontoggle: async () => {
    if (!node.open || body.childElementCount) return;
    const { rows = [] } = (await ask(`/jobs/${job.id}`)).result;
    const pages = new Map((job.made ?? []).map(([page, id, pair]) => [pair, `#/${page}/${encodeURIComponent(id)}`]));
    const order = [...rows].sort((a, b) => DOUBT.indexOf(a.verdict ?? "") - DOUBT.indexOf(b.verdict ?? "") || (a.confidence ?? 0) - (b.confidence ?? 0));
    fill(body, h("table", {}, h("thead", {}, h("tr", {}, ["pair", "verdict", "confidence", ""].map((t, k) => h("th", { class: k === 2 ? "num" : "" }, t)))), h("tbody", {}, order.map((one) => h("tr", {},
      h("td", {}, pages.has(one.name) ? h("a", { href: pages.get(one.name) }, one.name) : one.name), h("td", {}, one.verdict ? badge(one.verdict) : h("span", { class: "badge bad" }, "failed")),
      h("td", { class: "num" }, typeof one.confidence === "number" ? one.confidence.toFixed(2) : ""), h("td", {}, h("small", {}, one.error || (one.warning ? `look at the input: ${one.warning}` : ""))))))));
  } }, h("summary", {}, "The pairs, those to look at first"), body);
  return node;
}

function state(job) {
  if (job.state === "running") return [h("span", {}, job.stage || "starting"), job.total ? [` ${job.done} of ${job.total}`, h("progress", { max: job.total, value: job.done })] : ""];
  if (job.state === "queued") return `waiting, ${job.ahead} before it`;
  return [h("span", { class: "badge plain" }, job.state), " ", h("small", {}, job.error || job.result.counted || "")];
}

async function act(path, method, refresh) {
  try { await ask(path, { method }); } catch (error) { notice(error.message, "error"); }
  refresh();
}
