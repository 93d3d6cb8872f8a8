// The API in words, from the OpenAPI description that this server gives of itself.
import { ask, fill, h } from "./dom.js";

export async function show(root) {
  const description = await ask("/openapi.json");
  const groups = new Map();
  for (const [path, methods] of Object.entries(description.paths)) {
    for (const [method, one] of Object.entries(methods)) {
      const tag = one.tags?.[0] ?? "other";
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push({ path, method: method.toUpperCase(), ...one });
    }
  }
  const here = location.origin;
  fill(root, h("h1", {}, "API"), h("section", { class: "card" }, h("p", {}, description.info.description, " The whole description: ", h("a", { href: "/openapi.json" }, "openapi.json"), "."),
    h("pre", {}, `id=$(curl -s --data-binary @chip.tif '${here}/uploads?name=chip.tif' \\\n  -H 'content-type: application/octet-stream' | jq -r .id)\njob=$(curl -s ${here}/locate -H 'content-type: application/json' \\\n  -d "{\\"query\\": \\"$id\\", \\"atlas\\": \\"demo-atlas\\", \\"settings\\": {\\"gsd\\": 10}}" | jq -r .id)\ncurl -s ${here}/jobs/$job | jq '{state, stage, verdict: .result.match.verdict}'`)),
    [...groups].map(([tag, list]) => h("section", { class: "card" }, h("h2", {}, tag), list.map((one) => h("details", { class: "route" }, h("summary", {}, h("code", { class: `method ${one.method.toLowerCase()}` }, one.method), " ", h("code", {}, one.path), h("span", {}, one.description ?? one.summary)),
      parameters(one), body(one, description))))));
  return {};
}

function parameters(one) {
  if (!one.parameters?.length) return null;
  return h("table", {}, h("tbody", {}, one.parameters.map((p) => h("tr", {}, h("td", {}, h("code", {}, p.name)), h("td", {}, p.in), h("td", {}, kind(p.schema)), h("td", {}, p.description ?? "")))));
}

function body(one, description) {
  const content = one.requestBody?.content ?? {};
  if (content["application/octet-stream"]) return h("p", {}, "The body is the file itself.");
  const name = content["application/json"]?.schema?.$ref?.split("/").pop();
  const schema = name ? description.components.schemas[name] : null;
  if (!schema) return null;
  return h("table", {}, h("tbody", {}, Object.entries(schema.properties).flatMap(([field, s]) => [line(field, s), ...Object.entries(s.properties ?? {}).map(([inner, t]) => line(`${field}.${inner}`, t))])));
}

function line(name, schema) {
  return h("tr", {}, h("td", {}, h("code", {}, name)), h("td", {}, kind(schema)), h("td", {}, schema.default === undefined || schema.default === null || typeof schema.default === "object" ? "" : `default ${schema.default}`), h("td", {}, schema.description ?? ""));
}

function kind(schema) {
  if (!schema) return "";
  if (schema.enum) return schema.enum.map((v) => (v === "" ? "nothing" : v)).join(" | ");
  if (schema.anyOf) return schema.anyOf.map(kind).filter((t) => t !== "null").join(" or ");
  if (schema.type === "array") return `list of ${kind(schema.items) || "numbers"}`;
  return schema.type ?? "";
}
