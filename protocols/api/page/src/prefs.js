// What a person has chosen: language and theme. Kept in the browser, where it lets us.
import { languageOf, setLanguage } from "./i18n.js";

function stored(key) {
  try {
    return localStorage.getItem(`ringgate.${key}`);
  } catch {
    return null;
  }
}
function store(key, value) {
  try {
    if (value === null) localStorage.removeItem(`ringgate.${key}`);
    else localStorage.setItem(`ringgate.${key}`, value);
  } catch {
    // Private windows keep nothing; the choice holds for this page.
  }
}

const dark = matchMedia("(prefers-color-scheme: dark)");
const listeners = new Set();
let theme = stored("theme");

export function themeNow() {
  return theme ?? (dark.matches ? "dark" : "light");
}
function applyTheme() {
  document.documentElement.dataset.theme = themeNow();
  colours.clear();
  for (const listener of listeners) listener();
}
export function switchTheme() {
  const other = themeNow() === "dark" ? "light" : "dark";
  theme = other === (dark.matches ? "dark" : "light") ? null : other;
  store("theme", theme);
  applyTheme();
}
// Called after each change of the theme; returns what ends it.
export function onTheme(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function chooseLanguage(language) {
  store("language", language);
  applyLanguage(language);
}
function applyLanguage(language) {
  setLanguage(language);
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
}

export function startPreferences() {
  applyLanguage(stored("language") ?? languageOf(navigator.languages ?? [navigator.language]));
  dark.addEventListener("change", applyTheme);
  applyTheme();
}

// A colour of app.css, for canvases. Asked for on every frame.
const colours = new Map();
export function colour(name) {
  if (!colours.has(name)) {
    const style = getComputedStyle(document.documentElement);
    colours.set(name, style.getPropertyValue(`--${name}`).trim());
  }
  return colours.get(name);
}
