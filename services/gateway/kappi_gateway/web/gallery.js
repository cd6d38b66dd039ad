"use strict";
const code = decodeURIComponent(location.pathname.split("/")[2] || "").trim().toLowerCase();
const PAGE_ITEMS = 200;
const URLS_FRESH_MS = 8 * 60 * 1000; // they live ten minutes
const POLL_MS = [2000, 3000, 5000, 8000, 13000, 20000, 30000];
const DOWNLOAD_PAUSE_MS = 900; // browsers drop downloads that start in one breath

const byId = (id) => document.getElementById(id);
const grid = byId("grid");
const viewer = byId("viewer");
let items = [];
let password = null;
let loadedAt = 0;
let polls = 0;
let refreshing = null;
let shown = -1;

class Refusal extends Error {
  constructor(status, problem, retryAfter) {
    super(problem.code || "http_" + status);
    this.code = this.message;
    this.retryAfter = retryAfter;
  }
}

// A header carries bytes: text beyond Latin-1 goes as its UTF-8 bytes.
const asBytes = (text) => String.fromCharCode(...new TextEncoder().encode(text));

async function api(path) {
  const headers = { Accept: "application/json", "X-Gallery-Code": code };
  if (password !== null) headers["X-Gallery-Password"] = asBytes(password);
  const answer = await fetch(path, { headers, credentials: "omit" });
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refusal(answer.status, body, Number(answer.headers.get("Retry-After")) || 0);
  return body;
}

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function webAddress(text) {
  try {
    const url = new URL(text, location.href);
    return url.protocol === "https:" || url.protocol === "http:" ? url.href : null;
  } catch {
    return null;
  }
}

function bytes(count) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let step = 0;
  while (count >= 1000 && step < units.length - 1) { count /= 1000; step += 1; }
  return (step && count < 10 ? count.toFixed(1) : Math.round(count)) + " " + units[step];
}

function duration(ms) {
  const seconds = Math.round(ms / 1000);
  return Math.floor(seconds / 60) + ":" + String(seconds % 60).padStart(2, "0");
}

async function load() {
  const first = await api(`/v1/g/${code}?limit=${PAGE_ITEMS}`);
  const found = [...first.items];
  show(first.gallery, found);
  let cursor = first.next_cursor;
  while (cursor) {
    const page = await api(`/v1/g/${code}?limit=${PAGE_ITEMS}&cursor=${encodeURIComponent(cursor)}`);
    found.push(...page.items);
    cursor = page.next_cursor;
    show(first.gallery, found);
  }
  loadedAt = Date.now();
  if (found.some((item) => item.status === "processing") && polls < POLL_MS.length) {
    setTimeout(refresh, POLL_MS[polls]);
    polls += 1;
  }
}

function refresh() {
  refreshing = refreshing || load().catch(explain).finally(() => { refreshing = null; });
  return refreshing;
}

function show(gallery, found) {
  items = found;
  byId("message").hidden = true;
  const title = gallery.title || "Shared gallery";
  byId("title").textContent = title;
  document.title = title + " · Kappi";
  const total = found.reduce((sum, item) => sum + item.size, 0);
  const facts = [found.length === 1 ? "1 item" : found.length + " items", bytes(total)];
  if (gallery.expires_at) {
    const day = new Date(gallery.expires_at).toLocaleDateString(undefined, { dateStyle: "long" });
    facts.push("here until " + day);
  }
  byId("summary").textContent = found.length ? facts.join(" · ") : "Nothing here yet.";
  byId("all").hidden = !found.length;
  const known = new Map([...grid.children].map((tile) => [tile.dataset.id, tile]));
  found.forEach((item, index) => {
    const tile = known.get(item.id) || newTile(item.id);
    known.delete(item.id);
    fill(tile, item);
    if (grid.children[index] !== tile) grid.insertBefore(tile, grid.children[index] || null);
  });
  for (const gone of known.values()) gone.remove();
}

function newTile(id) {
  const tile = element("li", "tile");
  tile.dataset.id = id;
  const picture = element("button", "picture");
  picture.type = "button";
  picture.addEventListener("click", () => view(items.findIndex((item) => item.id === id)));
  const label = element("div", "label");
  const words = element("div");
  words.append(element("span", "name"), element("span", "size"));
  const link = element("a", "", "↓");
  link.rel = "noreferrer";
  link.addEventListener("click", (event) => {
    event.preventDefault();
    download(id).catch(explain);
  });
  label.append(words, link);
  tile.append(picture, label);
  return tile;
}

function fill(tile, item) {
  if (item.width && item.height) {
    const ratio = Math.min(Math.max(item.width / item.height, 0.4), 3);
    tile.style.setProperty("--ratio", ratio.toFixed(4));
  }
  const picture = tile.querySelector(".picture");
  picture.setAttribute("aria-label", "Open " + item.filename);
  const source = item.renditions && item.renditions["400"] && webAddress(item.renditions["400"].url);
  const state = item.status + " " + Boolean(source);
  if (tile.dataset.state !== state || tile.dataset.stale) {
    tile.dataset.state = state;
    delete tile.dataset.stale;
    picture.replaceChildren(source ? image(tile, item, source) : waiting(item));
    if (item.kind === "video") {
      picture.append(element("span", "badge", "▶ " + (item.duration_ms ? duration(item.duration_ms) : "film")));
    }
  }
  tile.querySelector(".name").textContent = item.filename;
  tile.querySelector(".name").title = item.filename;
  tile.querySelector(".size").textContent = bytes(item.size);
  tile.querySelector(".size").title = item.width && item.height ? `${item.width} × ${item.height}` : "";
  const link = tile.querySelector("a");
  link.href = (item.original && webAddress(item.original.url)) || "#";
  link.title = "Download";
  link.setAttribute("aria-label", "Download " + item.filename + ", " + bytes(item.size));
}

function waiting(item) {
  return element("span", "wait", item.status === "processing" ? "Being prepared …" : "No preview");
}

function image(tile, item, source) {
  const made = element("img");
  made.alt = item.caption || "";
  made.loading = "lazy";
  made.decoding = "async";
  // A page left open outlives its signed addresses; fetch fresh ones when the first picture fails.
  made.addEventListener("error", () => {
    if (Date.now() - loadedAt > URLS_FRESH_MS) {
      tile.dataset.stale = "1";
      refresh();
    } else {
      made.replaceWith(waiting(item));
    }
  }, { once: true });
  made.src = source;
  return made;
}

async function download(id) {
  const { url } = await api(`/v1/media/${encodeURIComponent(id)}/download`);
  const address = webAddress(url);
  if (!address) return;
  const link = element("a");
  link.href = address;
  link.download = "";
  link.rel = "noreferrer";
  document.body.append(link);
  link.click();
  link.remove();
}

byId("all").addEventListener("click", async () => {
  const button = byId("all");
  const progress = byId("progress");
  const wanted = items.map((item) => item.id);
  button.disabled = true;
  progress.hidden = false;
  try {
    for (const [index, id] of wanted.entries()) {
      progress.textContent = `Downloading ${index + 1} of ${wanted.length}. Allow several files if asked.`;
      await download(id);
      await new Promise((resolve) => setTimeout(resolve, DOWNLOAD_PAUSE_MS));
    }
    progress.textContent = `All ${wanted.length} downloads have begun.`;
  } catch (failure) {
    progress.textContent = "The download stopped. " + words(failure)[1];
  } finally {
    button.disabled = false;
  }
});

async function view(index) {
  if (index < 0 || index >= items.length) return;
  if (Date.now() - loadedAt > URLS_FRESH_MS) await refresh();
  shown = index;
  const item = items[index];
  if (!item) return;
  const source = item.original && webAddress(item.original.url);
  const small = item.renditions && item.renditions["400"] && webAddress(item.renditions["400"].url);
  byId("viewer-name").textContent = item.filename;
  byId("viewer-download").href = source || "#";
  let stage = waiting(item);
  if (item.kind === "video" && source) {
    stage = element("video");
    stage.controls = true;
    stage.preload = "metadata";
    if (small) stage.poster = small;
    stage.src = source;
  } else if (source || small) {
    stage = element("img");
    stage.alt = item.caption || item.filename;
    // Not every browser shows every original (HEIC, TIFF): the rendition always works.
    stage.addEventListener("error", () => { if (small && stage.src !== small) stage.src = small; });
    stage.src = source || small;
  }
  byId("stage").replaceChildren(stage);
  byId("previous").hidden = index === 0;
  byId("next").hidden = index === items.length - 1;
  if (!viewer.open) viewer.showModal();
}

byId("viewer-download").addEventListener("click", (event) => {
  event.preventDefault();
  download(items[shown].id).catch(explain);
});
byId("viewer-close").addEventListener("click", () => viewer.close());
byId("previous").addEventListener("click", () => view(shown - 1));
byId("next").addEventListener("click", () => view(shown + 1));
viewer.addEventListener("close", () => byId("stage").replaceChildren());
viewer.addEventListener("keydown", (event) => {
  if (event.target.tagName === "VIDEO") return;
  if (event.key === "ArrowLeft") view(shown - 1);
  if (event.key === "ArrowRight") view(shown + 1);
});

function words(failure) {
  switch (failure.code) {
    case "gallery_not_found":
      return ["Nothing here", "This link leads to no gallery. It may have expired, or there is a typing error in it."];
    case "gallery_password_required":
      return ["Protected", "This gallery has a password."];
    case "gallery_password_wrong":
      return ["Protected", "That was not the password."];
    case "too_many_guesses":
      return ["One moment", `Too many tries. Again in ${failure.retryAfter || 60} seconds.`];
    default:
      return ["That did not work", "The gallery cannot be reached at the moment."];
  }
}

function explain(failure) {
  const [title, text] = words(failure);
  const locked = failure.code === "gallery_password_required" || failure.code === "gallery_password_wrong";
  const missing = failure.code === "gallery_not_found";
  if (items.length && !locked && !missing) {
    byId("progress").hidden = false;
    byId("progress").textContent = text;
    return;
  }
  items = [];
  grid.replaceChildren();
  byId("all").hidden = true;
  byId("summary").textContent = "";
  byId("message-title").textContent = title;
  byId("message-text").textContent = text;
  byId("unlock").hidden = !locked;
  byId("retry").hidden = locked || missing;
  byId("message").hidden = false;
  if (locked) byId("password").focus();
}

byId("unlock").addEventListener("submit", (event) => {
  event.preventDefault();
  password = byId("password").value;
  refresh();
});
byId("retry").addEventListener("click", refresh);
if (/^[a-z0-9]{1,64}$/.test(code)) refresh(); else explain({ code: "gallery_not_found" });
