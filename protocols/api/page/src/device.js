// View 2: one device: what is known of it, where it was, what it can be told, what it says.
import { del, get, post, put, repeat } from "./api.js";
import { alarmList } from "./alarms.js";
import { commandPanel } from "./command.js";
import { add, fill, h, icon, say } from "./dom.js";
import { explainPanel } from "./explain.js";
import { badge, deviceLink } from "./fleet.js";
import { ago, bytes, clock, count, decimal, duration, position } from "./format.js";
import { nameText, t } from "./i18n.js";
import { MapView, loadWorld } from "./map.js";
import { mediaPanel } from "./media.js";
import { tracePanel } from "./trace.js";
import { trackPanel } from "./track.js";
import { showValue } from "./value.js";

const STATE_EVERY_MS = 2000;

const TABS = [["", "State"], ["command", "Command"], ["track", "Track"], ["alarms", "Alarms"],
  ["media", "Media"], ["trace", "Trace"], ["explain", "Explain"]];
const MAKERS = { "": statePanel, command: commandPanel, track: trackPanel, alarms: alarmPanel,
  media: mediaPanel, trace: tracePanel, explain: explainPanel };

export function deviceView(page, rest) {
  const view = new DeviceView(page, rest[0] ?? "");
  view.open(rest[1] ?? "");
  return view;
}

// What panels see of it: {id, page, device, onDevice(listener), withMap()}.
class DeviceView {
  constructor(page, id) {
    this.page = page;
    this.id = id;
    this.title = id;
    this.device = null;
    this.listeners = new Set();
    this.head = h("div", { class: "device-head" }, backLink(), h("h1", {}, id));
    this.tabs = h("nav", { class: "subtabs", "aria-label": t("About this device") });
    this.body = h("div", { class: "device-body" });
    this.mapElement = h("div", { class: "map", role: "application" });
    this.mapBox = h("section", { class: "map-box device-map" }, this.mapElement);
    this.element = h("main", { class: "device-view" },
      h("div", { class: "device-side" }, this.head, this.tabs, this.body), this.mapBox);
  }

  go(rest) {
    if (rest[0] !== this.id) return false;
    this.open(rest[1] ?? "");
    return true;
  }
  open(tab) {
    const name = Object.hasOwn(MAKERS, tab) ? tab : "";
    if (this.panel?.name === name) return;
    this.panel?.end?.();
    this.listeners.clear();
    fill(this.tabs, TABS.map(([key, label]) => h("a", { href: deviceLink(this.id, key),
      class: "subtab", "aria-current": key === name ? "page" : null }, t(label))));
    this.panel = MAKERS[name](this);
    this.panel.name = name;
    fill(this.body, this.panel.element);
  }

  start() {
    if (this.ended) return;
    this.map = new MapView(this.mapElement, this.page.config);
    this.page.handle.map = this.map;
    if (!this.page.config.tile_url) {
      loadWorld(this.page.worldPath).then(() => this.map.redraw(),
        (error) => this.page.warn(error));
    }
    this.loop = repeat(STATE_EVERY_MS, (signal) => this.ask(signal), (error) => this.failed(error));
    this.page.stream.subscribe("device", { devices: [this.id], types: ["position"] }, (events) => {
      for (const event of events) {
        if (event.type !== "position" || event.late || event.fixed === false) continue;
        this.map.heard(event);
      }
      this.loop.now();
    });
    this.panel.mapped?.(this.map);
  }
  end() {
    this.ended = true;
    this.loop?.();
    this.panel?.end?.();
    this.page.stream.unsubscribe("device");
    this.map?.remove();
  }

  async ask(signal) {
    const device = await get(`/devices/${encodeURIComponent(this.id)}`, {}, { signal });
    if (this.ended) return;
    this.page.reached();
    const first = this.device === null;
    this.device = device;
    this.showHead();
    if (Number.isFinite(device.latitude_deg) && Number.isFinite(device.longitude_deg)) {
      const plate = device.plate ?? device.registration?.plate;
      this.map.showDevices([{ ...device, plate }], STATE_EVERY_MS);
      if (first) this.map.goTo(device.latitude_deg, device.longitude_deg, 14);
    }
    for (const listener of this.listeners) listener(device);
  }
  failed(error) {
    if (error.status === 404) {
      fill(this.head, backLink(), h("h1", {}, this.id), h("p", { class: "note" },
        t("Nothing is known of this device. It may never have been here.")));
      return;
    }
    this.page.warn(error);
  }
  // Called at once where something is known, and with every change. Ends with the panel.
  onDevice(listener) {
    this.listeners.add(listener);
    if (this.device !== null) listener(this.device);
  }

  showHead() {
    const { device } = this;
    const plate = device.plate ?? device.registration?.plate;
    const heading = this.head.querySelector("h1");
    // Rebuilt only where it differs: a button that has the focus keeps it.
    const key = JSON.stringify([plate, device.online, device.alarm_bits, device.banned,
      device.speed_kmh > 1]);
    if (key !== this.headKey) {
      this.headKey = key;
      this.facts = h("p", { class: "device-facts muted" });
      fill(this.head, backLink(), h("div", { class: "device-name" }, heading, badge(device)),
        this.facts);
      say(heading, plate || device.phone);
    }
    say(this.facts, [plate ? device.phone : null, device.version
      ? `JT/T 808-${device.version}` : null,
      device.transport?.toUpperCase(),
      Number.isFinite(device.speed_kmh) ? `${decimal(device.speed_kmh)} km/h` : null,
      t("heard {when}", { when: ago(device.last_heard) })].filter(Boolean).join(" · "));
  }
}

function backLink() {
  return h("a", { class: "back", href: "#/map" }, icon("back"), t("All devices"));
}

// State ------------------------------------------------------------------------------------------

function statePanel(view) {
  const facts = h("div", { class: "panel" });
  const alarms = h("div", { class: "panel", hidden: true });
  const last = h("div", { class: "scroll" }, h("p", { class: "note" },
    t("Comes with the next message.")));
  const lastTitle = h("h3", {}, t("Last message"));
  const session = h("div", { class: "panel" });
  const pending = h("div", { class: "panel", hidden: true });
  const admin = adminPanel(view);
  let pendingKey = "";

  view.onDevice((device) => {
    fill(facts, h("h3", {}, t("Last state")), h("dl", { class: "pairs" }, factsOf(device)
      .map(([label, value]) => h("div", {}, h("dt", {}, label), h("dd", {}, value)))));
    alarms.hidden = !(device.alarms?.length > 0);
    fill(alarms, h("h3", {}, t("Alarms now")), showValue(device.alarms ?? [], "alarms"));
    fill(session, h("h3", {}, t("Session and registration")), h("dl", { class: "pairs" },
      sessionOf(device).map(([label, value]) => h("div", {}, h("dt", {}, label), h("dd", {},
        value)))));
    admin.update(device);
    const key = String(device.commands_pending ?? 0);
    if (key !== pendingKey) {
      pendingKey = key;
      showPending(view, pending);
    }
  });
  view.page.stream.subscribe("last", { devices: [view.id], types: ["message"], decode: true },
    (events) => {
      const message = events.findLast((event) => event.type === "message" && event.body);
      if (!message) return;
      fill(lastTitle, t("Last message"), " ", h("span", { class: "mono" }, message.message_id), " ",
        nameText(message.message ?? ""), " ", clock(message.received));
      fill(last, showValue(message.body?.body ?? message.body));
    });
  return { element: h("div", { class: "stack" }, alarms, facts,
    h("div", { class: "panel" }, lastTitle, last), pending, session, admin.element),
  end: () => view.page.stream.unsubscribe("last") };
}

function factsOf(device) {
  const known = [];
  const put = (label, value) => {
    if (value !== undefined && value !== null && value !== "") known.push([t(label), value]);
  };
  put("Position", Number.isFinite(device.latitude_deg)
    ? position(device.latitude_deg, device.longitude_deg) : t("none yet"));
  if (device.position_time) put("At", clock(device.position_time));
  if (Number.isFinite(device.speed_kmh)) put("Speed", `${decimal(device.speed_kmh)} km/h`);
  if (Number.isFinite(device.heading_deg)) put("Heading", `${device.heading_deg}°`);
  if (Number.isFinite(device.altitude_m)) put("Altitude", `${device.altitude_m} m`);
  if (Number.isFinite(device.odometer_km)) put("Odometer", `${decimal(device.odometer_km)} km`);
  if (device.status) put("Status", showValue(device.status, "status"));
  if (device.load) put("Load", nameText(device.load));
  return known;
}

function sessionOf(device) {
  const known = [];
  const put = (label, value) => {
    if (value !== undefined && value !== null && value !== "") known.push([t(label), value]);
  };
  if (device.online_since) put("Online for",
    duration((Date.now() - Date.parse(device.online_since)) / 1000));
  put("Address", device.peer);
  put("Frames", count(device.frames));
  if (device.link) put("Received", bytes(device.link.received_bytes));
  if (Number.isFinite(device.shard)) put("Shard", String(device.shard));
  const entry = device.registration ?? {};
  put("Plate", entry.plate);
  put("Terminal", entry.terminal_id);
  put("Maker", entry.maker);
  put("Model", entry.model);
  put("Note", entry.note);
  return known;
}

async function showPending(view, place) {
  let found;
  try {
    found = await get(`/devices/${encodeURIComponent(view.id)}/pending`);
  } catch {
    place.hidden = true;
    return;
  }
  const list = found.pending ?? found.commands ?? [];
  const lacks = view.page.lacks("command");
  place.hidden = list.length === 0;
  fill(place, h("h3", {}, t("Waiting for the device")), list.map((one) =>
    h("div", { class: "pending" }, h("span", {}, h("b", {}, nameText(one.message ?? "")), " ",
      h("span", { class: "mono" }, one.message_id ?? ""), " ",
      h("span", { class: "muted" }, one.expires ? t("until {when}",
        { when: clock(one.expires) }) : "")),
    lacks ? null : h("button", { type: "button", class: "quiet", onclick: async (event) => {
      event.currentTarget.disabled = true;
      await del(`/devices/${encodeURIComponent(view.id)}/pending/${encodeURIComponent(one.id)}`)
        .catch((error) => view.page.warn(error));
      showPending(view, place);
    } }, t("Cancel")))));
}

// Kick and ban: asked once more before anything happens. What one may not do is not offered.
function adminPanel(view) {
  const said = h("p", { role: "status", class: "note" });
  const path = (what) => `/devices/${encodeURIComponent(view.id)}/${what}`;
  const act = async (work, done) => {
    try {
      await work();
      said.className = "note";
      say(said, done);
      view.loop.now();
    } catch (error) {
      said.className = "problem";
      say(said, error.message);
    }
  };
  const kick = confirmed(t("Kick"), t("Really kick?"), () =>
    act(() => post(path("kick"), { why: "dashboard" }), t("The link is closed.")));
  const time = h("select", { "aria-label": t("How long") },
    [["1", "1 h"], ["24", "24 h"], ["", t("for ever")]].map(([value, label]) =>
      h("option", { value }, label)));
  const ban = confirmed(t("Ban"), t("Really ban?"), () => act(() => put(path("ban"),
    { why: "dashboard", ...(time.value ? { until: untilOf(Number(time.value)) } : {}) }),
  t("Banned.")));
  const unban = h("button", { type: "button", class: "button plain", hidden: true,
    onclick: () => act(() => del(path("ban")), t("May come again.")) }, t("Lift the ban"));
  const noKick = view.page.lacks("command");
  const noBan = view.page.lacks("admin");
  const row = h("div", { class: "row" }, kick, time, ban, unban);
  const element = h("div", { class: "panel" }, h("h3", {}, t("Administer")), row, said,
    [[noKick, t("Kick")], [noBan, t("Ban")]].map(([why, what]) =>
      why && h("p", { class: "note" }, h("b", {}, what), " · ", why)).filter(Boolean));
  kick.hidden = noKick !== "";
  kick.disabled = true;  // until it is known to be here
  return { element, update(device) {
    const banned = Boolean(device.banned || device.ban);
    unban.hidden = !banned || noBan !== "";
    ban.hidden = time.hidden = banned || noBan !== "";
    kick.disabled = !device.online;
  } };
}
function untilOf(hours) {
  return new Date(Date.now() + hours * 3600_000).toISOString();
}
function confirmed(label, question, work) {
  let timer = 0;
  const button = h("button", { type: "button", class: "button danger", onclick: () => {
    if (button.dataset.sure) {
      rest();
      return work();
    }
    button.dataset.sure = "1";
    say(button, question);
    timer = setTimeout(rest, 4000);
  } }, label);
  const rest = () => {
    clearTimeout(timer);
    delete button.dataset.sure;
    say(button, label);
  };
  return button;
}

// Alarms -----------------------------------------------------------------------------------------

function alarmPanel(view) {
  const list = alarmList(view.page, { device: view.id });
  return { element: add(h("div", { class: "stack" }), list.element), end: list.end };
}
