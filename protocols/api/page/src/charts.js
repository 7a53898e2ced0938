// Lines over time, by Chart.js: only what lines need of it.
import { Chart, Filler, Legend, LineController, LineElement, LinearScale, PointElement, Tooltip }
  from "chart.js/chart.esm.js";
import { h } from "./dom.js";
import { bytes, clock } from "./format.js";
import { colour, onTheme } from "./prefs.js";
import { KEPT_MS } from "./series.js";
import { byteTicks, needsSeconds, timeTicks } from "./ticks.js";

Chart.register(Filler, Legend, LineController, LineElement, LinearScale, PointElement, Tooltip);

const PALETTE = ["line-1", "line-2", "line-3", "line-4", "line-5", "line-6"];
const shade = (at) => colour(PALETTE[at % PALETTE.length]);

const TICKS_MAX = 5;

// The grid where we want it, not where it falls.
function placed(ticksOf) {
  return (scale) => {
    scale.ticks = ticksOf(scale.min, scale.max, TICKS_MAX).map((value) => ({ value }));
  };
}
function timeText(value, index, ticks) {
  const text = clock(value);
  return needsSeconds(ticks.map((one) => one.value)) ? text.slice(-8) : text.slice(-8, -3);
}

// `lines`: [{label, series}]; `show(value)`: a value as text. {element, update(), end()}
export function lineChart(title, lines, show, { filled = lines.length === 1, lead = 0 } = {}) {
  const canvas = h("canvas", { role: "img", "aria-label": title });
  const now = h("b", { class: "chart-now" }, "–");
  const element = h("div", { class: "panel chart" }, h("div", { class: "chart-head" },
    h("h3", {}, title), now), h("div", { class: "chart-box" }, canvas));
  const chart = new Chart(canvas, { type: "line", data: { datasets: lines.map((line) => ({
    label: line.label, data: [], borderWidth: 1.8, pointRadius: 0, pointHitRadius: 8, tension: 0.2,
    fill: filled, spanGaps: false, parsing: false, normalized: true })) },
  options: { animation: false, responsive: true, maintainAspectRatio: false,
    interaction: { mode: "nearest", axis: "x", intersect: false },
    scales: {
      x: { type: "linear", afterBuildTicks: placed(timeTicks),
        ticks: { autoSkip: false, maxRotation: 0, callback: timeText } },
      y: { beginAtZero: true, grace: "5%", ticks: { maxTicksLimit: TICKS_MAX,
        callback: (value) => show(value) },
      ...(show === bytes ? { afterBuildTicks: placed(byteTicks) } : {}) } },
    plugins: { legend: { display: lines.length > 1, position: "bottom",
      labels: { boxWidth: 10, boxHeight: 2 } },
    tooltip: { callbacks: { title: (items) => clock(items[0].parsed.x),
      label: (item) => `${item.dataset.label}: ${show(item.parsed.y)}` } } } } });
  const paint = () => {
    chart.data.datasets.forEach((set, at) => {
      set.borderColor = shade(at);
      set.backgroundColor = `${shade(at)}22`;
    });
    for (const axis of [chart.options.scales.x, chart.options.scales.y]) {
      axis.grid = { color: colour("line"), drawBorder: false, tickLength: 4 };
      axis.ticks.color = colour("muted");
    }
    chart.options.plugins.legend.labels.color = colour("muted");
    chart.update("none");
  };
  const forget = onTheme(paint);
  const update = () => {
    const at = Date.now();
    chart.options.scales.x.max = at;
    const first = lines[0].series.times[0] ?? at;
    chart.options.scales.x.min = Math.max(at - KEPT_MS, Math.min(first, at - 60_000));
    lines.forEach((line, index) => { chart.data.datasets[index].data = line.series.points(); });
    const last = lines[lead].series.last;
    now.textContent = Number.isFinite(last) ? show(last) : "–";
    chart.update("none");
  };
  paint();
  return { element, update, end() {
    forget();
    chart.destroy();
  } };
}
