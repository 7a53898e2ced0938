// The page of one run, or of several beside each other. Its data stands in #runs: run files.
import { bytes, count, figures, lowest, percent, percentile, rowFigures, time }
  from "./figures.js";
import { distribution, endPlots, overTime } from "./plots.js";

const runs = JSON.parse(document.getElementById("runs").textContent);
const many = runs.length > 1;
const first = runs[0];
const page = document.getElementById("report");
const label = (run, at) => (many ? `${String.fromCharCode(65 + at)}` : run.scenario.name);

function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}
const table = (heads, rows) => h("div", { class: "panel scroll" }, h("table", {},
  h("thead", {}, h("tr", {}, ...heads.map((name) => h("th", {}, name)))),
  h("tbody", {}, ...rows.map((row) => h("tr", {}, ...row.map((cell) =>
    (cell instanceof Node ? cell : h("td", {}, String(cell)))))))));
const section = (title, ...children) => page.append(h("h2", {}, title), ...children);

function verdict(run) {
  if (run.thresholds.some((one) => !one.holds)) return ["bad", "threshold broken"];
  if (run.exit_status) return ["bad", "errors in the run"];
  return ["ok", run.thresholds.length ? "all thresholds hold" : "no errors"];
}

function head(run, at) {
  const [kind, text] = verdict(run);
  const name = many ? `${label(run, at)}: ${run.scenario.name}` : run.scenario.name;
  page.append(h("div", { class: "head" }, h("h1", {}, name), h("span", { class: `badge ${kind}` },
    text)), h("p", { class: "sub" }, [run.scenario.description, run.started,
    `${run.duration_s.toFixed(1)} s`, `${run.workers.length} worker(s)`,
    `seed ${run.scenario.seed}`,
    run.scenario.shorten !== 1 ? `shortened to ${run.scenario.shorten}` : "",
    `${run.machine.cpus} CPUs, ${run.machine.cpu}, Linux ${run.machine.kernel}`,
    `ringgate-load ${run.version}`,
    run.server.problem && !run.server.pid ? `server not watched: ${run.server.problem}` : "",
  ].filter(Boolean).join(" · ")));
  const alerts = [];
  for (const worker of run.workers) {
    if (worker.lost) {
      alerts.push(`${worker.name} was lost at ${worker.lost.at_s.toFixed(1)} s: `
        + `${worker.lost.why}. Its ${worker.lost.users} users were gone from then on; all figures `
        + "are those of the rest.");
    }
  }
  if (run.bottleneck) alerts.push(run.bottleneck);
  if (run.interrupted) alerts.push("Interrupted: the stages were not played to their end.");
  if (run.aborted) alerts.push(`Ended early: "${run.aborted}" was broken.`);
  if (run.server.problem && run.server.pid) alerts.push(`Server: ${run.server.problem}`);
  if (run.verification && run.verification.problem) {
    alerts.push(`Not verified: ${run.verification.problem}`);
  }
  if (run.verification && run.verification.lost) {
    alerts.push(`${run.verification.lost} acknowledged reports are not in the gateway's log.`);
  }
  for (const fault of run.faults) {
    if (fault.problem) alerts.push(`Fault ${fault.name}: ${fault.problem}`);
  }
  page.append(...alerts.map((alert) => h("div", { class: "alert" }, alert)));
}

function keyFigures(run, which) {
  const all = figures(which < 0 ? [run.totals.all] : run.totals.classes, which);
  const seconds = run.totals.all ? run.totals.all.seconds : NaN;
  const done = run.timeline.reduce((sum, row) => sum + rowFigures(row, -1).acknowledged, 0);
  const users = run.timeline.reduce((most, row) =>
    Math.max(most, rowFigures(row, which).users), 0);
  const of = [["done per second", all.done / seconds, count],
    ["response p50", percentile(all.response, 50), time],
    ["response p99", percentile(all.response, 99), time],
    ["response max", percentile(all.response, 100), time],
    ["service p99", percentile(all.service, 99), time],
    ["errors", all.errorCount, count], ["users at most", users, count],
    ["due, never sent", all.dropped, count],
    ["generator lag p99", percentile(all.lag, 99), time]];
  if (run.server.pid) {
    of.push(["server CPU per answer", run.server.cpu_s * 1e9 / done, time],
      ["context switches per answer", run.server.context_switches / done, count],
      ["server memory", run.server.rss_max_bytes, bytes]);
  }
  if (run.verification && run.verification.looked_up !== undefined) {
    of.push(["verified", run.verification.looked_up, count], ["lost", run.verification.lost, count],
      ["duplicated", run.verification.duplicated, count],
      ["reordered", run.verification.reordered, count]);
  }
  return of;
}

function summary(which) {
  if (!many) {
    return h("div", { class: "cards" }, ...keyFigures(first, which).map(([name, value, show]) =>
      h("div", { class: "card" }, h("b", {}, show(value)), h("span", {}, name))));
  }
  const columns = runs.map((run) => new Map(keyFigures(run, which).map((one) => [one[0], one])));
  const names = [...new Set(columns.flatMap((column) => [...column.keys()]))];
  const rows = names.map((name) => [name, ...columns.flatMap((column, at) => {
    const one = column.get(name);
    const base = columns[0].get(name);
    const cell = one ? one[2](one[1]) : "–";
    if (!at) return [cell];
    const change = one && base && base[1] ? (one[1] / base[1] - 1) * 100 : NaN;
    const sign = change >= 0 ? "+" : "";
    return [cell, Number.isFinite(change) ? `${sign}${change.toFixed(1)} %` : "–"];
  })]);
  return table(["", ...runs.flatMap((run, at) =>
    (at ? [label(run, at), `against ${label(runs[0], 0)}`] : [label(run, at)]))], rows);
}

// A point of each row in its middle.
const series = (run, value) => run.timeline.map((row) =>
  ({ x: (row.from_s + row.to_s) / 2, y: value(row, row.to_s - row.from_s) }))
  .map(({ x, y }) => ({ x, y: Number.isFinite(y) ? y : NaN }));

// Each of `kinds` for each run: one run has its own tone for each kind, several one for each run.
function lines(kinds) {
  const dashes = [[], [6, 3], [2, 3], [10, 3, 2, 3]];
  return runs.flatMap((run, at) => kinds.map(([name, value], kind) => ({
    label: many ? `${label(run, at)} ${name}` : name, points: series(run, value),
    tone: many ? at : kind, dash: many ? dashes[kind % dashes.length] : [] })));
}

function spread(histogram) {
  // Eight columns for each doubling are what eyes can tell apart.
  const columns = new Map();
  for (const [step, number] of histogram.steps) {
    const at = Math.round(Math.log2(Math.max(lowest(step), 1)) * 8);
    columns.set(at, (columns.get(at) || 0) + number);
  }
  const keys = [...columns.keys()].sort((a, b) => a - b);
  const points = [];
  for (let at = keys[0] - 1; at <= keys[keys.length - 1] + 1; ++at) {
    points.push({ x: 2 ** (at / 8), y: (columns.get(at) || 0) * 100 / histogram.count });
  }
  return points;
}

function plots(box, which, log) {
  endPlots();
  box.replaceChildren();
  const last = Math.max(...runs.flatMap((run) => run.timeline.map((row) => row.to_s)));
  const end = Math.ceil(last - 0.1);
  const marks = { end, stages: first.stages.map((one) => ({ from: one.from_s, until: one.until_s,
    label: first.scenario.stages[one.stage].name })),
  faults: runs.flatMap((run) => run.faults.filter((one) => one.from_s !== undefined).map((one) =>
    ({ from: one.from_s, until: one.until_s ?? end, label: one.name }))) };
  const of = (row) => rowFigures(row, which);
  overTime(box, "Operations per second", lines([["sent", (row, s) => of(row).sent / s],
    ["done", (row, s) => of(row).done / s]]), count, marks);
  overTime(box, "Users", lines([["wanted", (row) => of(row).wanted],
    ["ready", (row) => of(row).ready]]), count, marks);
  const p = (name, share) => (row) => of(row)[name][share];
  overTime(box, "Response time (from when it was due)", lines(many
    ? [["p50", p("response", 50)], ["p99", p("response", 99)]]
    : [["p50", p("response", 50)], ["p90", p("response", 90)], ["p99", p("response", 99)],
      ["max", p("response", 100)]]), time, { ...marks, log });
  overTime(box, "Service time (from when it was sent)", lines(many
    ? [["p50", p("service", 50)], ["p99", p("service", 99)]]
    : [["p50", p("service", 50)], ["p90", p("service", 90)], ["p99", p("service", 99)],
      ["max", p("service", 100)]]), time, { ...marks, log });
  const totals = runs.map((run) =>
    figures(which < 0 ? [run.totals.all] : run.totals.classes, which));
  const sets = totals.flatMap((all, at) => [["response", []], ["service", [5, 3]]]
    .filter(([name]) => all[name].count).map(([name, dash], kind) => ({
      label: many ? `${label(runs[at], at)} ${name}` : name, points: spread(all[name]),
      tone: many ? at : kind, dash })));
  if (sets.length) distribution(box, "How the times are spread (share of all)", sets, time);
  const kinds = [...new Set(runs.flatMap((run) => run.timeline.flatMap((row) =>
    Object.keys(of(row).errors))))];
  overTime(box, kinds.length ? "Errors per second, by kind" : "Errors per second: none",
    lines(kinds.length ? kinds.map((name) => [name, (row, s) => (of(row).errors[name] || 0) / s])
      : [["errors", () => 0]]), count, { ...marks, stacked: !many && kinds.length > 1 });
  if (runs.some((run) => run.server.pid)) {
    overTime(box, "Server: CPU", lines([["server", (row, s) => row.server && row.server.cpu_s / s
      * 100]]), percent, marks);
    overTime(box, "Server: memory", lines([["resident", (row) => row.server
      && row.server.rss_bytes]]), bytes, marks);
  }
  overTime(box, "Generator: CPU of its busiest worker",
    lines([["generator", (row) => row.own_cpu * 100]]), percent, marks);
  overTime(box, "Generator: lag (due to sent)",
    lines([["p50", p("lag", 50)], ["p99", p("lag", 99)]]), time, { ...marks, log });
}

function figureRow(name, tally) {
  if (!tally) return [name, "–", "–", "–", "–", "–", "–", "–", "–"];
  const all = figures([tally], 0);
  return [name, count(all.sent / tally.seconds), count(all.done / tally.seconds), all.errorCount,
    ...[50, 90, 99, 100].map((share) => time(percentile(all.response, share))),
    time(percentile(all.service, 99))];
}

function details(run, at) {
  const name = (text) => (many ? `${label(run, at)}: ${text}` : text);
  if (run.thresholds.length) {
    const where = (one) => [one.class === null ? "" : run.scenario.classes[one.class].name,
      one.stage === null ? "" : run.scenario.stages[one.stage].name].filter(Boolean).join(", ");
    const heads = ["condition", "of", "measured", ""];
    section(name("Thresholds"), table(heads, run.thresholds.map((one) => [one.condition,
       where(one) || "the whole run", one.value_text || "not measured",
        h("td", { class: one.holds ? "good" : "wrong" }, one.holds ? "holds" : "BROKEN")])));
  }
  const heads = ["", "sent/s", "done/s", "errors", "p50", "p90", "p99", "max", "service p99"];
  section(name("Classes and stages"), table(heads, [
    ...run.scenario.classes.map((one, index) => figureRow(one.name, run.totals.classes[index])),
    ...run.scenario.stages.map((one, index) => figureRow(`stage ${one.name}`
      + (one.warmup ? " (warm-up)" : ""), run.totals.stages[index].all)),
    figureRow("the whole run", run.totals.all)]));
  const notes = run.stages.filter((one) => one.note);
  if (notes.length) {
    page.append(...notes.map((one) => h("p", {},
      `${run.scenario.stages[one.stage].name}: ${one.note}`)));
  }
  for (const stress of run.stress) {
    section(name("Search for the knee"), table(["level", "from", "done/s", "p99", "errors", ""],
      stress.levels.map((level, index) => [count(level.level), `${level.from_s.toFixed(1)} s`,
        count(level.acked_per_s), time(level.p99_ns), percent(level.error_share * 100),
        index === stress.last_good ? "last good"
          : index === stress.first_bad ? "first bad" : ""])));
  }
  section(name("Workers"), table(["", "host", "pid", "users at most", "CPU", "memory", "clock"],
    run.workers.map((one) => [one.lost ? `${one.name}: LOST` : one.name, one.host, one.pid,
      count(one.users_max), `${one.cpu_s.toFixed(2)} s`, bytes(one.rss_bytes),
      one.remote ? `${one.clock_offset_us.toFixed(0)} ± ${(one.round_trip_us / 2).toFixed(0)} µs`
        : "same"])));
  if (run.verification && run.verification.examples && run.verification.examples.length) {
    section(name("What verification found"), h("pre", {},
      [...run.verification.examples, ...run.verification.problems].join("\n")));
  }
  page.append(h("details", {}, h("summary", {}, name("The scenario")),
    h("pre", {}, run.scenario.text)));
}

function controls(box, figuresBox) {
  const pick = h("select", { "aria-label": "Class" }, h("option", { value: -1 }, "all classes"),
    ...first.scenario.classes.map((one, at) => h("option", { value: at }, one.name)));
  const log = h("input", { type: "checkbox", id: "log" });
  const draw = () => {
    figuresBox.replaceChildren(summary(Number(pick.value)));
    plots(box, Number(pick.value), log.checked);
  };
  pick.addEventListener("change", draw);
  log.addEventListener("change", draw);
  return [h("div", { class: "pick" }, pick, h("label", {}, log, "times on a logarithmic scale")),
    draw];
}

page.replaceChildren();
runs.forEach(head);
const figuresBox = h("div", {});
const box = h("div", { class: "charts" });
const [bar, draw] = controls(box, figuresBox);
section(many ? "Compared" : "In short", bar, figuresBox);
section("Over time", box);
draw();
runs.forEach(details);
