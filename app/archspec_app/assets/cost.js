// Totals and memory: each figure with its unit, and whether it is exact or estimated.
import { h, meter, rowHead } from "./dom.js";
import { formatExact } from "./numbers.js";

const root = element.querySelector(".cost-view");
const PEAK = "peak of a step";
const SUMS = new Set(["total", PEAK]); // not parts of the sum
const PEAK_NOTE =
  "The peak is what one step needs at once, without the loss. The total is what is needed when gradients are kept" +
  " from one step to the next, as in accumulation: it is the safe number to fit, and the one that Fits on uses.";

// Heard, not seen; the row of their heads keeps the widths of the columns.
const COLUMNS = [
  ["name", "Figure"],
  ["number", "Value"],
  ["full", "Full value"],
  ["accuracy", "Exact or estimated"],
  ["bars", "Share of the largest"],
];

function row(figure, largest) {
  const isTotal = SUMS.has(figure.name);
  const accuracy = figure.exact ? "exact" : "estimated";
  return h(
    "tr",
    { class: isTotal ? "total" : "" },
    rowHead(figure.name),
    h("td.number", { title: figure.full }, figure.short),
    h("td.quiet.full", figure.full),
    h("td.accuracy", h("span.badge", { class: accuracy }, accuracy)),
    h("td.bars", largest && !isTotal ? meter(figure.value / largest) : ""),
  );
}

function section({ title, figures }) {
  const parts = figures.filter(({ name }) => !SUMS.has(name)).map(({ value }) => value);
  const largest = title.startsWith("Memory") ? Math.max(...parts, 1) : 0;
  const head = h(
    "thead",
    h(
      "tr",
      COLUMNS.map(([kind, name]) => h(`th.${kind}`, { scope: "col" }, h("span.hidden", name))),
    ),
  );
  const body = h(
    "tbody",
    figures.map((figure) => row(figure, largest)),
  );
  const note = figures.some(({ name }) => name === PEAK) ? h("p.quiet", PEAK_NOTE) : "";
  return h("section", h("h3", title), h("table.figures", head, body), note);
}

function draw() {
  const cost = props.value;
  if (!cost?.groups) return;
  const uncounted = Object.entries(cost.uncounted ?? {}).map(
    ([name, calls]) => `${name} (${formatExact(calls)} ${calls === 1 ? "call" : "calls"})`,
  );
  root.replaceChildren(
    ...cost.groups.map(section),
    ...(cost.warnings ?? []).map((warning) => h("p", `Warning: ${warning}.`)),
    uncounted.length ? h("p.quiet", `MACs do not include these operations: ${uncounted.join(", ")}.`) : "",
  );
}
watch("value", draw);
draw();
