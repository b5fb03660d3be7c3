// The settings in which two runs differ, side by side.

function drawDifference() {
  const [one, other] = ["one", "other"].map((id) => page.runs[Number(byId(id).value)]);
  const [left, right] = [settingsOf(one), settingsOf(other)];
  const known = one.config && other.config;
  const keys = known ? [...new Set([...Object.keys(left), ...Object.keys(right)])] : [];
  const differing = keys.filter((key) => JSON.stringify(left[key]) !== JSON.stringify(right[key])).sort(compareValues);
  byId("difference-note").textContent = differenceNote(one, other, differing, keys);
  const heading = ["setting", one.name, other.name].map((text) => element("th", { scope: "col" }, text));
  const rows = differing.map((key) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, key),
      element("td", {}, writeSetting(left[key])),
      element("td", {}, writeSetting(right[key])),
    ),
  );
  byId("differences").replaceChildren(
    element("thead", {}, element("tr", {}, ...heading)),
    element("tbody", {}, ...rows),
  );
  byId("differences").parentElement.hidden = !differing.length;
}

function differenceNote(one, other, differing, keys) {
  const unknown = [one, other].filter((run) => !run.config).map((run) => run.name);
  if (unknown.length) return `${[...new Set(unknown)].join(" and ")}: there is no record of the settings.`;
  return one === other
    ? "This is the same run twice."
    : `${differing.length} of ${count(keys.length, "setting")} differ; what begins with “machine:” is where and with what the run was made.`;
}
