// Test accuracy against time, and the runs (or settings) of which none is both faster and better.

function drawTime(runs) {
  const [accuracy, seconds] = ["test_accuracy", "seconds"].map((key) => ({
    ...METRICS.find((metric) => metric.key === key),
    key,
  }));
  const visible = new Set(runs);
  const points = allLines()
    .filter((line) => line.runs.some((run) => visible.has(run)))
    .map((line) => ({ line, x: line.value(seconds), y: line.value(accuracy) }))
    .filter(({ x, y }) => isNumber(x) && isNumber(y))
    .map((point) => ({ ...point, y: 100 * point.y }));
  const front = paretoFront(points);
  const { accent, muted } = theme();
  const traces = [
    {
      ...timeTrace(
        points.filter((point) => !front.includes(point)),
        "others",
        muted,
      ),
      mode: "markers",
    },
    {
      ...timeTrace(front, "Pareto front", accent),
      mode: "lines+markers",
      line: { shape: "hv", color: accent, width: 1.5 },
    },
  ];
  const wide = points.length && Math.max(...points.map(({ x }) => x)) > 20 * Math.min(...points.map(({ x }) => x));
  const legend = { orientation: "h", y: 1.02, yanchor: "bottom" };
  const form = {
    xaxis: axis("time of the whole run (s)", { type: wide ? "log" : "linear" }),
    yaxis: axis(`test accuracy (%)${onTest}`),
    legend,
  };
  draw("time", timeNote(points), points.length ? traces : [], form, 420);
}

function timeTrace(points, name, colour) {
  return {
    type: "scatter",
    x: points.map(({ x }) => x),
    y: points.map(({ y }) => y),
    text: points.map(({ line }) => `${short(line.name, 80)}${line.best ? " ★" : ""}`),
    customdata: points.map(({ x }) => duration(x)),
    hovertemplate: "%{text}<br>%{y:.2f} % in %{customdata}<extra></extra>",
    name,
    marker: {
      color: colour,
      size: points.map(({ line }) => (line.best ? 15 : 9)),
      symbol: points.map(({ line }) => (line.best ? "star" : "circle")),
    },
  };
}

function paretoFront(points) {
  let best = -Infinity;
  return [...points]
    .sort((one, other) => one.x - other.x || other.y - one.y)
    .filter(({ y }) => y > best && ((best = y), true));
}

function timeNote(points) {
  if (!points.length) return "No finished run in the table.";
  const devices = new Set(page.runs.map((run) => settingsOf(run)["machine: device"]).filter(Boolean));
  const machines = devices.size > 1 ? ` Times are those of ${devices.size} different devices.` : "";
  const what = state.grouped ? "One point a setting, means over its seeds." : "One point a run.";
  return `${what} Nothing is both faster and better than a point of the Pareto front. ★ is the best setting.${machines}`;
}
