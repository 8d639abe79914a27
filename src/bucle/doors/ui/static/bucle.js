// What a page does by itself: local times, live refresh, sparklines, ticked rows, keys. Every page works without it.
const root = document.documentElement;
const one = (selector, from = document) => from.querySelector(selector);
const all = (selector, from = document) => [...from.querySelectorAll(selector)];

// What only a script can do is shown only where there is one.
function ready() {
  for (const button of all("[data-print]")) button.hidden = false;
  localTimes();
  sparklines();
  ticked();
}
function localTimes() {
  if (new Date().getTimezoneOffset() === 0) return;
  const write = new Intl.DateTimeFormat(root.lang, { dateStyle: "medium", timeStyle: "short" });
  for (const time of all("time[data-local]")) {
    time.textContent = write.format(new Date(time.dateTime));
    time.removeAttribute("data-local");
  }
}

// MLflow's client prints links of MLflow's own pages when a run ends; they lead to ours.
function followMlflow() {
  const [, kind, name, , inner] = location.hash.match(/^#\/(experiments|models)\/([^/?]+)(\/(?:runs|versions)\/([^/?]+))?/) || [];
  if (kind === "models") location.replace(inner ? `/models/${name}/${inner}` : `/models/${name}`);
  if (kind === "experiments") location.replace(inner ? `/runs/${inner}` : "/runs");
}

// Live: one stream a page; a look at the ledger's growth at most twice a second; nothing while nobody looks.
let stream = null, waiting = false;
function listen() {
  if (stream || document.hidden || !window.EventSource) return;
  stream = new EventSource("/live");
  stream.onopen = () => one("#live")?.setAttribute("data-on", "");
  stream.onerror = () => one("#live")?.removeAttribute("data-on");
  stream.addEventListener("moved", moved);
}
function pause() {
  stream?.close();
  stream = null;
  one("#live")?.removeAttribute("data-on");
}
function moved() {
  if (waiting) return;
  waiting = true;
  setTimeout(() => {
    waiting = false;
    if (document.activeElement?.closest("form") || one("input[name=runs]:checked")) return;
    document.body.dispatchEvent(new CustomEvent("moved"));
  }, 500);
}
document.addEventListener("visibilitychange", () => (document.hidden ? pause() : (listen(), moved())));

// Sparklines of a table come after it: one request for all its rows.
async function sparklines() {
  const box = one("[data-sparks]");
  if (!box) return;
  const answer = await fetch(box.dataset.sparks, { headers: { accept: "application/json" } });
  if (!answer.ok) return;
  const { paths } = await answer.json();
  for (const path of all("path[data-run]", box)) path.setAttribute("d", paths[path.dataset.run] ?? "");
}

// Names of what runs have, to choose a column from, are fetched when somebody wants to choose.
document.addEventListener("focusin", async (event) => {
  const source = event.target.dataset?.names;
  if (!source) return;
  delete event.target.dataset.names;
  const answer = await fetch(source, { headers: { accept: "application/json" } });
  if (!answer.ok) return;
  const { names } = await answer.json();
  event.target.list?.replaceChildren(...names.map((name) => Object.assign(document.createElement("option"), { value: name })));
});

// Ticked rows: all at once, counted on the button, and kept when the page follows the ledger.
function ticked() {
  const boxes = all("tbody input[name=runs]"), count = boxes.filter((box) => box.checked).length;
  for (const button of all("[data-count]")) button.textContent = count ? `${button.dataset.count} (${count})` : button.dataset.count;
  const every = one("[data-all]");
  if (every) { every.checked = count > 0 && count === boxes.length; every.indeterminate = count > 0 && count < boxes.length; }
}
document.addEventListener("change", (event) => {
  if (event.target.matches("[data-all]")) for (const box of all("tbody input[name=runs]")) box.checked = event.target.checked;
  ticked();
});
// What was not filled in has no place in an address; of ticked rows one list is enough.
document.addEventListener("formdata", (event) => {
  for (const [name, value] of [...event.formData]) if (value === "") event.formData.delete(name);
  const runs = event.formData.getAll("runs");
  if (runs.length) event.formData.set("runs", runs.join());
});
document.addEventListener("click", (event) => { if (event.target.closest("[data-print]")) print(); });
setInterval(() => { if (!document.hidden && one("[data-running], [data-going]")) moved(); }, 5000);

// Keys: g and a letter goes to a station, / to the filter; j and k walk the rows, x ticks one, c compares.
function rows(key) {
  const boxes = all("tbody input[name=runs]"), place = boxes.indexOf(document.activeElement);
  if (!boxes.length || gone) return false;
  if (key === "c") one("#pick [data-count]")?.click();
  else if (key === "x") boxes[place]?.click();
  else boxes[Math.max(0, Math.min(boxes.length - 1, place + (key === "j" ? 1 : -1)))].focus();
  return true;
}
let gone = false;
addEventListener("keydown", (event) => {
  if (event.target.closest("input:not([type=checkbox]),select,textarea,[data-plot]") || event.ctrlKey || event.metaKey || event.altKey) return;
  if ("jkxc".includes(event.key) && rows(event.key)) return event.preventDefault();
  if (event.key === "/") { const field = one("form input"); if (field) { event.preventDefault(); field.focus(); } return; }
  if (gone) { const link = one(`nav a[data-key="${CSS.escape(event.key)}"]`); if (link) location.assign(link.href); }
  gone = event.key === "g";
});

document.body.addEventListener("htmx:after:swap", ready);
followMlflow();
ready();
listen();
