// Pages by the address, keys, the theme.
import { fill, h, notice, where } from "./dom.js";
import * as start from "./start.js";
import * as atlas from "./atlas.js";
import * as locate from "./locate.js";
import * as results from "./results.js";
import * as match from "./match.js";
import * as study from "./study.js";
import * as audit from "./audit.js";
import * as api from "./apipage.js";
import * as files from "./open.js";

const PAGES = {
  "": start.show, atlas: atlas.show, locate: locate.show, register: locate.showRegister,
  results: results.show, match: match.show, shown: match.showWritten, run: study.show,
  audit: audit.show, api: api.show, files: files.show,
};
let now = { leave() {}, key() {} };
let visit = 0;

async function route() {
  const { page, name, query } = where();
  const main = document.getElementById("main");
  now.leave?.();
  now = {};
  const mine = ++visit;
  notice("");
  for (const link of document.querySelectorAll("nav a")) {
    const here = link.dataset.page === page || (link.dataset.page === "results" && page in { match: 1, shown: 1 });
    if (here) { link.setAttribute("aria-current", "page"); link.scrollIntoView({ block: "nearest", inline: "nearest" }); }
    else link.removeAttribute("aria-current");
  }
  const root = h("div", { class: "page" });
  fill(main, root);
  window.scrollTo(0, 0);
  const show = PAGES[page];
  if (!show) { fill(root, h("p", {}, "There is no such page. "), h("a", { href: "#/" }, "To the start")); return; }
  try {
    const page = (await show(root, name, query)) ?? {};
    if (mine === visit) now = page; else page.leave?.();
  } catch (error) {
    if (mine !== visit) return;
    fill(root, h("section", { class: "card" }, h("h1", {}, "That did not work"), h("p", {}, error.message),
      h("p", {}, h("a", { href: "#/" }, "To the start"))));
    if (error.status === undefined) throw error;
  }
}

addEventListener("hashchange", route);
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const target = event.target;
  const typing = target.closest?.("input:not([type=range]):not([type=checkbox]), textarea, select");
  if (typing) return;
  const presses = event.key === " " && target.closest?.("button, a, summary, input[type=checkbox]");
  if (!presses && now.key?.(event)) event.preventDefault();
});

document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try { localStorage.setItem("theme", root.dataset.theme); } catch { /* storage may be off */ }
  dispatchEvent(new CustomEvent("themechange"));
});

addEventListener("unhandledrejection", (event) => {
  if (event.reason?.status !== undefined) { event.preventDefault(); notice(event.reason.message, "error"); }
});

route();
