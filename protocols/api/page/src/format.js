// Numbers, times and sizes as people read them.
import { locale, t } from "./i18n.js";

const cache = new Map();
function numbers(digits) {
  const key = `${locale()} ${digits}`;
  if (!cache.has(key)) {
    cache.set(key, new Intl.NumberFormat(locale(), { maximumFractionDigits: digits }));
  }
  return cache.get(key);
}

export function count(value) {
  return Number.isFinite(value) ? numbers(0).format(value) : "–";
}
export function decimal(value, digits = 1) {
  return Number.isFinite(value) ? numbers(digits).format(value) : "–";
}

// 12.3 k: where there is no room for all of it.
export function short(value) {
  if (!Number.isFinite(value)) return "–";
  if (Math.abs(value) < 10000) return numbers(Math.abs(value) < 10 ? 1 : 0).format(value);
  if (Math.abs(value) < 999_500) {
    return `${numbers(Math.abs(value) < 1e5 ? 1 : 0).format(value / 1e3)}k`;
  }
  return `${numbers(1).format(value / 1e6)}M`;
}

export function bytes(value) {
  if (!Number.isFinite(value)) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  let left = value;
  while (Math.abs(left) >= 1024 && at < units.length - 1) {
    left /= 1024;
    ++at;
  }
  return `${numbers(left < 10 && at > 0 ? 1 : 0).format(left)} ${units[at]}`;
}

export function seconds(value) {
  if (!Number.isFinite(value)) return "–";
  if (value < 1e-3) return `${numbers(0).format(value * 1e6)} µs`;
  if (value < 1) return `${numbers(value < 0.01 ? 2 : 1).format(value * 1e3)} ms`;
  return duration(value);
}

export function duration(value) {
  if (!Number.isFinite(value)) return "–";
  const whole = Math.max(0, Math.round(value));
  if (whole < 60) return t("{n} s", { n: whole });
  if (whole < 3600) return t("{n} min", { n: Math.floor(whole / 60) });
  if (whole < 86400) {
    const hours = Math.floor(whole / 3600);
    const minutes = Math.floor((whole % 3600) / 60);
    return minutes ? t("{n} h {m} min", { n: hours, m: minutes }) : t("{n} h", { n: hours });
  }
  return t("{n} d", { n: Math.floor(whole / 86400) });
}

// "3 s ago" of an ISO time, or of microseconds.
export function ago(time, now = Date.now()) {
  const at = typeof time === "number" ? time / 1000 : Date.parse(time);
  if (!Number.isFinite(at) || at <= 0) return "–";
  const passed = (now - at) / 1000;
  return passed < 1.5 ? t("now") : t("{time} ago", { time: duration(passed) });
}

export function clock(time) {
  const at = new Date(time);
  if (Number.isNaN(at.getTime())) return "–";
  const today = new Date().toDateString() === at.toDateString();
  return at.toLocaleString(locale(), {
    ...(today ? {} : { year: "numeric", month: "2-digit", day: "2-digit" }),
    hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false,
  });
}

export function position(latitude, longitude) {
  if (!Number.isFinite(latitude) || !Number.isFinite(longitude)) return "–";
  return `${latitude.toFixed(5)}°, ${longitude.toFixed(5)}°`;
}

// The value that <input type=datetime-local> wants, in the browser's zone.
export function localInput(time) {
  const at = new Date(time);
  const two = (value) => String(value).padStart(2, "0");
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}T` +
    `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}
