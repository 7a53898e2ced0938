// A form made of a JSON Schema: inputs of schema.js as elements. `read()` gives the object, or
// throws FormError at the first input that is wrong, which gets the focus.
import { add, fill, h } from "./dom.js";
import { nameText, t } from "./i18n.js";
import { inputOf, readNumber, resolved } from "./schema.js";

export class FormError extends Error {}

let serial = 0;

// {element, read(): value or undefined where nothing was given}
export function formOf(schema, root = schema) {
  return makers[inputOf(schema, root).kind](schema, root, {});
}

function wrong(element, message) {
  element.setAttribute("aria-invalid", "true");
  element.focus();
  throw new FormError(message);
}
function fresh(element) {
  element.addEventListener("input", () => element.removeAttribute("aria-invalid"));
  return element;
}
function missing(element, options) {
  if (options.required) wrong(element, t("“{name}” is needed.", { name: nameText(options.key) }));
  return undefined;
}

const makers = {
  group(schema, root) {
    const { fields } = inputOf(schema, root);
    const parts = fields.map((field) => ({ field, made: fieldOf(field, root) }));
    // What may be left out is there, but folded away.
    const first = parts.filter(({ field, made }) => field.required || made.prominent);
    const rest = parts.filter((part) => !first.includes(part));
    const shown = first.length ? first : rest;
    const folded = first.length ? rest : [];
    const element = h("div", { class: "form-group" }, shown.map(({ made }) => made.element),
      folded.length ? h("details", { class: "form-more" },
        h("summary", {}, t("{n} more fields", { n: folded.length })),
        folded.map(({ made }) => made.element)) : null);
    return { element, read() {
      const value = {};
      for (const { field, made } of parts) {
        const given = made.read();
        if (given !== undefined) value[field.key] = given;
      }
      return value;
    } };
  },

  choice(schema, root, options) {
    const input = inputOf(schema, root);
    const start = resolved(schema, root).default;
    const select = h("select", { id: options.id },
      options.required && start !== undefined ? null : h("option", { value: "" }, "–"),
      input.options.map((one, at) => h("option", { value: at, selected: one.value === start },
        nameText(one.label))),
      input.free ? h("option", { value: "other" }, t("other…")) : null);
    const other = input.free ? formOfFree(input.free, root, start) : null;
    if (other) {
      other.element.hidden = true;
      if (start !== undefined && !input.options.some((one) => one.value === start)) {
        select.value = "other";
        other.element.hidden = false;
      }
      select.addEventListener("change", () => { other.element.hidden = select.value !== "other"; });
    }
    return { element: h("div", { class: "form-choice" }, select, other?.element), read() {
      if (select.value === "other") return other.read();
      if (select.value === "") return missing(select, options);
      return input.options[Number(select.value)].value;
    } };
  },

  flags(schema, root) {
    const { options } = inputOf(schema, root);
    const start = resolved(schema, root).default ?? [];
    const boxes = options.map((one) => ({ one, box: h("input", { type: "checkbox",
      checked: start.includes?.(one.value) }) }));
    return { element: h("div", { class: "form-flags", role: "group" }, boxes.map(({ one, box }) =>
      h("label", { class: "flag" }, box, nameText(one.label)))),
    read: () => boxes.filter(({ box }) => box.checked).map(({ one }) => one.value) };
  },

  switch(schema, root, options) {
    const box = h("input", { type: "checkbox", id: options.id,
      checked: resolved(schema, root).default === true });
    return { element: box, read: () => box.checked };
  },

  number(schema, root, options) {
    const input = inputOf(schema, root);
    const one = resolved(schema, root);
    const range = input.min !== undefined && input.max !== undefined && input.max < 1e9
      ? `${input.min} – ${input.max}` : "";
    const field = fresh(h("input", { type: "text", inputmode: "decimal", id: options.id,
      placeholder: range, value: one.default ?? "", autocomplete: "off" }));
    return { element: field, read() {
      const found = readNumber(field.value, input);
      if (found.empty) return missing(field, options);
      if (found.bad) {
        wrong(field, t("“{text}” is no number that fits here ({range}).",
          { text: field.value, range: range || t("a number") }));
      }
      return found.value;
    } };
  },

  text(schema, root, options) {
    const input = inputOf(schema, root);
    const one = resolved(schema, root);
    const long = options.key === "text" || options.key === "question";
    const field = fresh(h(long ? "textarea" : "input", { id: options.id, rows: long ? 3 : null,
      type: long ? null : "text", value: typeof one.default === "string" ? one.default : "",
      maxlength: input.max, autocomplete: "off", spellcheck: "false" }));
    return { element: field, prominent: long,
      read: () => (field.value === "" ? missing(field, options) : field.value) };
  },

  list(schema, root) {
    const input = inputOf(schema, root);
    const place = h("div", { class: "form-items" });
    const items = [];
    const append = () => {
      const made = formOfFree(input.items, root);
      const row = h("div", { class: "form-item" }, made.element,
        h("button", { type: "button", class: "quiet", "aria-label": t("Remove"), onclick: () => {
          items.splice(items.indexOf(made), 1);
          row.remove();
        } }, "×"));
      items.push(made);
      place.append(row);
    };
    for (let i = 0; i < Math.min(input.min, 8); ++i) append();
    return { element: h("div", { class: "form-list" }, place,
      h("button", { type: "button", class: "quiet", onclick: append }, t("Add"))),
    read: () => items.map((made) => made.read() ?? {}) };
  },

  json(schema, root, options) {
    const start = resolved(schema, root).default;
    const field = fresh(h("textarea", { id: options.id, class: "mono", rows: 3, spellcheck: "false",
      placeholder: "JSON", value: start === undefined ? "" : JSON.stringify(start) }));
    return { element: field, read() {
      if (field.value.trim() === "") return missing(field, options);
      try {
        return JSON.parse(field.value);
      } catch (error) {
        return wrong(field, t("This is no JSON: {what}", { what: error.message }));
      }
    } };
  },
};

function formOfFree(schema, root, start) {
  const with_start = start === undefined ? schema : { ...schema, default: start };
  return makers[inputOf(with_start, root).kind](with_start, root, {});
}

function fieldOf({ key, schema, required }, root) {
  const id = `field-${++serial}`;
  const { kind } = inputOf(schema, root);
  const made = makers[kind](schema, root, { id, key, required });
  const one = resolved(schema, root);
  const unit = one["x-unit"] ?? one.unit;
  const label = h(kind === "group" || kind === "list" || kind === "flags" ? "span" : "label",
    { class: "form-label", for: id }, nameText(key), unit ? ` (${unit})` : null,
    required ? h("span", { class: "needed", title: t("needed") }, " *") : null);
  const row = h("div", { class: `form-field ${kind}` }, label, made.element);
  if (one.description) add(row, h("small", { class: "muted" }, one.description));
  row.dataset.key = key;
  return { element: row, read: made.read, prominent: made.prominent || kind === "flags" };
}

export function showForm(place, schema) {
  const form = formOf(schema);
  fill(place, form.element);
  return form;
}
