// Accuracy (that which selects) against time, and on each device the runs, or settings, of which none is both faster
// and better.

function drawTime(runs) {
  const [accuracy, seconds] = [page.selection === "test" ? "test_accuracy" : "val_accuracy", "seconds"].map((key) => ({
    ...METRICS.find((metric) => metric.key === key),
    key,
  }));
  const visible = new Set(runs);
  const points = allLines()
    .filter((line) => line.runs.some((run) => visible.has(run)))
    .map((line) => ({ line, x: line.value(seconds), y: line.value(accuracy) }))
    .filter(({ x, y }) => isNumber(x) && isNumber(y))
    .map((point) => ({ ...point, y: 100 * point.y }));
  const devices = [...new Set(points.map(({ line }) => deviceOf(line)))].sort();
  const fronts = devices.map((device) => paretoFront(points.filter(({ line }) => deviceOf(line) === device)));
  const others = points.filter((point) => !fronts.flat().includes(point));
  const { accent, muted } = theme();
  const traces = [
    { ...timeTrace(others, "others", muted), mode: "markers" },
    ...fronts.map((front, index) => {
      const color = devices.length > 1 ? PALETTE[index % PALETTE.length] : accent;
      const name = devices.length > 1 ? `Pareto front on ${short(devices[index])}` : "Pareto front";
      return { ...timeTrace(front, name, color), mode: "lines+markers", line: { shape: "hv", color, width: 1.5 } };
    }),
  ];
  const wide = points.length && Math.max(...points.map(({ x }) => x)) > 20 * Math.min(...points.map(({ x }) => x));
  const legend = { orientation: "h", y: 1.02, yanchor: "bottom" };
  const form = {
    xaxis: axis("time of the whole run (s)", { type: wide ? "log" : "linear" }),
    yaxis: axis(page.selection === "test" ? `test accuracy (%)${onTest}` : "validation accuracy (%)"),
    legend,
  };
  draw("time", timeNote(points, devices), points.length ? traces : [], form, 420);
}

// Times compare on one device only; a setting that ran on several has none.
function deviceOf(line) {
  return settingsOf(line.runs.find((run) => run.status === "done"))["machine: device"] ?? "an unknown device";
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

function timeNote(points, devices) {
  if (!points.length) return "Nothing in the table has an accuracy and a time on one device.";
  const there = devices.length > 1 ? " on its device" : "";
  const what = state.grouped ? "One point a setting, means over its seeds." : "One point a run.";
  return `${what} Nothing${there} is both faster and better than a point of the Pareto front. ★ is the best setting.`;
}
