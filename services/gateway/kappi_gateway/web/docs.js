"use strict";
const METHODS = ["get", "post", "put", "patch", "delete"];
const DEPTH = 6;
let api;

function element(name, className, ...inside) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...inside.filter((part) => part !== null && part !== undefined));
  return made;
}

// Renders only `code` and paragraphs; all content is text and is never parsed as markup.
function prose(text) {
  const made = element("div");
  for (const paragraph of String(text || "").trim().split(/\n{2,}/)) {
    const lines = element("p");
    paragraph.split("`").forEach((part, index) => lines.append(index % 2 ? element("code", "", part) : part));
    made.append(lines);
  }
  return made;
}

function resolve(schema) {
  let current = schema;
  for (let hops = 0; current && current.$ref && hops < 10; hops += 1) {
    current = current.$ref.split("/").slice(1).reduce((node, key) => node && node[key], api);
  }
  return current || {};
}

function typeName(schema) {
  const own = schema && schema.$ref ? schema.$ref.split("/").pop() : null;
  const real = resolve(schema);
  const choices = real.anyOf || real.oneOf;
  if (choices) return choices.map(typeName).join(" | ");
  if (real.enum) return real.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (real.const !== undefined) return JSON.stringify(real.const);
  if (real.type === "array") return "array of " + typeName(real.items || {});
  const type = Array.isArray(real.type) ? real.type.join(" | ") : real.type;
  return own || (type || "any") + (real.format ? ` (${real.format})` : "");
}

function limits(schema) {
  const names = { minimum: "≥", maximum: "≤", exclusiveMinimum: ">", exclusiveMaximum: "<", minLength: "min length", maxLength: "max length", minItems: "min items", maxItems: "max items", pattern: "pattern", default: "default" };
  return Object.entries(names)
    .filter(([key]) => schema[key] !== undefined && schema[key] !== null)
    .map(([key, name]) => `${name} ${typeof schema[key] === "object" ? JSON.stringify(schema[key]) : schema[key]}`)
    .join(", ");
}

function objectIn(schema) {
  const real = resolve(schema);
  if (real.properties) return real;
  if (real.type === "array") return objectIn(real.items || {});
  for (const choice of real.anyOf || real.oneOf || real.allOf || []) {
    const found = objectIn(choice);
    if (found) return found;
  }
  return null;
}

function fields(schema, depth) {
  const real = objectIn(schema);
  if (!real || depth > DEPTH) return null;
  const list = element("ul", "schema");
  const required = new Set(real.required || []);
  for (const [name, value] of Object.entries(real.properties)) {
    const detail = resolve(value);
    const head = element("span", "", element("code", "", name), " ", element("span", "type", typeName(value)));
    if (required.has(name)) head.append(" ", element("span", "must", "required"));
    const more = [limits(detail), detail.description].filter(Boolean).join(". ");
    if (more) head.append(" ", element("span", "type", ...prose(more).firstChild.childNodes));
    const inner = fields(value, depth + 1);
    list.append(inner ? element("li", "", element("details", "", element("summary", "", head), inner)) : element("li", "", head));
  }
  return list;
}

// Returns the example in the description, or one made from the schema.
function sample(schema, depth) {
  const real = resolve(schema);
  if (real.examples && real.examples.length) return real.examples[0];
  if (real.example !== undefined) return real.example;
  if (real.const !== undefined) return real.const;
  if (real.enum) return real.enum[0];
  const choice = (real.anyOf || real.oneOf || real.allOf || []).find((one) => resolve(one).type !== "null");
  if (choice) return sample(choice, depth);
  const type = Array.isArray(real.type) ? real.type[0] : real.type;
  if (type === "array") return depth > DEPTH ? [] : [sample(real.items || {}, depth + 1)];
  if (real.properties) {
    const shown = depth > DEPTH ? [] : Object.entries(real.properties);
    return Object.fromEntries(shown.map(([name, value]) => [name, sample(value, depth + 1)]));
  }
  const formats = { uuid: "01a227a1-0000-7000-8000-000000000000", "date-time": "2026-05-01T12:00:00Z", uri: "$KAPPI/…", binary: "…" };
  const plain = { string: "…", integer: real.minimum ?? 0, number: real.minimum ?? 0, boolean: false, object: {}, null: null };
  return formats[real.format] ?? plain[type] ?? null;
}

function exampleOf(media) {
  const named = Object.values(media.examples || {}).map((one) => resolve(one).value);
  return media.example ?? named[0] ?? sample(media.schema || {}, 0);
}

function content(holder) {
  return Object.entries((holder && holder.content) || {}).map(([type, media]) => {
    const schema = media.schema || {};
    const isJson = type.endsWith("json");
    return element("div", "", element("p", "type", `${type}: ${typeName(schema)}`), fields(schema, 0),
      isJson ? element("details", "", element("summary", "", "Example"), element("pre", "", JSON.stringify(exampleOf(media), null, 2))) : null);
  });
}

// Returns the call as one shell line, with the first accepted credential.
function command(method, path, operation) {
  const words = [`curl -sS${method === "get" ? "" : ` -X ${method.toUpperCase()}`} "$KAPPI${path.replace(/\{(\w+)\}/g, (_, name) => "$" + name.toUpperCase())}"`];
  const schemes = new Map(shownSchemes());
  const way = (operation.security || []).find((one) => Object.keys(one).every((name) => schemes.has(name))) || {};
  for (const name of Object.keys(way)) {
    const shown = schemeName(schemes.get(name));
    words.push(`-H "${shown.includes(":") ? shown + " $TOKEN" : `${shown}: $${shown.replace(/^X-/, "").replaceAll("-", "_").toUpperCase()}`}"`);
  }
  const body = resolve(operation.requestBody).content || {};
  const [type, media] = Object.entries(body).find(([one]) => one.endsWith("json")) || Object.entries(body)[0] || [];
  if (type && type.endsWith("json")) {
    words.push(`-H 'content-type: ${type}'`, `-d '${JSON.stringify(exampleOf(media)).replaceAll("'", "'\\''")}'`);
  } else if (type) {
    const flag = type.startsWith("multipart") ? "-F" : "-d";
    for (const [name, value] of Object.entries(exampleOf(media) || {})) words.push(`${flag} '${name}=${value === "…" && flag === "-F" ? "@file.jpg" : value}'`);
  }
  return element("pre", "", words.join(" \\\n  "));
}

function parameters(operation) {
  const rows = (operation.parameters || []).map((given) => {
    const one = resolve(given);
    const schema = one.schema || {};
    const type = [typeName(schema), limits(resolve(schema))].filter(Boolean).join(", ");
    return element("tr", "",
      element("td", "", element("code", "", one.name), one.required ? element("span", "must", " required") : null),
      element("td", "type", one.in), element("td", "", element("span", "type", type), one.description ? prose(one.description) : null));
  });
  return rows.length ? [element("h4", "", "Parameters"), element("table", "", element("tbody", "", ...rows))] : [];
}

function schemeName(scheme) {
  return scheme.type === "http" ? "Authorization: Bearer" : scheme.name;
}

// OAuth2 is for programs: it results in the same header as the bearer scheme.
function shownSchemes() {
  return Object.entries((api.components || {}).securitySchemes || {}).filter(([, scheme]) => scheme.type !== "oauth2");
}

function credentials(operation) {
  const schemes = new Map(shownSchemes());
  const ways = (operation.security || [])
    .filter((way) => Object.keys(way).every((name) => schemes.has(name)))
    .map((way) => Object.keys(way).map((name) => schemeName(schemes.get(name))).join(" and ") || "none");
  return ways.length ? [element("h4", "", "Credentials"), element("p", "", ways.join(", or "))] : [];
}

const codes = new Map();

// Failures are described as "`code`: title; `code`: title".
function note(status, description, operation) {
  if (!/^[45]/.test(status)) return;
  for (const [, code, title] of String(description || "").matchAll(/`([a-z0-9_]+)`: ([^;]+)/g)) {
    if (!codes.has(code)) codes.set(code, { status, title: title.trim(), users: [] });
    codes.get(code).users.push(operation);
  }
}

function showCodes() {
  for (const [code, { status, title, users }] of [...codes].sort()) {
    const links = users.map((operation) => {
      const link = element("a", "", `${operation.method.toUpperCase()} ${operation.path}`);
      link.href = "#" + operation.anchor;
      return element("li", "", link);
    });
    const row = element("tr", "", element("td", "", element("code", "", code), element("span", "type", " " + status)),
      element("td", "", element("details", "", element("summary", "", title), element("ul", "users", ...links))));
    row.id = "code-" + code;
    document.getElementById("codes").append(row);
  }
  document.getElementById("errors").hidden = codes.size === 0;
}

// Every word must occur somewhere in the operation.
function search() {
  const words = document.getElementById("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  let found = 0;
  for (const article of document.querySelectorAll("article")) {
    const fits = words.every((word) => article.textContent.toLowerCase().includes(word));
    article.hidden = !fits;
    document.querySelector(`#contents a[href="#${article.id}"]`).parentElement.hidden = !fits;
    found += fits ? 1 : 0;
  }
  for (const row of document.querySelectorAll("#codes tr")) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
  for (const heading of document.querySelectorAll("#contents h2")) heading.hidden = !heading.nextElementSibling.querySelector("li:not([hidden])");
  document.querySelector("nav").classList.toggle("searching", words.length > 0);
  document.getElementById("found").textContent = words.length ? (found === 1 ? "1 call" : `${found} calls`) : "";
}

function responses(operation) {
  const rows = Object.entries(operation.responses || {}).map(([status, given]) => {
    const one = resolve(given);
    const inside = content(one);
    note(status, one.description, operation);
    const head = element("span", "", element("code", "", status), " ", ...prose(one.description).firstChild.childNodes);
    return inside.length ? element("details", "", element("summary", "", head), ...inside) : element("div", "", head);
  });
  return [element("h4", "", "Answers"), ...rows];
}

function show(path, method, operation) {
  const id = method + path.replace(/[^a-z0-9]+/gi, "-");
  const title = element("h3", "", element("span", "method", method.toUpperCase()), element("span", "path", path));
  const article = element("article", "", title);
  article.id = id;
  Object.assign(operation, { method, path, anchor: id });
  if (operation.summary) article.append(element("p", "", operation.summary));
  if (operation.description && operation.description !== operation.summary) article.append(prose(operation.description));
  article.append(...credentials(operation), ...parameters(operation));
  if (operation.requestBody) article.append(element("h4", "", "Body"), ...content(resolve(operation.requestBody)));
  article.append(element("h4", "", "Call"), command(method, path, operation), ...responses(operation));
  const link = element("a", "", `${method.toUpperCase()} ${path}`);
  link.href = "#" + id;
  return [article, element("li", "", link)];
}

function render(document_) {
  api = document_;
  document.getElementById("about").replaceChildren(prose(api.info.description));
  const security = document.getElementById("security");
  for (const [, scheme] of shownSchemes()) {
    security.append(element("p", "", element("code", "", schemeName(scheme)), " ", ...prose(scheme.description).firstChild.childNodes));
  }
  const groups = new Map();
  for (const [path, operations] of Object.entries(api.paths)) {
    for (const method of METHODS.filter((name) => operations[name])) {
      const tag = (operations[method].tags || ["Other"])[0];
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push(show(path, method, operations[method]));
    }
  }
  for (const [tag, shown] of groups) {
    document.getElementById("operations").append(element("h2", "", tag), ...shown.map(([article]) => article));
    document.getElementById("contents").append(element("h2", "", tag), element("ul", "", ...shown.map(([, link]) => link)));
  }
  showCodes();
  document.getElementById("search").addEventListener("input", search);
  if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
}

fetch("openapi.json", { credentials: "omit" })
  .then((answer) => (answer.ok ? answer.json() : Promise.reject(new Error(String(answer.status)))))
  .then(render)
  .catch(() => { document.getElementById("about").textContent = "The description cannot be loaded at the moment."; });
