// The page's logic without a browser: node --test.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import test from "node:test";

const ROOM = new URL("../../../protocols/api/page/", import.meta.url);
const load = (name) => import(new URL(`src/${name}`, ROOM));
const { chinese } = await load("words.js");
const { gcj02, wgs84 } = await load("gcj.js");
const { setLanguage, languageOf, t } = await load("i18n.js");
const { Motions, turned } = await load("motion.js");
const { placeAt } = await load("replay.js");
const { formFor, inputOf, readNumber } = await load("schema.js");
const { Quantiles, Rate, Series, parseMetrics, sumOf } = await load("series.js");
const { byteTicks, needsSeconds, timeTicks } = await load("ticks.js");
const { Telemetry } = await load("telemetry.js");
const { decodeWorld, project, unproject } = await load("world.js");

test("every text of the page has its Chinese", () => {
  for (const name of readdirSync(new URL("src/", ROOM))) {
    if (!name.endsWith(".js") || name === "words.js") continue;
    const source = readFileSync(new URL(`src/${name}`, ROOM), "utf8");
    for (const [, text] of source.matchAll(/\bt\(\s*"((?:[^"\\]|\\.)*)"/g)) {
      assert.ok(Object.hasOwn(chinese, text), `${name}: ${text}`);
    }
  }
});

test("grids of charts are round, and no two of their times look alike", () => {
  const at = Date.parse("2026-11-21T05:00:07.300Z");
  for (const span of [9_000, 60_000, 67_000, 200_000, 599_000, 900_000, 7_200_000]) {
    const ticks = timeTicks(at - span, at, 5);
    assert.ok(ticks.length >= 1 && ticks.length <= 5, `${span}: ${ticks.length}`);
    assert.ok(ticks.every((one) => one >= at - span && one <= at && one % 1000 === 0));
    const minutes = ticks.map((one) => Math.floor(one / 60_000));
    assert.ok(needsSeconds(ticks) || new Set(minutes).size === ticks.length, `${span}`);
  }
  assert.deepEqual(timeTicks(at - 120_000, at, 5).map((one) => new Date(one).toISOString()
    .slice(11, 19)), ["04:58:30", "04:59:00", "04:59:30", "05:00:00"]);
  for (const most of [1, 900, 1500, 70_000, 3 * 2 ** 20, 5.2e9]) {
    const ticks = byteTicks(0, most, 5);
    assert.ok(ticks.length >= 2 && ticks.length <= 6, `${most}: ${ticks}`);
    const unit = 1024 ** Math.floor(Math.log2(ticks[1]) / 10);
    assert.ok(ticks.every((one) => Number.isInteger(one / unit)), `${most}: ${ticks}`);
  }
  assert.deepEqual(byteTicks(0, 3 * 2 ** 20, 5), [0, 1, 2, 3].map((n) => n * 2 ** 20));
});

test("a reading that did not come is a gap in every line, and no value of now", () => {
  const one = new Telemetry();
  const take = (frames, at) => one.take(`ringgate_links 7\nringgate_jt808_frames_total ${frames}\n`,
    at);
  take(10, 1000);
  take(20, 3000);
  assert.deepEqual([one.get("frames").last, one.get("links").last], [5, 7]);
  one.miss(5000);
  assert.ok(Number.isNaN(one.get("frames").last) && Number.isNaN(one.get("links").last));
  // It was killed and has counted further than before: that is no rate of these seconds.
  take(500, 7000);
  take(510, 9000);
  assert.deepEqual(one.get("frames").points().map(({ x, y }) => [x, y]),
    [[3000, 5], [5000, null], [7000, null], [9000, 5]]);
  assert.deepEqual(one.get("links").points().map(({ y }) => y), [7, 7, null, 7, 7]);
});

test("languages of browsers", () => {
  assert.equal(languageOf(["fr", "zh-TW", "en"]), "zh");
  assert.equal(languageOf(["de"]), "en");
  setLanguage("zh");
  assert.equal(t("files: {n}", { n: 3 }), "3 个文件");
  setLanguage("en");
  assert.equal(t("files: {n}", { n: 3 }), "files: 3");
});

test("GCJ-02 moves Beijing by some hundreds of metres, and back; Berlin not", () => {
  const [lat, lon] = gcj02(39.908823, 116.39747);
  assert.ok(Math.abs(lat - 39.910224) < 2e-5 && Math.abs(lon - 116.403713) < 2e-5, `${lat} ${lon}`);
  const back = wgs84(lat, lon);
  assert.ok(Math.hypot(back[0] - 39.908823, back[1] - 116.39747) < 1e-7);
  assert.deepEqual(gcj02(52.5, 13.4), [52.5, 13.4]);
});

test("the world is whole: its rings close, and land lies where it does", () => {
  const world = decodeWorld(readFileSync(new URL("world/world.bin", ROOM)));
  for (const { points } of world.rings) {
    assert.ok(Math.hypot(points[0] - points.at(-2), points[1] - points.at(-1)) < 1e-9);
  }
  const inside = (lat, lon) => {
    const [x, y] = project(lat, lon);
    let odd = false;
    for (const { points } of world.rings) {
      for (let i = 0, j = points.length - 2; i < points.length; j = i, i += 2) {
        if (points[i + 1] > y !== points[j + 1] > y &&
            x < ((points[j] - points[i]) * (y - points[i + 1])) / (points[j + 1] - points[i + 1]) +
              points[i]) odd = !odd;
      }
    }
    return odd;
  };
  assert.ok(inside(30.6, 104.1) && inside(52.5, 13.4) && inside(-25, 133));
  assert.ok(!inside(0, -30) && !inside(20, 160));
  const [lat, lon] = unproject(...project(31.2, 121.5));
  assert.ok(Math.abs(lat - 31.2) < 1e-9 && Math.abs(lon - 121.5) < 1e-9);
  assert.throws(() => decodeWorld(new Uint8Array([1, 5])));
});

test("vehicles glide to where they were heard of, and jump where it is far", () => {
  const motions = new Motions();
  motions.heard({ id: "a", x: 0.5, y: 0.5, heading: 350 }, 0, 1000);
  motions.heard({ id: "a", x: 0.50001, y: 0.5, heading: 10 }, 1000, 1000);
  const at = motions.at(motions.things.get("a"), 1500);
  assert.ok(Math.abs(at.x - 0.500005) < 1e-12);
  assert.equal(Math.round(at.heading) % 360, 0);
  assert.ok(motions.moving(1500) && !motions.moving(2100));
  motions.heard({ id: "a", x: 0.6, y: 0.5, heading: 10 }, 3000, 1000);
  assert.equal(motions.at(motions.things.get("a"), 3000).x, 0.6);
  motions.replace([{ id: "b", x: 0, y: 0, heading: 0 }], 4000, 1000);
  assert.deepEqual([...motions.things.keys()], ["b"]);
  assert.equal(turned(10, 350, 0.5), 0);
});

test("replay between fixes, not between legs", () => {
  const fix = (ms, longitude_deg, leg) => ({ ms, longitude_deg, latitude_deg: 0, leg });
  const fixes = [fix(0, 0, 1), fix(100, 1, 1), fix(200, 5, 2)];
  assert.equal(placeAt(fixes, 50).longitude_deg, 0.5);
  assert.equal(placeAt(fixes, 150).longitude_deg, 1);
  assert.equal(placeAt(fixes, -5).longitude_deg, 0);
  assert.equal(placeAt(fixes, 900).longitude_deg, 5);
});

test("forms of schemas", () => {
  const flags = inputOf({ type: "array", items: { enum: ["display", "tts"] } });
  assert.deepEqual(flags.options.map((one) => one.label), ["display", "tts"]);
  const root = { $defs: { n: { type: "integer", maximum: 9 } } };
  assert.deepEqual(inputOf({ $ref: "#/$defs/n" }, root),
    { kind: "number", whole: true, min: undefined, max: 9 });
  const mixed = inputOf({ anyOf: [{ enum: ["stop", "video"] }, { type: "integer" }] });
  assert.equal(mixed.kind, "choice");
  assert.equal(mixed.free.type, "integer");
  assert.deepEqual(readNumber("0x64", { whole: true, max: 255 }), { value: 100 });
  assert.deepEqual(readNumber("1.5", { whole: true }), { bad: "number" });
  assert.deepEqual(readNumber("256", { max: 255 }), { bad: "large" });
  assert.equal(formFor([{ versions: ["2019"], fields: 1 }, { versions: ["2013"], fields: 2 }],
    "2013").fields, 2);
});

test("counters, histograms and what is kept of them", () => {
  const metrics = parseMetrics('# TYPE a counter\na_total{shard="0",why="x\\"y"} 3\na_total 4\n');
  assert.equal(sumOf(metrics, "a_total"), 7);
  assert.equal(metrics.get("a_total")[0].labels.why, 'x"y');
  const rate = new Rate();
  assert.ok(Number.isNaN(rate.of(0, 100)));
  assert.equal(rate.of(2000, 140), 20);
  assert.ok(Number.isNaN(rate.of(3000, 5)));
  const series = new Series(1000);
  for (const at of [0, 500, 1200, 1700]) series.put(at, at);
  assert.deepEqual(series.times, [1200, 1700]);
  const buckets = (counts) => parseMetrics(["0.1", "1", "+Inf"].map((le, at) =>
    `h_bucket{le="${le}"} ${counts[at]}`).join("\n"));
  const quantiles = new Quantiles();
  quantiles.of(buckets([5, 5, 5]), "h", [0.5]);
  const [half] = quantiles.of(buckets([15, 15, 15]), "h", [0.5]);
  assert.ok(Math.abs(half - 0.05) < 1e-9);
});
