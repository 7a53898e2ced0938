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

// Of a row (or of totals): all classes together, or one. Only what plots and tables want.
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
