// Numbers over the last minutes, kept in the browser. Pure.

export const KEPT_MS = 15 * 60_000;

export class Series {
  constructor(kept_ms = KEPT_MS) {
    this.kept_ms = kept_ms;
    this.times = [];
    this.values = [];
  }
  put(at_ms, value) {
    this.times.push(at_ms);
    this.values.push(Number.isFinite(value) ? value : null);
    let old = 0;
    while (old < this.times.length && this.times[old] < at_ms - this.kept_ms) ++old;
    if (old > 0) {
      this.times.splice(0, old);
      this.values.splice(0, old);
    }
  }
  get last() {
    return this.values.at(-1) ?? NaN;
  }
  points() {
    return this.times.map((x, at) => ({ x, y: this.values[at] }));
  }
}

// The change of a counter per second. A counter that went back began anew.
export class Rate {
  constructor() {
    this.at = NaN;
    this.value = NaN;
  }
  of(at_ms, value) {
    const rate = value >= this.value ? ((value - this.value) * 1000) / (at_ms - this.at) : NaN;
    this.at = at_ms;
    this.value = value;
    return rate;
  }
}

// The text format of Prometheus: Map of name -> [{labels, value}].
export function parseMetrics(text) {
  const found = new Map();
  for (const line of text.split("\n")) {
    const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line);
    if (match === null) continue;
    const labels = {};
    for (const [, name, value] of (match[2] ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) {
      labels[name] = value.replace(/\\(.)/g, (whole, c) => (c === "n" ? "\n" : c));
    }
    if (!found.has(match[1])) found.set(match[1], []);
    found.get(match[1]).push({ labels, value: Number(match[3]) });
  }
  return found;
}
export function sumOf(metrics, name, only = () => true) {
  const rows = metrics.get(name);
  if (rows === undefined) return NaN;
  return rows.reduce((sum, row) => (only(row.labels) ? sum + row.value : sum), 0);
}
export function byLabel(metrics, name, label) {
  const sums = new Map();
  for (const { labels, value } of metrics.get(name) ?? []) {
    const key = labels[label] ?? "";
    sums.set(key, (sums.get(key) ?? 0) + value);
  }
  return sums;
}

// A quantile of what a histogram counted between two readings: buckets as Prometheus has them.
export class Quantiles {
  constructor() {
    this.before = new Map();
  }
  // Values for each of `parts` (0.5, 0.99), in the histogram's unit; NaN where nothing came.
  of(metrics, name, parts) {
    const now = byLabel(metrics, `${name}_bucket`, "le");
    const bounds = [...now].map(([le, count]) => ({ bound: le === "+Inf" ? Infinity : Number(le),
      count: Math.max(0, count - (this.before.get(le) ?? 0)) }))
      .sort((one, other) => one.bound - other.bound);
    const first = this.before.size === 0;
    this.before = now;
    const total = bounds.at(-1)?.count ?? 0;
    if (total === 0 || first) return parts.map(() => NaN);
    return parts.map((part) => quantile(bounds, part * total));
  }
}
function quantile(bounds, wanted) {
  let below = { bound: 0, count: 0 };
  for (const one of bounds) {
    if (one.count >= wanted) {
      if (one.bound === Infinity) return below.bound;
      const part = (wanted - below.count) / Math.max(1, one.count - below.count);
      return below.bound + (one.bound - below.bound) * part;
    }
    below = one;
  }
  return below.bound;
}
