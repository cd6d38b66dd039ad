"use strict";
const code = decodeURIComponent(location.pathname.split("/").pop()).trim().toLowerCase();
const PAGE_ITEMS = 200;
const URLS_FRESH_MS = 8 * 60 * 1000; // URLs are valid for ten minutes
const GRID_PIXELS = 400;
const SCREEN_PIXELS = 2048;
// Originals that every browser shows and that are not too large for a screen.
const SHOWN_AS_THEY_ARE = ["image/jpeg", "image/png", "image/gif", "image/webp"];
const SHOWN_BYTES = 2e6;
const POLL_MS = [2000, 3000, 5000, 8000, 13000, 20000, 30000];
const DOWNLOAD_PAUSE_MS = 900; // browsers drop downloads that start at the same time

const byId = (id) => document.getElementById(id);
const grid = byId("grid");
const viewer = byId("viewer");
let items = [];
let password = null;
let loadedAt = 0;
let polls = 0;
let refreshing = null;
let shownId = null;

class Refusal extends Error {
  constructor(status, problem, retryAfter) {
    super(problem.code || "http_" + status);
    this.code = this.message;
    this.retryAfter = retryAfter;
  }
}

// A header carries bytes: text beyond Latin-1 is sent as its UTF-8 bytes.
const asBytes = (text) => String.fromCharCode(...new TextEncoder().encode(text));

// path: below the service's root, which may be below a path of its own.
async function api(path) {
  const headers = { Accept: "application/json", "X-Gallery-Code": code };
  if (password !== null) headers["X-Gallery-Password"] = asBytes(password);
  const answer = await fetch(".." + path, { headers, credentials: "omit" });
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
  const askedAt = Date.now();
  const first = await api(`/v1/g/${code}?limit=${PAGE_ITEMS}`);
  loadedAt = askedAt; // the age of the URLs that are shown from now on
  const found = [...first.items];
  show(first.gallery, found);
  let cursor = first.next_cursor;
  while (cursor) {
    const page = await api(`/v1/g/${code}?limit=${PAGE_ITEMS}&cursor=${encodeURIComponent(cursor)}`);
    found.push(...page.items);
    cursor = page.next_cursor;
    show(first.gallery, found);
  }
  if (found.some((item) => item.status === "processing") && polls < POLL_MS.length) {
    setTimeout(refresh, POLL_MS[polls]);
    polls += 1;
  }
}

function refresh() {
  refreshing = refreshing || load().catch(explain).finally(() => { refreshing = null; });
  return refreshing;
}

const addressesAged = () => items.length > 0 && Date.now() - loadedAt > URLS_FRESH_MS;

// The tier decides the sizes: returns the highest that is not above `height`, else the lowest.
function rendition(item, height) {
  const made = Object.entries(item.renditions || {})
    .map(([size, found]) => [Number(size.split("x").pop()), webAddress(found.url)])
    .filter(([pixels, address]) => pixels > 0 && address)
    .sort(([one], [other]) => one - other);
  const fitting = made.filter(([pixels]) => pixels <= height);
  const best = fitting.length ? fitting[fitting.length - 1] : made[0];
  return best ? best[1] : null;
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
  byId("all").hidden = !found.some((item) => item.original);
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
  picture.addEventListener("click", () => view(id));
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
  const source = rendition(item, GRID_PIXELS);
  const state = item.status + " " + Boolean(source);
  const old = picture.querySelector("img");
  // Loaded pictures stay; those not loaded (lazily, or after a failure) get the new URL.
  const outdated = old ? !old.naturalWidth && old.src !== source : Boolean(source);
  if (tile.dataset.state !== state || outdated) {
    tile.dataset.state = state;
    picture.replaceChildren(source ? image(item, source) : waiting(item));
    if (item.kind === "video") {
      picture.append(element("span", "badge", "▶ " + (item.duration_ms ? duration(item.duration_ms) : "film")));
    }
  }
  tile.querySelector(".name").textContent = item.filename;
  tile.querySelector(".name").title = item.filename;
  tile.querySelector(".size").textContent = bytes(item.size);
  tile.querySelector(".size").title = item.width && item.height ? `${item.width} × ${item.height}` : "";
  const link = tile.querySelector("a");
  link.hidden = !item.original;
  link.href = (item.original && webAddress(item.original.url)) || "#";
  link.title = "Download";
  link.setAttribute("aria-label", "Download " + item.filename + ", " + bytes(item.size));
}

function waiting(item) {
  return element("span", "wait", item.status === "processing" ? "Being prepared …" : "No preview");
}

function image(item, source) {
  const made = element("img");
  made.alt = item.caption || "";
  made.loading = "lazy";
  made.decoding = "async";
  // A page left open outlives its signed URLs: when a picture fails, new ones are fetched for all.
  made.addEventListener("error", () => {
    if (addressesAged()) refresh(); else made.replaceWith(waiting(item));
  }, { once: true });
  made.src = source;
  return made;
}

async function download(id) {
  const { url } = await api(`/v1/media/${encodeURIComponent(id)}/download`);
  const address = webAddress(url);
  if (address) follow(address);
}

function follow(address) {
  const link = element("a");
  link.href = address;
  link.download = "";
  link.rel = "noreferrer";
  document.body.append(link);
  link.click();
  link.remove();
}

// Uses one ZIP if it has all wanted items and the browser can fetch it: a link sends no password.
const archived = (wanted) =>
  wanted.length > 1 && password === null && wanted.every((item) => item.status === "ready");

async function archive() {
  const address = `../v1/g/${encodeURIComponent(code)}/archive`;
  const answer = await fetch(address, { method: "HEAD", credentials: "omit" });
  if (!answer.ok) throw new Refusal(answer.status, {}, Number(answer.headers.get("Retry-After")) || 0);
  follow(address);
}

byId("all").addEventListener("click", async () => {
  const button = byId("all");
  const progress = byId("progress");
  const offered = items.filter((item) => item.original);
  const wanted = offered.map((item) => item.id);
  button.disabled = true;
  progress.hidden = false;
  try {
    if (archived(offered)) {
      await archive();
      progress.textContent = `All ${wanted.length} files come as one ZIP.`;
      return;
    }
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

const place = (id) => items.findIndex((item) => item.id === id);

async function view(id) {
  if (addressesAged()) await refresh();
  const index = place(id);
  const item = items[index];
  if (!item) return;
  shownId = id;
  const source = item.original && webAddress(item.original.url);
  byId("viewer-name").textContent = item.filename;
  byId("viewer-download").href = source || "#";
  byId("viewer-download").hidden = !source;
  let stage = waiting(item);
  if (item.kind === "video" && source) {
    stage = element("video");
    stage.controls = true;
    stage.preload = "metadata";
    const poster = rendition(item, GRID_PIXELS);
    if (poster) stage.poster = poster;
    stage.addEventListener("error", () => continueFilm(stage, id));
    stage.src = source;
  } else {
    const sources = pictures(item, source);
    if (sources.length) stage = picture(item, sources);
  }
  byId("stage").replaceChildren(stage);
  byId("previous").hidden = index === 0;
  byId("next").hidden = index === items.length - 1;
  if (!viewer.open) viewer.showModal();
}

// Returns the files that show an item on a screen, best first.
function pictures(item, source) {
  const asItIs = source && SHOWN_AS_THEY_ARE.includes(item.content_type);
  const small = asItIs && (item.size <= SHOWN_BYTES || item.content_type === "image/gif");
  const screen = rendition(item, SCREEN_PIXELS);
  const found = small ? [source, screen] : [screen, asItIs && source];
  return [...found, rendition(item, GRID_PIXELS)].filter(Boolean);
}

function picture(item, sources) {
  const made = element("img");
  made.alt = item.caption || item.filename;
  made.addEventListener("error", () => {
    const next = sources.shift();
    if (next) made.src = next; else made.replaceWith(waiting(item));
  });
  made.src = sources.shift();
  return made;
}

// A film paused for long requests its next piece with an expired URL.
async function continueFilm(film, id) {
  if (!addressesAged()) return;
  const at = film.currentTime;
  await refresh();
  const item = items[place(id)];
  const source = item && item.original && webAddress(item.original.url);
  if (!source || !film.isConnected) return;
  film.src = source;
  film.currentTime = at;
  film.play().catch(() => {});
}

function turn(step) {
  const item = items[place(shownId) + step];
  if (item) view(item.id);
}

byId("viewer-download").addEventListener("click", (event) => {
  event.preventDefault();
  download(shownId).catch(explain);
});
byId("viewer-close").addEventListener("click", () => viewer.close());
byId("previous").addEventListener("click", () => turn(-1));
byId("next").addEventListener("click", () => turn(1));
viewer.addEventListener("close", () => byId("stage").replaceChildren());
viewer.addEventListener("keydown", (event) => {
  if (event.target.tagName === "VIDEO") return;
  if (event.key === "ArrowLeft") turn(-1);
  if (event.key === "ArrowRight") turn(1);
});

function words(failure) {
  switch (failure.code) {
    case "gallery_not_found":
      return ["Nothing here", "This link leads to no gallery. It may have expired, or there is a typing error in it."];
    case "gallery_password_required":
      return ["Protected", "This gallery has a password."];
    case "gallery_password_wrong":
      return ["Protected", "That was not the password."];
    case "too_many_password_attempts":
      return ["Protected", `Too many passwords that were wrong. Again in ${failure.retryAfter || 60} seconds.`];
    case "original_not_in_tier":
      return ["Not offered", "The originals of this gallery are not offered for download."];
    case "too_many_guesses":
      return ["One moment", `Too many tries. Again in ${failure.retryAfter || 60} seconds.`];
    default:
      return ["That did not work", "The gallery cannot be reached at the moment."];
  }
}

const LOCKED = ["gallery_password_required", "gallery_password_wrong", "too_many_password_attempts"];

function explain(failure) {
  const [title, text] = words(failure);
  const locked = LOCKED.includes(failure.code);
  const missing = failure.code === "gallery_not_found";
  if (items.length && !locked && !missing) {
    byId("progress").hidden = false;
    byId("progress").textContent = text;
    return;
  }
  items = [];
  if (viewer.open) viewer.close();
  grid.replaceChildren();
  byId("progress").hidden = true;
  byId("title").textContent = "Shared gallery";
  document.title = "Shared gallery · Kappi";
  byId("all").hidden = true;
  byId("summary").textContent = "";
  byId("message-title").textContent = title;
  byId("message-text").textContent = text;
  byId("unlock").hidden = !locked;
  byId("retry").hidden = locked || missing;
  byId("message").hidden = false;
  if (locked) {
    byId("password").focus();
    byId("password").select();
  }
}

byId("unlock").addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = byId("open");
  button.disabled = true;
  await refreshing; // the running refresh still uses the old password
  password = byId("password").value;
  await refresh();
  button.disabled = false;
  if (byId("message").hidden) byId("password").value = "";
});
byId("retry").addEventListener("click", refresh);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && addressesAged()) refresh();
});
if (/^[a-z0-9]{1,64}$/.test(code)) refresh(); else explain({ code: "gallery_not_found" });
