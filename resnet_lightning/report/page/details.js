// What is known of one run: how to repeat it, why it ended, its files, settings and classes.

function showDetails(line, run = line.runs[0]) {
  state.chosen = run;
  markChosen();
  const box = byId("details");
  box.hidden = false;
  box.replaceChildren(...detailElements(line, run).filter(Boolean));
  box.scrollIntoView({ block: "nearest" });
}

function hideDetails() {
  byId("details").hidden = true;
  byId("runs").querySelector(".chosen .pick")?.focus();
  state.chosen = null;
  markChosen();
}

function detailElements(line, run) {
  const close = element(
    "button",
    { type: "button", className: "close", onclick: hideDetails, "aria-label": "Close the details" },
    "×",
  );
  return [
    element("div", { className: "bar" }, element("h3", {}, run.name), close),
    line.runs.length > 1 ? seedButtons(line, run) : null,
    run.reason ? element("p", { className: "reason" }, `${run.status}: ${run.reason}`) : null,
    line.note ? element("p", {}, `The setting is ${line.note}.`) : null,
    commandElement(run),
    factsElement(run),
    linksElement(run),
    classesElement(run),
    settingsElement(run),
  ];
}

function seedButtons(line, chosen) {
  const buttons = line.runs.map((run) => {
    const text = `seed ${writeSeed(run)}${run.status === "done" ? "" : ` (${run.status})`}`;
    const properties = {
      type: "button",
      "aria-pressed": String(run === chosen),
      onclick: () => chooseSeed(line, run),
    };
    return element("button", properties, text);
  });
  return element("div", { className: "controls", role: "group", "aria-label": "Run of the setting" }, ...buttons);
}

function chooseSeed(line, run) {
  showDetails(line, run);
  byId("details").querySelector("[aria-pressed=true]").focus();
}

function commandElement(run) {
  if (!run.command) return element("p", { className: "note" }, "The command of this run is not recorded.");
  const code = element("code", {}, run.command);
  const button = element("button", { type: "button", onclick: () => copy(run.command, code, button) }, "Copy");
  button.setAttribute("aria-live", "polite");
  return element(
    "div",
    { className: "command" },
    element("pre", { tabIndex: 0, "aria-label": "Command that repeats the run" }, code),
    button,
  );
}

// Where the browser keeps the clipboard from the page, the command is selected, ready for Ctrl-C.
async function copy(text, code, button) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(code);
    button.textContent = "Selected";
  }
  setTimeout(() => (button.textContent = "Copy"), 2000);
}

function factsElement(run) {
  const all = settingsOf(run);
  const facts = METRICS.filter((metric) => isNumber(run.metrics[metric.key])).map((metric) => [
    metric.label,
    writeMetric(metric, run.metrics[metric.key]),
  ]);
  facts.unshift(["folder", run.name], ["seed", writeSeed(run)], ["status", run.status]);
  facts.push(["epochs", run.best_epoch ? `${run.epochs_done}, best: ${run.best_epoch}` : String(run.epochs_done)]);
  facts.push(
    ["started", run.started?.replace("T", " ")],
    ["device", all["machine: device"]],
    ["precision", all["machine: precision"]],
    ["threads", all["machine: threads"]],
  );
  const known = facts.filter(([, value]) => value !== null && value !== undefined);
  return element(
    "dl",
    {},
    ...known.map(([key, value]) => element("div", {}, element("dt", {}, key), element("dd", {}, String(value)))),
  );
}

function linksElement(run) {
  const links = Object.entries(run.links).map(([name, href]) => element("a", { href }, name));
  return links.length ? element("p", { className: "links" }, "Files: ", ...links) : null;
}

function classesElement(run) {
  if (!run.per_class.length) return null;
  const names = page.classes[run.classes];
  const items = run.per_class.map((share, index) => {
    const bar = element("span", { className: "track", "aria-hidden": "true" }, element("span", { className: "fill" }));
    bar.firstChild.style.width = `${100 * (share ?? 0)}%`;
    const text = share === null ? "–" : fixed(100 * share, 2);
    return element(
      "li",
      {},
      element("span", { className: "class" }, names[index] ?? String(index)),
      bar,
      element("span", { className: "number" }, text),
    );
  });
  const images = run.images ? ` (n = ${run.images.toLocaleString("en")})` : "";
  const list = element("ul", { className: "classes" }, ...items);
  list.style.setProperty("--widest", `${Math.min(Math.max(...names.map((name) => name.length)), 14) + 1}ch`);
  return element("div", {}, element("h4", {}, `Test accuracy of each class (%)${images}${onTest}`), list);
}

function settingsElement(run) {
  const all = Object.entries(settingsOf(run));
  if (!all.length) return element("p", { className: "note" }, `Settings: ${writeSettings(run.settings)}`);
  const rows = all
    .sort(([one], [other]) => compareValues(one, other))
    .map(([key, value]) =>
      element("tr", {}, element("th", { scope: "row" }, key), element("td", {}, writeSetting(value))),
    );
  return element(
    "details",
    {},
    element("summary", {}, `All ${all.length} settings`),
    element("div", { className: "box" }, element("table", {}, element("tbody", {}, ...rows))),
  );
}
