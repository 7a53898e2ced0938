// Any JSON of the API for people: objects as pairs, lists of objects as tables, the rest as text.
import { h } from "./dom.js";
import { clock, decimal } from "./format.js";
import { nameText, t } from "./i18n.js";

const UNITS = { deg: "°", kmh: "km/h", m: "m", km: "km", s: "s", ms: "ms", bytes: "B", v: "V",
  kpa: "kPa", c: "°C", percent: "%", l: "l" };
const TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}/;

// "speed_kmh" is {name: "speed", unit: "km/h"}.
export function labelOf(key) {
  const found = /^(.+)_([a-z]+)$/.exec(key);
  if (found && Object.hasOwn(UNITS, found[2])) return { name: found[1], unit: UNITS[found[2]] };
  return { name: key, unit: "" };
}

export function scalar(value, key = "") {
  if (value === null || value === undefined) return "–";
  if (typeof value === "boolean") return value ? t("yes") : t("no");
  if (typeof value === "number") {
    if (/latitude|longitude/.test(key)) return value.toFixed(6);
    if (/serial|_id$|bits$|^channel/.test(key)) return String(value);
    return decimal(value, 6);
  }
  if (typeof value === "string" && TIME.test(value)) return clock(value);
  return String(value);
}

// `hide`: keys that are shown elsewhere.
export function showValue(value, key = "", hide = new Set(), depth = 0) {
  if (Array.isArray(value)) return listOf(value, key, depth);
  if (value !== null && typeof value === "object") return pairs(value, hide, depth);
  const { unit } = labelOf(key);
  const name = typeof value === "string" && /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(value) &&
    value.length < 40 && !["text", "plate", "name"].includes(key);
  return h("span", { class: "value" }, name ? nameText(value) : scalar(value, key),
    unit && typeof value === "number" ? ` ${unit}` : null);
}

function pairs(object, hide, depth) {
  const entries = Object.entries(object).filter(([key]) => !hide.has(key));
  if (entries.length === 0) return h("span", { class: "muted" }, t("nothing"));
  return h("dl", { class: depth ? "pairs inner" : "pairs" }, entries.map(([key, value]) => {
    const { name } = labelOf(key);
    const big = value !== null && typeof value === "object" && Object.keys(value).length > 0 &&
      (!Array.isArray(value) || typeof value[0] === "object");
    return h("div", { class: big ? "wide" : null }, h("dt", {}, nameText(name)),
      h("dd", {}, showValue(value, key, undefined, depth + 1)));
  }));
}

function listOf(list, key, depth) {
  if (list.length === 0) return h("span", { class: "muted" }, t("none"));
  if (list.every((one) => one === null || typeof one !== "object")) {
    return h("span", { class: "words" }, list.map((one) => h("span", { class: "word" },
      typeof one === "string" ? nameText(one) : scalar(one, key))));
  }
  return h("div", { class: "entries" }, list.slice(0, 200).map((one) =>
    h("div", { class: "entry" }, showValue(one, key, undefined, depth + 1))));
}
