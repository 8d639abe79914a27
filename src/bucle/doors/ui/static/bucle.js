// What a page does by itself: local times, live refresh, curves, comparing runs, keys. Every page works without it.
const root = document.documentElement;
const one = (selector, from = document) => from.querySelector(selector);
const all = (selector, from = document) => [...from.querySelectorAll(selector)];

function localTimes() {
  if (new Date().getTimezoneOffset() === 0) return;
  const write = new Intl.DateTimeFormat(root.lang, { dateStyle: "medium", timeStyle: "short" });
  for (const time of all("time[data-local]")) {
    time.textContent = write.format(new Date(time.dateTime));
    time.removeAttribute("data-local");
  }
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
    if (document.activeElement?.closest("form") || one("input[name=ids]:checked")) return;
    document.body.dispatchEvent(new CustomEvent("moved"));
    refreshCurves();
  }, 500);
}
document.addEventListener("visibilitychange", () => (document.hidden ? pause() : (listen(), moved())));

// Curves: uPlot over the records of /runs/ID/curves.json.
const colours = ["--a", "--b", "--c", "--d", "--e", "--f"];
const plots = new Map();
const colour = (name) => {
  const probe = document.createElement("i");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
};
async function records(url) {
  const answer = await fetch(url, { headers: { accept: "application/json" } });
  return answer.ok ? answer.json() : null;
}
function joined(curves) {
  const steps = [...new Set(curves.flatMap((curve) => curve?.steps ?? []))].sort((a, b) => a - b);
  const place = new Map(steps.map((step, index) => [step, index]));
  const rows = curves.map((curve) => {
    const row = new Array(steps.length).fill(null);
    curve?.steps.forEach((step, index) => { row[place.get(step)] = curve.values[index]; });
    return row;
  });
  return [steps, ...rows];
}
function plot(box, curves, names) {
  const data = joined(curves);
  const known = plots.get(box);
  if (known) return known.setData(data);
  const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
  const series = names.map((name, index) => ({
    label: name, stroke: colour(colours[index % 6]), width: 1.75, spanGaps: true, points: { show: data[0].length < 40, size: 5 },
  }));
  const options = {
    width: box.clientWidth, height: 230, scales: { x: { time: false } }, cursor: { sync: { key: "runs" } },
    axes: [axis, { ...axis, size: 58 }], series: [{ label: box.dataset.step ?? "step" }, ...series],
  };
  plots.set(box, new uPlot(options, data, box));
}
async function refreshCurves() {
  const boxes = all("[data-curve]");
  if (!boxes.length || !window.uPlot) return;
  const urls = [...new Set(boxes.flatMap((box) => box.dataset.runs.split(",")))];
  const found = new Map(await Promise.all(urls.map(async (id) => [id, await records(`/runs/${encodeURIComponent(id)}/curves.json`)])));
  for (const box of boxes) {
    const ids = box.dataset.runs.split(",");
    const curves = ids.map((id) => found.get(id)?.curves.find((curve) => curve.key === box.dataset.curve) ?? null);
    plot(box, curves, ids.length > 1 ? ids.map((id) => id.slice(0, 8)) : [box.dataset.curve]);
  }
}
addEventListener("resize", () => plots.forEach((drawn, box) => drawn.setSize({ width: box.clientWidth, height: 230 })));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  plots.forEach((drawn) => drawn.destroy());
  plots.clear();
  refreshCurves();
});

// Keys: g and a letter goes to a station, / to the filter.
let gone = false;
addEventListener("keydown", (event) => {
  if (event.target.closest("input,select,textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/") { const field = one("form input"); if (field) { event.preventDefault(); field.focus(); } return; }
  if (gone) { const link = one(`nav a[data-key="${CSS.escape(event.key)}"]`); if (link) location.assign(link.href); }
  gone = event.key === "g";
});

document.body.addEventListener("htmx:after:swap", () => { localTimes(); refreshCurves(); });
localTimes();
refreshCurves();
listen();
