// Figures of run files: histograms as engine/observe counts them (64 steps for each doubling),
// percentiles, sums over classes; and figures as text.
const STEP_BITS = 6;
const LAST_STEP = ((42 - STEP_BITS + 1) << STEP_BITS) - 1;

export function lowest(step) {
  if (step < 2 << STEP_BITS) return step;
  const shift = (step >> STEP_BITS) - 1;
  return ((step & 63) | 64) * 2 ** shift;
}

export function merged(histograms) {
  const counts = new Map();
  let count = 0, max = 0, sum = 0;
  for (const one of histograms) {
    if (!one) continue;
    for (let i = 0; i < one.buckets.length; i += 2) {
      counts.set(one.buckets[i], (counts.get(one.buckets[i]) || 0) + one.buckets[i + 1]);
    }
    count += one.count;
    sum += one.sum_ns;
    max = Math.max(max, one.max_ns);
  }
  const steps = [...counts.keys()].sort((a, b) => a - b);
  return { count, max, sum, steps: steps.map((step) => [step, counts.get(step)]) };
}

export function percentile(histogram, percent) {
  if (!histogram.count) return NaN;
  if (percent >= 100) return histogram.max;
  const rank = Math.max(1, Math.ceil(percent / 100 * histogram.count - 1e-6));
  let seen = 0;
  for (const [step, count] of histogram.steps) {
    seen += count;
    if (seen < rank) continue;
    if (step === LAST_STEP) return histogram.max;
    const low = lowest(step);
    return Math.min(low + Math.floor((lowest(step + 1) - 1 - low) / 2), histogram.max);
  }
  return histogram.max;
}

// Of a row: all classes together, or one. Rows have four points of each distribution only.
export function rowFigures(row, which) {
  const one = (which < 0 ? row.all : row.classes[which]) || {};
  const points = (name) => {
    const [p50 = NaN, p90 = NaN, p99 = NaN, max = NaN] = one[name] || [];
    return { 50: p50, 90: p90, 99: p99, 100: max };
  };
  const errors = one.errors || {};
  return { users: one.users || 0, wanted: one.users_wanted || 0, ready: one.ready || 0,
    sent: one.sent || 0, done: (one.acknowledged || 0) + (one.delivered || 0),
    acknowledged: one.acknowledged || 0, errors, response: points("response"),
    service: points("service"), lag: points("lag") };
}

// Of totals: all classes together, or one. Only what tables and distributions want.
export function figures(classes, which) {
  const of = (which < 0 ? classes : [classes[which]]).filter(Boolean);
  const sum = (name) => of.reduce((total, one) => total + (one[name] || 0), 0);
  const errors = {};
  for (const one of of) {
    for (const [name, count] of Object.entries(one.errors || {})) {
      errors[name] = (errors[name] || 0) + count;
    }
  }
  const times = (name) => merged(of.map((one) => one[name]));
  const response = times("response");
  return { users: sum("users"), wanted: sum("users_wanted"), ready: sum("ready"),
    sent: sum("sent"), done: sum("acknowledged") + sum("delivered"),
    acknowledged: sum("acknowledged"), due: sum("due"), dropped: sum("dropped"), errors,
    errorCount: Object.values(errors).reduce((a, b) => a + b, 0),
    response: response.count ? response : times("delivery"), service: times("service"),
    lag: times("lag"), connect: times("connect") };
}

export function time(ns) {
  if (!Number.isFinite(ns)) return "–";
  if (ns < 1e3) return `${Math.round(ns)} ns`;
  if (ns < 1e6) return `${(ns / 1e3).toPrecision(3)} µs`;
  if (ns < 1e9) return `${(ns / 1e6).toPrecision(3)} ms`;
  return `${(ns / 1e9).toPrecision(3)} s`;
}
// Where the axis of a run has its marks, and how they are written: in one unit, at whole steps.
export function moments(end) {
  const [unit, seconds] = end < 300 ? ["s", 1] : end < 3 * 3600 ? ["min", 60] : ["h", 3600];
  const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 2 * 3600,
    3 * 3600, 6 * 3600, 12 * 3600, 24 * 3600];
  const step = steps.find((one) => end / one <= 8) || Math.ceil(end / 8 / 86400) * 86400;
  const at = [];
  for (let i = 0; i * step <= end + 1e-9; ++i) at.push(i * step);
  return { at, show: (value) => `${+(value / seconds).toFixed(2)} ${unit}` };
}
// A moment of a run as its tooltip says it.
export function moment(seconds) {
  if (seconds < 300) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const two = (value) => String(value).padStart(2, "0");
  const rest = `${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
  return `${Math.floor(whole / 3600)}:${rest} h`;
}
export function count(value) {
  if (!Number.isFinite(value)) return "–";
  if (value >= 1e7) return `${(value / 1e6).toFixed(1)}M`;
  if (value >= 1e4) return `${(value / 1e3).toFixed(1)}k`;
  return value >= 100 || Number.isInteger(value) ? String(Math.round(value)) : value.toPrecision(3);
}
export function bytes(value) {
  if (!Number.isFinite(value)) return "–";
  if (value >= 2 ** 30) return `${(value / 2 ** 30).toFixed(2)} GiB`;
  if (value >= 2 ** 20) return `${(value / 2 ** 20).toFixed(1)} MiB`;
  return `${Math.round(value / 1024)} KiB`;
}
export const percent = (value) =>
  Number.isFinite(value) ? `${value.toFixed(value < 10 ? 1 : 0)} %` : "–";
