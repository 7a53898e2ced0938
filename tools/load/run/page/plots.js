// Plots by Chart.js, with stages as bands and faults as marks on those over time.
import { BarController, BarElement, Chart, Filler, Legend, LineController, LineElement, LinearScale,
  LogarithmicScale, PointElement, Tooltip } from "chart.js/chart.esm.js";

import { moment, moments } from "./figures.js";

Chart.register(BarController, BarElement, Filler, Legend, LineController, LineElement, LinearScale,
  LogarithmicScale, PointElement, Tooltip);

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`)
  .trim();
export const shade = (at) => colour(`line-${at % 6 + 1}`);
const drawn = [];

// Stages alternate; faults lie over them. Labels stand where there is room.
const marks = {
  id: "marks",
  beforeDatasetsDraw(chart, _, { stages = [], faults = [] }) {
    const { ctx, chartArea: area, scales: { x } } = chart;
    const place = (at) => Math.min(Math.max(x.getPixelForValue(at), area.left), area.right);
    ctx.save();
    ctx.font = "11px system-ui, sans-serif";
    ctx.textBaseline = "top";
    let free = area.left;
    stages.forEach(({ from, until, label }, index) => {
      const left = place(from), right = place(until);
      ctx.fillStyle = colour("band");
      if (index % 2) ctx.fillRect(left, area.top, right - left, area.bottom - area.top);
      ctx.fillStyle = colour("muted");
      if (left >= free && ctx.measureText(label).width < right - left - 6) {
        ctx.fillText(label, left + 4, area.top + 2);
        free = left + ctx.measureText(label).width + 10;
      }
    });
    free = area.left;
    for (const { from, until, label } of faults) {
      const left = place(from), right = Math.max(place(until), left + 2);
      ctx.fillStyle = colour("fault");
      ctx.fillRect(left, area.top, right - left, area.bottom - area.top);
      ctx.fillStyle = colour("bad");
      const width = ctx.measureText(label).width;
      const start = Math.max(Math.min(left + 4, area.right - width), area.left);
      if (start < free) continue;  // one over another is legible to nobody
      ctx.fillText(label, start, area.top + 16);
      free = start + width + 6;
    }
    ctx.restore();
  },
};
Chart.register(marks);

function paint(chart) {
  for (const axis of Object.values(chart.options.scales)) {
    axis.grid = { color: colour("line"), drawBorder: false, tickLength: 4,
      drawOnChartArea: axis.position !== "right" };
    axis.ticks.color = colour("muted");
    if (axis.title) axis.title.color = colour("muted");
  }
  chart.options.plugins.legend.labels.color = colour("muted");
  chart.data.datasets.forEach((set) => {
    set.borderColor = shade(set.tone);
    set.backgroundColor = set.type === "bar" || set.fill ? `${shade(set.tone)}66` : shade(set.tone);
  });
  chart.update("none");
}

function make(box, title, config) {
  const panel = document.createElement("div");
  panel.className = "panel";
  const head = document.createElement("h3");
  head.textContent = title;
  const place = document.createElement("div");
  place.className = "chart-box";
  const canvas = document.createElement("canvas");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", title);
  place.append(canvas);
  panel.append(head, place);
  box.append(panel);
  const chart = new Chart(canvas, config);
  paint(chart);
  drawn.push(chart);
}

const legend = (many) => ({ display: many, position: "bottom",
  labels: { boxWidth: 12, boxHeight: 3 } });

// `lines`: [{label, points: [{x, y}], tone, dash, fill}]; x in seconds of the run.
export function overTime(box, title, lines, show, { stages, faults, log = false, stacked = false,
  end } = {}) {
  const set = (line) => ({ label: line.label, data: line.points, tone: line.tone, borderWidth: 1.6,
    borderDash: line.dash || [], pointRadius: line.points.length < 3 ? 2 : 0, pointHitRadius: 8,
    fill: line.fill || (stacked ? "stack" : false), stepped: false, parsing: false,
    normalized: true, spanGaps: false });
  const axis = moments(end);
  make(box, title, { type: "line", data: { datasets: lines.map(set) },
    options: { animation: false, responsive: true, maintainAspectRatio: false,
      interaction: { mode: "nearest", axis: "x", intersect: false },
      scales: { x: { type: "linear", min: 0, max: end,
        // Ours alone: the library would add one at the very end, over the last.
        afterBuildTicks: (scale) => { scale.ticks = axis.at.map((value) => ({ value })); },
        ticks: { maxRotation: 0, callback: axis.show } },
      y: { type: log ? "logarithmic" : "linear", beginAtZero: !log, stacked, grace: log ? 0 : "8%",
        ticks: { maxTicksLimit: 6, callback: (value) => show(value) } } },
      plugins: { marks: { stages, faults }, legend: legend(lines.length > 1),
        tooltip: { callbacks: { title: (items) => moment(items[0].parsed.x),
          label: (item) => `${item.dataset.label}: ${show(item.parsed.y)}` } } } } });
}

// How often each latency came: shares of all values over a logarithmic axis of time.
export function distribution(box, title, sets, show) {
  make(box, title, { type: "line", data: { datasets: sets.map((set) => ({ label: set.label,
    data: set.points, tone: set.tone, borderDash: set.dash || [], borderWidth: 1.6, pointRadius: 0,
    pointHitRadius: 8, fill: sets.length < 3, parsing: false, normalized: true })) },
  options: { animation: false, responsive: true, maintainAspectRatio: false,
    interaction: { mode: "nearest", axis: "x", intersect: false },
    scales: { x: { type: "logarithmic", ticks: { maxTicksLimit: 7, maxRotation: 0,
      callback: (value) => (/^[125]/.test(value.toExponential()) ? show(value) : "") } },
    y: { beginAtZero: true, ticks: { maxTicksLimit: 6,
      callback: (value) => `${+value.toFixed(2)} %` } } },
    plugins: { legend: legend(sets.length > 1), tooltip: { callbacks: {
      title: (items) => `about ${show(items[0].parsed.x)}`,
      label: (item) => `${item.dataset.label}: ${item.parsed.y.toFixed(2)} %` } } } } });
}

export function endPlots() {
  while (drawn.length) drawn.pop().destroy();
}

window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  drawn.forEach(paint);
});
