// The lines of the table, one for every run or for every setting with the seeds folded, its columns and their order.

const finished = (runs) => runs.filter((run) => run.status === "done").length;

const RUN_LINES = page.runs.map((run, index) => ({
  number: index + 1,
  name: run.name,
  settings: run.settings,
  status: run.status,
  reason: run.reason,
  note: page.rows[run.group].runs.length === 1 ? page.rows[run.group].note : "",
  nearBest: false,
  best: page.rows[run.group].best,
  runs: [run],
  value: (metric) => run.metrics[metric.key],
  text: (metric) => (run.metrics[metric.key] === null ? "–" : writeMetric(metric, run.metrics[metric.key])),
}));

const ROW_LINES = page.rows.map((row, index) => ({
  number: index + 1,
  name: writeSettings(row.settings),
  settings: row.settings,
  status: row.status,
  reason: row.reason,
  note: row.note,
  nearBest: row.near_best,
  best: row.best,
  runs: row.runs.map((number) => page.runs[number]),
  value: (metric) => row.metrics[metric.key]?.mean ?? null,
  text: (metric) =>
    row.metrics[metric.key]
      ? writeEstimate(metric, row.metrics[metric.key], finished(row.runs.map((number) => page.runs[number])))
      : "–",
}));

const allLines = () => (state.grouped ? ROW_LINES : RUN_LINES);

function columnsOfTable() {
  const settings = page.columns.map((key) => ({
    id: `setting ${key}`,
    label: key,
    value: (line) => line.settings[key],
    text: (line) => writeSetting(line.settings[key]),
    numeric: isNumeric(levelsOf(key)),
  }));
  const metrics = METRICS.map((metric) => ({
    id: metric.key,
    label: metric.label,
    value: (line) => line.value(metric),
    text: (line) => line.text(metric),
    numeric: true,
    highest: metric.sign > 0,
    title: metric.title,
    metric,
  }));
  const seed = state.grouped
    ? {
        id: "seed",
        label: "n",
        value: (line) => finished(line.runs),
        numeric: true,
        title: "finished runs: every mean is over these",
      }
    : { id: "seed", label: "seed", value: (line) => line.runs[0].seed, numeric: true };
  seed.text = (line) => (state.grouped ? String(finished(line.runs)) : writeSeed(line.runs[0]));
  const number = { id: "number", label: "#", value: (line) => line.number };
  const status = { id: "status", label: "status", value: (line) => line.status };
  return [number, ...settings, seed, ...metrics, status];
}

function sortLines(lines, columns) {
  const column = columns.find(({ id }) => id === state.sort.id) ?? columns[0];
  const direction = state.sort.descending && column.id === state.sort.id ? -1 : 1;
  const missing = (line) => column.value(line) === null || column.value(line) === undefined;
  return lines.sort(
    (one, other) =>
      missing(one) - missing(other) ||
      (missing(one) ? 0 : direction * compareValues(column.value(one), column.value(other))) ||
      one.number - other.number,
  );
}

// None of the test set where validation selects: a setting is not chosen by it.
function bestValue(metric) {
  if (metric.key.startsWith("test_") && page.selection !== "test") return null;
  const values = allLines()
    .map((line) => line.value(metric))
    .filter(isNumber);
  return new Set(values).size > 1 ? metric.sign * Math.max(...values.map((value) => metric.sign * value)) : null;
}
