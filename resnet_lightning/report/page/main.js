// Controls and start.

function update({ figures = true, parallel = figures } = {}) {
  const runs = visibleRuns();
  drawTable(runs);
  if (!figures) return;
  drawCurves(runs);
  drawHeatmap(runs);
  drawTime(runs);
  if (parallel && parallelSeen) drawParallel();
}

// Without a GPU the shaders of the parallel coordinates take seconds: they are drawn when they come into sight.
let parallelSeen = false;
function drawParallelWhenSeen() {
  const observer = new IntersectionObserver(
    (entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      parallelSeen = true;
      drawParallel();
    },
    { rootMargin: "200px" },
  );
  observer.observe(byId("parallel"));
}

function fillControls() {
  const statuses = new Map();
  for (const run of page.runs) statuses.set(run.status, (statuses.get(run.status) ?? 0) + 1);
  fillSelect(
    "status",
    [["", `all (${page.runs.length})`], ...[...statuses].map(([status, number]) => [status, `${status} (${number})`])],
    "",
  );
  fillSelect(
    "curve-metric",
    CURVES.map(({ key, label }) => [key, label]),
    "val_accuracy",
  );
  fillSelect("curve-colour", [["", "setting"], ...page.columns.map((key) => [key, key])], "");
  const numeric = VARIED.filter((key) => isNumeric(levelsOf(key)));
  const [down, across] = [...numeric, ...VARIED.filter((key) => !numeric.includes(key))];
  const varied = VARIED.map((key) => [key, key]);
  fillSelect("heatmap-x", varied, across ?? down);
  fillSelect("heatmap-y", varied, down);
  const runs = page.runs.map((run, index) => [index, `${index + 1}: ${run.name}`]);
  const best = page.runs.findIndex((run) => page.rows[run.group].best);
  const first = Math.max(best, 0);
  fillSelect("one", runs, first);
  fillSelect(
    "other",
    runs,
    Math.max(
      page.runs.findIndex((run) => run.group !== page.runs[first].group),
      0,
    ),
  );
  byId("grouped").checked = state.grouped;
  byId("example").textContent = exampleOfFilter(numeric);
}

function exampleOfFilter(numeric) {
  const [key] = [...numeric, ...page.columns];
  const parts = key ? [`${key}=${writeSetting(levelsOf(key).at(-1))}`] : [];
  return [...parts, "test_accuracy>90"].join(" ");
}

function listen() {
  const on = (id, event, action) => byId(id).addEventListener(event, action);
  const set = (key, value) => {
    state[key] = value;
    update({ parallel: false });
  };
  let waiting = 0; // for the end of a word
  const readText = () => set("text", byId("text").value);
  on("text", "input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(readText, 150);
  });
  on("text", "change", () => {
    clearTimeout(waiting);
    readText();
  });
  on("status", "change", () => set("status", byId("status").value));
  on("grouped", "change", () => set("grouped", byId("grouped").checked));
  on("clear", "click", clearFilters);
  for (const id of ["curve-metric", "curve-colour", "curve-log"]) on(id, "change", () => drawCurves(visibleRuns()));
  for (const id of ["heatmap-x", "heatmap-y"]) on(id, "change", () => drawHeatmap(visibleRuns()));
  for (const id of ["one", "other"]) on(id, "change", drawDifference);
  dark.addEventListener("change", drawAll);
  matchMedia("(max-width: 639px)").addEventListener("change", drawAll);
}

function clearFilters() {
  const parallel = state.brush.length > 0;
  Object.assign(state, { text: "", status: "", brush: [] });
  byId("text").value = byId("status").value = "";
  update({ parallel });
}

function drawAll() {
  update();
  drawEffects();
}

if (page.runs.length) {
  fillControls();
  listen();
  drawAll();
  drawDifference();
  drawParallelWhenSeen();
} else {
  document.querySelector("main").replaceChildren(element("p", { className: "note" }, "There are no runs yet."));
}
