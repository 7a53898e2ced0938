// Where the lines of a chart's grid are: at numbers that people find round. Pure.

const SECOND = 1000;
const MINUTE = 60 * SECOND;
// Each divides an hour, so that the hands of a clock are round, too.
const TIME_STEPS = [1, 2, 5, 10, 15, 30].map((n) => n * SECOND)
  .concat([1, 2, 5, 10, 15, 30, 60].map((n) => n * MINUTE));

function multiples(step, least, most) {
  const found = [];
  for (let at = Math.ceil(least / step); at * step <= most; ++at) found.push(at * step);
  return found;
}

// Times in milliseconds, `count` at most.
export function timeTicks(from, to, count) {
  const step = TIME_STEPS.find((one) => (to - from) / one < count) ?? TIME_STEPS.at(-1);
  return multiples(step, from, to);
}
// Whether such times need their seconds, so that no two look alike.
export function needsSeconds(ticks) {
  return ticks.some((one) => one % MINUTE !== 0);
}

// Bytes: powers of two, so that they are whole KiB and MiB.
export function byteTicks(from, to, count) {
  const step = 2 ** Math.max(0, Math.ceil(Math.log2(Math.max(1, to - from) / count)));
  return multiples(step, from, to);
}
