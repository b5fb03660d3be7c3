// What all figures have in common: colours of the theme, plain texts, axes, and what stands in place of an empty one.

const dark = matchMedia("(prefers-color-scheme: dark)");
const PALETTE = [
  "#3f7fc1",
  "#e07b39",
  "#43a16b",
  "#c4518f",
  "#8b6fd0",
  "#b08a2e",
  "#2aa1a6",
  "#d85c5c",
  "#8490a0",
  "#7a9a3a",
];
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash"];
// From low to high accuracy; the high end stands out from the background.
const scale = () =>
  dark.matches
    ? [
        [0, "#3a3f7a"],
        [0.35, "#2f7f93"],
        [0.7, "#5cc98a"],
        [1, "#f7e65a"],
      ]
    : [
        [0, "#d6e08c"],
        [0.35, "#58b7a6"],
        [0.7, "#2a6fae"],
        [1, "#1d2a6b"],
      ];
const NO_MARKUP = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };
// plotly takes texts for markup: names of users are shown as they are.
const plain = (text) => String(text).replace(/[&<>]/g, (character) => NO_MARKUP[character]);
const cut = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);
const short = (text, length = 60) => plain(cut(text, length));
const narrow = () => document.documentElement.clientWidth < 640;
const BUTTONS = ["select2d", "lasso2d", "autoScale2d"]; // of no use here

function theme() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  return {
    text: colour("text"),
    muted: colour("muted"),
    line: colour("line"),
    card: colour("card"),
    accent: colour("accent"),
    bad: colour("bad"),
  };
}

function axis(title, more = {}) {
  const { line } = theme();
  return {
    title: { text: plain(title), standoff: 8 },
    gridcolor: line,
    zerolinecolor: line,
    linecolor: line,
    automargin: true,
    ...more,
  };
}

function layout(more) {
  const { text, muted, card, line, accent } = theme();
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: "system-ui, sans-serif", size: 12, color: text },
    margin: { l: 50, r: 16, t: narrow() ? 12 : 36, b: 44 },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: muted, activecolor: accent },
    hovermode: "closest",
    hoverlabel: { bgcolor: card, bordercolor: line, font: { color: text }, align: "left", namelength: -1 },
    colorway: PALETTE,
    ...more,
  };
}

// plotly 4 has a button that uploads the figure to plotly.com: a page about somebody's runs must not.
const configuration = () => ({
  showSendToCloud: false,
  plotlyServerURL: "",
  displaylogo: false,
  responsive: true,
  displayModeBar: narrow() ? false : "hover",
  modeBarButtonsToRemove: BUTTONS,
});

const colourBar = () => ({
  title: { text: `test accuracy (%)${onTest}`, side: "right" },
  thickness: 12,
  outlinewidth: 0,
});

// Draw a figure below its note, or in place of an empty one say why.
function draw(part, note, traces, form, height) {
  const figure = byId(`${part}-figure`);
  if (byId(`${part}-note`)) byId(`${part}-note`).textContent = note;
  figure.hidden = !traces.length;
  if (!traces.length) return Plotly.purge(figure);
  if (height) figure.style.height = `${height}px`;
  return Plotly.react(figure, traces, layout(form), configuration());
}

// Levels of a setting at 0, 1, 2, ...; of very many every second, third, ... has a tick.
function levelAxis(title, levels, more = {}) {
  const step = Math.ceil(levels.length / 30);
  const shown = levels.map((_, index) => index).filter((index) => index % step === 0);
  const ticks = { tickvals: shown, ticktext: shown.map((index) => short(writeSetting(levels[index]), 24)) };
  return axis(title, { ...ticks, showgrid: false, zeroline: false, ...more });
}
