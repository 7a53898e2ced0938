// Where a vehicle was at a time, between two of its fixes. Pure.
import { turned } from "./motion.js";

// `fixes`: [{ms, latitude_deg, longitude_deg, heading_deg, speed_kmh, leg}] in order of time, at
// least one. Between legs it stays where it was last.
export function placeAt(fixes, at_ms) {
  let low = 0;
  let high = fixes.length - 1;
  if (at_ms <= fixes[0].ms) return fixes[0];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (fixes[middle].ms <= at_ms) low = middle;
    else high = middle - 1;
  }
  const before = fixes[low];
  const after = fixes[low + 1];
  if (after === undefined || after.leg !== before.leg || after.ms === before.ms) return before;
  const part = (at_ms - before.ms) / (after.ms - before.ms);
  const between = (one, other) => one + (other - one) * part;
  return { ms: at_ms, leg: before.leg,
    latitude_deg: between(before.latitude_deg, after.latitude_deg),
    longitude_deg: between(before.longitude_deg, after.longitude_deg),
    speed_kmh: between(before.speed_kmh ?? 0, after.speed_kmh ?? 0),
    heading_deg: turned(before.heading_deg ?? 0, after.heading_deg ?? 0, part) };
}
