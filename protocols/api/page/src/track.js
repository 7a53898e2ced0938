// Where a device was: a time range, its track on the map, and a replay of it at a speed.
import { get, link } from "./api.js";
import { fill, h, icon, say } from "./dom.js";
import { boxOf } from "./fleet.js";
import { clock, count, decimal, duration, localInput } from "./format.js";
import { t } from "./i18n.js";
import { placeAt } from "./replay.js";

const SPEEDS = [1, 10, 60, 300, 1800];
const POINTS_WANTED = 5000;

export function trackPanel(view) {
  const panel = new TrackPanel(view);
  return panel;
}

class TrackPanel {
  constructor(view) {
    this.view = view;
    this.fixes = [];
    this.playing = false;
    const now = Date.now();
    const input = (id, at) => h("input", { type: "datetime-local", step: 1, id,
      value: localInput(at) });
    this.from = input("track-from", now - 3600_000);
    this.to = input("track-to", now + 60_000);
    this.said = h("p", { class: "note", role: "status", id: "track-said" });
    this.play = h("button", { type: "button", class: "button", id: "track-play", disabled: true,
      "aria-label": t("Play"), onclick: () => this.toggle() }, icon("play"));
    this.slider = h("input", { type: "range", min: 0, max: 1000, value: 0, disabled: true,
      "aria-label": t("Time"), oninput: () => {
        this.at = this.start_ms + (this.slider.value / 1000) * this.length_ms;
        this.showAt();
      } });
    this.speed = h("select", { "aria-label": t("Speed of the replay") }, SPEEDS.map((value) =>
      h("option", { value, selected: value === 60 }, `${value}×`)));
    this.where = h("p", { class: "device-facts" });
    this.saves = h("div", { class: "row" });
    this.element = h("div", { class: "stack" }, h("form", { class: "panel stack",
      onsubmit: (event) => {
        event.preventDefault();
        this.load();
      } },
    h("div", { class: "row" }, [["1 h", 1], ["6 h", 6], ["24 h", 24]].map(([label, hours]) =>
      h("button", { type: "button", class: "chip", onclick: () => {
        this.from.value = localInput(Date.now() - hours * 3600_000);
        this.to.value = localInput(Date.now() + 60_000);
        this.load();
      } }, label))),
    h("div", { class: "row" }, h("label", { class: "form-field" }, h("span",
      { class: "form-label" },
      t("From")), this.from), h("label", { class: "form-field" },
      h("span", { class: "form-label" }, t("To")), this.to)),
    h("div", { class: "row" }, h("button", { type: "submit", class: "button", id: "track-load" },
      t("Show track")))),
    h("div", { class: "panel stack" }, this.said, h("div", { class: "row player" }, this.play,
      this.slider, this.speed), this.where, this.saves));
    this.load();
  }
  mapped(map) {
    this.map = map;
    this.draw();
  }
  end() {
    cancelAnimationFrame(this.frame);
    this.view.map?.showTrack(null);
    this.ended = true;
  }

  query() {
    return { from: new Date(this.from.value).toISOString(),
      to: new Date(this.to.value).toISOString() };
  }
  async load() {
    const path = `/devices/${encodeURIComponent(this.view.id)}/track`;
    this.stop();
    say(this.said, t("Looking…"));
    try {
      const query = this.query();
      const span = (Date.parse(query.to) - Date.parse(query.from)) / 1000;
      const step = Math.floor(span / POINTS_WANTED);
      const found = await get(path, { ...query, step: step > 1 ? `${step}s` : "" });
      if (this.ended) return;
      this.show(found, path, query);
    } catch (error) {
      say(this.said, error.message);
    }
  }
  show(found, path, query) {
    this.fixes = found.fixes.map((fix) => ({ ...fix, ms: Date.parse(fix.time) }));
    const { fixes } = this;
    const some = fixes.length > 1;
    this.play.disabled = this.slider.disabled = !some;
    const length = found.legs.reduce((sum, leg) => sum + (leg.length_km ?? 0), 0);
    say(this.said, fixes.length === 0 ? t("Nothing was heard in this time. Try a longer one.")
      : t("{n} positions, {km} km, stops: {stops}", { n: count(fixes.length),
        km: decimal(length), stops: found.stops.length }));
    fill(this.saves, fixes.length ? [h("span", { class: "muted" }, t("Save as")),
      ...["geojson", "gpx", "csv"].map((format) => h("a", { class: "quiet",
        href: link(path, { ...query, format }),
        download: `${this.view.id}.${format}` }, format.toUpperCase()))] : []);
    this.start_ms = fixes[0]?.ms ?? 0;
    this.length_ms = some ? fixes.at(-1).ms - this.start_ms : 0;
    this.at = this.start_ms;
    this.draw();
    if (fixes.length) this.showAt();
  }
  draw() {
    const map = this.map ?? this.view.map;
    if (!map) return;
    map.showTrack(this.fixes.length ? this.fixes : null);
    if (this.fixes.length) map.fit(boxOf(this.fixes));
  }

  toggle() {
    if (this.playing) return this.stop();
    if (this.at >= this.start_ms + this.length_ms) this.at = this.start_ms;
    this.playing = true;
    fill(this.play, icon("pause"));
    this.play.setAttribute("aria-label", t("Pause"));
    let last = performance.now();
    const step = (now) => {
      this.at += (now - last) * Number(this.speed.value);
      last = now;
      if (this.at >= this.start_ms + this.length_ms) {
        this.at = this.start_ms + this.length_ms;
        this.stop();
      } else {
        this.frame = requestAnimationFrame(step);
      }
      this.showAt();
    };
    this.frame = requestAnimationFrame(step);
  }
  stop() {
    this.playing = false;
    cancelAnimationFrame(this.frame);
    fill(this.play, icon("play"));
    this.play.setAttribute("aria-label", t("Play"));
  }
  showAt() {
    const place = placeAt(this.fixes, this.at);
    this.view.map?.showMarker(place);
    if (this.length_ms) this.slider.value = ((this.at - this.start_ms) / this.length_ms) * 1000;
    say(this.where, `${clock(this.at)} · ${decimal(place.speed_kmh)} km/h · ` +
      duration((this.at - this.start_ms) / 1000));
  }
}
