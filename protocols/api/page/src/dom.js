// Elements made by code. Whatever a device says becomes a text node or an attribute of ours, never
// markup: there is no way to give this module HTML.

const PROPERTIES = new Set(["value", "checked", "disabled", "selected", "hidden", "open",
  "className", "textContent", "indeterminate", "tabIndex"]);

// h("a", {class: "row", href: "#/x", onclick: f}, "text", child, null)
export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "class") element.className = value;
    else if (PROPERTIES.has(key)) element[key] = value;
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  add(element, children);
  return element;
}

export function add(parent, ...children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    parent.append(child instanceof Node ? child : String(child));
  }
  return parent;
}

export function fill(parent, ...children) {
  parent.replaceChildren();
  return add(parent, children);
}

// Sets a text only where it differs: what is read aloud or selected stays.
export function say(element, text) {
  const wanted = String(text);
  if (element.textContent !== wanted) element.textContent = wanted;
}

const SVG = "http://www.w3.org/2000/svg";
const ICONS = {
  map: "M3 6l6-3 6 3 6-3v15l-6 3-6-3-6 3zM9 3v15M15 6v15",
  bell: "M6 16V10a6 6 0 0 1 12 0v6l2 2H4zM10 21h4",
  gauge: "M4 18a9 9 0 1 1 16 0M12 14l4-5",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8M12 2v3M12 19v3M2 12h3M19 12h3" +
    "M5 5l2 2M17 17l2 2M5 19l2-2M17 7l2-2",
  moon: "M20 14A8 8 0 0 1 10 4a8 8 0 1 0 10 10z",
  back: "M15 5l-7 7 7 7",
  fit: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  play: "M7 4l13 8-13 8z",
  pause: "M7 4v16M17 4v16",
  out: "M14 4h6v16h-6M10 8l-4 4 4 4M6 12h9",
};
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

// A list whose rows keep their elements: `make(item)` gives {element, update(item)}.
export class Rows {
  constructor(parent, keyOf, make) {
    this.parent = parent;
    this.keyOf = keyOf;
    this.make = make;
    this.rows = new Map();
  }
  show(items) {
    const left = new Map(this.rows);
    let at = this.parent.firstChild;
    for (const item of items) {
      const key = this.keyOf(item);
      let row = this.rows.get(key);
      if (row === undefined) {
        row = this.make(item);
        this.rows.set(key, row);
      }
      left.delete(key);
      row.update?.(item);
      if (row.element === at) at = at.nextSibling;
      else this.parent.insertBefore(row.element, at);
    }
    for (const [key, row] of left) {
      row.element.remove();
      this.rows.delete(key);
    }
  }
}
