// JSON Schema of a command's fields, as forms need it: which kind of input a schema wants, what is
// in it at first, and the value that the inputs make. Pure.

// Follows $ref into $defs, and takes the members of allOf together.
export function resolved(schema, root) {
  let one = schema ?? {};
  for (let i = 0; i < 16 && typeof one.$ref === "string"; ++i) {
    const { $ref, ...rest } = one;
    one = { ...pointer(root, $ref), ...rest };
  }
  if (Array.isArray(one.allOf)) {
    one = Object.assign({}, ...one.allOf.map((part) => resolved(part, root)), one);
  }
  return one;
}
function pointer(root, path) {
  return path.replace(/^#\/?/, "").split("/").filter(Boolean)
    .reduce((at, name) => at?.[name.replace(/~1/g, "/").replace(/~0/g, "~")], root) ?? {};
}

// {kind, ...}: choice {options: [{value, label}], free: schema or null}, flags {options}, switch,
// number {min, max, whole}, text {max}, list {items}, group {fields: [{key, schema, required}]},
// json (nothing simpler fits).
export function inputOf(schema, root) {
  const one = resolved(schema, root);
  const options = alternatives(one, root);
  if (options) return options;
  const type = Array.isArray(one.type) ? one.type.find((name) => name !== "null") : one.type;
  switch (type ?? (one.properties ? "object" : undefined)) {
    case "boolean":
      return { kind: "switch" };
    case "integer":
    case "number":
      return { kind: "number", whole: type === "integer", min: one.minimum, max: one.maximum };
    case "string":
      return { kind: "text", max: one.maxLength, long: (one.maxLength ?? 0) > 80 ||
        one.maxLength === undefined, pattern: one.pattern, format: one.format };
    case "array": {
      const items = resolved(one.items, root);
      const inner = alternatives(items, root);
      if (inner?.kind === "choice") return { kind: "flags", options: inner.options };
      return { kind: "list", items: one.items ?? {}, min: one.minItems ?? 0, max: one.maxItems };
    }
    case "object":
      return group(one);
    default:
      return { kind: "json" };
  }
}
function group(one) {
  const required = new Set(one.required ?? []);
  const fields = Object.entries(one.properties ?? {})
    .map(([key, schema]) => ({ key, schema, required: required.has(key) }));
  return fields.length || one.additionalProperties === false ? { kind: "group", fields }
    : { kind: "json" };
}

// Names, or names beside numbers, as enum, const, oneOf and anyOf say them.
function alternatives(one, root) {
  if (Object.hasOwn(one, "const")) return { kind: "choice", options: [option(one.const)] };
  if (Array.isArray(one.enum)) {
    return { kind: "choice", options: one.enum.map((value) => option(value)) };
  }
  const parts = one.oneOf ?? one.anyOf;
  if (!Array.isArray(parts)) return null;
  const options = [];
  let free = null;
  for (const part of parts.map((each) => resolved(each, root))) {
    if (Array.isArray(part.enum)) options.push(...part.enum.map((value) => option(value)));
    else if (Object.hasOwn(part, "const")) options.push(option(part.const, part.title));
    else free ??= part;
  }
  if (options.length) return { kind: "choice", options, free };
  return free ? inputOf(free, root) : null;
}
function option(value, label) {
  return { value, label: label ?? String(value) };
}

// A number that a person typed: nothing where it is none.
export function readNumber(text, input) {
  const trimmed = text.trim();
  if (trimmed === "") return { empty: true };
  const value = /^0x[0-9a-f]+$/i.test(trimmed) ? Number.parseInt(trimmed, 16) : Number(trimmed);
  if (!Number.isFinite(value) || (input.whole && !Number.isInteger(value))) {
    return { bad: "number" };
  }
  if (input.min !== undefined && value < input.min) return { bad: "small" };
  if (input.max !== undefined && value > input.max) return { bad: "large" };
  return { value };
}

// The form of a version of the protocol, of those that a message has: [{versions, fields}].
export function formFor(forms, version) {
  return (forms ?? []).find((form) => form.versions?.includes(version)) ?? forms?.[0] ?? null;
}
