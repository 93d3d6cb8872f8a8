// Elements, requests and words. Text only ever becomes text: nothing here parses HTML.

export function h(tag, props = {}, ...children) {
  const node = tag === "svg" || SVG.has(tag)
    ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(props || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class") node.setAttribute("class", value);
    else if (name === "value" && "value" in node) node.value = value;
    else if (name === "checked" || name === "disabled" || name === "multiple") node[name] = value;
    else if (name === "style") for (const [k, v] of Object.entries(value)) node.style.setProperty(k, v);
    else node.setAttribute(name, value === true ? "" : value);
  }
  add(node, children);
  return node;
}

const SVG = new Set(["path", "circle", "rect", "line", "g", "polyline", "polygon"]);

function add(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

export function fill(node, ...children) {
  node.replaceChildren();
  add(node, children);
  return node;
}

export class Problem extends Error {
  constructor(words, status) { super(words); this.status = status; }
}

export async function ask(path, options = {}) {
  const init = { ...options };
  if (init.json !== undefined) {
    init.method ??= "POST";
    init.headers = { "content-type": "application/json" };
    init.body = JSON.stringify(init.json);
    delete init.json;
  }
  let answer;
  try {
    answer = await fetch(path, init);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The explorer does not answer. Is 'crosslook explore' still running?", 0);
  }
  let content = null;
  try { content = await answer.json(); } catch { /* said below */ }
  if (!answer.ok) throw new Problem(sentence(content?.error ?? `The explorer answered ${answer.status}.`), answer.status);
  return content;
}

export function sentence(text) {
  const plain = String(text).trim();
  if (!/^[a-z]+[\s,;:]/.test(plain)) return plain; // a name, not a word
  return plain.charAt(0).toUpperCase() + plain.slice(1);
}

let fading = 0;
// action: [words of a button, what it does], which stays longer: there must be time to press it.
export function notice(words, kind = "info", action = null) {
  const box = document.getElementById("notice");
  fill(box, words ? h("div", { class: `toast ${kind}` }, h("span", {}, words),
    action ? h("button", { class: "small", onclick: () => { fill(box); action[1](); } }, action[0]) : null,
    h("button", { class: "quiet", onclick: () => fill(box) }, "Close")) : null);
  clearTimeout(fading);
  if (words && kind !== "error") fading = setTimeout(() => fill(box), action ? 15000 : 6000);
}

export function number(value, digits = 2) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  return Number(value).toLocaleString("en", { maximumFractionDigits: digits });
}

export function bytes(count) {
  if (count < 1024) return `${count} B`;
  const steps = ["KiB", "MiB", "GiB", "TiB"];
  let value = count, step = -1;
  while (value >= 1024 && step < 3) { value /= 1024; step += 1; }
  return `${number(value, value < 10 ? 1 : 0)} ${steps[step]}`;
}

export function ago(seconds) {
  const gone = Math.max(0, Date.now() / 1000 - seconds);
  if (gone < 60) return "just now";
  if (gone < 3600) return `${Math.floor(gone / 60)} min ago`;
  if (gone < 86400) return `${Math.floor(gone / 3600)} h ago`;
  return new Date(seconds * 1000).toLocaleDateString();
}

export function later(work, wait = 250) {
  let timer = 0;
  return (...given) => { clearTimeout(timer); timer = setTimeout(() => work(...given), wait); };
}

export function badge(verdict) {
  const kind = { match: "good", uncertain: "unsure", "no match": "bad" }[verdict] ?? "plain";
  return h("span", { class: `badge ${kind}` }, verdict);
}

export function fact(name, value) {
  return h("div", { class: "fact" }, h("dt", {}, name), h("dd", {}, value));
}

// State in the address: #/page/name?key=value
export function where() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const parts = path.split("/").map(decodeURIComponent);
  return { page: parts[0] || "", name: parts[1] || "", query: new URLSearchParams(query) };
}

export function keep(changes) {
  const { page, name, query } = where();
  for (const [key, value] of Object.entries(changes)) {
    if (value === null || value === "" || value === undefined) query.delete(key);
    else query.set(key, value);
  }
  const tail = query.toString().replaceAll("%2C", ",");
  history.replaceState(null, "", `#/${page}${name ? `/${encodeURIComponent(name)}` : ""}${tail ? `?${tail}` : ""}`);
}
