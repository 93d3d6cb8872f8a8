// Files below the root: open what a command wrote, register two images or a folder, build an atlas, study pairs.
import { ask, fill, h, keep, notice, number } from "./dom.js";

const KINDS = { folder: "folder", image: "image", atlas: "atlas", run: "study", match: "match", matches: "batch", audit: "audit", pairs: "pairs" };
const PAGES = { atlas: "atlas", run: "run", match: "shown", audit: "audit" };

export async function show(root, name, query) {
  const there = await ask("/library");
  if (!there.root) {
    fill(root, h("h1", {}, "Files"), h("section", { class: "card" }, h("p", {}, "No folder is open to this page. End the explorer and start it with the folder below which it may look:"),
      h("pre", {}, "crosslook explore --root FOLDER"), h("p", { class: "none" }, "Nothing above that folder can be named. Without it, drop images on ", h("a", { href: "#/locate" }, "Locate"), " or ", h("a", { href: "#/register" }, "Register"), ".")));
    return {};
  }
  const body = h("div"), picked = { sar: "", optical: "" };
  fill(root, h("div", { class: "title" }, h("h1", {}, "Files")), body);
  await go(query.get("path") ?? "");
  return {};

  async function go(path) {
    const list = await ask(`/browse?path=${encodeURIComponent(path)}`);
    keep({ path });
    const parts = path ? path.split("/") : [];
    const crumbs = [h("button", { class: "small second", onclick: () => go("") }, there.root), ...parts.map((part, n) => h("button", { class: "small second", onclick: () => go(parts.slice(0, n + 1).join("/")) }, part))];
    const inside = (one) => (path ? `${path}/${one}` : one);
    const images = list.entries.some((one) => one.kind === "image");
    fill(body, h("nav", { class: "row crumbs", "aria-label": "Folders" }, crumbs), h("div", { class: "split" },
      h("section", { class: "card stage" }, list.entries.length ? h("ul", { class: "plain entries" }, list.entries.map((one) => entry(one, inside(one.name)))) : h("p", { class: "none" }, "Nothing here that can be shown or matched."),
        list.more ? h("p", { class: "none" }, `${number(list.more, 0)} more are not listed.`) : null),
      h("aside", { class: "side" }, hereCard(list, path, images), pairCard())));

    function entry(one, at) {
      const name = one.kind === "image" ? h("span", {}, one.name) : h("button", { class: "link", onclick: () => go(at) }, `${one.name}/`);
      return h("li", {}, name, one.kind === "folder" ? null : h("span", { class: "badge plain" }, KINDS[one.kind]),
        one.kind === "image" ? h("span", { class: "row" }, ["sar", "optical"].map((side) => h("button", { class: "small second", "aria-pressed": String(picked[side] === at), onclick: () => { picked[side] = picked[side] === at ? "" : at; go(path); } }, side === "sar" ? "as SAR" : "as optical")))
          : PAGES[one.kind] || one.kind === "matches" ? h("button", { class: "small", onclick: () => openIt(at) }, "Open") : null);
    }
  }

  function hereCard(list, path, images) {
    const what = list.kind === "pairs" ? `A set of ${number(list.scenes, 0)} pairs${list.incomplete ? `, and ${number(list.incomplete, 0)} without a partner` : ""}` : KINDS[list.kind] === "folder" ? "This folder" : `This is ${KINDS[list.kind] === "audit" || KINDS[list.kind] === "atlas" ? "an" : "a"} ${KINDS[list.kind]}`;
    const extractors = h("input", { id: "extractors", type: "text", value: "raw,hog", spellcheck: "false" });
    const patch = h("input", { id: "patch", type: "number", value: 256, min: 16 });
    const acts = [];
    if (list.kind === "pairs") {
      acts.push(h("p", { class: "row" }, h("button", { onclick: () => start("/open/batch", { path }) }, "Register all pairs"), h("button", { class: "second", onclick: () => auditThem(path) }, "Audit them")),
        list.incomplete ? h("p", { class: "none" }, "What has no partner is a failed row of the batch; the others do not wait for it.") : null,
        h("details", {}, h("summary", {}, "Study them"), h("label", { class: "field", for: "extractors" }, h("span", {}, "Extractors"), extractors, h("small", {}, "With commas between; those that come with the package.")),
          h("label", { class: "field", for: "patch" }, h("span", {}, "Patch, pixels"), patch),
          h("button", { onclick: () => start("/open/study", { path, extractors: extractors.value.split(",").map((t) => t.trim()).filter(Boolean), patch: Number(patch.value) }) }, "Start the study")));
    } else if (PAGES[list.kind] || list.kind === "matches") acts.push(h("p", {}, h("button", { onclick: () => openIt(path) }, "Open")));
    if (images && list.kind !== "pairs") acts.push(h("p", {}, h("button", { class: acts.length ? "second" : "", onclick: () => start("/open/atlas", { paths: [path] }) }, "Build an atlas of these images")));
    if (!acts.length) acts.push(h("p", { class: "none" }, "Go into a folder of pairs to register or study them, into one of optical images to build an atlas, or choose two images."));
    return h("section", { class: "card" }, h("h2", {}, what), acts);
  }

  function pairCard() {
    if (!picked.sar && !picked.optical) return null;
    const line = (side, words) => h("p", {}, `${words}: `, picked[side] ? h("strong", {}, picked[side]) : h("span", { class: "none" }, "choose one"));
    return h("section", { class: "card accent" }, h("h2", {}, "Register a pair"), line("sar", "SAR image"), line("optical", "Optical image"),
      h("button", { disabled: !(picked.sar && picked.optical), onclick: () => start("/open/pair", picked) }, "Register"));
  }

  async function openIt(path) {
    try {
      const shown = await ask("/open", { json: { path } });
      const [one] = shown;
      location.hash = shown.length === 1 && PAGES[one.kind] ? `#/${PAGES[one.kind]}/${encodeURIComponent(one.id)}` : "#/";
      if (shown.length > 1) notice(`${shown.length} matches are opened and listed here.`);
    } catch (error) { notice(error.message, "error"); }
  }

  async function auditThem(path) {
    try {
      const [one] = await ask("/open", { json: { path } });
      await start("/audits", { pairs: one.id });
    } catch (error) { notice(error.message, "error"); }
  }

  async function start(address, json) {
    try {
      const job = await ask(address, { json });
      location.hash = job.kind === "register" ? `#/match/${job.id}` : "#/results";
    } catch (error) { notice(error.message, "error"); }
  }
}
