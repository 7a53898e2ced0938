// The gateway's counters, asked for every two seconds while the page is open, so that charts have
// their last minutes when they are looked at.
import { repeat } from "./api.js";
import { Quantiles, Rate, Series, byLabel, parseMetrics, sumOf } from "./series.js";

const EVERY_MS = 2000;

export class Telemetry {
  constructor() {
    this.series = new Map();  // name -> Series
    this.rates = new Map();
    this.commit = new Quantiles();
    this.metrics = new Map();
    this.listeners = new Set();
  }
  start(failed) {
    this.loop ??= repeat(EVERY_MS, async (signal) => {
      const answer = await fetch("/metrics", { signal, cache: "no-store" });
      if (!answer.ok) throw new Error(`/metrics: ${answer.status}`);
      this.take(await answer.text(), Date.now());
    }, (error) => {
      this.miss(Date.now());
      failed(error);
    });
  }
  stop() {
    this.loop?.();
    this.loop = undefined;
  }

  get(name) {
    if (!this.series.has(name)) this.series.set(name, new Series());
    return this.series.get(name);
  }
  rate(name, value, at) {
    if (!this.rates.has(name)) this.rates.set(name, new Rate());
    const rate = this.rates.get(name).of(at, value);
    const series = this.get(name);
    if (Number.isFinite(rate) || series.times.length > 0) series.put(at, rate);
  }
  // A reading that did not come: lines have a gap there, and no value is the present one.
  miss(at) {
    for (const series of this.series.values()) series.put(at, NaN);
    this.rates.clear();
    this.commit = new Quantiles();
    for (const listener of this.listeners) listener();
  }

  take(text, at) {
    const metrics = parseMetrics(text);
    this.metrics = metrics;
    this.rate("frames", sumOf(metrics, "ringgate_jt808_frames_total"), at);
    this.rate("positions", sumOf(metrics, "ringgate_jt808_positions_total"), at);
    this.rate("records", sumOf(metrics, "ringgate_log_records_total"), at);
    this.rate("received", sumOf(metrics, "ringgate_received_bytes_total"), at);
    this.rate("sent", sumOf(metrics, "ringgate_sent_bytes_total"), at);
    this.rate("written", sumOf(metrics, "ringgate_log_written_bytes_total"), at);
    this.get("links").put(at, sumOf(metrics, "ringgate_links"));
    this.get("memory").put(at, sumOf(metrics, "ringgate_memory_bytes"));
    const [half, most] = this.commit.of(metrics, "ringgate_log_commit_seconds", [0.5, 0.99]);
    this.get("commit p50").put(at, half * 1000);
    this.get("commit p99").put(at, most * 1000);
    const worked = byLabel(metrics, "ringgate_loop_turn_seconds_sum", "shard");
    this.shards = [...worked.keys()];
    for (const [shard, seconds] of worked) this.rate(`busy ${shard}`, seconds * 100, at);
    for (const listener of this.listeners) listener();
  }
  // Called after each reading; returns what ends it.
  onReading(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
}
