// The map: Leaflet moves and zooms; two canvases of ours draw. The lower one has the outline of the
// world (or nothing, where there are tiles), the upper one the vehicles, on every frame on which
// one of them moves. Positions come as WGS-84 and are drawn as the tiles want them.
import { control, map as leaflet, tileLayer } from "leaflet/leaflet.esm.js";
import { h } from "./dom.js";
import { short } from "./format.js";
import { gcj02 } from "./gcj.js";
import { t } from "./i18n.js";
import { Motions } from "./motion.js";
import { colour, onTheme } from "./prefs.js";
import { boxesMeet, decodeWorld, project } from "./world.js";

const TILE = 256;  // pixels of the whole world at zoom 0
const TRAIL_POINTS = 40;
const TRAILS_MAX = 400;  // vehicles that draw one
const LABELS_MAX = 120;
const PICK_PX = 18;
const HEADINGS = 48;  // drawn arrows

let world = null;
export async function loadWorld(path) {
  if (world === null) {
    const answer = await fetch(path);
    if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
    world = decodeWorld(new Uint8Array(await answer.arrayBuffer()));
  }
  return world;
}

export class MapView {
  // `config`: /page/config.json. `seen()`: the visible area has changed. `picked(item or null)`.
  constructor(element, config, { seen = () => {}, picked = () => {} } = {}) {
    this.config = config;
    this.picked = picked;
    this.motions = new Motions();
    this.trails = new Map();
    this.cells = [];
    this.line = null;  // a track: {points: [x, y...], colours}
    this.marker = null;
    this.chosen = null;
    this.frameMs = [];
    this.element = element;
    this.map = leaflet(element, { zoomAnimation: false, fadeAnimation: false,
      attributionControl: false,
      zoomSnap: 0.25, zoomDelta: 1, wheelPxPerZoomLevel: 90, minZoom: 1.5, maxZoom: 19,
      worldCopyJump: true, center: [30, 108], zoom: 3.5, zoomControl: false });
    control.zoom({ position: "topright", zoomInTitle: t("Zoom in"), zoomOutTitle: t("Zoom out") })
      .addTo(this.map);
    control.scale({ position: "bottomright", imperial: false }).addTo(this.map);
    if (config.tile_url) this.addTiles();
    this.base = h("canvas", { class: "map-canvas map-base" });
    this.live = h("canvas", { class: "map-canvas map-live", "aria-hidden": "true" });
    element.append(this.base, this.live);
    element.setAttribute("aria-label", t("Map of vehicles"));
    this.map.on("move zoom", () => this.redraw());
    this.map.on("moveend zoomend resize", () => seen());
    this.map.on("resize", () => this.resize());
    this.map.on("click", (event) => this.pick(event.containerPoint));
    this.map.on("mousemove", (event) => {
      element.classList.toggle("over", this.nearest(event.containerPoint) !== null);
    });
    this.sizes = new ResizeObserver(() => this.map.invalidateSize({ pan: false }));
    this.sizes.observe(element);
    this.forgetTheme = onTheme(() => {
      this.sprites = null;
      this.redraw();
    });
    this.resize();
  }

  addTiles() {
    const attribution = this.config.tile_attribution;
    tileLayer(this.config.tile_url, { subdomains: "abc", maxZoom: 19 }).addTo(this.map);
    // Leaflet's own would take markup.
    if (attribution) this.element.append(h("div", { class: "map-attribution" }, attribution));
  }
  remove() {
    cancelAnimationFrame(this.frame);
    this.sizes.disconnect();
    this.forgetTheme();
    this.map.remove();
  }

  resize() {
    const size = this.map.getSize();
    this.ratio = Math.min(2, window.devicePixelRatio || 1);
    for (const canvas of [this.base, this.live]) {
      canvas.width = Math.max(1, Math.round(size.x * this.ratio));
      canvas.height = Math.max(1, Math.round(size.y * this.ratio));
    }
    this.redraw();
  }
  redraw() {
    this.baseDue = true;
    this.due();
  }
  due() {
    this.frame ??= requestAnimationFrame((now) => this.draw(now));
  }

  // What is seen -----------------------------------------------------------------------------

  // "south,west,north,east", a little more than what is seen.
  area() {
    const bounds = this.map.getBounds().pad(0.1);
    const whole = bounds.getEast() - bounds.getWest() >= 360;
    const round = (value) => Math.round(value * 1e5) / 1e5;
    const turn = (value) => round(((((value + 180) % 360) + 360) % 360) - 180);
    return [round(Math.max(-90, bounds.getSouth())), whole ? -180 : turn(bounds.getWest()),
      round(Math.min(90, bounds.getNorth())), whole ? 180 : turn(bounds.getEast())].join(",");
  }
  cellsWanted() {
    const size = this.map.getSize();
    return Math.max(4, Math.min(64, Math.round(Math.max(size.x, size.y) / 64)));
  }
  // Shows all of these positions. `box`: [south, west, north, east].
  fit(box) {
    const [south, west] = this.shifted(box[0], box[1]);
    const [north, east] = this.shifted(box[2], box[3]);
    this.map.fitBounds([[south, west], [north, east]], { padding: [40, 40], maxZoom: 15 });
  }
  goTo(latitude, longitude, zoom = this.map.getZoom()) {
    this.map.setView(this.shifted(latitude, longitude), zoom, { animate: false });
  }
  shifted(latitude, longitude) {
    return this.config.tile_gcj02 ? gcj02(latitude, longitude) : [latitude, longitude];
  }
  place(latitude, longitude) {
    return project(...this.shifted(latitude, longitude));
  }

  // What is shown ----------------------------------------------------------------------------

  itemOf(device) {
    const [x, y] = this.place(device.latitude_deg, device.longitude_deg);
    return { id: device.phone ?? device.device, x, y, heading: device.heading_deg ?? 0,
      label: device.plate || device.phone || device.device, online: device.online !== false,
      alarm: (device.alarm_bits ?? 0) !== 0, moving: (device.speed_kmh ?? 0) > 1, device };
  }
  showDevices(devices, over_ms) {
    const now = performance.now();
    this.cells = [];
    this.motions.replace(devices.map((device) => this.itemOf(device)), now, over_ms);
    for (const id of this.trails.keys()) {
      if (!this.motions.things.has(id)) this.trails.delete(id);
    }
    for (const { item } of this.motions.things.values()) this.trail(item);
    this.due();
  }
  // One position that came by itself; what it does not say stays as it was.
  heard(event) {
    const known = this.motions.things.get(event.device);
    const now = performance.now();
    const over = known?.heardAt ? Math.min(10_000, Math.max(300, now - known.heardAt)) : 1000;
    const device = { ...known?.item.device, phone: event.device, online: true,
      latitude_deg: event.latitude_deg, longitude_deg: event.longitude_deg,
      speed_kmh: event.speed_kmh, heading_deg: event.heading_deg, alarm_bits: event.alarm_bits,
      last_heard: event.received };
    const item = this.itemOf(device);
    this.motions.heard(item, now, over * 1.05);
    this.motions.things.get(event.device).heardAt = now;
    this.trail(item);
    this.due();
  }
  trail(item) {
    if (!item.online || this.motions.size > TRAILS_MAX) return;
    let trail = this.trails.get(item.id);
    if (trail === undefined) this.trails.set(item.id, (trail = []));
    const last = trail.length;
    if (last >= 2 && trail[last - 2] === item.x && trail[last - 1] === item.y) return;
    if (last >= 2 && Math.hypot(trail[last - 2] - item.x, trail[last - 1] - item.y) > 1e-4) {
      trail.length = 0;
    }
    trail.push(item.x, item.y);
    if (trail.length > TRAIL_POINTS * 2) trail.splice(0, 2);
  }
  showCells(cells) {
    this.motions.clear();
    this.trails.clear();
    this.cells = cells.map((cell) => {
      const [x, y] = this.place(cell.latitude_deg, cell.longitude_deg);
      return { ...cell, x, y, radius: 11 + Math.min(15, Math.log10(cell.devices) * 4.5) };
    }).sort((one, other) => one.devices - other.devices);
    this.due();
  }
  choose(id) {
    this.chosen = id;
    this.due();
  }
  // A track: [{latitude_deg, longitude_deg, speed_kmh, ...}]; null takes it away.
  showTrack(points) {
    this.line = points === null ? null
      : points.map((point) => this.place(point.latitude_deg, point.longitude_deg));
    if (points === null) this.marker = null;
    this.due();
  }
  // The replayed vehicle.
  showMarker(point) {
    if (point === null) this.marker = null;
    else {
      const [x, y] = this.place(point.latitude_deg, point.longitude_deg);
      this.marker = { x, y, heading: point.heading_deg ?? 0 };
    }
    this.due();
  }

  // Picking ----------------------------------------------------------------------------------

  nearest(point) {
    const view = this.view();
    const now = performance.now();
    let best = null;
    let least = PICK_PX ** 2;
    for (const thing of this.motions.things.values()) {
      const at = this.motions.at(thing, now);
      for (const world of view.worlds) {
        const gap = ((at.x + world) * view.scale - view.left - point.x) ** 2 +
          (at.y * view.scale - view.top - point.y) ** 2;
        if (gap < least) {
          least = gap;
          best = { device: thing.item };
        }
      }
    }
    if (best !== null) return best;
    for (const cell of this.cells) {
      for (const world of view.worlds) {
        const gap = Math.hypot((cell.x + world) * view.scale - view.left - point.x,
          cell.y * view.scale - view.top - point.y);
        if (gap < cell.radius) best = { cell };
      }
    }
    return best;
  }
  pick(point) {
    const found = this.nearest(point);
    if (found?.cell) {
      const { latitude_deg, longitude_deg } = found.cell;
      return this.goTo(latitude_deg, longitude_deg, Math.min(19, this.map.getZoom() + 2));
    }
    this.choose(found?.device.id ?? null);
    this.picked(found?.device.device ?? null);
  }

  // Drawing ----------------------------------------------------------------------------------

  view() {
    const corner = this.map.getPixelBounds().min;
    const size = this.map.getSize();
    const scale = TILE * 2 ** this.map.getZoom();
    const worlds = [];
    for (let world = Math.floor(corner.x / scale); world * scale < corner.x + size.x; ++world) {
      worlds.push(world);
    }
    return { left: corner.x, top: corner.y, scale, worlds, width: size.x, height: size.y };
  }

  draw(now) {
    this.frame = undefined;
    const began = performance.now();
    const view = this.view();
    if (this.baseDue) {
      this.baseDue = false;
      this.drawBase(view);
    }
    this.drawLive(view, now);
    this.frameMs.push(performance.now() - began);
    if (this.frameMs.length > 600) this.frameMs.splice(0, 300);
    if (this.motions.moving(performance.now())) this.due();
  }

  drawBase(view) {
    const pen = this.base.getContext("2d");
    pen.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    pen.clearRect(0, 0, view.width, view.height);
    if (this.config.tile_url) return;
    pen.fillStyle = colour("sea");
    pen.fillRect(0, 0, view.width, view.height);
    if (world !== null) for (const copy of view.worlds) this.drawWorld(pen, view, copy);
    this.drawGraticule(pen, view);
  }

  drawWorld(pen, view, copy) {
    const { scale, left, top } = view;
    const box = [left / scale - copy, top / scale, (left + view.width) / scale - copy,
      (top + view.height) / scale];
    const dx = copy * scale - left;
    const trace = (points) => {
      let lastX = NaN;
      let lastY = NaN;
      for (let i = 0; i < points.length; i += 2) {
        const x = points[i] * scale + dx;
        const y = points[i + 1] * scale - top;
        // Steps of less than half a pixel are no steps.
        if (Math.abs(x - lastX) < 0.6 && Math.abs(y - lastY) < 0.6) continue;
        if (i === 0) pen.moveTo(x, y);
        else pen.lineTo(x, y);
        lastX = x;
        lastY = y;
      }
    };
    pen.beginPath();
    for (const ring of world.rings) if (boxesMeet(ring.box, box)) trace(ring.points);
    pen.fillStyle = colour("land");
    pen.fill("evenodd");
    for (const border of [false, true]) {
      pen.beginPath();
      for (const arc of world.arcs) {
        if (arc.border === border && boxesMeet(arc.box, box)) trace(arc.points);
      }
      pen.strokeStyle = colour(border ? "border" : "coast");
      pen.lineWidth = border ? 0.8 : 1;
      pen.stroke();
    }
  }

  drawGraticule(pen, view) {
    const zoom = this.map.getZoom();
    const step = [30, 20, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005]
      .findLast((one) => (one / 360) * TILE * 2 ** zoom >= 110) ?? 30;
    const digits = Math.max(0, Math.ceil(-Math.log10(step)));
    const bounds = this.map.getBounds();
    const vertical = bounds.getNorth() - bounds.getSouth();
    if (vertical <= 0) return;
    pen.strokeStyle = colour("grid");
    pen.fillStyle = colour("grid-text");
    pen.lineWidth = 0.6;
    pen.font = "10px system-ui, sans-serif";
    pen.beginPath();
    const first = Math.ceil(bounds.getWest() / step) * step;
    for (let lon = first; lon <= bounds.getEast(); lon += step) {
      const x = Math.round((lon / 360 + 0.5) * view.scale - view.left) + 0.5;
      pen.moveTo(x, 0);
      pen.lineTo(x, view.height);
      const shown = ((((lon + 180) % 360) + 360) % 360) - 180;
      pen.fillText(`${shown.toFixed(digits)}°`, x + 3, view.height - 4);
    }
    for (let lat = Math.ceil(bounds.getSouth() / step) * step; lat <= bounds.getNorth();
      lat += step) {
      if (Math.abs(lat) > 85) continue;
      const y = Math.round(project(lat, 0)[1] * view.scale - view.top) + 0.5;
      pen.moveTo(0, y);
      pen.lineTo(view.width, y);
      pen.fillText(`${lat.toFixed(digits)}°`, 4, y - 3);
    }
    pen.stroke();
  }

  drawLive(view, now) {
    const pen = this.live.getContext("2d");
    pen.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    pen.clearRect(0, 0, view.width, view.height);
    if (this.line !== null) this.drawLine(pen, view);
    this.drawTrails(pen, view, now);
    this.drawVehicles(pen, view, now);
    this.drawCells(pen, view);
    if (this.marker !== null) {
      this.sprites ??= makeSprites(this.ratio);
      for (const world of view.worlds) {
        this.stamp(pen, "chosen", this.marker.heading,
          (this.marker.x + world) * view.scale - view.left,
          this.marker.y * view.scale - view.top, 1.3);
      }
    }
  }

  drawLine(pen, view) {
    pen.lineJoin = pen.lineCap = "round";
    for (const [width, style] of [[6, colour("track-edge")], [3, colour("accent")]]) {
      pen.lineWidth = width;
      pen.strokeStyle = style;
      for (const world of view.worlds) {
        pen.beginPath();
        let lastX = NaN;
        let lastY = NaN;
        this.line.forEach(([px, py], i) => {
          const x = (px + world) * view.scale - view.left;
          const y = py * view.scale - view.top;
          if (Math.abs(x - lastX) < 1 && Math.abs(y - lastY) < 1) return;
          if (i === 0) pen.moveTo(x, y);
          else pen.lineTo(x, y);
          lastX = x;
          lastY = y;
        });
        pen.stroke();
      }
    }
  }

  drawTrails(pen, view, now) {
    if (this.motions.size > TRAILS_MAX || this.map.getZoom() < 8) return;
    pen.lineWidth = 2.5;
    pen.lineJoin = pen.lineCap = "round";
    pen.strokeStyle = colour("trail");
    for (const world of view.worlds) {
      pen.beginPath();
      for (const [id, trail] of this.trails) {
        const thing = this.motions.things.get(id);
        if (thing === undefined || trail.length < 4) continue;
        for (let i = 0; i < trail.length - 2; i += 2) {
          const x = (trail[i] + world) * view.scale - view.left;
          const y = trail[i + 1] * view.scale - view.top;
          if (i === 0) pen.moveTo(x, y);
          else pen.lineTo(x, y);
        }
        const at = this.motions.at(thing, now);
        pen.lineTo((at.x + world) * view.scale - view.left, at.y * view.scale - view.top);
      }
      pen.stroke();
    }
  }

  drawVehicles(pen, view, now) {
    if (this.motions.size === 0) return;
    this.sprites ??= makeSprites(this.ratio);
    const labels = this.motions.size <= LABELS_MAX && this.map.getZoom() >= 11;
    pen.font = "600 11px system-ui, sans-serif";
    pen.textAlign = "center";
    pen.lineWidth = 3;
    pen.strokeStyle = colour("halo");
    const text = colour("text");
    for (const thing of this.motions.things.values()) {
      const { item } = thing;
      const at = this.motions.at(thing, now);
      for (const world of view.worlds) {
        const x = (at.x + world) * view.scale - view.left;
        const y = at.y * view.scale - view.top;
        if (x < -20 || y < -20 || x > view.width + 20 || y > view.height + 20) continue;
        const kind = kindOf(item);
        if (item.id === this.chosen) this.drawRing(pen, x, y);
        this.stamp(pen, kind, at.heading, x, y, 1);
        if (labels) {
          pen.strokeText(item.label, x, y - 14);
          pen.fillStyle = text;
          pen.fillText(item.label, x, y - 14);
        }
      }
    }
    pen.textAlign = "start";
  }
  drawRing(pen, x, y) {
    pen.save();
    pen.beginPath();
    pen.arc(x, y, 15, 0, 2 * Math.PI);
    pen.lineWidth = 2.5;
    pen.strokeStyle = colour("accent");
    pen.stroke();
    pen.restore();
  }
  stamp(pen, kind, heading, x, y, size) {
    const { pictures, side } = this.sprites;
    const at = Math.round((heading / 360) * HEADINGS) % HEADINGS;
    const picture = pictures[kind][pictures[kind].length > 1 ? at : 0];
    const wide = side * size;
    pen.drawImage(picture, x - wide / 2, y - wide / 2, wide, wide);
  }

  drawCells(pen, view) {
    if (this.cells.length === 0) return;
    const colours = { fill: colour("cell"), ring: colour("ok"), alarm: colour("bad"),
      rest: colour("offline"), text: colour("cell-text") };
    pen.font = "600 11px system-ui, sans-serif";
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    for (const cell of this.cells) {
      for (const world of view.worlds) {
        const x = (cell.x + world) * view.scale - view.left;
        const y = cell.y * view.scale - view.top;
        if (x < -40 || y < -40 || x > view.width + 40 || y > view.height + 40) continue;
        drawCell(pen, cell, x, y, colours);
      }
    }
    pen.textAlign = "start";
    pen.textBaseline = "alphabetic";
  }
}

function kindOf(item) {
  if (!item.online) return "offline";
  if (item.alarm) return "alarm";
  return item.moving ? "moving" : "still";
}

// A disc with the number, in a ring that says how many of them are online, and in alarm.
function drawCell(pen, cell, x, y, colours) {
  const start = -Math.PI / 2;
  const part = (count) => (2 * Math.PI * count) / cell.devices;
  pen.beginPath();
  pen.arc(x, y, cell.radius, 0, 2 * Math.PI);
  pen.fillStyle = colours.fill;
  pen.fill();
  pen.lineWidth = 3;
  for (const [from, to, style] of [
    [0, part(cell.alarm), colours.alarm],
    [part(cell.alarm), part(Math.max(cell.alarm, cell.online)), colours.ring],
    [part(Math.max(cell.alarm, cell.online)), 2 * Math.PI, colours.rest]]) {
    if (to <= from) continue;
    pen.beginPath();
    pen.arc(x, y, cell.radius, start + from, start + to);
    pen.strokeStyle = style;
    pen.stroke();
  }
  pen.fillStyle = colours.text;
  pen.fillText(short(cell.devices), x, y + 0.5);
}

// Arrows in all directions, drawn once: a frame only copies pictures.
function makeSprites(ratio) {
  const side = 22;
  const halo = colour("halo");
  const picture = (draw) => {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = Math.ceil(side * ratio);
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    pen.translate(side / 2, side / 2);
    draw(pen);
    return canvas;
  };
  const arrow = (style) => Array.from({ length: HEADINGS }, (_, at) => picture((pen) => {
    pen.rotate((at / HEADINGS) * 2 * Math.PI);
    pen.beginPath();
    pen.moveTo(0, -9);
    pen.lineTo(6.5, 7.5);
    pen.lineTo(0, 4);
    pen.lineTo(-6.5, 7.5);
    pen.closePath();
    pen.lineWidth = 2.2;
    pen.lineJoin = "round";
    pen.strokeStyle = halo;
    pen.stroke();
    pen.fillStyle = style;
    pen.fill();
  }));
  const dot = (style) => [picture((pen) => {
    pen.beginPath();
    pen.arc(0, 0, 5, 0, 2 * Math.PI);
    pen.lineWidth = 2.2;
    pen.strokeStyle = halo;
    pen.stroke();
    pen.fillStyle = style;
    pen.fill();
  })];
  return { side, pictures: { moving: arrow(colour("moving")), alarm: arrow(colour("bad")),
    chosen: arrow(colour("accent")), still: dot(colour("ok")), offline: dot(colour("offline")) } };
}
