// Drop images, see what was read of them, change that, and start the search.
import { ask, bytes, fill, h, keep, later, notice, number, Problem, sentence } from "./dom.js";

export const show = (root, name, query) => page(root, query, "locate");
export const showRegister = (root, name, query) => page(root, query, "register");

async function page(root, query, kind) {
  const [there, options] = await Promise.all([ask("/library"), ask(`/options/${kind}`)]);
  const state = { kind, there, images: [], gone: false, checked: "" };
  const doubts = h("div", { "aria-live": "polite" });
  const locating = kind === "locate";
  const slots = locating ? [["sar", "SAR images", true]] : [["sar", "SAR image", false], ["optical", "optical image", false]];
  const go = h("button", { class: "large-button", disabled: true }, locating ? "Locate" : "Register");
  const said = h("p", { class: "none", "aria-live": "polite" });
  const form = optionsForm(options, query, () => { for (const one of state.images) one.changed(); });
  const atlas = h("select", { id: "atlas", onchange: () => { keep({ atlas: atlas.value }); check(); } },
    there.atlases.map((one) => h("option", { value: one.id }, one.id + (one.synthetic ? " (simulated)" : ""))));
  if (query.get("atlas")) atlas.value = query.get("atlas");
  fill(root, h("h1", {}, locating ? "Locate SAR images on an atlas" : "Register a SAR image on an optical one"),
    h("div", { class: "split" },
      h("div", { class: "stage" }, slots.map(([modality, title, many]) => slot(modality, title, many))),
      h("aside", { class: "side" }, h("section", { class: "card" },
        locating ? h("label", { class: "field" }, h("span", {}, "Atlas"), there.atlases.length ? atlas : h("em", {}, "none; start with crosslook explore ATLAS, or make the demo")) : null,
        form.node, doubts, h("p", {}, go), said))));
  go.addEventListener("click", start);
  update();
  if (query.get("chip")) takeChip(query.get("chip"));
  return { leave() { state.gone = true; } };

  function slot(modality, title, many) {
    const input = h("input", { type: "file", id: `file-${modality}`, multiple: many, accept: ".tif,.tiff,.png,.jpg,.jpeg,.jp2", onchange: () => { take([...input.files], modality, many); input.value = ""; } });
    const list = h("div", { class: "images" });
    const drop = h("div", { class: "drop" }, h("label", { for: `file-${modality}` }, h("strong", {}, `Drop ${many ? "SAR images" : `the ${title}`} here`), " or choose ", many ? "files" : "a file"),
      input, h("small", {}, `GeoTIFF, PNG, JPEG or JPEG 2000; up to ${bytes(there.limits.upload_bytes)} and ${number(there.limits.pixels / 1e6, 0)} megapixels each`));
    for (const name of ["dragenter", "dragover"]) drop.addEventListener(name, (e) => { e.preventDefault(); drop.classList.add("over"); });
    for (const name of ["dragleave", "drop"]) drop.addEventListener(name, () => drop.classList.remove("over"));
    drop.addEventListener("drop", (e) => { e.preventDefault(); take([...e.dataTransfer.files], modality, many); });
    return h("section", { "data-slot": modality }, locating ? null : h("h2", {}, sentence(title)), drop, list);
  }

  function take(files, modality, many) {
    if (!many) { for (const one of state.images.filter((i) => i.modality === modality)) one.remove(); files = files.slice(0, 1); }
    for (const file of files) {
      const one = imageCard(state, file, modality, form, update);
      root.querySelector(`[data-slot=${modality}] .images`).append(one.node);
      state.images.push(one);
    }
    update();
  }

  async function takeChip(name) {
    const answer = await fetch(`/demo/chips/${encodeURIComponent(name)}`);
    if (!answer.ok) { notice("There is no such chip; make the demo on the start page.", "error"); return; }
    take([new File([await answer.blob()], name)], "sar", true);
  }

  function update() {
    const ready = state.images.filter((one) => one.upload && !one.failed);
    const waiting = state.images.some((one) => one.busy);
    const enough = locating ? ready.length > 0 && there.atlases.length > 0 : slots.every(([m]) => ready.some((one) => one.modality === m));
    go.disabled = !enough || waiting;
    const plain = locating && ready.some((one) => one.inspection && !one.inspection.gsd);
    const gsd = form.value("gsd");
    form.mark("gsd", plain && !gsd ? "Needed: an image says nothing of its pixel size." : "");
    if (plain && !gsd) go.disabled = true;
    check();
    go.textContent = locating ? (ready.length > 1 ? `Locate ${ready.length} images` : "Locate") : "Register";
  }

  // Whether the images are of the kind and the place that they are given for, before the work.
  async function check() {
    const seen = state.images.filter((one) => one.inspection && !one.failed);
    const id = (m) => seen.find((one) => one.modality === m)?.upload.id;
    const wholes = locating ? seen.map((one) => ({ sar: one.upload.id, atlas: atlas.value || "" })) : id("sar") && id("optical") ? [{ sar: id("sar"), optical: id("optical") }] : [];
    const requested = JSON.stringify(wholes);
    if (requested === state.checked) return;
    state.checked = requested;
    fill(doubts);
    for (const body of wholes) {
      try {
        let job = await ask("/check", { json: body });
        while (["queued", "running"].includes(job.state)) {
          await new Promise((done) => setTimeout(done, 250));
          if (state.gone || state.checked !== requested) return;
          job = await ask(`/jobs/${job.id}`);
        }
        if (job.state === "done" && state.checked === requested) doubts.append(...job.result.warnings.map((one) => doubtCard(one, one.kind === "swapped" ? swap : null)));
      } catch (error) { if (!(error instanceof Problem)) throw error; } // said where it is matched
    }
  }

  function swap() {
    const files = Object.fromEntries(state.images.map((one) => [one.modality, one.file]));
    take([files.optical], "sar", false);
    take([files.sar], "optical", false);
  }

  async function start() {
    go.disabled = true;
    try {
      const settings = form.values();
      const ready = state.images.filter((one) => one.upload && !one.failed);
      const jobs = [];
      if (locating) {
        for (const one of ready) {
          const mine = { ...settings };
          if (one.inspection?.gsd) delete mine.gsd;
          jobs.push(await ask("/locate", { json: { query: one.upload.id, atlas: atlas.value, settings: mine, force: form.force() } }));
        }
      } else {
        const id = (m) => ready.find((one) => one.modality === m).upload.id;
        jobs.push(await ask("/register", { json: { sar: id("sar"), optical: id("optical"), settings, force: form.force() } }));
      }
      location.hash = jobs.length === 1 ? `#/match/${jobs[0].id}` : "#/results";
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      fill(said, h("span", { class: "bad-text" }, error.message));
      go.disabled = false;
    }
  }
}

// What makes a result mean less than it says; swap: what a button does where sides are swapped.
export function doubtCard(one, swap) {
  return h("section", { class: "card doubt", role: "alert" }, h("p", {}, sentence(one.text)), swap ? h("p", {}, h("button", { onclick: swap }, "Swap the two images")) : null);
}

function imageCard(state, file, modality, form, update) {
  const body = h("div", { class: "image-body" }, h("progress", { max: 1, value: 0 }), h("p", { class: "none" }, "uploading"));
  const title = h("h3", {}, file.name);
  const one = { modality, file, busy: true, failed: false, upload: null, inspection: null, changed: later(inspect, 500), remove, node: null, seen: "" };
  one.node = h("article", { class: "card image" }, h("div", { class: "title" }, title, h("small", {}, bytes(file.size)), h("button", { class: "small second", "aria-label": `Remove ${file.name}`, onclick: remove }, "Remove")), body);
  send();
  return one;

  function remove() {
    one.node.remove();
    state.images.splice(state.images.indexOf(one), 1);
    update();
  }

  function fail(words) {
    one.failed = true;
    one.busy = false;
    fill(body, h("p", { class: "bad-text" }, words));
    update();
  }

  async function send() {
    if (file.size > state.there.limits.upload_bytes) {
      fail(`The file has ${bytes(file.size)}; up to ${bytes(state.there.limits.upload_bytes)} are taken. Cut or reduce the image, or start the explorer with a larger --max-upload.`);
      return;
    }
    const request = new XMLHttpRequest();
    request.open("POST", `/uploads?name=${encodeURIComponent(file.name)}`);
    request.setRequestHeader("content-type", "application/octet-stream");
    request.upload.onprogress = (e) => { const bar = body.querySelector("progress"); if (bar && e.total) bar.value = e.loaded / e.total; };
    request.onerror = () => fail("The upload broke off. Is the explorer still running?");
    request.onload = () => {
      let answer = {};
      try { answer = JSON.parse(request.responseText); } catch { /* said below */ }
      if (request.status !== 201) { fail(sentence(answer.error ?? `the explorer answered ${request.status}`)); return; }
      one.upload = answer;
      inspect();
    };
    request.send(file);
  }

  async function inspect() {
    if (!one.upload || state.gone) return;
    const settings = form.reading(modality);
    const wanted = JSON.stringify(settings);
    if (wanted === one.seen) return;
    one.seen = wanted;
    one.busy = true;
    update();
    try {
      let job = await ask("/inspect", { json: { image: one.upload.id, modality, settings } });
      while (["queued", "running"].includes(job.state)) {
        if (!one.inspection) fill(body, h("progress", {}), h("p", { class: "none" }, job.ahead ? `waiting; ${job.ahead} before it` : "reading"));
        await new Promise((done) => setTimeout(done, 250));
        if (state.gone || one.seen !== wanted) return;
        job = await ask(`/jobs/${job.id}`);
      }
      if (job.state !== "done") { fail(sentence(job.error)); return; }
      one.inspection = job.result;
      one.failed = false;
      drawImage(body, job);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      fail(error.message);
      return;
    }
    one.busy = false;
    update();
  }
}

export function drawImage(body, job) {
  const inspection = job.result;
  const scale = { power: "power", amplitude: "amplitude", db: "decibels" }[inspection.scale] ?? inspection.scale;
  const low = inspection.limits.low.map((v) => number(v, 3)).join(", "), high = inspection.limits.high.map((v) => number(v, 3)).join(", ");
  fill(body, h("img", { class: "thumb", src: `/jobs/${job.id}/view/image.png`, alt: `What was read of ${inspection.name}` }),
    h("div", {}, h("dl", { class: "facts" },
      pair("size", `${number(inspection.shape[1], 0)} × ${number(inspection.shape[0], 0)} px, ${inspection.dtype}`),
      pair("bands", `${inspection.bands}${inspection.labels.filter(Boolean).length ? ` (${inspection.labels.filter(Boolean).join(", ")})` : ""}; used: ${inspection.used.join(", ")}`),
      pair("numbers", `${scale}, limits ${low} to ${high}`),
      pair("valid part", `${number(100 * inspection.valid, 1)} %`),
      pair("pixel", inspection.gsd ? `${number(inspection.gsd, 2)} m, ${inspection.crs}` : "not known; give metres per pixel"),
      inspection.centre ? pair("says it lies at", `${number(inspection.centre[0], 4)} ${number(inspection.centre[1], 4)}`) : null),
    histogram(inspection.histogram),
    inspection.notes.map((note) => h("p", { class: "none" }, sentence(note)))));
}

function pair(name, value) { return h("div", { class: "fact" }, h("dt", {}, name), h("dd", {}, value)); }

function histogram({ counts, bins }) {
  const most = Math.max(1, ...counts.flat());
  const colours = counts.length === 3 ? ["red", "green", "blue"] : ["grey"];
  const shapes = counts.map((band, n) => {
    const text = band.map((v, i) => `L${i} ${(40 - (40 * Math.sqrt(v / most))).toFixed(2)}L${i + 1} ${(40 - 40 * Math.sqrt(v / most)).toFixed(2)}`).join("");
    return h("path", { d: `M0 40${text}L${bins} 40Z`, class: `hist ${colours[n]}` });
  });
  return h("figure", { class: "histogram" }, h("svg", { viewBox: `0 0 ${bins} 40`, preserveAspectRatio: "none", role: "img", "aria-label": "Histogram of the values after radiometry" }, shapes),
    h("figcaption", {}, h("span", {}, "dark"), h("span", {}, "after radiometry"), h("span", {}, "bright")));
}

function optionsForm(options, query, changed) {
  const fields = new Map();
  const row = (one) => {
    const field = makeField(one, query.get(one.name), () => { keep({ [one.name]: fields.get(one.name).text() }); changed(); });
    fields.set(one.name, field);
    return field.node;
  };
  const first = options.filter((one) => one.first).map(row), rest = options.filter((one) => !one.first).map(row);
  const force = h("input", { type: "checkbox", id: "force" });
  const node = h("div", { class: "options" }, first.slice(0, 4), h("details", { open: query.get("more") ? true : null }, h("summary", {}, "More options"), first.slice(4), rest,
    h("label", { class: "check" }, force, " Write aligned.tif and images for an uncertain match too")));
  return {
    node,
    value: (name) => fields.get(name)?.read(),
    set: (name, value) => fields.get(name)?.set(value),
    mark: (name, words) => fields.get(name)?.mark(words),
    force: () => force.checked,
    values() {
      const values = {};
      for (const [name, field] of fields) { const value = field.read(); if (value !== undefined) values[name] = value; }
      return values;
    },
    reading(modality) {
      const names = modality === "sar" ? ["sar", "height"] : ["optical", "bands", "height"];
      return Object.fromEntries(names.map((n) => [n, fields.get(n)?.read()]).filter(([, v]) => v !== undefined));
    },
  };
}

const TITLES = { gsd: "Metres per pixel", sar: "SAR radiometry", optical: "Optical radiometry", bbox: "Prior: box W S E N", near: "Prior: longitude, latitude", radius_km: "Prior: radius, km", rotation: "Rotation tried, degrees", scale: "Change of scale tried" };

function makeField(one, given, changed) {
  const title = TITLES[one.name] ?? sentence(one.name.replaceAll("_", " "));
  const hint = [one.help, one.range ? `${sentence(one.range)}.` : "", one.means ? `Default: ${one.means}.` : ""].filter(Boolean).join(" ");
  const id = `option-${one.name}`;
  const problem = h("small", { class: "bad-text" });
  let input;
  const count = one.type.startsWith("numbers:") ? Number(one.type.slice(8)) : 0;
  if (one.type === "choice") input = h("select", { id, onchange: changed }, one.choices.map((c) => h("option", { value: c }, c)));
  else if (one.type === "boolean") input = h("input", { id, type: "checkbox", onchange: changed });
  else if (one.type === "number" || one.type === "integer") input = h("input", { id, type: "number", step: one.type === "integer" ? 1 : "any", oninput: changed });
  else input = h("input", { id, type: "text", "aria-label": title, placeholder: one.metavar, spellcheck: "false", oninput: changed });
  const menu = one.presets?.length ? h("select", { "aria-label": `${title}: presets`, onchange: () => { if (menu.value !== "keys") { input.value = menu.value; changed(); } sync(); } },
    [["", "default"], ...one.presets.map((p) => [p, p]), ["keys", "keys of my own"]].map(([v, t]) => h("option", { value: v }, t))) : null;
  const sync = () => { if (menu) { menu.value = input.value === "" || one.presets.includes(input.value) ? (menu.value === "keys" ? "keys" : input.value) : "keys"; input.hidden = menu.value !== "keys"; } };
  if (one.type === "choice") input.value = one.default;
  else if (one.type === "boolean") input.checked = Boolean(one.default);
  else if (one.default !== null && typeof one.default !== "object" && one.default !== "") input.placeholder = String(one.default);
  if (given) { if (one.type === "boolean") input.checked = given === "true"; else input.value = given.replaceAll(",", count ? " " : ","); }
  sync();
  return {
    node: h(menu ? "div" : "label", { class: "field", for: menu ? null : id }, h("span", {}, title), menu, input, h("small", {}, hint), problem),
    set(value) { input.value = value; sync(); changed(); },
    mark(words) { problem.textContent = words; input.toggleAttribute("aria-invalid", Boolean(words)); },
    text() { const value = this.read(); return value === undefined ? "" : String(value); },
    read() {
      if (one.type === "boolean") return input.checked === Boolean(one.default) ? undefined : input.checked;
      const text = input.value.trim();
      if (!text || (one.type === "choice" && text === String(one.default))) return undefined;
      if (count) return text.split(/[\s,;]+/).map(Number);
      return ["number", "integer"].includes(one.type) ? Number(text) : text;
    },
  };
}
