// What is shown: the state of the controls and the runs that pass them.

const state = {
  text: "",
  status: "",
  grouped: page.rows.some((row) => row.runs.length > 1),
  brush: [], // of the parallel coordinates: [{ key, ranges: [[low, high], ...] }]
  sort: { id: page.selection === "test" ? "test_accuracy" : "val_accuracy", descending: true },
  chosen: null, // run whose details are open
};

function visibleRuns() {
  const conditions = state.text.toLowerCase().split(/\s+/).filter(Boolean).map(condition);
  return page.runs.filter(
    (run) => (!state.status || run.status === state.status) && conditions.every((test) => test(run)) && inBrush(run),
  );
}

// "lr<0.1" compares a setting, the seed or a metric as the table rounds it, times in seconds; anything else is a part
// of a text.
// A value that no run has, because it is not typed to its end, stands for all that begin with it.
function condition(word) {
  const [, key, operator, wanted] = /^([^<>=]+)(<=|>=|=|<|>)(.+)$/.exec(word) ?? [];
  const read = reader(key);
  if (!read) return (run) => searched(run).includes(word);
  if (operator !== "=" || page.runs.some((run) => compares(read(run), operator, wanted)))
    return (run) => compares(read(run), operator, wanted);
  return (run) => writeSetting(read(run)).toLowerCase().startsWith(wanted);
}

function reader(key) {
  if (key === "seed" || key === "status") return (run) => run[key];
  const column = page.columns.find((name) => name.toLowerCase() === key);
  if (column) return (run) => run.settings[column];
  const metric = METRICS.find((one) => one.key === key);
  return metric && ((run) => shownNumber(metric, run.metrics[metric.key]));
}

function shownNumber(metric, value) {
  return value === null || metric.format ? value : Number((value * metric.scale).toFixed(metric.digits));
}

function compares(value, operator, wanted) {
  const number = Number(wanted);
  if (!isNumber(value) || !isNumber(number)) return operator === "=" && writeSetting(value).toLowerCase() === wanted;
  if (operator[0] === "<") return value < number || (operator === "<=" && value === number);
  if (operator[0] === ">") return value > number || (operator === ">=" && value === number);
  return value === number;
}

function searched(run) {
  const parts = [run.name, writeSettings(run.settings), `seed=${writeSeed(run)}`, run.status, run.reason ?? ""];
  return parts.join(" ").toLowerCase();
}

function inBrush(run) {
  return state.brush.every(({ key, ranges }) => {
    const position = axisOf(key).position(run);
    const room = 1e-6 * Math.abs(position); // an end that snapped to a value is one rounding away from it
    return isNumber(position) && ranges.some(([low, high]) => low - room <= position && position <= high + room);
  });
}
