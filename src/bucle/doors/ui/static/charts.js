// Curves: uPlot over /curves.json. A chart is loaded when it comes into sight and followed while its run goes on.
const LIVE_MS = 1000, BUCKETS = 360, TOGETHER = 24;
const TONES = ["--a", "--b", "--c", "--d", "--e", "--f"];
const DASHES = [[], [6, 3], [2, 3]];
const root = document.documentElement;
const all = (selector, from = document) => [...from.querySelectorAll(selector)];
const plots = new Map();
const visible = new Set();
let asking = 0, timer = null;

const format = new Intl.NumberFormat(root.lang, { maximumSignificantDigits: 5 });
const tiny = new Intl.NumberFormat(root.lang, { maximumSignificantDigits: 4, notation: "scientific" });
const clock = new Intl.DateTimeFormat(root.lang, { dateStyle: "short", timeStyle: "medium" });
const number = (value) => value == null ? "–" : value !== 0 && (Math.abs(value) < 1e-4 || Math.abs(value) >= 1e7) ? tiny.format(value) : format.format(value);
function span(seconds) {
  if (!seconds) return "0";
  if (seconds < 1) return `${format.format(seconds * 1000)} ms`;
  const parts = [];
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]]) {
    const count = Math.floor(seconds / size);
    if (count || (unit === "s" && !parts.length)) parts.push(`${count} ${unit}`);
    seconds -= count * size;
  }
  return parts.slice(0, 2).join(" ");
}
const xText = { step: number, time: span, clock: (value) => clock.format(new Date(value * 1000)) };

// What the form above the charts says; its fields are the address' as well.
function settings() {
  const form = document.querySelector("[data-chart-form]");
  const given = form ? new FormData(form) : new FormData();
  return { x: given.get("x") || "step", log: given.has("log"), smooth: Number(given.get("smooth") || 0) };
}
function remember() {
  const form = document.querySelector("[data-chart-form]");
  const address = new URL(location);
  const now = settings();
  for (const [name, value] of [["x", now.x === "step" ? "" : now.x], ["log", now.log ? "1" : ""], ["smooth", now.smooth || ""]]) {
    if (value) address.searchParams.set(name, value); else address.searchParams.delete(name);
  }
  history.replaceState(history.state, "", address);
  const shown = form?.querySelector("output");
  if (shown) shown.textContent = number(now.smooth);
}

const colour = (name) => {
  const probe = document.createElement("i");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
};

// Smoothing: an exponential mean that is not drawn towards zero at its beginning.
function smoothed(values, share) {
  let mean = 0, weight = 0;
  return values.map((value) => {
    if (value == null) return null;
    mean = mean * share + value * (1 - share);
    weight = weight * share + (1 - share);
    return mean / weight;
  });
}
function places(curve, x) {
  if (x === "step") return curve.steps;
  return curve.at.map((at) => (x === "time" ? at - curve.at[0] : at) / 1000);
}
// uPlot wants places that only grow; of several at one place the last is kept.
function growing(table) {
  const kept = table[0].flatMap((x, index) => (index + 1 === table[0].length || table[0][index + 1] > x ? [index] : []));
  return kept.length === table[0].length ? table : table.map((row) => kept.map((index) => row[index]));
}
function drawable(values, log) {
  return log ? values.map((value) => (value != null && value > 0 ? value : null)) : values;
}

class Plot {
  constructor(box) {
    this.box = box;
    this.key = box.dataset.key;
    this.runs = box.dataset.runs.split(",");
    this.names = JSON.parse(box.dataset.names || "{}");
    this.read = box.closest("figure")?.querySelector(".read");
    this.curves = new Map();
    box.addEventListener("keydown", (event) => this.walk(event));
  }
  take(curve) {
    this.curves.set(curve.run, curve);
  }
  known() {
    return this.runs.map((run) => this.curves.get(run)?.mark ?? "").join("|");
  }
  table(now) {
    const found = this.runs.map((run) => this.curves.get(run)).filter((curve) => curve?.steps.length);
    this.shown = found.map((curve) => curve.run);
    const tables = found.map((curve) => growing([
      places(curve, now.x), ...(this.runs.length === 1 ? [drawable(curve.least, now.log), drawable(curve.greatest, now.log)] : []),
      drawable(curve.last, now.log), ...(now.smooth ? [smoothed(drawable(curve.last, now.log), now.smooth)] : []),
    ]));
    return tables.length > 1 ? uPlot.join(tables) : tables[0];
  }
  series(now) {
    const alone = this.runs.length === 1, found = [];
    for (const run of this.shown) {
      const place = this.runs.indexOf(run), stroke = colour(TONES[place % 6]), dash = DASHES[Math.floor(place / 6) % 3];
      if (alone) found.push({ width: 0, points: { show: false } }, { width: 0, points: { show: false } });
      const points = { show: this.curves.get(run).steps.length < 40, size: 5 };
      found.push({ label: this.names[run] ?? run, run, stroke, dash, spanGaps: true, width: now.smooth ? 1 : 1.75, alpha: now.smooth ? 0.3 : 1, points });
      if (now.smooth) found.push({ label: this.names[run] ?? run, run, stroke, dash, spanGaps: true, width: 2, points: { show: false } });
    }
    return found;
  }
  draw() {
    const now = settings(), data = this.table(now), message = this.box.dataset.empty;
    if (!data) {
      this.destroy();
      this.box.textContent = message ?? "";
      return;
    }
    const shape = [now.x, now.log, now.smooth > 0, this.shown.join()].join("|");
    if (this.drawn && this.shape === shape) {
      this.drawn.setData(data);
      return this.tell(null);
    }
    this.destroy();
    this.box.textContent = "";
    this.shape = shape;
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    const band = this.runs.length === 1 ? [{ series: [2, 1], fill: colour("--band") }] : [];
    this.drawn = new uPlot({
      width: this.box.clientWidth, height: Number(this.box.dataset.height || 190), legend: { show: false }, bands: band,
      padding: [8, 10, 0, 0], focus: { alpha: this.runs.length > 1 ? 0.25 : 1 },
      scales: { x: { time: now.x === "clock" }, y: now.log ? { distr: 3 } : {} },
      cursor: { sync: { key: `curves-${now.x}` }, focus: { prox: 24 }, y: false },
      axes: [
        { ...axis, size: 28, ...(now.x === "time" ? { values: (_, marks) => marks.map(span) } : {}) },
        { ...axis, size: 56, values: (_, marks) => marks.map((mark) => (mark == null ? "" : number(mark))) },
      ],
      series: [{}, ...this.series(now)],
      hooks: { setCursor: [(drawn) => this.tell(drawn.cursor.idx)], setSeries: [(drawn, index) => { this.near = index; this.tell(drawn.cursor.idx); }] },
    }, data, this.box);
    this.tell(null);
  }
  tell(index) {
    if (!this.read || !this.drawn) return;
    const data = this.drawn.data, now = settings(), alone = this.runs.length === 1;
    const place = index ?? data[0].length - 1;
    const at = xText[now.x](data[0][place]);
    if (alone) {
      const low = data[1][place], high = data[2][place], value = data[3][place];
      const band = low !== high && low != null ? ` (${number(low)} … ${number(high)})` : "";
      this.read.textContent = `${now.x === "step" ? `${this.box.dataset.step} ` : ""}${at}: ${number(value)}${band}`;
    } else if (index != null && this.near > 0) {
      this.read.textContent = `${this.drawn.series[this.near].label} · ${at}: ${number(data[this.near][place])}`;
    } else {
      this.read.textContent = "";
    }
  }
  walk(event) {
    if (!this.drawn) return;
    const drawn = this.drawn, last = drawn.data[0].length - 1, far = event.shiftKey ? Math.max(1, Math.round(last / 10)) : 1;
    const index = drawn.cursor.idx ?? last;
    const to = { ArrowLeft: Math.max(0, index - far), ArrowRight: Math.min(last, index + far), Home: 0, End: last }[event.key];
    if (to != null) {
      this.read?.setAttribute("aria-live", "polite");
      drawn.setCursor({ left: drawn.valToPos(drawn.data[0][to], "x"), top: drawn.over.clientHeight / 2 });
      event.preventDefault();
    } else if (event.key === "Escape") {
      drawn.setData(drawn.data);
    }
  }
  resize() {
    this.drawn?.setSize({ width: this.box.clientWidth, height: this.drawn.height });
  }
  destroy() {
    this.drawn?.destroy();
    this.drawn = null;
  }
}

async function ask(boxes, follow) {
  const groups = new Map();
  for (const box of boxes) groups.set(box.dataset.runs, [...(groups.get(box.dataset.runs) ?? []), plots.get(box)]);
  const moved = [];
  for (const [runs, found] of groups) {
    for (let place = 0; place < found.length; place += TOGETHER) {
      const some = found.slice(place, place + TOGETHER);
      const query = new URLSearchParams({ runs, keys: some.map((one) => one.key.replaceAll("%", "%25").replaceAll(",", "%2C")).join(), buckets: Math.max(60, Math.min(BUCKETS, Math.round(6000 / runs.split(",").length))) });
      if (follow) query.set("known", some.map((one) => one.known()).join());
      const answer = await fetch(`/curves.json?${query}`, { headers: { accept: "application/json" } });
      if (!answer.ok) continue;
      const { curves, statuses } = await answer.json();
      for (const curve of curves) {
        const plot = some.find((one) => one.key === curve.key);
        plot?.take(curve);
      }
      for (const plot of some) if (!follow || curves.some((curve) => curve.key === plot.key)) plot.draw();
      moved.push(...Object.entries(statuses));
    }
  }
  return moved;
}
async function load() {
  const fresh = [...visible].filter((box) => plots.has(box) && !box.dataset.loaded);
  for (const box of fresh) box.dataset.loaded = "1";
  if (fresh.length) await ask(fresh, false);
}
const sight = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (entry.isIntersecting) visible.add(entry.target); else visible.delete(entry.target);
  }
  clearTimeout(asking);
  asking = setTimeout(load, 30);
}, { rootMargin: "200px" });

// While a run goes on, what is in sight is asked for again each second; the answer holds only what has grown.
async function follow() {
  clearTimeout(timer);
  const going = document.querySelector("[data-going]");
  if (!going || document.hidden) return;
  const boxes = [...visible].filter((box) => box.dataset.loaded);
  if (boxes.length) {
    const statuses = await ask(boxes, true).catch(() => []);
    if (statuses.length && statuses.every(([, status]) => status !== "running")) {
      document.body.dispatchEvent(new CustomEvent("moved"));
    }
  }
  timer = setTimeout(follow, LIVE_MS);
}
function scan() {
  for (const [box, plot] of plots) {
    if (!box.isConnected) { plot.destroy(); plots.delete(box); visible.delete(box); sight.unobserve(box); }
  }
  for (const box of all("[data-plot]")) {
    if (!plots.has(box)) { plots.set(box, new Plot(box)); sight.observe(box); }
  }
  follow();
}
function redraw() {
  for (const plot of plots.values()) if (plot.box.dataset.loaded) plot.draw();
}
function afresh() {
  plots.forEach((plot) => plot.destroy());
  redraw();
}

document.addEventListener("input", (event) => {
  if (!event.target.closest("[data-chart-form]") || event.target.name === "metric") return;
  remember();
  redraw();
});
document.addEventListener("visibilitychange", follow);
document.body.addEventListener("htmx:after:swap", scan);
addEventListener("resize", () => plots.forEach((plot) => plot.resize()));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", afresh);
scan();
