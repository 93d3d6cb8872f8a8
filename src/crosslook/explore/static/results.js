// All jobs: the queue, what runs, what there is.
import { ago, ask, badge, fill, h, keep, notice } from "./dom.js";

const NAMES = { locate: "Locate", register: "Register", refit: "By hand", audit: "Audit", demo: "Demo", "demo-study": "Demo" };

export async function show(root, name, query) {
  const body = h("div");
  const filter = h("select", { "aria-label": "Which", onchange: () => { keep({ show: filter.value }); refresh(); } },
    [["", "All"], ["match", "Matches"], ["uncertain", "Uncertain"], ["no match", "No match"], ["open", "Waiting and running"]].map(([v, t]) => h("option", { value: v }, t)));
  filter.value = query.get("show") ?? "";
  fill(root, h("div", { class: "title" }, h("h1", {}, "Results"), filter), body);
  let timer = 0, gone = false, before = "";
  async function refresh() {
    clearTimeout(timer);
    const jobs = (await ask("/jobs?kind=locate,register,refit,audit,demo,demo-study")).filter((job) => wanted(job, filter.value));
    if (gone) return;
    const state = JSON.stringify(jobs);
    if (state !== before) { before = state; draw(body, jobs, refresh); }
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
  fill(body, h("div", { class: "scroll" }, h("table", {}, h("thead", {}, h("tr", {}, ["what", "", "verdict", "confidence", "when", ""].map((t) => h("th", {}, t)))),
    h("tbody", {}, jobs.map((job) => {
      const shown = ["locate", "register", "refit"].includes(job.kind);
      const open = ["queued", "running"].includes(job.state);
      return h("tr", {}, h("td", { class: "wide" }, shown ? h("a", { href: `#/match/${job.id}` }, job.title) : job.title),
        h("td", {}, NAMES[job.kind] ?? job.kind),
        h("td", {}, job.result.verdict ? badge(job.result.verdict) : state(job)),
        h("td", { class: "num" }, typeof job.result.confidence !== "number" ? "" : job.result.confidence.toFixed(2)),
        h("td", {}, ago(job.created)),
        h("td", {}, open ? h("button", { class: "small second", onclick: () => act(`/jobs/${job.id}/cancel`, "POST", refresh) }, "Cancel")
          : h("button", { class: "small quiet", "aria-label": `Remove ${job.title}`, title: "Remove", onclick: () => act(`/jobs/${job.id}`, "DELETE", refresh) }, "×")));
    })))));
}

function state(job) {
  if (job.state === "running") return [h("span", {}, job.stage || "starting"), job.total ? ` ${job.done}/${job.total}` : ""];
  if (job.state === "queued") return `waiting, ${job.ahead} before it`;
  return [h("span", { class: "badge plain" }, job.state), h("small", {}, job.error)];
}

async function act(path, method, refresh) {
  try { await ask(path, { method }); } catch (error) { notice(error.message, "error"); }
  refresh();
}
