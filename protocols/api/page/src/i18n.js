// The page's two languages. Texts stand in the code in English; words.js has their Chinese.
import { chinese, chineseNames } from "./words.js";

let language = "en";

export function languageOf(preferred) {
  for (const one of preferred) {
    if (/^zh\b/i.test(one)) return "zh";
    if (/^en\b/i.test(one)) return "en";
  }
  return "en";
}
export function setLanguage(one) {
  language = one;
}
export function languageNow() {
  return language;
}
export function locale() {
  return language === "zh" ? "zh-CN" : "en-GB";
}

// A text of the page; `values` stand for names in braces.
export function t(text, values) {
  const pattern = language === "zh" ? (chinese[text] ?? text) : text;
  if (values === undefined) return pattern;
  return pattern.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? values[name] : whole));
}

// A name of the protocol ("text-message", "speed_kmh") for people.
export function nameText(name) {
  if (language === "zh" && Object.hasOwn(chineseNames, name)) return chineseNames[name];
  return String(name).replace(/[-_]/g, " ");
}
