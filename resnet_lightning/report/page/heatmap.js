// Heat map: mean test accuracy over a pair of settings, of the runs in the table.

const MOST_CELLS = 10_000;
const VARIED = page.columns.filter((key) => levelsOf(key).length > 1);

function drawHeatmap(runs) {
  const [across, down] = [byId("heatmap-x").value, byId("heatmap-y").value];
  if (VARIED.length < 2) return draw("heatmap", "There are no two settings that vary.", [], {});
  const [columns, rows] = [levelsOf(across), levelsOf(down)];
  if (columns.length * rows.length > MOST_CELLS)
    return draw("heatmap", `${across} and ${down} have too many values for a heat map.`, [], {});
  const place = (row, column) => JSON.stringify([row, column]);
  const runsAt = new Map();
  for (const run of runs) {
    const where = place(run.settings[down], run.settings[across]);
    if (!runsAt.has(where)) runsAt.set(where, []);
    runsAt.get(where).push(run);
  }
  const cells = rows.map((row) => columns.map((column) => cell(runsAt.get(place(row, column)) ?? [])));
  const flat = cells.flat();
  const trace = {
    type: "heatmap",
    x: columns.map((_, index) => index),
    y: rows.map((_, index) => index),
    z: cells.map((line) => line.map(({ mean }) => mean)),
    hovertext: cells.map((line) => line.map(({ hover }) => hover)),
    hoverinfo: "text",
    hoverongaps: true,
    colorscale: scale(),
    colorbar: colourBar(),
    showscale: !narrow(),
    xgap: 2,
    ygap: 2,
  };
  if (flat.length <= 150)
    Object.assign(trace, { text: cells.map((line) => line.map(({ label }) => label)), texttemplate: "%{text}" });
  const form = {
    xaxis: levelAxis(across, columns),
    yaxis: levelAxis(down, rows, { autorange: "reversed" }),
    annotations: failedCells(cells, flat.length),
  };
  const height = Math.min(Math.max(90 + 56 * rows.length, 240), 620);
  draw(
    "heatmap",
    heatmapNote(flat, across, down),
    flat.some(({ runs: number }) => number) ? [trace] : [],
    form,
    height,
  );
}

// What a cell of runs says: mean, its label and its hover text.
function cell(runs) {
  const accuracies = runs.map((run) => run.metrics.test_accuracy).filter(isNumber);
  const others = runs.filter((run) => run.status !== "done").map((run) => run.status);
  const mean = accuracies.length ? (100 * accuracies.reduce((sum, value) => sum + value, 0)) / accuracies.length : null;
  const mark = others.length
    ? `✕ ${others.length > 1 ? `${others.length} ` : ""}${plain([...new Set(others)].join(", "))}`
    : "";
  const figure = mean === null ? "" : fixed(mean, 2);
  const hover = runs.length
    ? [mean === null ? "no finished run" : `${figure} %, mean of ${count(accuracies.length, "run")}`, mark]
        .filter(Boolean)
        .join("<br>")
    : "no run";
  return {
    mean,
    mark,
    runs: runs.length,
    finished: accuracies.length,
    label: figure && mark ? `${figure}<br>${mark}` : figure,
    hover,
  };
}

// A cell without a number has no label of its own.
function failedCells(cells, number) {
  const { bad } = theme();
  const font = { color: bad, size: number > 60 ? 10 : 12 };
  return cells.flatMap((line, y) =>
    line.flatMap(({ mean, mark }, x) =>
      mean === null && mark ? [{ x, y, text: number > 150 ? "✕" : mark, showarrow: false, font }] : [],
    ),
  );
}

function heatmapNote(cells, across, down) {
  const finished = cells.map((one) => one.finished).filter(Boolean);
  if (!finished.length) return "No finished run in the table.";
  const [fewest, most] = [Math.min(...finished), Math.max(...finished)];
  const runs = fewest === most ? count(most, "run") : `${fewest} to ${most} runs`;
  const others = page.columns.filter((key) => key !== across && key !== down);
  const over = others.length
    ? ` A cell takes all values of ${others.join(", ")} together; the filter can fix them.`
    : "";
  return `Mean test accuracy (%)${onTest} of the runs in the table: ${runs} a cell.${over}`;
}
