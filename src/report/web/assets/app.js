// The dashboard: asks the server for runs and draws them. A report is the same page with its data inside.
"use strict";

// ---------------------------------------------------------------- where data comes from

const inside = document.getElementById("data");

/** Answers to what the page asks, from the server. An answer that is as before comes as `undefined`. */
const server = {
  live: true,
  tags: new Map(),
  async ask(path, parameters = {}) {
    const query = new URLSearchParams(parameters).toString();
    const url = "api/" + path + (query ? "?" + query : "");
    const response = await fetch(url);
    if (response.status === 404) return null;
    if (!response.ok) throw new Error(response.status);
    const tag = response.headers.get("etag");
    if (tag && this.tags.get(url) === tag) return undefined;
    const answer = await response.json();
    this.tags.set(url, tag);
    return answer;
  },
  list() { return this.ask("runs"); },
  series(id, range) { return this.ask("series", { id, ...range }); },
  detail(id) { return this.ask("run", { id }); },
  picture(what, id, stamp) { return `api/${what}?` + new URLSearchParams({ id, stamp }); },
};

/** The same from the page itself. */
function embedded(data) {
  const once = (answer) => { let given = false; return async () => given ? undefined : (given = true, answer); };
  const of = (id) => data.runs.find((run) => run.summary.id === id);
  return {
    live: false,
    list: once({ title: data.title, runs: data.runs.map((run) => run.summary) }),
    async series(id) { return of(id)?.series; },
    async detail(id) { return of(id)?.detail; },
    picture(what, id) { return of(id)?.pictures[what]; },
    written: data.written,
    count: data.runs.length,
  };
}

const source = inside ? embedded(JSON.parse(inside.textContent)) : server;

// ---------------------------------------------------------------- state

/** Colours that people with any kind of sight can tell apart, after Okabe and Ito, for light and for dark paper. */
const PALETTES = {
  light: ["#0072b2", "#d55e00", "#009e73", "#a3478f", "#b07d00", "#3a9bd1", "#5a4fb0", "#5c6670"],
  dark: ["#56b4e9", "#f28e4b", "#2fc59a", "#e39ac7", "#e6c84a", "#9fd4f5", "#a99cf0", "#b4bdc8"],
};
const dark = matchMedia("(prefers-color-scheme: dark)");
const palette = () => PALETTES[dark.matches ? "dark" : "light"];

const view = {
  runs: [], chosen: [], focus: null, axis: "iter", smooth: 0.6, log: false, tab: "settings",
  zoom: null, hover: null, filter: "", differing: false,
};
/** By run: its colour's number, its curves, and what else is known. */
const slots = new Map(), series = new Map(), details = new Map();

const by = (id) => document.getElementById(id);
const run = (id) => view.runs.find((r) => r.id === id);
const color = (id) => palette()[(slots.get(id) ?? 7) % 8];
const dashes = (id) => (slots.get(id) ?? 0) >= 8 ? [2, 2] : [];

/** An element with properties and children. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "color") element.style.setProperty("--color", value);
    else if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

// ---------------------------------------------------------------- numbers

const LOCALE = "en-US";
const whole = new Intl.NumberFormat(LOCALE);

/** A number in few digits, but for those before the point. */
function short(v, digits = 4) {
  if (v == null || !Number.isFinite(v)) return "not finite";
  if (v === 0) return "0";
  const size = Math.abs(v);
  if (size >= 1e7 || size < 1e-4) return v.toExponential(digits - 2).replace(/\.?0*e\+?/, "e");
  const kept = Math.max(digits, Math.floor(Math.log10(size)) + 1);
  return new Intl.NumberFormat(LOCALE, { maximumSignificantDigits: kept }).format(v);
}

/** A time in seconds as people say it. */
function duration(s) {
  if (s == null || !Number.isFinite(s)) return "";
  if (s < 1) return s.toFixed(1) + " s";
  if (s < 60) return (s < 10 ? +s.toFixed(1) : Math.round(s)) + " s";
  const [d, h, m] = [Math.floor(s / 86400), Math.floor(s / 3600) % 24, Math.floor(s / 60) % 60];
  if (d) return `${d} d ${h} h`;
  return h ? `${h} h ${m} min` : `${m} min ${Math.floor(s % 60)} s`;
}

function size(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (bytes >= 1024 && unit < 4) { bytes /= 1024; unit++; }
  return (unit ? bytes.toFixed(1) : bytes) + " " + units[unit];
}

const moment = (seconds) => new Date(seconds * 1000).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });

// ---------------------------------------------------------------- the address keeps what is shown

function remember() {
  const p = new URLSearchParams();
  view.chosen.forEach((id) => p.append("run", id));
  if (view.focus) p.set("focus", view.focus);
  if (view.axis !== "iter") p.set("over", view.axis);
  if (view.smooth !== 0.6) p.set("smooth", view.smooth);
  if (view.log) p.set("log", 1);
  if (view.tab !== "settings") p.set("tab", view.tab);
  history.replaceState(null, "", "#" + p);
}

function recall() {
  const p = new URLSearchParams(location.hash.slice(1));
  view.chosen = p.getAll("run");
  view.focus = p.get("focus");
  view.axis = ["iter", "epoch", "time"].includes(p.get("over")) ? p.get("over") : "iter";
  const smooth = Number(p.get("smooth") ?? 0.6);
  view.smooth = smooth >= 0 && smooth < 1 ? smooth : 0.6;
  view.log = p.has("log");
  view.tab = p.get("tab") ?? "settings";
}

// ---------------------------------------------------------------- the list of runs

const STATES = { running: "running", done: "done", stopped: "stopped", failed: "failed", died: "died", ended: "ended" };

function choose(id, yes) {
  view.chosen = view.chosen.filter((other) => other !== id);
  if (yes) view.chosen.push(id);
  colour();
}

/** Gives each chosen run a colour, which it keeps as long as it is chosen. */
function colour() {
  for (const id of [...slots.keys()]) if (!view.chosen.includes(id)) slots.delete(id);
  for (const id of view.chosen) {
    if (slots.has(id)) continue;
    const taken = new Set(slots.values());
    let slot = 0;
    while (taken.has(slot)) slot++;
    slots.set(id, slot);
  }
}

function focusOn(id) {
  view.focus = id;
  if (!view.chosen.includes(id)) {
    // Whoever only looks from one to the next does not collect them.
    if (view.chosen.length <= 1) view.chosen = [];
    choose(id, true);
  }
  changed();
}

/** The last values of a run that people look at first: the loss, and what tests say. */
function headline(r) {
  const loss = r.last.find((l) => l.kind === "loss");
  const tests = r.last.filter((l) => l.kind === "test" && !/loss/i.test(l.name)).slice(0, 1);
  const all = [loss, ...tests].filter(Boolean).map((l) => `${l.name} ${short(l.value, 3)}`);
  return all.join(" · ");
}

function progress(r) {
  return r.max_iter > 0 && r.iter !== r.max_iter ? `${whole.format(r.iter)} / ${whole.format(r.max_iter)}` : whole.format(r.iter);
}

const rows = new Map();

function drawList() {
  const shown = view.runs
    .filter((r) => r.name.toLowerCase().includes(view.filter.toLowerCase()))
    .sort((a, b) => (b.state === "running") - (a.state === "running") || (b.started ?? b.updated ?? 0) - (a.started ?? a.updated ?? 0) || a.name.localeCompare(b.name));
  const list = by("runs");
  const ids = new Set(shown.map((r) => r.id));
  for (const [id, row] of rows) if (!ids.has(id)) { row.item.remove(); rows.delete(id); }
  shown.forEach((r, place) => {
    let row = rows.get(r.id);
    if (!row) rows.set(r.id, row = newRow(r));
    if (list.children[place] !== row.item) list.insertBefore(row.item, list.children[place] ?? null);
    row.show(r);
  });
  by("none").hidden = view.runs.length > 0;
  by("only").hidden = view.chosen.length < 2;
}

function newRow(r) {
  const box = make("input", { type: "checkbox", ariaLabel: "Show the curves of " + r.name });
  box.onchange = () => { choose(r.id, box.checked); changed(); };
  const name = make("span"), state = make("span"), facts = make("span", { className: "facts" });
  const bar = make("progress", { ariaLabel: "Iterations done" });
  const open = make("button", { type: "button" }, make("span", { className: "name" }, name, state), facts, bar);
  open.onclick = () => focusOn(r.id);
  const item = make("li", {}, make("label", {}, box), open);
  return {
    item,
    show(r) {
      const chosen = view.chosen.includes(r.id);
      item.className = "run" + (r.id === view.focus ? " focus" : "");
      item.style.setProperty("--color", chosen ? color(r.id) : "var(--pale)");
      box.checked = chosen;
      open.ariaCurrent = r.id === view.focus ? "true" : null;
      name.textContent = r.name;
      state.className = "state " + r.state;
      state.textContent = STATES[r.state] ?? r.state;
      facts.textContent = [progress(r), headline(r)].filter(Boolean).join(" · ");
      bar.hidden = !(r.max_iter > 0) || r.state === "done";
      bar.max = Math.max(1, r.max_iter);
      bar.value = r.iter;
    },
  };
}

// ---------------------------------------------------------------- curves

/** The seconds of training at an iteration, between the notes of the time that there are. */
function timeAt(times, iter) {
  if (!times.length) return null;
  let low = 0, high = times.length - 1;
  if (iter <= times[0][0]) return times[0][1];
  if (iter >= times[high][0]) {
    // Training goes on at the pace of the last part until the next note.
    if (high < 1) return times[high][1];
    const [[a, s], [b, t]] = [times[high - 1], times[high]];
    return t + (b > a ? (iter - b) * (t - s) / (b - a) : 0);
  }
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (times[middle][0] <= iter) low = middle; else high = middle;
  }
  const [[a, s], [b, t]] = [times[low], times[high]];
  return s + (iter - a) * (t - s) / (b - a);
}

/** The iteration at a time, likewise. */
function iterAt(times, seconds) {
  const at = times.findIndex(([, s]) => s >= seconds);
  if (at < 0) return Infinity;
  if (at === 0) return times[0][0];
  const [[a, s], [b, t]] = [times[at - 1], times[at]];
  return t > s ? a + (seconds - s) * (b - a) / (t - s) : b;
}

/** An iteration of a run on the axis that is chosen. */
function place(data, iter) {
  if (view.axis === "epoch") return data.epoch ? iter / data.epoch : null;
  if (view.axis === "time") return timeAt(data.times, iter);
  return iter;
}

/** A range of the axis as iterations of a run. */
function iterations(data, [from, to]) {
  if (view.axis === "epoch" && data.epoch) return [from * data.epoch, to * data.epoch];
  if (view.axis === "time") return [iterAt(data.times, from), iterAt(data.times, to)];
  return [from, to];
}

/** A mean that forgets; early values are not drawn to 0. */
function smoothed(values, weight) {
  let sum = 0, norm = 0;
  return values.map((v) => {
    if (v == null) return null;
    sum = weight * sum + (1 - weight) * v;
    norm = weight * norm + (1 - weight);
    return sum / norm;
  });
}

/** The curves of all chosen runs, by the chart that they are drawn in. */
function groups() {
  const found = new Map();
  for (const id of view.chosen) {
    const data = series.get(id);
    for (const curve of data?.curves ?? []) {
      const loss = curve.kind === "loss" || (curve.kind !== "rate" && /loss/i.test(curve.name));
      const key = curve.kind === "rate" ? "rate" : loss ? "loss" : curve.name;
      if (!found.has(key)) found.set(key, { key, curves: [], test: false });
      const group = found.get(key);
      group.curves.push({ id, data, curve });
      group.test ||= curve.kind === "test";
    }
  }
  const parts = ["loss", "train", "test", "rate"];
  for (const group of found.values()) group.curves.sort((a, b) => parts.indexOf(a.curve.kind) - parts.indexOf(b.curve.kind));
  const rank = (g) => g.key === "loss" ? 0 : g.key === "rate" ? 3 : g.test ? 1 : 2;
  return [...found.values()].sort((a, b) => rank(a) - rank(b));
}

/** The curves of a group, ready to be drawn. */
function lines(group) {
  const alone = view.chosen.length === 1;
  const kinds = new Set(group.curves.map(({ curve }) => curve.kind + curve.net + curve.name));
  const order = [...kinds];
  return group.curves.map(({ id, data, curve }) => {
    const xs = curve.iters.map((i) => place(data, i));
    const noisy = curve.kind === "loss" || curve.kind === "train";
    const smooth = noisy && view.smooth > 0 && curve.iters.length > 3 ? smoothed(curve.mean, view.smooth) : null;
    const thinned = curve.low.length > 0;
    const part = order.indexOf(curve.kind + curve.net + curve.name);
    const test = curve.kind === "test";
    const what = test ? `test ${curve.name}${curve.net ? " #" + curve.net : ""}` : curve.kind === "rate" ? "" : curve.kind === "loss" ? "train loss" : `train ${curve.name}`;
    return {
      id, xs, raw: curve.mean, smooth, low: thinned ? curve.low : null, high: thinned ? curve.high : null,
      ys: smooth ?? curve.mean, test, broken: curve.broken.map((i) => place(data, i)),
      dots: test && curve.iters.length <= 60, step: curve.kind === "rate",
      color: alone ? palette()[part % 8] : color(id),
      dash: alone ? [] : part === 0 ? dashes(id) : part === 1 ? [6, 4] : [2, 3],
      label: alone ? what || "learning rate" : run(id)?.name + (kinds.size > 1 && what ? ` · ${what}` : ""),
    };
  });
}

const charts = new Map();

function drawCharts() {
  const all = groups();
  const keys = new Set(all.map((g) => g.key));
  for (const [key, chart] of charts) if (!keys.has(key)) { chart.element.remove(); charts.delete(key); }
  const loaded = view.chosen.map((id) => series.get(id)).filter(Boolean);
  const able = {
    iter: true,
    epoch: loaded.some((d) => d.epoch),
    time: loaded.some((d) => d.times.length > 1),
  };
  if (loaded.length && !able[view.axis]) view.axis = "iter";
  for (const radio of document.querySelectorAll("input[name=axis]")) {
    radio.disabled = loaded.length > 0 && !able[radio.value];
    radio.checked = radio.value === view.axis;
  }
  by("unchosen").hidden = view.chosen.length > 0 || !view.runs.length;
  const span = extent();
  all.forEach((group, place) => {
    let chart = charts.get(group.key);
    if (!chart) charts.set(group.key, chart = newChart(group.key));
    const list = by("charts");
    if (list.children[place] !== chart.element) list.insertBefore(chart.element, list.children[place] ?? null);
    chart.element.classList.toggle("wide", place === 0 || (all.length === 2));
    chart.show(lines(group), view.zoom ?? span);
  });
  by("reset").hidden = !view.zoom;
}

/** From where to where the axis goes when nothing is zoomed: all of all curves. */
function extent() {
  let [from, to] = [Infinity, -Infinity];
  for (const id of view.chosen) {
    const data = series.get(id);
    for (const i of data?.span ?? []) {
      const x = place(data, i);
      if (x != null) { from = Math.min(from, x); to = Math.max(to, x); }
    }
  }
  if (!(from <= to)) return [0, 1];
  return from === to ? [from, from + 1] : [from, to];
}

/** The first and the last iteration that curves tell of. */
function spanOf(curves) {
  const ends = curves.filter((c) => c.iters.length).flatMap((c) => [c.iters[0], c.iters[c.iters.length - 1]]);
  return ends.length ? [Math.min(...ends), Math.max(...ends)] : [];
}

const TITLES = { loss: "Loss", rate: "Learning rate" };

/** Steps for an axis at round numbers. */
function ticks(from, to, count, units = [1, 2, 5]) {
  const raw = (to - from) / Math.max(1, count), power = 10 ** Math.floor(Math.log10(raw));
  const step = (units.find((u) => u * power >= raw * 0.999) ?? 10) * power;
  const out = [];
  for (let k = Math.ceil(from / step - 1e-9); k * step <= to + step * 1e-9; k++) out.push(k * step + 0);
  return out;
}

function timeTicks(from, to, count) {
  const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800];
  const step = steps.find((s) => (to - from) / s <= count) ?? (to - from) / count;
  const out = [];
  for (let k = Math.ceil(from / step - 1e-9); k * step <= to + step * 1e-9; k++) out.push(k * step + 0);
  return out;
}

function timeLabel(s, span) {
  if (span < 120) return +s.toFixed(1) + " s";
  if (span < 7200) return +(s / 60).toFixed(1) + " min";
  if (span < 172800) return +(s / 3600).toFixed(2) + " h";
  return +(s / 86400).toFixed(2) + " d";
}

function logTicks(low, high, most) {
  const out = [];
  const decades = Math.log10(high) - Math.log10(low);
  const factors = decades > 4 ? [1] : decades > 1.6 ? [1, 3] : [1, 2, 5];
  for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++) {
    for (const f of factors) {
      const v = f * 10 ** e;
      if (v >= low * 0.999 && v <= high * 1.001) out.push(v);
    }
  }
  if (out.length < 2) return ticks(low, high, most);
  const keep = Math.ceil(out.length / most);
  return out.filter((_, i) => i % keep === 0);
}

/** Between numbers of which some are missing: the value at `x`, and where. */
function nearest(xs, x) {
  let low = 0, high = xs.length - 1;
  if (high < 0) return -1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (xs[middle] <= x) low = middle; else high = middle;
  }
  return Math.abs(xs[low] - x) <= Math.abs(xs[high] - x) ? low : high;
}

function newChart(key) {
  const title = TITLES[key] ?? key[0].toUpperCase() + key.slice(1);
  const legend = make("ul", { className: "legend" });
  const canvas = make("canvas", { tabIndex: 0, role: "img" });
  const element = make("figure", { className: "chart" }, make("div", { className: "top" }, make("h3", { textContent: title }), legend), canvas);
  element.style.margin = 0;
  const chart = { element, canvas, title, key, lines: [], range: [0, 1], box: null, drag: null };
  chart.show = (curves, range) => {
    chart.lines = curves;
    chart.range = range;
    drawLegend(chart, legend);
    paint(chart);
  };
  follow(chart);
  new ResizeObserver(() => paint(chart)).observe(canvas);
  return chart;
}

function drawLegend(chart, legend) {
  const entries = chart.lines.slice(0, 12).map((line) => {
    const ns = "http://www.w3.org/2000/svg";
    const key = document.createElementNS(ns, "svg");
    key.setAttribute("width", 22); key.setAttribute("height", 10); key.setAttribute("aria-hidden", "true");
    const stroke = document.createElementNS(ns, "path");
    stroke.setAttribute("d", "M1 5H21"); stroke.setAttribute("stroke", line.color); stroke.setAttribute("stroke-width", 2.2);
    stroke.setAttribute("stroke-dasharray", line.dash.join(" "));
    key.append(stroke);
    if (line.dots) {
      const dot = document.createElementNS(ns, "circle");
      for (const [name, value] of Object.entries({ cx: 11, cy: 5, r: 3.2, fill: line.color })) dot.setAttribute(name, value);
      key.append(dot);
    }
    const finite = line.ys.filter((v) => v != null);
    return make("li", {}, key, line.label, make("b", { textContent: finite.length ? short(finite[finite.length - 1]) : "–" }));
  });
  if (chart.lines.length > 12) entries.push(make("li", { textContent: `and ${chart.lines.length - 12} more` }));
  legend.replaceChildren(...entries);
  const words = chart.lines.map((l) => {
    const finite = l.ys.filter((v) => v != null);
    return `${l.label}: ${finite.length ? short(finite[finite.length - 1]) : "no value"}`;
  });
  chart.canvas.ariaLabel = `${chart.title}. Last values: ${words.join("; ") || "none"}. Arrow keys read values, plus and minus zoom.`;
}

/** The least and the greatest that is drawn in a range of the axis. */
function bounds(chart) {
  const [from, to] = chart.range;
  let [low, high] = [Infinity, -Infinity];
  const see = (v) => {
    if (v == null || (view.log && v <= 0)) return;
    if (v < low) low = v;
    if (v > high) high = v;
  };
  for (const line of chart.lines) {
    line.xs.forEach((x, i) => {
      if (x == null || x < from || x > to) return;
      see(line.raw[i]);
      if (line.low) { see(line.low[i]); see(line.high[i]); }
    });
  }
  if (!(low <= high)) return view.log ? [0.1, 1] : [0, 1];
  if (view.log) return low === high ? [low / 2, high * 2] : [low / 1.08, high * 1.08];
  if (low === high) { const d = Math.abs(low) * 0.1 || 1; return [low - d, high + d]; }
  const room = (high - low) * 0.06;
  // Losses and rates start at the floor where they come near it.
  return [low >= 0 && low < (high - low) * 0.35 ? 0 : low - room, high + room];
}

function paint(chart) {
  const { canvas } = chart, scale = devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  if (!width || !height) return;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const style = getComputedStyle(document.documentElement);
  const tone = (name) => style.getPropertyValue("--" + name).trim();
  const c = canvas.getContext("2d");
  c.setTransform(scale, 0, 0, scale, 0, 0);
  c.clearRect(0, 0, width, height);
  c.font = "11.5px " + tone("sans");
  const [from, to] = chart.range, [low, high] = bounds(chart);
  const bottom = height - 22, top = 8;
  const marks = view.log ? logTicks(low, high, 7) : ticks(low, high, height > 220 ? 7 : 6);
  const texts = marks.map((v) => short(v, 4));
  const left = Math.ceil(Math.max(28, ...texts.map((t) => c.measureText(t).width)) + 10), right = width - 10;
  const X = (x) => left + (x - from) / (to - from) * (right - left);
  const Y = view.log
    ? (y) => bottom - (Math.log(y) - Math.log(low)) / (Math.log(high) - Math.log(low)) * (bottom - top)
    : (y) => bottom - (y - low) / (high - low) * (bottom - top);
  chart.box = { left, right, top, bottom, X, Y, at: (px) => from + (px - left) / (right - left) * (to - from) };

  c.lineWidth = 1;
  c.textBaseline = "middle";
  c.textAlign = "right";
  marks.forEach((v, i) => {
    const y = Math.round(Y(v)) + 0.5;
    c.strokeStyle = tone("grid");
    c.beginPath(); c.moveTo(left, y); c.lineTo(right, y); c.stroke();
    c.fillStyle = tone("pale");
    c.fillText(texts[i], left - 7, y);
  });
  c.textBaseline = "alphabetic";
  const count = Math.max(2, Math.floor((right - left) / 90));
  const steps = view.axis === "time" ? timeTicks(from, to, count) : ticks(from, to, count).filter((v) => view.axis !== "iter" || Number.isInteger(v));
  for (const v of steps) {
    const text = view.axis === "time" ? timeLabel(v, to) : view.axis === "epoch" ? short(v) : whole.format(v);
    const half = c.measureText(text).width / 2, x = X(v);
    c.strokeStyle = tone("grid");
    c.beginPath(); c.moveTo(Math.round(x) + 0.5, bottom); c.lineTo(Math.round(x) + 0.5, bottom + 4); c.stroke();
    c.textAlign = "center";
    c.fillStyle = tone("pale");
    c.fillText(text, Math.min(Math.max(x, left + half - 6), width - half - 1), height - 5);
  }
  c.strokeStyle = tone("line");
  c.beginPath(); c.moveTo(left, bottom + 0.5); c.lineTo(right, bottom + 0.5); c.stroke();

  c.save();
  c.beginPath(); c.rect(left - 4, top - 6, right - left + 8, bottom - top + 8); c.clip();
  chart.lines.forEach((line) => stroke(c, line, X, Y, bottom));
  c.restore();

  if (chart.drag) {
    const [a, b] = chart.drag;
    c.fillStyle = tone("accent");
    c.globalAlpha = 0.14;
    c.fillRect(Math.min(a, b), top, Math.abs(a - b), bottom - top);
    c.globalAlpha = 1;
  } else if (view.hover != null && view.hover >= from && view.hover <= to) {
    const x = Math.round(X(view.hover)) + 0.5;
    c.strokeStyle = tone("pale");
    c.setLineDash([3, 3]);
    c.beginPath(); c.moveTo(x, top); c.lineTo(x, bottom); c.stroke();
    c.setLineDash([]);
    for (const line of chart.lines) {
      const i = nearest(line.xs, view.hover);
      if (i < 0 || line.ys[i] == null || line.xs[i] == null || line.xs[i] < from || line.xs[i] > to) continue;
      c.fillStyle = line.color;
      c.strokeStyle = tone("card");
      c.lineWidth = 2;
      c.beginPath(); c.arc(X(line.xs[i]), Y(line.ys[i]), 4.5, 0, 7); c.fill(); c.stroke();
    }
  }
}

function stroke(c, line, X, Y, bottom) {
  const { xs } = line;
  const drawable = (v) => v != null && !(view.log && v <= 0);
  const path = (ys) => {
    c.beginPath();
    let pen = false, last = 0;
    xs.forEach((x, i) => {
      if (x == null || !drawable(ys[i])) { pen = false; return; }
      const [px, py] = [X(x), Y(ys[i])];
      if (pen && line.step) c.lineTo(px, last);
      if (pen) c.lineTo(px, py); else c.moveTo(px, py);
      pen = true;
      last = py;
    });
    c.stroke();
  };
  c.strokeStyle = c.fillStyle = line.color;
  c.lineJoin = "round";
  if (line.low) {
    // Each point stands for many: a bar from the least to the greatest of them.
    c.globalAlpha = line.smooth ? 0.22 : 0.35;
    c.lineWidth = 1.4;
    c.beginPath();
    xs.forEach((x, i) => {
      if (x == null || !drawable(line.low[i])) return;
      c.moveTo(X(x), Y(line.low[i]) + 0.5);
      c.lineTo(X(x), Y(line.high[i]) - 0.5);
    });
    c.stroke();
  } else if (line.smooth) {
    c.globalAlpha = 0.25;
    c.lineWidth = 1;
    path(line.raw);
  }
  c.globalAlpha = 1;
  c.lineWidth = 1.9;
  c.setLineDash(line.dash);
  path(line.ys);
  c.setLineDash([]);
  if (line.dots) xs.forEach((x, i) => {
    if (x == null || !drawable(line.ys[i])) return;
    c.beginPath(); c.arc(X(x), Y(line.ys[i]), 3, 0, 7); c.fill();
  });
  // Where a value was no number, a cross on the axis says so.
  c.lineWidth = 1.6;
  for (const x of line.broken) {
    if (x == null) continue;
    const px = X(x), py = bottom - 5;
    c.beginPath(); c.moveTo(px - 4, py - 4); c.lineTo(px + 4, py + 4); c.moveTo(px + 4, py - 4); c.lineTo(px - 4, py + 4); c.stroke();
  }
}

// ---------------------------------------------------------------- reading and zooming with pointer and keys

const repaint = () => { for (const chart of charts.values()) paint(chart); };

function follow(chart) {
  const { canvas } = chart;
  const inBox = (event) => Math.min(Math.max(event.offsetX, chart.box.left), chart.box.right);
  canvas.onpointerdown = (event) => {
    if (event.button || event.pointerType === "touch" || !chart.box) return;
    chart.drag = [inBox(event), inBox(event)];
    canvas.setPointerCapture(event.pointerId);
  };
  canvas.onpointermove = (event) => {
    if (!chart.box) return;
    if (chart.drag) { chart.drag[1] = inBox(event); hideTip(); return paint(chart); }
    view.hover = chart.box.at(inBox(event));
    repaint();
    showTip(chart, event.clientX, event.clientY);
  };
  canvas.onpointerup = () => {
    const drag = chart.drag;
    chart.drag = null;
    if (drag && Math.abs(drag[0] - drag[1]) > 5) zoom([chart.box.at(Math.min(...drag)), chart.box.at(Math.max(...drag))]);
  };
  canvas.onpointercancel = () => { chart.drag = null; };
  canvas.onpointerleave = () => { if (!chart.drag) { view.hover = null; hideTip(); repaint(); } };
  canvas.ondblclick = () => zoom(null);
  canvas.onblur = () => { view.hover = null; hideTip(); repaint(); };
  canvas.onkeydown = (event) => {
    const [from, to] = chart.range, span = to - from;
    const middle = view.hover ?? (from + to) / 2;
    const step = span / (event.shiftKey ? 10 : 100);
    const near = (factor) => zoom([middle - (middle - from) * factor, middle + (to - middle) * factor]);
    const actions = {
      ArrowLeft: () => read(Math.max(from, middle - step)),
      ArrowRight: () => read(Math.min(to, middle + step)),
      Home: () => read(from), End: () => read(to),
      "+": () => near(0.5), "=": () => near(0.5), "-": () => near(2), Escape: () => zoom(null), 0: () => zoom(null),
    };
    if (!actions[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    actions[event.key]();
  };
  function read(x) {
    view.hover = x;
    repaint();
    const box = canvas.getBoundingClientRect();
    showTip(chart, box.left + chart.box.X(x), box.top + 20);
  }
}

function zoom(range) {
  const whole = extent();
  if (range) {
    range = [Math.max(range[0], whole[0]), Math.min(range[1], whole[1])];
    if (!(range[1] - range[0] > (whole[1] - whole[0]) * 1e-6)) return;
    if (range[0] <= whole[0] && range[1] >= whole[1]) range = null;
  }
  view.zoom = range;
  hideTip();
  drawCharts();
  load(true);
}

function showTip(chart, px, py) {
  const rowsOf = chart.lines.map((line) => {
    const i = nearest(line.xs, view.hover);
    return i < 0 || line.xs[i] == null ? null : { line, i };
  }).filter(Boolean);
  if (!rowsOf.length) return hideTip();
  const x = view.hover;
  const where = view.axis === "time" ? duration(x) : view.axis === "epoch" ? `epoch ${short(x)}` : `iteration ${whole.format(Math.round(x))}`;
  const table = make("table", {}, make("caption", { textContent: where }), ...rowsOf.slice(0, 16).map(({ line, i }) => {
    const range = line.low && line.low[i] !== line.high[i] ? ` (${short(line.low[i], 3)} – ${short(line.high[i], 3)})` : "";
    return make("tr", {}, make("td", {}, make("span", { className: "dot", color: line.color })), make("td", { textContent: line.label }), make("td", { textContent: short(line.ys[i]) + range }));
  }));
  const tip = by("tip");
  tip.replaceChildren(table);
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  const x0 = px + 16 + box.width > innerWidth ? px - 16 - box.width : px + 16;
  tip.style.left = Math.max(4, x0) + "px";
  tip.style.top = Math.max(4, Math.min(py + 12, innerHeight - box.height - 8)) + "px";
}

const hideTip = () => { by("tip").hidden = true; };

// ---------------------------------------------------------------- details

/** The tabs: a name, whether there is anything to show, and how. */
const TABS = [
  { key: "settings", name: "Settings", has: () => true, show: showSettings },
  { key: "net", name: "Net", has: (d) => d.net, show: showNet },
  { key: "filters", name: "Filters", has: (d) => d.filters, show: showFilters },
  { key: "confusion", name: "Confusion", has: (d) => d.evaluation, show: showConfusion },
  { key: "snapshots", name: "Snapshots", has: (d) => d.snapshots.length, show: showSnapshots },
  { key: "log", name: "Log", has: (d) => d.log.length, show: showLog },
];

function drawDetails() {
  const r = run(view.focus), detail = details.get(view.focus);
  by("details").hidden = !r || !detail;
  if (!r || !detail) return;
  by("focus").textContent = r.name;
  by("summary").replaceChildren(...sentence(r));
  const able = TABS.filter((tab) => tab.has(detail));
  const active = able.find((tab) => tab.key === view.tab) ?? able[0];
  const list = by("tabs");
  const wanted = able.map((t) => t.key).join();
  if (list.dataset.keys !== wanted) {
    list.dataset.keys = wanted;
    list.replaceChildren(...able.map((tab) => {
      const button = make("button", { type: "button", role: "tab", id: "tab-" + tab.key, textContent: tab.name });
      button.setAttribute("aria-controls", "panel");
      button.onclick = () => { view.tab = tab.key; changed(); };
      button.onkeydown = (event) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (!step) return;
        const tabs = [...list.children];
        const next = tabs[(tabs.indexOf(button) + step + tabs.length) % tabs.length];
        next.click();
        next.focus();
      };
      return button;
    }));
  }
  for (const button of list.children) {
    const on = button.id === "tab-" + active.key;
    button.ariaSelected = String(on);
    button.tabIndex = on ? 0 : -1;
  }
  const panel = by("panel");
  panel.setAttribute("aria-labelledby", "tab-" + active.key);
  if (panel.dataset.of !== active.key + view.focus) {
    panel.dataset.of = active.key + view.focus;
    panel.replaceChildren();
  }
  active.show(panel, detail, r);
}

/** How a run stands, in words. */
function sentence(r) {
  const parts = [make("span", { className: "state " + r.state, textContent: STATES[r.state] ?? r.state })];
  const say = (text) => parts.push(" · " + text);
  if (r.why) say(r.why.replace(/^error: /, "").split("\n")[0]);
  say(`iteration ${progress(r)}`);
  if (r.epoch) say(`epoch ${short(r.iter / r.epoch, 3)}`);
  if (r.seconds) say(`${duration(r.seconds)} of training`);
  if (r.state === "running" && r.speed) {
    say(`${short(r.speed, 3)} it/s`);
    if (r.max_iter > r.iter) say(`${duration((r.max_iter - r.iter) / r.speed)} to go`);
  }
  if (r.started) say(`began ${moment(r.started)}`);
  return parts;
}

function showSettings(panel, detail) {
  const compared = view.chosen.filter((id) => details.get(id));
  const ids = [view.focus, ...compared.filter((id) => id !== view.focus)].slice(0, 6);
  const all = ids.map((id) => ({ id, facts: new Map(details.get(id).facts), settings: new Map(details.get(id).settings) }));
  const differing = ids.length > 1 && view.differing;
  const table = (part, title) => {
    const names = [...new Set(all.flatMap((one) => [...one[part].keys()]))];
    const body = names.map((name) => {
      const values = all.map((one) => one[part].get(name) ?? "");
      const differs = new Set(values).size > 1;
      if (differing && !differs) return null;
      return make("tr", { className: differs ? "differs" : "" }, make("th", { scope: "row", textContent: name }), ...values.map((v) => make("td", { textContent: v || "–" })));
    }).filter(Boolean);
    const head = ids.length > 1 ? make("thead", {}, make("tr", {}, make("td"), ...ids.map((id) =>
      make("th", { scope: "col" }, make("span", { className: "dot", color: view.chosen.includes(id) ? color(id) : "var(--pale)" }), " " + run(id)?.name)))) : null;
    return make("div", {}, make("h3", { textContent: title }), body.length ? make("table", { className: "rows" }, head, make("tbody", {}, ...body)) : make("p", { className: "quiet", textContent: "no differences" }));
  };
  if (!detail.facts.length && !detail.settings.length) {
    return fill(panel, "none", make("p", { className: "quiet", textContent: "There is no journal beside these metrics: settings, net and log are not known." }));
  }
  const only = make("input", { type: "checkbox", checked: view.differing });
  only.onchange = () => { view.differing = only.checked; drawDetails(); };
  const choice = ids.length > 1 ? make("label", { className: "check" }, only, "Only what differs") : null;
  const parts = make("div", { className: ids.length > 1 ? "stack" : "columns" }, table("settings", "Solver"), table("facts", "Run"));
  fill(panel, JSON.stringify([ids.map((id) => [run(id)?.name, color(id), details.get(id).facts, details.get(id).settings]), view.differing]), ...[choice, parts].filter(Boolean));
}

/** Puts something into the panel if it is not there already, so that reading and selecting are not disturbed. */
function fill(panel, key, ...children) {
  if (panel.dataset.key === panel.dataset.of + key && panel.childElementCount) return false;
  panel.dataset.key = panel.dataset.of + key;
  panel.replaceChildren(...children);
  return true;
}

function showNet(panel, detail, r) {
  const src = source.picture("graph", r.id, "");
  const name = `The net of ${r.name} as a graph`;
  const picture = src ? make("div", { className: "picture invert" }, make("img", { src, alt: name })) : null;
  const text = make("details", {}, make("summary", { textContent: "As prototxt" }), make("pre", { textContent: detail.net }));
  fill(panel, "net" + detail.net.length, ...[picture, text].filter(Boolean));
}

function showFilters(panel, detail, r) {
  const { layer, shape, snapshot } = detail.filters;
  const src = source.picture("filters", r.id, snapshot);
  const words = `Layer ${layer}: ${shape[0]} filters of ${shape.slice(1).join(" × ")}, from ${snapshot}.`;
  fill(panel, "filters" + snapshot, make("p", { className: "quiet", textContent: words }), make("img", { src, alt: `Filters of layer ${layer}`, className: "pixels", width: 560 }));
}

function showConfusion(panel, detail) {
  const { file, samples, accuracy, names, confusion } = detail.evaluation;
  const title = `${whole.format(samples)} samples, ${+(100 * accuracy).toFixed(2)}% right (${file}). `
    + (confusion.length ? "Rows are classes, columns what they were taken for." : `${names.length} classes are too many for a matrix.`);
  const head = make("tr", {}, make("td"), ...names.map((name) => make("th", { scope: "col", textContent: name })));
  const ink = dark.matches ? "86,180,233" : "0,114,178";
  const body = confusion.map((counts, i) => {
    const total = counts.reduce((a, b) => a + b, 0);
    return make("tr", {}, make("th", { scope: "row", textContent: names[i] }), ...counts.map((n) => {
      const share = total ? n / total : 0;
      const cell = make("td", { textContent: n || "" });
      cell.style.background = n ? `rgba(${ink},${0.12 + 0.88 * Math.sqrt(share)})` : "var(--grid)";
      if (share > 0.3) cell.style.color = dark.matches ? "#0d1a26" : "#fff";
      return cell;
    }));
  });
  const table = make("table", { className: "matrix" }, make("thead", {}, head), make("tbody", {}, ...body));
  fill(panel, JSON.stringify([detail.evaluation, dark.matches]), make("p", { className: "quiet", textContent: title }), confusion.length ? table : "");
}

function showSnapshots(panel, detail) {
  const line = (s) => make("tr", {}, make("td", { className: "number", textContent: s.iter == null ? "best test" : whole.format(s.iter) }), make("td", { textContent: s.file }), make("td", { className: "number", textContent: size(s.bytes) }), make("td", { textContent: s.time ? moment(s.time) : "" }));
  const head = make("tr", {}, ...[["Iteration", "number"], ["Weights", ""], ["Size", "number"], ["Written", ""]].map(([t, c]) => make("th", { scope: "col", textContent: t, className: c })));
  fill(panel, JSON.stringify(detail.snapshots), make("table", { className: "rows" }, make("thead", {}, head), make("tbody", {}, ...detail.snapshots.map(line))));
}

function showLog(panel, detail) {
  const old = panel.querySelector("pre");
  const atEnd = !old || old.scrollTop + old.clientHeight >= old.scrollHeight - 8;
  const kind = (line) => /^W\d{4} |^warning/.test(line) ? "warning" : /^[EF]\d{4} |^error/.test(line) ? "error" : "";
  const pre = make("pre", { tabIndex: 0, ariaLabel: "The end of the log" }, ...detail.log.map((line) => make("span", { className: kind(line), textContent: line + "\n" })));
  const before = old?.scrollTop ?? 0;
  if (fill(panel, detail.log.length + (detail.log.at(-1) ?? "") + (detail.log[0] ?? ""), pre)) pre.scrollTop = atEnd ? pre.scrollHeight : before;
}

// ---------------------------------------------------------------- keeping up

/** Loads what is shown and has changed since; all of it if the range is another. */
async function load(again = false) {
  // The same question may have another answer at hand by now than the one that it had last.
  if (again) source.tags?.clear();
  const jobs = view.chosen.map(async (id) => {
    const r = run(id), known = series.get(id);
    if (!r || (!again && known?.stamp === stamp(r))) return;
    const range = known && view.zoom ? iterations(known, view.zoom) : null;
    const edges = range ? { from: Math.max(-1, Math.floor(range[0])), to: Number.isFinite(range[1]) ? Math.ceil(range[1]) : 2147483647 } : {};
    const answer = await source.series(id, edges);
    if (answer) {
      answer.stamp = stamp(r);
      const [first, last] = known?.span ?? [];
      answer.span = range && first != null ? [first, Math.max(last, r.iter - 1)] : spanOf(answer.curves);
      series.set(id, answer);
    } else if (known) {
      known.stamp = stamp(r);
    }
  });
  const wanted = new Set([view.focus, ...view.chosen]);
  for (const id of wanted) jobs.push((async () => {
    const r = run(id), known = details.get(id);
    // Files beside a run that has ended may still come: an evaluation.
    const old = source.live && id === view.focus && Date.now() - (known?.asked ?? 0) > 10000;
    if (!r || (known?.stamp === stamp(r) && !old)) return;
    const answer = await source.detail(id);
    if (known) known.asked = Date.now();
    if (answer) {
      answer.asked = Date.now();
      answer.stamp = stamp(r);
      details.set(id, answer);
    } else if (known) {
      known.stamp = stamp(r);
    }
  })());
  await Promise.all(jobs);
  drawCharts();
  drawDetails();
}

const stamp = (r) => [r.updated, r.iter, r.state].join();

/** What is chosen has changed. */
function changed() {
  remember();
  drawList();
  drawCharts();
  drawDetails();
  load().catch(() => {});
}

async function update() {
  try {
    const answer = await source.list();
    by("lost").hidden = true;
    if (answer) {
      view.runs = answer.runs;
      by("title").textContent = answer.title;
      document.title = (answer.title ? answer.title + " – " : "") + "cnnctl";
      const there = new Set(view.runs.map((r) => r.id));
      view.chosen = view.chosen.filter((id) => there.has(id));
      if (!there.has(view.focus)) view.focus = view.chosen[0] ?? null;
      if (!view.focus && view.runs.length) {
        const newest = [...view.runs].sort((a, b) => (b.state === "running") - (a.state === "running") || (b.started ?? b.updated ?? 0) - (a.started ?? a.updated ?? 0))[0];
        view.focus = newest.id;
        if (!view.chosen.length) view.chosen = source.live ? [newest.id] : view.runs.map((r) => r.id);
      }
      colour();
      drawList();
      const running = view.runs.filter((r) => r.state === "running").length;
      const word = view.runs.length === 1 ? "1 run" : `${view.runs.length} runs`;
      by("status").textContent = source.live ? word + (running ? `, ${running} running` : "") : `written ${moment(source.written)}`;
    }
    await load();
  } catch (error) {
    by("lost").hidden = false;
  }
}

function begin() {
  recall();
  by("smooth").value = view.smooth;
  by("smoothed").value = view.smooth.toFixed(2);
  by("log").checked = view.log;
  by("axis").onchange = (event) => { view.axis = event.target.value; view.zoom = null; changed(); load(true); };
  by("smooth").oninput = () => {
    view.smooth = Number(by("smooth").value);
    by("smoothed").value = view.smooth.toFixed(2);
    remember();
    drawCharts();
  };
  by("log").onchange = () => { view.log = by("log").checked; remember(); drawCharts(); };
  by("reset").onclick = () => zoom(null);
  by("filter").oninput = () => { view.filter = by("filter").value; drawList(); };
  by("only").onclick = () => { view.chosen = [view.focus]; changed(); };
  dark.addEventListener("change", () => { drawList(); drawCharts(); drawDetails(); });
  update();
  if (!source.live) {
    if (source.count < 2) document.querySelector(".find").hidden = true;
    return;
  }
  let busy = false;
  const beat = async () => {
    if (busy || document.hidden) return;
    busy = true;
    await update();
    busy = false;
  };
  setInterval(beat, 1000);
  document.addEventListener("visibilitychange", beat);
}

begin();
