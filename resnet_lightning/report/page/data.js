// The numbers of the page, and how they are written. All scripts are one module: names are shared, nothing is global.

const page = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

const withCurves = page.runs.filter((run) => run.history.epoch.length > 0); // others may not know yet what selects
const usesTest = withCurves.some((run) => run.selection === "test");
const usesValidation = withCurves.some((run) => run.selection !== "test");
const heldOut = !usesTest ? "validation" : usesValidation ? "validation or test" : "test"; // what chose the best epochs
const onTest = page.selection === "test" ? ", selected on test" : "";

// scale: from the record to what people read; sign: 1 where more is better
const METRICS = [
  { key: "train_loss", label: "train loss", scale: 1, digits: 4, sign: -1 },
  { key: "val_accuracy", label: "val. accuracy (%)", scale: 100, digits: 2, sign: 1 },
  { key: "test_loss", label: "test loss", scale: 1, digits: 4, sign: -1 },
  { key: "test_accuracy", label: `test accuracy (%)${onTest}`, scale: 100, digits: 2, sign: 1 },
  { key: "seconds", label: "time", scale: 1, sign: -1, format: duration },
  { key: "peak_memory", label: "memory (MiB)", title: "peak", scale: 1, digits: 0, sign: -1 },
].filter(({ key }) => page.rows.some((row) => row.metrics[key]) || key === "test_accuracy");

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
const fixed = (value, digits) =>
  value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const count = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

function duration(seconds) {
  if (seconds < 60) return `${fixed(seconds, 1)} s`;
  const all = Math.round(seconds / (seconds < 3600 ? 1 : 60)); // seconds, from an hour on minutes
  const [whole, rest] = [Math.floor(all / 60), String(all % 60).padStart(2, "0")];
  return seconds < 3600 ? `${whole} min ${rest} s` : `${whole} h ${rest} min`;
}

const writeMetric = (metric, value) => (metric.format ?? ((x) => fixed(x * metric.scale, metric.digits)))(value);

// "97.30 ± 0.12": mean and sample standard deviation over the seeds, with "(2)" where these are not all of the runs.
function writeEstimate(metric, { mean, sd, n }, runs) {
  return (
    writeMetric(metric, mean) + (sd === null ? "" : ` ± ${writeMetric(metric, sd)}`) + (n === runs ? "" : ` (${n})`)
  );
}

// As on the command line; a dash where there is none.
function writeSetting(value) {
  if (value === undefined) return "–";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

const writeSeed = (run) => writeSetting(run.seed ?? undefined);
const writeSettings = (settings) => page.columns.map((key) => `${key}=${writeSetting(settings[key])}`).join(" ");

// Numbers by size, before texts in the order of their natural numbers ("resnet18" before "resnet101").
function compareValues(one, other) {
  if (isNumber(one) && isNumber(other)) return one - other;
  if (isNumber(one) !== isNumber(other)) return isNumber(one) ? -1 : 1;
  return String(one).localeCompare(String(other), "en", { numeric: true });
}

// All settings of a run and its machine, by flat key; empty without a record.
const settingsOf = (run) => (run.config ? { ...page.common, ...run.config } : {});

const levelsOf = (key) => [...new Set(page.runs.map((run) => run.settings[key]))].sort(compareValues);
const isNumeric = (levels) => levels.every(isNumber);
// A learning rate, or a batch size: positive and over a factor of ten or more.
const isLogarithmic = (levels) => isNumeric(levels) && levels[0] > 0 && levels.at(-1) >= 10 * levels[0];

// element("button", { type: "button", "aria-pressed": "true", onclick }, "text"): texts never become markup.
function element(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key in node) node[key] = value;
    else node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

function fillSelect(id, options, chosen) {
  byId(id).replaceChildren(...options.map(([value, text]) => element("option", { value }, text)));
  byId(id).value = chosen;
}
