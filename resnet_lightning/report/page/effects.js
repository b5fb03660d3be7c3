// Main effects: the share of the variance of every setting, and the mean test accuracy of every level.

const MOST_LEVELS = 20; // more of them are no levels that a reader compares

function drawEffects() {
  drawShares(page.effects.filter((effect) => effect.share !== null));
  drawLevels(page.effects.filter((effect) => effect.levels.length <= MOST_LEVELS));
  byId("effects-note").textContent = effectsNote();
}

function drawShares(effects) {
  const sorted = [...effects].sort((one, other) => one.share - other.share);
  const keys = sorted.map(({ key }) => key);
  const trace = {
    type: "bar",
    orientation: "h",
    x: sorted.map(({ share }) => 100 * share),
    y: keys.map((_, index) => index),
    text: sorted.map(
      ({ share, p_value }) => `${fixed(100 * share, 1)} %${p_value === null ? "" : `, ${writeP(p_value)}`}`,
    ),
    textposition: sorted.map(({ share }) => (share < 0.5 ? "outside" : "inside")),
    insidetextanchor: "start",
    cliponaxis: false,
    hoverinfo: "text",
    marker: { color: theme().accent },
    width: 0.6,
  };
  const xaxis = axis("share of the variance (%)", { range: [0, 100] });
  draw("shares", "", sorted.length ? [trace] : [], { xaxis, yaxis: levelAxis("", keys) }, 110 + 44 * keys.length);
}

// With more digits where fewer would round it onto the level of 5 %.
function writeP(p) {
  if (p < 0.001) return "p < 0.001";
  const digits = [2, 3, 4].find((number) => Number(p.toPrecision(number)) !== 0.05) ?? 5;
  return `p = ${p.toPrecision(digits)}`;
}

function drawLevels(effects) {
  const levels = effects.flatMap(({ key, levels: all }, number) => all.map((level) => ({ key, number, ...level })));
  const traces = effects.map(({ key, levels: own }, number) => ({
    type: "scatter",
    mode: "lines+markers",
    x: own.map(({ accuracy }) => 100 * accuracy.mean),
    y: levels.flatMap((level, index) => (level.number === number ? [index + number * 0.6] : [])),
    text: own.map(
      ({ value, accuracy }) =>
        `${plain(key)} = ${plain(writeSetting(value))}<br>${fixed(100 * accuracy.mean, 2)} %, mean of ${count(accuracy.n, "run")}`,
    ),
    hovertemplate: "%{text}<extra></extra>",
    marker: { size: 11, color: PALETTE[number % PALETTE.length] },
    line: { width: 1.5, color: PALETTE[number % PALETTE.length] },
    showlegend: false,
  }));
  const ticks = {
    tickvals: levels.map(({ number }, index) => index + number * 0.6),
    ticktext: levels.map(({ key, value }) => short(`${key} = ${writeSetting(value)}`, 26)),
  };
  const yaxis = axis("", { ...ticks, autorange: "reversed", zeroline: false });
  const xaxis = axis(`mean test accuracy (%)${onTest}`);
  draw("levels", "", traces, { xaxis, yaxis }, 110 + 26 * levels.length);
}

function effectsNote() {
  if (!page.effects.length) return "The finished runs do not differ in any setting.";
  const runs = count(page.effects[0].runs, "finished run");
  const unknown = page.effects.filter(({ share }) => share === null).map(({ key }) => key);
  const many = page.effects.filter(({ levels }) => levels.length > MOST_LEVELS).map(({ key }) => key);
  return [
    `Over all ${runs}, whatever the filter shows.`,
    "Share: eta squared of a model that adds up the effects of the settings, with the p value of its F test.",
    "A mean is over all runs that have the level; the axis of the means does not begin at zero.",
    page.balanced || page.effects.length < 2
      ? ""
      : "The grid has holes: the means are over different combinations of the other settings.",
    unknown.length ? `The runs cannot tell the share of ${unknown.join(", ")}.` : "",
    many.length ? `Without means, for their many values: ${many.join(", ")}.` : "",
  ]
    .filter(Boolean)
    .join(" ");
}
