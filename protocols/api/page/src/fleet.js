// View 1: the map, and beside it the list of devices with search and filters.
import { get, repeat } from "./api.js";
import { Rows, fill, h, icon, say } from "./dom.js";
import { ago, count, decimal, position } from "./format.js";
import { t } from "./i18n.js";
import { MapView, loadWorld } from "./map.js";

const POINTS_MAX = 2000;
const MAP_EVERY_MS = 1000;
// Where the stream tells of each vehicle: who comes and goes, and the numbers.
const MAP_EVERY_LIVE_MS = 4000;
const LIST_EVERY_MS = 2000;
const PAGE = 50;
const PLATES_MAX = 20;

// Of each: the order that brings those first, and that moves only where one comes or goes.
const FILTERS = [["", "All", "phone"], ["online", "Online", "-online"],
  ["not online", "Offline", "online"], ["speed>1", "Moving", "-online"],
  ["alarm!=0", "Alarm", "-alarm"]];

// Orders that a person may choose; without one each filter has its own.
const ORDERS = [["", "Suggested order"], ["plate", "Plate"], ["phone", "Number"],
  ["-last_heard", "Last heard"], ["-position_time", "Newest position"], ["-speed", "Speed"],
  ["-online", "Online first"], ["-alarm", "Alarms first"]];

// The command that shows something where nothing is.
export function demoCommand(listen = "127.0.0.1:7808") {
  return `ringgate-load jt808 --target ${listen} --devices 100 --demo`;
}

export function fleetView(page) {
  const view = new FleetView(page);
  return { element: view.element, title: t("Map"), start: () => view.start(),
    end: () => view.end() };
}

class FleetView {
  constructor(page) {
    this.page = page;
    this.filter = "";
    this.text = "";
    this.pages = 1;
    this.started = false;
    this.card = h("div", { class: "map-card", hidden: true });
    this.mapElement = h("div", { class: "map", id: "map", role: "application" });
    this.empty = h("div", { class: "empty", hidden: true });
    this.makeSide();
    this.element = h("main", { class: "fleet" }, this.side,
      h("section", { class: "map-box" }, this.mapElement, this.fitButton(), this.card));
  }

  makeSide() {
    this.numbers = {};
    const number = (key, label, kind) => {
      this.numbers[key] = h("b", { class: "number", id: `number-${key}` }, "–");
      return h("div", { class: `tile ${kind}` }, this.numbers[key], h("span", {}, label));
    };
    this.search = h("input", { type: "search", id: "search", class: "search",
      placeholder: t("Plate or number"), "aria-label": t("Search by plate or number"),
      autocomplete: "off", spellcheck: "false", oninput: () => this.searchSoon() });
    this.chips = h("div", { class: "chips", role: "group", "aria-label": t("Filter") },
      FILTERS.map(([filter, label]) => h("button", { type: "button", class: "chip",
        "aria-pressed": String(filter === this.filter),
        onclick: (event) => this.choose(filter, event.currentTarget) }, t(label))));
    this.sort = h("select", { class: "sort", id: "sort", "aria-label": t("Order of the list"),
      onchange: () => this.order(this.sort.value) }, ORDERS.map(([value, label]) =>
      h("option", { value, selected: value === (this.page.order ?? "") }, t(label))));
    this.list = h("ul", { class: "devices", id: "devices" });
    this.more = h("button", { type: "button", class: "quiet", hidden: true, onclick: () => {
      ++this.pages;
      this.listLoop.now();
    } }, t("More"));
    this.listNote = h("p", { class: "note", role: "status", hidden: true });
    this.rows = new Rows(this.list, (device) => device.phone, (device) => this.row(device));
    this.side = h("aside", { class: "side" },
      h("div", { class: "tiles" }, number("devices", t("Devices"), ""),
        number("online", t("Online"), "good"), number("alarm", t("Alarm"), "bad")),
      this.search, h("div", { class: "chips-row" }, this.chips, this.sort), this.listNote,
      this.empty, this.list, this.more);
  }
  fitButton() {
    return h("button", { type: "button", class: "map-fit", title: t("Show all"),
      "aria-label": t("Show all vehicles"), onclick: () => this.fitAll() }, icon("fit"));
  }

  start() {
    if (this.ended) return;
    this.map = new MapView(this.mapElement, this.page.config, {
      seen: () => this.moved(), picked: (device) => this.showCard(device) });
    this.page.handle.map = this.map;
    if (this.page.mapPlace) {
      this.map.goTo(...this.page.mapPlace);
      this.fitted = true;
    }
    if (!this.page.config.tile_url) {
      loadWorld(this.page.worldPath).then(() => this.map.redraw(),
        (error) => this.page.warn(error));
    }
    this.mapLoop = repeat(MAP_EVERY_MS, (signal) => this.askMap(signal),
      (error) => this.page.warn(error));
    this.listLoop = repeat(LIST_EVERY_MS, (signal) => this.askList(signal),
      (error) => this.listFailed(error));
  }
  end() {
    this.ended = true;
    this.mapLoop?.();
    this.listLoop?.();
    this.page.stream.unsubscribe("map");
    if (this.map) {
      const centre = this.map.map.getCenter();
      this.page.mapPlace = [centre.lat, centre.lng, this.map.map.getZoom()];
      this.map.remove();
    }
  }

  // The map ----------------------------------------------------------------------------------

  moved() {
    this.movedAt = performance.now();
    clearTimeout(this.movedTimer);
    this.movedTimer = setTimeout(() => this.mapLoop?.now(), 60);
  }
  // Whether the stream keeps all that is in this area where it is.
  isTold(area) {
    return this.followed === area && this.page.stream.state === "live" &&
      performance.now() - this.askedAt < MAP_EVERY_LIVE_MS;
  }
  async askMap(signal) {
    const area = this.map.area();
    if (this.isTold(area)) return;
    this.askedAt = performance.now();
    const found = await get("/map", { area, cells: this.map.cellsWanted(), points_max: POINTS_MAX },
      { signal });
    if (this.ended) return;
    this.page.reached();
    this.showNumbers(found.total);
    if (found.devices) {
      this.map.showDevices(found.devices, MAP_EVERY_MS * 1.1);
      this.follow(area);
    } else {
      this.page.stream.unsubscribe("map");
      this.followed = null;
      this.map.showCells(found.cells);
    }
    if (this.shown) this.showCard(this.map.motions.things.get(this.shown)?.item.device ?? null);
    if (!this.fitted && found.total.located > 0) {
      this.fitted = true;
      await this.fitAll();
    }
    this.page.mark("map");
  }
  // Single vehicles are followed by the stream; the map asks on only for who comes and goes.
  follow(area) {
    if (this.followed === area) return;
    this.followed = area;
    this.page.stream.subscribe("map", { area, types: ["position"] }, (events) => {
      for (const event of events) {
        if (event.type !== "position" || event.late || event.fixed === false) continue;
        this.map.heard(event);
      }
    });
  }
  async fitAll() {
    const found = await get("/map", { cells: 24, points_max: 200 });
    const places = found.devices ?? found.cells;
    if (this.ended || places.length === 0) return;
    this.map.fit(boxOf(places));
  }

  showNumbers(total) {
    say(this.numbers.devices, count(total.devices));
    say(this.numbers.online, count(total.online));
    say(this.numbers.alarm, count(total.alarm));
    this.showEmpty(total.devices === 0);
    this.page.mark("numbers");
  }
  showEmpty(is) {
    if (is === this.isEmpty) return;
    this.isEmpty = is;
    this.empty.hidden = !is;
    if (is) {
      fill(this.empty, h("h2", {}, t("No devices yet")),
        h("p", {}, t("Point terminals at the gateway, or let a hundred simulated vehicles drive:")),
        h("code", { class: "command" }, demoCommand()));
    }
  }

  showCard(device) {
    this.shown = device?.phone ?? null;
    this.card.hidden = device === null;
    if (device === null) return this.map?.choose(null);
    fill(this.card, h("div", { class: "card-head" }, h("b", {}, device.plate || device.phone),
      badge(device), h("button", { type: "button", class: "quiet close", "aria-label": t("Close"),
        onclick: () => this.showCard(null) }, "×")),
    h("div", { class: "card-facts" }, device.plate ? h("span", {}, device.phone) : null,
      h("span", {}, `${decimal(device.speed_kmh)} km/h`),
      h("span", {}, position(device.latitude_deg, device.longitude_deg)),
      h("span", {}, ago(device.last_heard))),
    h("div", { class: "card-links" },
      h("a", { class: "button", href: deviceLink(device.phone) }, t("Open")),
      h("a", { class: "button plain", href: deviceLink(device.phone, "command") }, t("Send"))));
  }

  // The list ---------------------------------------------------------------------------------

  searchSoon() {
    clearTimeout(this.searchTimer);
    this.searchTimer = setTimeout(() => {
      this.text = this.search.value.trim();
      this.pages = 1;
      this.listLoop.now();
    }, 200);
  }
  choose(filter, button) {
    this.filter = filter;
    this.pages = 1;
    for (const one of this.chips.children) one.setAttribute("aria-pressed", String(one === button));
    this.listLoop.now();
  }
  order(value) {
    this.page.order = value;  // as long as the page is open
    this.pages = 1;
    this.listLoop.now();
  }
  async askList(signal) {
    const order = this.page.order ?? "";
    const asked = [this.text, this.filter, order].join("\n");
    const query = { limit: PAGE, filter: this.filter, ...lookup(this.text, this.filter, order) };
    const found = [];
    let next;
    for (let i = 0; i < this.pages; ++i) {
      const page = await get("/devices", { ...query, cursor: next }, { signal });
      found.push(...page.devices);
      next = page.next;
      if (next === undefined) break;
    }
    if (found.length === 0 && next === undefined && this.filter === "") {
      found.push(...await registered(this.text, signal));
    }
    if (this.ended) return;
    if (asked !== [this.text, this.filter, this.page.order ?? ""].join("\n")) return;
    this.rows.show(found);
    this.more.hidden = next === undefined;
    this.listNote.hidden = found.length > 0 || this.isEmpty === true;
    say(this.listNote, t("Nobody fits."));
    this.page.mark("list");
  }
  listFailed(error) {
    if (error.status === 400) {
      this.listNote.hidden = false;
      say(this.listNote, error.message);
    } else {
      this.page.warn(error);
    }
  }
  row(device) {
    const name = h("b", { class: "name" });
    const second = h("span", { class: "muted" });
    const speed = h("span", { class: "speed" });
    const heard = h("span", { class: "muted" });
    const mark = h("span", { class: "dot" });
    const link = h("a", { href: deviceLink(device.phone), class: "device" }, mark,
      h("span", { class: "who" }, name, second), h("span", { class: "what" }, speed, heard));
    return { element: h("li", {}, link), update(now) {
      const plate = now.plate ?? now.registration?.plate;
      say(name, plate || now.phone);
      say(second, plate ? now.phone : "");
      const drives = now.online && Number.isFinite(now.speed_kmh);
      say(speed, drives ? `${decimal(now.speed_kmh, 0)} km/h` : "");
      say(heard, ago(now.last_heard));
      mark.className = `dot ${stateOf(now)}`;
      mark.title = stateText(now);
    } };
  }
}

// What is looked for comes with its best match first, where no order is chosen.
export function lookup(text, filter, order = "") {
  const found = text === "" ? {} : { q: text };
  if (order !== "") return { ...found, sort: order };
  if (text !== "") return found;
  return { sort: FILTERS.find(([one]) => one === filter)[2] };
}
// Who is registered and was never here is in no list of devices. The registry's filter knows cases.
async function registered(text, signal) {
  const plate = text.replace(/["\\]/g, "").toUpperCase();
  if (plate === "") return [];
  const query = { filter: `plate~"*${plate}*"`, limit: PLATES_MAX };
  const { registrations } = await get("/registrations", query, { signal });
  return registrations.map(({ phone, plate: whole }) => ({ phone, plate: whole, online: false }));
}

export function boxOf(places) {
  const box = [90, 180, -90, -180];
  for (const { latitude_deg, longitude_deg } of places) {
    box[0] = Math.min(box[0], latitude_deg);
    box[1] = Math.min(box[1], longitude_deg);
    box[2] = Math.max(box[2], latitude_deg);
    box[3] = Math.max(box[3], longitude_deg);
  }
  return box;
}
export function deviceLink(phone, tab = "") {
  return `#/device/${encodeURIComponent(phone)}${tab ? `/${tab}` : ""}`;
}
export function stateOf(device) {
  if (device.banned) return "banned";
  if (!device.online) return "offline";
  if (device.alarm_bits) return "alarm";
  return (device.speed_kmh ?? 0) > 1 ? "moving" : "still";
}
export function stateText(device) {
  return t({ banned: "Banned", offline: "Offline", alarm: "Alarm", moving: "Moving",
    still: "Online" }[stateOf(device)]);
}
export function badge(device) {
  return h("span", { class: `badge ${stateOf(device)}` }, stateText(device));
}
