// What a report shows where the build had no bundler or no library for plots.
const report = document.getElementById("report");
const box = document.createElement("div");
box.className = "alert";
box.textContent = "This ringgate-load was built without the parts that draw (missing: "
  + window.ringgateMissing + "). Install esbuild and libjs-chart.js, build again (tools/build does "
  + "both), and run `ringgate-load report RUN.json -o report.html` anew: the run file has it all.";
report.append(box);
const totals = JSON.parse(document.getElementById("runs").textContent);
for (const run of totals) {
  const line = document.createElement("p");
  const all = run.totals.all || {};
  line.textContent = `${run.scenario.name}, ${run.started}: ${all.acknowledged || 0} done in `
    + `${run.duration_s.toFixed(1)} s, exit status ${run.exit_status}`;
  report.append(line);
}
