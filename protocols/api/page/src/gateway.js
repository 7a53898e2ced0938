// View 3: the gateway itself: how much it does, how fast, and what it could not do.
import { get, repeat } from "./api.js";
import { lineChart } from "./charts.js";
import { fill, h, say } from "./dom.js";
import { deviceLink } from "./fleet.js";
import { ago, bytes, clock, count, decimal, short } from "./format.js";
import { nameText, t } from "./i18n.js";
import { sumOf } from "./series.js";
import { showValue } from "./value.js";

const LEVELS = ["normal", "raised", "high", "very high", "full"];
// Counters that mean that something was not done.
const LOSSES = /(dropped|refused|bad_|failed|failures|errors|given_up|lost|shortages|unsent|stray)/;

export function gatewayView(page) {
  const view = new GatewayView(page);
  return { element: view.element, title: t("Gateway"), end: () => view.end() };
}

class GatewayView {
  constructor(page) {
    this.page = page;
    this.telemetry = page.telemetry;
    this.tiles = {};
    const tile = (key, label) => {
      this.tiles[key] = h("b", { class: "number", id: `gateway-${key}` }, "–");
      return h("div", { class: "tile" }, this.tiles[key], h("span", {}, label));
    };
    this.charts = this.makeCharts();
    this.losses = h("div", { class: "panel" });
    this.tables = Object.fromEntries(["consumers", "sinks", "talkers", "errors"].map((name) =>
      [name, h("div", { class: "panel", hidden: true })]));
    this.runs = h("div", { class: "panel runs", hidden: true });
    this.about = h("p", { class: "note" });
    this.grid = h("div", { class: "charts" }, this.charts.map((chart) => chart.element));
    this.element = h("main", { class: "gateway-view scroll" },
      h("div", { class: "view-head" }, h("h1", {}, t("Gateway")), this.about), this.runs,
      h("div", { class: "tiles wide" }, tile("links", t("Links")), tile("frames", t("Frames/s")),
        tile("commit", t("Commit p99")), tile("memory", t("Memory")), tile("level",
          t("Memory level")),
        tile("written", t("Log written"))),
      this.grid, h("div", { class: "columns" }, this.losses, this.tables.sinks,
        this.tables.consumers, this.tables.talkers, this.tables.errors));
    this.telemetry.start((error) => page.warn(error));
    this.forget = this.telemetry.onReading(() => this.update());
    this.update();
    this.loop = repeat(3000, (signal) => this.askTables(signal), (error) => page.warn(error));
  }
  end() {
    this.forget();
    this.loop();
    for (const chart of this.charts) chart.end();
  }

  makeCharts() {
    const { telemetry } = this;
    const line = (label, name) => ({ label, series: telemetry.get(name) });
    this.shardNames = telemetry.shards ?? [];
    const charts = [
      lineChart(t("Frames per second"), [line(t("Frames"), "frames")], short),
      lineChart(t("Commit latency"), [line("p99", "commit p99"), line("p50", "commit p50")],
        (value) => `${decimal(value, 2)} ms`),
      lineChart(t("Links"), [line(t("Links"), "links")], short),
      lineChart(t("Bytes per second"), [line(t("Received"), "received"), line(t("Sent"), "sent"),
        line(t("Log written"), "written")], bytes),
      lineChart(t("Memory"), [line(t("Memory"), "memory")], bytes),
    ];
    if (this.shardNames.length) {
      charts.splice(2, 0, lineChart(t("Load of each shard"), this.shardNames.slice(0, 6).map(
        (shard) => line(t("Shard {n}", { n: shard }), `busy ${shard}`)),
      (value) => `${decimal(value, value < 1 ? 2 : value < 10 ? 1 : 0)} %`, { filled: false }));
    }
    return charts;
  }

  update() {
    const { telemetry } = this;
    const shards = telemetry.shards ?? [];
    if (shards.length !== this.shardNames.length) {
      for (const chart of this.charts) chart.end();
      this.charts = this.makeCharts();
      fill(this.grid, this.charts.map((chart) => chart.element));
    }
    for (const chart of this.charts) chart.update();
    say(this.tiles.links, count(telemetry.get("links").last));
    say(this.tiles.frames, short(telemetry.get("frames").last));
    const commit = telemetry.get("commit p99").last;
    say(this.tiles.commit, Number.isFinite(commit) ? `${decimal(commit, 2)} ms` : "–");
    say(this.tiles.memory, bytes(telemetry.get("memory").last));
    say(this.tiles.written, bytes(sumOf(telemetry.metrics, "ringgate_log_written_bytes_total")));
    const level = Math.max(-1, ...(telemetry.metrics.get("ringgate_memory_level") ?? [])
      .map((row) => row.value));
    say(this.tiles.level, level < 0 ? "–" : `${level} · ${t(LEVELS[level] ?? "full")}`);
    this.tiles.level.className = `number ${level >= 3 ? "is-bad" : level >= 1 ? "is-warn" : ""}`;
    this.showLosses();
  }

  showLosses() {
    const found = new Map();
    for (const [name, rows] of this.telemetry.metrics) {
      if (!name.endsWith("_total") || !LOSSES.test(name)) continue;
      for (const { labels, value } of rows) {
        if (value === 0) continue;
        const why = Object.entries(labels).filter(([label]) => label !== "shard")
          .map(([, text]) => text).join(", ");
        const key = `${name.replace(/^ringgate_|_total$/g, "")}\n${why}`;
        found.set(key, (found.get(key) ?? 0) + value);
      }
    }
    const rows = [...found].sort((one, other) => other[1] - one[1]);
    fill(this.losses, h("h3", {}, t("Refused, dropped, failed: by reason")), rows.length === 0
      ? h("p", { class: "note" }, t("Nothing since the start."))
      : h("div", { class: "scroll" }, h("table", {}, h("tbody", {}, rows.map(([key, value]) => {
        const [name, why] = key.split("\n");
        return h("tr", {}, h("td", {}, nameText(name)), h("td", { class: "muted" }, nameText(why)),
          h("td", { class: "num" }, count(value)));
      })))));
  }

  async askTables(signal) {
    const ask = async (name, show) => {
      const found = await get(`/${name}`, {}, { signal });
      if (!signal.aborted) show(found);
    };
    await Promise.all([
      ask("stats", (found) => this.showAbout(found)),
      ask("sinks", (found) => this.table("sinks", t("Sinks"), found.sinks,
        t("No sink is configured: Redis, NATS and PostgreSQL can have every message."))),
      ask("consumers", (found) => this.table("consumers", t("Subscribers and slow consumers"),
        found.consumers, t("Nobody listens."))),
      ask("runs", (found) => this.showRuns(found.runs)),
      ask("talkers", (found) => this.table("talkers", t("Who sends most"),
        found.talkers, t("Nobody sends."))),
      ask("errors", (found) => this.table("errors", t("Last errors"), found.errors,
        t("None since the start."))),
    ]);
    this.page.reached();
  }
  showAbout(found) {
    say(this.about, [found.version ? `ringgate ${found.version}` : "",
      found.started ? t("started {when}", { when: ago(found.started) }) : ""]
      .filter(Boolean).join(" · "));
  }
  // Load runs against this gateway: there only while there are some.
  showRuns(runs) {
    this.runs.hidden = runs.length === 0;
    fill(this.runs, h("h3", {}, t("Load runs in progress")), runs.map((run) => {
      const share = run.planned_s > 0 ? Math.min(1, run.elapsed_s / run.planned_s) : 0;
      const facts = [`${count(run.users)} / ${count(run.users_wanted)} ${t("users")}`,
        `${short(run.acknowledged_per_s)}/s`, `p50 ${decimal(run.p50_ms, 1)} ms`,
        `p99 ${decimal(run.p99_ms, 1)} ms`, `${t("Errors")}: ${count(run.errors)}`];
      return h("div", { class: "load-run" },
        h("div", { class: "load-run-head" }, h("b", {}, run.scenario),
          h("span", { class: "muted" }, [run.stage, run.phase].filter(Boolean).join(" · ")),
          run.faults.map((fault) => h("span", { class: "is-warn" }, fault)),
          run.workers_lost > 0 ? h("span", { class: "is-bad" },
            t("{n} workers lost", { n: run.workers_lost })) : null,
          run.silent_s > 5 ? h("span", { class: "is-warn" },
            t("silent for {n} s", { n: decimal(run.silent_s, 0) })) : null),
        h("progress", { max: "1", value: String(share), "aria-label": run.scenario }),
        h("p", { class: "note" }, facts.join(" · ")));
    }));
  }
  // A list of objects as a table of their members.
  table(name, title, list, none) {
    const place = this.tables[name];
    place.hidden = false;
    const rows = (list ?? []).slice(0, 20);
    const columns = [...new Set(rows.flatMap((row) => Object.keys(row)
      .filter((key) => typeof row[key] !== "object")))].slice(0, 6);
    fill(place, h("h3", {}, title), rows.length === 0 ? h("p", { class: "note" }, none)
      : h("div", { class: "scroll" }, h("table", {},
        h("thead", {}, h("tr", {}, columns.map((key) => h("th", {}, nameText(key))))),
        h("tbody", {}, rows.map((row) => h("tr", {}, columns.map((key) =>
          h("td", {}, cell(key, row[key])))))))));
  }
}

function cell(key, value) {
  if (key === "phone" || key === "device") return h("a", { href: deviceLink(value) }, value);
  if (/_bytes$/.test(key)) return bytes(value);
  if (/^(time|at|since|last)/.test(key) && typeof value === "string") return clock(value);
  return showValue(value ?? "", key);
}
