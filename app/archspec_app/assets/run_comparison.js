// Runs side by side: their curves over each other, and the options in which they differ.
import { button, h, headRow, rowHead, scrollable } from "./dom.js";
import { formatExact, formatScore } from "./numbers.js";
import { speeds } from "./chart_scale.js";
import { chart, chartView, smoothingBar } from "./run_charts.js";
import { differences } from "./run_order.js";
import { formatValue } from "./value_format.js";

// The scores that a task has, the loss apart.
export const scoresOf = (lines, figures) =>
  Object.keys(figures).filter((name) => name !== "loss" && lines.some((line) => name in line));

function shownValue(value) {
  if (value === undefined) return "–";
  return Number.isInteger(value) ? formatExact(value) : String(value);
}

export function comparison(runs, figures, close) {
  const [score] = scoresOf(
    runs.flatMap(({ epochs }) => epochs),
    figures,
  );
  const lines = (of) => runs.map((run, i) => ({ name: run.key, kind: "abcd"[i], ...of(run) }));
  const ofEpochs =
    (name) =>
    ({ epochs }) => ({ points: epochs.map((epoch) => [epoch.step, epoch[name]]), dots: true });
  const ofSteps =
    (name, more = {}) =>
    ({ steps }) => {
      const points = steps
        .map(({ step, [name]: value }) => [step, value])
        .filter(([, value]) => Number.isFinite(value));
      return { points, ...more };
    };
  const ofSpeed =
    (name) =>
    ({ steps }) => ({ points: speeds(steps, name), format: formatValue });
  const hasTokens = runs.some(({ steps }) => steps.some(({ tokens }) => Number.isFinite(tokens)));
  const view = chartView();
  const drawn = h("div.charts");
  const draw = () =>
    drawn.replaceChildren(
      chart("Validation loss", lines(ofEpochs("loss")), view),
      ...(score ? [chart(`Validation ${figures[score]}`, lines(ofEpochs(score)), view)] : []),
      chart("Training loss", lines(ofSteps("loss")), view),
      chart("Learning rate", lines(ofSteps("learning_rate", { isExact: true, format: formatValue })), view),
      chart("Gradient norm", lines(ofSteps("grad_norm", { format: formatValue })), view),
      chart("Samples per second", lines(ofSpeed("samples")), view),
      ...(hasTokens ? [chart("Tokens per second", lines(ofSpeed("tokens")), view)] : []),
    );
  draw();
  const different = differences(runs).map(([name, values]) =>
    h(
      "tr",
      rowHead(name.replaceAll("_", " ")),
      values.map((value) => h("td", shownValue(value))),
    ),
  );
  const results = ["loss", ...(score ? [score] : [])].map((name) =>
    h(
      "tr",
      rowHead(`test ${figures[name] ?? name}`),
      runs.map(({ test }) => h("td", formatScore(test?.[name]))),
    ),
  );
  const head = headRow(["", ...runs.map(({ key }) => key)]);
  return [
    h("h3", `Comparison of ${runs.length} runs `, button("Close", close)),
    smoothingBar(view, draw),
    drawn,
    scrollable("Differences", h("table", head, h("tbody", results, different))),
    different.length ? "" : h("p.quiet", "Their options are equal."),
  ];
}

const SIGNS = { kept: "=", added: "+", removed: "−", changed: "~", moved: "→" };

// What the specs of the other runs say, and that of the first does not.
export function specDifferences(first, others) {
  const line = ({ kind, what, how }) =>
    h("li", { class: kind }, h("span.sign", SIGNS[kind] ?? "", " "), h("strong", what), " ", h("span", how));
  return others.map(({ key, lines, omitted, error }) => {
    if (error) return h("p.quiet", `The specs of ${first} and ${key} cannot be compared: ${error}`);
    if (!lines.length) return h("p.quiet", `The specs of ${first} and ${key} are equal.`);
    const rest = omitted ? h("p.quiet", `${omitted} more`) : "";
    return h("section.specs", h("h3", `Spec of ${key}, compared with ${first}`), h("ul", lines.map(line)), rest);
  });
}
