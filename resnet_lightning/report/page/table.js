// The table itself: headings that sort, rows that open the details.

function drawTable(runs) {
  const columns = columnsOfTable();
  const visible = new Set(runs);
  const lines = allLines().filter((line) => line.runs.some((run) => visible.has(run)));
  const best = new Map(METRICS.map((metric) => [metric, bestValue(metric)]));
  const body = element(
    "tbody",
    { onkeydown: moveBetweenRows },
    ...sortLines(lines, columns).map((line) => lineElement(line, columns, best)),
  );
  const first = body.querySelector("button");
  if (first) first.tabIndex = 0;
  const heading = element("thead", {}, element("tr", {}, ...columns.map(headingElement)));
  byId("runs").replaceChildren(heading, body);
  markChosen();
  const noun = state.grouped ? "setting" : "run";
  const parts = [
    `${lines.length.toLocaleString("en")} of ${count(allLines().length, noun)}`,
    state.brush.length ? `brushed: ${state.brush.map(({ key }) => axisOf(key).label).join(", ")}` : "",
    lines.some((line) => line.best) ? "★ best setting" : "",
    lines.some((line) => line.nearBest) ? "≈ not distinguishable from the best" : "",
  ];
  byId("shown").textContent = parts.filter(Boolean).join("; ");
}

function headingElement(column) {
  const sorted = column.id === state.sort.id;
  const descending = sorted ? !state.sort.descending : Boolean(column.highest);
  const sort = () => {
    state.sort = { id: column.id, descending };
    update({ figures: false });
    byId("runs")
      .querySelector(`th[data-id="${CSS.escape(column.id)}"] button`)
      .focus();
  };
  const arrow = element(
    "span",
    { className: "arrow", "aria-hidden": "true" },
    sorted ? (state.sort.descending ? "▼" : "▲") : "",
  );
  const button = element(
    "button",
    { type: "button", onclick: sort, title: column.title ?? "" },
    ...(column.numeric ? [arrow, column.label] : [column.label, arrow]),
  );
  const order = sorted ? (state.sort.descending ? "descending" : "ascending") : "none";
  return element(
    "th",
    { scope: "col", "aria-sort": order, "data-id": column.id, className: column.numeric ? "number" : "" },
    button,
  );
}

function lineElement(line, columns, best) {
  const open = () => showDetails(line);
  const cells = columns.map((column) => {
    if (column.id === "number") return element("th", { scope: "row" }, pickButton(line));
    if (column.id === "status") return element("td", {}, ...statusElements(line));
    const top = column.metric && best.get(column.metric) !== null && column.value(line) === best.get(column.metric);
    return element(
      "td",
      { className: `${column.numeric ? "number" : ""} ${top ? "top" : ""}`, title: top ? "best of all" : "" },
      column.text(line),
    );
  });
  const row = element("tr", { className: line.best ? "best" : "", onclick: open }, ...cells);
  row.line = line;
  return row;
}

// The row of the run whose details are open; the table is not drawn anew, which would take the focus away.
function markChosen() {
  for (const row of byId("runs").tBodies[0].rows) {
    const chosen = row.line.runs.includes(state.chosen);
    row.classList.toggle("chosen", chosen);
    row.querySelector(".pick").setAttribute("aria-expanded", String(chosen));
  }
}

function pickButton(line) {
  const remark = line.best ? "the best setting" : line.note;
  const label = `Details of ${state.grouped ? "setting" : "run"} ${line.number}${remark ? `, ${remark}` : ""}`;
  const sign = line.best ? "★" : line.nearBest ? "≈" : "";
  const mark = sign ? element("span", { className: "mark", title: remark }, sign) : null;
  const properties = { type: "button", className: "pick", tabIndex: -1, "aria-label": label };
  return element("button", properties, String(line.number), mark);
}

function statusElements(line) {
  const status = element("span", { className: "status", "data-status": line.status.split(" ")[0] }, line.status);
  const remark = line.reason ?? line.note;
  return remark ? [status, element("span", { className: "remark", title: remark }, remark)] : [status];
}

// Arrow keys go from row to row, so that the table is one stop for the Tab key.
function moveBetweenRows(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const buttons = [...byId("runs").querySelectorAll(".pick")];
  const next = step && buttons[buttons.indexOf(document.activeElement) + step];
  if (!next) return;
  event.preventDefault();
  for (const button of buttons) button.tabIndex = button === next ? 0 : -1;
  next.focus();
}
