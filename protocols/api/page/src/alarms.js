// View 4: alarms as they come, and the last ones before. Also a device's own.
import { get } from "./api.js";
import { h, say } from "./dom.js";
import { deviceLink } from "./fleet.js";
import { clock, decimal, position } from "./format.js";
import { nameText, t } from "./i18n.js";

const KEPT = 500;
const BEFORE_MS = 24 * 3600_000;
// An alarm that lasts comes with every report: shown once, with how often.
const SAME_MS = 60_000;

export function alarmsView(page) {
  const list = alarmList(page, {});
  return { title: t("Alarms"), end: list.end, element: h("main", { class: "alarms-view scroll" },
    h("div", { class: "view-head" }, h("h1", {}, t("Alarms")), h("p", { class: "note" },
      t("Live, and what the last 24 hours brought."))), list.element) };
}

// `device`: of one only.
export function alarmList(page, { device }) {
  const list = new AlarmList(page, device);
  list.start();
  return { element: list.element, end: () => list.end() };
}

// Folds a further alarm into the rows: {rows, row, isNew}. Rows: newest first. Pure.
export function folded(rows, event) {
  const at = Date.parse(event.time ?? event.received);
  const same = rows.find((row) => row.device === event.device && row.alarm === event.alarm &&
    row.phase === event.phase && Math.abs(at - row.at) < SAME_MS);
  if (same === undefined) {
    const row = { ...event, at, since: at, times: event.count ?? 1 };
    let place = rows.findIndex((one) => one.at <= at);
    if (place < 0) place = rows.length;
    rows.splice(place, 0, row);
    return { row, isNew: true, place };
  }
  ++same.times;
  if (at > same.at) {
    Object.assign(same, event, { at });
  } else {
    same.since = Math.min(same.since, at);
  }
  return { row: same, isNew: false };
}

// What the list of alarms says, as the stream says it. One that goes on has no end.
function eventOf(one) {
  return { ...one, alarm: one.type, time: one.end ?? one.last ?? one.start,
    phase: one.end ? "end" : "", count: one.messages };
}

class AlarmList {
  constructor(page, device) {
    this.page = page;
    this.device = device;
    this.rows = [];
    this.elements = new Map();
    this.id = device ? "device-alarms" : "alarms";
    this.empty = h("div", { class: "empty" }, h("h2", {}, t("No alarms")),
      h("p", {}, t("They show up here by themselves. To see some, let simulated drivers tire:")),
      h("code", { class: "command" },
        "ringgate-load jt808 --target 127.0.0.1:7808 --devices 5 --demo --alarms 0.1"));
    this.list = h("ul", { class: "alarms", id: this.id, "aria-live": "polite" });
    this.element = h("div", { class: "panel" }, this.empty, this.list);
  }
  async start() {
    this.page.stream.subscribe(this.id, { types: ["alarm"],
      ...(this.device ? { devices: [this.device] } : {}) },
    (events) => events.forEach((event) => event.type === "alarm" && this.take(event, true)),
    { lasting: true });
    try {
      const path = this.device ? `/devices/${encodeURIComponent(this.device)}/alarms` : "/alarms";
      const found = await get(path, { from: new Date(Date.now() - BEFORE_MS).toISOString(),
        limit: 5000 });
      if (this.ended) return;
      for (const one of found.alarms ?? []) this.take(eventOf(one), false);
      // Those that were folded into one may have moved on from their place.
      this.rows.sort((one, other) => other.at - one.at);
      this.list.append(...this.rows.map((row) => this.elements.get(row).element));
    } catch (error) {
      if (!this.ended) this.page.warn(error);
    }
  }
  end() {
    this.ended = true;
    this.page.stream.unsubscribe(this.id);
  }

  take(event, live) {
    const { row, isNew, place } = folded(this.rows, event);
    this.empty.hidden = true;
    if (isNew) {
      const made = this.make(row, live);
      this.elements.set(row, made);
      this.list.insertBefore(made.element, this.list.children[place] ?? null);
    }
    this.elements.get(row).update();
    while (this.rows.length > KEPT) {
      const last = this.rows.pop();
      this.elements.get(last).element.remove();
      this.elements.delete(last);
    }
  }
  make(row, live) {
    const when = h("span", { class: "when muted" });
    const times = h("span", { class: "muted" });
    const where = h("span", { class: "muted" });
    const element = h("li", { class: live ? "alarm-row fresh" : "alarm-row" },
      h("span", { class: `dot ${row.phase === "end" ? "" : "alarm"}` }),
      h("span", { class: "alarm-what" }, h("b", {}, nameText(row.alarm ?? "")),
        row.phase ? h("span", { class: "badge" }, nameText(row.phase)) : null, times),
      this.device ? null : h("a", { href: deviceLink(row.device) }, row.plate || row.device),
      where, when);
    return { element, update() {
      say(when, clock(row.at));
      say(times, row.times > 1 ? `× ${row.times}` : "");
      say(where, [Number.isFinite(row.speed_kmh) ? `${decimal(row.speed_kmh)} km/h` : "",
        Number.isFinite(row.latitude_deg) ? position(row.latitude_deg, row.longitude_deg) : ""]
        .filter(Boolean).join(" · "));
    } };
  }
}
