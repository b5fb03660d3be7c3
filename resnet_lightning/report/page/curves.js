// Learning curves: one line for every run, its colour by setting or by the value of one key.

const CURVES = [
  { key: "train_loss", label: "train loss", scale: 1, format: ".4f", unit: "" },
  { key: "val_loss", label: `${heldOut} loss`, scale: 1, format: ".4f", unit: "" },
  { key: "val_accuracy", label: `${heldOut} accuracy (%)`, scale: 100, format: ".2f", unit: " %" },
];
const MOST_CURVES = 50;

function drawCurves(runs) {
  const curve = CURVES.find(({ key }) => key === byId("curve-metric").value);
  const colourOf = byId("curve-colour").value;
  const having = runs.filter((run) => run.history[curve.key].some(isNumber));
  const drawn = having
    .sort(byQuality)
    .slice(0, MOST_CURVES)
    .sort((one, other) => isBest(one) - isBest(other) || one.group - other.group); // the best on top
  const names = [...new Set(drawn.map((run) => curveGroup(run, colourOf)))].sort(
    (one, other) => colourOf && compareValues(one, other),
  );
  const named = new Set();
  const traces = drawn.map((run) => {
    const name = curveGroup(run, colourOf);
    const first = !named.has(name) && named.add(name);
    return curveTrace(run, curve, name, names.indexOf(name), Boolean(first));
  });
  draw("curves", curvesNote(drawn, having), traces, curvesLayout(curve, colourOf), narrow() ? 460 : 480);
}

// The best first by what selects; what is not done comes after, the longest first.
function byQuality(one, other) {
  const metric = page.selection === "test" ? "test_accuracy" : "val_accuracy";
  const quality = (run) => run.metrics[metric] ?? -1;
  return quality(other) - quality(one) || other.history.epoch.length - one.history.epoch.length;
}

const isBest = (run) => page.rows[run.group].best;

const curveGroup = (run, key) =>
  key ? writeSetting(run.settings[key]) : page.columns.map((column) => writeSetting(run.settings[column])).join(" · ");

function curveTrace(run, curve, name, number, first) {
  const best = isBest(run);
  return {
    type: "scatter",
    mode: run.history.epoch.length > 30 ? "lines" : "lines+markers",
    x: run.history.epoch,
    y: run.history[curve.key].map((value) => (isNumber(value) ? value * curve.scale : null)),
    name: short(name),
    legendgroup: name,
    legendrank: run.group,
    showlegend: first,
    line: {
      color: PALETTE[number % PALETTE.length],
      dash: DASHES[Math.floor(number / PALETTE.length) % DASHES.length],
      width: best ? 3 : 1.5,
    },
    marker: { size: best ? 6 : 4 },
    text: `${short(run.name, 80)}${run.status === "done" ? "" : ` (${plain(run.status)})`}<br>seed ${plain(writeSeed(run))}`,
    hovertemplate: `%{text}<br>epoch %{x}: %{y:${curve.format}}${curve.unit}<extra></extra>`,
  };
}

function curvesLayout(curve, colourOf) {
  const title = { text: short(colourOf || page.columns.join(" · ")) };
  const legend = narrow()
    ? { orientation: "h", y: -0.2, yanchor: "top", maxheight: 140, title: { ...title, side: "top" } }
    : { title, maxheight: 0.95 };
  const type = byId("curve-log").checked ? "log" : "linear";
  const epochs = Math.max(...page.runs.map((run) => run.history.epoch.length));
  return {
    xaxis: axis("epoch", epochs <= 12 ? { dtick: 1 } : {}),
    yaxis: axis(curve.label, { type }),
    legend: { ...legend, font: { size: 11 }, groupclick: "togglegroup" },
  };
}

function curvesNote(drawn, having) {
  if (!having.length) return "No epoch of the runs in the table is recorded.";
  const limit = `The best ${drawn.length} of ${having.length} runs in the table are drawn. `;
  const train = "Train losses are measured in training mode, on augmented images. ";
  return `${drawn.length < having.length ? limit : ""}${byId("curve-metric").value === "train_loss" ? train : ""}The best setting has thicker lines.`;
}
