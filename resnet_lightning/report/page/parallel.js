// Parallel coordinates of the runs that have a value on every axis. A brush on an axis filters the table and the other figures.

const AXES = [
  ...page.columns.map((key) => settingAxis(key)),
  ...METRICS.filter(({ key }) => ["val_accuracy", "seconds", "test_accuracy"].includes(key))
    .sort((one, other) => (one.key === "test_accuracy") - (other.key === "test_accuracy"))
    .map(metricAxis),
];
const axisOf = (key) => AXES.find((one) => one.key === key);

// key, label and position of a run on the axis, and what plotly needs to draw it. plotly has no logarithmic axis here.
function settingAxis(key) {
  const levels = levelsOf(key);
  const logarithmic = isLogarithmic(levels);
  const number = logarithmic ? Math.log10 : (level) => level;
  const place = isNumeric(levels) ? number : (level) => levels.indexOf(level);
  const ticks = ticksOf(levels, logarithmic);
  return {
    key: `setting ${key}`,
    label: logarithmic ? `${key} (log)` : key,
    position: (run) => place(run.settings[key]),
    range: widened(levels.map(place)),
    tickvals: ticks?.map(place),
    ticktext: ticks?.map((level) => cut(writeSetting(level), 18)), // no markup here
  };
}

// Levels with a tick; null leaves the choice to plotly.
function ticksOf(levels, logarithmic) {
  const step = Math.ceil(levels.length / 20);
  if (!isNumeric(levels)) return levels.filter((_, index) => index % step === 0);
  if (levels.length <= 12) return levels;
  return logarithmic ? decades(levels) : null;
}

function decades(levels) {
  const [low, high] = [Math.ceil(Math.log10(levels[0])), Math.floor(Math.log10(levels.at(-1)))];
  return Array.from({ length: high - low + 1 }, (_, index) => Number(`1e${low + index}`));
}

function metricAxis(metric) {
  const position = (run) => (isNumber(run.metrics[metric.key]) ? run.metrics[metric.key] * metric.scale : null);
  const label = metric.key === "seconds" ? "time (s)" : metric.label.replace(" accuracy", " acc.");
  return { key: metric.key, label, position, range: widened(page.runs.map(position).filter(isNumber)) };
}

// plotly draws nothing between equal ends; a little room lets the first and the last level be brushed.
function widened(positions) {
  const [low, high] = [Math.min(...positions), Math.max(...positions)];
  const room = high > low ? (high - low) * 0.03 : 1;
  return positions.length ? [low - room, high + room] : [0, 1];
}

function drawParallel() {
  const runs = page.runs.filter((run) => AXES.every(({ position }) => isNumber(position(run))));
  const figure = byId("parallel-figure");
  if (!runs.length) return draw("parallel", "No run has a value on every axis.", [], {});
  if (!hasWebGl) return draw("parallel", "This browser has no WebGL, with which the figure is drawn.", [], {});
  const { card } = theme();
  const form = { margin: { l: 70, r: 60, t: 60, b: 24 }, paper_bgcolor: card, plot_bgcolor: card };
  figure.style.minWidth = `${110 * AXES.length}px`;
  draw("parallel", parallelNote(runs), [parallelTrace(runs)], form, 400);
  figure.removeAllListeners("plotly_restyle");
  figure.on("plotly_restyle", readBrush);
}

function parallelTrace(runs) {
  const { text, muted } = theme();
  const dimensions = AXES.map(({ key, label, position, tickvals, ticktext, range }) => {
    const constraintrange = state.brush.find((brush) => brush.key === key)?.ranges;
    return {
      name: key,
      label: short(label, 26),
      values: runs.map(position),
      range,
      tickvals,
      ticktext,
      constraintrange,
    };
  });
  const color = runs.map((run) => 100 * run.metrics.test_accuracy);
  return {
    type: "parcoords",
    dimensions,
    line: { color, colorscale: scale(), showscale: !narrow(), colorbar: colourBar() },
    labelfont: { color: text },
    tickfont: { color: text },
    rangefont: { color: "rgba(0,0,0,0)" }, // the ends of the range are no values of runs
    unselected: { line: { color: muted, opacity: 0.12 } },
  };
}

function parallelNote(runs) {
  const others = page.runs.length - runs.length;
  const left = others
    ? ` ${count(others, "run")} without a test accuracy, or another of these values, ${others === 1 ? "has" : "have"} no line.`
    : "";
  return `One line a run, coloured by test accuracy (n = ${runs.length}). Drag along an axis to brush it: the table and the figures keep those runs. A click on the axis ends it, dragging a name moves the axis.${left}`;
}

const hasWebGl = Boolean(document.createElement("canvas").getContext("webgl"));

// plotly keeps the brushes in its dimensions, whose order changes when axes are moved.
function readBrush() {
  const { dimensions } = byId("parallel-figure").data[0];
  state.brush = dimensions
    .filter(({ constraintrange }) => constraintrange?.length)
    .map(({ name, constraintrange }) => ({
      key: name,
      ranges: Array.isArray(constraintrange[0]) ? constraintrange : [constraintrange],
    }));
  update({ parallel: false });
}
