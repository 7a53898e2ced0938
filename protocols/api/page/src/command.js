// Telling a device something: a form of the message's fields, the outcome, the decoded answer.
import { get, post } from "./api.js";
import { fill, h, say } from "./dom.js";
import { showForm } from "./form.js";
import { clock, duration } from "./format.js";
import { nameText, t } from "./i18n.js";
import { formFor } from "./schema.js";
import { showValue } from "./value.js";

const WAIT = "10s";
const FIRST = "text-message";  // what a person tries first

let catalogue = null;
async function messages() {
  catalogue ??= get("/messages").catch((error) => {
    catalogue = null;
    throw error;
  });
  return (await catalogue).messages;
}
const described = new Map();
async function describe(id) {
  if (!described.has(id)) described.set(id, await get(`/messages/${encodeURIComponent(id)}`));
  return described.get(id);
}
export function isDownlink(message) {
  return message.direction ? message.direction !== "up" : message.from_device === false;
}

export function commandPanel(view) {
  const panel = new CommandPanel(view);
  panel.start();
  return { element: panel.element, end() {} };
}

class CommandPanel {
  constructor(view) {
    this.view = view;
    this.form = null;
    this.select = h("select", { id: "command-message", onchange: () => this.choose() });
    this.place = h("div", { class: "form" });
    this.later = h("input", { type: "checkbox", id: "command-later" });
    this.button = h("button", { type: "submit", class: "button", id: "command-send",
      disabled: true }, t("Send"));
    this.lacks = view.page.lacks("command");
    this.said = h("p", { class: "problem", role: "alert", hidden: true });
    this.outcomes = h("div", { class: "outcomes", id: "outcomes", "aria-live": "polite" });
    this.source = h("small", { class: "muted" });
    this.element = h("div", { class: "stack" }, h("form", { class: "panel", novalidate: true,
      onsubmit: (event) => {
        event.preventDefault();
        this.send();
      } },
    h("div", { class: "form-field" }, h("label", { for: "command-message", class: "form-label" },
      t("Message")), this.select, this.source), this.place,
    h("label", { class: "flag" }, this.later, t("If it is away: send when it comes (24 h)")),
    this.said, h("div", { class: "row" }, this.button, h("span", { class: "note",
      hidden: this.lacks === "" }, this.lacks))), this.outcomes);
  }

  async start() {
    try {
      const all = (await messages()).filter(isDownlink)
        .sort((one, other) => (other.name === FIRST) - (one.name === FIRST) ||
          nameText(one.name).localeCompare(nameText(other.name)));
      fill(this.select, all.map((one) => h("option", { value: one.id },
        `${nameText(one.name)}  (${one.id})`)));
      await this.choose();
    } catch (error) {
      this.problem(error.message);
    }
  }
  async choose() {
    const id = this.select.value;
    this.button.disabled = true;
    const about = await describe(id);
    if (this.select.value !== id) return;
    this.about = about;
    say(this.source, about.source ?? "");
    const form = formFor(about.forms, this.view.device?.version ?? "2013");
    this.form = showForm(this.place, form?.fields ?? { type: "object", properties: {} });
    this.button.disabled = this.lacks !== "";
    this.problem("");
  }
  problem(text) {
    this.said.hidden = text === "";
    say(this.said, text);
  }

  async send() {
    if (this.lacks !== "") return;
    this.problem("");
    let fields;
    try {
      fields = this.form.read();
    } catch (error) {
      return this.problem(error.message);
    }
    const began = performance.now();
    const { about } = this;
    const place = h("div", { class: "panel outcome" }, h("h3", {}, nameText(about.name), " ",
      h("span", { class: "mono" }, about.id), " ", clock(Date.now())),
    h("p", { class: "note" }, t("Waiting for the answer…")));
    this.outcomes.prepend(place);
    this.button.disabled = true;
    try {
      const body = { message: about.id, fields };
      const later = this.later.checked && this.view.device?.online === false;
      if (later) Object.assign(body, { when_online: true, expires: "24h" });
      const found = await post(`/devices/${encodeURIComponent(this.view.id)}/commands`, body,
        later ? {} : { wait: WAIT });
      showOutcome(place, found, (performance.now() - began) / 1000);
    } catch (error) {
      place.lastChild.remove();
      place.append(h("p", { class: "problem" }, error.message));
    }
    this.button.disabled = false;
    this.view.loop?.now();
  }
}

const GOOD = new Set(["answered", "sent", "waiting"]);
// What a command came to: {state, outcome: {status, elapsed_ms, answer: {message_id, body}}}.
export function showOutcome(place, found, took_s) {
  const outcome = found.outcome ?? {};
  const state = String(outcome.status ?? found.state ?? "");
  const { answer } = outcome;
  place.lastChild.remove();
  place.append(h("p", {}, h("span", { class: `badge ${GOOD.has(state) ? "good" : "warn"}` },
    nameText(state || "sent")), " ", h("span", { class: "muted" },
    took_s < 1 ? `${Math.round(took_s * 1000)} ms` : duration(took_s)), " ",
  outcome.detail ?? ""));
  if (answer !== undefined && answer !== null) {
    place.append(h("div", { class: "answer" }, h("b", {}, nameText(answer.body?.message ?? "")),
      " ",
      h("span", { class: "mono muted" }, answer.message_id ?? ""),
      showValue(answer.body?.body ?? answer.body ?? answer)));
  }
}
