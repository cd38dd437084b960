"use strict";
// What the pages do beyond showing themselves: they stay as the cluster is, count seconds, filter while one types, and ask in a dialog.
// Without this, every page still works; it is just not alive.

// --- Times -------------------------------------------------------------------------------------------------------------------------

/** `42s`, `3m10s`, `5h2m`, `4d`: as the plugin says it. */
function span(seconds) {
  seconds = Math.max(0, Math.floor(seconds));
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m${seconds % 60}s`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)}h${Math.floor((seconds % 3600) / 60)}m`;
  return `${Math.floor(seconds / 86400)}d`;
}

function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// Whoever looks may have a clock that is wrong by minutes.
const ahead = Date.parse(document.body.dataset.now) - Date.now();

function count(root = document) {
  const now = Date.now() + ahead;
  for (const time of root.querySelectorAll("time")) {
    const at = Date.parse(time.dateTime);
    // The time itself is that of whoever looks, with their zone.
    if (time.title.endsWith("Z")) time.title = new Date(at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "long" });
    if ("ago" in time.dataset) set(time, span((now - at) / 1000));
    else if ("left" in time.dataset) set(time, span((at - now) / 1000));
    else if ("span" in time.dataset) set(time, span((Date.parse(time.dataset.span) - at) / 1000));
  }
}

// Of the thousands of times in a list only those that are to be seen are worth counting.
function countVisible() {
  const rows = document.getElementById("rows");
  if (!rows) return count();
  const silence = document.getElementById("silence");
  if (silence) count(silence);
  const height = innerHeight;
  for (const row of visibleRows(rows, height)) count(row);
}

function visibleRows(rows, height) {
  const all = rows.children;
  let low = 0, high = all.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (all[middle].getBoundingClientRect().bottom < 0) low = middle + 1; else high = middle;
  }
  const seen = [];
  for (let index = low; index < all.length && seen.length < 200; index++) {
    if (all[index].getBoundingClientRect().top > height) break;
    seen.push(all[index]);
  }
  return seen;
}

// --- Staying as the cluster is -------------------------------------------------------------------------------------------------------

let stream = null;
// When the stream was last heard. The server is never silent for long: after that a connection is dead, as when a laptop has slept.
let heard = 0;
const SILENT = 40000;

/** Opens the page's stream; only while somebody looks, since a browser has few connections to give away. */
function listen() {
  if (stream) stream.close();
  stream = null;
  const place = document.querySelector("[data-live]");
  // What changes has its place among all rows, so they come first.
  if (!place || document.hidden || document.getElementById("more")) return;
  const lost = document.getElementById("lost");
  const source = new EventSource(place.dataset.live);
  stream = source;
  heard = Date.now();
  const on = (type, then) => source.addEventListener(type, event => { heard = Date.now(); then(event); });
  source.onopen = () => {
    heard = Date.now();
    lost.hidden = true;
    // A log is told from its last lines on, whenever a stream begins.
    if (place.id === "log") place.replaceChildren();
  };
  source.onerror = () => {
    lost.hidden = false;
    // A stream that was refused does not come back by itself.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => { if (stream === source) refresh(); }, 3000);
  };
  on("alive", () => {});
  on("rows", event => changeRows(JSON.parse(event.data)));
  on("sections", event => changeSections(JSON.parse(event.data)));
  on("reload", () => refresh());
  on("line", event => addLine(event.data));
  on("end", event => { addLine(`— ${event.data}`); source.close(); });
}

/** Begins anew where nothing is heard any more, though nobody has said that the connection is over. */
function notice() {
  if (!stream || stream.readyState === EventSource.CLOSED || Date.now() - heard < SILENT) return;
  document.getElementById("lost").hidden = false;
  listen();
}

/** Reads what the stream cannot tell. A reason that somebody writes is not lost by it, nor the page, while nobody has another one to give. */
async function refresh() {
  if (document.getElementById("list")) return filter();
  if (!document.getElementById("rollout") && !document.getElementById("log")) return;
  const dialog = document.getElementById("dialog");
  if (dialog.open) return dialog.addEventListener("close", refresh, { once: true });
  const answer = await fetch(location.href).catch(() => null);
  if (answer && answer.status < 500) return location.reload();
  document.getElementById("lost").hidden = false;
  setTimeout(refresh, 3000);
}

function parse(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content.firstElementChild;
}

/** The first rows came with the page. The others come a few at a time, so that nobody has to wait for them. */
async function complete() {
  const more = document.getElementById("more");
  if (!more) return listen();
  const mine = typed;
  const rows = document.getElementById("rows");
  const all = Number(document.getElementById("count").textContent);
  more.hidden = true;
  // The scroll bar is as long as it is going to be.
  rows.style.minHeight = `${rows.offsetHeight / rows.children.length * all}px`;
  try {
    const answer = await fetch(more.dataset.rest, { headers: { "x-part": "rest" } });
    if (!answer.ok) throw answer;
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let text = "", done = false; !done;) {
      const part = await reader.read();
      done = part.done;
      if (mine !== typed) return reader.cancel();
      text += part.value ?? "";
      const end = text.lastIndexOf("\n") + 1;
      append(rows, text.slice(0, end));
      text = text.slice(end);
      await new Promise(resolve => setTimeout(resolve));
    }
  } catch {
    document.getElementById("lost").hidden = false;
    setTimeout(() => { if (mine === typed) filter(); }, 3000);
    return;
  }
  if (mine !== typed) return;
  rows.style.minHeight = "";
  more.remove();
  performance.mark("complete");
  listen();
}

function append(rows, html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  for (const row of template.content.querySelectorAll(".row")) if (document.getElementById(row.id)) row.remove();
  rows.append(template.content);
}

/** Puts each row where it belongs; the list is in order, so that takes no more than a few comparisons. */
function changeRows(changes) {
  const rows = document.getElementById("rows");
  for (const { id, html } of changes) {
    const old = document.getElementById(id);
    const focused = old && old.contains(document.activeElement);
    if (old) old.remove();
    if (!html) continue;
    const row = parse(html);
    const order = row.dataset.order;
    let low = 0, high = rows.children.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (rows.children[middle].dataset.order < order) low = middle + 1; else high = middle;
    }
    rows.insertBefore(row, rows.children[low] || null);
    row.classList.add("changed");
    count(row);
    if (focused) row.querySelector("a").focus();
  }
  set(document.getElementById("count"), String(rows.children.length));
  document.getElementById("none").hidden = rows.children.length > 0;
}

function changeSections(changes) {
  for (const { id, html } of changes) {
    const section = document.getElementById(id);
    if (!section) continue;
    const open = [...section.querySelectorAll("details[open]")].map(details => details.id);
    const focused = section.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    section.innerHTML = html;
    for (const details of open) {
      const again = document.getElementById(details);
      if (again) again.open = true;
    }
    if (focused) {
      const again = [...section.querySelectorAll("a")].find(link => link.getAttribute("href") === focused);
      if (again) again.focus();
    }
    count(section);
  }
}

const MOST_LINES = 5000;

function addLine(text) {
  const log = document.getElementById("log");
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  log.append(document.createTextNode(text + "\n"));
  while (log.childNodes.length > MOST_LINES) log.firstChild.remove();
  if (atEnd) log.scrollTop = log.scrollHeight;
}

// --- The filter ----------------------------------------------------------------------------------------------------------------------

let typed = 0;

async function filter() {
  const form = document.getElementById("filter");
  const mine = ++typed;
  const query = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
  const address = query.size ? `/?${query}` : "/";
  const answer = await fetch(address, { headers: { "x-part": "rows" } }).catch(() => null);
  if (mine !== typed) return;
  // Who may not see this list, or not any more, is told so by its page.
  if (answer && (answer.status === 401 || answer.status === 403)) return location.assign(address);
  if (!answer || !answer.ok) {
    document.getElementById("lost").hidden = false;
    setTimeout(() => { if (mine === typed) filter(); }, 3000);
    return;
  }
  const list = parse(await answer.text());
  if (mine !== typed) return;
  document.getElementById("list").replaceWith(list);
  history.replaceState(null, "", address);
  countVisible();
  complete();
}

// --- The dialog ----------------------------------------------------------------------------------------------------------------------

// The address of what opened the dialog last.
let opener = "";

// What somebody wrote as a reason, by the address that they opened: it is there again if the dialog was closed, or nothing came of it.
const reasons = new Map();

// The browser gives the focus back to what had it before, unless the page has been changed meanwhile.
document.getElementById("dialog").addEventListener("close", event => {
  const reason = event.target.querySelector("#reason");
  if (reason) reasons.set(opener, reason.value);
  const active = document.activeElement;
  if (active && active !== document.body && !event.target.contains(active)) return;
  const again = [...document.querySelectorAll("a[data-dialog]")].find(link => link.getAttribute("href") === opener);
  (again || document.getElementById("main")).focus();
});

// How often something was asked.
let asked = 0;

/** What is told where the dashboard itself has no page for it. */
function told(text) {
  const answer = parse("<div class='answer' role='alert'><p class='notice bad'></p><p class='buttons'><a class='button go' data-close href='#'>Close</a></p></div>");
  answer.querySelector(".notice").textContent = text;
  return answer;
}

async function show(address, options = {}) {
  const dialog = document.getElementById("dialog");
  const [number, from, acts] = [++asked, opener, options.method === "POST"];
  document.body.classList.add("waits");
  const answer = await fetch(address, { ...options, headers: { "x-part": "dialog" } }).catch(() => null);
  if (answer && answer.status === 401) return location.reload();
  const text = answer ? await answer.text().catch(() => null) : null;
  if (number === asked) document.body.classList.remove("waits");
  // What was asked later is on the screen: a question that comes late would put its button under the pointer. What came of a click is told.
  if (number !== asked && !acts) return;
  const isPage = text !== null && (answer.headers.get("content-type") || "").startsWith("text/html");
  if (isPage) dialog.innerHTML = text;
  else if (text) dialog.replaceChildren(told(text));
  else if (acts) dialog.replaceChildren(told("The dashboard does not answer. Look at the rollout before you ask again: it may have been asked for."));
  else dialog.replaceChildren(told("The dashboard does not answer. Nothing was asked for."));
  if (dialog.querySelector(".answer .good")) reasons.delete(from);
  const reason = dialog.querySelector("#reason");
  if (reason) reason.value = reasons.get(from) ?? "";
  if (!dialog.open) dialog.showModal();
  const first = dialog.querySelector("input:not([type=hidden]), .go, a");
  if (first) first.focus();
}

document.addEventListener("click", event => {
  const link = event.target.closest("a[data-dialog], a[data-close]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const dialog = document.getElementById("dialog");
  if ("close" in link.dataset) return dialog.close();
  opener = link.getAttribute("href");
  show(link.href);
});

document.addEventListener("submit", event => {
  const form = event.target;
  if (form.id === "filter") {
    event.preventDefault();
    filter();
  } else if ("inDialog" in form.dataset) {
    event.preventDefault();
    reasons.set(opener, form.elements.reason.value);
    for (const button of form.querySelectorAll("button")) { button.disabled = true; set(button, "Waiting for the answer …"); }
    show(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) });
  }
});

document.addEventListener("keydown", event => {
  const typing = event.target.closest("input, select, textarea");
  if (event.key === "/" && !typing) {
    const search = document.querySelector("#filter input[type=search]");
    if (search) { event.preventDefault(); search.focus(); search.select(); }
  }
  // A button is pressed with the space bar, too.
  if (event.key === " " && event.target.matches("a[role=button]")) { event.preventDefault(); event.target.click(); }
});

const form = document.getElementById("filter");
if (form) {
  let timer = 0;
  // Half the name of a namespace is another namespace, which somebody who may not see all of them may not see.
  const isWhole = event => event.type === "change" || event.target.name !== "namespace";
  for (const type of ["input", "change"]) form.addEventListener(type, event => {
    if (!isWhole(event)) return;
    clearTimeout(timer);
    timer = setTimeout(filter, 150);
  });
}
document.addEventListener("visibilitychange", () => { if (document.hidden) listen(); else { listen(); countVisible(); } });
document.addEventListener("scroll", () => requestAnimationFrame(countVisible), { passive: true });
setInterval(() => { if (!document.hidden) { countVisible(); notice(); } }, 1000);
// What cannot be shown yet comes by itself.
if (document.querySelector("[data-again]")) setInterval(async () => {
  if (document.hidden) return;
  const answer = await fetch(location.href, { headers: { "x-part": "rows" } }).catch(() => null);
  if (answer && answer.ok) location.reload();
}, 5000);
countVisible();
complete();
