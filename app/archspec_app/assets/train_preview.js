// What a run would train on and take: columns, classes, first rows, lengths, memory, the command line.
import { button, h, headRow, rowHead, scrollable } from "./dom.js";
import { formatDuration, formatExact, formatSize } from "./numbers.js";

export function previewPanel(found, time, close) {
  return [
    h("h3", "Preview ", button("Close", close)),
    h(
      "p",
      found.columns.map(({ role, name }) => h("span.role", h("span.quiet", `${role}: column `), name)),
    ),
    scrollable("Splits", splitTable(found.splits)),
    firstRows(found),
    h(
      "ul.facts",
      facts(found).map((fact) => h("li", fact)),
      h("li", time),
    ),
    command(found),
  ];
}

function splitTable(splits) {
  const classes = [...new Set(splits.flatMap(({ classes: counts }) => Object.keys(counts ?? {})))];
  const rows = splits.map(({ name, rows: count, classes: counts }) => {
    const cells = [count, ...classes.map((one) => counts?.[one] ?? 0)];
    return h(
      "tr",
      rowHead(name),
      cells.map((cell) => h("td.number", formatExact(cell))),
    );
  });
  return h(
    "table",
    headRow(["Split", "Rows", ...classes], (i) => i > 0),
    h("tbody", rows),
  );
}

function firstRows({ columns, first }) {
  const cell = (value) => {
    if (typeof value === "string") return h("td", value);
    const picture = value.image ? h("img", { src: `data:;base64,${value.image}`, alt: "an image of the data" }) : "";
    return h("td", picture || "(an image)");
  };
  const rows = first.map((cells) => h("tr", cells.map(cell)));
  return scrollable("First rows", h("table.first-rows", headRow(columns.map(({ name }) => name)), h("tbody", rows)));
}

function facts({ tokens, steps, epochs, memory, unit, notes }) {
  const found = [];
  if (tokens) {
    const { texts, truncated, longest, max_length: limit, is_part: isPart } = tokens;
    const which = isPart ? `the first ${formatExact(texts)}` : formatExact(texts);
    const cut = truncated > 1 ? `${formatExact(truncated)} have more` : `${truncated ? "1" : "none"} has more`;
    found.push(
      `Lengths of ${which} texts: the longest has ${formatExact(longest)} tokens; ${cut} than ${formatExact(limit)}.`,
    );
  }
  if (steps)
    found.push(
      `${formatExact(steps)} steps in ${epochs === 1 ? "the epoch" : `each of ${formatExact(epochs)} epochs`}.`,
    );
  if (memory) found.push(memoryFact(memory));
  if (unit !== "rows") found.push(`The counts of classes are ${unit}.`);
  return [...found, ...notes];
}

// An estimate: it is said what it is made of, and what is not in it.
export function estimateFact({ seconds, batch_seconds: each, measured, epochs, max_steps: limit, problem }) {
  if (problem) return `Time: not measured: ${problem}.`;
  const batches = measured === 1 ? "1 batch" : `${formatExact(measured)} batches`;
  const one = each < 1 ? `${(1000 * each).toFixed(each < 0.01 ? 1 : 0)} ms` : `${each.toFixed(1)} s`;
  const every = epochs === 1 ? "the epoch" : `all ${formatExact(epochs)} epochs`;
  const all = limit ? `${formatExact(limit)} steps` : every;
  return [
    `Time: about ${formatDuration(Math.max(1, seconds))} for ${all}, an estimate:`,
    `${batches} took ${one}${measured === 1 ? "" : " each"} on this machine just now.`,
    "Validation and saving come on top; frozen modules that are computed once take less.",
  ].join(" ");
}

// A run that takes long can be tried out first: how, with a button that fills it in.
export function shortRun({ short }, use) {
  if (!short) return [];
  const { steps, seconds } = short;
  const label = `Set max steps to ${formatExact(steps)}`;
  const time = `about ${formatDuration(Math.max(1, seconds))}`;
  return [` To try it out first, in ${time}: `, button(label, () => use(steps))];
}

function memoryFact({ short, sizes, free, where, fits }) {
  const size = Object.entries(sizes).map(([name, value]) => `${name} ${formatExact(value)}`);
  const of = size.length ? ` (${size.join(", ")})` : "";
  if (free === null) return `A step takes ${short} of memory${of}.`;
  const verdict = fits ? "it fits" : "it does not fit: a smaller batch size or max length takes less";
  return `A step takes ${short} of the ${formatSize(free)} of ${where}${of}: ${verdict}.`;
}

function command({ command: line, saved }) {
  const copied = h("span.quiet", { role: "status" });
  const copy = async () => {
    await navigator.clipboard?.writeText(line);
    copied.textContent = navigator.clipboard ? " copied" : " select and copy it";
  };
  return h(
    "div.command",
    h(
      "p",
      "The same in a terminal, in the folder of this page: ",
      button("Copy", copy, { "aria-label": "Copy the command" }),
      copied,
    ),
    h("pre.code", { tabindex: "0" }, line),
    saved ? "" : h("p.quiet", "The spec has changes that are not saved: save it first."),
  );
}
